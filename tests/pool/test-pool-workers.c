/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The list of the workers of a pool: what its consumers see, and that it costs nothing when there
 * are none. */

#include "test-pool-util.h"

#include <signal.h>
#include <string.h>

/* A consumer that knows the list only by its signals, as a widget does. */
typedef struct
{
  GListModel *model;
  GPtrArray  *items;            /* of AForkPoolWorker */
  GThread    *thread;           /* the only one in which it may be called */
  gulong      handler;
  guint       n_added;
  guint       n_removed;
} Mirror;

static void
check_mirror (Mirror *mirror)
{
  g_assert_cmpuint (g_list_model_get_n_items (mirror->model), ==, mirror->items->len);
  for (guint i = 0; i < mirror->items->len; i++)
    {
      g_autoptr(AForkPoolWorker) item = g_list_model_get_item (mirror->model, i);

      g_assert_true (AFORK_IS_POOL_WORKER (item));
      g_assert_true (item == g_ptr_array_index (mirror->items, i));
    }
  g_assert_null (g_list_model_get_item (mirror->model, mirror->items->len));
}

static void
items_changed_cb (GListModel *model,
                  guint       position,
                  guint       n_removed,
                  guint       n_added,
                  gpointer    data)
{
  Mirror *mirror = data;

  g_assert_true (g_thread_self () == mirror->thread);
  g_assert_cmpuint (n_removed + n_added, >, 0);
  g_assert_cmpuint (position + n_removed, <=, mirror->items->len);
  if (n_removed > 0)
    g_ptr_array_remove_range (mirror->items, position, n_removed);
  for (guint i = 0; i < n_added; i++)
    g_ptr_array_insert (mirror->items, (int) (position + i),
                        g_list_model_get_item (model, position + i));
  mirror->n_removed += n_removed;
  mirror->n_added += n_added;
  check_mirror (mirror);
}

/* Takes MODEL. */
static Mirror *
mirror_new (GListModel *model)
{
  Mirror *mirror = g_new0 (Mirror, 1);

  mirror->model = model;
  mirror->thread = g_thread_self ();
  mirror->items = g_ptr_array_new_with_free_func (g_object_unref);
  for (guint i = 0; i < g_list_model_get_n_items (model); i++)
    g_ptr_array_add (mirror->items, g_list_model_get_item (model, i));
  mirror->handler = g_signal_connect (model, "items-changed", G_CALLBACK (items_changed_cb),
                                      mirror);
  check_mirror (mirror);
  return mirror;
}

static void
mirror_free (Mirror *mirror)
{
  g_signal_handler_disconnect (mirror->model, mirror->handler);
  g_object_unref (mirror->model);
  g_ptr_array_unref (mirror->items);
  g_free (mirror);
}

/* Returns the worker with PROCESS, or NULL. */
static AForkPoolWorker *
find_worker (Mirror       *mirror,
             AForkProcess *process)
{
  for (guint i = 0; i < mirror->items->len; i++)
    {
      AForkPoolWorker *worker = g_ptr_array_index (mirror->items, i);

      if (afork_pool_worker_get_process (worker) == process)
        return worker;
    }

  return NULL;
}

/* The list agrees with the signals of the pool. */
static void
check_started_cb (AForkPool    *pool,
                  AForkProcess *process,
                  gpointer      data)
{
  AForkPoolWorker *worker = find_worker (data, process);

  g_assert_nonnull (worker);
  g_assert_cmpint (afork_pool_worker_get_state (worker), !=, AFORK_POOL_WORKER_STATE_STARTING);
  g_assert_cmpint (afork_pool_worker_get_pid (worker), ==, afork_process_get_pid (process));
}

static void
check_exited_cb (AForkPool    *pool,
                 AForkProcess *process,
                 GError       *error,
                 gpointer      data)
{
  g_assert_null (find_worker (data, process));
}

/* A mirror of the workers of POOL that is also compared with the signals of the pool. */
static Mirror *
watch_pool (AForkPool *pool)
{
  Mirror *mirror = mirror_new (afork_pool_get_workers (pool));

  g_signal_connect (pool, "worker-started", G_CALLBACK (check_started_cb), mirror);
  g_signal_connect (pool, "worker-exited", G_CALLBACK (check_exited_cb), mirror);
  return mirror;
}

/* The list is made when it is wanted first, and only one. */
static void
test_lazy (void)
{
  AForkPool *pool = new_pool ("min-idle", 2, NULL);
  GListModel *model;
  g_autoptr(GListModel) same = NULL;
  AForkPoolWorker *worker;

  while (afork_pool_get_n_idle (pool) < 2)
    g_main_context_iteration (NULL, TRUE);
  model = afork_pool_get_workers (pool);
  same = afork_pool_get_workers (pool);
  g_assert_true (model == same);
  g_assert_true (g_list_model_get_item_type (model) == AFORK_TYPE_POOL_WORKER);
  g_assert_cmpuint (g_list_model_get_n_items (model), ==, 2);
  worker = g_list_model_get_item (model, 0);
  g_assert_cmpint (afork_pool_worker_get_state (worker), ==, AFORK_POOL_WORKER_STATE_IDLE);
  g_assert_cmpint (afork_pool_worker_get_pid (worker), >, 0);
  g_assert_null (afork_pool_worker_get_host (worker));

  /* When nobody has the list any more, the pool drops the rest with its next change. */
  g_clear_object (&same);
  g_assert_finalize_object (model);
  g_object_add_weak_pointer (G_OBJECT (worker), (gpointer *) &worker);
  g_object_unref (worker);
  afork_pool_set_min_idle (pool, 0);
  afork_pool_set_max_workers (pool, 1);
  while (worker != NULL)
    g_main_context_iteration (NULL, TRUE);

  same = afork_pool_get_workers (pool);
  g_assert_cmpuint (g_list_model_get_n_items (same), ==, afork_pool_get_n_workers (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_cmpuint (g_list_model_get_n_items (same), ==, 0);
}

static void
append_notify_cb (GObject    *object,
                  GParamSpec *pspec,
                  gpointer    data)
{
  const char *const names[] = { "starting", "idle", "busy", "leaving", "exiting", "exited" };
  const char *name = g_param_spec_get_name (pspec);

  if (g_str_equal (name, "state"))
    g_string_append_printf (data, "%s ",
                            names[afork_pool_worker_get_state (AFORK_POOL_WORKER (object))]);
  else if (!g_str_equal (name, "rss"))
    g_string_append_printf (data, "%s ", name);
}

/* The properties of a worker from its start to its end. */
static void
test_properties (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "min-idle", 1, "load", 1, NULL);
  Mirror *mirror = watch_pool (pool);
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkPoolWorker) worker = NULL;
  GAsyncResult *result = NULL;
  int gate;
  g_autoptr(AForkJob) job = new_gate_job ("gate", &gate);

  while (mirror->items->len == 0)
    g_main_context_iteration (NULL, TRUE);
  worker = g_object_ref (g_ptr_array_index (mirror->items, 0));
  g_assert_cmpint (afork_pool_worker_get_state (worker), ==, AFORK_POOL_WORKER_STATE_STARTING);
  g_signal_connect (worker, "notify", G_CALLBACK (append_notify_cb), log);
  while (afork_pool_get_n_idle (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_nonnull (strstr (log->str, "idle "));
  g_assert_cmpint (afork_pool_worker_get_pid (worker), >, 0);
  g_string_truncate (log, 0);

  afork_pool_set_min_idle (pool, 0);
  begin_job (pool, job, &result);
  await_job_state (job, AFORK_JOB_STATE_RUNNING);
  g_assert_nonnull (strstr (log->str, "busy "));
  g_assert_nonnull (strstr (log->str, "calls "));
  g_assert_nonnull (strstr (log->str, "n-jobs "));
  g_assert_cmpuint (afork_pool_worker_get_calls (worker), ==, 1);
  g_assert_cmpuint (afork_pool_worker_get_n_jobs (worker), ==, 1);
  close (gate);
  g_assert_cmpint (afork_pool_worker_get_pid (worker), ==, (int) await_answer (pool, &result));
  while (afork_pool_worker_get_n_jobs (worker) > 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (afork_pool_worker_get_state (worker), ==, AFORK_POOL_WORKER_STATE_IDLE);
  while (afork_pool_worker_get_rss (worker) == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (afork_pool_worker_get_rss (worker), >, 100 * 1000);

  g_string_truncate (log, 0);
  await_shutdown (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_cmpstr (log->str, ==, "exiting exited ");
  g_assert_cmpuint (mirror->n_added, ==, 1);
  g_assert_cmpuint (mirror->n_removed, ==, 1);
  mirror_free (mirror);
  g_assert_finalize_object (pool);
  g_assert_cmpint (afork_pool_worker_get_state (worker), ==, AFORK_POOL_WORKER_STATE_EXITED);
}

/* Workers are started, killed, replaced and ended at random, for two consumers. One of them comes
 * and goes. */
static void
test_random (void)
{
  const guint n_steps = is_instrumented () ? 300 : 2000;
  AForkPool *pool = new_pool ("max-workers", 4, "start-delay", 1, "stop-delay", 2, NULL);
  Mirror *mirror = watch_pool (pool);
  Mirror *other = NULL;

  for (guint i = 0; i < n_steps; i++)
    {
      const int choice = g_test_rand_int_range (0, 20);

      afork_pool_call_async (pool, do_args (choice == 0 ? "retire" : "sleep", 1), NULL, NULL, NULL);
      if (choice == 1)
        afork_pool_set_max_workers (pool, (guint) g_test_rand_int_range (1, 6));
      else if (choice == 2 && mirror->items->len > 0)
        afork_process_force_exit (afork_pool_worker_get_process
                                    (g_ptr_array_index (mirror->items, 0)));
      else if (choice == 3 && other == NULL)
        other = mirror_new (afork_pool_get_workers (pool));
      else if (choice == 4)
        g_clear_pointer (&other, mirror_free);
      while (afork_pool_get_n_queued (pool) > 20)
        g_main_context_iteration (NULL, TRUE);
    }

  await_shutdown (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_test_message ("%u workers added, %u removed", mirror->n_added, mirror->n_removed);
  g_assert_cmpuint (mirror->n_added, ==, mirror->n_removed);
  g_assert_cmpuint (mirror->n_added, >, n_steps / 100);
  g_assert_cmpuint (mirror->items->len, ==, 0);
  g_clear_pointer (&other, mirror_free);
  mirror_free (mirror);
  g_assert_finalize_object (pool);
}

/* Handlers that use the pool. The mirrors are called before and after each handler. */

static void
iterate_cb (GListModel *model,
            guint       position,
            guint       n_removed,
            guint       n_added,
            gpointer    data)
{
  for (guint i = 0; i < 20; i++)
    g_main_context_iteration (NULL, FALSE);
}

static void
kill_cb (GListModel *model,
         guint       position,
         guint       n_removed,
         guint       n_added,
         gpointer    data)
{
  g_autoptr(AForkPoolWorker) worker = g_list_model_get_item (model, 0);

  if (worker != NULL && n_removed == 0 && position > 0)
    afork_process_force_exit (afork_pool_worker_get_process (worker));
}

static void
call_cb (GListModel *model,
         guint       position,
         guint       n_removed,
         guint       n_added,
         gpointer    data)
{
  g_autoptr(GVariant) answer = afork_pool_call (data, do_args ("echo", 1), NULL, NULL);

  if (n_added > 0)
    g_assert_nonnull (answer);
}

static void
shut_down_cb (GListModel *model,
              guint       position,
              guint       n_removed,
              guint       n_added,
              gpointer    data)
{
  afork_pool_shutdown_async (data, AFORK_SHUTDOWN_MODE_ABORT, NULL, NULL, NULL);
}

static void
check_within (gpointer handler)
{
  AForkPool *pool = new_pool ("max-workers", 3, "start-delay", 0, "stop-delay", 0, "load", 1,
                              "min-idle", 1, NULL);
  Mirror *before = mirror_new (afork_pool_get_workers (pool));
  Mirror *after;

  g_signal_connect (before->model, "items-changed", G_CALLBACK (handler), pool);
  after = mirror_new (afork_pool_get_workers (pool));
  for (guint i = 0; i < 20; i++)
    afork_pool_call_async (pool, do_args ("sleep", 1), NULL, NULL, NULL);
  while (before->n_removed < 2 && afork_pool_get_n_queued (pool) > 0)
    g_main_context_iteration (NULL, TRUE);
  g_signal_handlers_disconnect_by_func (before->model, handler, pool);
  await_shutdown (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_cmpuint (before->n_added, ==, after->n_added);
  g_assert_cmpuint (before->n_added, ==, before->n_removed);
  g_assert_cmpuint (after->items->len, ==, 0);
  mirror_free (after);
  mirror_free (before);
  g_assert_finalize_object (pool);
}

static void
test_within (void)
{
  check_within (iterate_cb);
  check_within (kill_cb);
  check_within (call_cb);
  check_within (shut_down_cb);
}

/* A handler drops the only reference of the program to the list, or a notification does. */
static void
drop_list_cb (GListModel *model,
              guint       position,
              guint       n_removed,
              guint       n_added,
              gpointer    data)
{
  GListModel **list = data;

  g_clear_object (list);
}

static void
test_dropped_within (void)
{
  AForkPool *pool = new_pool ("min-idle", 1, NULL);
  GListModel *list = afork_pool_get_workers (pool);

  g_signal_connect (list, "items-changed", G_CALLBACK (drop_list_cb), &list);
  while (afork_pool_get_n_idle (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_null (list);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static gpointer
drop_thread (gpointer data)
{
  g_object_unref (data);
  return NULL;
}

/* The list outlives its pool. The pool may be dropped in another thread. */
static void
test_outlives (void)
{
  for (guint i = 0; i < 2; i++)
    {
      AForkPool *pool = new_pool ("min-idle", 2, NULL);
      Mirror *mirror = mirror_new (afork_pool_get_workers (pool));

      while (afork_pool_get_n_idle (pool) < 2)
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpuint (mirror->items->len, ==, 2);
      if (i == 0)
        g_object_unref (pool);
      else
        g_thread_join (g_thread_new ("drop", drop_thread, pool));
      while (mirror->items->len > 0)
        g_main_context_iteration (NULL, TRUE);
      mirror_free (mirror);
    }
}

static gpointer
other_thread (gpointer data)
{
  g_autoptr(GListModel) list = NULL;

  g_test_expect_message ("AFork", G_LOG_LEVEL_CRITICAL, "*another thread*");
  list = afork_pool_get_workers (data);
  g_test_assert_expected_messages ();
  g_assert_cmpuint (g_list_model_get_n_items (list), ==, 0);
  return NULL;
}

/* In another thread, and if the pool cannot run jobs, there are no workers to be seen. */
static void
test_elsewhere (void)
{
  AForkPool *pool = new_pool ("min-idle", 1, NULL);
  g_autoptr(GListModel) list = NULL;

  while (afork_pool_get_n_idle (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  g_thread_join (g_thread_new ("other", other_thread, pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);

  g_test_expect_message ("AFork", G_LOG_LEVEL_CRITICAL, "*needs a template*");
  pool = g_object_new (AFORK_TYPE_POOL, NULL);
  g_test_assert_expected_messages ();
  list = afork_pool_get_workers (pool);
  g_assert_cmpuint (g_list_model_get_n_items (list), ==, 0);
  g_assert_finalize_object (pool);
}

#define add_test(path, function) \
  g_test_add_data_func (path, (gconstpointer) function, run_with_census)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/pool-workers/lazy", test_lazy);
  add_test ("/pool-workers/properties", test_properties);
  add_test ("/pool-workers/random", test_random);
  add_test ("/pool-workers/within", test_within);
  add_test ("/pool-workers/dropped-within", test_dropped_within);
  add_test ("/pool-workers/outlives", test_outlives);
  add_test ("/pool-workers/elsewhere", test_elsewhere);

  return g_test_run ();
}
