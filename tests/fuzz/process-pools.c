/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The pools and maps of the program that uses the library. Timers are never due, so a pool that
 * makes a pause goes on only when it is shut down. */

#include "process-target.h"

static void
object_gone_cb (gpointer  data,
                GObject  *gone)
{
  world.n_alive--;
}

static void
keep (GObject *object)
{
  world.n_alive++;
  g_object_weak_ref (object, object_gone_cb, NULL);
}

static void
check_end (bool          success,
           const GError *error)
{
  if (success != (error == NULL))
    die ("a job has succeeded and failed, or neither");
  if (error != NULL && !g_utf8_validate (error->message, -1, NULL))
    die ("an error says what cannot be read");
}

static void
finish (GObject      *object,
        GAsyncResult *result,
        int           how)
{
  g_autoptr(GVariant) value = NULL;
  g_autoptr(AForkJob) job = NULL;
  g_autoptr(GError) error = NULL;

  switch (how)
    {
    case CALL_JOB:
      value = afork_pool_run_job_finish (AFORK_POOL (object), result, &error);
      check_end (value != NULL, error);
      break;
    case CALL_NEXT:
      job = afork_map_next_finish (AFORK_MAP (object), result, &error);
      if (job != NULL)
        check_end (afork_job_get_result (job) != NULL, afork_job_get_error (job));
      break;
    default:
      check_end (afork_pool_shutdown_finish (AFORK_POOL (object), result, &error), error);
      break;
    }
}

static void
called_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  Call *call = data;

  if (call->is_done)
    die ("a job has ended twice");
  call->is_done = TRUE;
  world.n_pending--;
  finish (object, result, call->how);
  nest ();
}

void
make_pool (AForkProcess *process,
           unsigned      how)
{
  AForkPool *pool;

  if (!can_prepare (process) || world.n_pools == MAX_POOLS)
    return;

  pool = g_object_new (AFORK_TYPE_POOL, "process", process, "function", "echo",
                       "max-workers", 1 + how % 3, "load", 1 + how / 4 % 3,
                       "min-idle", how / 16 % 2, "start-delay", 0, "stop-delay", 0,
                       "concurrent", (how & 0x20) != 0, "forward-stderr", (how & 0x40) != 0,
                       "trusted", (how & 0x80) == 0, "die-with-parent", (how & 0x40) != 0, NULL);
  keep (G_OBJECT (pool));
  g_weak_ref_init (&world.all_pools[world.n_pools], pool);
  world.pools[world.n_pools++] = pool;
}

static void
run_job (AForkPool *pool,
         unsigned   with,
         unsigned   number)
{
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new_uint32 (number % 4));

  afork_job_set_retries (job, number / 4 % 3);
  afork_job_set_coalesce (job, (number & 0x10) != 0);
  afork_job_set_priority (job, (int) (number / 32 % 4));
  afork_pool_run_job_async (pool, job, find_cancellable (with), called_cb, begin_call (CALL_JOB));
}

static void
make_map (AForkPool *pool,
          unsigned   n_items)
{
  static const guint32 numbers[8] = { 0 };
  GVariant *items = g_variant_new_fixed_array (G_VARIANT_TYPE_UINT32, numbers,
                                               n_items % G_N_ELEMENTS (numbers), sizeof *numbers);

  g_clear_object (&world.map);
  world.map = afork_pool_map (pool, items,
                              n_items < 0x80 ? AFORK_MAP_ORDERED : AFORK_MAP_UNORDERED);
  keep (G_OBJECT (world.map));
}

static void
shut_down (AForkPool         *pool,
           AForkShutdownMode  mode,
           unsigned           with)
{
  afork_pool_shutdown_async (pool, mode, find_cancellable (with), called_cb,
                             begin_call (CALL_SHUTDOWN));
}

void
use_pool (unsigned  n,
          Step     *step)
{
  AForkPool *pool = world.n_pools > 0 ? world.pools[n % world.n_pools] : NULL;
  const unsigned how = step_take (step);
  const unsigned with = step_take (step);
  const unsigned number = step_take (step);
  g_autoptr(AForkPool) kept = NULL;
  g_autoptr(GVariant) stats = NULL;

  if (pool == NULL || world.n_calls >= MAX_CALLS)
    return;

  kept = g_object_ref (pool);
  switch (how % 10)
    {
    case 0:
    case 1:
    case 2:
      run_job (pool, with, number);
      break;
    case 3:
      make_map (pool, number);
      break;
    case 4:
      if (world.map != NULL)
        afork_map_next_async (world.map, find_cancellable (with), called_cb,
                              begin_call (CALL_NEXT));
      break;
    case 5:
      g_clear_object (&world.map);
      break;
    case 6:
      afork_pool_set_max_workers (pool, 1 + number % 4);
      break;
    case 7:
      stats = afork_pool_get_stats (pool);
      break;
    case 8:
      shut_down (pool, number % 2 > 0 ? AFORK_SHUTDOWN_MODE_ABORT : AFORK_SHUTDOWN_MODE_DRAIN,
                 with);
      break;
    default:
      g_clear_object (&world.pools[n % world.n_pools]);
      break;
    }
}

void
drop_pools (void)
{
  g_clear_object (&world.map);
  for (unsigned i = 0; i < world.n_pools; i++)
    {
      g_autoptr(AForkPool) pool = g_weak_ref_get (&world.all_pools[i]);

      /* Its jobs, if there are any, keep a pool that was dropped. */
      if (pool != NULL)
        shut_down (pool, AFORK_SHUTDOWN_MODE_ABORT, N_CANCELLABLES);
      g_clear_object (&world.pools[i]);
      g_weak_ref_clear (&world.all_pools[i]);
    }
  world.n_pools = 0;
}
