/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Included before each source file of the library in fuzz-process. It replaces the functions by
 * which the library watches other processes, waits, and reads the clock by functions of the target.
 * Everything else is real: sockets, descriptors, main contexts. The replacements behave like the
 * real functions, and check that they are used correctly. */

#pragma once

#ifndef _GNU_SOURCE
# define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

long      world_syscall        (long           number,
                                ...);
int       world_waitid         (idtype_t       type,
                                id_t           id,
                                siginfo_t     *info,
                                int            options);
int       world_kill           (pid_t          pid,
                                int            signal);
int       world_fcntl          (int            fd,
                                int            command,
                                ...);
int       world_ioctl          (int            fd,
                                unsigned long  request,
                                void          *argument);
gboolean  world_get_contents   (const char    *path,
                                char         **contents,
                                gsize         *length,
                                GError       **error);
ssize_t   world_readlink       (const char    *path,
                                char          *target,
                                size_t         size);
GSource  *world_timeout_new    (guint          ms);
gboolean  world_iterate        (GMainContext  *context,
                                gboolean       may_block);

#ifdef PROCESS_WORLD
# define syscall(...) world_syscall (__VA_ARGS__)
# define waitid(type, id, info, options) world_waitid (type, id, info, options)
# define kill(pid, signal) world_kill (pid, signal)
# define fcntl(...) world_fcntl (__VA_ARGS__)
# define ioctl(fd, request, argument) world_ioctl (fd, request, argument)
# define g_file_get_contents(path, contents, length, error) \
  world_get_contents (path, contents, length, error)
# define readlink(path, target, size) world_readlink (path, target, size)
# define g_timeout_source_new(ms) world_timeout_new (ms)
# define g_source_set_ready_time(source, time) ((void) (time))
# define g_main_context_iteration(context, may_block) world_iterate (context, may_block)
#endif
