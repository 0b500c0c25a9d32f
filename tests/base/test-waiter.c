/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Functions that a main context calls later. */

#include "config.h"

#include "test-basics.h"
#include "test-count-util.h"

#include "afork/base/waiter.h"

enum { N_WAITERS = 10000 };

typedef struct
{
  GMainContext *context;
  GCancellable *cancellable;
  GString      *log;
  gint64        begin;          /* what times count from */
  guint         n_called;
  guint         n_freed;
} Fixture;

/* The data of a waiter. */
typedef struct
{
  Fixture     *fixture;
  AForkWaiter *waiter;          /* is ended when this one is called; or NULL */
  AForkWaiter *other;           /* is ended as well; or NULL */
  char         name;
} Call;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  fixture->context = g_main_context_new ();
  fixture->cancellable = g_cancellable_new ();
  fixture->log = g_string_new (NULL);
  fixture->begin = g_get_monotonic_time ();
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  if (fixture->context != NULL)
    {
      g_assert_cmpuint (count_sources (fixture->context), ==, 0);
      g_main_context_unref (fixture->context);
    }
  g_assert_finalize_object (fixture->cancellable);
  g_string_free (fixture->log, TRUE);
}

static void
called_cb (gpointer data)
{
  Call *call = data;

  call->fixture->n_called++;
  g_string_append_c (call->fixture->log, call->name);
  g_clear_pointer (&call->other, _afork_waiter_end);
  g_clear_pointer (&call->waiter, _afork_waiter_end);
}

static void
freed_cb (gpointer data)
{
  Call *call = data;

  call->fixture->n_freed++;
}

static void
wait_for_cancellable (Fixture *fixture,
                      Call    *call,
                      char     name)
{
  *call = (Call) { .fixture = fixture, .name = name };
  call->waiter = _afork_waiter_new_for_cancellable (fixture->context, fixture->cancellable,
                                                    called_cb, call, freed_cb);
}

static void
wait_for_time (Fixture *fixture,
               Call    *call,
               char     name,
               guint    ms)
{
  *call = (Call) { .fixture = fixture, .name = name };
  call->waiter = _afork_waiter_new_for_time (fixture->context,
                                             fixture->begin + ms * 1000, called_cb, call,
                                             freed_cb);
}

static void
wait_for_iteration (Fixture *fixture,
                    Call    *call,
                    char     name)
{
  *call = (Call) { .fixture = fixture, .name = name };
  call->waiter = _afork_waiter_new_for_iteration (fixture->context, called_cb, call, freed_cb);
}

/* Iterates until so many waiters were called, and checks that no more are called. */
static void
await_called (Fixture *fixture,
              guint    n_called)
{
  while (fixture->n_called < n_called)
    g_main_context_iteration (fixture->context, TRUE);
  while (g_main_context_iteration (fixture->context, FALSE))
    ;
  g_assert_cmpuint (fixture->n_called, ==, n_called);
}

/* All waiters share one source, and all waiters of a cancellable share one handler. */
static void
test_waiter_shared (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autofree Call *calls = g_new (Call, 3 * N_WAITERS);

  g_assert_cmpuint (count_sources (fixture->context), ==, 0);
  for (guint i = 0; i < N_WAITERS; i++)
    {
      wait_for_cancellable (fixture, &calls[3 * i], 'c');
      wait_for_time (fixture, &calls[3 * i + 1], 't', 3600 * 1000);
      wait_for_iteration (fixture, &calls[3 * i + 2], 'i');
    }
  g_assert_cmpuint (count_sources (fixture->context), ==, 1);
  g_assert_cmpuint (count_handlers (fixture->cancellable), ==, 1);

  await_called (fixture, N_WAITERS);
  g_cancellable_cancel (fixture->cancellable);
  await_called (fixture, 2 * N_WAITERS);
  g_assert_cmpuint (count_sources (fixture->context), ==, 1);
  g_assert_cmpuint (count_handlers (fixture->cancellable), ==, 0);

  for (guint i = 0; i < N_WAITERS; i++)
    _afork_waiter_end (calls[3 * i + 1].waiter);
  g_assert_cmpuint (fixture->n_freed, ==, 3 * N_WAITERS);
  g_assert_cmpuint (count_sources (fixture->context), ==, 0);
}

/* Waiters are called in the order in which they became due. */
static void
test_waiter_order (Fixture       *fixture,
                   gconstpointer  data)
{
  Call calls[7];

  wait_for_time (fixture, &calls[0], 'z', 20);
  wait_for_time (fixture, &calls[1], 'y', 10);
  wait_for_cancellable (fixture, &calls[2], 'b');
  wait_for_cancellable (fixture, &calls[3], 'c');
  wait_for_iteration (fixture, &calls[4], 'a');
  g_cancellable_cancel (fixture->cancellable);
  wait_for_iteration (fixture, &calls[5], 'd');
  wait_for_cancellable (fixture, &calls[6], 'e');
  await_called (fixture, G_N_ELEMENTS (calls));
  g_assert_cmpstr (fixture->log->str, ==, "abcdeyz");
  g_assert_cmpuint (fixture->n_freed, ==, G_N_ELEMENTS (calls));
}

/* A waiter that was ended is not called, even if it was due. */
static void
test_waiter_ended (Fixture       *fixture,
                   gconstpointer  data)
{
  Call calls[4];

  for (int cancel = FALSE; cancel <= TRUE; cancel++)
    {
      wait_for_cancellable (fixture, &calls[0], 'a');
      wait_for_cancellable (fixture, &calls[1], 'b');
      wait_for_time (fixture, &calls[2], 'c', 0);
      wait_for_iteration (fixture, &calls[3], 'd');
      if (cancel)
        g_cancellable_cancel (fixture->cancellable);
      for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
        _afork_waiter_end (calls[i].waiter);
      g_assert_cmpuint (count_handlers (fixture->cancellable), ==, 0);
      await_called (fixture, 0);
    }

  /* This holds also if a waiter that is called before ends it. */
  wait_for_cancellable (fixture, &calls[0], 'a');
  wait_for_cancellable (fixture, &calls[1], 'b');
  calls[0].other = g_steal_pointer (&calls[1].waiter);
  await_called (fixture, 1);
  g_assert_cmpstr (fixture->log->str, ==, "a");
}

/* A cancellable that is reset calls the waiters from before, and none that are made later. */
static void
test_waiter_reset (Fixture       *fixture,
                   gconstpointer  data)
{
  Call calls[2];

  wait_for_cancellable (fixture, &calls[0], 'a');
  g_cancellable_cancel (fixture->cancellable);
  g_cancellable_reset (fixture->cancellable);
  wait_for_cancellable (fixture, &calls[1], 'b');
  g_assert_cmpuint (count_handlers (fixture->cancellable), ==, 1);
  await_called (fixture, 1);
  g_cancellable_cancel (fixture->cancellable);
  await_called (fixture, 2);
  g_assert_cmpstr (fixture->log->str, ==, "ab");
}

static void
add_more_cb (gpointer data)
{
  Fixture *fixture = data;
  static Call calls[100];

  if (fixture->n_called++ < G_N_ELEMENTS (calls))
    calls[fixture->n_called - 1].waiter =
      _afork_waiter_new_for_iteration (fixture->context, add_more_cb, fixture, NULL);
  if (fixture->n_called > 1)
    _afork_waiter_end (calls[fixture->n_called - 2].waiter);
}

static gboolean
log_cb (gpointer data)
{
  Fixture *fixture = data;

  g_string_append_printf (fixture->log, "%u ", fixture->n_called);
  return fixture->log->len < 10;
}

/* A waiter that makes another one each time does not keep other sources from being dispatched. */
static void
test_waiter_more (Fixture       *fixture,
                  gconstpointer  data)
{
  AForkWaiter *first = _afork_waiter_new_for_iteration (fixture->context, add_more_cb, fixture,
                                                        NULL);
  g_autoptr(GSource) source = g_timeout_source_new (0);

  g_source_set_callback (source, log_cb, fixture, NULL);
  g_source_attach (source, fixture->context);
  await_called (fixture, 101);
  _afork_waiter_end (first);
  g_assert_true (g_str_has_prefix (fixture->log->str, "1 2 3 "));
}

/* Many waiters are due at the same time: each iteration makes only some of them due, which nobody
 * sees but in the time that it takes. */
static void
test_waiter_together (Fixture       *fixture,
                      gconstpointer  data)
{
  enum { N_TOGETHER = 200 * 1000, MAX_TURN = 10 * 1000 };
  g_autofree Call *calls = g_new (Call, N_TOGETHER);
  gint64 longest = 0;

  for (guint i = 0; i < N_TOGETHER; i++)
    wait_for_time (fixture, &calls[i], (char) ('a' + i % 26), i % 7 == 0 ? 0 : 1);
  while (fixture->n_called < N_TOGETHER)
    {
      const gint64 start = get_own_time ();

      g_main_context_iteration (fixture->context, FALSE);
      longest = MAX (longest, get_own_time () - start);
    }

  g_test_message ("The longest iteration took %.1f ms", (double) longest / 1e3);
  if (!is_instrumented ())
    g_assert_cmpint (longest, <, MAX_TURN);
  g_assert_cmpuint (fixture->n_freed, ==, N_TOGETHER);
  /* Those that were due first, in the order in which they were made. */
  g_assert_cmpint (fixture->log->str[1], ==, 'a' + 7);
}

static void
iterate_cb (gpointer data)
{
  Call *call = data;
  const guint n_called = ++call->fixture->n_called;

  g_clear_pointer (&call->waiter, _afork_waiter_end);
  while (call->fixture->n_called == n_called)
    g_main_context_iteration (call->fixture->context, TRUE);
  g_string_append_c (call->fixture->log, call->name);
}

/* A waiter may iterate the context, which then calls the next ones. */
static void
test_waiter_nested (Fixture       *fixture,
                    gconstpointer  data)
{
  Call first = { .fixture = fixture, .name = 'a' };
  Call calls[2];

  first.waiter = _afork_waiter_new_for_iteration (fixture->context, iterate_cb, &first, NULL);
  wait_for_iteration (fixture, &calls[0], 'b');
  wait_for_time (fixture, &calls[1], 'c', 1);
  await_called (fixture, 3);
  g_assert_cmpint (fixture->log->str[0], ==, 'b');
  g_assert_cmpuint (fixture->log->len, ==, 3);
}

/* The context is freed: no waiter is called, and the data of each is freed at once. */
static void
test_waiter_context_gone (Fixture       *fixture,
                          gconstpointer  data)
{
  Call calls[5];

  wait_for_cancellable (fixture, &calls[0], 'a');
  wait_for_cancellable (fixture, &calls[1], 'b');
  g_cancellable_cancel (fixture->cancellable);
  g_cancellable_reset (fixture->cancellable);
  wait_for_cancellable (fixture, &calls[2], 'c');
  wait_for_time (fixture, &calls[3], 'd', 0);
  wait_for_iteration (fixture, &calls[4], 'e');
  g_clear_pointer (&fixture->context, g_main_context_unref);
  g_assert_cmpuint (fixture->n_freed, ==, G_N_ELEMENTS (calls));
  g_assert_cmpuint (count_handlers (fixture->cancellable), ==, 0);

  g_cancellable_cancel (fixture->cancellable);
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    _afork_waiter_end (calls[i].waiter);
  g_assert_cmpuint (fixture->n_called, ==, 0);
  g_assert_cmpuint (fixture->n_freed, ==, G_N_ELEMENTS (calls));
}

static gpointer
cancel_often (gpointer data)
{
  GCancellable **cancellables = data;

  for (guint i = 0; i < N_WAITERS; i++)
    g_cancellable_cancel (cancellables[i]);
  return NULL;
}

/* Another thread cancels while waiters are made and ended. Those that are not ended are called. */
static void
test_waiter_thread (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autofree Call *calls = g_new0 (Call, N_WAITERS);
  g_autoptr(GPtrArray) cancellables = g_ptr_array_new_with_free_func (g_object_unref);
  guint n_ended = 0;
  GThread *thread;

  for (guint i = 0; i < N_WAITERS; i++)
    g_ptr_array_add (cancellables, g_cancellable_new ());
  thread = g_thread_new ("canceller", cancel_often, cancellables->pdata);
  for (guint i = 0; i < N_WAITERS; i++)
    {
      Call *call = &calls[i];

      *call = (Call) { .fixture = fixture, .name = '.' };
      call->waiter = _afork_waiter_new_for_cancellable (fixture->context,
                                                        g_ptr_array_index (cancellables, i),
                                                        called_cb, call, freed_cb);
      if (g_test_rand_bit ())
        {
          g_clear_pointer (&call->waiter, _afork_waiter_end);
          n_ended++;
        }
      if (i % 100 == 0)
        g_main_context_iteration (fixture->context, FALSE);
    }

  g_thread_join (thread);
  await_called (fixture, N_WAITERS - n_ended);
  g_assert_cmpuint (fixture->n_freed, ==, N_WAITERS);
}

/* A thread that waits in the context is woken. */
static gpointer
cancel_later (gpointer data)
{
  g_usleep (10000);
  g_cancellable_cancel (data);
  return NULL;
}

static void
test_waiter_wakes (Fixture       *fixture,
                   gconstpointer  data)
{
  GThread *thread;
  Call call;

  wait_for_cancellable (fixture, &call, 'a');
  thread = g_thread_new ("canceller", cancel_later, fixture->cancellable);
  await_called (fixture, 1);
  g_thread_join (thread);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(path, function) g_test_add (path, Fixture, NULL, set_up, function, tear_down)
  ADD ("/waiter/shared", test_waiter_shared);
  ADD ("/waiter/order", test_waiter_order);
  ADD ("/waiter/ended", test_waiter_ended);
  ADD ("/waiter/reset", test_waiter_reset);
  ADD ("/waiter/more", test_waiter_more);
  ADD ("/waiter/together", test_waiter_together);
  ADD ("/waiter/nested", test_waiter_nested);
  ADD ("/waiter/context-gone", test_waiter_context_gone);
  ADD ("/waiter/thread", test_waiter_thread);
  ADD ("/waiter/wakes", test_waiter_wakes);

  return g_test_run ();
}
