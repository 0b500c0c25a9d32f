/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "test-pool-util.h"

#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

AForkPool *
new_pool (const char *first_property,
          ...)
{
  g_autoptr(AForkProcess) process = new_module_process ("pool");
  AForkPool *pool = g_object_new (AFORK_TYPE_POOL,
                                  "process", process, "function", "pool_do",
                                  "forward-stderr", FALSE, "max-workers", 2, NULL);

  if (first_property != NULL)
    {
      va_list properties;

      va_start (properties, first_property);
      g_object_set_valist (G_OBJECT (pool), first_property, properties);
      va_end (properties);
    }
  return pool;
}

AForkProcess *
new_pool_template (guint kind)
{
  g_autofree char *value = g_strdup_printf ("%u", kind);

  return afork_process_setenv (new_module_process ("pool"), "KIND", value);
}

void
kill_children (void)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/task/%d/children", (int) getpid ());
  g_autofree char *text = NULL;
  g_auto(GStrv) pids = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  pids = g_strsplit (g_strchomp (text), " ", -1);
  for (char **pid = pids; *pid != NULL; pid++)
    if (**pid != '\0')
      kill ((pid_t) g_ascii_strtoll (*pid, NULL, 10), SIGKILL);
}

AForkPool *
new_pool_later (guint load)
{
  g_autoptr(AForkProcess) process = new_module_process ("pool");

  return g_object_new (AFORK_TYPE_POOL,
                       "process", process, "function", "pool_later", "concurrent", TRUE,
                       "forward-stderr", FALSE, "max-workers", 1, "load", load, NULL);
}

AForkPool *
new_script_pool (int        *commands,
                 const char *first_property,
                 ...)
{
  g_autoptr(AForkProcess) process = new_module_process ("pool");
  AForkPool *pool;
  int fds[2];

  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  afork_process_send_fd (process, fds[0]);
  close (fds[0]);
  *commands = fds[1];
  pool = g_object_new (AFORK_TYPE_POOL, "process", process, "function", "pool_script",
                       "init-function", "pool_init_script", "forward-stderr", FALSE,
                       "max-workers", 1, "load", 1, NULL);
  if (first_property != NULL)
    {
      va_list properties;

      va_start (properties, first_property);
      g_object_set_valist (G_OBJECT (pool), first_property, properties);
      va_end (properties);
    }
  return pool;
}

void
send_commands (int         commands,
               const char *text)
{
  const gssize size = (gssize) strlen (text);

  g_assert_cmpint (write (commands, text, (gsize) size), ==, size);
}

void
begin_pool_call (AForkPool     *pool,
                 const char    *what,
                 guint32        number,
                 GAsyncResult **result)
{
  afork_pool_call_async (pool, do_args (what, number), NULL, store_result_cb, result);
}

void
begin_job (AForkPool     *pool,
           AForkJob      *job,
           GAsyncResult **result)
{
  afork_pool_run_job_async (pool, job, NULL, store_result_cb, result);
}

AForkJob *
begin_pool_job (AForkPool     *pool,
                const char    *what,
                guint32        number,
                GAsyncResult **result)
{
  AForkJob *job = afork_job_new (do_args (what, number));

  begin_job (pool, job, result);
  return job;
}

AForkJob *
new_gate_job (const char *what,
              int        *gate)
{
  AForkJob *job = afork_job_new (do_args (what, 0));
  g_autoptr(GUnixFDList) list = NULL;
  int fds[2];

  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  list = g_unix_fd_list_new_from_array (fds, 1);
  afork_job_set_fds (job, list);
  *gate = fds[1];
  return job;
}

static GVariant *
finish (AForkPool     *pool,
        GAsyncResult **result,
        GError       **error)
{
  g_autoptr(GAsyncResult) ended = NULL;

  await_result (result);
  ended = g_steal_pointer (result);
  if (g_async_result_is_tagged (ended, afork_pool_call_async))
    return afork_pool_call_finish (pool, ended, error);

  return afork_pool_run_job_finish (pool, ended, error);
}

guint32
await_answer (AForkPool     *pool,
              GAsyncResult **result)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = finish (pool, result, &error);

  g_assert_no_error (error);
  return g_variant_get_uint32 (answer);
}

void
await_error (AForkPool     *pool,
             GAsyncResult **result,
             GQuark         domain,
             int            code,
             const char    *text)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (finish (pool, result, &error));
  g_assert_error (error, domain, code);
  if (text != NULL && strstr (error->message, text) == NULL)
    g_error ("“%s” is not in “%s”", text, error->message);
}

void
await_job_state (AForkJob      *job,
                 AForkJobState  state)
{
  while (afork_job_get_state (job) < state)
    g_main_context_iteration (NULL, TRUE);
}

void
count_event_cb (AForkPool *pool,
                GVariant  *event,
                guint     *n)
{
  (*n)++;
}

void
count_exited_cb (AForkPool    *pool,
                 AForkProcess *process,
                 GError       *error,
                 guint        *n)
{
  (*n)++;
}

void
await_shutdown (AForkPool         *pool,
                AForkShutdownMode  mode)
{
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  afork_pool_shutdown_async (pool, mode, NULL, store_result_cb, &result);
  await_result (&result);
  g_assert_true (afork_pool_shutdown_finish (pool, result, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (afork_pool_get_n_workers (pool), ==, 0);
  g_assert_cmpuint (afork_pool_get_n_queued (pool), ==, 0);
  g_assert_cmpuint (afork_pool_get_n_running (pool), ==, 0);
}

void
shut_down_pool (AForkPool         *pool,
                AForkShutdownMode  mode)
{
  await_shutdown (pool, mode);
  g_assert_finalize_object (pool);
}
