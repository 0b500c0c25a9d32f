/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "workloads.h"

#include <string.h>

#include "test-fault-util.h"

/* A function of a module has its full name if the program has a function of the same name. */
#define ECHO "echo:echo"

/* Longer than one piece. */
enum { LARGE = 70 * 1024 };

static AForkRuntime *command;
static char *large;

static AForkProcess *
prepare (AForkProcess *process)
{
  return afork_process_require (process, "echo");
}

static void
talk_to_end (Run       *run,
             Operation *ran)
{
  run_talk (run, ran, "");
  run_end (run, ran);
}

/* Runs it, exchanges a text with it and waits for its exit. */
static void
run_whole (Run          *run,
           AForkProcess *process,
           const char   *expected)
{
  Operation *ran = run_function (run, process, ECHO);

  run_await (run, ran);
  run_talk (run, ran, expected);
  run_end (run, ran);
}

/* Executed, and run itself. */
static void
execute (Run *run)
{
  AForkProcess *process = run_keep (run, afork_process_new_exec (NULL));

  prepare (process);
  afork_process_send_arg (process, "one ");
  run_whole (run, process, "one ");
}

/* All commands for a process. */
static void
prepare_all (Run *run)
{
  g_autoptr(GBytes) bytes = g_bytes_new_static (large, LARGE);
  g_autofree char *expected = g_strconcat ("one ", large, NULL);
  AForkProcess *process = run_keep (run, afork_process_new ());

  prepare (process);
  afork_process_require (process, "describe");
  afork_process_call (process, "remember", STRV ("a", "b"));
  afork_process_setenv (process, "FAULT", "yes");
  afork_process_setenv (process, "FAULT", NULL);
  afork_process_chdir (process, "/");
  afork_process_send_arg (process, "one ");
  afork_process_send_fd (process, 2);
  afork_process_map_fd (process, 2, 20);
  afork_process_send_bytes (process, bytes);
  run_whole (run, process, expected);
}

/* Several forks of one template, at the same time. */
static void
fork_several (Run *run)
{
  AForkProcess *template = run_keep (run, afork_process_new_exec (NULL));
  Operation *operations[3];

  prepare (template);
  for (guint i = 0; i < G_N_ELEMENTS (operations); i++)
    operations[i] = run_function (run, run_keep (run, afork_process_fork (template)), ECHO);
  for (guint i = 0; i < G_N_ELEMENTS (operations); i++)
    run_await (run, operations[i]);
  for (guint i = 0; i < G_N_ELEMENTS (operations); i++)
    talk_to_end (run, operations[i]);
}

/* A fork of a fork, which is then run itself, and so has to leave a process behind. */
static void
fork_fork (Run *run)
{
  const gboolean top_first = run_is_cut_off (run);
  AForkProcess *bottom = run_keep (run, afork_process_new_exec (NULL));
  AForkProcess *middle, *top;
  Operation *top_ran, *middle_ran;

  prepare (bottom);
  middle = run_keep (run, afork_process_fork (bottom));
  top = run_keep (run, afork_process_fork (middle));
  top_ran = run_function (run, top, ECHO);
  run_await (run, top_ran);
  middle_ran = run_function (run, middle, ECHO);
  /* A fork that was cut off before it was reported cannot be killed: it stays as long as its own
   * fork, and its template reports it only then. */
  if (top_first)
    talk_to_end (run, top_ran);
  run_await (run, middle_ran);
  if (!run_has_failed (run, middle_ran))
    talk_to_end (run, middle_ran);
  if (!top_first)
    talk_to_end (run, top_ran);
  if (run_has_failed (run, middle_ran))
    run_end (run, middle_ran);
}

static void
execute_program (Run *run)
{
  AForkProcess *process = run_keep (run, afork_process_new ());
  Operation *ran;

  afork_process_setenv (process, "LC_ALL", "C");
  ran = run_program (run, process, STRV ("cat"));
  run_await (run, ran);
  talk_to_end (run, ran);
}

/* From one caller to another. */
static void
hand_on (Run *run)
{
  AForkProcess *process = run_keep (run, afork_process_new ());
  AForkProcess *attached;
  Operation *detached, *ran;
  int fd;

  afork_process_send_arg (process, "one ");
  detached = run_detach (run, process);
  run_await (run, detached);
  fd = run_take_fd (run, detached);
  if (fd < 0)
    return;

  attached = run_keep (run, afork_process_new_from_fd (fd));
  prepare (attached);
  ran = run_function (run, attached, ECHO);
  run_await (run, ran);
  run_talk (run, ran, "one ");
  run_end (run, ran);
}

static void
die_with_parent (Run *run)
{
  AForkProcess *process = run_keep (run, afork_process_new ());

  g_object_set (process, "die-with-parent", TRUE, NULL);
  prepare (process);
  run_whole (run, process, "");
}

/* A process that waits to be taken over, and its successor. */
static void
take_spare (Run *run)
{
  AForkProcess *template = run_keep (run, afork_process_new_exec (NULL));

  prepare (template);
  g_object_set (template, "spare", 1, NULL);
  run_await_fork (run, template);
  run_whole (run, run_keep (run, afork_process_fork (template)), "");
}

/* Its processes are started only when they are run, and get their commands then. */
static void
command_process (Run *run)
{
  AForkProcess *process = run_keep (run, afork_process_new_for_runtime (command));
  AForkProcess *fork;

  prepare (process);
  afork_process_send_fd (process, 2);
  afork_process_send_arg (process, "one ");
  fork = run_keep (run, afork_process_fork (process));
  run_whole (run, fork, "one ");
}

static void
execute_self (Run *run)
{
  AForkProcess *process = afork_process_new_exec (afork_runtime_get_self ());

  prepare (run_keep (run, process));
  run_whole (run, process, "");
}

static void
fork_program (Run *run)
{
  g_autoptr(GError) error = NULL;
  AForkProcess *template = afork_process_new_template (&error);
  AForkProcess *process;

  if (template == NULL)
    {
      run_note (run, NULL, NULL, g_steal_pointer (&error));
      return;
    }

  run_keep (run, template);
  prepare (template);
  process = run_keep (run, afork_process_fork (template));
  run_whole (run, process, "");
}

/* Blocking calls. */
static void
block (Run *run)
{
  AForkProcess *process = run_keep (run, afork_process_new ());
  AForkProcess *program = run_keep (run, afork_process_new ());
  g_autoptr(GError) error = NULL;
  GSocketConnection *connection;
  gboolean success;
  Operation *ran;

  prepare (process);
  connection = afork_process_run (process, ECHO, NULL, &error);
  ran = run_note (run, process, connection, g_steal_pointer (&error));
  run_talk (run, ran, "");
  run_let_go (run, ran);
  /* Perhaps it was not run. */
  if (run_has_failed (run, ran))
    afork_process_force_exit (process);
  success = afork_process_wait (process, NULL, &error);
  run_note_wait (run, ran, success, g_steal_pointer (&error));

  connection = afork_process_exec (program, STRV ("cat"), NULL, &error);
  ran = run_note (run, program, connection, g_steal_pointer (&error));
  if (run_has_failed (run, ran))
    afork_process_force_exit (program);
  talk_to_end (run, ran);
}

static AForkPool *
make_pool (Run *run)
{
  AForkProcess *process = run_keep (run, afork_process_new_exec (NULL));

  afork_process_require (process, "pool");
  return run_keep_pool (run, g_object_new (AFORK_TYPE_POOL, "process", process,
                                           "function", "pool_do", "forward-stderr", FALSE,
                                           "max-workers", 2, "load", 1, "start-delay", 0,
                                           "grace", 5, "quarantine-time", 0, NULL));
}

/* Jobs of a pool with two templates. Each job may be run again. */
static void
pool_jobs (Run *run)
{
  AForkPool *pool = make_pool (run);
  AForkProcess *second = run_keep (run, afork_process_new_exec (NULL));
  Operation *jobs[6];

  afork_process_require (second, "pool");
  afork_pool_add_template (pool, second, 1);
  for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
    jobs[i] = run_job (run, pool, i);
  for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
    run_await (run, jobs[i]);
}

/* Jobs of a list, in their order. Each job may be run again. */
static void
map_jobs (Run *run)
{
  AForkPool *pool = make_pool (run);
  g_autoptr(GListStore) jobs = g_list_store_new (AFORK_TYPE_JOB);
  AForkMap *map;

  for (guint32 i = 0; i < 5; i++)
    {
      g_autoptr(AForkJob) job = run_new_job (i);

      g_list_store_append (jobs, job);
    }

  map = run_map (run, pool, G_LIST_MODEL (jobs));
  for (guint32 i = 0; i < 5; i++)
    run_await (run, run_next (run, map, i));
  run_await (run, run_next (run, map, NO_MORE));
}

const Workload workloads[] = {
  { "exec", execute },
  { "prepare", prepare_all },
  { "forks", fork_several },
  { "fork-fork", fork_fork },
  { "program", execute_program },
  { "detach", hand_on },
  { "with-parent", die_with_parent },
  { "spare", take_spare, .spares = TRUE },
  { "command", command_process },
  { "self", execute_self, .self = TRUE },
  { "template", fork_program, .single = TRUE },
  { "blocking", block, .blocks = TRUE },
  { "pool", pool_jobs, .retries = TRUE },
  { "map", map_jobs, .retries = TRUE },
};

const gsize n_workloads = G_N_ELEMENTS (workloads);

void
workloads_begin (const char * const *environment,
                 const char * const *own_environment)
{
  AForkRuntime *native = afork_runtime_get_native ();
  g_auto(GStrv) argv = afork_runtime_dup_argv (native);

  large = g_strnfill (LARGE, 'x');
  command = g_object_new (AFORK_TYPE_RUNTIME,
                          "name", "command",
                          "argv", argv,
                          "environ", environment,
                          "can-pass-fds", TRUE,
                          NULL);
  afork_runtime_set_environ (native, environment);
  afork_runtime_set_environ (afork_runtime_get_self (), own_environment);
}

void
workloads_check (void)
{
  assert_process_works (afork_runtime_get_native ());
}
