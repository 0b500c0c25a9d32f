/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Blobs that are copied to segments in steps. One process is both sides here. */

#include "config.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "afork/afork-error.h"
#include "afork/stream/segments.h"
#include "test-util.h"

enum
{
  LARGE = 5 * 1024 * 1024 + 1,
  /* Neither a power of two, nor whole pages. */
  STEP = 100 * 1000,
};

typedef struct
{
  AForkSegmentPool  *pool;
  AForkSegmentTable *table;
  Census             census;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  census_begin (&fixture->census);
  fixture->pool = _afork_segment_pool_new ();
  fixture->table = _afork_segment_table_new ();
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  _afork_segment_table_free (fixture->table);
  _afork_segment_pool_free (fixture->pool);
  census_end (&fixture->census);
}

static GBytes *
new_blob (gsize  size,
          guint8 first)
{
  guint8 *bytes = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    bytes[i] = (guint8) (first + i % 251);
  return g_bytes_new_take (bytes, size);
}

/* Copies BLOB in steps, announces the segment if it is new, and returns its number. */
static guint32
fill (Fixture *fixture,
      GBytes  *blob,
      guint   *n_steps)
{
  gsize n_bytes, capacity;
  guint32 number;
  int fd;

  *n_steps = 0;
  do
    {
      n_bytes = STEP;
      (*n_steps)++;
    }
  while (!_afork_segment_pool_fill (fixture->pool, blob, &n_bytes, &number, &fd, &capacity));

  if (fd >= 0)
    {
      g_autoptr(GError) error = NULL;

      _afork_segment_table_add (fixture->table, number, capacity, fd, &error);
      g_assert_no_error (error);
      close (fd);
    }
  return number;
}

/* Receives the blob in segment NUMBER, which must be equal to BLOB, and gives the segment back. */
static void
receive (Fixture *fixture,
         guint32  number,
         GBytes  *blob)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) received = NULL;

  received = _afork_segment_table_get (fixture->table, number, g_bytes_get_size (blob), &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (received, blob));

  g_clear_pointer (&received, g_bytes_unref);
  g_assert_cmpuint (_afork_segment_table_take_released (fixture->table), ==, number);
  _afork_segment_pool_release (fixture->pool, number, &error);
  g_assert_no_error (error);
}

static void
test_steps (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr(GBytes) first = new_blob (LARGE, 1);
  g_autoptr(GBytes) second = new_blob (LARGE - STEP, 2);
  guint n_steps;
  guint32 number = fill (fixture, first, &n_steps);

  /* All pages of a new segment are allocated, and then some of them are not used. */
  g_assert_cmpuint (number, !=, 0);
  g_assert_cmpuint (n_steps, >=, LARGE / (2 * STEP));
  receive (fixture, number, first);

  /* The same segment again, without new pages. */
  g_assert_cmpuint (fill (fixture, second, &n_steps), ==, number);
  g_assert_cmpuint (n_steps, ==, (LARGE - STEP + STEP - 1) / STEP);
  receive (fixture, number, second);
}

/* A blob is not sent after all, when some of it has been copied to a new segment, or to an old
 * one. */
static void
test_dropped (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr(GBytes) blob = new_blob (LARGE, 1);
  g_autoptr(GBytes) other = new_blob (LARGE, 2);
  gsize n_bytes = STEP;
  gsize capacity;
  guint32 number;
  guint n_steps;
  int fd;

  g_assert_false (_afork_segment_pool_fill (fixture->pool, blob, &n_bytes, &number, &fd,
                                            &capacity));
  g_assert_cmpuint (n_bytes, ==, 0);
  _afork_segment_pool_drop_fill (fixture->pool);
  _afork_segment_pool_drop_fill (fixture->pool);

  /* Another blob without dropping the first one. */
  n_bytes = STEP;
  g_assert_false (_afork_segment_pool_fill (fixture->pool, blob, &n_bytes, &number, &fd,
                                            &capacity));
  number = fill (fixture, other, &n_steps);
  receive (fixture, number, other);

  /* No segment was announced that was not finished. */
  g_assert_cmpuint (_afork_segment_pool_count_ended (fixture->pool), ==, 0);

  n_bytes = STEP;
  g_assert_false (_afork_segment_pool_fill (fixture->pool, blob, &n_bytes, &number, &fd,
                                            &capacity));
  _afork_segment_pool_drop_fill (fixture->pool);
  number = fill (fixture, other, &n_steps);
  receive (fixture, number, other);
  g_assert_cmpuint (_afork_segment_pool_count_ended (fixture->pool), ==, 0);

  /* A copy that is complete. */
  number = fill (fixture, blob, &n_steps);
  g_assert_true (_afork_segment_pool_give_back (fixture->pool, number));
  g_assert_false (_afork_segment_pool_give_back (fixture->pool, number));
  g_assert_cmpuint (fill (fixture, other, &n_steps), ==, number);
  receive (fixture, number, other);
}

/* The receiver gives back a segment that is being filled. If this worked, the segment could be
 * unmapped meanwhile. */
static void
test_hostile (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr(GBytes) blob = new_blob (LARGE, 1);
  g_autoptr(GError) error = NULL;
  guint32 number, unfinished;
  gsize n_bytes = STEP;
  gsize capacity;
  guint n_steps;
  int fd;

  number = fill (fixture, blob, &n_steps);
  receive (fixture, number, blob);
  g_assert_false (_afork_segment_pool_fill (fixture->pool, blob, &n_bytes, &unfinished, &fd,
                                            &capacity));
  g_assert_false (_afork_segment_pool_release (fixture->pool, number, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL);
  g_assert_cmpuint (fill (fixture, blob, &n_steps), ==, number);
  receive (fixture, number, blob);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add ("/segments/steps", Fixture, NULL, set_up, test_steps, tear_down);
  g_test_add ("/segments/dropped", Fixture, NULL, set_up, test_dropped, tear_down);
  g_test_add ("/segments/hostile", Fixture, NULL, set_up, test_hostile, tear_down);

  return g_test_run ();
}
