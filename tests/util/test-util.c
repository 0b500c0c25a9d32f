/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "test-util.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <afork/system/pidfd.h>

/* Counts the entries of a directory whose names are numbers. */
static guint
count_numbers (const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  guint n_numbers = 0;

  g_assert_nonnull (dir);
  while ((name = g_dir_read_name (dir)) != NULL)
    n_numbers += g_ascii_isdigit (name[0]);
  return n_numbers;
}

/* Counts the children of all threads. Zombies are counted, too. */
static guint
count_children (void)
{
  g_autoptr(GDir) tasks = g_dir_open ("/proc/self/task", 0, NULL);
  const char *name;
  guint n_children = 0;

  g_assert_nonnull (tasks);
  while ((name = g_dir_read_name (tasks)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/task", name, "children", NULL);
      g_autofree char *text = NULL;
      g_auto(GStrv) pids = NULL;

      if (!g_file_get_contents (path, &text, NULL, NULL))
        continue;
      pids = g_strsplit_set (g_strstrip (text), " ", -1);
      n_children += *text != '\0' ? g_strv_length (pids) : 0;
    }

  return n_children;
}

static Census
take_census (void)
{
  return (Census) { count_numbers ("/proc/self/fd"), count_children () };
}

static gboolean
print_census_cb (gpointer data)
{
  Census *census = data;
  Census now = take_census ();

  g_test_message ("Waiting for %u descriptors and %u children to become %u and %u",
                  now.n_fds, now.n_children, census->n_fds, census->n_children);
  return G_SOURCE_CONTINUE;
}

static gboolean
is_counted (Census *census)
{
  Census now = take_census ();

  return now.n_fds <= census->n_fds && now.n_children <= census->n_children;
}

gboolean
tick_cb (gpointer data)
{
  return G_SOURCE_CONTINUE;
}

gboolean
set_cb (gpointer data)
{
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

static GSource *
add_timeout (guint       interval,
             GSourceFunc callback,
             gpointer    data)
{
  GSource *source = g_timeout_source_new (interval);

  g_source_set_callback (source, callback, data, NULL);
  g_source_attach (source, g_main_context_get_thread_default ());
  return source;
}

static void
remove_timeout (GSource *source)
{
  g_source_destroy (source);
  g_source_unref (source);
}

static gboolean
fail_cb (gpointer what)
{
  g_error ("In five minutes, this has not come: %s", (const char *) what);
  return G_SOURCE_REMOVE;
}

GSource *
deadline_new (const char *what)
{
  GSource *source = g_timeout_source_new_seconds (300);

  g_source_set_callback (source, fail_cb, g_strdup (what), g_free);
  g_source_attach (source, g_main_context_get_thread_default ());
  return source;
}

void
deadline_clear (GSource *source)
{
  g_source_destroy (source);
  g_source_unref (source);
}

/* The main context sees processes of the library exit. It does not see when another program closes
 * descriptors, so it is also iterated at intervals. */
void
census_await (Census *census)
{
  GSource *tick = add_timeout (10, tick_cb, NULL);
  GSource *print = add_timeout (5000, print_census_cb, census);
  GSource *deadline = deadline_new ("as few descriptors and children as before");

  while (!is_counted (census))
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);
  deadline_clear (deadline);
  remove_timeout (tick);
  remove_timeout (print);
}

static void
give_up_templates (void)
{
  afork_runtime_set_template (afork_runtime_get_native (), NULL);
  afork_runtime_set_template (afork_runtime_get_python (), NULL);
  afork_runtime_set_template (afork_runtime_get_self (), NULL);
}

/* Makes a blocking call: from its first one on, a thread keeps a main context with a descriptor. */
static void
wait_once (void)
{
  static GPrivate has_waited;
  g_autoptr(AForkProcess) process = NULL;
  int fd;

  if (g_private_get (&has_waited) != NULL)
    return;

  /* This is no process, so the call fails at once. */
  fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
  g_assert_no_errno (fd);
  process = afork_process_new_from_fd (fd);
  g_assert_false (afork_process_wait (process, NULL, NULL));
  g_private_set (&has_waited, &has_waited);
}

void
census_begin (Census *census)
{
  g_autoptr(GTask) task = NULL;
  Census childless;

  /* With the first task, GIO starts a thread, which keeps a descriptor. */
  task = g_task_new (NULL, NULL, NULL, NULL);
  wait_once ();
  give_up_templates ();
  childless = (Census) { G_MAXUINT, 0 };
  census_await (&childless);
  *census = take_census ();
}

void
census_count (Census *census)
{
  *census = take_census ();
}

void
census_begin_single (Census *census)
{
  g_main_context_default ();
  *census = take_census ();
  /* One for GIO's thread, and one for this thread when it makes a blocking call. */
  census->n_fds += 2;
  g_assert_cmpuint (census->n_children, ==, 0);
}

void
census_end (Census *census)
{
  give_up_templates ();
  census_await (census);
}

void
iterate (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* Adding tests. */

void
run_with_census (gconstpointer function)
{
  Census census;

  census_begin (&census);
  ((GTestFunc) function) ();
  census_end (&census);
}

void
add_test (const char *path,
          GTestFunc   test)
{
  g_test_add_data_func (path, (gconstpointer) test, run_with_census);
}

static void
count_before (Census        *census,
              gconstpointer  data)
{
  census_begin (census);
}

static void
count_after (Census        *census,
             gconstpointer  data)
{
  census_end (census);
}

void
add_with_data (const char    *path,
               gconstpointer  data,
               void         (*test) (Census        *census,
                                     gconstpointer  data))
{
  g_test_add (path, Census, data, count_before, test, count_after);
}

void
add_with_census (const char  *path,
                 void       (*test) (Census        *census,
                                     gconstpointer  data))
{
  add_with_data (path, NULL, test);
}

void
run_in_program (GTestFunc test,
                guint     n_stay)
{
  Census census;

  if (!is_own_program ())
    return;

  census_begin_single (&census);
  census.n_fds += 2 * n_stay;
  census.n_children += n_stay;
  test ();
  census_end (&census);
}

static void
test_in_program (gconstpointer data)
{
  run_in_program ((GTestFunc) data, 0);
}

void
add_in_program (const char *path,
                GTestFunc   test)
{
  g_test_add_data_func (path, (gconstpointer) test, test_in_program);
}

static void
set_up (Fixture       *fixture,
        gconstpointer  module)
{
  census_begin (&fixture->census);
  fixture->template = afork_process_new ();
  afork_process_require (fixture->template, module);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  module)
{
  g_clear_object (&fixture->template);
  census_end (&fixture->census);
}

void
add_with_module (const char  *path,
                 const char  *module,
                 void       (*test) (Fixture       *fixture,
                                     gconstpointer  module))
{
  g_test_add (path, Fixture, module, set_up, test, tear_down);
}

gboolean
has_peer_pidfds (void)
{
  socklen_t size = sizeof (int);
  int sockets[2], pidfd;
  gboolean has_them;

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
  has_them = getsockopt (sockets[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0;
  if (has_them)
    close (pidfd);
  close (sockets[0]);
  close (sockets[1]);
  return has_them;
}

gboolean
can_signal_by_pidfd (void)
{
  return afork_pidfd_send_signal (-1, 0) < 0 && errno == EBADF;
}

AForkProcess *
new_module_process (const char *module)
{
  return afork_process_require (afork_process_new (), module);
}

void
store_result_cb (GObject      *object,
                 GAsyncResult *result,
                 gpointer      data)
{
  GAsyncResult **place = data;

  g_assert_null (*place);
  *place = g_object_ref (result);
}

void
await_result (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);
}

void
await_state (AForkProcess      *process,
             AForkProcessState  state)
{
  while (afork_process_get_state (process) < state)
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);
}

void
await_end (AForkProcess *process)
{
  await_state (process, AFORK_PROCESS_STATE_EXITED);
}

GSocketConnection *
run_process (AForkProcess  *process,
             const char    *function,
             GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;

  afork_process_run_async (process, function, NULL, store_result_cb, &result);
  await_result (&result);
  return afork_process_run_finish (process, result, error);
}

gboolean
wait_process (AForkProcess  *process,
              GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;

  afork_process_wait_async (process, NULL, store_result_cb, &result);
  await_result (&result);
  return afork_process_wait_finish (process, result, error);
}

GSocketConnection *
run_process_ok (AForkProcess *process,
                const char   *function)
{
  g_autoptr(GError) error = NULL;
  GSocketConnection *connection = run_process (process, function, &error);

  g_assert_no_error (error);
  g_assert_nonnull (connection);
  return connection;
}

void
expect_run_error (AForkProcess *process,
                  const char   *function,
                  GQuark        domain,
                  int           code,
                  const char   *text)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  connection = run_process (process, function, &error);
  g_assert_null (connection);
  g_test_message ("%s", error->message);
  g_assert_error (error, domain, code);
  if (text != NULL && strstr (error->message, text) == NULL)
    g_error ("“%s” does not hold “%s”", error->message, text);
  await_end (process);
}

char *
read_to_end (GSocketConnection *connection,
             gsize             *size)
{
  GInputStream *stream = g_io_stream_get_input_stream (G_IO_STREAM (connection));
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  g_autoptr(GError) error = NULL;
  guint8 buffer[65536];
  gssize n_read;

  while ((n_read = g_input_stream_read (stream, buffer, sizeof buffer, NULL, &error)) > 0)
    g_byte_array_append (bytes, buffer, (guint) n_read);
  g_assert_no_error (error);

  if (size != NULL)
    *size = bytes->len;
  g_byte_array_append (bytes, (const guint8 *) "", 1);
  return (char *) g_byte_array_free (g_steal_pointer (&bytes), FALSE);
}

char *
read_echo (GSocketConnection *connection)
{
  g_autoptr(GError) error = NULL;

  g_socket_shutdown (g_socket_connection_get_socket (connection), FALSE, TRUE, &error);
  g_assert_no_error (error);
  return read_to_end (connection, NULL);
}

char *
run_to_end (AForkProcess *process,
            const char   *function)
{
  g_autoptr(GSocketConnection) connection = run_process_ok (process, function);
  char *text = read_to_end (connection, NULL);

  finish_process (process, connection);
  return text;
}

void
assert_answer (AForkProcess *process,
               const char   *function,
               const char   *expected)
{
  g_autofree char *answer = run_to_end (process, function);

  g_assert_cmpstr (answer, ==, expected);
}

void
finish_process (AForkProcess      *process,
                GSocketConnection *connection)
{
  g_autoptr(GError) error = NULL;

  g_io_stream_close (G_IO_STREAM (connection), NULL, &error);
  g_assert_no_error (error);
  await_end (process);
  assert_exit_status (process, 0);
}

void
assert_exit_status (AForkProcess *process,
                    int           exit_status)
{
  int actual = -1;

  g_assert_true (afork_process_get_exit_status (process, &actual));
  g_assert_cmpint (actual, ==, exit_status);
  g_assert_false (afork_process_get_term_signal (process, NULL));
}

void
assert_term_signal (AForkProcess *process,
                    int           signal)
{
  int actual = -1;

  g_assert_true (afork_process_get_term_signal (process, &actual));
  g_assert_cmpint (actual, ==, signal);
  g_assert_false (afork_process_get_exit_status (process, NULL));
}
