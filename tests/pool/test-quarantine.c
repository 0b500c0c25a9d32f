/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The jobs that a pool refuses, in simulated time. */

#include "pool/quarantine.h"

#include <string.h>

#include "afork-error.h"

enum { TIME = 60 * 1000 * 1000 };

static GVariant *
new_args (const char *text)
{
  return g_variant_ref_sink (g_variant_new_string (text));
}

/* Whether any exit is remembered. */
static gboolean
has_any (AForkQuarantine *self)
{
  return self->suspects != NULL;
}

/* Adds an exit of a job with these arguments. FIRST is what the function has to return. */
static void
add_exit (AForkQuarantine *self,
          const char      *text,
          const char      *reason,
          gint64           now,
          const char      *first)
{
  g_autoptr(GVariant) args = new_args (text);

  g_assert_cmpstr (_afork_quarantine_add_exit (self, args, NULL, NULL, reason, now), ==, first);
}

/* Returns the error for a job with these arguments. */
static GError *
check (AForkQuarantine *self,
       const char      *text,
       gint64           now)
{
  g_autoptr(GVariant) args = new_args (text);

  return _afork_quarantine_check (self, args, NULL, now);
}

static void
assert_refused (AForkQuarantine *self,
                const char      *text,
                gint64           now,
                const char      *part)
{
  g_autoptr(GError) error = check (self, text, now);

  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_QUARANTINED);
  if (strstr (error->message, part) == NULL)
    g_error ("“%s” is not in “%s”", part, error->message);
}

static void
assert_accepted (AForkQuarantine *self,
                 const char      *text,
                 gint64           now)
{
  g_autoptr(GError) error = check (self, text, now);

  g_assert_no_error (error);
}

static void
test_quarantine_second (void)
{
  AForkQuarantine quarantine;

  _afork_quarantine_init (&quarantine, TIME);
  g_assert_false (has_any (&quarantine));
  add_exit (&quarantine, "a", "one", 1000, NULL);
  g_assert_true (has_any (&quarantine));
  assert_accepted (&quarantine, "a", 1000);
  add_exit (&quarantine, "a", "two", 2000, "one");
  assert_refused (&quarantine, "a", 2000, "for 60 s more. The first: one. The second: two");
  assert_accepted (&quarantine, "b", 2000);

  /* A third worker that runs an equal job exits: the time is not longer. */
  add_exit (&quarantine, "a", "three", 3000, "one");
  assert_refused (&quarantine, "a", 2000 + TIME - 1,
                  "for 1 s more. The first: one. The second: two");
  assert_accepted (&quarantine, "a", 2000 + TIME);
  g_assert_false (has_any (&quarantine));
  _afork_quarantine_clear (&quarantine);
}

/* A single exit is forgotten after the same time. */
static void
test_quarantine_expire (void)
{
  AForkQuarantine quarantine;

  _afork_quarantine_init (&quarantine, TIME);
  add_exit (&quarantine, "a", "one", 0, NULL);
  add_exit (&quarantine, "b", "one", 10, NULL);
  add_exit (&quarantine, "a", "two", TIME, NULL);
  add_exit (&quarantine, "b", "two", TIME, "one");
  assert_accepted (&quarantine, "a", TIME);
  assert_refused (&quarantine, "b", TIME, "The first: one. The second: two");
  _afork_quarantine_clear (&quarantine);
  g_assert_false (has_any (&quarantine));
}

/* The job itself knows of an exit that the quarantine has forgotten. */
static void
test_quarantine_earlier (void)
{
  g_autoptr(GVariant) args = new_args ("a");
  AForkQuarantine quarantine;

  _afork_quarantine_init (&quarantine, TIME);
  g_assert_cmpstr (_afork_quarantine_add_exit (&quarantine, args, NULL, "one", "two", 5), ==,
                   "one");
  assert_refused (&quarantine, "a", 5, "The first: one. The second: two");
  _afork_quarantine_clear (&quarantine);
}

/* An equal job ends, and its worker goes on. */
static void
test_quarantine_absolve (void)
{
  g_autoptr(GVariant) args = new_args ("a");
  AForkQuarantine quarantine;

  _afork_quarantine_init (&quarantine, TIME);
  add_exit (&quarantine, "a", "one", 0, NULL);
  _afork_quarantine_absolve (&quarantine, args, NULL);
  g_assert_false (has_any (&quarantine));
  add_exit (&quarantine, "a", "two", 1, NULL);
  add_exit (&quarantine, "a", "three", 2, "two");

  /* After two exits, one that ends does not help. */
  _afork_quarantine_absolve (&quarantine, args, NULL);
  assert_refused (&quarantine, "a", 3, "The first: two. The second: three");
  _afork_quarantine_clear (&quarantine);
}

static void
test_quarantine_set_time (void)
{
  AForkQuarantine quarantine;

  _afork_quarantine_init (&quarantine, TIME);
  add_exit (&quarantine, "a", "one", 0, NULL);
  add_exit (&quarantine, "a", "two", 0, "one");
  _afork_quarantine_set_time (&quarantine, 2000);
  assert_refused (&quarantine, "a", 1000, "for 1 s more");
  _afork_quarantine_set_time (&quarantine, TIME);
  assert_refused (&quarantine, "a", 3000, "for 60 s more");
  _afork_quarantine_set_time (&quarantine, 0);
  g_assert_false (has_any (&quarantine));
  add_exit (&quarantine, "a", "one", 0, NULL);
  add_exit (&quarantine, "a", "two", 0, NULL);
  g_assert_false (has_any (&quarantine));
  _afork_quarantine_clear (&quarantine);
}

/* The table has a limited number of jobs, and the oldest go first. */
static void
test_quarantine_bound (void)
{
  const guint n_more = 10;
  AForkQuarantine quarantine;

  _afork_quarantine_init (&quarantine, TIME);
  for (guint i = 0; i < AFORK_QUARANTINE_MAX_JOBS + n_more; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u", i);

      add_exit (&quarantine, text, "one", i, NULL);
      add_exit (&quarantine, text, "two", i, "one");
    }
  g_assert_cmpuint (quarantine.order.length, ==, AFORK_QUARANTINE_MAX_JOBS);
  g_assert_cmpuint (g_hash_table_size (quarantine.suspects), ==, AFORK_QUARANTINE_MAX_JOBS);
  for (guint i = 0; i < AFORK_QUARANTINE_MAX_JOBS + n_more; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u", i);

      if (i < n_more)
        assert_accepted (&quarantine, text, 1000);
      else
        assert_refused (&quarantine, text, 1000, "The first: one");
    }
  _afork_quarantine_clear (&quarantine);
  g_assert_cmpuint (quarantine.size, ==, 0);
}

/* Large arguments and texts count by their size. */
static void
test_quarantine_bytes (void)
{
  const gsize size = AFORK_QUARANTINE_MAX_SIZE / 5;
  g_autofree char *reason = g_strnfill (size, 'r');
  AForkQuarantine quarantine;

  _afork_quarantine_init (&quarantine, TIME);
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *text = g_strnfill (size, (char) ('a' + i));

      add_exit (&quarantine, text, reason, i, NULL);
      g_assert_cmpuint (quarantine.size, <=, AFORK_QUARANTINE_MAX_SIZE);
      add_exit (&quarantine, text, reason, i, reason);
      g_assert_cmpuint (quarantine.size, <=, AFORK_QUARANTINE_MAX_SIZE);
      assert_refused (&quarantine, text, 100, "The first: rrr");
    }
  g_assert_cmpuint (quarantine.order.length, ==, 1);
  _afork_quarantine_clear (&quarantine);
  g_assert_cmpuint (quarantine.size, ==, 0);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/quarantine/second", test_quarantine_second);
  g_test_add_func ("/quarantine/expire", test_quarantine_expire);
  g_test_add_func ("/quarantine/earlier", test_quarantine_earlier);
  g_test_add_func ("/quarantine/absolve", test_quarantine_absolve);
  g_test_add_func ("/quarantine/set-time", test_quarantine_set_time);
  g_test_add_func ("/quarantine/bound", test_quarantine_bound);
  g_test_add_func ("/quarantine/bytes", test_quarantine_bytes);

  return g_test_run ();
}
