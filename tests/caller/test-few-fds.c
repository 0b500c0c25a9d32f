/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A program at its limit of descriptors. One thread takes the last descriptors and closes them,
 * again and again. Each operation that needs a descriptor works or fails with an error, and the
 * program never exits. */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test-refuse-util.h"
#include "test-rpc-util.h"

enum
{
  /* How many descriptors are free while the other thread has none. */
  N_FREE = 24,
  N_ROUNDS = 300,
};

/* The other thread. */

typedef struct
{
  GThread       *thread;
  struct rlimit  saved;
  gint           stop;          /* atomic */
  gint           n_rounds;      /* atomic */
} Taker;

static gpointer
take_thread (gpointer data)
{
  Taker *self = data;
  int fds[N_FREE * 4];

  while (!g_atomic_int_get (&self->stop))
    {
      gsize n_fds = 0;

      while (n_fds < G_N_ELEMENTS (fds) && (fds[n_fds] = dup (STDERR_FILENO)) >= 0)
        n_fds++;
      while (n_fds > 0)
        close (fds[--n_fds]);
      g_atomic_int_inc (&self->n_rounds);
    }

  return NULL;
}

static void
taker_begin (Taker *self)
{
  struct rlimit tight;
  int next;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &self->saved));
  next = dup (STDERR_FILENO);
  g_assert_no_errno (next);
  close (next);
  tight = (struct rlimit) { (rlim_t) next + N_FREE, self->saved.rlim_max };
  g_atomic_int_set (&self->stop, FALSE);
  g_atomic_int_set (&self->n_rounds, 0);
  self->thread = g_thread_new ("taker", take_thread, self);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &tight));
}

static void
taker_end (Taker *self)
{
  g_test_message ("The last descriptors were taken %d times", g_atomic_int_get (&self->n_rounds));
  g_atomic_int_set (&self->stop, TRUE);
  g_thread_join (self->thread);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &self->saved));
}

/* Returns whether the script was run. If not, the error must say that no descriptor was left. */
static gboolean
is_answer (GVariant      *value,
           const GError  *error)
{
  if (value != NULL)
    {
      assert_uint32 (value, 1);
      return TRUE;
    }

  if (strstr (error->message, g_strerror (EMFILE)) == NULL)
    g_error ("Another error: %s", error->message);
  return FALSE;
}

static gboolean
try_call (AForkRpc *rpc)
{
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  value = afork_rpc_call (rpc, g_variant_new_string ("r1"), NULL, &error);
  return is_answer (value, error);
}

/* A thread that has waited before needs no more descriptors to wait again. */
static void
test_few_fds_blocking (void)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (FALSE, log);
  Taker taker;

  if (skip_under_valgrind ("Under valgrind descriptors cannot be limited"))
    return;

  g_assert_true (try_call (rpc));
  taker_begin (&taker);
  for (guint i = 0; i < N_ROUNDS * 10; i++)
    g_assert_true (try_call (rpc));
  taker_end (&taker);
  close_rpc (rpc);
}

/* A call within a call needs one more descriptor. */

typedef struct
{
  AForkRpc *inner;
  guint     n_calls;
  guint     n_answers;
} Nested;

static void
call_inner_cb (AForkRpc *rpc,
               GVariant *event,
               gpointer  data)
{
  Nested *self = data;

  self->n_calls++;
  self->n_answers += try_call (self->inner);
}

static void
call_outer (AForkRpc *rpc)
{
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  value = afork_rpc_call (rpc, g_variant_new_string ("e1 r1"), NULL, &error);
  g_assert_no_error (error);
}

static void
test_few_fds_nested (void)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (FALSE, log);
  g_autoptr(AForkRpc) inner = new_script_rpc (FALSE, log);
  Nested nested = { .inner = inner };
  Taker taker;

  if (skip_under_valgrind ("Under valgrind descriptors cannot be limited"))
    return;

  g_assert_true (try_call (rpc));
  g_assert_true (try_call (inner));
  g_signal_connect (rpc, "event", G_CALLBACK (call_inner_cb), &nested);
  taker_begin (&taker);
  for (guint i = 0; i < N_ROUNDS; i++)
    call_outer (rpc);
  taker_end (&taker);
  g_assert_cmpuint (nested.n_calls, ==, N_ROUNDS);
  g_test_message ("%u of %u inner calls were answered", nested.n_answers, N_ROUNDS);
  close_rpc (rpc);
  close_rpc (inner);
}

/* Objects are made and used without a blocking call. */
static void
test_few_fds_new (void)
{
  g_autoptr(AForkProcess) template = new_module_process ("script");
  guint n_answers = 0;
  Taker taker;

  if (skip_under_valgrind ("Under valgrind descriptors cannot be limited"))
    return;

  await_state (template, AFORK_PROCESS_STATE_PREPARING);
  taker_begin (&taker);
  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autoptr(GString) log = g_string_new (NULL);
      g_autoptr(AForkProcess) process = afork_process_fork (template);
      g_autoptr(AForkRpc) rpc = new_script_rpc_full (process, FALSE, NULL, NULL, log);
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = call (rpc, g_variant_new_string ("r1"), &error);

      n_answers += is_answer (value, error);
    }
  taker_end (&taker);
  g_test_message ("%u of %u calls were answered", n_answers, N_ROUNDS);
}

/* A thread that has never waited. Each such thread leaves one descriptor more, but never so many
 * that the other thread cannot take them all. */
static gpointer
wait_thread (gpointer data)
{
  g_autoptr(GMainContext) context = data;
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = NULL;
  gboolean answered;

  g_main_context_push_thread_default (context);
  rpc = new_script_rpc (FALSE, log);
  answered = try_call (rpc);
  g_clear_object (&rpc);
  g_main_context_pop_thread_default (context);
  return GINT_TO_POINTER (answered);
}

static void
test_few_fds_first (void)
{
  enum { N_THREADS = 80 };
  GMainContext *contexts[N_THREADS];
  guint n_answers = 0;
  Taker taker;

  if (skip_under_valgrind ("Under valgrind descriptors cannot be limited"))
    return;

  for (guint i = 0; i < N_THREADS; i++)
    contexts[i] = g_main_context_new ();
  taker_begin (&taker);
  for (guint i = 0; i < N_THREADS; i++)
    if (g_thread_join (g_thread_new ("waits", wait_thread, contexts[i])) != NULL)
      n_answers++;
  taker_end (&taker);
  g_test_message ("%u of %u threads had an answer", n_answers, N_THREADS);
}

/* The first call of a thread. Other threads take all descriptors as soon as the library has found
 * that some are free. To wake a main context, GLib and the library call the functions below in
 * place of those of the C library. The functions make N_LEFT descriptors for this process, and then
 * fail. Children have descriptors of their own. */

static gint n_left = -1;        /* atomic; negative if there is no limit */
static gint n_left_of_children = -1;    /* the same for children that share the memory */
static pid_t program;

static gboolean
takes_one (void)
{
  gint *left = getpid () == program ? &n_left : &n_left_of_children;

  if (g_atomic_int_get (left) < 0)
    return TRUE;
  if (g_atomic_int_get (left) == 0)
    {
      errno = EMFILE;
      return FALSE;
    }

  g_atomic_int_add (left, -1);
  return TRUE;
}

int
eventfd (unsigned int count,
         int          flags)
{
  return takes_one () ? (int) syscall (SYS_eventfd2, count, flags) : -1;
}

/* GLib calls this function if it cannot use eventfd(). */
int
pipe2 (int fds[2],
       int flags)
{
  return takes_one () ? (int) syscall (SYS_pipe2, fds, flags) : -1;
}

static gpointer
first_thread (gpointer data)
{
  GMainContext *context = g_main_context_new ();
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = NULL;
  gboolean answered;

  g_main_context_push_thread_default (context);
  rpc = new_script_rpc (FALSE, log);
  g_atomic_int_set (&n_left, GPOINTER_TO_INT (data));
  answered = try_call (rpc);
  g_atomic_int_set (&n_left, -1);
  g_clear_object (&rpc);
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);
  return GINT_TO_POINTER (answered);
}

static void
test_few_fds_taken (void)
{
  static const guint counts[] = { 0, 1, 2, 16, 64, 65 };

  if (skip_under_valgrind ("Under valgrind descriptors cannot be limited"))
    return;

  program = getpid ();
  for (guint i = 0; i < G_N_ELEMENTS (counts); i++)
    {
      gpointer answered = g_thread_join (g_thread_new ("first", first_thread,
                                                       GUINT_TO_POINTER (counts[i])));

      /* One descriptor is enough. */
      g_assert_cmpint (GPOINTER_TO_INT (answered), ==, counts[i] > 0);
    }
}

/* The default main context, which the library makes with the first object. So these tests run in a
 * process that has none yet, and take no census before. */

static void
run_without_default (void (*test) (void))
{
  if (skip_under_valgrind ("Under valgrind descriptors cannot be limited") || !is_own_program ())
    return;

  program = getpid ();
  test ();
}

static void
assert_no_context (const GError *error)
{
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
  g_assert_nonnull (strstr (error->message, "default main context"));
  g_assert_nonnull (strstr (error->message, "too few descriptors"));
}

/* The process, the object for calls and the pool are made without a context, and then fail. */
static void
assert_all_fail (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkRpc) rpc = afork_rpc_new (process, "serve");
  g_autoptr(AForkPool) pool = afork_pool_new (process, "serve");
  g_autoptr(GError) of_process = NULL;
  g_autoptr(GError) of_rpc = NULL;
  g_autoptr(GError) of_pool = NULL;

  g_assert_nonnull (afork_runtime_get_template (afork_runtime_get_default ()));
  afork_runtime_set_template (afork_runtime_get_default (), NULL);
  g_assert_null (afork_process_run (process, "serve", NULL, &of_process));
  g_assert_nonnull (of_process);
  g_assert_null (afork_rpc_call (rpc, NULL, NULL, &of_rpc));
  assert_no_context (of_rpc);
  g_assert_null (afork_pool_call (pool, NULL, NULL, &of_pool));
  assert_no_context (of_pool);
}

static void
assert_usable (void)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (FALSE, log);

  g_assert_true (try_call (rpc));
  close_rpc (rpc);
}

static void
fail_and_recover (void)
{
  struct rlimit saved, none;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &saved));
  none = (struct rlimit) { 0, saved.rlim_max };
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &none));
  assert_all_fail ();
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &saved));
  assert_usable ();
}

static void
test_few_fds_default_none (void)
{
  run_without_default (fail_and_recover);
}

/* A program with a second thread makes the context in a child. */

static gpointer
idle_thread (gpointer data)
{
  g_mutex_lock (data);
  g_mutex_unlock (data);
  return NULL;
}

static void
run_beside_thread (void (*test) (void))
{
  GMutex mutex;
  GThread *thread;

  g_mutex_init (&mutex);
  g_mutex_lock (&mutex);
  thread = g_thread_new ("idle", idle_thread, &mutex);
  test ();
  g_mutex_unlock (&mutex);
  g_thread_join (thread);
  g_mutex_clear (&mutex);
}

static void
fail_beside_thread (void)
{
  run_beside_thread (fail_and_recover);
}

static void
test_few_fds_default_threads (void)
{
  run_without_default (fail_beside_thread);
}

/* Another thread takes all descriptors but the one that the library opens. */

static void
make_with_last (void)
{
  g_autoptr(AForkProcess) process = NULL;

  g_atomic_int_set (&n_left, 1);
  process = afork_process_new ();
  g_assert_cmpint (g_atomic_int_get (&n_left), ==, 0);
  /* This has the context, and does not make it. */
  g_main_context_wakeup (NULL);
  g_atomic_int_set (&n_left, -1);
  g_clear_object (&process);
  assert_usable ();
}

static void
make_beside_thread (void)
{
  run_beside_thread (make_with_last);
}

static void
test_few_fds_default_taken (void)
{
  run_without_default (make_beside_thread);
}

/* A thread waits for the first time in a sandbox that refuses a system call that waiting needs.
 * Descriptors are free. */

static const RefusedCall refused[] = {
  { "clone", SYS_clone, 0, CLONE_VM | CLONE_VFORK, 0 },
  { "eventfd", SYS_eventfd2, ANY_ARGUMENT, 0, 0 },
  { "prctl", SYS_prctl, 0, PR_SET_PDEATHSIG, 0 },
};

static gboolean
wait_in_thread (void)
{
  return g_thread_join (g_thread_new ("waits", wait_thread, g_main_context_new ())) != NULL;
}

/* Processes that exit at once, or when GLib fails, do not free their memory. The leak sanitizer
 * would report this. */
static void
run_apart_unless_instrumented (void          (*func) (gconstpointer data),
                               gconstpointer   data)
{
  if (is_instrumented ())
    g_test_skip ("What such a process loses is reported as a leak");
  else
    run_apart (func, data);
}

static void
refused_apart (gconstpointer data)
{
  refuse (data);
  g_assert_true (wait_in_thread ());
  g_assert_true (wait_in_thread ());
}

static void
test_few_fds_refused (gconstpointer data)
{
  run_apart_unless_instrumented (refused_apart, data);
}

/* The kernel has no process left, or no memory for one: waiting fails with an error. */

static gpointer
fail_to_wait_thread (gpointer data)
{
  g_autoptr(GMainContext) context = data;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GError) error = NULL;

  g_main_context_push_thread_default (context);
  process = afork_process_new ();
  g_assert_false (afork_process_wait (process, NULL, &error));
  g_assert_nonnull (error);
  g_assert_true (error->domain == G_IO_ERROR);
  g_assert_nonnull (strstr (error->message, "left to wait with"));
  g_clear_object (&process);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
fail_to_wait (void)
{
  g_thread_join (g_thread_new ("waits", fail_to_wait_thread, g_main_context_new ()));
}

static void
used_up_apart (gconstpointer data)
{
  refuse_system_call_with (SYS_clone, 0, CLONE_VM | CLONE_VFORK, GPOINTER_TO_INT (data));
  fail_to_wait ();
}

static void
test_few_fds_used_up (gconstpointer data)
{
  run_apart_unless_instrumented (used_up_apart, data);
}

/* The whole system has no file left when GLib makes its wakeup in the child, although the library
 * has just made a file there. GLib then aborts its process, which must not be the program. */

static void
ignore_log (const char     *domain,
            GLogLevelFlags  level,
            const char     *message,
            gpointer        data)
{
}

static void
glib_fails_apart (gconstpointer data)
{
  g_log_set_default_handler (ignore_log, NULL);
  program = getpid ();
  g_atomic_int_set (&n_left_of_children, 1);
  fail_to_wait ();
  g_assert_cmpint (g_atomic_int_get (&n_left_of_children), ==, 0);
  g_atomic_int_set (&n_left_of_children, -1);
  g_assert_true (wait_in_thread ());
}

static void
test_few_fds_glib_fails (void)
{
  run_apart_unless_instrumented (glib_fails_apart, NULL);
}

/* The same as GLib makes the default context. It holds its lock from then on, so nothing may ask
 * for the context. GLib also takes the next message of this thread for one within the other. */

static gpointer
make_default_thread (gpointer data)
{
  g_autoptr(AForkProcess) process = NULL;

  g_atomic_int_set (&n_left_of_children, 1);
  process = afork_process_new ();
  g_assert_cmpint (g_atomic_int_get (&n_left_of_children), ==, 0);
  g_atomic_int_set (&n_left_of_children, -1);
  return NULL;
}

static void
fail_without_default (void)
{
  g_log_set_default_handler (ignore_log, NULL);
  g_thread_join (g_thread_new ("makes", make_default_thread, NULL));
  assert_all_fail ();
}

static void
test_few_fds_default_glib_fails (void)
{
  if (is_instrumented ())
    g_test_skip ("What such a process loses is reported as a leak");
  else
    run_without_default (fail_without_default);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/few-fds/blocking", test_few_fds_blocking);
  add_test ("/few-fds/nested", test_few_fds_nested);
  add_test ("/few-fds/new", test_few_fds_new);
  add_test ("/few-fds/first", test_few_fds_first);
  add_test ("/few-fds/taken", test_few_fds_taken);

  g_test_add_func ("/few-fds/default/none", test_few_fds_default_none);
  g_test_add_func ("/few-fds/default/threads", test_few_fds_default_threads);
  g_test_add_func ("/few-fds/default/taken", test_few_fds_default_taken);
  g_test_add_func ("/few-fds/default/glib-fails", test_few_fds_default_glib_fails);

  add_refusals ("/few-fds/refused", refused, G_N_ELEMENTS (refused), test_few_fds_refused);
  g_test_add_data_func ("/few-fds/used-up/processes", GINT_TO_POINTER (EAGAIN),
                        test_few_fds_used_up);
  g_test_add_data_func ("/few-fds/used-up/memory", GINT_TO_POINTER (ENOMEM), test_few_fds_used_up);
  g_test_add_func ("/few-fds/glib-fails", test_few_fds_glib_fails);

  return g_test_run ();
}
