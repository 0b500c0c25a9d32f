/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "server-command.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVER_SOCKET = 3 };

static char socket_option[] = "--socket=3";

/* A runtime. Without a file, it is the native one, and this program serves. */
typedef struct
{
  const char *name;
  const char *interpreter;      /* that executes the file, or NULL if the file is a program */
  const char *variable;         /* of the environment, with the path of the file */
  const char *uninstalled;      /* from the folder of this program in a build tree */
  const char *installed;
} Runtime;

static const Runtime runtimes[] = {
  { .name = "native" },
  {
    .name = "python",
    .interpreter = AFORK_PYTHON,
    .variable = "AFORK_PYTHON_SERVER",
    .uninstalled = "../" AFORK_PYTHON_SERVER_UNINSTALLED,
    .installed = AFORK_PYTHON_SERVER_INSTALLED,
  },
  {
    .name = "gjs",
    .variable = "AFORK_GJS_SERVER",
    .uninstalled = "../" AFORK_GJS_SERVER_UNINSTALLED,
    .installed = AFORK_GJS_SERVER_INSTALLED,
  },
};

static const Runtime *
find_runtime (const char *name)
{
  for (size_t i = 0; i < sizeof runtimes / sizeof runtimes[0]; i++)
    if (strcmp (runtimes[i].name, name) == 0)
      return &runtimes[i];

  return NULL;
}

/* Returns the path of the file beside this program in a build tree, or NULL. */
static char *
dup_uninstalled (const Runtime *runtime)
{
  char program[PATH_MAX];
  const ssize_t length = readlink ("/proc/self/exe", program, sizeof program - 1);
  char *path = NULL;
  char *slash;

  if (length < 0)
    return NULL;

  program[length] = '\0';
  slash = strrchr (program, '/');
  if (slash == NULL
      || asprintf (&path, "%.*s/%s", (int) (slash - program), program, runtime->uninstalled) < 0)
    return NULL;
  if (access (path, F_OK) == 0)
    return path;

  free (path);
  return NULL;
}

/* Returns the path of the runtime's file, or NULL if there is no memory. */
static char *
dup_part (const Runtime *runtime)
{
  const char *path = secure_getenv (runtime->variable);
  char *uninstalled;

  if (path != NULL && *path != '\0')
    return strdup (path);

  uninstalled = dup_uninstalled (runtime);
  return uninstalled != NULL ? uninstalled : strdup (runtime->installed);
}

/* Returns whether the file of RUNTIME is there. */
static bool
check_part (const Runtime *runtime,
            const char    *part,
            AForkFailure  *failure)
{
  if (part == NULL)
    return afork_failure_set (failure, AFORK_WIRE_ERROR_SPAWN, "%s", strerror (ENOMEM));
  if (part[0] == '/' && access (part, F_OK) < 0)
    return afork_failure_set (failure, AFORK_WIRE_ERROR_SPAWN,
                              "There is no “%.2000s”: AFork was built there without the runtime "
                              "“%s”, or it is not installed", part, runtime->name);

  return true;
}

bool
afork_server_command_find (AForkServerCommand *self,
                           const char         *name,
                           const char         *executable,
                           AForkFailure       *failure)
{
  static char name_of_server[] = "afork-server";
  static char protocol_option[32];
  const Runtime *runtime = find_runtime (name);
  int n = 0;

  *self = (AForkServerCommand) { 0 };
  if (runtime == NULL)
    return afork_failure_set (failure, AFORK_WIRE_ERROR_SPAWN,
                              "The agent knows no runtime “%.255s”, but “native”, “python” and "
                              "“gjs”", name);

  if (runtime->installed == NULL)
    {
      /* The kernel opened the path of this program, and the name is for people. */
      self->program = "/proc/self/exe";
      self->argv[n++] = name_of_server;
    }
  else if (runtime->interpreter == NULL && *executable != '\0')
    {
      self->program = self->argv[n++] = (char *) executable;
    }
  else
    {
      self->part = dup_part (runtime);
      if (!check_part (runtime, self->part, failure))
        {
          afork_server_command_clear (self);
          return false;
        }
      if (runtime->interpreter != NULL)
        self->argv[n++] = (char *) (*executable != '\0' ? executable : runtime->interpreter);
      self->argv[n++] = self->part;
      self->program = self->argv[0];
    }

  if (runtime->interpreter != NULL)
    {
      /* Without PyGObject, the server cannot ask the library for it. */
      snprintf (protocol_option, sizeof protocol_option, "--protocol=%d", AFORK_WIRE_VERSION);
      self->argv[n++] = protocol_option;
    }
  self->argv[n++] = socket_option;
  return true;
}

void
afork_server_command_clear (AForkServerCommand *self)
{
  free (self->part);
  *self = (AForkServerCommand) { 0 };
}

static void
send_frame (const AForkFrame *frame)
{
  uint8_t bytes[AFORK_FRAME_HEADER_SIZE + AFORK_FAILURE_TEXT_SIZE + 64];

  afork_frame_write (frame, bytes);
  send (SERVER_SOCKET, bytes, afork_frame_size (frame), MSG_NOSIGNAL);
}

void
afork_server_command_execute (const AForkServerCommand *self)
{
  char text[AFORK_FAILURE_TEXT_SIZE];
  const AForkFrame hello = {
    .kind = AFORK_FRAME_HELLO, .number = { AFORK_WIRE_VERSION }, .string = { AFORK_WIRE_MAGIC },
  };
  const AForkFrame error = {
    .kind = AFORK_FRAME_ERROR, .number = { AFORK_WIRE_ERROR_SPAWN }, .string = { text },
  };

  execvp (self->program, self->argv);
  snprintf (text, sizeof text, "“%.2000s” could not be executed there: %s", self->argv[0],
            strerror (errno));
  send_frame (&hello);
  send_frame (&error);
  _exit (AFORK_EXIT_BASE + AFORK_WIRE_ERROR_SPAWN);
}
