/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What of confinement can be had: `afork-server --probe` finds it out in processes of its own, and
 * this reads what it prints. */

#include "config.h"

#include "afork-sandbox-probe.h"

#include <string.h>

#include "afork-error.h"
#include "afork-process.h"
#include "afork-runtime.h"
#include "base/i18n.h"

/* The output is much shorter. */
enum { MAX_OUTPUT = 64 * 1024, READ_SIZE = 4096 };

/* The data of the task. */
typedef struct
{
  AForkProcess      *process;
  GSocketConnection *connection;
  GString           *output;
} Probe;

static void
probe_free (gpointer data)
{
  Probe *self = data;

  g_object_unref (self->process);
  g_clear_object (&self->connection);
  g_string_free (self->output, TRUE);
  g_free (self);
}

/* Adds LINE to BUILDER. Returns false if it does not have the form that the server documents. */
static gboolean
parse_line (const char      *line,
            GVariantBuilder *builder)
{
  g_auto(GStrv) words = g_strsplit (line, " ", 3);
  gboolean had;

  if (words[0] == NULL || words[1] == NULL)
    return FALSE;

  had = g_str_equal (words[1], "yes");
  if (!had && !g_str_equal (words[1], "no"))
    return FALSE;

  g_variant_builder_add (builder, "{sv}", words[0],
                         g_variant_new ("(bs)", had, words[2] != NULL ? words[2] : ""));
  return TRUE;
}

/* Returns a floating a{sv}, or NULL. */
static GVariant *
parse (const char *output)
{
  g_auto(GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);
  g_auto(GStrv) lines = g_strsplit (output, "\n", -1);
  guint n_lines = 0;

  for (; lines[n_lines] != NULL && lines[n_lines][0] != '\0'; n_lines++)
    if (!g_utf8_validate (lines[n_lines], -1, NULL) || !parse_line (lines[n_lines], &builder))
      return NULL;

  return n_lines > 0 ? g_variant_builder_end (&builder) : NULL;
}

static void
fail_to_understand (GTask *task)
{
  g_task_return_new_error (task, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                           _("What can be confined here is not known: the server program has "
                             "printed something else, or has failed"));
}

/* The process has exited, and all that it has printed was read. */
static void
waited_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  g_autoptr(GTask) task = data;
  Probe *self = g_task_get_task_data (task);
  GError *error = NULL;
  GVariant *value = NULL;
  int exit_status;

  if (!afork_process_wait_finish (self->process, result, &error))
    {
      g_task_return_error (task, error);
      return;
    }

  if (afork_process_get_exit_status (self->process, &exit_status) && exit_status == 0)
    value = parse (self->output->str);
  if (value != NULL)
    g_task_return_pointer (task, g_variant_ref_sink (value), (GDestroyNotify) g_variant_unref);
  else
    fail_to_understand (task);
}

static void read_more (GTask *task);

static void
read_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  g_autoptr(GTask) task = data;
  Probe *self = g_task_get_task_data (task);
  g_autoptr(GBytes) bytes = NULL;
  GError *error = NULL;
  gsize size;
  const char *text;

  bytes = g_input_stream_read_bytes_finish (G_INPUT_STREAM (object), result, &error);
  if (bytes == NULL)
    {
      g_task_return_error (task, error);
      return;
    }

  text = g_bytes_get_data (bytes, &size);
  if (size == 0)
    {
      GCancellable *cancellable = g_task_get_cancellable (task);

      afork_process_wait_async (self->process, cancellable, waited_cb, g_steal_pointer (&task));
      return;
    }

  g_string_append_len (self->output, text, (gssize) size);
  if (self->output->len > MAX_OUTPUT || memchr (text, '\0', size) != NULL)
    fail_to_understand (task);
  else
    read_more (g_steal_pointer (&task));
}

/* Takes TASK. */
static void
read_more (GTask *task)
{
  Probe *self = g_task_get_task_data (task);
  GInputStream *stream = g_io_stream_get_input_stream (G_IO_STREAM (self->connection));

  g_input_stream_read_bytes_async (stream, READ_SIZE, G_PRIORITY_DEFAULT,
                                   g_task_get_cancellable (task), read_cb, task);
}

static void
executed_cb (GObject      *object,
             GAsyncResult *result,
             gpointer      data)
{
  g_autoptr(GTask) task = data;
  Probe *self = g_task_get_task_data (task);
  GError *error = NULL;

  self->connection = afork_process_exec_finish (self->process, result, &error);
  if (self->connection == NULL)
    g_task_return_error (task, error);
  else
    read_more (g_steal_pointer (&task));
}

/**
 * afork_sandbox_probe_async:
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when the result is known
 * @user_data: data for @callback
 *
 * Finds out what of limits and confinement can be had on this system, by this user and in the
 * sandbox in which the program may be. Each part is tried in a process that is made for it, so
 * nothing of the program changes. This takes some 10 to 50 milliseconds, and the result stays the
 * same as long as the program does not change its user or its sandbox.
 *
 * A sandbox takes by itself what can be had, so a program need not ask for this. It is meant for
 * messages and for bug reports.
 *
 * The callback is called in the thread-default main context.
 *
 * Since: 0.1
 */
void
afork_sandbox_probe_async (GCancellable        *cancellable,
                           GAsyncReadyCallback  callback,
                           gpointer             user_data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autoptr(GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  g_auto(GStrv) server = afork_runtime_dup_argv (runtime);
  const char * const argv[] = { server[0], "--probe", NULL };
  Probe *self = g_new0 (Probe, 1);

  g_task_set_source_tag (task, afork_sandbox_probe_async);
  g_task_set_name (task, "[afork] probe sandbox");
  self->output = g_string_new (NULL);
  self->process = afork_process_new_exec (runtime);
  g_task_set_task_data (task, self, probe_free);
  afork_process_exec_async (self->process, argv, cancellable, executed_cb,
                            g_steal_pointer (&task));
}

/**
 * afork_sandbox_probe_finish:
 * @result: the result that the callback got
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Finishes an operation started with [func@AFork.Sandbox.probe_async]. The result is an `a{sv}`
 * with a `(bs)` for each part: whether it can be had, and details, or the reason why it cannot. The
 * reason is the system call or the file that has failed, with the system's message, in no
 * particular language. The parts are:
 *
 * - `rlimits`, with the detail `not-processes` for a user whose processes the kernel does not
 *   limit;
 * - `priority`, `no-new-privs`, `seccomp` and `seccomp-supervisor`;
 * - `landlock`, with its ABI, as in `abi=7`, and what it forbids: `read`, `write`, `devices`,
 *   `tcp`, `abstract-sockets`, `signals`, `tracing`;
 * - `user-namespace`, `mount-namespace`, `pid-namespace`, `ipc-namespace`, `network-namespace` and
 *   `uts-namespace`; `root-directory`, in which only chosen paths are visible;
 *   `last-user-namespace`, that no further one can be made inside; and `no-capabilities`, that none
 *   are left.
 *
 * Later versions may add parts.
 *
 * Fails as [method@AFork.Process.exec_finish] does, and with `AFORK_ERROR_PROTOCOL` if the program
 * of the native runtime is not an AFork server of this version.
 *
 * Returns: (transfer full): an `a{sv}`, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_sandbox_probe_finish (GAsyncResult  *result,
                            GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_sandbox_probe_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
store_result_cb (GObject      *object,
                 GAsyncResult *result,
                 gpointer      data)
{
  GAsyncResult **stored = data;

  *stored = g_object_ref (result);
}

/**
 * afork_sandbox_probe:
 * @cancellable: (nullable): a cancellable
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Does the same as [func@AFork.Sandbox.probe_async], and blocks until the result is known: some 10
 * to 50 milliseconds. It may be called in any thread. Fails as [func@AFork.Sandbox.probe_finish]
 * does.
 *
 * Returns: (transfer full): an `a{sv}`, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_sandbox_probe (GCancellable  *cancellable,
                     GError       **error)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(GAsyncResult) result = NULL;
  GVariant *value;

  g_main_context_push_thread_default (context);
  afork_sandbox_probe_async (cancellable, store_result_cb, &result);
  while (result == NULL)
    g_main_context_iteration (context, TRUE);
  value = afork_sandbox_probe_finish (result, error);
  g_main_context_pop_thread_default (context);
  return value;
}
