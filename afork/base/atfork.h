/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

G_BEGIN_DECLS

/* The library has descriptors open in this process, and sources in its main contexts. A fork of the
 * program gets copies of them, which it cannot use. Its copy of a socket would stay open when this
 * process closes the socket.
 *
 * If the library forks a template off the program, the child calls the hook of each owner at once.
 * If the program calls fork(), it may have other threads, so the child cannot clean up. Then a
 * handler of pthread_atfork() replaces each descriptor of the library by a dead one, and counts one
 * more generation. What belongs to an older generation is inherited, and is not used. */
typedef struct
{
  GList    link;                /* its data is the owner; NULL once it is out of the queue */
  void   (*child_func) (gpointer owner);
  guint    generation;
} AForkAtforkHook;

/* Adds SELF, a part of OWNER. CHILD_FUNC is called in a template that the library forks off the
 * program: it closes the descriptors and destroys the sources of OWNER. It sends nothing, calls no
 * callback of the program, and may remove other hooks. Both functions may be called in any
 * thread. */
void     _afork_atfork_add_hook       (AForkAtforkHook       *self,
                                       void                 (*child_func) (gpointer owner),
                                       gpointer               owner);
void     _afork_atfork_remove_hook    (AForkAtforkHook       *self);

/* Whether the hook belongs to the program that this one was forked from by fork(). */
gboolean _afork_atfork_is_inherited   (const AForkAtforkHook *self);
/* A number that changes with each such fork. */
guint    _afork_atfork_get_generation (void);
/* The error for a use of something that is inherited. */
GError  *_afork_atfork_new_error      (void);

/* Called around a fork that the library makes itself: the program has one thread, and the child
 * runs the hooks. */
void     _afork_atfork_begin_fork     (void);
void     _afork_atfork_end_fork       (void);

/* Call it when SOCKET is given to the program. Its other end belongs to a process of the library,
 * so a fork of the program replaces its copy of the descriptor, too, unless the program has closed
 * it. */
void     _afork_atfork_add_given      (GSocket               *socket);

/* FD belongs to the library while it is registered, and a fork of the program replaces its copy. A
 * descriptor must be unregistered before it is given to the program. The first function returns
 * FD. */
int          _afork_fd_register          (int           fd);
void         _afork_fd_unregister        (int           fd);

/* The same for FD, the eventfd of CONTEXT, a main context of the library. */
void         _afork_fd_register_wakeup   (int           fd,
                                          GMainContext *context);
void         _afork_fd_unregister_wakeup (GMainContext *context);

/* In a fork: replaces FD, an eventfd, by a new one of the same number. The old one is shared with
 * the parent: to write to it would wake threads of the parent, and to read it would take their
 * wake-ups. If the system has no eventfd left, it stays shared. Async-signal-safe. */
void         _afork_eventfd_renew        (int           fd);

/* Makes a list that takes FDS. They are registered until the list is freed. */
GUnixFDList *_afork_fd_list_new          (const int    *fds,
                                          guint         n_fds);

/* Whether there are any hooks. */
gboolean _afork_atfork_has_hooks      (void);

/* Calls and removes all hooks. Call it in a template that the library forks off the program. */
void     _afork_atfork_run_hooks      (void);

/* A mutex that is free in a fork of the program, even if another thread had locked it at the fork.
 * There, the first lock returns false: what the mutex protects is inherited, and may be
 * inconsistent. Initialize it with zeros. */
typedef struct
{
  GMutex mutex;
  guint  state;                 /* atomic; see atfork.c */
} AForkMutex;

gboolean _afork_mutex_lock        (AForkMutex *self);
/* The same for data that a fork goes on to use. Returns false, once, only if another thread had
 * locked the mutex at the fork, so that the data may be inconsistent. */
gboolean _afork_mutex_lock_intact (AForkMutex *self);
void     _afork_mutex_unlock      (AForkMutex *self);

G_END_DECLS
