/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* One fault at each step of each workload. Each such cell of the table is a process that is forked
 * from this one, which has neither threads nor a main context. This one watches it from outside: it
 * must come to an end, leave nothing behind, and not be busy meanwhile.
 *
 * Ordinarily only some of the steps are tested. AFORK_FAULTS is a pattern for the cells to test
 * instead, such as "*" or "forks/template/sendmsg/2/kill". */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "catalogue.h"
#include "cell.h"

enum
{
  POLL_MS = 2,                  /* how often the child of another process is checked */
  WINDOW_MS = 30,               /* the time in which the caller must use little CPU time */
  MAX_WINDOW_CPU_MS = 10,       /* how much, in that time; a busy process uses all of it, or half */
  TIMEOUT_SECONDS = 20,         /* the time for one cell, on a busy machine */
#if defined (__SANITIZE_ADDRESS__)
  SAMPLED_EVERY = 23,           /* how many like cells an ordinary run skips */
#else
  SAMPLED_EVERY = 11,
#endif
};

#define FAULTS_VARIABLE "AFORK_FAULTS"

typedef struct
{
  const Workload *workload;
  FaultRole       role;
  FaultCall       call;
  guint           nth;
  Fault           fault;
} Cell;

/* The table has a row for each call and a column for each fault. */
static const char * const columns[] = {
  "kill", "stop", "stop+cancel", "stop+force", "delay", "short", "cut", "no fds",
  "EAGAIN", "EINTR", "ENOMEM", "EMFILE", "ENFILE", "ENOSPC", "other",
};

enum { N_COLUMNS = G_N_ELEMENTS (columns) };

typedef struct
{
  guint n_absorbed;
  guint n_reported;
} Count;

typedef struct
{
  guint       n_cells;
  guint       n_failed;
  guint       n_unreached;
  guint       n_operations;
  guint       n_windows;
  gint64      window_cpu;       /* microseconds, all together */
  gint64      max_window_cpu;
  guint       n_steps[FAULT_N_ROLES][FAULT_N_CALLS];
  Count       counts[FAULT_N_ROLES][FAULT_N_CALLS][N_COLUMNS];
  GHashTable *outcomes[N_COLUMNS];      /* how often each outcome came */
} Totals;

static FaultPlan *plan;
static CellReport *report;
static char **environment;
static char **own_environment;
static Totals totals;

/* Watching. */

static gint64
get_cpu_usec (pid_t pid)
{
  struct timespec time;
  clockid_t clock;

  if (clock_getcpuclockid (pid, &clock) != 0 || clock_gettime (clock, &time) < 0)
    return 0;

  return (gint64) time.tv_sec * G_USEC_PER_SEC + time.tv_nsec / 1000;
}

static gboolean
is_stopped (int pid)
{
  char path[64], text[512];
  const char *name_end;
  ssize_t size;
  int fd;

  g_snprintf (path, sizeof path, "/proc/%d/stat", pid);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return FALSE;

  size = read (fd, text, sizeof text - 1);
  close (fd);
  text[MAX (size, 0)] = '\0';
  name_end = strrchr (text, ')');
  return name_end != NULL && name_end[1] == ' ' && name_end[2] == 'T';
}

/* Sleeps until a child has changed its state, but no longer than this. */
static void
await_child (int ms)
{
  const struct timespec time = { ms / 1000, ms % 1000 * 1000000L };
  sigset_t child;

  sigemptyset (&child);
  sigaddset (&child, SIGCHLD);
  sigtimedwait (&child, NULL, &time);
}

/* Of processes that are left, including those of others that became children of this process. */
static char *
describe_children (void)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/task/%d/children", getpid ());
  g_autoptr(GString) text = g_string_new (NULL);
  g_autofree char *children = NULL;
  g_auto(GStrv) pids = NULL;

  if (!g_file_get_contents (path, &children, NULL, NULL))
    return g_strdup ("?");

  pids = g_strsplit (g_strstrip (children), " ", -1);
  for (guint i = 0; pids[i] != NULL; i++)
    {
      g_autofree char *stat_path = g_strdup_printf ("/proc/%s/stat", pids[i]);
      g_autofree char *stat = NULL;

      if (g_file_get_contents (stat_path, &stat, NULL, NULL))
        g_string_append_printf (text, "%s%.40s", text->len > 0 ? "; " : "", stat);
    }

  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
kill_all (void)
{
  for (;;)
    {
      g_autofree char *path = g_strdup_printf ("/proc/self/task/%d/children", getpid ());
      g_autofree char *children = NULL;
      g_auto(GStrv) pids = NULL;

      if (g_file_get_contents (path, &children, NULL, NULL))
        pids = g_strsplit (g_strstrip (children), " ", -1);
      for (guint i = 0; pids != NULL && pids[i] != NULL; i++)
        if (*pids[i] != '\0')
          kill ((pid_t) atoi (pids[i]), SIGKILL);
      if (waitpid (-1, NULL, 0) < 0 && errno == ECHILD)
        return;
    }
}

typedef struct
{
  pid_t    caller;
  int      control;             /* or -1 */
  int      status;              /* of the caller, once it has exited */
  gboolean ended;
  gboolean children_left;
  gboolean stop_seen;
  gint64   timeout;
} Watch;

/* A process has stopped itself: checks what the caller does then. */
static void
watch_stopped (Watch *watch,
               int    stopped)
{
  const gint64 end = g_get_monotonic_time () + WINDOW_MS * 1000;
  const guint64 one = 1;
  gint64 cpu = get_cpu_usec (watch->caller);
  gint64 left;

  watch->stop_seen = TRUE;
  while ((left = end - g_get_monotonic_time ()) > 0)
    g_usleep ((gulong) left);
  cpu = get_cpu_usec (watch->caller) - cpu;

  totals.n_windows++;
  totals.window_cpu += cpu;
  totals.max_window_cpu = MAX (totals.max_window_cpu, cpu);
  if (cpu > MAX_WINDOW_CPU_MS * 1000 && report->wrong[0] == '\0')
    g_snprintf (report->wrong, sizeof report->wrong,
                "The caller spins while process %d is stopped: %" G_GINT64_FORMAT " us", stopped,
                cpu);

  if (plan->action == FAULT_STOP || atomic_load (&plan->finishing))
    {
      kill (stopped, SIGCONT);
      atomic_store (&plan->continued, TRUE);
    }
  else if (write (watch->control, &one, sizeof one) != sizeof one)
    g_error ("The caller cannot be told to give up");
}

/* Reads the changes of all children. */
static void
reap (Watch *watch)
{
  int status;
  pid_t pid;

  while ((pid = waitpid (-1, &status, WNOHANG | WUNTRACED)) > 0)
    if (WIFSTOPPED (status))
      {
        if (pid == watch->caller)
          watch_stopped (watch, pid);
      }
    else if (pid == watch->caller)
      {
        watch->ended = TRUE;
        watch->status = status;
      }

  watch->children_left = pid == 0;
}

/* Until the caller has exited, and all processes that it has left behind. */
static gboolean
watch_caller (Watch *watch)
{
  watch->timeout = g_get_monotonic_time () + TIMEOUT_SECONDS * G_USEC_PER_SEC;
  for (;;)
    {
      int hit = atomic_load (&plan->hit);

      reap (watch);
      if (!watch->children_left)
        return TRUE;
      if (g_get_monotonic_time () > watch->timeout)
        return FALSE;

      if (fault_stops (plan->action) && plan->role != FAULT_CALLER && !watch->stop_seen
          && hit != 0 && is_stopped (hit))
        watch_stopped (watch, hit);
      await_child (fault_stops (plan->action) ? POLL_MS : 1000);
    }
}

/* Tests one cell. Returns what is wrong, or NULL. */
static char *
run_cell (const Workload *workload)
{
  const gboolean gives_up = plan->action == FAULT_STOP_CANCEL || plan->action == FAULT_STOP_FORCE;
  const gboolean kills_caller = plan->role == FAULT_CALLER && plan->action == FAULT_KILL;
  Watch watch = { .control = gives_up ? eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK) : -1 };
  g_autofree char *left = NULL;
  gboolean in_time;

  memset (report, 0, sizeof *report);
  fflush (NULL);
  watch.caller = fork ();
  g_assert_no_errno (watch.caller);
  if (watch.caller == 0)
    {
      sigset_t none;

      sigemptyset (&none);
      sigprocmask (SIG_SETMASK, &none, NULL);
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      prctl (PR_SET_CHILD_SUBREAPER, 0);
      cell_run (workload, plan, report, watch.control, (const char * const *) environment,
                (const char * const *) own_environment);
    }

  in_time = watch_caller (&watch);
  if (!in_time)
    {
      left = describe_children ();
      kill_all ();
    }
  if (watch.control >= 0)
    close (watch.control);

  if (report->wrong[0] != '\0')
    return g_strdup (report->wrong);
  if (!in_time)
    return g_strdup_printf ("%s; processes: %s",
                            watch.ended ? "Something was left behind" : "It hangs", left);
  if (kills_caller && report->over && report->reached)
    return g_strdup ("The caller was not killed");
  if (!report->over && !(kills_caller && WIFSIGNALED (watch.status)
                         && WTERMSIG (watch.status) == SIGKILL))
    return g_strdup_printf ("The caller has ended, with wait status %#x", watch.status);

  return NULL;
}

/* The table. */

static guint
get_column (const Fault *fault)
{
  for (guint i = 0; i < N_COLUMNS; i++)
    if (strcmp (columns[i], fault->name) == 0)
      return i;

  g_assert_not_reached ();
}

static void
count_outcome (guint       column,
               const char *outcome)
{
  GHashTable **outcomes = &totals.outcomes[column];
  guint n;

  if (*outcomes == NULL)
    *outcomes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  n = GPOINTER_TO_UINT (g_hash_table_lookup (*outcomes, outcome));
  g_hash_table_insert (*outcomes, g_strdup (outcome), GUINT_TO_POINTER (n + 1));
}

static void
count_cell (const Cell *cell)
{
  g_autofree char *outcome = kinds_to_string (report->kinds & ~(guint32) KIND_SAME);
  const guint column = get_column (&cell->fault);
  Count *count = &totals.counts[cell->role][cell->call][column];

  totals.n_operations += report->n_operations;
  if (cell->fault.kinds == 0)
    {
      count->n_reported++;
      count_outcome (column, "all ended with their caller");
    }
  else if (*outcome == '\0')
    {
      count->n_absorbed++;
      count_outcome (column, "absorbed");
    }
  else
    {
      count->n_reported++;
      count_outcome (column, outcome);
    }
}

static void
print_row (FaultRole role,
           FaultCall call)
{
  g_print ("# %-8s %-14s %5u", fault_role_name (role), fault_call_name (call),
           totals.n_steps[role][call]);
  for (guint i = 0; i < N_COLUMNS; i++)
    {
      const Count *count = &totals.counts[role][call][i];
      g_autofree char *text = g_strdup_printf ("%u+%u", count->n_absorbed, count->n_reported);

      g_print (" %11s", count->n_absorbed + count->n_reported > 0 ? text : "-");
    }
  g_print ("\n");
}

static void
print_steps (void)
{
  g_print ("# Of each fault: how often it was absorbed + how often it was told.\n");
  g_print ("# %-23s %5s", "step", "n");
  for (guint i = 0; i < N_COLUMNS; i++)
    g_print (" %11s", columns[i]);
  g_print ("\n");

  for (guint role = 0; role < FAULT_N_ROLES; role++)
    for (guint call = 0; call < FAULT_N_CALLS; call++)
      if (totals.n_steps[role][call] > 0)
        print_row (role, call);
}

static void
print_outcomes (void)
{
  for (guint i = 0; i < N_COLUMNS; i++)
    {
      GHashTableIter iter;
      gpointer outcome, n;

      if (totals.outcomes[i] == NULL)
        continue;

      g_print ("# %-11s", columns[i]);
      g_hash_table_iter_init (&iter, totals.outcomes[i]);
      while (g_hash_table_iter_next (&iter, &outcome, &n))
        g_print ("  %s: %u;", (char *) outcome, GPOINTER_TO_UINT (n));
      g_print ("\n");
      g_clear_pointer (&totals.outcomes[i], g_hash_table_unref);
    }
}

static void
test_table (void)
{
  print_steps ();
  print_outcomes ();
  g_print ("# %u cells: %u failed, %u not reached; %u asynchronous calls, each answered once\n",
           totals.n_cells, totals.n_failed, totals.n_unreached, totals.n_operations);
  g_print ("# %u windows of %d ms with a stopped process: the caller used %.2f ms of processor "
           "time on average and %.2f ms at most\n",
           totals.n_windows, WINDOW_MS,
           totals.n_windows > 0 ? (double) totals.window_cpu / totals.n_windows / 1000 : 0.0,
           (double) totals.max_window_cpu / 1000);

  /* Steps that sometimes do not happen would not be tested. */
  g_assert_cmpuint (totals.n_unreached * 50, <=, totals.n_cells);
}

/* The tests. */

/* Whether a template had sent anything before the fault, if the fault ended it. A message during
 * which it exited counts as well. */
static gboolean
had_handshake (const Cell *cell)
{
  const guint n_messages = atomic_load (&plan->counts[FAULT_TEMPLATE][FAULT_CALL_SENDMSG]);
  const gboolean at_message = cell->role == FAULT_TEMPLATE && cell->call == FAULT_CALL_SENDMSG;

  return n_messages > (at_message ? 1u : 0u);
}

static gboolean
fits (const Cell *cell,
      guint32     kinds)
{
  const guint32 allowed = had_handshake (cell) ? cell->fault.kinds
    : cell->fault.kinds_before_handshake;

  if ((kinds & ~(allowed | KIND_SAME)) != 0)
    return FALSE;

  return (kinds & allowed) != 0;
}

static void
test_cell (const Cell *cell)
{
  g_autofree char *name = g_strdup_printf ("%s/%s/%s/%u/%s", cell->workload->name,
                                           fault_role_name (cell->role),
                                           fault_call_name (cell->call), cell->nth,
                                           cell->fault.name);
  const char *pattern = g_getenv (FAULTS_VARIABLE);
  g_autofree char *kinds = NULL;
  g_autofree char *wrong = NULL;

  if (pattern != NULL && !g_pattern_match_simple (pattern, name))
    return;

  plan->role = cell->role;
  plan->call = cell->call;
  plan->nth = cell->nth;
  plan->action = cell->fault.action;
  plan->value = cell->fault.value;
  wrong = run_cell (cell->workload);
  kinds = kinds_to_string (report->kinds);

  totals.n_cells++;
  if (wrong == NULL && report->over && !report->reached)
    {
      totals.n_unreached++;
      g_test_message ("%s: not reached", name);
      return;
    }
  if (wrong == NULL && cell->fault.kinds != 0 && !fits (cell, report->kinds))
    wrong = g_strdup ("That is not what it may come to");
  if (wrong != NULL)
    {
      totals.n_failed++;
      g_test_message ("%s (%d): %s; it came to: %s", name, cell->fault.value, wrong, kinds);
      g_test_fail ();
      return;
    }

  count_cell (cell);
}

/* Whether an ordinary run tests a cell: each fault at each call of each role at least once, in the
 * first workload that has it, and one of so many of the rest. */
static gboolean
is_sampled (FaultRole    role,
            FaultCall    call,
            const Fault *fault)
{
  static guint n_cells[FAULT_N_ROLES][FAULT_N_CALLS][N_COLUMNS];

  return g_getenv (FAULTS_VARIABLE) != NULL
    || n_cells[role][call][get_column (fault)]++ % SAMPLED_EVERY == 0;
}

static void
test_call (const Workload *workload,
           FaultRole       role,
           FaultCall       call,
           guint           n)
{
  totals.n_steps[role][call] += n;
  for (guint nth = 1; nth <= n; nth++)
    {
      g_autoptr(GArray) faults = catalogue_get (workload, role, call, nth);

      for (guint i = 0; i < faults->len; i++)
        {
          const Cell cell = { workload, role, call, nth, g_array_index (faults, Fault, i) };

          if (is_sampled (role, call, &cell.fault))
            test_cell (&cell);
        }
    }
}

/* Goes through it twice without a fault: the calls that are counted each time are its steps. */
static void
test_workload (gconstpointer data)
{
  const Workload *workload = data;
  guint n_steps[FAULT_N_ROLES][FAULT_N_CALLS];

  memset (n_steps, 0xff, sizeof n_steps);
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *wrong = NULL;

      plan->action = FAULT_NONE;
      plan->nth = 0;
      wrong = run_cell (workload);
      g_assert_cmpstr (wrong, ==, NULL);
      g_assert_cmpuint (report->kinds, ==, KIND_SAME);
      for (guint role = 0; role < FAULT_N_ROLES; role++)
        for (guint call = 0; call < FAULT_N_CALLS; call++)
          n_steps[role][call] = MIN (n_steps[role][call],
                                     atomic_load (&plan->counts[role][call]));
    }

  for (guint role = 0; role < FAULT_N_ROLES; role++)
    for (guint call = 0; call < FAULT_N_CALLS; call++)
      test_call (workload, role, call, n_steps[role][call]);
}

/* Servers have few variables, because they allocate memory for each, and that is a step. */
static char **
make_environment (const char *plan_path)
{
  static const char * const kept[] = {
    "AFORK_MODULE_PATH", "LSAN_OPTIONS", "PATH", "UBSAN_OPTIONS",
  };
  g_auto(GStrv) made = g_environ_setenv (NULL, FAULT_PLAN_VARIABLE, plan_path, TRUE);
  g_autofree char *asan_options = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (kept); i++)
    if (g_getenv (kept[i]) != NULL)
      made = g_environ_setenv (g_steal_pointer (&made), kept[i], g_getenv (kept[i]), TRUE);

  /* The preloaded library is not sanitized, so it may come first. */
  asan_options = g_strconcat ("verify_asan_link_order=0:",
                              g_getenv ("ASAN_OPTIONS"), NULL);
  return g_environ_setenv (g_steal_pointer (&made), "ASAN_OPTIONS", asan_options, TRUE);
}

static void
make_plan (const char *preloaded)
{
  g_autofree char *path = NULL;
  int fd = memfd_create ("afork-fault-plan", MFD_CLOEXEC);

  g_assert_no_errno (fd);
  g_assert_no_errno (ftruncate (fd, sizeof *plan));
  plan = mmap (NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  report = mmap (NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true (plan != MAP_FAILED && report != MAP_FAILED);

  /* Servers find it here; the descriptor stays open. */
  path = g_strdup_printf ("/proc/%d/fd/%d", getpid (), fd);
  own_environment = make_environment (path);
  environment = g_environ_setenv (g_strdupv (own_environment), "LD_PRELOAD", preloaded, TRUE);
}

static void
prepare (const char *preloaded)
{
  sigset_t child;

  make_plan (preloaded);
  /* Orphans become children of this process, which reaps them at once. */
  g_assert_no_errno (prctl (PR_SET_CHILD_SUBREAPER, 1));
  sigemptyset (&child);
  sigaddset (&child, SIGCHLD);
  sigprocmask (SIG_BLOCK, &child, NULL);
}

int
main (int    argc,
      char **argv)
{
  int status;

  setlocale (LC_CTYPE, "C.UTF-8");
  afork_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  if (g_getenv ("AFORK_TEST_VALGRIND") != NULL)
    {
      g_print ("1..0 # SKIP valgrind has another C library's functions in front of these\n");
      return 0;
    }

  g_assert_cmpint (argc, ==, 2);
  prepare (argv[1]);
  for (gsize i = 0; i < n_workloads; i++)
    {
      g_autofree char *path = g_strconcat ("/faults/", workloads[i].name, NULL);

      g_test_add_data_func (path, &workloads[i], test_workload);
    }
  g_test_add_func ("/faults/table", test_table);
  status = g_test_run ();

  g_strfreev (environment);
  g_strfreev (own_environment);
  return status;
}
