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
  AFORK_RUNTIME_KIND_COMMAND,   /* a command is executed; its socket is its standard streams */
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
  char           *(*find_program) (void);  /* for AForkRuntime:argv if it is NULL; or NULL */
  gboolean          can_fork;       /* and can pass descriptors */
  gboolean          can_use_early;  /* the early template of afork_early() can stand in for it */
} AForkRuntimeInfo;

struct _AForkRuntime
{
  GObject                 parent_instance;
  const AForkRuntimeInfo *info;
  char                   *name;
  gboolean                can_fork;
  gboolean                can_pass_fds;
  AForkContextTable      *templates;     /* see _afork_runtime_get_templates() */

  AForkMutex              mutex;         /* protects the fields below */
  char                  **argv;
  char                  **environment;
  char                   *working_directory;
  char                  **module_path;
  guint                   generation;    /* the number of changes of the four fields above */
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

AForkRuntimeKind    _afork_runtime_get_kind       (AForkRuntime        *self);

/* Whether the early template, if there is one, is forked instead of executing the program. This is
 * not so while a property says what to execute. */
gboolean            _afork_runtime_can_use_early  (AForkRuntime        *self);

/* The runtime of templates that are forks of this program. */
AForkRuntime       *_afork_runtime_get_program    (void);

/* The table of its templates, one for each main context. Its values belong to afork-process.c. */
AForkContextTable  *_afork_runtime_get_templates  (AForkRuntime        *self);
/* The number of changes of its properties. A template of an older generation is replaced. */
guint               _afork_runtime_get_generation (AForkRuntime        *self);

G_END_DECLS
