/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-runtime.h"
#include "base/atfork.h"
#include "base/context-table.h"
#include "client/client.h"

G_BEGIN_DECLS

/* The class is in afork-runtime.c, and how its processes are made in process/launcher.c. */

/* What makes its fresh processes. */
typedef enum
{
  AFORK_RUNTIME_KIND_COMMAND,   /* any command: it has the socket as standard input and output */
  AFORK_RUNTIME_KIND_NATIVE,    /* the server program */
  AFORK_RUNTIME_KIND_SELF,      /* this program, executed again */
  AFORK_RUNTIME_KIND_PROGRAM    /* this program, as it is: it is forked */
} AForkRuntimeKind;

/* The very program that runs, even if its file has been replaced since. */
#define AFORK_SELF_PATH "/proc/self/exe"

struct _AForkRuntime
{
  GObject            parent_instance;
  char              *name;
  AForkRuntimeKind   kind;
  gboolean           can_fork;
  gboolean           can_pass_fds;
  AForkContextTable *templates;     /* see _afork_runtime_get_templates() */

  AForkMutex         mutex;         /* protects the fields below */
  char             **argv;
  char             **environment;
  char              *working_directory;
  char             **module_path;
  guint              generation;    /* counts the changes of the above */
  guint              start_timeout; /* for the handshake, in milliseconds; 0 for no limit */
};

/* What it executes, or NULL where that is nothing; to be called with the mutex locked. */
char        **_afork_runtime_find_argv   (AForkRuntime *self);

/* Makes a fresh process of the runtime, as a rule by executing its program, as CLIENT, and tells it
 * where its modules are. */
void          _afork_runtime_spawn       (AForkRuntime *self,
                                          AForkClient  *client);

/* The runtime of templates that are forked off this program. */
AForkRuntime *_afork_runtime_get_program (void);

/* The table of its templates, one for each main context. The values are afork-process.c's. */
AForkContextTable *_afork_runtime_get_templates  (AForkRuntime *self);
/* The number of changes of its properties so far. A template of an older generation is replaced. */
guint              _afork_runtime_get_generation (AForkRuntime *self);

G_END_DECLS
