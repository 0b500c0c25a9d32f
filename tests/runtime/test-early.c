/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Programs that are forked early. Each test executes this program again. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

#include "test-util.h"

static void
early (void)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (afork_early (&error));
  g_assert_no_error (error);
}

static void
expect_early_error (int         code,
                    const char *text)
{
  g_autoptr(GError) error = NULL;

  g_assert_false (afork_early (&error));
  g_assert_error (error, AFORK_ERROR, code);
  g_assert_nonnull (strstr (error->message, text));
}

/* Worker functions. */

static const char *word = "first";

AFORK_WORKER_EXPORT void set_word (int argc, const char * const *argv);

void
set_word (int                argc,
          const char * const *argv)
{
  word = g_strdup (argv[0]);
}

AFORK_WORKER_EXPORT void write_word (int socket, const AForkItem *items, size_t n_items);

void
write_word (int              socket,
            const AForkItem *items,
            size_t           n_items)
{
  dprintf (socket, "%s", word);
}

AFORK_WORKER_EXPORT void early_again (int socket, const AForkItem *items, size_t n_items);

/* A worker is a program with one thread, and may call afork_early() itself. */
void
early_again (int              socket,
             const AForkItem *items,
             size_t           n_items)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autofree char *text = NULL;

  word = "a worker's";
  early ();
  process = afork_process_new ();
  text = run_to_end (process, "write_word");
  dprintf (socket, "%s", text);
}

/* Tests. */

static void
test_early_run (void)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fresh = NULL;
  g_autofree char *text = NULL;
  g_autofree char *of_fresh = NULL;

  early ();
  word = "later";
  process = afork_process_new ();
  g_assert_true (afork_process_get_runtime (process) == afork_runtime_get_native ());
  text = run_to_end (process, "write_word");
  g_assert_cmpstr (text, ==, "first");

  fresh = afork_process_new_exec (NULL);
  of_fresh = run_to_end (fresh, "write_word");
  g_assert_cmpstr (of_fresh, ==, "first");
}

/* Fresh processes do not have what the default template got. */
static void
test_early_template (void)
{
  AForkProcess *template;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fresh = NULL;
  g_autofree char *text = NULL;
  g_autofree char *of_fresh = NULL;

  early ();
  template = afork_runtime_get_template (afork_runtime_get_native ());
  afork_process_call (template, "set_word", (const char * const []) { "prepared", NULL });
  process = afork_process_new ();
  fresh = afork_process_new_exec (NULL);
  text = run_to_end (process, "write_word");
  of_fresh = run_to_end (fresh, "write_word");
  g_assert_cmpstr (text, ==, "prepared");
  g_assert_cmpstr (of_fresh, ==, "first");

  /* A template that has exited is replaced by a fork that is prepared in the same way. */
  afork_process_force_exit (template);
  await_end (template);
  g_set_object (&process, NULL);
  g_clear_pointer (&text, g_free);
  process = afork_process_new ();
  text = run_to_end (process, "write_word");
  g_assert_cmpstr (text, ==, "prepared");
}

static void
test_early_modules (void)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autofree char *text = NULL;

  early ();
  process = afork_process_new ();
  afork_process_require (process, "take");
  afork_process_send_arg (process, "taken");
  afork_process_call (process, "take", NULL);
  text = run_to_end (process, "give");
  g_assert_cmpstr (text, ==, "taken");
}

static void
test_early_twice (void)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autofree char *text = NULL;

  early ();
  word = "later";
  expect_early_error (AFORK_ERROR_FAILED, "already");

  /* Nothing has changed. */
  process = afork_process_new ();
  text = run_to_end (process, "write_word");
  g_assert_cmpstr (text, ==, "first");
}

static void
test_early_late (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();

  expect_early_error (AFORK_ERROR_FAILED, "too late");

  /* Nothing has changed. */
  expect_run_error (process, "write_word", AFORK_ERROR, AFORK_ERROR_FUNCTION, "write_word");
}

/* A thread has its name when it enters its function. */
static gpointer
wait_in_thread (gpointer data)
{
  GAsyncQueue **queues = data;

  g_async_queue_push (queues[1], data);
  return g_async_queue_pop (queues[0]);
}

static void
test_early_threads (void)
{
  g_autoptr(GAsyncQueue) to_thread = g_async_queue_new ();
  g_autoptr(GAsyncQueue) from_thread = g_async_queue_new ();
  GAsyncQueue *queues[] = { to_thread, from_thread };
  GThread *thread = g_thread_new ("waits", wait_in_thread, queues);

  g_async_queue_pop (from_thread);
  expect_early_error (AFORK_ERROR_THREADS, "more than one thread: waits");
  g_async_queue_push (to_thread, queues);
  g_thread_join (thread);

  /* This does not make it too late. */
  early ();
}

/* If there was no room, the call can be repeated when there is. */
static void
test_early_failed (void)
{
  struct rlimit saved, none;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &saved));
  none = (struct rlimit) { 0, saved.rlim_max };
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &none));
  expect_early_error (AFORK_ERROR_SPAWN, g_strerror (EMFILE));
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &saved));
  early ();
}

/* If a property of the runtime says what to execute, and in other main contexts, the server is
 * executed. */
static void
test_early_elsewhere (void)
{
  AForkRuntime *native = afork_runtime_get_native ();
  const char *path = g_getenv ("PATH");
  g_autofree char *variable = g_strdup_printf ("PATH=%s", path);
  g_autoptr(AForkProcess) notified = NULL;
  g_autoptr(AForkProcess) other = NULL;
  g_autoptr(GMainContext) context = NULL;

  early ();
  afork_runtime_set_environ (native, (const char * const []) { variable, NULL });
  notified = afork_process_new_exec (NULL);
  expect_run_error (notified, "write_word", AFORK_ERROR, AFORK_ERROR_FUNCTION, "no module");
  afork_runtime_set_environ (native, NULL);

  context = g_main_context_new ();
  g_main_context_push_thread_default (context);
  other = afork_process_new ();
  expect_run_error (other, "write_word", AFORK_ERROR, AFORK_ERROR_FUNCTION, "no module");
  afork_runtime_set_template (native, NULL);
  g_main_context_pop_thread_default (context);
}

static void
test_early_in_worker (void)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autofree char *text = NULL;

  early ();
  process = afork_process_new ();
  text = run_to_end (process, "early_again");
  g_assert_cmpstr (text, ==, "a worker's");
}

/* The only child, from the list of the kernel. */
static GPid
get_child (void)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/task/%d/children", getpid ());
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_null (strchr (g_strchomp (text), ' '));
  return atoi (text);
}

static void
test_early_killed (void)
{
  g_autoptr(AForkProcess) process = NULL;

  early ();
  kill (get_child (), SIGKILL);
  process = afork_process_new ();
  expect_run_error (process, "write_word", AFORK_ERROR, AFORK_ERROR_SIGNALED, "signal 9");
}

/* A process is created again by forking the early template, as long as that lives. */
static void
test_early_recreate (void)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) again = NULL;
  g_autoptr(AForkProcess) fresh = NULL;
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;

  early ();
  process = afork_process_new ();
  afork_process_call (process, "set_word", (const char * const []) { "prepared", NULL });
  again = afork_process_recreate (process, &error);
  g_assert_no_error (error);
  text = run_to_end (again, "write_word");
  g_assert_cmpstr (text, ==, "prepared");

  kill (get_child (), SIGKILL);
  fresh = afork_process_new_exec (NULL);
  expect_run_error (fresh, "write_word", AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);
  g_assert_null (afork_process_recreate (process, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, "early template"));
}

/* The early template exists until the program exits. */
static void
test_in_program (gconstpointer data)
{
  run_in_program ((GTestFunc) data, 1);
}

static void
test_in_program_with_limit (gconstpointer data)
{
  if (!skip_under_valgrind ("Under valgrind descriptors cannot be limited"))
    test_in_program (data);
}

static void
add (const char *path,
     GTestFunc   test)
{
  g_test_add_data_func (path, (gconstpointer) test, test_in_program);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("/early/run", test_early_run);
  add ("/early/template", test_early_template);
  add ("/early/modules", test_early_modules);
  add ("/early/twice", test_early_twice);
  add ("/early/late", test_early_late);
  add ("/early/threads", test_early_threads);
  g_test_add_data_func ("/early/failed", test_early_failed, test_in_program_with_limit);
  add ("/early/elsewhere", test_early_elsewhere);
  add ("/early/in-worker", test_early_in_worker);
  add ("/early/killed", test_early_killed);
  add ("/early/recreate", test_early_recreate);

  return g_test_run ();
}
