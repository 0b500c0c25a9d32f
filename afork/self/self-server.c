/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "self-server.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "afork-error.h"
#include "base/atfork.h"
#include "base/context-wakeup.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "client/spawn.h"
#include "server/children.h"
#include "server/descriptors.h"
#include "server/native.h"
#include "server/server.h"

/* The native runtime, where GLib is there as well. */
typedef struct
{
  AForkNative         native;   /* first: the runtime's functions take it for all there is */
  AForkContextWakeups wakeups;
} SelfServer;

static void
self_server_forked (void *data)
{
  _afork_context_wakeups_renew (&((SelfServer *) data)->wakeups);
}

static bool
self_server_needs_fd (void *data,
                      int   fd)
{
  const AForkContextWakeups *wakeups = &((SelfServer *) data)->wakeups;

  return fd == wakeups->fds[0] || fd == wakeups->fds[1];
}

/* Modules take afork_worker_take_items() from us, but see it only if the program links us: where
 * we were loaded for a language, we are hidden from them. */
static void
show_library (void)
{
  Dl_info library;

  if (dladdr ((void *) show_library, &library) != 0)
    dlopen (library.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_GLOBAL);
}

void
_afork_self_server_serve (int                        socket,
                          gboolean                   forked,
                          const AForkContextWakeups *wakeups)
{
  static SelfServer self_server;
  static AForkWorkerRuntime runtime;
  const AForkServerOptions options = {
    .socket = socket,
    .forked = forked,
    .runtime = &runtime,
    .runtime_data = &self_server,
    /* Libraries of the program may have registered handlers that only this fork() calls. */
    .fork = fork,
  };
  AForkFailure failure;

  self_server.wakeups = *wakeups;
  runtime = afork_native_runtime;
  runtime.forked = self_server_forked;
  runtime.needs_fd = self_server_needs_fd;

  afork_open_standard_fds ();
  afork_prepare_socket (socket);
  show_library ();
  afork_native_init (&self_server.native);
  /* A worker that is forked off itself has been here, and keeps its modules. */
  if (self_server.native.n_modules == 0
      && !afork_native_add_program (&self_server.native, &failure))
    _exit (AFORK_EXIT_BASE + (int) failure.code);
  afork_serve (&options);
}

gboolean
_afork_self_server_check_threads (GError **error)
{
  g_autofree char *message = NULL;
  AForkFailure failure;

  if (afork_children_check_threads (&failure))
    return TRUE;

  /* It has the names of threads, which may be any bytes. */
  message = g_utf8_make_valid (failure.text, -1);
  g_set_error_literal (error, AFORK_ERROR, AFORK_ERROR_THREADS, message);
  return FALSE;
}

static void
reset_signals (void)
{
  struct sigaction action = { .sa_handler = SIG_DFL };
  sigset_t none;

  /* Those that cannot be set are as they should be. */
  for (int signal = 1; signal < NSIG; signal++)
    sigaction (signal, &action, NULL);

  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

/* What the fork does, with all signals blocked. Only async-signal-safe functions are called until
 * none of the program's handlers can be entered any more. After that it may do anything, for the
 * program had one thread, which held no lock when it forked. */
G_GNUC_NORETURN static void
become_template (int                        socket,
                 const AForkContextWakeups *wakeups)
{
  reset_signals ();
  _afork_context_wakeups_renew (wakeups);
  _afork_atfork_run_in_child ();
  _afork_self_server_serve (socket, TRUE, wakeups);
}

gboolean
_afork_self_server_fork (int      socket,
                         GPid    *pid,
                         int     *pidfd,
                         GError **error)
{
  g_auto(AForkFd) owned_socket = socket;
  sigset_t all, before;
  AForkContextWakeups wakeups;
  pid_t child;

  _afork_context_wakeups_find (&wakeups);
  /* What the program has printed is written once, not by each fork again. */
  fflush (NULL);

  sigfillset (&all);
  sigprocmask (SIG_SETMASK, &all, &before);
  _afork_atfork_begin_fork ();
  child = fork ();
  _afork_atfork_end_fork ();
  if (child == 0)
    become_template (socket, &wakeups);
  if (child < 0)
    g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                 _("The program could not be forked: %s"), g_strerror (errno));
  sigprocmask (SIG_SETMASK, &before, NULL);
  if (child < 0)
    return FALSE;

  _afork_fd_clear (&owned_socket);
  if (!_afork_spawn_watch (child, pidfd, error))
    return FALSE;

  *pid = child;
  return TRUE;
}
