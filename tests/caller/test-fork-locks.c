/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A program that calls fork() while another of its threads holds a lock of the library. The child
 * can use the library and drop its objects, and does not hang. */

#include "config.h"

#include <errno.h>
#include <glib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "afork/base/atfork.h"
#include "afork/base/waiter.h"
#include "afork/calls/oom-counter.h"
#include "afork/stream/segments.h"

static int n_forks = 200;

typedef struct
{
  void (*use) (void);
  int    end;                   /* atomic */
  int    n_uses;                /* atomic */
} User;

static AForkSegmentTable *table;
static GMainContext *context;

static gpointer
use_thread (gpointer data)
{
  User *self = data;

  while (!g_atomic_int_get (&self->end))
    {
      self->use ();
      g_atomic_int_inc (&self->n_uses);
    }
  return NULL;
}

static void
nobody_cb (gpointer data)
{
  g_assert_not_reached ();
}

static void
use_segments (void)
{
  _afork_segment_table_set_wake (table, NULL, NULL, NULL);
}

static void
use_waiters (void)
{
  static AForkWaiter *waiter;

  /* They have a hub while there is a waiter. */
  if (waiter == NULL)
    waiter = _afork_waiter_new_for_time (context, G_MAXINT64, nobody_cb, NULL, NULL);
  for (int i = 0; i < 100; i++)
    _afork_waiter_end (_afork_waiter_new_for_iteration (context, nobody_cb, NULL, NULL));
}

static void
use_oom (void)
{
  _afork_oom_counter_has_killed ();
}

static void
drop_segments (void)
{
  use_segments ();
  _afork_segment_table_free (table);
}

/* FUNC uses an object that is locked, in the other thread of the parent. The child uses the object,
 * and DROP drops it. */
static void
check (void (*use)  (void),
       void (*drop) (void))
{
  User user = { .use = use };
  GThread *thread;

#ifdef __SANITIZE_ADDRESS__
  g_test_skip ("The sanitizer's own locks are not released in the child");
  return;
#endif

  /* The first call makes what the others use. */
  use ();
  thread = g_thread_new ("user", use_thread, &user);
  while (g_atomic_int_get (&user.n_uses) < 10)
    g_thread_yield ();

  for (int i = 0; i < n_forks; i++)
    {
      pid_t child = fork ();
      int status;

      if (child == 0)
        {
          alarm (60);
          use ();
          drop ();
          _exit (0);
        }
      g_assert_cmpint (child, >, 0);
      while (waitpid (child, &status, 0) < 0)
        g_assert_cmpint (errno, ==, EINTR);
      g_assert_cmpint (status, ==, 0);
    }

  g_atomic_int_set (&user.end, TRUE);
  g_thread_join (thread);
}

static void
forget_nothing (gpointer data)
{
}

static void
test_segments (void)
{
  AForkAtforkHook atfork_hook = { 0 };

  /* The first hook registers the handler of forks. */
  _afork_atfork_add_hook (&atfork_hook, forget_nothing, &atfork_hook);
  table = _afork_segment_table_new ();
  check (use_segments, drop_segments);
  _afork_segment_table_free (table);
  _afork_atfork_remove_hook (&atfork_hook);
}

static void
test_waiters (void)
{
  context = g_main_context_new ();
  check (use_waiters, use_waiters);
  g_main_context_unref (context);
}

static void
test_oom (void)
{
  AForkAtforkHook atfork_hook = { 0 };

  _afork_atfork_add_hook (&atfork_hook, forget_nothing, &atfork_hook);
  _afork_oom_counter_start ();
  check (use_oom, use_oom);
  _afork_atfork_remove_hook (&atfork_hook);
}

/* In a child, several threads lock a mutex that a thread of the parent had locked. The first one
 * finds that out, and no other one comes before it. */

enum { N_THREADS = 4 };

static AForkMutex mutex;
static int n_ready;             /* atomic */
static gboolean is_old = TRUE;  /* protected by the mutex */

static gpointer
lock_thread (gpointer data)
{
  g_atomic_int_inc (&n_ready);
  while (g_atomic_int_get (&n_ready) < N_THREADS)
    g_thread_yield ();
  if (!_afork_mutex_lock (&mutex))
    is_old = FALSE;
  g_assert_false (is_old);
  _afork_mutex_unlock (&mutex);
  return NULL;
}

static void
lock_in_child (void)
{
  GThread *threads[N_THREADS];

  alarm (60);
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("lock", lock_thread, NULL);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  _exit (0);
}

static void
test_mutex (void)
{
  AForkAtforkHook atfork_hook = { 0 };

#ifdef __SANITIZE_ADDRESS__
  g_test_skip ("The sanitizer's own locks are not released in the child");
  return;
#endif

  _afork_atfork_add_hook (&atfork_hook, forget_nothing, &atfork_hook);
  _afork_mutex_lock (&mutex);
  for (int i = 0; i < n_forks; i++)
    {
      pid_t child = fork ();
      int status;

      if (child == 0)
        lock_in_child ();
      g_assert_cmpint (child, >, 0);
      while (waitpid (child, &status, 0) < 0)
        g_assert_cmpint (errno, ==, EINTR);
      g_assert_cmpint (status, ==, 0);
    }
  _afork_mutex_unlock (&mutex);
  _afork_atfork_remove_hook (&atfork_hook);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  /* valgrind runs one thread at a time, and looks for leaks in each child. */
  if (g_getenv ("AFORK_TEST_VALGRIND") != NULL)
    n_forks = 10;

  g_test_add_func ("/fork-locks/mutex", test_mutex);
  g_test_add_func ("/fork-locks/segments", test_segments);
  g_test_add_func ("/fork-locks/waiters", test_waiters);
  g_test_add_func ("/fork-locks/oom", test_oom);

  return g_test_run ();
}
