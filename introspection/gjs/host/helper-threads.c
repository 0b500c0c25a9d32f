/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "helper-threads.h"

#include <dlfcn.h>

/* As the engine's own pool has. */
enum { MAX_THREADS = 8, STACK_SIZE = 2048 * 1024 };

/* The public functions of the engine, SpiderMonkey, in the forms that they have had. In each, the
 * engine calls the callback once for each task, with a lock held that running a task takes, too. */

/* mozjs 102 to 115: a task has no name.
 * JS::SetHelperThreadTaskCallback (void (*) (JS::DispatchReason), size_t, size_t)
 * JS::RunHelperThreadTask () */
typedef void (*AnyTaskCallback) (int reason);
typedef void (*SetAnyTaskCallback) (AnyTaskCallback callback, gsize n_threads, gsize stack_size);
typedef void (*RunAnyTask) (void);

#define SET_ANY_TASK_CALLBACK "_ZN2JS27SetHelperThreadTaskCallbackEPFvNS_14DispatchReasonEEmm"
#define RUN_ANY_TASK "_ZN2JS19RunHelperThreadTaskEv"

/* Later ones, such as mozjs 128: the task that the callback got is to be run.
 * JS::SetHelperThreadTaskCallback (void (*) (JS::HelperThreadTask *), size_t, size_t)
 * JS::RunHelperThreadTask (JS::HelperThreadTask *) */
typedef void (*TaskCallback) (gpointer task);
typedef void (*SetTaskCallback) (TaskCallback callback, gsize n_threads, gsize stack_size);
typedef void (*RunTask) (gpointer task);

#define SET_TASK_CALLBACK "_ZN2JS27SetHelperThreadTaskCallbackEPFvPNS_16HelperThreadTaskEEmm"
#define RUN_TASK "_ZN2JS19RunHelperThreadTaskEPNS_16HelperThreadTaskE"

typedef struct
{
  GMutex      mutex;            /* protects the fields below */
  GCond       cond;             /* there are tasks, or the threads are to end */
  GQueue      tasks;            /* for mozjs 102, they have no data */
  GPtrArray  *threads;
  guint       max_threads;
  guint       n_waiting;        /* threads that have nothing to do */
  gboolean    ends;             /* the threads end when there are no more tasks */

  RunAnyTask  run_any_task;     /* one of the two, for all the life of the process */
  RunTask     run_task;
} HelperThreads;

static HelperThreads helper_threads;

static gpointer
run_thread (gpointer data)
{
  HelperThreads *self = data;

  g_mutex_lock (&self->mutex);
  for (;;)
    {
      if (g_queue_is_empty (&self->tasks) && self->ends)
        break;

      if (g_queue_is_empty (&self->tasks))
        {
          self->n_waiting++;
          g_cond_wait (&self->cond, &self->mutex);
          self->n_waiting--;
        }
      else
        {
          gpointer task = g_queue_pop_head (&self->tasks);

          g_mutex_unlock (&self->mutex);
          if (self->run_task != NULL)
            self->run_task (task);
          else
            self->run_any_task ();
          g_mutex_lock (&self->mutex);
        }
    }
  g_mutex_unlock (&self->mutex);

  return NULL;
}

/* Called with a lock of the engine held, so this must not run the task. If no thread can be
 * started, for example because the process is confined, the engine collects garbage in the main
 * thread and does not optimize code. */
static void
task_cb (gpointer task)
{
  HelperThreads *self = &helper_threads;

  g_mutex_lock (&self->mutex);
  g_queue_push_tail (&self->tasks, task);
  if (!self->ends && self->n_waiting < g_queue_get_length (&self->tasks)
      && self->threads->len < self->max_threads)
    {
      GThread *thread = g_thread_try_new ("afork-js", run_thread, self, NULL);

      if (thread != NULL)
        g_ptr_array_add (self->threads, thread);
    }
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->mutex);
}

static void
any_task_cb (int reason)
{
  task_cb (NULL);
}

gboolean
_afork_helper_threads_init (void)
{
  HelperThreads *self = &helper_threads;
  SetAnyTaskCallback set_any_task_callback =
    (SetAnyTaskCallback) dlsym (RTLD_DEFAULT, SET_ANY_TASK_CALLBACK);
  SetTaskCallback set_task_callback = (SetTaskCallback) dlsym (RTLD_DEFAULT, SET_TASK_CALLBACK);

  self->run_any_task = (RunAnyTask) dlsym (RTLD_DEFAULT, RUN_ANY_TASK);
  self->run_task = (RunTask) dlsym (RTLD_DEFAULT, RUN_TASK);
  self->max_threads = CLAMP (g_get_num_processors (), 1, MAX_THREADS);
  self->threads = g_ptr_array_new ();

  if (set_task_callback != NULL && self->run_task != NULL)
    {
      set_task_callback (task_cb, self->max_threads, STACK_SIZE);
      return TRUE;
    }

  self->run_task = NULL;
  if (set_any_task_callback == NULL || self->run_any_task == NULL)
    return FALSE;

  set_any_task_callback (any_task_cb, self->max_threads, STACK_SIZE);
  return TRUE;
}

void
_afork_helper_threads_end (void)
{
  HelperThreads *self = &helper_threads;

  if (self->threads == NULL || self->threads->len == 0)
    return;

  g_mutex_lock (&self->mutex);
  self->ends = TRUE;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->mutex);

  /* Only this thread and running tasks make new tasks, and a thread takes all tasks before it
   * ends. */
  for (guint i = 0; i < self->threads->len; i++)
    g_thread_join (g_ptr_array_index (self->threads, i));
  g_ptr_array_set_size (self->threads, 0);
  self->ends = FALSE;
}
