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
#include "test-fds.h"

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
  guint              n_fds;
} Sides;

static void
set_up (Sides         *sides,
        gconstpointer  data)
{
  sides->n_fds = count_fds ();
  sides->pool = _afork_segment_pool_new ();
  sides->table = _afork_segment_table_new ();
}

static void
tear_down (Sides         *sides,
           gconstpointer  data)
{
  _afork_segment_table_free (sides->table);
  _afork_segment_pool_free (sides->pool);
  g_assert_cmpuint (count_fds (), ==, sides->n_fds);
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
fill (Sides  *sides,
      GBytes *blob,
      guint  *n_steps)
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
  while (!_afork_segment_pool_fill (sides->pool, blob, &n_bytes, &number, &fd, &capacity));

  if (fd >= 0)
    {
      g_autoptr(GError) error = NULL;

      _afork_segment_table_add (sides->table, number, capacity, fd, &error);
      g_assert_no_error (error);
      close (fd);
    }
  return number;
}

/* Receives the blob in segment NUMBER, which must be equal to BLOB, and gives the segment back. */
static void
receive (Sides   *sides,
         guint32  number,
         GBytes  *blob)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) received = NULL;

  received = _afork_segment_table_get (sides->table, number, g_bytes_get_size (blob), &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (received, blob));

  g_clear_pointer (&received, g_bytes_unref);
  g_assert_cmpuint (_afork_segment_table_take_released (sides->table), ==, number);
  _afork_segment_pool_release (sides->pool, number, &error);
  g_assert_no_error (error);
}

static void
test_steps (Sides         *sides,
            gconstpointer  data)
{
  g_autoptr(GBytes) first = new_blob (LARGE, 1);
  g_autoptr(GBytes) second = new_blob (LARGE - STEP, 2);
  guint n_steps;
  guint32 number = fill (sides, first, &n_steps);

  /* All pages of a new segment are allocated, and then some of them are not used. */
  g_assert_cmpuint (number, !=, 0);
  g_assert_cmpuint (n_steps, >=, LARGE / (2 * STEP));
  receive (sides, number, first);

  /* The same segment again, without new pages. */
  g_assert_cmpuint (fill (sides, second, &n_steps), ==, number);
  g_assert_cmpuint (n_steps, ==, (LARGE - STEP + STEP - 1) / STEP);
  receive (sides, number, second);
}

/* A blob is not sent after all, when some of it has been copied to a new segment, or to an old
 * one. */
static void
test_dropped (Sides         *sides,
              gconstpointer  data)
{
  g_autoptr(GBytes) blob = new_blob (LARGE, 1);
  g_autoptr(GBytes) other = new_blob (LARGE, 2);
  gsize n_bytes = STEP;
  gsize capacity;
  guint32 number;
  guint n_steps;
  int fd;

  g_assert_false (_afork_segment_pool_fill (sides->pool, blob, &n_bytes, &number, &fd,
                                            &capacity));
  g_assert_cmpuint (n_bytes, ==, 0);
  _afork_segment_pool_drop_fill (sides->pool);
  _afork_segment_pool_drop_fill (sides->pool);

  /* Another blob without dropping the first one. */
  n_bytes = STEP;
  g_assert_false (_afork_segment_pool_fill (sides->pool, blob, &n_bytes, &number, &fd,
                                            &capacity));
  number = fill (sides, other, &n_steps);
  receive (sides, number, other);

  /* No segment was announced that was not finished. */
  g_assert_cmpuint (_afork_segment_pool_count_ended (sides->pool), ==, 0);

  n_bytes = STEP;
  g_assert_false (_afork_segment_pool_fill (sides->pool, blob, &n_bytes, &number, &fd,
                                            &capacity));
  _afork_segment_pool_drop_fill (sides->pool);
  number = fill (sides, other, &n_steps);
  receive (sides, number, other);
  g_assert_cmpuint (_afork_segment_pool_count_ended (sides->pool), ==, 0);

  /* A copy that is complete. */
  number = fill (sides, blob, &n_steps);
  g_assert_true (_afork_segment_pool_give_back (sides->pool, number));
  g_assert_false (_afork_segment_pool_give_back (sides->pool, number));
  g_assert_cmpuint (fill (sides, other, &n_steps), ==, number);
  receive (sides, number, other);
}

/* The receiver gives back a segment that is being filled. If this worked, the segment could be
 * unmapped meanwhile. */
static void
test_hostile (Sides         *sides,
              gconstpointer  data)
{
  g_autoptr(GBytes) blob = new_blob (LARGE, 1);
  g_autoptr(GError) error = NULL;
  guint32 number, unfinished;
  gsize n_bytes = STEP;
  gsize capacity;
  guint n_steps;
  int fd;

  number = fill (sides, blob, &n_steps);
  receive (sides, number, blob);
  g_assert_false (_afork_segment_pool_fill (sides->pool, blob, &n_bytes, &unfinished, &fd,
                                            &capacity));
  g_assert_false (_afork_segment_pool_release (sides->pool, number, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL);
  g_assert_cmpuint (fill (sides, blob, &n_steps), ==, number);
  receive (sides, number, blob);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add ("/segments/steps", Sides, NULL, set_up, test_steps, tear_down);
  g_test_add ("/segments/dropped", Sides, NULL, set_up, test_dropped, tear_down);
  g_test_add ("/segments/hostile", Sides, NULL, set_up, test_hostile, tear_down);

  return g_test_run ();
}
