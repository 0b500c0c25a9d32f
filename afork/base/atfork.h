/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

G_BEGIN_DECLS

/* What the library has open in this process for the program's sake: descriptors, and sources in
 * its main contexts. A fork of the program has copies of them all. They mean nothing there, and
 * would keep sockets from ending that end here.
 *
 * A template that the library forks off the program gives all of them up at once. Where the program
 * calls fork() itself, it may have more threads than the one that goes on in the child, so nothing
 * can be cleaned up there: a handler of pthread_atfork() puts a dead descriptor in the place of
 * each of ours, and counts one more generation. What belongs to another generation is lost. */
typedef struct
{
  GList    link;                /* its data is the owner, or NULL while it is not kept */
  void   (*run_in_child) (gpointer owner);
  guint    generation;
} AForkAtforkHook;

/* Keeps SELF, a part of OWNER, until _afork_atfork_remove_hook(). RUN_IN_CHILD gives up the copy in
 * a fork: it closes descriptors and destroys sources, and sends nothing and calls nobody. It may
 * end other hooks. To be called in any thread, as is the other. */
void     _afork_atfork_add_hook       (AForkAtforkHook       *self,
                                       void                 (*run_in_child) (gpointer owner),
                                       gpointer               owner);
void     _afork_atfork_remove_hook    (AForkAtforkHook       *self);

/* Whether it is of the program that this one was forked from, by fork(). */
gboolean _afork_atfork_is_lost        (const AForkAtforkHook *self);
/* Which is another one after each such fork. */
guint    _afork_atfork_get_generation (void);
/* What is told to whoever uses something that is lost. */
GError  *_afork_atfork_new_error      (void);

/* The library forks the program itself, which has one thread, and does the rest in the child. */
void     _afork_atfork_begin_fork     (void);
void     _afork_atfork_end_fork       (void);

/* SOCKET goes to the program, which may close its descriptor at any time. Until then it leads to a
 * process of the library's, so it is put an end to as well in a fork of the program. */
void     _afork_atfork_lend           (GSocket               *socket);

/* A fork of the program must not keep FD open: it belongs to the library from the first call to the
 * second. The first returns FD. Descriptors that are handed to the program are not marked, or are
 * disowned first. */
int          _afork_fd_own           (int           fd);
void         _afork_fd_disown        (int           fd);

/* The same for FD, the eventfd of CONTEXT, a main context of the library. */
void         _afork_fd_own_wakeup    (int           fd,
                                      GMainContext *context);
void         _afork_fd_disown_wakeup (GMainContext *context);

/* A list of FDS, which it takes. They belong to the library until the list is freed. */
GUnixFDList *_afork_fd_list_new      (const int    *fds,
                                      guint         n_fds);

/* Whether anything is kept. */
gboolean _afork_atfork_has_hooks      (void);

/* In a fork of the program, which has one thread: gives up all of them. */
void     _afork_atfork_run_in_child   (void);

/* A mutex that is free in a fork of the program, though another thread had it when that was made.
 * There, locking it tells the first time that what it protects is another generation's, and perhaps
 * half done. To be initialized by zeros. */
typedef struct
{
  GMutex mutex;
  guint  generation;
} AForkMutex;

gboolean _afork_mutex_lock        (AForkMutex *self);
/* The same, where what is protected may be of any generation: this is false, once, only if another
 * thread had the mutex at the fork, so that it is perhaps half done. */
gboolean _afork_mutex_lock_intact (AForkMutex *self);
void     _afork_mutex_unlock      (AForkMutex *self);

G_END_DECLS
