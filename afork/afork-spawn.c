/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-spawn-private.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "afork-error.h"
#include "afork-fd-private.h"
#include "afork-i18n-private.h"
#include "worker/pidfd.h"

#define SOCKET_ARGUMENT "--socket=3"

/* What the child does to its descriptors and folder before it executes the program. The order
 * holds: a socket that is itself 0 or 1 is copied before it is replaced, and copying it onto its
 * own number makes it survive the execution. */
static int
plan_descriptors (posix_spawn_file_actions_t *actions,
                  const char                 *working_directory,
                  AForkSpawnSocket            how,
                  int                         socket)
{
  int first_closed = AFORK_SPAWN_SOCKET_NUMBER + 1;
  int result;

  if (how != AFORK_SPAWN_SOCKET_STANDARD)
    {
      result = posix_spawn_file_actions_adddup2 (actions, socket, AFORK_SPAWN_SOCKET_NUMBER);
    }
  else
    {
      first_closed = STDERR_FILENO + 1;
      result = posix_spawn_file_actions_adddup2 (actions, socket, STDIN_FILENO);
      if (result == 0)
        result = posix_spawn_file_actions_adddup2 (actions, socket, STDOUT_FILENO);
    }

  if (result == 0)
    result = posix_spawn_file_actions_addclosefrom_np (actions, first_closed);
  if (result == 0 && working_directory != NULL)
    result = posix_spawn_file_actions_addchdir_np (actions, working_directory);
  return result;
}

static int
plan_signals (posix_spawnattr_t *attributes)
{
  sigset_t none, all;
  int result;

  sigemptyset (&none);
  sigfillset (&all);
  result = posix_spawnattr_setsigmask (attributes, &none);
  if (result == 0)
    result = posix_spawnattr_setsigdefault (attributes, &all);
  if (result == 0)
    result = posix_spawnattr_setflags (attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  return result;
}

/* Returns an error number, as posix_spawn() does. That shares the memory of this process until the
 * program is executed, so it costs the same whatever the size of this process. */
static int
spawn (const char * const *argv,
       const char * const *environment,
       const char         *working_directory,
       AForkSpawnSocket    how,
       int                 socket,
       GPid               *pid)
{
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int result;

  result = posix_spawn_file_actions_init (&actions);
  if (result != 0)
    return result;
  result = posix_spawnattr_init (&attributes);
  if (result == 0)
    {
      result = plan_descriptors (&actions, working_directory, how, socket);
      if (result == 0)
        result = plan_signals (&attributes);
      if (result == 0)
        result = posix_spawnp (pid, argv[0], &actions, &attributes, (char **) argv,
                               environment != NULL ? (char **) environment : environ);
      posix_spawnattr_destroy (&attributes);
    }

  posix_spawn_file_actions_destroy (&actions);
  return result;
}

static const char **
add_argument (const char * const *argv,
              const char         *argument)
{
  gsize n_arguments = g_strv_length ((char **) argv);
  const char **longer = g_new0 (const char *, n_arguments + 2);

  for (gsize i = 0; i < n_arguments; i++)
    longer[i] = argv[i];
  longer[n_arguments] = argument;
  return longer;
}

/* Since the child was made, its number cannot have come to mean another process: numbers are not
 * given out again so soon, even where the program has its children reaped as they end. */
gboolean
_afork_spawn_watch (GPid     child,
                    int     *pidfd,
                    GError **error)
{
  int fd = afork_pidfd_open (child);

  if (fd < 0 && errno != ESRCH && errno != ENOSYS)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("Process %d could not be watched: %s"), (int) child, g_strerror (errno));
      kill (child, SIGKILL);
      while (waitpid (child, NULL, 0) < 0 && errno == EINTR)
        ;
      return FALSE;
    }

  *pidfd = fd;
  return TRUE;
}

gboolean
_afork_spawn (const char * const  *argv,
              const char * const  *environment,
              const char          *working_directory,
              AForkSpawnSocket     how,
              int                  socket,
              GPid                *pid,
              int                 *pidfd,
              GError             **error)
{
  g_auto(AForkFd) owned_socket = socket;
  g_autofree const char **longer = NULL;
  g_autofree char *program = g_filename_display_name (argv[0]);
  GPid child;
  int result;

  g_assert (argv != NULL && argv[0] != NULL);

  if (how == AFORK_SPAWN_SOCKET_NUMBERED)
    argv = longer = add_argument (argv, SOCKET_ARGUMENT);
  else if (how == AFORK_SPAWN_SOCKET_HIDDEN)
    argv = longer = add_argument (argv, AFORK_SPAWN_HIDDEN_ARGUMENT);
  result = spawn (argv, environment, working_directory, how, socket, &child);
  if (result != 0 && working_directory != NULL)
    {
      g_autofree char *folder = g_filename_display_name (working_directory);

      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("“%s” could not be executed in “%s”: %s"),
                   program, folder, g_strerror (result));
      return FALSE;
    }
  if (result != 0)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("“%s” could not be executed: %s"), program, g_strerror (result));
      return FALSE;
    }

  /* Closing the socket first leaves a place in the descriptor table. */
  _afork_fd_clear (&owned_socket);
  if (!_afork_spawn_watch (child, pidfd, error))
    {
      g_prefix_error (error, _("“%s” was executed, but to no avail: "), program);
      return FALSE;
    }

  *pid = child;
  return TRUE;
}
