/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-runtime.h"
#include "base/atfork.h"
#include "base/context-table.h"

G_BEGIN_DECLS

/* How fresh processes of a runtime are started: each kind has a launcher, see
 * process/launchers.c. */
typedef enum
{
  AFORK_RUNTIME_KIND_AGENT,     /* a command connects to an agent on another host */
  AFORK_RUNTIME_KIND_COMMAND,   /* a command is executed; its socket is its standard streams */
  AFORK_RUNTIME_KIND_LANGUAGE,  /* the interpreter of a language is executed */
  AFORK_RUNTIME_KIND_NATIVE,    /* a server program is executed */
  AFORK_RUNTIME_KIND_PROGRAM,   /* the calling program is forked */
  AFORK_RUNTIME_KIND_SELF       /* the calling program is executed again */
} AForkRuntimeKind;

/* The file of the running program, even if its path now names another file. */
#define AFORK_SELF_PATH "/proc/self/exe"

/* One language, or another way to run workers: a row of the table in afork-runtime.c. */
typedef struct
{
  const char       *name;
  AForkRuntimeKind  kind;
  /* Returns what is executed if AForkRuntime:argv is NULL. Called with the mutex locked. NULL if
   * nothing is executed then. */
  char          **(*find_argv) (AForkRuntime *self);
  /* Returns the path of the file of AFork in these arguments, which is not installed if AFork was
   * built without this runtime. NULL if there is always one. */
  char           *(*find_part) (void);
  gboolean          can_fork;       /* and can pass descriptors */
  gboolean          needs_address_space;  /* reserves much more than it uses, so a limit is for what
                                           * is mapped in addition */
  gboolean          can_use_early;  /* the early template of afork_early() can stand in for it */
} AForkRuntimeInfo;

/* The calling program, if it is an interpreter of the runtime's language: see
 * afork_runtime_set_interpreter(). Without it, all fields are NULL. */
typedef struct
{
  char  *executable;
  char **options;
  char **search_path;
} AForkInterpreter;

struct _AForkRuntime
{
  GObject                 parent_instance;
  const AForkRuntimeInfo *info;
  char                   *name;
  gboolean                can_fork;
  gboolean                can_pass_fds;
  AForkContextTable      *templates;     /* see _afork_runtime_get_templates() */
  AForkContextTable      *connections;   /* see _afork_runtime_get_connections() */
  char                   *destination;   /* for ssh, or NULL */

  AForkMutex              mutex;         /* protects the fields below */
  char                  **argv;
  char                   *executable;
  char                  **environment;
  char                   *working_directory;
  char                  **module_path;
  guint                   generation;    /* the number of changes of the five fields above, and of
                                          * the strings of other hosts */
  AForkInterpreter        interpreter;   /* the calling program, if it is one */
  char                  **ssh_options;
  char                   *server_path;
  char                   *remote_runtime;   /* its name */
  guint                   keepalive;     /* in milliseconds; 0 for no limit */
  guint                   start_timeout; /* for the handshake, in milliseconds; 0 for no limit */
};

/* What a runtime executes: copies of its properties at one time. */
typedef struct
{
  char **argv;                  /* NULL if there is no program */
  char **environment;           /* NULL for the environment of this process */
  char  *working_directory;     /* NULL for the working directory of this process */
} AForkRuntimeCommand;

AForkRuntimeCommand _afork_runtime_dup_command    (AForkRuntime        *self);
void                _afork_runtime_command_clear  (AForkRuntimeCommand *command);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (AForkRuntimeCommand, _afork_runtime_command_clear)

/* Fails with AFORK_ERROR_SPAWN if the command needs a file of AFork that is not there. */
gboolean            _afork_runtime_check_part     (AForkRuntime        *self,
                                                   GError             **error);

AForkRuntimeKind    _afork_runtime_get_kind       (AForkRuntime        *self);

/* Emits AForkRuntime::launching. */
void                _afork_runtime_notify_launching (AForkRuntime      *self);
/* Returns where modules are searched first: AForkRuntime:module-path, and then the directories of
 * the calling program if it is the interpreter that is executed. NULL for none. */
char              **_afork_runtime_dup_search_path (AForkRuntime       *self);
/* Whether processes of the runtime work under a limit of memory for all that they have mapped. */
gboolean            _afork_runtime_can_limit_address_space (AForkRuntime   *self);

/* Whether the early template, if there is one, is forked instead of executing the program. This is
 * not so while a property says what to execute. */
gboolean            _afork_runtime_can_use_early  (AForkRuntime        *self);

/* The runtime of templates that are forks of this program. */
AForkRuntime       *_afork_runtime_get_program    (void);

/* The table of its templates, one for each main context. Its values belong to afork-process.c. */
AForkContextTable  *_afork_runtime_get_templates  (AForkRuntime        *self);
/* The connections to its host, one for each main context. The values belong to
 * process/launcher-agent.c. */
AForkContextTable  *_afork_runtime_get_connections (AForkRuntime       *self);
/* Returns why nothing is executed for the destination of the runtime, or NULL. */
char               *_afork_runtime_dup_refusal    (AForkRuntime        *self);
/* Returns the path of the server program. */
char               *_afork_runtime_dup_server     (void);
/* The number of changes of its properties. A template of an older generation is replaced. */
guint               _afork_runtime_get_generation (AForkRuntime        *self);

G_END_DECLS
