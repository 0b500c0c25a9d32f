/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A caller in C, of workers in each language: test-across WORKER. The calls are those of
 * calls.ini. */

#include "config.h"

#include <afork/afork.h>
#include <gio/gunixfdlist.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

/* seconds for one call, after which something hangs */
#define LIMIT 60

static const char *worker;
static GKeyFile *calls;
static AForkProcess *template;
static GHashTable *rpcs;        /* of each function that was called */

/* What is heard during one call. */
typedef struct
{
  GCancellable *cancellable;
  const char   *cancel;         /* the report at which the call is cancelled, or NULL */
  gint64        n_reports;
  gint64        n_events;
} Heard;

static char *
get (const char *group,
     const char *key)
{
  return g_key_file_get_value (calls, group, key, NULL);
}

/* What workers in this language have instead, or else what all have. */
static char *
get_of_worker (const char *group,
               const char *key)
{
  g_autofree char *of_worker = g_strdup_printf ("%s-%s", key, worker);
  char *value = get (group, of_worker);

  return value != NULL ? value : get (group, key);
}

static int
get_number (const char *group,
            const char *key)
{
  return g_key_file_get_integer (calls, group, key, NULL);
}

static GVariant *
parse (const char *text)
{
  g_autoptr(GError) error = NULL;
  GVariant *value = g_variant_parse (NULL, text, NULL, NULL, &error);

  g_assert_no_error (error);
  return value;
}

/* The value of a text, or an array of it. */
static GVariant *
make_value (const char *group,
            const char *text)
{
  g_autoptr(GVariant) value = parse (text);
  const int n = get_number (group, "repeat");
  g_autofree GVariant **values = NULL;

  if (n == 0)
    return g_steal_pointer (&value);

  values = g_new (GVariant *, n);
  for (int i = 0; i < n; i++)
    values[i] = value;
  return g_variant_ref_sink (g_variant_new_array (g_variant_get_type (value), values, n));
}

static void
assert_equal (GVariant *found,
              GVariant *expected)
{
  g_autofree char *found_text = NULL;
  g_autofree char *expected_text = NULL;

  if (g_variant_equal (found, expected))
    return;

  found_text = g_variant_print (found, TRUE);
  expected_text = g_variant_print (expected, TRUE);
  g_test_message ("%.500s", found_text);
  g_assert_cmpstr (found_text, ==, expected_text);
  g_assert_not_reached ();
}

static AForkRpc *
get_rpc (const char *function)
{
  AForkRpc *rpc = g_hash_table_lookup (rpcs, function);
  g_autofree char *name = NULL;
  g_autoptr(AForkProcess) process = NULL;

  if (rpc != NULL)
    return rpc;

  name = g_strdup_printf (g_str_equal (worker, "native") ? "values_%s"
                          : g_str_equal (worker, "gjs")  ? "values.js:%s"
                                                         : "values:%s", function);
  process = afork_process_fork (template);
  rpc = g_object_new (AFORK_TYPE_RPC, "process", process, "function", name, "forward-stderr", FALSE,
                      NULL);
  g_hash_table_insert (rpcs, g_strdup (function), rpc);
  return rpc;
}

static guint8
get_byte (gsize i)
{
  return (guint8) (i / PAGE % 251);
}

static GBytes *
make_blob (gsize size)
{
  guint8 *data = g_malloc0 (MAX (size, 1));

  for (gsize i = 0; i < size; i += PAGE)
    data[i] = get_byte (i);
  return g_bytes_new_take (data, size);
}

static void
add_blobs (AForkJob   *job,
           char      **sizes)
{
  for (gsize i = 0; sizes != NULL && sizes[i] != NULL; i++)
    {
      g_autoptr(GBytes) blob = make_blob ((gsize) atol (sizes[i]));

      g_assert_cmpuint (afork_job_add_blob (job, blob), ==, i);
    }
}

static void
check_blobs (AForkJob   *job,
             char      **sizes)
{
  gsize n_blobs;
  GBytes **blobs = afork_job_get_result_blobs (job, &n_blobs);

  g_assert_cmpuint (n_blobs, ==, sizes == NULL ? 0 : g_strv_length (sizes));
  for (gsize i = 0; i < n_blobs; i++)
    {
      g_autoptr(GBytes) expected = make_blob ((gsize) atol (sizes[i]));

      g_assert_true (g_bytes_equal (blobs[i], expected));
    }
}

static void
add_fds (AForkJob *job,
         int       n)
{
  g_autoptr(GUnixFDList) fds = g_unix_fd_list_new ();

  for (int i = 0; i < n; i++)
    {
      g_autofree char *text = g_strdup_printf ("descriptor %d", i);
      int fd = memfd_create ("across", MFD_CLOEXEC);

      g_assert_no_errno (fd);
      g_assert_cmpint (write (fd, text, strlen (text)), ==, strlen (text));
      g_assert_cmpint (g_unix_fd_list_append (fds, fd, NULL), ==, i);
      close (fd);
    }
  if (n > 0)
    afork_job_set_fds (job, fds);
}

static void
check_fds (AForkJob *job,
           int       n)
{
  GUnixFDList *fds = afork_job_get_result_fds (job);
  int n_fds = 0;
  const int *numbers = fds != NULL ? g_unix_fd_list_peek_fds (fds, &n_fds) : NULL;

  g_assert_cmpint (n_fds, ==, n);
  for (int i = 0; i < n; i++)
    {
      g_autofree char *expected = g_strdup_printf ("descriptor %d", i);
      char text[100] = "";

      g_assert_cmpint (pread (numbers[i], text, sizeof text - 1, 0), ==, strlen (expected));
      g_assert_cmpstr (text, ==, expected);
    }
}

static void
progress_cb (AForkJob *job,
             GVariant *value,
             Heard    *heard)
{
  if (heard->cancel != NULL)
    {
      g_assert_cmpstr (g_variant_get_string (value, NULL), ==, heard->cancel);
      g_cancellable_cancel (heard->cancellable);
    }
  else
    {
      g_assert_cmpint (g_variant_get_int64 (value), ==, heard->n_reports);
    }
  heard->n_reports++;
}

static void
event_cb (AForkRpc *rpc,
          GVariant *value,
          Heard    *heard)
{
  g_assert_cmpint (g_variant_get_int64 (value), ==, heard->n_events);
  heard->n_events++;
}

static void
check_error (const char   *group,
             const GError *error)
{
  g_autofree char *expected = get (group, "error");
  g_autofree char *message = get_of_worker (group, "message");
  g_autofree char *found = NULL;

  if (error != NULL)
    {
      found = g_strdup_printf ("%s %d", g_quark_to_string (error->domain), error->code);
      g_test_message ("%s", error->message);
    }
  g_assert_cmpstr (found, ==, expected);
  if (message != NULL)
    g_assert_true (g_str_has_prefix (error->message, message));
}

static void
test_call (gconstpointer data)
{
  const char *group = data;
  g_autofree char *function = get (group, "function");
  g_autofree char *args_text = get (group, "args");
  g_autofree char *result_text = get_of_worker (group, "result");
  g_autofree char *cancel = get (group, "cancel");
  g_auto(GStrv) sizes = g_key_file_get_string_list (calls, group, "blobs", NULL, NULL);
  AForkRpc *rpc = get_rpc (function != NULL ? function : "echo");
  g_autoptr(GVariant) args = make_value (group, args_text);
  g_autoptr(AForkJob) job = afork_job_new (args);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  Heard heard = { cancellable, cancel };
  g_autoptr(GVariant) result = NULL;
  g_autoptr(GError) error = NULL;
  gulong handler;

  alarm (LIMIT);
  add_blobs (job, sizes);
  add_fds (job, get_number (group, "fds"));
  g_signal_connect (job, "progress", G_CALLBACK (progress_cb), &heard);
  handler = g_signal_connect (rpc, "event", G_CALLBACK (event_cb), &heard);
  result = afork_rpc_run_job (rpc, job, cancellable, &error);
  g_signal_handler_disconnect (rpc, handler);

  check_error (group, error);
  if (error == NULL)
    {
      g_autoptr(GVariant) expected = make_value (group,
                                                 result_text != NULL ? result_text : args_text);

      assert_equal (result, expected);
      check_blobs (job, sizes);
      check_fds (job, get_number (group, "fds"));
    }
  g_assert_cmpint (heard.n_reports, ==, cancel != NULL ? 1 : get_number (group, "reports"));
  g_assert_cmpint (heard.n_events, ==, get_number (group, "reports"));
  alarm (0);
}

static void
store_result_cb (GObject      *source,
                 GAsyncResult *result,
                 gpointer      data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

/* All values at once, and each result belongs to its call. */
static void
test_at_once (void)
{
  g_auto(GStrv) groups = g_key_file_get_groups (calls, NULL);
  const gsize n = g_strv_length (groups);
  g_autofree GAsyncResult **results = g_new0 (GAsyncResult *, n);
  AForkRpc *rpc = get_rpc ("echo");

  alarm (LIMIT);
  for (gsize i = 0; i < n; i++)
    {
      g_autofree char *args_text = get (groups[i], "args");
      g_autoptr(GVariant) args = make_value (groups[i], args_text);

      afork_rpc_call_async (rpc, args, NULL, store_result_cb, &results[i]);
    }

  for (gsize i = 0; i < n; i++)
    {
      g_autofree char *args_text = get (groups[i], "args");
      g_autofree char *result_text = get_of_worker (groups[i], "result");
      g_autoptr(GVariant) expected = make_value (groups[i],
                                                 result_text != NULL ? result_text : args_text);
      g_autoptr(GVariant) found = NULL;
      g_autoptr(GError) error = NULL;

      while (results[i] == NULL)
        g_main_context_iteration (NULL, TRUE);
      found = afork_rpc_call_finish (rpc, results[i], &error);
      g_assert_no_error (error);
      assert_equal (found, expected);
      g_object_unref (results[i]);
    }
  alarm (0);
}

/* Each worker that is left exits when it is closed. */
static void
test_close (void)
{
  GHashTableIter iter;
  gpointer rpc;

  alarm (LIMIT);
  g_hash_table_remove (rpcs, "exit");
  g_hash_table_remove (rpcs, "there_is_none");
  g_hash_table_remove (rpcs, "wait");
  g_hash_table_iter_init (&iter, rpcs);
  while (g_hash_table_iter_next (&iter, NULL, &rpc))
    {
      g_autoptr(GError) error = NULL;

      afork_rpc_close (rpc, NULL, &error);
      g_assert_no_error (error);
    }
  alarm (0);
}

static AForkRuntime *
get_runtime (const char *folder)
{
  g_autofree char *modules = g_build_filename (folder, "modules", NULL);
  const char *module_path[] = { modules, NULL };
  AForkRuntime *runtime;

  if (g_str_equal (worker, "native"))
    return afork_runtime_get_native ();

  if (g_str_equal (worker, "python"))
    {
      runtime = afork_runtime_get_python ();
      afork_runtime_set_executable (runtime, g_getenv ("AFORK_TEST_PYTHON"));
    }
  else
    {
      g_auto(GStrv) environment = g_environ_unsetenv (g_get_environ (), "G_DEBUG");

      /* GJS warns about code that fails. */
      runtime = afork_runtime_get_gjs ();
      afork_runtime_set_environ (runtime, (const char * const *) environment);
    }
  afork_runtime_set_module_path (runtime, module_path);
  return runtime;
}

static void
add_last (const char *name,
          GTestFunc   test)
{
  g_autofree char *path = g_strdup_printf ("/across/%s/%s", worker, name);

  g_test_add_func (path, test);
}

int
main (int    argc,
      char **argv)
{
  g_autofree char *folder = NULL;
  g_autofree char *path = NULL;
  g_auto(GStrv) groups = NULL;
  g_autoptr(GError) error = NULL;
  int status;

  g_test_init (&argc, &argv, NULL);
  worker = argc > 1 ? argv[1] : "native";
  folder = g_test_build_filename (G_TEST_DIST, "across", NULL);
  path = g_build_filename (folder, "calls.ini", NULL);
  calls = g_key_file_new ();
  g_key_file_load_from_file (calls, path, G_KEY_FILE_NONE, &error);
  g_assert_no_error (error);
  rpcs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);
  template = afork_process_new_for_runtime (get_runtime (folder));
  afork_process_require (template, g_str_equal (worker, "gjs") ? "values.js" : "values");

  groups = g_key_file_get_groups (calls, NULL);
  for (gsize i = 0; groups[i] != NULL; i++)
    {
      g_auto(GStrv) workers = g_key_file_get_string_list (calls, groups[i], "workers", NULL, NULL);
      g_autofree char *name = g_strdup_printf ("/across/%s/%s", worker, groups[i]);

      if (workers == NULL || g_strv_contains ((const char * const *) workers, worker))
        g_test_add_data_func (name, groups[i], test_call);
    }
  add_last ("at-once", test_at_once);
  add_last ("close", test_close);
  status = g_test_run ();

  g_clear_pointer (&rpcs, g_hash_table_unref);
  g_clear_object (&template);
  g_clear_pointer (&calls, g_key_file_unref);
  return status;
}
