/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers in Python and JavaScript on another host. */

#include "config.h"

#include "remote-util.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { BLOB_SIZE = 3 * 1024 * 1024 };

/* The same functions in a language, for all tests. */
typedef struct
{
  const char *runtime;
  const char *variable;         /* that is set in the environment if there is the runtime */
  const char *suffix;           /* of its modules */
  const char *module;           /* in the names of functions */
  const char *code;
  const char *eval_code;
  const char *bad_code;
} Language;

static const Language python = {
  .runtime = "python",
  .variable = "AFORK_TEST_PYTHON",
  .suffix = "py",
  .module = "work",
  .code =
    "import json, os\n"
    "def greet(socket, *items):\n"
    "    socket.sendall(' '.join(items).encode())\n"
    "def work(call, args):\n"
    "    what, value = args\n"
    "    if what == 'show':\n"
    "        return json.dumps(value, sort_keys=True, separators=(',', ':'))\n"
    "    if what == 'pid':\n"
    "        return str(os.getpid())\n"
    "    if what == 'file':\n"
    "        return __file__\n"
    "    if what == 'fail':\n"
    "        fail(value)\n"
    "    if what == 'report':\n"
    "        for text in 'one', 'two':\n"
    "            call.report(text)\n"
    "        return 'three'\n"
    "    if what == 'blobs':\n"
    "        for blob in call.blobs:\n"
    "            call.add_blob(bytes(blob)[::-1])\n"
    "        return 'turned'\n"
    "    if what == 'exit':\n"
    "        os._exit(7)\n"
    "    while what == 'stuck':\n"
    "        pass\n"
    "def fail(value):\n"
    "    raise KeyError(value)\n",
  .eval_code = "def evaluated(socket, *items):\n    socket.sendall(args[0].encode())\n",
  .bad_code = "def broken(:\n",
};

static const Language gjs = {
  .runtime = "gjs",
  .variable = "AFORK_GJS_SERVER",
  .suffix = "js",
  .module = "work.js",
  .code =
    "import Gio from 'gi://Gio';\n"
    "import System from 'system';\n"
    "export function greet(connection, ...items) {\n"
    "    connection.get_output_stream().write_all(items.join(' '), null);\n"
    "}\n"
    "export function work(call, [what, value]) {\n"
    "    if (what === 'show')\n"
    "        return JSON.stringify(value);\n"
    "    if (what === 'pid')\n"
    "        return `${new Gio.Credentials().get_unix_pid()}`;\n"
    "    if (what === 'file')\n"
    "        return import.meta.url;\n"
    "    if (what === 'fail')\n"
    "        fail(value);\n"
    "    if (what === 'report') {\n"
    "        call.report('one');\n"
    "        call.report('two');\n"
    "        return 'three';\n"
    "    }\n"
    "    if (what === 'blobs') {\n"
    "        for (const blob of call.blobs)\n"
    "            call.addBlob(blob.reverse());\n"
    "        return 'turned';\n"
    "    }\n"
    "    if (what === 'exit')\n"
    "        System.exit(7);\n"
    "    while (what === 'stuck')\n"
    "        ;\n"
    "}\n"
    "function fail(value) {\n"
    "    throw new RangeError(value);\n"
    "}\n",
  .eval_code =
    "function evaluated(connection) {\n"
    "    connection.get_output_stream().write_all(args[0], null);\n"
    "}\n",
  .bad_code = "function (\n",
};

static const Language * const languages[] = { &python, &gjs };

typedef struct
{
  Way             way;
  const Language *language;
  void          (*test) (const Language *language,
                         Way             way);
} Case;

static void
run_case (Census        *census,
          gconstpointer  data)
{
  const Case *test = data;

  if (g_getenv (test->language->variable) == NULL)
    g_test_skip ("AFork was built without the runtime");
  else
    test->test (test->language, test->way);
}

static void
add_for_languages (const char *name,
                   void      (*test) (const Language *language,
                                      Way             way))
{
  static Case cases[64];
  static gsize n_cases;

  for (gsize i = 0; i < G_N_ELEMENTS (languages); i++)
    for (int way = OVER_PIPES; way <= OVER_SSH; way++)
      {
        Case *added = &cases[n_cases++];
        g_autofree char *path = g_strdup_printf ("/%s/%s/%s", way == OVER_SSH ? "ssh" : "agent",
                                                 languages[i]->runtime, name);

        g_assert_cmpuint (n_cases, <=, G_N_ELEMENTS (cases));
        *added = (Case) { (Way) way, languages[i], test };
        add_with_data (path, added, run_case);
      }
}

/* A host that runs workers in a language, and its module. */
typedef struct
{
  HostFolder host;
  char      *path;              /* of the module */
} Setting;

static gboolean
setting_init (Setting        *self,
              const Language *language,
              Way             way)
{
  g_autofree char *name = g_strconcat ("work.", language->suffix, NULL);
  g_auto(GStrv) environment = g_environ_unsetenv (g_get_environ (), "G_DEBUG");

  if (!host_folder_init (&self->host, way))
    return FALSE;

  self->path = write_file (&self->host, name, language->code, strlen (language->code));
  afork_runtime_set_remote_runtime (self->host.runtime, language->runtime);
  /* GJS warns of exceptions, and the warnings are fatal here. */
  afork_runtime_set_environ (self->host.runtime, (const char * const *) environment);
  return TRUE;
}

static void
setting_clear (Setting *self)
{
  host_folder_clear (&self->host);
  g_clear_pointer (&self->path, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Setting, setting_clear)

#define SKIP_WITHOUT(setting, language, way) \
  if (!setting_init (setting, language, way)) return

/* A process with the module, which is copied to the host. */
static AForkProcess *
new_process (Setting *self)
{
  AForkProcess *process = afork_process_new_for_runtime (self->host.runtime);

  return require_path (use_cache (&self->host, process), self->path);
}

static AForkRpc *
new_work_rpc (Setting        *self,
              const Language *language)
{
  g_autofree char *function = g_strconcat (language->module, ":work", NULL);
  g_autoptr(AForkProcess) process = new_process (self);

  return afork_rpc_new (process, function);
}

static GVariant *
work_args (const char *what,
           const char *value)
{
  return g_variant_new ("(ss)", what, value);
}

static void
assert_work (AForkRpc   *rpc,
             GVariant   *args,
             const char *expected)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = call (rpc, args, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, expected);
}

static void
expect_failure (AForkProcess *process,
                const char   *function,
                int           code,
                const char   *text,
                const char   *more)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GSocketConnection) connection = run_process (process, function, &error);

  g_assert_null (connection);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, more));
  assert_error_holds (&error, AFORK_ERROR, code, text);
  await_end (process);
}

/* Modules by name and by file, code, items, forks and exit status. */

static void
test_modules (const Language *language,
              Way             way)
{
  g_auto(Setting) self = { 0 };
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) by_name = NULL;
  g_autoptr(AForkProcess) evaluates = NULL;
  g_autofree char *function = NULL;
  const char *folders[] = { NULL, NULL };
  const char *args[] = { "an argument", NULL };

  SKIP_WITHOUT (&self, language, way);
  function = g_strconcat (language->module, ":greet", NULL);
  template = new_process (&self);
  afork_process_send_arg (template, "both");
  fork = afork_process_fork (template);
  afork_process_send_arg (fork, "fork");
  assert_answer (fork, function, "both fork");
  assert_answer (template, function, "both");
  assert_exit_status (template, 0);

  folders[0] = self.host.folder;
  afork_runtime_set_module_path (self.host.runtime, folders);
  by_name = afork_process_new_for_runtime (self.host.runtime);
  afork_process_require (by_name, language->module);
  afork_process_send_arg (by_name, "by name");
  assert_answer (by_name, function, "by name");

  evaluates = afork_process_new_for_runtime (self.host.runtime);
  afork_process_eval (evaluates, language->eval_code, args);
  assert_answer (evaluates, "evaluated", "an argument");
}

/* The copy has the name of its content, and nothing stays beside it. */
static void
test_copy (const Language *language,
           Way             way)
{
  g_auto(Setting) self = { 0 };
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GVariant) file = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, language->code, -1);
  g_autofree char *name = NULL;
  g_autofree char *modules = NULL;
  g_autoptr(GDir) entries = NULL;

  SKIP_WITHOUT (&self, language, way);
  rpc = new_work_rpc (&self, language);
  file = call (rpc, work_args ("file", ""), &error);
  g_assert_no_error (error);
  modules = g_build_filename (self.host.cache, "afork-1", "modules", NULL);
  name = g_strdup_printf ("%s/%s.%s", modules, digest, language->suffix);
  g_assert_true (g_str_has_suffix (g_variant_get_string (file, NULL), name));
  close_rpc (rpc);

  entries = g_dir_open (modules, 0, &error);
  g_assert_no_error (error);
  g_assert_nonnull (g_dir_read_name (entries));
  g_assert_null (g_dir_read_name (entries));
}

static void
test_calls (const Language *language,
            Way             way)
{
  g_auto(Setting) self = { 0 };
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(AForkJob) job = NULL;
  g_autoptr(GString) progress = g_string_new (NULL);
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GVariant) none = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *stack = g_strdup_printf ("work.%s", language->suffix);

  SKIP_WITHOUT (&self, language, way);
  rpc = new_work_rpc (&self, language);
  assert_work (rpc, g_variant_new_parsed ("('show', {'list': <[1.5, 2.5]>, 'text': <'ä'>})"),
               language == &python ? "{\"list\":[1.5,2.5],\"text\":\"\\u00e4\"}"
                                   : "{\"list\":[1.5,2.5],\"text\":\"ä\"}");

  job = afork_job_new (work_args ("report", ""));
  g_signal_connect (job, "progress", G_CALLBACK (append_text_cb), progress);
  value = run_job (rpc, job, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "three");
  g_assert_nonnull (strstr (progress->str, "one"));
  g_assert_nonnull (strstr (progress->str, "two"));

  /* The error has the place where it was raised, and the worker goes on. */
  none = call (rpc, work_args ("fail", "why"), &error);
  g_assert_null (none);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, language == &python ? "KeyError: 'why'"
                                                                : "RangeError: why"));
  g_assert_nonnull (strstr (error->message, language == &python ? "in fail" : "fail@"));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_EXCEPTION, "");
  assert_work (rpc, work_args ("show", "again"), "\"again\"");

  none = call (rpc, work_args ("exit", ""), &error);
  g_assert_null (none);
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_EXITED, "7");
}

static void
test_blobs (const Language *language,
            Way             way)
{
  g_auto(Setting) self = { 0 };
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(AForkJob) job = NULL;
  g_autoptr(GBytes) blob = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree guint8 *turned = g_malloc (BLOB_SIZE);
  guint8 *bytes = g_malloc (BLOB_SIZE);
  GBytes **blobs;
  gsize n_blobs;

  for (gsize i = 0; i < BLOB_SIZE; i++)
    turned[BLOB_SIZE - 1 - i] = bytes[i] = (guint8) (i * 2654435761u >> 13);
  blob = g_bytes_new_take (bytes, BLOB_SIZE);
  SKIP_WITHOUT (&self, language, way);
  rpc = new_work_rpc (&self, language);
  job = afork_job_new (work_args ("blobs", ""));
  afork_job_add_blob (job, blob);
  value = run_job (rpc, job, &error);
  g_assert_no_error (error);
  blobs = afork_job_get_result_blobs (job, &n_blobs);
  g_assert_cmpuint (n_blobs, ==, 1);
  g_assert_cmpmem (g_bytes_get_data (blobs[0], NULL), g_bytes_get_size (blobs[0]), turned,
                   BLOB_SIZE);
  close_rpc (rpc);
}

/* A pool with one template there and one here. */
static void
test_pool (const Language *language,
           Way             way)
{
  enum { N_JOBS = 40 };
  g_auto(Setting) self = { 0 };
  AForkRuntime *of_here;
  g_autoptr(AForkProcess) there = NULL;
  g_autoptr(AForkProcess) here = NULL;
  g_autoptr(AForkPool) pool = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GFile) file = NULL;
  g_autofree char *function = g_strconcat (language->module, ":work", NULL);
  GAsyncResult *results[N_JOBS] = { NULL };

  SKIP_WITHOUT (&self, language, way);
  file = g_file_new_for_path (self.path);
  there = new_process (&self);
  of_here = language == &python ? afork_runtime_get_python () : afork_runtime_get_gjs ();
  here = afork_process_new_for_runtime (of_here);
  afork_process_require_file (here, file);
  pool = afork_pool_new (there, function);
  afork_pool_set_max_workers (pool, 2);
  afork_pool_set_start_delay (pool, 0);
  afork_pool_add_template (pool, here, 2);
  for (int i = 0; i < N_JOBS; i++)
    afork_pool_call_async (pool, work_args ("show", "x"), NULL, store_result_cb, &results[i]);
  for (int i = 0; i < N_JOBS; i++)
    {
      g_autoptr(GVariant) value = NULL;

      await_result (&results[i]);
      value = afork_pool_call_finish (pool, results[i], &error);
      g_assert_no_error (error);
      g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "\"x\"");
      g_object_unref (results[i]);
    }
  g_assert_true (afork_pool_shutdown (pool, AFORK_SHUTDOWN_MODE_DRAIN, NULL, &error));
  g_assert_no_error (error);
  afork_runtime_set_template (of_here, NULL);
}

static void
test_errors (const Language *language,
             Way             way)
{
  g_auto(Setting) self = { 0 };
  g_autoptr(AForkProcess) no_module = NULL;
  g_autoptr(AForkProcess) bad_code = NULL;
  g_autoptr(AForkProcess) bad_file = NULL;
  g_autoptr(AForkProcess) no_function = NULL;
  g_autofree char *name = g_strconcat ("missing.", language->suffix, NULL);
  g_autofree char *broken = NULL;
  g_autofree char *path = NULL;
  g_autofree char *function = g_strconcat (language->module, ":nothing", NULL);

  SKIP_WITHOUT (&self, language, way);
  no_module = afork_process_new_for_runtime (self.host.runtime);
  afork_process_require (no_module, language == &python ? "missing" : name);
  expect_failure (no_module, "f", AFORK_ERROR_MODULE, "missing", "missing");

  bad_code = afork_process_new_for_runtime (self.host.runtime);
  afork_process_eval (bad_code, language->bad_code, NULL);
  expect_failure (bad_code, "f", AFORK_ERROR_EVAL, "SyntaxError", "");

  broken = g_strconcat ("broken.", language->suffix, NULL);
  path = write_file (&self.host, broken, language->bad_code, strlen (language->bad_code));
  bad_file = require_path (new_process (&self), path);
  expect_failure (bad_file, "f", AFORK_ERROR_MODULE, "SyntaxError", "broken");

  no_function = new_process (&self);
  expect_failure (no_function, function, AFORK_ERROR_FUNCTION, "nothing", "");
}

/* The caller ends while a worker is busy. */

G_NORETURN static void
be_caller (const char *argument)
{
  const Language *language = languages[argument[0] - '0'];
  Way way = (Way) atoi (argument + 1);
  g_auto(Setting) self = { 0 };
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GVariant) pid = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_true (setting_init (&self, language, way));
  rpc = new_work_rpc (&self, language);
  pid = call (rpc, work_args ("pid", ""), &error);
  g_assert_no_error (error);
  /* The parent kills this process, and its files would stay. */
  remove_all (self.host.folder);
  afork_rpc_call_async (rpc, work_args ("stuck", ""), NULL, store_result_cb, &result);
  wait_to_be_killed (atoi (g_variant_get_string (pid, NULL)));
}

static void
test_caller_killed (const Language *language,
                    Way             way)
{
  g_autofree char *argument = g_strdup_printf ("%d%d", language == &python ? 0 : 1, way);
  g_autoptr(AForkRuntime) runtime = new_host (way);

  if (runtime != NULL)
    kill_busy_caller (argument, 3);
}

/* What the host lacks. */

static void
expect_no_server (AForkRuntime *runtime,
                  int           code,
                  const char   *text,
                  const char   *more)
{
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) fork = afork_process_fork (process);

  expect_failure (process, "f", code, text, more);
  expect_failure (fork, "f", code, text, more);
  afork_runtime_set_template (runtime, NULL);
}

static char *
write_program (Setting    *self,
               const char *name,
               const char *text)
{
  char *path = write_file (&self->host, name, text, strlen (text));

  g_assert_no_errno (g_chmod (path, 0755));
  return path;
}

static void
test_no_interpreter (const Language *language,
                     Way             way)
{
  g_auto(Setting) self = { 0 };
  g_autofree char *quits = NULL;
  g_autofree char *folder = NULL;
  g_autofree char *long_path = g_strnfill (5000, 'x');
  g_autoptr(AForkRpc) rpc = NULL;
  const char *names[] = { "perl", "", "native\n", "python3", "Python" };

  SKIP_WITHOUT (&self, language, way);
  afork_runtime_set_executable (self.host.runtime, "/nonexistent/interpreter");
  expect_no_server (self.host.runtime, AFORK_ERROR_SPAWN, "/nonexistent/interpreter",
                    g_strerror (ENOENT));
  afork_runtime_set_executable (self.host.runtime, self.host.folder);
  expect_no_server (self.host.runtime, AFORK_ERROR_SPAWN, self.host.folder, g_strerror (EACCES));
  quits = write_program (&self, "quits", "#!/bin/sh\nexit 3\n");
  afork_runtime_set_executable (self.host.runtime, quits);
  expect_no_server (self.host.runtime, AFORK_ERROR_SPAWN, quits, "exited there with status 3");
  afork_runtime_set_executable (self.host.runtime, long_path);
  expect_no_server (self.host.runtime, AFORK_ERROR_SPAWN, g_strerror (ENAMETOOLONG), "");
  afork_runtime_set_executable (self.host.runtime, "; touch /tmp/afork-hostile #");
  expect_no_server (self.host.runtime, AFORK_ERROR_SPAWN, "touch", g_strerror (ENOENT));
  afork_runtime_set_executable (self.host.runtime, NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      afork_runtime_set_remote_runtime (self.host.runtime, names[i]);
      expect_no_server (self.host.runtime, AFORK_ERROR_SPAWN, "knows no runtime", names[i]);
    }

  /* With what the host has, all is well. */
  afork_runtime_set_remote_runtime (self.host.runtime, language->runtime);
  rpc = new_work_rpc (&self, language);
  assert_work (rpc, work_args ("show", "x"), "\"x\"");
  close_rpc (rpc);
}

/* A Python without PyGObject. */
static void
test_no_pygobject (Census        *census,
                   gconstpointer  way)
{
  g_auto(Setting) self = { 0 };
  g_autofree char *text = NULL;
  g_autofree char *program = NULL;

  if (g_getenv (python.variable) == NULL)
    {
      g_test_skip ("AFork was built without the runtime");
      return;
    }

  SKIP_WITHOUT (&self, &python, *(const Way *) way);
  text = g_strdup_printf ("#!/bin/sh\nunset PYTHONPATH\nexec %s -I -S \"$@\"\n",
                          g_getenv (python.variable));
  program = write_program (&self, "bare-python", text);
  afork_runtime_set_executable (self.host.runtime, program);
  expect_no_server (self.host.runtime, AFORK_ERROR_SPAWN, "PyGObject", "");
}

/* A file of AFork that is not installed there. */
static void
test_no_part (Census        *census,
              gconstpointer  data)
{
  static const char * const variables[] = { "AFORK_PYTHON_SERVER", "AFORK_GJS_SERVER" };

  for (gsize i = 0; i < G_N_ELEMENTS (languages); i++)
    {
      g_auto(Setting) self = { 0 };
      g_auto(GStrv) environment = g_get_environ ();

      g_assert_true (setting_init (&self, languages[i], OVER_PIPES));
      environment = g_environ_setenv (environment, variables[i], "/nonexistent/server", TRUE);
      afork_runtime_set_environ (self.host.runtime, (const char * const *) environment);
      expect_no_server (self.host.runtime, AFORK_ERROR_SPAWN, "/nonexistent/server",
                        languages[i]->runtime);
    }
}

/* Files that are plainly of another runtime are not copied. */
static void
test_other_files (Census        *census,
                  gconstpointer  data)
{
  const Way way = *(const Way *) data;
  g_auto(Setting) self = { 0 };
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GFile) module = NULL;
  g_autofree char *path = g_strdup_printf ("%s/lifecycle.so", g_getenv ("AFORK_MODULE_PATH"));

  SKIP_WITHOUT (&self, &python, way);
  afork_runtime_set_remote_runtime (self.host.runtime, "native");
  process = new_process (&self);
  expect_failure (process, "f", AFORK_ERROR_MODULE, "work.py", "“native”");
  g_assert_false (g_file_test (self.host.cache, G_FILE_TEST_EXISTS));

  if (g_getenv (gjs.variable) == NULL)
    return;

  afork_runtime_set_remote_runtime (self.host.runtime, "gjs");
  module = g_file_new_for_path (path);
  g_object_unref (process);
  process = afork_process_new_for_runtime (self.host.runtime);
  afork_process_setenv (process, "XDG_CACHE_HOME", self.host.cache);
  afork_process_require_file (process, module);
  expect_failure (process, "f", AFORK_ERROR_MODULE, "lifecycle.so", "“gjs”");
  g_assert_false (g_file_test (self.host.cache, G_FILE_TEST_EXISTS));
}

static void
test_property (Census        *census,
               gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = afork_runtime_new_ssh ("user@host");
  g_autofree char *unset = afork_runtime_dup_remote_runtime (runtime);
  g_autofree char *set = NULL;
  g_autofree char *cleared = NULL;

  g_assert_cmpstr (unset, ==, "native");
  g_object_set (runtime, "remote-runtime", "python", NULL);
  g_object_get (runtime, "remote-runtime", &set, NULL);
  g_assert_cmpstr (set, ==, "python");
  afork_runtime_set_remote_runtime (runtime, NULL);
  cleared = afork_runtime_dup_remote_runtime (runtime);
  g_assert_cmpstr (cleared, ==, "native");
}

int
main (int    argc,
      char **argv)
{
  if (argc == 3 && g_str_equal (argv[1], "--be-caller"))
    be_caller (argv[2]);

  enter_ssh (argv, NULL, -1);
  g_test_init (&argc, &argv, NULL);
  add_for_languages ("modules", test_modules);
  add_for_languages ("copy", test_copy);
  add_for_languages ("calls", test_calls);
  add_for_languages ("blobs", test_blobs);
  add_for_languages ("pool", test_pool);
  add_for_languages ("errors", test_errors);
  add_for_languages ("caller-killed", test_caller_killed);
  add_for_languages ("no-interpreter", test_no_interpreter);
  add_for_ways ("/python/no-pygobject", test_no_pygobject);
  add_with_census ("/agent/no-part", test_no_part);
  add_for_ways ("/other-files", test_other_files);
  add_with_census ("/languages/property", test_property);
  return g_test_run ();
}
