/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "atfork.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "afork-error.h"
#include "i18n.h"

static AForkMutex mutex;        /* protects `hooks` */
static GQueue hooks = G_QUEUE_INIT;

static guint generation;        /* atomic */
static int is_own_fork;         /* the library forks the program now, which has one thread */

/* The descriptors of the library: a bit for each number, in blocks that are allocated when they are
 * first needed and never freed, so that a fork can read them at any time. */

enum
{
  BITS = 32,
  BLOCK_WORDS = 1024,
  N_BLOCKS = 1024,              /* for 33 million descriptors */
};

static guint *blocks[N_BLOCKS]; /* atomic, and so are the words */

/* The word that has the bit of FD, or NULL if there is none. */
static guint *
find_word (int  fd,
           gboolean make)
{
  gsize index = (gsize) fd / (BITS * BLOCK_WORDS);
  guint *block;

  if (fd < 0 || index >= N_BLOCKS)
    return NULL;

  block = g_atomic_pointer_get (&blocks[index]);
  if (block == NULL && make)
    {
      guint *made = g_new0 (guint, BLOCK_WORDS);

      if (!g_atomic_pointer_compare_and_exchange (&blocks[index], NULL, made))
        g_free (made);
      block = g_atomic_pointer_get (&blocks[index]);
    }

  return block != NULL ? &block[(gsize) fd / BITS % BLOCK_WORDS] : NULL;
}

int
_afork_fd_register (int fd)
{
  guint *word = find_word (fd, TRUE);

  if (word != NULL)
    g_atomic_int_or (word, 1U << (guint) fd % BITS);
  return fd;
}

void
_afork_fd_unregister (int fd)
{
  guint *word = find_word (fd, FALSE);

  if (word != NULL)
    g_atomic_int_and (word, ~(1U << (guint) fd % BITS));
}

static void
list_gone_cb (gpointer  data,
              GObject  *list)
{
  g_autoptr(GArray) fds = data;

  for (guint i = 0; i < fds->len; i++)
    _afork_fd_unregister (g_array_index (fds, int, i));
}

/* The list calls its weak notifications before it closes the descriptors. */
GUnixFDList *
_afork_fd_list_new (const int *fds,
                    guint      n_fds)
{
  GUnixFDList *list = g_unix_fd_list_new_from_array (fds, (int) n_fds);
  GArray *numbers = g_array_new (FALSE, FALSE, sizeof (int));

  g_array_append_vals (numbers, fds, n_fds);
  for (guint i = 0; i < n_fds; i++)
    _afork_fd_register (fds[i]);
  g_object_weak_ref (G_OBJECT (list), list_gone_cb, numbers);
  return list;
}

/* The eventfds of the library's main contexts. GLib writes to them. */
typedef struct _Wakeup Wakeup;

struct _Wakeup
{
  Wakeup       *next;
  GMainContext *context;        /* for comparison; NULL if this entry is free */
  int           fd;             /* atomic; -1 if this entry is free */
};

static AForkMutex wakeups_mutex;  /* locked to take an entry */
static Wakeup *wakeups;           /* atomic; entries are never removed */

void
_afork_fd_register_wakeup (int           fd,
                           GMainContext *context)
{
  Wakeup *taken;

  _afork_mutex_lock (&wakeups_mutex);
  taken = g_atomic_pointer_get (&wakeups);
  while (taken != NULL && taken->context != NULL)
    taken = taken->next;
  if (taken == NULL)
    {
      taken = g_new0 (Wakeup, 1);
      taken->fd = -1;
      taken->next = g_atomic_pointer_get (&wakeups);
      g_atomic_pointer_set (&wakeups, taken);
    }
  taken->context = context;
  g_atomic_int_set (&taken->fd, fd);
  _afork_mutex_unlock (&wakeups_mutex);
}

void
_afork_fd_unregister_wakeup (GMainContext *context)
{
  _afork_mutex_lock (&wakeups_mutex);
  for (Wakeup *each = g_atomic_pointer_get (&wakeups); each != NULL; each = each->next)
    if (each->context == context)
      {
        g_atomic_int_set (&each->fd, -1);
        each->context = NULL;
      }
  _afork_mutex_unlock (&wakeups_mutex);
}

/* Descriptors that were given to the program. The number may have been reused since, so the file is
 * compared. */
typedef struct _Given Given;

struct _Given
{
  Given *next;
  int   fd;                     /* atomic; -1 if this entry is free */
  dev_t device;
  ino_t inode;
};

static AForkMutex given_mutex;   /* locked to take an entry */
static Given *given;              /* atomic; entries are never removed */

static Given *
take_given (void)
{
  Given *taken = g_atomic_pointer_get (&given);

  while (taken != NULL && g_atomic_int_get (&taken->fd) >= 0)
    taken = taken->next;
  if (taken == NULL)
    {
      taken = g_new0 (Given, 1);
      taken->fd = -1;
      taken->next = g_atomic_pointer_get (&given);
      g_atomic_pointer_set (&given, taken);
    }

  return taken;
}

static void
given_gone_cb (gpointer  data,
              GObject  *socket)
{
  Given *self = data;

  g_atomic_int_set (&self->fd, -1);
}

void
_afork_atfork_add_given (GSocket *socket)
{
  struct stat status;
  Given *taken;

  if (fstat (g_socket_get_fd (socket), &status) < 0)
    return;

  _afork_mutex_lock (&given_mutex);
  taken = take_given ();
  taken->device = status.st_dev;
  taken->inode = status.st_ino;
  g_atomic_int_set (&taken->fd, g_socket_get_fd (socket));
  _afork_mutex_unlock (&given_mutex);
  g_object_weak_ref (G_OBJECT (socket), given_gone_cb, taken);
}

/* The fork. The functions from here to forked_cb() are async-signal-safe, because other threads of
 * the program may have held any lock. */

/* Returns a dead descriptor, whose other end is closed, or -1 if no descriptor is left. */
static int
open_dead (void)
{
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
    return open ("/dev/null", O_RDONLY | O_CLOEXEC);

  close (fds[1]);
  return fds[0];
}

/* Replaces a descriptor of the library. The number stays in use, so the program cannot get it while
 * an object of the library still has it. */
static void
replace (int  fd,
         int *dead)
{
  if (*dead < 0)
    {
      *dead = open_dead ();
      /* If no descriptor is left, closing this one frees one. */
      if (*dead < 0)
        {
          close (fd);
          *dead = open_dead ();
        }
    }
  if (*dead >= 0 && *dead != fd)
    dup3 (*dead, fd, O_CLOEXEC);
}

static gboolean
is_registered (int fd)
{
  const guint *word = find_word (fd, FALSE);

  return word != NULL && (*word >> (guint) fd % BITS & 1) != 0;
}

static gboolean
is_given (const Given *each)
{
  struct stat status;

  return each->fd >= 0 && fstat (each->fd, &status) == 0
    && status.st_dev == each->device && status.st_ino == each->inode;
}

void
_afork_eventfd_renew (int fd)
{
  int renewed = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);

  /* If this process can have no more descriptors, closing this one makes room. */
  if (renewed < 0 && errno == EMFILE)
    {
      close (fd);
      renewed = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
  if (renewed < 0 || renewed == fd)
    return;

  dup3 (renewed, fd, O_CLOEXEC);
  close (renewed);
}

static void
replace_all (void)
{
  int dead = -1;

  for (gsize i = 0; i < N_BLOCKS; i++)
    for (gsize j = 0; blocks[i] != NULL && j < BLOCK_WORDS; j++)
      for (guint word = blocks[i][j], bit = 0; word >> bit != 0; bit++)
        {
          if ((word >> bit & 1) != 0)
            replace ((int) ((i * BLOCK_WORDS + j) * BITS + bit), &dead);
          if (bit == BITS - 1)
            break;
        }

  for (const Given *each = given; each != NULL; each = each->next)
    if (is_given (each))
      replace (each->fd, &dead);
  for (const Wakeup *each = wakeups; each != NULL; each = each->next)
    if (each->fd >= 0)
      _afork_eventfd_renew (each->fd);

  if (dead >= 0 && !is_registered (dead))
    close (dead);
}

static void
forked_cb (void)
{
  const int saved_errno = errno;

  if (!is_own_fork)
    {
      replace_all ();
      generation++;
    }
  errno = saved_errno;
}

/* Called for the first process, so programs that make none have no handler. Two threads may both
 * register it at once, which does no harm. A lock here could be held for ever in a fork. */
static void
handle_forks (void)
{
  static int handled;           /* atomic */

  if (g_atomic_int_get (&handled))
    return;

  pthread_atfork (NULL, NULL, forked_cb);
  g_atomic_int_set (&handled, TRUE);
}

void
_afork_atfork_begin_fork (void)
{
  is_own_fork = TRUE;
}

void
_afork_atfork_end_fork (void)
{
  is_own_fork = FALSE;
}

/* Hooks. */

static void
lock (void)
{
  if (!_afork_mutex_lock (&mutex))
    g_queue_init (&hooks);
}

void
_afork_atfork_add_hook (AForkAtforkHook *self,
                        void           (*child_func) (gpointer owner),
                        gpointer         owner)
{
  handle_forks ();
  self->link.data = owner;
  self->child_func = child_func;
  self->generation = _afork_atfork_get_generation ();

  lock ();
  g_queue_push_tail_link (&hooks, &self->link);
  _afork_mutex_unlock (&mutex);
}

void
_afork_atfork_remove_hook (AForkAtforkHook *self)
{
  if (_afork_atfork_is_inherited (self))
    return;

  lock ();
  if (self->link.data != NULL)
    g_queue_unlink (&hooks, &self->link);
  self->link.data = NULL;
  _afork_mutex_unlock (&mutex);
}

gboolean
_afork_atfork_is_inherited (const AForkAtforkHook *self)
{
  return self->generation != _afork_atfork_get_generation ();
}

guint
_afork_atfork_get_generation (void)
{
  return (guint) g_atomic_int_get (&generation);
}

GError *
_afork_atfork_new_error (void)
{
  return g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                      _("This program is a fork() of the one that started the process, and "
                        "cannot use it"));
}

gboolean
_afork_atfork_has_hooks (void)
{
  gboolean is_any;

  lock ();
  is_any = !g_queue_is_empty (&hooks);
  _afork_mutex_unlock (&mutex);
  return is_any;
}

void
_afork_atfork_run_hooks (void)
{
  GList *link;

  /* The only thread was not in here when it forked, so the mutex is free. */
  while ((link = g_queue_pop_head_link (&hooks)) != NULL)
    {
      AForkAtforkHook *self = (AForkAtforkHook *) link;

      self->child_func (g_steal_pointer (&link->data));
    }

  /* The descriptors that are left belong to the template. */
  for (gsize i = 0; i < N_BLOCKS; i++)
    if (blocks[i] != NULL)
      memset (blocks[i], 0, BLOCK_WORDS * sizeof *blocks[i]);
}

/* Mutexes. */

/* The state of a mutex is twice the generation that it belongs to; and one more while a thread of
 * that generation takes the mutex over from an older one, and no other thread may lock it. */

/* Whether this thread has to take the mutex over. */
static gboolean
begin_take_over (AForkMutex *self,
                 guint       state)
{
  for (;;)
    {
      const guint before = (guint) g_atomic_int_get (&self->state);

      if (before == state)
        return FALSE;
      if (before == state + 1)
        g_thread_yield ();
      else if (g_atomic_int_compare_and_exchange (&self->state, before, state + 1))
        return TRUE;
    }
}

gboolean
_afork_mutex_lock (AForkMutex *self)
{
  const guint state = 2 * _afork_atfork_get_generation ();

  if (!begin_take_over (self, state))
    {
      g_mutex_lock (&self->mutex);
      return TRUE;
    }

  g_mutex_init (&self->mutex);
  g_mutex_lock (&self->mutex);
  g_atomic_int_set (&self->state, state);
  return FALSE;
}

gboolean
_afork_mutex_lock_intact (AForkMutex *self)
{
  const guint state = 2 * _afork_atfork_get_generation ();
  gboolean is_intact;

  if (!begin_take_over (self, state))
    {
      g_mutex_lock (&self->mutex);
      return TRUE;
    }

  is_intact = g_mutex_trylock (&self->mutex);
  if (!is_intact)
    {
      g_mutex_init (&self->mutex);
      g_mutex_lock (&self->mutex);
    }
  g_atomic_int_set (&self->state, state);
  return is_intact;
}

void
_afork_mutex_unlock (AForkMutex *self)
{
  g_mutex_unlock (&self->mutex);
}
