/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Included before each source file of the server in fuzz-server. It replaces the functions by which
 * a server would fork, exit, execute, load or change its process by functions of the target.
 * Everything else is real: sockets, descriptors, epoll. The replacements behave like the real
 * functions, and check that they are used correctly. */

#pragma once

#ifndef _GNU_SOURCE
# define _GNU_SOURCE
#endif
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

ssize_t world_recvmsg     (int                 socket,
                           struct msghdr      *message,
                           int                 flags);
ssize_t world_sendmsg     (int                 socket,
                           const struct msghdr *message,
                           int                 flags);
int     world_epoll_create (int                flags);
int     world_epoll_ctl   (int                 epoll,
                           int                 op,
                           int                 fd,
                           struct epoll_event *event);
int     world_epoll_wait  (int                 epoll,
                           struct epoll_event *events,
                           int                 max_events,
                           int                 timeout);
int     world_close       (int                 fd);
ssize_t world_read        (int                 fd,
                           void               *bytes,
                           size_t              n_bytes);
ssize_t world_send        (int                 fd,
                           const void         *bytes,
                           size_t              n_bytes,
                           int                 flags);
int     world_open        (const char         *path,
                           int                 flags);
int     world_close_range (unsigned            first,
                           unsigned            last,
                           int                 flags);
int     world_dup2        (int                 fd,
                           int                 target);
int     world_fcntl       (int                 fd,
                           int                 command,
                           ...);
int     world_socketpair  (int                 domain,
                           int                 type,
                           int                 protocol,
                           int                *fds);
long    world_syscall     (long                number,
                           ...);
int     world_kill        (pid_t               pid,
                           int                 signal);
pid_t   world_wait4       (pid_t               pid,
                           int                *status,
                           int                 options,
                           struct rusage      *usage);
int     world_waitid      (idtype_t            type,
                           id_t                id,
                           siginfo_t          *info,
                           int                 options);
pid_t   world_setsid      (void);
int     world_prctl       (int                 option,
                           ...);
int     world_setrlimit   (int                 resource,
                           const struct rlimit *limit);
int     world_setpriority (int                 which,
                           id_t                who,
                           int                 priority);
int     world_set_scheduler (pid_t             pid,
                             int               policy);
int     world_sigaction   (int                 signal,
                           const struct sigaction *action,
                           struct sigaction   *old);
ssize_t world_pwrite      (int                 fd,
                           const void         *bytes,
                           size_t              n_bytes);
int     world_execvp      (const char         *file,
                           char              **argv);
void    world_exit        (int                 status) __attribute__ ((noreturn));
void    world_quick_exit  (int                 status) __attribute__ ((noreturn));
int     world_setenv      (const char         *name,
                           const char         *value,
                           int                 overwrite);
int     world_unsetenv    (const char         *name);
int     world_chdir       (const char         *path);
int     world_stat        (const char         *path,
                           struct stat        *status);
DIR    *world_opendir     (const char         *path);
FILE   *world_fopen       (const char         *path,
                           const char         *mode);
int     world_access      (const char         *path,
                           int                 mode);
void   *world_dlopen      (const char         *path,
                           int                 flags);
char   *world_dlerror     (void);
void   *world_dlsym       (void               *handle,
                           const char         *symbol);
void   *world_malloc      (size_t              size);
void   *world_calloc      (size_t              n,
                           size_t              size);
void   *world_realloc     (void               *memory,
                           size_t              size);
char   *world_strdup      (const char         *string);
void    world_free        (void               *memory);

#ifdef SERVER_WORLD
# undef strdup
# define recvmsg(socket, message, flags) world_recvmsg (socket, message, flags)
# define sendmsg(socket, message, flags) world_sendmsg (socket, message, flags)
# define epoll_create1(flags) world_epoll_create (flags)
# define epoll_ctl(epoll, op, fd, event) world_epoll_ctl (epoll, op, fd, event)
# define epoll_wait(epoll, events, max, timeout) world_epoll_wait (epoll, events, max, timeout)
# define close(fd) world_close (fd)
# define open(path, flags) world_open (path, flags)
# define read(fd, bytes, n_bytes) world_read (fd, bytes, n_bytes)
# define send(fd, bytes, n_bytes, flags) world_send (fd, bytes, n_bytes, flags)
# define dup2(fd, target) world_dup2 (fd, target)
# define fcntl(...) world_fcntl (__VA_ARGS__)
# define socketpair(domain, type, protocol, fds) world_socketpair (domain, type, protocol, fds)
# define syscall(...) world_syscall (__VA_ARGS__)
# define kill(pid, signal) world_kill (pid, signal)
# define wait4(pid, status, options, usage) world_wait4 (pid, status, options, usage)
# define waitpid(pid, status, options) world_wait4 (pid, status, options, NULL)
# define waitid(type, id, info, options) world_waitid (type, id, info, options)
# define setsid() world_setsid ()
/* No namespaces can be had. */
# define unshare(flags) ((flags) == CLONE_THREAD ? 0 : (errno = EPERM, -1))
# define getpgrp() ((pid_t) 1)
# define prctl(...) world_prctl (__VA_ARGS__)
# define setrlimit(resource, limit) world_setrlimit (resource, limit)
# define setpriority(which, who, priority) world_setpriority (which, who, priority)
# define sched_setscheduler(pid, policy, parameters) \
    ((void) (parameters), world_set_scheduler (pid, policy))
# define sigaction(number, action, old) world_sigaction (number, action, old)
# define pwrite(fd, bytes, n_bytes, offset) ((void) (offset), world_pwrite (fd, bytes, n_bytes))
# define execvp(file, argv) world_execvp (file, argv)
# define exit(status) world_exit (status)
# define _exit(status) world_quick_exit (status)
# define setenv(name, value, overwrite) world_setenv (name, value, overwrite)
# define unsetenv(name) world_unsetenv (name)
# define chdir(path) world_chdir (path)
# define signal(number, handler) ((void) (handler))
# define stat(path, status) world_stat (path, status)
# define opendir(path) world_opendir (path)
# define fopen(path, mode) world_fopen (path, mode)
# define access(path, mode) world_access (path, mode)
# define dlopen(path, flags) world_dlopen (path, flags)
# define dlerror() world_dlerror ()
# define dlsym(handle, symbol) world_dlsym (handle, symbol)
# define malloc(size) world_malloc (size)
# define calloc(n, size) world_calloc (n, size)
# define realloc(memory, size) world_realloc (memory, size)
# define strdup(string) world_strdup (string)
# define free(memory) world_free (memory)
#endif
