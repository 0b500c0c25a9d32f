/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The numbers of pending calls. */

#include "config.h"

#include "afork/calls/pending-table.h"

enum { N_CALLS = 1000 };

typedef struct
{
  GObject           *source;
  AForkPendingTable  table;
  AForkPendingCall  *calls[N_CALLS];    /* the reference of the table */
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  fixture->source = g_object_new (G_TYPE_OBJECT, NULL);
  _afork_pending_table_init (&fixture->table);
  fixture->table.last_number = GPOINTER_TO_UINT (data);
  fixture->table.oldest_number = fixture->table.last_number;
  for (guint i = 0; i < N_CALLS; i++)
    {
      fixture->calls[i] = _afork_pending_call_new (fixture->source, NULL, NULL, NULL, NULL, NULL,
                                                   NULL);
      _afork_pending_table_add (&fixture->table, fixture->calls[i]);
    }
}

/* The table frees the calls that are left. */
static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  _afork_pending_table_clear (&fixture->table);
  g_assert_finalize_object (fixture->source);
}

static gboolean
is_there (Fixture          *fixture,
          guint32           number,
          AForkPendingCall *expected)
{
  AForkPendingCall *found = NULL;

  if (!_afork_pending_table_find (&fixture->table, number, &found))
    return FALSE;

  g_assert_true (found == expected);
  return TRUE;
}

/* Each call has its own number, after the number of the call before. No call has 0. */
static void
test_pending_table_numbers (Fixture       *fixture,
                            gconstpointer  data)
{
  guint32 number = GPOINTER_TO_UINT (data);

  for (guint i = 0; i < N_CALLS; i++)
    {
      number = number == G_MAXUINT32 ? 1 : number + 1;
      g_assert_cmpuint (fixture->calls[i]->number, ==, number);
      g_assert_true (is_there (fixture, number, fixture->calls[i]));
    }

  g_assert_cmpuint (fixture->table.n_calls, ==, N_CALLS);
  g_assert_false (is_there (fixture, 0, NULL));
  g_assert_false (is_there (fixture, number + 1, NULL));
}

/* The number of an unwanted call is not used again before the worker has answered it. */
static void
test_pending_table_unwanted (Fixture       *fixture,
                             gconstpointer  data)
{
  AForkPendingCall *call = g_steal_pointer (&fixture->calls[7]);
  guint32 number = call->number;

  _afork_pending_table_mark_unwanted (&fixture->table, call);
  g_assert_cmpuint (fixture->table.n_calls, ==, N_CALLS - 1);
  g_assert_true (is_there (fixture, number, NULL));

  fixture->table.last_number = number - 1;
  _afork_pending_table_add (&fixture->table, call);
  g_assert_cmpuint (call->number, !=, number);
  g_assert_true (is_there (fixture, call->number, call));
  g_assert_true (is_there (fixture, number, NULL));

  _afork_pending_table_remove (&fixture->table, number);
  g_assert_false (is_there (fixture, number, NULL));
  g_assert_cmpuint (fixture->table.n_calls, ==, N_CALLS);
}

/* Numbers in use are skipped, even if the first half of the numbers is free again. */
static void
test_pending_table_reused (Fixture       *fixture,
                           gconstpointer  data)
{
  for (guint i = 0; i < N_CALLS / 2; i++)
    {
      _afork_pending_table_remove (&fixture->table, fixture->calls[i]->number);
      g_assert_false (is_there (fixture, fixture->calls[i]->number, NULL));
    }

  fixture->table.last_number = GPOINTER_TO_UINT (data);
  for (guint i = 0; i < N_CALLS / 2; i++)
    _afork_pending_table_add (&fixture->table, fixture->calls[i]);

  for (guint i = 0; i < N_CALLS; i++)
    g_assert_true (is_there (fixture, fixture->calls[i]->number, fixture->calls[i]));
  g_assert_cmpuint (fixture->table.n_calls, ==, N_CALLS);
  g_assert_cmpuint (fixture->table.n_taken, ==, N_CALLS);
}

static void
test_pending_table_take_all (Fixture       *fixture,
                             gconstpointer  data)
{
  GQueue queue = G_QUEUE_INIT;
  GList *link;
  guint n_taken = 0;

  _afork_pending_table_mark_unwanted (&fixture->table, fixture->calls[0]);
  _afork_pending_table_take_all (&fixture->table, &queue);
  g_assert_cmpuint (fixture->table.n_calls, ==, 0);
  g_assert_cmpuint (fixture->table.n_taken, ==, 0);
  g_assert_false (is_there (fixture, fixture->calls[0]->number, NULL));
  g_assert_false (is_there (fixture, fixture->calls[1]->number, NULL));
  g_object_unref (fixture->calls[0]);

  while ((link = g_queue_pop_head_link (&queue)) != NULL)
    {
      g_object_unref (link->data);
      n_taken++;
    }
  g_assert_cmpuint (n_taken, ==, N_CALLS - 1);
}

static void
add_tests (const char *path,
           void      (*test) (Fixture       *fixture,
                              gconstpointer  data))
{
  g_autofree char *first = g_strdup_printf ("/pending-table/%s/first", path);
  g_autofree char *last = g_strdup_printf ("/pending-table/%s/last", path);

  g_test_add (first, Fixture, NULL, set_up, test, tear_down);
  g_test_add (last, Fixture, GUINT_TO_POINTER (G_MAXUINT32 - 3), set_up, test, tear_down);
}

/* The oldest call is found, whatever calls are removed before it, and however old it is. */
static void
test_pending_table_oldest (Fixture       *fixture,
                           gconstpointer  data)
{
  enum { N_MORE = 5000 };
  AForkPendingTable *table = &fixture->table;

  for (guint i = 0; i < N_CALLS; i++)
    {
      AForkPendingCall *call = fixture->calls[i];

      g_assert_true (_afork_pending_table_peek_oldest (table) == call);
      if (i == N_CALLS / 2)
        break;
      if (i % 3 == 0)
        _afork_pending_table_mark_unwanted (table, call);
      else
        _afork_pending_table_remove (table, call->number);
      g_object_unref (call);
    }

  /* All but this call are removed, and many others come and go. */
  for (guint i = N_CALLS / 2 + 1; i < N_CALLS; i++)
    {
      _afork_pending_table_remove (table, fixture->calls[i]->number);
      g_object_unref (fixture->calls[i]);
    }
  for (guint i = 0; i < N_MORE; i++)
    {
      AForkPendingCall *call = _afork_pending_call_new (fixture->source, NULL, NULL, NULL, NULL,
                                                        NULL, NULL);

      _afork_pending_table_add (table, call);
      g_assert_true (_afork_pending_table_peek_oldest (table) == fixture->calls[N_CALLS / 2]);
      if (i == N_MORE - 1)
        {
          _afork_pending_table_remove (table, fixture->calls[N_CALLS / 2]->number);
          g_object_unref (fixture->calls[N_CALLS / 2]);
          g_assert_true (_afork_pending_table_peek_oldest (table) == call);
        }
      _afork_pending_table_remove (table, call->number);
      g_object_unref (call);
    }
  g_assert_null (_afork_pending_table_peek_oldest (table));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_tests ("numbers", test_pending_table_numbers);
  add_tests ("unwanted", test_pending_table_unwanted);
  add_tests ("reused", test_pending_table_reused);
  add_tests ("oldest", test_pending_table_oldest);
  add_tests ("take-all", test_pending_table_take_all);

  return g_test_run ();
}
