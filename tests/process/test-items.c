/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Strings, bytes and descriptors that are queued for a function. The worker describes each of them
 * in a line, and so does the test. */

#include "config.h"

#include "test-util.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../modules/checksum.h"

enum
{
  COPIED_SIZE = 4096,           /* the library copies items up to this size */
  PIECE_SIZE = 64 * 1024,       /* and sends larger ones in pieces */
  MAX_PAYLOAD = 1024 * 1024,    /* the largest command */
};

/* The expected items of a process. */

static void
expect_bytes (GString    *expected,
              const void *data,
              gsize       size)
{
  g_string_append_printf (expected, "bytes %" G_GSIZE_FORMAT " %016" G_GINT64_MODIFIER "x\n", size,
                          checksum (data, size));
}

static void
expect_fd (GString *expected,
           int      fd)
{
  struct stat status;

  g_assert_no_errno (fstat (fd, &status));
  g_string_append_printf (expected, "fd %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT "\n",
                          (guint64) status.st_ino, (gint64) lseek (fd, 0, SEEK_CUR));
}

/* Runs PROCESS, which only sends its description. */
static void
assert_items (AForkProcess  *process,
              const GString *expected)
{
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "describe");
  g_autofree char *actual = read_to_end (connection, NULL);

  g_assert_cmpstr (actual, ==, expected->str);
  await_end (process);
  assert_exit_status (process, 0);
}

/* Queueing items, and adding them to the expected ones. */

static void
send_arg (AForkProcess *process,
          GString      *expected,
          const char   *arg)
{
  g_assert_true (afork_process_send_arg (process, arg) == process);
  expect_bytes (expected, arg, strlen (arg));
}

static void
send_data (AForkProcess *process,
           GString      *expected,
           const void   *data,
           gsize         size)
{
  g_autoptr(GBytes) bytes = g_bytes_new (data, size);

  g_assert_true (afork_process_send_bytes (process, bytes) == process);
  expect_bytes (expected, data, size);
}

static int
open_file (goffset offset)
{
  int fd = memfd_create ("item", MFD_CLOEXEC);

  g_assert_no_errno (fd);
  g_assert_no_errno (ftruncate (fd, offset));
  g_assert_no_errno ((int) lseek (fd, offset, SEEK_SET));
  return fd;
}

/* The descriptor is closed at once. */
static void
send_file (AForkProcess *process,
           GString      *expected,
           goffset       offset)
{
  int fd = open_file (offset);

  g_assert_true (afork_process_send_fd (process, fd) == process);
  expect_fd (expected, fd);
  close (fd);
}

/* Bytes without a pattern, so that a lost or repeated piece is noticed. */
static guint8 *
make_noise (gsize   size,
            guint64 seed)
{
  guint8 *bytes = g_malloc (size + sizeof seed);

  seed = seed * 2 + 1;
  for (gsize i = 0; i < size; i += sizeof seed)
    {
      seed ^= seed << 13;
      seed ^= seed >> 7;
      seed ^= seed << 17;
      memcpy (bytes + i, &seed, sizeof seed);
    }

  return bytes;
}

static void
send_noise (AForkProcess *process,
            GString      *expected,
            gsize         size)
{
  g_autofree guint8 *noise = make_noise (size, size);

  send_data (process, expected, noise, size);
}

static void
send_long_arg (AForkProcess *process,
               GString      *expected,
               gsize         length)
{
  g_autofree char *arg = g_malloc (length + 1);

  for (gsize i = 0; i < length; i++)
    arg[i] = (char) ('a' + (i * 7 + i / 251) % 26);
  arg[length] = '\0';
  send_arg (process, expected, arg);
}

/* The tests. */

static void
test_none (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr(GString) expected = g_string_new (NULL);

  assert_items (fixture->template, expected);
}

static void
test_strings (Fixture       *fixture,
              gconstpointer  data)
{
  static const char * const strings[] = {
    "", "a", "two words", "", "", "Gr\303\274\303\237e", "not UTF-8: \377\376", "\n", "7",
  };
  g_autoptr(GString) expected = g_string_new (NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (strings); i++)
    send_arg (fixture->template, expected, strings[i]);
  assert_items (fixture->template, expected);
}

static void
test_bytes (Fixture       *fixture,
            gconstpointer  data)
{
  static const char nuls[300] = "before\0after\0\0";
  g_autoptr(GString) expected = g_string_new (NULL);

  send_data (fixture->template, expected, nuls, 14);
  send_data (fixture->template, expected, NULL, 0);
  send_data (fixture->template, expected, nuls, sizeof nuls);
  send_data (fixture->template, expected, nuls + 6, 1);
  assert_items (fixture->template, expected);
}

/* Sizes just below, at and above each limit. */
static void
test_sizes (Fixture       *fixture,
            gconstpointer  data)
{
  static const gsize edges[] = {
    COPIED_SIZE, 16 * 1024, PIECE_SIZE, 2 * PIECE_SIZE, MAX_PAYLOAD, 3 * MAX_PAYLOAD,
  };
  g_autoptr(GString) expected = g_string_new (NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (edges); i++)
    for (gsize size = edges[i] - 1; size <= edges[i] + 1; size++)
      {
        send_noise (fixture->template, expected, size);
        send_long_arg (fixture->template, expected, size);
      }
  assert_items (fixture->template, expected);
}

static void
test_large (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr(GString) expected = g_string_new (NULL);

  send_arg (fixture->template, expected, "before");
  send_noise (fixture->template, expected, 64 * 1024 * 1024);
  send_arg (fixture->template, expected, "after");
  assert_items (fixture->template, expected);
}

/* In any order: items that are queued after pieces must not arrive before or between them. */
static void
test_mixed (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr(GString) expected = g_string_new (NULL);

  send_file (fixture->template, expected, 1);
  send_arg (fixture->template, expected, "small");
  send_noise (fixture->template, expected, 5 * PIECE_SIZE);
  send_file (fixture->template, expected, 2);
  send_noise (fixture->template, expected, PIECE_SIZE);
  send_noise (fixture->template, expected, COPIED_SIZE + 1);
  send_arg (fixture->template, expected, "");
  send_file (fixture->template, expected, 3);
  send_file (fixture->template, expected, 4);
  send_noise (fixture->template, expected, 7);
  assert_items (fixture->template, expected);
}

/* More than one message can contain. */
static void
test_fds_many (Fixture       *fixture,
               gconstpointer  data)
{
  g_autoptr(GString) expected = g_string_new (NULL);

  for (int i = 0; i < 300; i++)
    send_file (fixture->template, expected, i);
  assert_items (fixture->template, expected);
}

static void
test_fds_many_mixed (Fixture       *fixture,
                     gconstpointer  data)
{
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GString) expected = g_string_new (NULL);

  for (int i = 0; i < 300; i++)
    {
      send_file (fixture->template, expected, i);
      if (i % 7 == 0)
        send_long_arg (fixture->template, expected, (gsize) i * 100);
    }
  fork = afork_process_fork (fixture->template);
  assert_items (fork, expected);
  assert_items (fixture->template, expected);
}

/* The received descriptor is of the same open file description: later changes by the caller are
 * seen there. */
static void
test_fds_same_file (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autoptr(GString) expected = g_string_new (NULL);
  int fds[3];

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = open_file (100);
      afork_process_send_fd (fixture->template, fds[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      g_assert_no_errno ((int) lseek (fds[i], 10 + i, SEEK_SET));
      expect_fd (expected, fds[i]);
    }

  assert_items (fixture->template, expected);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
}

/* The number that the caller has sent may belong to another file when the message is sent. */
static void
test_fds_reused (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr(GString) expected = g_string_new (NULL);
  int fd = open_file (1);
  int other = open_file (2);

  expect_fd (expected, fd);
  expect_fd (expected, other);
  afork_process_send_fd (fixture->template, fd);
  g_assert_no_errno (dup2 (other, fd));
  afork_process_send_fd (fixture->template, fd);
  close (fd);
  close (other);
  assert_items (fixture->template, expected);
}

/* The library does not try again and again to send what cannot be sent: the main context comes to
 * rest. */
static void
assert_at_rest (void)
{
  guint n_turns = 0;

  while (g_main_context_iteration (NULL, FALSE))
    g_assert_cmpuint (++n_turns, <, 10000);
}

static void
test_fds_refused (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GString) expected = g_string_new (NULL);
  g_autofree char *text = NULL;
  int fd = open_file (0);

  close (fd);
  text = g_strdup_printf ("%d", fd);
  g_assert_true (afork_process_send_fd (process, fd) == process);

  /* Later operations have no effect. */
  afork_process_send_arg (process, "behind");
  afork_process_require (process, "no-such-module");
  fork = afork_process_fork (process);

  expect_run_error (process, "describe", AFORK_ERROR, AFORK_ERROR_FAILED, text);
  expect_run_error (fork, "describe", AFORK_ERROR, AFORK_ERROR_FAILED, text);
  assert_at_rest ();
  assert_items (fixture->template, expected);
}

static void
test_fds_negative (Fixture       *fixture,
                   gconstpointer  data)
{
  g_assert_true (afork_process_send_fd (fixture->template, -1) == fixture->template);
  expect_run_error (fixture->template, "describe", AFORK_ERROR, AFORK_ERROR_FAILED,
                    "Descriptor -1 ");
}

static void
test_forks (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr(AForkProcess) first = NULL;
  g_autoptr(AForkProcess) second = NULL;
  g_autoptr(AForkProcess) grandchild = NULL;
  g_autoptr(GString) of_template = g_string_new (NULL);
  g_autoptr(GString) of_first = NULL;
  g_autoptr(GString) of_second = NULL;
  g_autoptr(GString) of_grandchild = NULL;

  send_arg (fixture->template, of_template, "of the template");
  send_file (fixture->template, of_template, 11);

  first = afork_process_fork (fixture->template);
  of_first = g_string_new (of_template->str);
  send_arg (first, of_first, "of the first only");
  send_noise (first, of_first, 2 * PIECE_SIZE);

  send_arg (fixture->template, of_template, "between the forks");

  second = afork_process_fork (fixture->template);
  of_second = g_string_new (of_template->str);
  send_file (second, of_second, 22);

  grandchild = afork_process_fork (first);
  of_grandchild = g_string_new (of_first->str);
  send_arg (grandchild, of_grandchild, "of the grandchild only");

  send_arg (first, of_first, "after the grandchild");
  send_arg (fixture->template, of_template, "after the forks");

  /* The later ones first: none waits for another. */
  assert_items (grandchild, of_grandchild);
  assert_items (second, of_second);
  assert_items (first, of_first);
  assert_items (fixture->template, of_template);
}

/* Each is a fork of the previous one, and gets the items of all previous ones first. */
static void
test_forks_chain (Fixture       *fixture,
                  gconstpointer  data)
{
  enum { N_GENERATIONS = 20 };
  AForkProcess *processes[N_GENERATIONS];
  GString *expected[N_GENERATIONS];

  for (int i = 0; i < N_GENERATIONS; i++)
    {
      processes[i] = i == 0 ? g_object_ref (fixture->template)
                            : afork_process_fork (processes[i - 1]);
      expected[i] = g_string_new (i == 0 ? "" : expected[i - 1]->str);
      send_arg (processes[i], expected[i], "one generation more");
      send_file (processes[i], expected[i], i);
    }

  /* The last ones first, and each once the processes that it was forked from are gone. */
  assert_items (processes[N_GENERATIONS - 1], expected[N_GENERATIONS - 1]);
  for (int i = 0; i < N_GENERATIONS - 1; i++)
    assert_items (processes[i], expected[i]);

  for (int i = 0; i < N_GENERATIONS; i++)
    {
      g_object_unref (processes[i]);
      g_string_free (expected[i], TRUE);
    }
}

/* A large item is still being sent to the template when it is forked. */
static void
test_forks_behind_large (Fixture       *fixture,
                         gconstpointer  data)
{
  g_autoptr(AForkProcess) before = NULL;
  g_autoptr(AForkProcess) after = NULL;
  g_autoptr(GString) of_before = g_string_new (NULL);
  g_autoptr(GString) of_after = g_string_new (NULL);

  before = afork_process_fork (fixture->template);
  send_noise (fixture->template, of_after, 8 * 1024 * 1024);
  after = afork_process_fork (fixture->template);
  send_arg (before, of_before, "before");
  send_arg (after, of_after, "after");

  assert_items (after, of_after);
  assert_items (before, of_before);
}

/* The items of the default template come first, in each of its forks. */
static void
test_template_first (Fixture       *fixture,
                     gconstpointer  data)
{
  AForkProcess *template = afork_runtime_get_template (afork_runtime_get_native ());
  g_autoptr(GString) of_template = g_string_new (NULL);

  afork_process_require (template, "describe");
  send_arg (template, of_template, "first of all");
  send_file (template, of_template, 5);
  for (int i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new ();
      g_autoptr(GString) expected = g_string_new (of_template->str);

      send_arg (process, expected, "then its own");
      send_file (process, expected, i);
      assert_items (process, expected);
    }
}

/* A tree of processes, with random operations on them. */

enum { MAX_PROCESSES = 10 };

static void
send_anything (AForkProcess *process,
               GString      *expected)
{
  static const gsize sizes[] = { 0, 1, COPIED_SIZE, COPIED_SIZE + 1, PIECE_SIZE, PIECE_SIZE + 1 };
  gsize size = g_test_rand_bit () ? sizes[g_test_rand_int_range (0, G_N_ELEMENTS (sizes))]
                                  : (gsize) g_test_rand_int_range (0, 3 * PIECE_SIZE);

  switch (g_test_rand_int_range (0, 4))
    {
    case 0:
      send_noise (process, expected, size);
      break;
    case 1:
      send_long_arg (process, expected, size);
      break;
    case 2:
      send_arg (process, expected, "short");
      break;
    default:
      send_file (process, expected, g_test_rand_int_range (0, 1000));
      break;
    }
}

static void
test_random (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr(GPtrArray) processes = g_ptr_array_new_with_free_func (g_object_unref);
  GString *expected[MAX_PROCESSES];
  guint n_items = 0;

  g_ptr_array_add (processes, g_object_ref (fixture->template));
  expected[0] = g_string_new (NULL);
  for (int i = 0; i < 150; i++)
    {
      guint which = (guint) g_test_rand_int_range (0, (gint32) processes->len);
      AForkProcess *process = g_ptr_array_index (processes, which);

      if (g_test_rand_int_range (0, 8) == 0 && processes->len < MAX_PROCESSES)
        {
          expected[processes->len] = g_string_new (expected[which]->str);
          g_ptr_array_add (processes, afork_process_fork (process));
        }
      else if (g_test_rand_int_range (0, 8) == 0)
        {
          g_main_context_iteration (NULL, FALSE);
        }
      else
        {
          send_anything (process, expected[which]);
          n_items++;
        }
    }

  g_test_message ("%u items for %u processes", n_items, processes->len);
  while (processes->len > 0)
    {
      guint which = (guint) g_test_rand_int_range (0, (gint32) processes->len);

      assert_items (g_ptr_array_index (processes, which), expected[which]);
      g_string_free (expected[which], TRUE);
      expected[which] = expected[processes->len - 1];
      g_ptr_array_remove_index_fast (processes, which);
    }
}

/* Bytes: large ones are not copied, and are not kept longer than needed. */

static void
count_free_cb (gpointer data)
{
  guint *n_freed = data;

  *n_freed += 1;
}

static void
test_bytes_not_copied (Fixture       *fixture,
                       gconstpointer  data)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GString) expected = g_string_new (NULL);
  g_autofree guint8 *noise = make_noise (PIECE_SIZE, 1);
  g_autofree char *actual = NULL;
  guint n_freed = 0;
  GBytes *bytes;

  bytes = g_bytes_new_with_free_func (noise, PIECE_SIZE, count_free_cb, &n_freed);
  afork_process_send_bytes (fixture->template, bytes);
  g_bytes_unref (bytes);
  g_assert_cmpuint (n_freed, ==, 0);

  /* No program does this, but it shows that the library has no copy. */
  noise[PIECE_SIZE / 2] ^= 1;
  expect_bytes (expected, noise, PIECE_SIZE);

  connection = run_process_ok (fixture->template, "describe");
  g_assert_cmpuint (n_freed, ==, 1);
  actual = read_to_end (connection, NULL);
  g_assert_cmpstr (actual, ==, expected->str);
}

static void
test_bytes_small_copied (Fixture       *fixture,
                         gconstpointer  data)
{
  g_autoptr(GString) expected = g_string_new (NULL);
  g_autofree guint8 *noise = make_noise (COPIED_SIZE, 1);
  guint n_freed = 0;
  GBytes *bytes;

  bytes = g_bytes_new_with_free_func (noise, COPIED_SIZE, count_free_cb, &n_freed);
  expect_bytes (expected, noise, COPIED_SIZE);
  afork_process_send_bytes (fixture->template, bytes);
  g_bytes_unref (bytes);
  g_assert_cmpuint (n_freed, ==, 1);

  noise[0] ^= 1;
  assert_items (fixture->template, expected);
}

/* A process that exits before it has received the queued items. */
static void
test_bytes_given_up (Fixture       *fixture,
                     gconstpointer  data)
{
  g_autofree guint8 *noise = make_noise (MAX_PAYLOAD, 1);
  guint n_freed = 0;
  GBytes *bytes;

  afork_process_require (fixture->template, "no-such-module");
  bytes = g_bytes_new_with_free_func (noise, MAX_PAYLOAD, count_free_cb, &n_freed);
  for (int i = 0; i < 10; i++)
    afork_process_send_bytes (fixture->template, bytes);
  g_bytes_unref (bytes);

  expect_run_error (fixture->template, "describe", AFORK_ERROR, AFORK_ERROR_MODULE, NULL);
  while (n_freed == 0)
    g_main_context_iteration (NULL, TRUE);
}

/* The largest possible command, and a larger one. */

static char *
make_string (gsize length)
{
  char *string = g_malloc (length + 1);

  memset (string, 'x', length);
  string[length] = '\0';
  return string;
}

/* Commands with N_STRINGS strings. The last one fills the rest, and has OVER more bytes. */
static char *
fill_payload (gsize n_strings,
              gsize n_other,
              gsize over)
{
  return make_string (MAX_PAYLOAD + over - n_other - n_strings * 5);
}

static void
test_limit_require (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autoptr(AForkProcess) longer = afork_process_fork (fixture->template);
  g_autofree char *longest = fill_payload (1, 0, 0);
  g_autofree char *too_long = fill_payload (1, 0, 1);

  afork_process_require (longer, too_long);
  expect_run_error (longer, "describe", AFORK_ERROR, AFORK_ERROR_FAILED, "1048576");
  assert_at_rest ();
  afork_process_require (fixture->template, longest);
  expect_run_error (fixture->template, "describe", AFORK_ERROR, AFORK_ERROR_MODULE, "xxx");
}

static void
test_limit_eval (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr(AForkProcess) longer = afork_process_fork (fixture->template);
  g_autofree char *longest = fill_payload (1, 4, 0);
  g_autofree char *too_long = fill_payload (1, 4, 1);

  afork_process_setenv (fixture->template, "AFORK_EVAL", "/afork/no-such-plugin.so");
  afork_process_eval (longer, too_long, NULL);
  expect_run_error (longer, "describe", AFORK_ERROR, AFORK_ERROR_FAILED, "1048576");
  afork_process_eval (fixture->template, longest, NULL);
  expect_run_error (fixture->template, "describe", AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED, NULL);
}

static void
assert_remembered (AForkProcess *process,
                   guint         n_arguments,
                   gsize         n_bytes)
{
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "recall");
  g_autofree char *expected = g_strdup_printf ("%u %" G_GSIZE_FORMAT, n_arguments, n_bytes);
  g_autofree char *actual = read_to_end (connection, NULL);

  g_assert_cmpstr (actual, ==, expected);
}

static void
test_limit_call (Fixture       *fixture,
                 gconstpointer  data)
{
  gsize n_other = strlen ("remember") + 4 + strlen ("a");
  g_autoptr(AForkProcess) longer = afork_process_fork (fixture->template);
  g_autofree char *longest = fill_payload (3, n_other, 0);
  g_autofree char *too_long = fill_payload (3, n_other, 1);

  afork_process_call (longer, "remember", (const char * const []) { "a", too_long, NULL });
  expect_run_error (longer, "recall", AFORK_ERROR, AFORK_ERROR_FAILED, "1048576");
  afork_process_call (fixture->template, "remember",
                      (const char * const []) { "a", longest, NULL });
  assert_remembered (fixture->template, 2, 1 + strlen (longest));
}

static void
test_limit_arguments (Fixture       *fixture,
                      gconstpointer  data)
{
  enum { N_ARGUMENTS = 100000 };
  g_autofree const char **arguments = g_new (const char *, N_ARGUMENTS + 1);
  g_autoptr(AForkProcess) none = NULL;

  for (int i = 0; i < N_ARGUMENTS; i++)
    arguments[i] = i % 2 == 0 ? "" : "ab";
  arguments[N_ARGUMENTS] = NULL;

  afork_process_call (fixture->template, "remember", arguments);
  none = afork_process_fork (fixture->template);
  assert_remembered (fixture->template, N_ARGUMENTS, N_ARGUMENTS);
  afork_process_call (none, "remember", NULL);
  assert_remembered (none, 0, 0);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_module ("/items/none", "describe", test_none);
  add_with_module ("/items/strings", "describe", test_strings);
  add_with_module ("/items/bytes", "describe", test_bytes);
  add_with_module ("/items/sizes", "describe", test_sizes);
  add_with_module ("/items/large", "describe", test_large);
  add_with_module ("/items/mixed", "describe", test_mixed);
  add_with_module ("/items/fds/many", "describe", test_fds_many);
  add_with_module ("/items/fds/many-mixed", "describe", test_fds_many_mixed);
  add_with_module ("/items/fds/same-file", "describe", test_fds_same_file);
  add_with_module ("/items/fds/reused", "describe", test_fds_reused);
  add_with_module ("/items/fds/refused", "describe", test_fds_refused);
  add_with_module ("/items/fds/negative", "describe", test_fds_negative);
  add_with_module ("/items/forks/each-its-own", "describe", test_forks);
  add_with_module ("/items/forks/behind-large", "describe", test_forks_behind_large);
  add_with_module ("/items/forks/chain", "describe", test_forks_chain);
  add_with_module ("/items/template-first", "describe", test_template_first);
  add_with_module ("/items/random", "describe", test_random);
  add_with_module ("/items/bytes/not-copied", "describe", test_bytes_not_copied);
  add_with_module ("/items/bytes/small-copied", "describe", test_bytes_small_copied);
  add_with_module ("/items/bytes/given-up", "describe", test_bytes_given_up);
  add_with_module ("/items/limit/require", "describe", test_limit_require);
  add_with_module ("/items/limit/eval", "describe", test_limit_eval);
  add_with_module ("/items/limit/call", "describe", test_limit_call);
  add_with_module ("/items/limit/arguments", "describe", test_limit_arguments);

  return g_test_run ();
}
