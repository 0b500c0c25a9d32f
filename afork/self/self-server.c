/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "self-server.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "afork-error.h"
#include "base/atfork.h"
#include "base/context-wakeup.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "base/pidfd-info.h"
#include "server/children.h"
#include "server/descriptors.h"
#include "server/native.h"
#include "server/server.h"
#include "server/title.h"

/* The native runtime in a program that uses GLib. */
typedef struct
{
  AForkNative         native;   /* first, because functions of the runtime get a pointer to it */
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

/* Makes the library's symbols visible to modules, which call afork_worker_take_items(). They are
 * visible already if the program is linked with the library, but not if a language loaded it. */
static void
show_library (void)
{
  Dl_info library;

  if (dladdr ((void *) show_library, &library) != 0)
    dlopen (library.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_GLOBAL);
}

/* Serves SOCKET with the native runtime and the program's own functions. WAKEUPS are those of this
 * process, and FORKED says whether it is a fork of the program. */
G_GNUC_NORETURN static void
serve (int                        socket,
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
  /* A worker that makes a template of itself has its modules already. */
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

  /* The text has the names of threads, which can be any bytes. */
  message = g_utf8_make_valid (failure.text, -1);
  g_set_error_literal (error, AFORK_ERROR, AFORK_ERROR_THREADS, message);
  return FALSE;
}

/* Descriptors below this number are left to those that the caller maps. The default main context
 * keeps one descriptor. If the context is created here, it gets the next number, so that the table
 * of descriptors, which each fork copies, does not grow. */
enum { FIRST_OWN_DESCRIPTOR = 60 };

/* Creates the default main context, and finds its descriptor. SOCKET is any open descriptor. */
static void
make_wakeups (int                  socket,
              AForkContextWakeups *wakeups)
{
  int taken[FIRST_OWN_DESCRIPTOR + 1];
  gsize n_taken = 0;
  int last;

  do
    {
      last = fcntl (socket, F_DUPFD_CLOEXEC, 0);
      if (last >= 0)
        taken[n_taken++] = last;
    }
  while (last >= 0 && last < FIRST_OWN_DESCRIPTOR);

  /* With too few descriptors, the context is created when it is needed. */
  if (last >= 0)
    {
      close (taken[--n_taken]);
      g_main_context_default ();
    }
  while (n_taken > 0)
    close (taken[--n_taken]);

  _afork_context_wakeups_find (wakeups);
}

void
_afork_self_server_main (int    argc,
                         char **argv,
                         int    socket)
{
  AForkContextWakeups wakeups;

  if (!afork_is_stream_socket (socket))
    return;

  afork_title_init (argc, argv);
  make_wakeups (socket, &wakeups);
  serve (socket, FALSE, &wakeups);
}

/* Async-signal-safe. */
static void
reset_signals (void)
{
  struct sigaction action = { .sa_handler = SIG_DFL };
  sigset_t none;

  /* The signals that cannot be set have their default action. */
  for (int signal = 1; signal < NSIG; signal++)
    sigaction (signal, &action, NULL);

  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

/* Runs in the fork, with all signals blocked. reset_signals() is async-signal-safe. After it, no
 * handler of the program can run, and any function may be called, because the program had one
 * thread, which held no lock when it forked. */
G_GNUC_NORETURN static void
become_template (int                        socket,
                 const AForkContextWakeups *wakeups)
{
  reset_signals ();
  _afork_context_wakeups_renew (wakeups);
  _afork_atfork_run_hooks ();
  serve (socket, TRUE, wakeups);
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

  *pid = 0;
  _afork_context_wakeups_find (&wakeups);
  /* Flush buffered output of the program, or each fork would write it again. */
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
  *pid = child;
  return _afork_pidfd_open_child (child, pidfd, error);
}
