/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Templates that are forked from the calling program. Each test executes this program again,
 * because it has more than one thread once it has run a test. */

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

#include "test-util.h"

static AForkProcess *
new_template (void)
{
  g_autoptr(GError) error = NULL;
  AForkProcess *template = afork_process_new_template (&error);

  g_assert_no_error (error);
  g_assert_nonnull (template);
  return template;
}

/* What FUNCTION, run in a fork of TEMPLATE, writes until it returns. */
static char *
run_fork_to_end (AForkProcess *template,
                 const char   *function)
{
  g_autoptr(AForkProcess) process = afork_process_fork (template);

  return run_to_end (process, function);
}

/* The lines about descriptors that the module "inspect" reports in a fork of TEMPLATE. */
static char *
inspect_descriptors (AForkProcess *template)
{
  g_autofree char *text = run_fork_to_end (template, "inspect");
  char *begin = strstr (text, "[descriptors]\n");
  char *end = strstr (text, "\n[status]");

  g_assert_nonnull (begin);
  g_assert_nonnull (end);
  *end = '\0';
  return g_strdup (begin + strlen ("[descriptors]\n"));
}

/* Worker functions. */

static const char *word = "first";

G_GNUC_PRINTF (2, 3) static void
notify (int         socket,
        const char *format,
        ...)
{
  va_list arguments;

  va_start (arguments, format);
  if (vdprintf (socket, format, arguments) < 0)
    exit (1);
  va_end (arguments);
}

AFORK_WORKER_EXPORT void write_word (int socket, const AForkItem *items, size_t n_items);

void
write_word (int              socket,
            const AForkItem *items,
            size_t           n_items)
{
  notify (socket, "%s", word);
}

AFORK_WORKER_EXPORT void write_parent (int socket, const AForkItem *items, size_t n_items);

void
write_parent (int              socket,
              const AForkItem *items,
              size_t           n_items)
{
  notify (socket, "%d", (int) getppid ());
}

AFORK_WORKER_EXPORT void take_word (int argc, const char * const *argv);

void
take_word (int                argc,
           const char * const *argv)
{
  size_t n_items;
  const AForkItem *items = afork_worker_take_items (&n_items);

  word = n_items == 1 ? items[0].data : argv[0];
}

/* Has the name of a function in a module. */
AFORK_WORKER_EXPORT void echo (int socket, const AForkItem *items, size_t n_items);

void
echo (int              socket,
      const AForkItem *items,
      size_t           n_items)
{
  notify (socket, "the program's");
}

/* The identifiers of the eventfds that this process has. */
static char *
list_eventfds (void)
{
  g_autoptr(GDir) folder = g_dir_open ("/proc/self/fdinfo", 0, NULL);
  GString *list = g_string_new (NULL);
  const char *name;

  while ((name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/fdinfo", name, NULL);
      g_autofree char *text = NULL;
      const char *found = NULL;

      if (g_file_get_contents (path, &text, NULL, NULL))
        found = strstr (text, "eventfd-id:");
      if (found != NULL)
        g_string_append_printf (list, "%d ", atoi (found + strlen ("eventfd-id:")));
    }

  return g_string_free (list, FALSE);
}

AFORK_WORKER_EXPORT void await_end_of_file (int socket, const AForkItem *items, size_t n_items);

void
await_end_of_file (int              socket,
                   const AForkItem *items,
                   size_t           n_items)
{
  char byte;

  while (read (socket, &byte, 1) > 0)
    ;
}

AFORK_WORKER_EXPORT void write_eventfds (int socket, const AForkItem *items, size_t n_items);

void
write_eventfds (int              socket,
                const AForkItem *items,
                size_t           n_items)
{
  g_autofree char *list = list_eventfds ();

  notify (socket, "%s", list);
  shutdown (socket, SHUT_WR);
  await_end_of_file (socket, items, n_items);
}

AFORK_WORKER_EXPORT void write_signals (int socket, const AForkItem *items, size_t n_items);

void
write_signals (int              socket,
               const AForkItem *items,
               size_t           n_items)
{
  sigset_t blocked;
  guint n_blocked = 0, n_handled = 0;

  sigprocmask (SIG_BLOCK, NULL, &blocked);
  for (int number = 1; number < SIGRTMIN; number++)
    {
      struct sigaction action;

      if (sigaction (number, NULL, &action) < 0)
        continue;
      n_blocked += sigismember (&blocked, number) == 1;
      n_handled += action.sa_handler != SIG_DFL;
    }

  notify (socket, "%u %u", n_blocked, n_handled);
}

/* Tests. */

static void
test_template_run (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autofree char *text = NULL;

  word = "before";
  template = new_template ();
  word = "after";
  g_assert_cmpstr (afork_runtime_get_name (afork_process_get_runtime (template)), ==, "program");

  text = run_fork_to_end (template, "write_word");
  g_assert_cmpstr (text, ==, "before");
}

/* It is a child of this process, known at once, and its forks are its children. */
static void
test_template_pid (void)
{
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(GSocketConnection) connection = NULL;
  GPid pid = afork_process_get_pid (template);
  g_autofree char *of_fork = NULL;
  g_autofree char *of_template = NULL;

  g_assert_cmpint (pid, >, 0);
  of_fork = run_fork_to_end (template, "write_parent");
  g_assert_cmpint (atoi (of_fork), ==, pid);

  connection = run_process_ok (template, "write_parent");
  g_assert_cmpint (afork_process_get_pid (template), ==, pid);
  of_template = read_to_end (connection, NULL);
  g_assert_cmpint (atoi (of_template), ==, getpid ());
  finish_process (template, connection);
}

static void
test_template_prepared (void)
{
  g_autoptr(AForkProcess) template = new_template ();
  g_autofree char *by_argument = NULL;
  g_autofree char *by_item = NULL;

  afork_process_call (template, "take_word", STRV ("argument"));
  by_argument = run_fork_to_end (template, "write_word");
  g_assert_cmpstr (by_argument, ==, "argument");

  afork_process_send_arg (template, "item");
  afork_process_call (template, "take_word", NULL);
  by_item = run_fork_to_end (template, "write_word");
  g_assert_cmpstr (by_item, ==, "item");
}

static void
test_template_modules (void)
{
  g_autoptr(AForkProcess) template = new_template ();
  g_autofree char *program_only = run_fork_to_end (template, "echo");
  g_autofree char *program = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *module = NULL;

  g_assert_cmpstr (program_only, ==, "the program's");

  afork_process_require (template, "echo");
  program = run_fork_to_end (template, ":echo");
  g_assert_cmpstr (program, ==, "the program's");

  process = afork_process_fork (template);
  afork_process_send_arg (process, "the module's");
  connection = run_process_ok (process, "echo");
  module = read_echo (connection);
  g_assert_cmpstr (module, ==, "the module's");
  finish_process (process, connection);
}

/* Modules find the functions of the server. */
static void
test_template_module_takes_items (void)
{
  g_autoptr(AForkProcess) template = new_template ();
  g_autofree char *text = NULL;

  afork_process_require (template, "take");
  afork_process_send_arg (template, "taken");
  afork_process_call (template, "take", NULL);
  text = run_fork_to_end (template, "give");
  g_assert_cmpstr (text, ==, "taken");
}

static void
test_template_no_function (void)
{
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(AForkProcess) hidden = afork_process_fork (template);
  g_autoptr(AForkProcess) of_libc = afork_process_fork (template);

  expect_run_error (hidden, "run_fork_to_end", AFORK_ERROR, AFORK_ERROR_FUNCTION,
                    "the program exports");
  expect_run_error (of_libc, "getpid", AFORK_ERROR, AFORK_ERROR_FUNCTION, "getpid");
}

/* Waits for the other queue. A thread has its name when it enters its function. */
static gpointer
another_thread (gpointer data)
{
  GAsyncQueue **queues = data;

  g_async_queue_push (queues[1], data);
  return g_async_queue_pop (queues[0]);
}

/* The message names all threads, and is valid UTF-8 even if a name is not. */
static void
test_template_threads (void)
{
  const char *names[] = { "one-too-many", "and-another", "\xff" };
  const char *shown[] = { "one-too-many", "and-another", "\357\277\275" };
  g_autoptr(GAsyncQueue) to_thread = g_async_queue_new ();
  g_autoptr(GAsyncQueue) from_thread = g_async_queue_new ();
  GAsyncQueue *queues[] = { to_thread, from_thread };
  GThread *threads[G_N_ELEMENTS (names)];
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(GError) error = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      threads[i] = g_thread_new (names[i], another_thread, queues);
      g_async_queue_pop (from_thread);
    }
  template = afork_process_new_template (&error);
  g_assert_null (template);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_THREADS);
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    g_assert_nonnull (strstr (error->message, shown[i]));

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    g_async_queue_push (to_thread, queues);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    g_thread_join (threads[i]);
  template = new_template ();
}

/* Returns whether N_FREE descriptors are free. */
static AForkProcess *
new_template_starved (rlim_t   n_free,
                      GError **error)
{
  const int first_free = dup (STDERR_FILENO);
  AForkProcess *template;
  struct rlimit saved, limit;

  g_assert_no_errno (first_free);
  g_assert_no_errno (close (first_free));
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &saved));
  limit = saved;
  limit.rlim_cur = (rlim_t) first_free + n_free;
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
  template = afork_process_new_template (error);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &saved));
  return template;
}

/* A thread that cannot be examined for lack of descriptors counts as running. The error is that
 * there is a thread, because more descriptors would not help. */
static void
test_template_threads_unseen (void)
{
  g_autoptr(GAsyncQueue) to_thread = g_async_queue_new ();
  g_autoptr(GAsyncQueue) from_thread = g_async_queue_new ();
  GAsyncQueue *queues[] = { to_thread, from_thread };
  GThread *thread = g_thread_new ("unseen", another_thread, queues);

  g_async_queue_pop (from_thread);
  /* The first object makes the default main context, which takes descriptors. */
  g_assert_null (afork_process_new_template (NULL));
  for (rlim_t n_free = 0; n_free < 8; n_free++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(AForkProcess) template = new_template_starved (n_free, &error);

      g_assert_null (template);
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_THREADS);
      g_test_message ("%s", error->message);
    }

  g_async_queue_push (to_thread, queues);
  g_thread_join (thread);
}

/* The kernel lists a thread for a while after it was joined. */
static void
test_template_joined_threads (void)
{
  for (int i = 0; i < 40; i++)
    {
      GThread *thread = g_thread_new ("joined", (GThreadFunc) g_thread_self, NULL);
      g_autoptr(AForkProcess) template = NULL;

      g_thread_join (thread);
      template = new_template ();
    }
}

/* A template has no socket of the caller's other processes, so these exit when the caller closes
 * their sockets. Its forks have the descriptors of the program, an eventfd, and their socket. */
static void
test_template_descriptors (void)
{
  g_autoptr(AForkProcess) before = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) unused = afork_process_fork (before);
  g_autoptr(AForkProcess) first = NULL;
  g_autoptr(AForkProcess) second = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *descriptors = NULL;
  g_autofree char *expected = NULL;
  g_auto(GStrv) lines = NULL;
  const int limit = getdtablesize ();
  guint n_descriptors = 0;
  struct stat status;
  int own = open ("/dev/zero", O_RDONLY);

  g_assert_cmpint (fstat (own, &status), ==, 0);
  expected = g_strdup_printf ("%d=%ju;0;", own, (uintmax_t) status.st_ino);
  afork_process_send_fd (unused, own);
  afork_process_require (before, "echo");
  first = new_template ();
  second = new_template ();

  /* `second` was forked when the other three had their sockets. */
  afork_process_require (second, "inspect");
  descriptors = inspect_descriptors (second);
  lines = g_strsplit (descriptors, "\n", -1);
  g_assert_true (g_strv_contains ((const char * const *) lines, expected));
  /* Valgrind has some of its own, above the limit that it reports. */
  for (guint i = 0; lines[i] != NULL; i++)
    n_descriptors += atoi (lines[i]) < limit;
  g_assert_cmpuint (n_descriptors, ==, STDERR_FILENO + 1 + 3);

  connection = run_process_ok (before, "echo");
  finish_process (before, connection);
  afork_process_run_async (first, "await_end_of_file", NULL, NULL, NULL);
  await_end (first);
  assert_exit_status (first, 0);
  close (own);
}

/* The lists have the same length, and no identifier is in both. */
static void
assert_none_shared (const char *a,
                    const char *b)
{
  g_auto(GStrv) of_a = g_strsplit (a, " ", -1);
  g_auto(GStrv) of_b = g_strsplit (b, " ", -1);

  g_assert_cmpuint (g_strv_length (of_a), ==, g_strv_length (of_b));
  for (guint i = 0; of_a[i] != NULL; i++)
    if (*of_a[i] != '\0')
      g_assert_false (g_strv_contains ((const char * const *) of_b, of_a[i]));
}

/* The same in a program that has another main context at the time, which it iterates later. */
static void
test_template_wakeup_context (void)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autofree char *ours = list_eventfds ();
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) one = NULL;
  g_autoptr(AForkProcess) other = NULL;
  g_autoptr(GSocketConnection) from_one = NULL;
  g_autoptr(GSocketConnection) from_other = NULL;

  g_main_context_push_thread_default (context);
  template = new_template ();
  one = afork_process_fork (template);
  other = afork_process_fork (template);
  from_one = afork_process_run (one, "write_eventfds", NULL, NULL);
  from_other = afork_process_run (other, "write_eventfds", NULL, NULL);
  first = read_to_end (from_one, NULL);
  second = read_to_end (from_other, NULL);
  g_clear_object (&from_one);
  g_clear_object (&from_other);
  g_assert_true (afork_process_wait (one, NULL, NULL));
  g_assert_true (afork_process_wait (other, NULL, NULL));
  g_main_context_pop_thread_default (context);

  g_test_message ("%s; %s; %s", ours, first, second);
  assert_none_shared (ours, first);
  assert_none_shared (ours, second);
  assert_none_shared (first, second);
}

/* Wake-ups only wake the process itself. */
static void
test_template_wakeup (void)
{
  g_autofree char *ours = list_eventfds ();
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(AForkProcess) one = afork_process_fork (template);
  g_autoptr(AForkProcess) other = afork_process_fork (template);
  g_autoptr(GSocketConnection) from_one = run_process_ok (one, "write_eventfds");
  g_autoptr(GSocketConnection) from_other = run_process_ok (other, "write_eventfds");
  g_autofree char *first = read_to_end (from_one, NULL);
  g_autofree char *second = read_to_end (from_other, NULL);

  g_test_message ("%s; %s; %s", ours, first, second);
  finish_process (one, from_one);
  finish_process (other, from_other);
  g_assert_cmpstr (ours, !=, "");
  g_assert_cmpstr (first, !=, "");
  g_assert_cmpstr (second, !=, "");
  g_assert_cmpstr (first, !=, ours);
  g_assert_cmpstr (second, !=, ours);
  g_assert_cmpstr (second, !=, first);
}

/* The descriptor that wakes the main context cannot be opened. */
static void
test_template_mapped (void)
{
  g_autoptr(AForkProcess) template = new_template ();
  GMainContext *context = g_main_context_default ();
  g_autofree GPollFD *fds = NULL;
  int timeout, n_fds;

  n_fds = g_main_context_query (context, G_MAXINT, &timeout, NULL, 0);
  fds = g_new0 (GPollFD, n_fds);
  g_main_context_query (context, G_MAXINT, &timeout, fds, n_fds);
  for (int i = 0; i < n_fds; i++)
    afork_process_map_fd (template, STDERR_FILENO, fds[i].fd);
  expect_run_error (template, "write_word", AFORK_ERROR, AFORK_ERROR_FAILED, "main context");
}

/* An executed program gets the descriptors that were mapped for it, and not those of this
 * program. */
static void
test_template_exec (void)
{
  const char *argv[] = { "sh", "-c", "cd /proc/$$/fd; echo *", NULL };
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  int fd = fcntl (STDERR_FILENO, F_DUPFD, 50);

  g_assert_cmpint (fd, >=, 50);
  template = new_template ();
  afork_process_map_fd (template, STDERR_FILENO, 99);
  process = afork_process_fork (template);
  afork_process_map_fd (process, STDERR_FILENO, 98);
  connection = afork_process_exec (process, argv, NULL, &error);
  g_assert_no_error (error);
  text = read_to_end (connection, NULL);
  /* 3 is the directory that the shell reads. */
  g_assert_cmpstr (text, ==, "0 1 2 3 98 99\n");
  finish_process (process, connection);
  close (fd);
}

static void
handle_signal (int number)
{
}

static void
test_template_signals (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autofree char *text = NULL;
  sigset_t blocked;

  signal (SIGUSR1, handle_signal);
  signal (SIGPIPE, SIG_IGN);
  sigemptyset (&blocked);
  sigaddset (&blocked, SIGUSR2);
  sigprocmask (SIG_BLOCK, &blocked, NULL);
  template = new_template ();
  text = run_fork_to_end (template, "write_signals");
  g_assert_cmpstr (text, ==, "0 0");

  /* The descriptors of this program are as they were. */
  sigprocmask (SIG_BLOCK, NULL, &blocked);
  g_assert_true (sigismember (&blocked, SIGUSR2));
  g_assert_false (sigismember (&blocked, SIGUSR1));
  g_assert_true (signal (SIGUSR1, SIG_DFL) == handle_signal);
}

static void
test_template_killed (void)
{
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(AForkProcess) process = NULL;

  afork_process_send_signal (template, SIGKILL);
  await_end (template);
  assert_term_signal (template, SIGKILL);
  process = afork_process_fork (template);
  expect_run_error (process, "write_word", AFORK_ERROR, AFORK_ERROR_SIGNALED, "signal 9");
}

/* The library works in a worker, too, and does not use the processes of the caller there. */

static AForkProcess *callers;

AFORK_WORKER_EXPORT void use_library (int socket, const AForkItem *items, size_t n_items);

void
use_library (int              socket,
             const AForkItem *items,
             size_t           n_items)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) run_error = NULL;
  g_autoptr(GError) wait_error = NULL;
  g_autofree char *text = NULL;

  g_assert_null (run_process (callers, "echo", &run_error));
  g_assert_error (run_error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_assert_false (wait_process (callers, &wait_error));
  g_assert_error (wait_error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  afork_process_force_exit (callers);

  afork_process_require (process, "echo");
  afork_process_send_arg (process, "deep");
  connection = run_process_ok (process, "echo");
  text = read_echo (connection);
  finish_process (process, connection);
  notify (socket, "%s", text);
}

static void
test_template_library (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *text = NULL;

  callers = afork_process_new ();
  afork_process_require (callers, "echo");
  template = new_template ();
  text = run_fork_to_end (template, "use_library");
  g_assert_cmpstr (text, ==, "deep");

  /* The caller's object is not affected. */
  connection = run_process_ok (callers, "echo");
  finish_process (callers, connection);
  g_clear_object (&callers);
}

/* The worker does not have the templates of the caller, nor their commands: neither a template that
 * the caller has set, nor one that could be started again. */
AFORK_WORKER_EXPORT void use_new_process (int socket, const AForkItem *items, size_t n_items);

void
use_new_process (int              socket,
                 const AForkItem *items,
                 size_t           n_items)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;

  afork_process_require (process, "echo");
  connection = afork_process_run (process, "echo", NULL, &error);
  if (connection == NULL)
    {
      notify (socket, "%s", error->message);
      return;
    }

  text = read_echo (connection);
  finish_process (process, connection);
  notify (socket, "<%s>", text);
}

static void
test_template_callers_templates (gboolean is_given)
{
  AForkRuntime *native = afork_runtime_get_native ();
  g_autoptr(AForkProcess) given = NULL;
  g_autoptr(AForkProcess) template = NULL;
  g_autofree char *text = NULL;

  if (is_given)
    {
      given = afork_process_new_exec (native);
      afork_runtime_set_template (native, given);
    }
  afork_process_send_arg (afork_runtime_get_template (native), "the caller's");
  afork_process_send_fd (afork_runtime_get_template (native), STDERR_FILENO);
  template = new_template ();
  text = run_fork_to_end (template, "use_new_process");
  g_assert_cmpstr (text, ==, "<>");
}

static void
test_template_prepared_template (void)
{
  test_template_callers_templates (FALSE);
}

static void
test_template_given_template (void)
{
  test_template_callers_templates (TRUE);
}

static gboolean
make_template_cb (gpointer data)
{
  *(AForkProcess **) data = new_template ();
  return G_SOURCE_REMOVE;
}

static void
test_template_in_callback (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autofree char *text = NULL;

  g_idle_add (make_template_cb, &template);
  while (template == NULL)
    g_main_context_iteration (NULL, TRUE);
  text = run_fork_to_end (template, "write_word");
  g_assert_cmpstr (text, ==, "first");
}

static void
test_template_many (void)
{
  g_autoptr(AForkProcess) template = new_template ();
  AForkProcess *processes[50];
  GSocketConnection *connections[50];

  for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      processes[i] = afork_process_fork (template);
      connections[i] = run_process_ok (processes[i], "await_end_of_file");
    }
  for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      finish_process (processes[i], connections[i]);
      g_object_unref (connections[i]);
      g_object_unref (processes[i]);
    }
}

static void
print_at_exit (void)
{
  printf ("<exit>");
}

/* Output from before is written once, and exit handlers of the program run once. */
static void
test_template_exit (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autofree char *text = NULL;

  if (g_test_subprocess ())
    {
      atexit (print_at_exit);
      printf ("<begin>");
      template = new_template ();
      text = run_fork_to_end (template, "write_word");
      g_assert_cmpstr (text, ==, "first");
      afork_process_run_async (template, "await_end_of_file", NULL, NULL, NULL);
      await_end (template);
      assert_exit_status (template, 0);
      return;
    }

  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
  g_test_trap_assert_stdout ("*<begin>*<exit>*");
  g_test_trap_assert_stdout_unmatched ("*<begin>*<begin>*");
  g_test_trap_assert_stdout_unmatched ("*<exit>*<exit>*");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_in_program ("/template/run", test_template_run);
  add_in_program ("/template/pid", test_template_pid);
  add_in_program ("/template/prepared", test_template_prepared);
  add_in_program ("/template/modules", test_template_modules);
  add_in_program ("/template/module-takes-items", test_template_module_takes_items);
  add_in_program ("/template/no-function", test_template_no_function);
  add_in_program ("/template/threads", test_template_threads);
  add_in_program ("/template/threads-unseen", test_template_threads_unseen);
  add_in_program ("/template/joined-threads", test_template_joined_threads);
  add_in_program ("/template/descriptors", test_template_descriptors);
  add_in_program ("/template/wakeup", test_template_wakeup);
  add_in_program ("/template/other-wakeup", test_template_wakeup_context);
  add_in_program ("/template/mapped", test_template_mapped);
  add_in_program ("/template/exec", test_template_exec);
  add_in_program ("/template/signals", test_template_signals);
  add_in_program ("/template/killed", test_template_killed);
  add_in_program ("/template/library", test_template_library);
  add_in_program ("/template/prepared-template", test_template_prepared_template);
  add_in_program ("/template/given-template", test_template_given_template);
  add_in_program ("/template/in-callback", test_template_in_callback);
  add_in_program ("/template/many", test_template_many);
  g_test_add_func ("/template/exit", test_template_exit);

  return g_test_run ();
}
