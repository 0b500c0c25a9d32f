/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Descriptors that get numbers which the caller chooses. */

#include "config.h"

#include "test-inspect-util.h"

#include <unistd.h>

static void
assert_mapped (Inspection *self,
               int         target,
               int         fd)
{
  gboolean close_on_exec;

  g_assert_cmpuint (inspection_get_file (self, target, &close_on_exec), ==, get_inode (fd));
  g_assert_false (close_on_exec);
}

static void
test_map_standard (Fixture       *fixture,
                   gconstpointer  data)
{
  Inspection inspection;
  int fds[3];

  for (int i = 0; i < 3; i++)
    {
      fds[i] = open_file ();
      afork_process_map_fd (fixture->template, fds[i], i);
    }
  inspection_begin (&inspection, fixture->template);
  inspection_assert_descriptors (&inspection, 0);
  for (int i = 0; i < 3; i++)
    assert_mapped (&inspection, i, fds[i]);
  inspection_end (&inspection);
  for (int i = 0; i < 3; i++)
    close (fds[i]);
}

enum { N_TARGETS = 30 };

/* Each number becomes a target once, in any order, while forks live: the socket of the server, its
 * epoll, the descriptors of forks and the items must all move away, and still work. */
static void
test_map_everywhere (Fixture       *fixture,
                     gconstpointer  data)
{
  Inspection inspections[N_TARGETS];
  Inspection last;
  int fds[N_TARGETS], targets[N_TARGETS];
  int items[4];

  for (int i = 0; i < (int) G_N_ELEMENTS (items); i++)
    {
      items[i] = open_file ();
      afork_process_send_fd (fixture->template, items[i]);
    }
  for (int i = 0; i < N_TARGETS; i++)
    {
      int other = g_test_rand_int_range (0, i + 1);

      fds[i] = open_file ();
      targets[i] = targets[other];
      targets[other] = i;
    }

  for (int i = 0; i < N_TARGETS; i++)
    {
      g_autoptr(AForkProcess) process = NULL;
      guint n_others = 0;

      afork_process_map_fd (fixture->template, fds[i], targets[i]);
      process = afork_process_fork (fixture->template);
      inspection_begin (&inspections[i], process);
      for (int j = 0; j <= i; j++)
        {
          assert_mapped (&inspections[i], targets[j], fds[j]);
          n_others += targets[j] > STDERR_FILENO;
        }
      for (guint j = 0; j < G_N_ELEMENTS (items); j++)
        inspection_assert_item (&inspections[i], j, items[j]);
      inspection_assert_descriptors (&inspections[i], n_others);

      /* Some of the forks exit meanwhile. */
      if (i % 3 == 2)
        inspection_end (&inspections[i - 1]);
    }

  inspection_begin (&last, fixture->template);
  for (int i = 0; i < N_TARGETS; i++)
    {
      assert_mapped (&last, targets[i], fds[i]);
      if (i % 3 != 1 || i == N_TARGETS - 1)
        inspection_end (&inspections[i]);
    }
  inspection_end (&last);

  for (int i = 0; i < N_TARGETS; i++)
    close (fds[i]);
  for (gsize i = 0; i < G_N_ELEMENTS (items); i++)
    close (items[i]);
}

/* The same number twice, and numbers that are far apart. */
static void
test_map_again (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr(AForkProcess) fork = NULL;
  Inspection inspection;
  int first = open_file ();
  int second = open_file ();

  afork_process_map_fd (fixture->template, first, 100);
  afork_process_map_fd (fixture->template, first, 7);
  fork = afork_process_fork (fixture->template);
  afork_process_map_fd (fixture->template, second, 100);

  inspection_begin (&inspection, fork);
  assert_mapped (&inspection, 100, first);
  assert_mapped (&inspection, 7, first);
  inspection_assert_descriptors (&inspection, 2);
  inspection_end (&inspection);

  inspection_begin (&inspection, fixture->template);
  assert_mapped (&inspection, 100, second);
  assert_mapped (&inspection, 7, first);
  inspection_assert_descriptors (&inspection, 2);
  inspection_end (&inspection);
  close (first);
  close (second);
}

static void
test_map_too_high (Fixture       *fixture,
                   gconstpointer  data)
{
  afork_process_map_fd (fixture->template, STDIN_FILENO, G_MAXINT);
  expect_run_error (fixture->template, "inspect", AFORK_ERROR, AFORK_ERROR_FAILED, "2147483647");
}

/* A program that the worker executes has the mapped descriptors, and none of the items. */
static void
test_map_execute (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr(GSocketConnection) connection = NULL;
  int output = open_file ();
  char text[256] = "";

  afork_process_send_arg (fixture->template, "sh");
  afork_process_send_arg (fixture->template, "-c");
  afork_process_send_arg (fixture->template, "echo here >&9; cd /proc/self/fd; echo *; exit 5");
  afork_process_send_fd (fixture->template, output);
  afork_process_map_fd (fixture->template, output, STDOUT_FILENO);
  afork_process_map_fd (fixture->template, output, 9);
  connection = run_process_ok (fixture->template, "execute");
  await_end (fixture->template);
  assert_exit_status (fixture->template, 5);

  /* The shell reads its directory by descriptor 3. */
  g_assert_cmpint (pread (output, text, sizeof text - 1, 0), >, 0);
  g_assert_cmpstr (text, ==, "here\n0 1 2 3 9\n");
  close (output);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_module ("/map/standard", "inspect", test_map_standard);
  add_with_module ("/map/everywhere", "inspect", test_map_everywhere);
  add_with_module ("/map/again", "inspect", test_map_again);
  add_with_module ("/map/too-high", "inspect", test_map_too_high);
  add_with_module ("/map/execute", "inspect", test_map_execute);

  return g_test_run ();
}
