/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Does a random mix of everything for a while, in rounds. After each round all operations must have
 * returned once, and nothing may be left. Two environment variables set the time and the mix:
 * AFORK_SOAK_SECONDS and AFORK_SOAK_SEED. */

#include "config.h"

#include "soak.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test-util.h"

enum
{
  DEFAULT_SECONDS = 20,
  N_ROUNDS = 5,                 /* at least */
  MAX_ROUND_SECONDS = 30,       /* the longest time of a round */
  TIMEOUT_SECONDS = 120,        /* how long to wait for an event */
  /* How much the heap may grow over all rounds: tables of GLib grow. */
  HEAP_SLACK = 64 * 1024,
};

/* Random numbers: splitmix64, seeded again for each step. */

static __thread guint64 chance_state;

void
chance_begin_step (guint32 seed,
                   guint   step)
{
  chance_state = ((guint64) seed << 32) ^ step;
}

static guint64
chance_next (void)
{
  guint64 z = chance_state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

guint
chance_below (guint limit)
{
  return (guint) ((chance_next () >> 32) * limit >> 32);
}

gboolean
chance (guint percent)
{
  return chance_below (100) < percent;
}

/* Counting. */

static GMutex tables_mutex;
static GHashTable *tables;      /* name → row → number */

void
tally (const char *table,
       const char *row)
{
  g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&tables_mutex);
  GHashTable *rows = g_hash_table_lookup (tables, table);
  guint count;

  if (rows == NULL)
    {
      rows = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
      g_hash_table_insert (tables, g_strdup (table), rows);
    }
  count = GPOINTER_TO_UINT (g_hash_table_lookup (rows, row));
  g_hash_table_insert (rows, g_strdup (row), GUINT_TO_POINTER (count + 1));
}

guint
tally_sum (const char *table)
{
  g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&tables_mutex);
  GHashTable *rows = g_hash_table_lookup (tables, table);
  GHashTableIter iter;
  gpointer count;
  guint sum = 0;

  if (rows == NULL)
    return 0;

  g_hash_table_iter_init (&iter, rows);
  while (g_hash_table_iter_next (&iter, NULL, &count))
    sum += GPOINTER_TO_UINT (count);
  return sum;
}

static int
compare_names (gconstpointer a,
               gconstpointer b)
{
  return strcmp (*(const char * const *) a, *(const char * const *) b);
}

void
tally_print (const char *table)
{
  GHashTable *rows = g_hash_table_lookup (tables, table);
  g_autofree gpointer *names = NULL;
  guint n_names;

  g_test_message ("%s: %u", table, tally_sum (table));
  if (rows == NULL)
    return;

  names = g_hash_table_get_keys_as_array (rows, &n_names);
  qsort (names, n_names, sizeof *names, compare_names);
  for (guint i = 0; i < n_names; i++)
    g_test_message ("  %7u  %s", GPOINTER_TO_UINT (g_hash_table_lookup (rows, names[i])),
                    (const char *) names[i]);
}

static void
object_gone_cb (gpointer  data,
                GObject  *object)
{
  int *n_objects = data;

  g_atomic_int_dec_and_test (n_objects);
  g_atomic_rc_box_release (n_objects);
}

void
count_object (gpointer  object,
              int      *n_objects)
{
  g_atomic_int_inc (n_objects);
  g_object_weak_ref (object, object_gone_cb, g_atomic_rc_box_acquire (n_objects));
}

/* Warnings of the library are about these actions. */
static void
ignore_cb (const char     *domain,
           GLogLevelFlags  level,
           const char     *message,
           gpointer        data)
{
}

/* Detects what takes too long. */

static guint32 seed;
static guint step;
static char watched[200];

static void
give_up_cb (int signal)
{
  if (write (STDERR_FILENO, watched, strlen (watched)) < 0)
    _exit (1);
  abort ();
}

void
watchdog_begin (const char *what)
{
  g_snprintf (watched, sizeof watched, "Still waiting for %s, in step %u of seed %u\n",
              what, step, seed);
  alarm (TIMEOUT_SECONDS);
}

void
watchdog_end (void)
{
  alarm (0);
}

/* The end of a round. */

static void
describe_subject (gpointer data,
                  gpointer user_data)
{
  Subject *self = data;

  g_test_message ("  process %u (%s): pid %d, state %d, handed over as %d, %s%s%u waits",
                  self->number, self->origin,
                  self->process != NULL ? (int) afork_process_get_pid (self->process) : -1,
                  self->process != NULL ? (int) afork_process_get_state (self->process) : -1,
                  self->run_kind, self->run_pending ? "its run pending, " : "",
                  self->connection != NULL ? "connected, " : "", self->n_waits);
}

static gboolean
describe_cb (gpointer data)
{
  g_test_message ("There are still, in step %u of seed %u:", step, seed);
  g_ptr_array_foreach (subjects, describe_subject, NULL);
  action_describe ();
  return G_SOURCE_CONTINUE;
}

static void
let_all_go (void)
{
  g_autoptr(GPtrArray) all = NULL;

  all = g_ptr_array_copy (subjects, (GCopyFunc) subject_ref, NULL);
  g_ptr_array_set_free_func (all, (GDestroyNotify) subject_unref);
  for (guint i = 0; i < all->len; i++)
    subject_let_go (g_ptr_array_index (all, i));
}

/* Objects whose process must still report its exit. The signal may come some iterations after the
 * state. If it never comes, the watchdog reports it. */
static void
check_ends (void)
{
  g_autoptr(GPtrArray) all = NULL;

  all = g_ptr_array_copy (subjects, (GCopyFunc) subject_ref, NULL);
  g_ptr_array_set_free_func (all, (GDestroyNotify) subject_unref);
  for (guint i = 0; i < all->len; i++)
    {
      Subject *self = g_ptr_array_index (all, i);

      if (self->process != NULL && !self->run_pending && self->n_waits == 0
          && self->connection == NULL
          && afork_process_get_state (self->process) == AFORK_PROCESS_STATE_EXITED)
        {
          if (self->n_exited > 1)
            g_error ("Process %u (%s) has exited %u times", self->number, self->origin,
                     self->n_exited);
          if (self->n_exited == 1)
            subject_drop (self, FALSE);
        }
    }
}

/* All operations return. */
static void
end_round (Census *census)
{
  guint describe;

  watchdog_begin ("the end of a round");
  describe = g_timeout_add_seconds (TIMEOUT_SECONDS / 12, describe_cb, NULL);
  action_update_outcomes ();
  action_end_round ();
  while (subjects->len > 0)
    {
      let_all_go ();
      check_ends ();
      if (subjects->len > 0)
        g_main_context_iteration (NULL, TRUE);
    }
  subjects_update_outcomes ();
  subject_forget_defaults ();
  census_end (census);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_source_remove (describe);
  watchdog_end ();
}

/* Every process inherits this variable, also indirectly. */
#define MARK "AFORK_SOAK_MARK"

static guint
count_descendants (gboolean describe)
{
  g_autofree char *mark = g_strdup_printf (MARK "=%s", g_getenv (MARK));
  g_autoptr(GDir) folder = g_dir_open ("/proc", 0, NULL);
  const char *name;
  guint n_found = 0;

  while ((name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc", name, "environ", NULL);
      g_autofree char *text = NULL;
      gsize size;

      if (!g_ascii_isdigit (name[0]) || atoi (name) == getpid ()
          || !g_file_get_contents (path, &text, &size, NULL))
        continue;
      for (const char *entry = text; entry < text + size; entry += strlen (entry) + 1)
        if (g_str_equal (entry, mark))
          {
            n_found++;
            if (describe)
              g_test_message ("  there is process %s", name);
          }
    }

  return n_found;
}

static gboolean
describe_descendants_cb (gpointer data)
{
  g_test_message ("There are still, in step %u of seed %u:", step, seed);
  count_descendants (TRUE);
  return G_SOURCE_CONTINUE;
}

/* No process waits for those that have lost their parent, so they are searched for. */
static void
await_descendants (guint n_expected)
{
  guint tick = g_timeout_add (10, tick_cb, NULL);
  guint describe = g_timeout_add_seconds (TIMEOUT_SECONDS / 12, describe_descendants_cb, NULL);

  watchdog_begin ("processes that are not ours to end");
  while (count_descendants (FALSE) > n_expected)
    g_main_context_iteration (NULL, TRUE);
  watchdog_end ();
  g_source_remove (describe);
  g_source_remove (tick);
}

/* Whether memory is allocated in another way than usual. Leaks are then found at the end. */
static gboolean
is_sanitized (void)
{
#ifdef __SANITIZE_ADDRESS__
  return TRUE;
#else
  return FALSE;
#endif
}

/* The test. */

static guint
get_number (const char *variable,
            guint       otherwise)
{
  const char *text = g_getenv (variable);
  guint64 number;

  if (text == NULL || *text == '\0')
    return otherwise;
  if (!g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT32, &number, NULL))
    g_error ("%s is no number: “%s”", variable, text);

  return (guint) number;
}

/* Things that are made once: contexts for blocking calls, and the thread of GIO. */
static void
warm_up (void)
{
  const char * const argv[] = { "true", NULL };
  g_autoptr(GTask) task G_GNUC_UNUSED = g_task_new (NULL, NULL, NULL, NULL);
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  CallMix *mix;
  PoolMix *pools;
  Census census;

  /* There may be more descriptors then, but no more children. */
  census_count (&census);
  census.n_fds = G_MAXUINT;

  process = afork_process_new_exec (NULL);
  connection = afork_process_exec (process, argv, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (afork_process_wait (process, NULL, NULL));
  mix = call_mix_new ();
  call_mix_update_outcomes (mix);
  call_mix_free (mix);
  pools = pool_mix_new ();
  pool_mix_free (pools);
  census_await (&census);
}

static void
test_soak (void)
{
  guint seconds = get_number ("AFORK_SOAK_SECONDS", DEFAULT_SECONDS);
  guint n_rounds = MAX (N_ROUNDS, seconds / MAX_ROUND_SECONDS);
  gsize first_heap = 0, last_heap = 0;
  guint n_left;
  Census census;

  for (guint round = 0; round < n_rounds; round++)
    {
      gint64 end = g_get_monotonic_time ()
        + (gint64) seconds * G_USEC_PER_SEC / (gint64) n_rounds;

      if (round == 0)
        {
          warm_up ();
          census_count (&census);
          n_left = count_descendants (FALSE);
        }
      while (g_get_monotonic_time () < end)
        {
          chance_begin_step (seed, ++step);
          action_take ();
        }

      end_round (&census);
      await_descendants (n_left);
      malloc_trim (0);
      last_heap = get_heap_size ();
      /* Everything has been in use by then. */
      if (round == 1)
        first_heap = last_heap;
      g_test_message ("Round %u of %u: %u steps, %u processes, %u faults; heap %" G_GSIZE_FORMAT
                      " KiB", round + 1, n_rounds, step, tally_sum ("processes"),
                      tally_sum ("faults"), last_heap / 1024);
    }

  tally_print ("processes");
  tally_print ("faults");
  tally_print ("drops");
  tally_print ("calls");
  tally_print ("answers to calls");
  tally_print ("answers to jobs");
  tally_print ("recitals");
  g_test_message ("Left over: 0 descriptors, 0 children, 0 descendants");
  if (!is_sanitized ())
    g_assert_cmpuint (last_heap, <=, first_heap + HEAP_SLACK);
}

/* The process that watches the one that does everything, and what that leaves behind. */

enum { EXIT_TIMEOUT_SECONDS = 20 }; /* the time for what ends by itself */

static pid_t looked_after;

static void
end_all_cb (int signal)
{
  kill (looked_after, SIGKILL);
}

static void
ignore_alarm_cb (int signal)
{
}

static void
kill_children (void)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/task/%d/children", (int) getpid ());
  g_autofree char *text = NULL;
  g_auto(GStrv) pids = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return;
  pids = g_strsplit_set (text, " ", -1);
  for (guint i = 0; pids[i] != NULL; i++)
    if (atoi (pids[i]) > 0)
      kill (atoi (pids[i]), SIGKILL);
}

/* A process that loses its parent becomes a child of this process. */
static guint
end_children (gboolean at_once)
{
  gboolean is_over = at_once;
  guint n_ended = 0;

  alarm (at_once ? 0 : EXIT_TIMEOUT_SECONDS);
  for (;;)
    {
      if (is_over)
        kill_children ();
      if (waitpid (-1, NULL, 0) > 0)
        n_ended += is_over;
      else if (errno == ECHILD)
        return n_ended;
      else
        is_over = TRUE;
    }
}

/* Returns in a new process, and exits in this one when that process and everything that it has left
 * behind have exited. */
static void
look_after_all (void)
{
  struct sigaction end_all = { .sa_handler = end_all_cb };
  struct sigaction wake = { .sa_handler = ignore_alarm_cb };
  int status;
  guint n_left;

  g_assert_no_errno (prctl (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
  looked_after = fork ();
  g_assert_no_errno (looked_after);
  if (looked_after == 0)
    {
      g_assert_no_errno (prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
      return;
    }

  sigaction (SIGTERM, &end_all, NULL);
  sigaction (SIGINT, &end_all, NULL);
  sigaction (SIGALRM, &wake, NULL);
  for (;;)
    {
      pid_t pid = waitpid (-1, &status, 0);

      if (pid == looked_after)
        break;
    }
  n_left = end_children (status != 0);
  if (status == 0 && n_left > 0)
    {
      fprintf (stderr, "%u processes were left\n", n_left);
      exit (EXIT_FAILURE);
    }
  exit (WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status));
}

/* The kernel shows the environment from the time when the program was executed, also for its forks.
 * Memory that allocators keep for later would count as in use, and it grows for a long time, so the
 * environment also tells them to keep none. */
static void
mark_descendants (char **argv)
{
  g_autofree char *mark = NULL;

  if (g_getenv (MARK) != NULL)
    return;

  look_after_all ();
  mark = g_strdup_printf ("%d", (int) getpid ());
  g_setenv (MARK, mark, TRUE);
  g_setenv ("G_SLICE", "always-malloc", TRUE);
  g_setenv ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", TRUE);
  execv ("/proc/self/exe", argv);
  g_error ("This program cannot be executed again: %s", g_strerror (errno));
}

/* The leak checker of an executed child stops the child by a tracer when it exits, and the two wait
 * for each other for ever if a signal comes in between. Here the checker has read its options. */
static void
leave_leaks_of_children (void)
{
  const char *options = g_getenv ("ASAN_OPTIONS");
  g_autofree char *without = NULL;

  without = g_strconcat (options != NULL ? options : "", ":detect_leaks=0", NULL);
  g_setenv ("ASAN_OPTIONS", without, TRUE);
}

int
main (int    argc,
      char **argv)
{
  struct sigaction action = { .sa_handler = give_up_cb };
  int status;

  mark_descendants (argv);
  leave_leaks_of_children ();
  afork_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  seed = get_number ("AFORK_SOAK_SEED", (guint) g_test_rand_int ());
  tables = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                  (GDestroyNotify) g_hash_table_unref);
  g_test_message ("AFORK_SOAK_SEED=%u", seed);

  g_log_set_handler ("AFork", G_LOG_LEVEL_DEBUG, ignore_cb, NULL);

  /* Before there is another thread. */
  subjects_begin ();
  action_begin ();
  sigaction (SIGALRM, &action, NULL);
  g_test_add_func ("/soak", test_soak);
  status = g_test_run ();

  action_end ();
  subjects_end ();
  g_hash_table_unref (tables);
  return status;
}
