/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* ThreadSanitizer finds the races here, and reports none where GLib synchronises. Each case is a
 * program of its own, which counts in two threads or hands something from one to the other. */

#include "config.h"

#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

#ifdef __SANITIZE_THREAD__
# define HAVE_SANITIZER TRUE
#else
# define HAVE_SANITIZER FALSE
#endif

enum { N_TIMES = 1000 };

static int counter;

/* Two threads do this N_TIMES each. */
static void (*step) (void);

static gpointer
take_steps (gpointer data)
{
  for (guint i = 0; i < N_TIMES; i++)
    step ();
  return NULL;
}

static void
check_steps (void (*function) (void))
{
  GThread *threads[2];

  step = function;
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("counts", take_steps, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpint (counter, >, 0);
}

/* Counting with and without a lock. */

static GMutex mutex;
static GMutex other_mutex;
static GRecMutex rec_mutex;
static GRWLock rw_lock;
static gint bits;

static void
count_bare (void)
{
  counter++;
}

static void
count_mutex (void)
{
  g_mutex_lock (&mutex);
  counter++;
  g_mutex_unlock (&mutex);
}

static void
count_trylock (void)
{
  while (!g_mutex_trylock (&mutex))
    ;
  counter++;
  g_mutex_unlock (&mutex);
}

/* Each thread has its own lock. */
static void
count_different (void)
{
  static GPrivate owned;
  static gint n_threads;
  GMutex *own = g_private_get (&owned);

  if (own == NULL)
    {
      own = g_atomic_int_add (&n_threads, 1) == 0 ? &mutex : &other_mutex;
      g_private_set (&owned, own);
    }
  g_mutex_lock (own);
  counter++;
  g_mutex_unlock (own);
}

static void
count_rec_mutex (void)
{
  g_rec_mutex_lock (&rec_mutex);
  g_rec_mutex_lock (&rec_mutex);
  counter++;
  g_rec_mutex_unlock (&rec_mutex);
  g_rec_mutex_unlock (&rec_mutex);
}

static void
count_writer (void)
{
  g_rw_lock_writer_lock (&rw_lock);
  counter++;
  g_rw_lock_writer_unlock (&rw_lock);
}

/* Readers do not exclude each other. */
static void
count_reader (void)
{
  g_rw_lock_reader_lock (&rw_lock);
  counter++;
  g_rw_lock_reader_unlock (&rw_lock);
}

static void
count_bit (void)
{
  g_bit_lock (&bits, 3);
  counter++;
  g_bit_unlock (&bits, 3);
}

/* Waits without synchronising anything, so that a race is found even if the threads happen to take
 * turns. */

static int is_done;

static void
say_done (void)
{
  __atomic_store_n (&is_done, TRUE, __ATOMIC_RELAXED);
}

static void
await_done (void)
{
  while (!__atomic_load_n (&is_done, __ATOMIC_RELAXED))
    g_thread_yield ();
}

/* Conditions and queues. */

static GCond cond;
static gboolean is_full;

static gpointer
take_when_full (gpointer data)
{
  for (guint i = 0; i < N_TIMES; i++)
    {
      g_mutex_lock (&mutex);
      while (!is_full)
        g_cond_wait (&cond, &mutex);
      counter++;
      is_full = FALSE;
      g_cond_signal (&cond);
      g_mutex_unlock (&mutex);
    }
  return NULL;
}

static void
check_cond (void)
{
  GThread *thread = g_thread_new ("takes", take_when_full, NULL);

  for (guint i = 0; i < N_TIMES; i++)
    {
      g_mutex_lock (&mutex);
      while (is_full)
        g_cond_wait_until (&cond, &mutex, g_get_monotonic_time () + 10 * G_USEC_PER_SEC);
      counter++;
      is_full = TRUE;
      g_cond_signal (&cond);
      g_mutex_unlock (&mutex);
    }
  g_thread_join (thread);
  g_assert_cmpint (counter, ==, 2 * N_TIMES);
}

static gpointer
count_popped (gpointer data)
{
  GAsyncQueue *queue = data;
  int *number;

  while (*(number = g_async_queue_pop (queue)) >= 0)
    {
      counter += *number;
      g_free (number);
    }
  g_free (number);
  return NULL;
}

static void
push_number (GAsyncQueue *queue,
             int          number)
{
  int *pushed = g_new (int, 1);

  *pushed = number;
  g_async_queue_push (queue, pushed);
}

static void
check_queue (void)
{
  g_autoptr(GAsyncQueue) queue = g_async_queue_new ();
  GThread *thread = g_thread_new ("pops", count_popped, queue);

  for (guint i = 0; i < N_TIMES; i++)
    push_number (queue, 1);
  push_number (queue, -1);
  g_thread_join (thread);
  g_assert_cmpint (counter, ==, N_TIMES);
}

static gpointer
look_at_popped (gpointer data)
{
  int *number = g_async_queue_pop (data);

  g_assert_cmpint (*number, ==, 1);
  say_done ();
  return NULL;
}

/* The thread still writes to what it has pushed. */
static void
check_queue_race (void)
{
  g_autoptr(GAsyncQueue) queue = g_async_queue_new ();
  GThread *thread = g_thread_new ("pops", look_at_popped, queue);
  g_autofree int *number = g_new (int, 1);

  *number = 1;
  g_async_queue_push (queue, number);
  await_done ();
  *number = 0;
  g_thread_join (thread);
}

/* Main contexts. */

static GMainContext *context;

static gboolean
count_cb (gpointer data)
{
  int *steps = data;

  counter += *steps;
  return G_SOURCE_REMOVE;
}

static void
attach_count (int *steps)
{
  g_autoptr(GSource) source = g_idle_source_new ();

  g_source_set_callback (source, count_cb, steps, g_free);
  g_source_attach (source, context);
}

static gpointer
attach_counts (gpointer data)
{
  for (guint i = 0; i < N_TIMES; i++)
    {
      int *steps = g_new (int, 1);

      *steps = 1;
      attach_count (steps);
    }
  return NULL;
}

static void
check_context (void)
{
  GThread *thread;

  context = g_main_context_new ();
  thread = g_thread_new ("attaches", attach_counts, NULL);
  while (counter < N_TIMES)
    g_main_context_iteration (context, TRUE);
  g_thread_join (thread);
  g_main_context_unref (context);
}

static gpointer
attach_and_write (gpointer data)
{
  static int steps = 1;
  g_autoptr(GSource) source = g_idle_source_new ();

  g_source_set_callback (source, count_cb, &steps, NULL);
  g_source_attach (source, context);
  await_done ();
  steps = 2;
  return NULL;
}

static void
check_context_race (void)
{
  GThread *thread;

  context = g_main_context_new ();
  thread = g_thread_new ("attaches", attach_and_write, NULL);
  while (counter == 0)
    g_main_context_iteration (context, TRUE);
  say_done ();
  g_thread_join (thread);
  g_main_context_unref (context);
}

static gpointer
count_and_wake (gpointer data)
{
  counter++;
  g_atomic_int_set (&bits, 1);
  g_main_context_wakeup (context);
  return NULL;
}

static void
check_wakeup (void)
{
  GThread *thread;

  context = g_main_context_new ();
  thread = g_thread_new ("wakes", count_and_wake, NULL);
  while (g_atomic_int_get (&bits) == 0)
    g_main_context_iteration (context, TRUE);
  counter++;
  g_thread_join (thread);
  g_main_context_unref (context);
}

static gboolean
dispatch_count (GSource     *source,
                GSourceFunc  callback,
                gpointer     data)
{
  counter++;
  g_source_set_ready_time (source, -1);
  return G_SOURCE_CONTINUE;
}

static gpointer
count_and_set_ready (gpointer data)
{
  counter++;
  g_source_set_ready_time (data, 0);
  return NULL;
}

/* One thread has it dispatched, and another one drops the last reference. */
static void
check_source (void)
{
  GSourceFuncs functions = { .dispatch = dispatch_count };
  GSource *source = g_source_new (&functions, sizeof *source);
  GThread *thread;

  context = g_main_context_new ();
  g_source_attach (source, context);
  thread = g_thread_new ("sets-ready", count_and_set_ready, source);
  g_main_context_iteration (context, TRUE);
  g_thread_join (thread);
  g_assert_cmpint (counter, ==, 2);
  g_source_destroy (source);
  g_source_unref (source);
  g_main_context_unref (context);
}

/* Threads, things done once, and counts. */

static gpointer
count_once (gpointer data)
{
  counter++;
  return &counter;
}

static gpointer
count_by_once (gpointer data)
{
  static GOnce once = G_ONCE_INIT;
  static gsize is_set;

  g_assert_true (g_once (&once, count_once, NULL) == &counter);
  g_assert_cmpint (counter, >=, 1);
  if (g_once_init_enter (&is_set))
    {
      bits = 7;
      g_once_init_leave (&is_set, 1);
    }
  g_assert_cmpint (bits, ==, 7);
  return NULL;
}

static void
check_once (void)
{
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("once", count_by_once, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpint (counter, ==, 1);
}

static gpointer
count_in_thread (gpointer data)
{
  counter++;
  return NULL;
}

static void
check_join (void)
{
  for (guint i = 0; i < 10; i++)
    {
      GThread *thread = g_thread_new ("counts", count_in_thread, NULL);

      g_thread_join (thread);
      counter++;
    }
}

static void
check_join_race (void)
{
  GThread *thread = g_thread_new ("counts", count_in_thread, NULL);

  counter++;
  g_thread_join (thread);
}

/* Two locks, the given one first. */
static gpointer
lock_both (gpointer data)
{
  GMutex *first = data;
  GMutex *second = first == &mutex ? &other_mutex : &mutex;

  g_mutex_lock (first);
  g_mutex_lock (second);
  counter++;
  g_mutex_unlock (second);
  g_mutex_unlock (first);
  return NULL;
}

/* There is no deadlock this time. */
static void
check_both_orders (void)
{
  g_thread_join (g_thread_new ("locks", lock_both, &mutex));
  g_thread_join (g_thread_new ("locks", lock_both, &other_mutex));
}

typedef struct
{
  gatomicrefcount count;
  int             number;
} Counted;

static gpointer
drop_counted (gpointer data)
{
  Counted *counted = data;

  if (counted->number == 0)
    g_usleep (1);
  if (g_atomic_ref_count_dec (&counted->count))
    {
      counted->number = -1;
      g_free (counted);
    }
  return NULL;
}

static void
check_ref_count (void)
{
  for (guint i = 0; i < N_TIMES / 10; i++)
    {
      Counted *counted = g_new0 (Counted, 1);
      GThread *thread;

      g_atomic_ref_count_init (&counted->count);
      g_atomic_ref_count_inc (&counted->count);
      thread = g_thread_new ("drops", drop_counted, counted);
      drop_counted (counted);
      g_thread_join (thread);
    }
}

static gpointer
use_and_drop (gpointer data)
{
  GObject *object = data;
  int *number = g_object_get_data (object, "number");

  g_assert_cmpint (*number, ==, 5);
  g_object_unref (object);
  return NULL;
}

/* The thread that drops the last reference frees what both have read. */
static void
check_object (void)
{
  for (guint i = 0; i < N_TIMES / 10; i++)
    {
      GObject *object = g_object_new (G_TYPE_OBJECT, NULL);
      int *number = g_new (int, 1);
      GThread *thread;

      *number = 5;
      g_object_set_data_full (object, "number", number, g_free);
      thread = g_thread_new ("uses", use_and_drop, g_object_ref (object));
      use_and_drop (object);
      g_thread_join (thread);
    }
}

static gpointer
look_without (gpointer data)
{
  int *number = g_object_get_data (data, "number");

  g_assert_cmpint (*number, ==, 5);
  say_done ();
  return NULL;
}

/* The data of an object is used without a reference. */
static void
check_object_race (void)
{
  GObject *object = g_object_new (G_TYPE_OBJECT, NULL);
  int *number = g_new (int, 1);
  GThread *thread;

  *number = 5;
  g_object_set_data_full (object, "number", number, g_free);
  thread = g_thread_new ("looks", look_without, object);
  await_done ();
  g_object_unref (object);
  g_thread_join (thread);
}

static gpointer
look_and_unref (gpointer data)
{
  GBytes *bytes = data;
  const guint8 *start = g_bytes_get_data (bytes, NULL);

  g_assert_cmpint (start[0], ==, 'a');
  g_bytes_unref (bytes);
  return NULL;
}

static void
clear_and_free (gpointer data)
{
  memset (data, 0, 10);
  g_free (data);
}

static void
check_bytes (void)
{
  for (guint i = 0; i < N_TIMES / 10; i++)
    {
      guint8 *start = g_malloc (10);
      GBytes *bytes;
      GThread *thread;

      start[0] = 'a';
      bytes = g_bytes_new_with_free_func (start, 10, clear_and_free, start);
      thread = g_thread_new ("looks", look_and_unref, g_bytes_ref (bytes));
      look_and_unref (bytes);
      g_thread_join (thread);
    }
}

static void
count_cancelled_cb (GCancellable *cancellable,
                    gpointer      data)
{
  counter++;
}

static gpointer
count_and_cancel (gpointer data)
{
  g_cancellable_cancel (data);
  return NULL;
}

static void
check_cancellable (void)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  GThread *thread;
  gulong id;

  counter++;
  id = g_cancellable_connect (cancellable, G_CALLBACK (count_cancelled_cb), NULL, NULL);
  thread = g_thread_new ("cancels", count_and_cancel, cancellable);
  while (!g_cancellable_is_cancelled (cancellable))
    g_thread_yield ();
  g_cancellable_disconnect (cancellable, id);
  counter++;
  g_thread_join (thread);
  g_assert_cmpint (counter, ==, 3);
}

static void
count_in_task (GTask        *task,
               gpointer      source,
               gpointer      data,
               GCancellable *cancellable)
{
  counter++;
  g_task_return_boolean (task, TRUE);
}

static void
task_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  counter++;
  g_assert_true (g_task_propagate_boolean (G_TASK (result), NULL));
}

static void
check_task (void)
{
  for (guint i = 0; i < N_TIMES / 100; i++)
    {
      g_autoptr(GTask) task = g_task_new (NULL, NULL, task_cb, NULL);
      int before = counter++;

      g_task_run_in_thread (task, count_in_task);
      while (!g_task_get_completed (task))
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpint (counter, ==, before + 3);
    }
}

typedef struct
{
  const char  *path;
  void       (*steps) (void);   /* two threads do this first; or NULL */
  void       (*check) (void);
  const char  *found;           /* is reported by the sanitizer, or NULL */
} Case;

#define RACE "*ThreadSanitizer: data race*"

static const Case cases[] = {
  { "/threads/synchronised/mutex", count_mutex, NULL, NULL },
  { "/threads/synchronised/trylock", count_trylock, NULL, NULL },
  { "/threads/synchronised/rec-mutex", count_rec_mutex, NULL, NULL },
  { "/threads/synchronised/rw-lock", count_writer, NULL, NULL },
  { "/threads/synchronised/bit-lock", count_bit, NULL, NULL },
  { "/threads/synchronised/cond", NULL, check_cond, NULL },
  { "/threads/synchronised/queue", NULL, check_queue, NULL },
  { "/threads/synchronised/context", NULL, check_context, NULL },
  { "/threads/synchronised/wakeup", NULL, check_wakeup, NULL },
  { "/threads/synchronised/source", NULL, check_source, NULL },
  { "/threads/synchronised/once", NULL, check_once, NULL },
  { "/threads/synchronised/join", NULL, check_join, NULL },
  { "/threads/synchronised/ref-count", NULL, check_ref_count, NULL },
  { "/threads/synchronised/object", NULL, check_object, NULL },
  { "/threads/synchronised/bytes", NULL, check_bytes, NULL },
  { "/threads/synchronised/cancellable", NULL, check_cancellable, NULL },
  { "/threads/synchronised/task", NULL, check_task, NULL },
  { "/threads/race/bare", count_bare, NULL, RACE },
  { "/threads/race/different-mutexes", count_different, NULL, RACE },
  { "/threads/race/reader-lock", count_reader, NULL, RACE },
  { "/threads/race/queue", NULL, check_queue_race, RACE },
  { "/threads/race/context", NULL, check_context_race, RACE },
  { "/threads/race/join", NULL, check_join_race, RACE },
  { "/threads/race/object", NULL, check_object_race, RACE },
  { "/threads/race/lock-order", NULL, check_both_orders, "*lock-order-inversion*" },
};

static void
test_case (gconstpointer data)
{
  const Case *self = data;

  if (g_test_subprocess ())
    {
      if (self->steps != NULL)
        check_steps (self->steps);
      else
        self->check ();
      return;
    }
  if (!HAVE_SANITIZER && self->found != NULL)
    {
      g_test_skip ("Nobody looks for races here");
      return;
    }

  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
  if (self->found == NULL)
    {
      g_test_trap_assert_passed ();
      return;
    }
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr (self->found);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    g_test_add_data_func (cases[i].path, &cases[i], test_case);

  return g_test_run ();
}
