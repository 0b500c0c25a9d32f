/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-process.h"
#include "base/context.h"
#include "base/limits.h"
#include "base/task.h"
#include "client/client.h"
#include "process/blocking-call.h"
#include "process/command-log.h"
#include "process/spare-forks.h"

G_BEGIN_DECLS

/* The process cannot be killed. ERROR says why. */
typedef void (*AForkUnkillableFunc) (AForkProcess *process,
                                     const GError *error,
                                     gpointer      data);

/* The result of a run: CONNECTION, or NULL and ERROR. */
typedef void (*AForkRanFunc) (AForkProcess      *process,
                              GSocketConnection *connection,
                              const GError      *error,
                              gpointer           data);

/* What the caller has done with the process.
 *
 *       UNSTARTED ─────── start ──────> STARTED
 *           │                              │
 *     run, exec or detach           run, exec or detach
 *           v                              v
 *     RUN_UNSTARTED ───── start ────────> RUN
 *
 * How far the process itself has come is its AForkProcessState. */
typedef enum
{
  AFORK_PROCESS_PHASE_UNSTARTED,        /* commands are only logged */
  AFORK_PROCESS_PHASE_STARTED,          /* commands are sent to the process */
  AFORK_PROCESS_PHASE_RUN_UNSTARTED,    /* no more commands are taken; the start comes next, unless
                                         * the process fails */
  AFORK_PROCESS_PHASE_RUN               /* no more commands are taken */
} AForkProcessPhase;

/* AForkProcess is in three files: the class in afork-process.c, the functions that prepare a
 * process in afork-process-prepare.c, and those that run it in afork-process-run.c. */
struct _AForkProcess
{
  GObject           parent_instance;
  AForkRuntime     *runtime;
  guint             n_template_holds;  /* atomic; the runtime is a reference only if this is 0 */
  AForkProcess     *template;       /* NULL except during construction */
  gboolean          fresh;
  int               fd;             /* of a process to take over, during construction; or -1 */
  AForkContext     *context;

  AForkClient      *client;
  gboolean          disposed;
  gboolean          refused;        /* another thread uses its context */
  AForkCommandLog  *command_log;    /* NULL after the run, unless `keeps_commands` */
  gboolean          keeps_commands; /* the log has all commands, because they are sent later */
  gboolean          starts_later;   /* the same until the process is run or forked: its host is not
                                     * needed before */
  AForkProcess     *later_template; /* then the process is a fork of this one; or NULL */
  AForkCommandLog  *later_base;     /* the commands of that one; or NULL for none */

  AForkLimits      *limits;         /* NULL for none */

  AForkProcessPhase phase;          /* set by set_phase() */
  AForkProcessState state;          /* set by set_state() */
  gboolean          die_with_parent;
  guint             spare;
  AForkSpareForks  *spare_forks;    /* NULL until the first is wanted, and after the run */
  char             *title;          /* NULL for the default title */
  char             *template_title; /* the default title before the run; NULL until needed */
  char             *function;       /* NULL until the process runs a function */
  AForkPendingTask  run_task;
  AForkRanFunc      ran_func;       /* for a run without a task, or NULL */
  gpointer          ran_data;
  GTask            *cancelled_task; /* waits until it is known whether the process can be killed */
  GQueue            wait_tasks;     /* see _afork_task_queue_push() */
  guint             n_due_waits;    /* how many of these, from the first, return now */

  AForkUnkillableFunc unkillable_func;  /* or NULL */
  gpointer          unkillable_data;
};

/* Each public function that changes the process begins with one of these. They hold its main
 * context. If another thread uses the context, they return NULL, and set an error or log a critical
 * message. */
AForkHold    *_afork_process_hold                (AForkProcess         *self,
                                                  GError              **error);
AForkHold    *_afork_process_hold_or_warn        (AForkProcess         *self);
/* The same, and returns the error from TASK. */
AForkHold    *_afork_process_hold_for_task       (AForkProcess         *self,
                                                  GTask                *task);

/* Begins a blocking call of OBJECT, which is the process or uses it. Fails as
 * _afork_process_hold() and _afork_blocking_call_begin() do. */
gboolean      _afork_process_begin_blocking      (AForkProcess         *self,
                                                  AForkBlockingCall    *blocking,
                                                  GObject              *object,
                                                  GError              **error);

AForkClient  *_afork_process_get_client          (AForkProcess         *self);

/* The main context to which it belongs. */
AForkContext *_afork_process_get_context         (AForkProcess         *self);

void          _afork_process_notify_function     (AForkProcess         *self);

/* Whether a process was started, so that commands can be sent to it. */
gboolean      _afork_process_is_started          (AForkProcess         *self);

/* Marks the process as run. Fails if it was run before. */
gboolean      _afork_process_mark_run            (AForkProcess         *self,
                                                  GError              **error);
/* Starts the process if it was not started. Fails if the process has failed. */
gboolean      _afork_process_ensure_started      (AForkProcess         *self,
                                                  GError              **error);
/* The same for TASK. If they fail, they return the error from TASK, and false. */
gboolean      _afork_process_start_run           (AForkProcess         *self,
                                                  GTask                *task);
gboolean      _afork_process_set_run_task        (AForkProcess         *self,
                                                  GTask                *task);
/* Runs FUNCTION for an object of the library. Calls FUNC once, in the context in which the process
 * is served, which may be that of a blocking call, and perhaps within this call. A task would
 * return in the context in which it was created. */
void          _afork_process_run_for             (AForkProcess         *self,
                                                  const char           *function,
                                                  AForkRanFunc          func,
                                                  gpointer              data);

/* The name of FUNC, a function of this program, for titles and messages: its symbol if its program
 * or shared object exports it, else its offset there. NULL for NULL. */
char         *_afork_process_name_func           (gconstpointer         func);
/* The address of FUNC as text, which stands for the name of a function: see server/objects.h. NULL
 * for NULL. */
char         *_afork_process_describe_func       (gconstpointer         func);

/* Calls FUNC when the process cannot be killed. Does nothing if another function is set. */
void          _afork_process_watch_unkillable    (AForkProcess         *self,
                                                  AForkUnkillableFunc   func,
                                                  gpointer              data);
void          _afork_process_unwatch_unkillable  (AForkProcess         *self,
                                                  gpointer              data);

/* Sets how long, in milliseconds, the process may live after its main context has gone. */
void          _afork_process_kill_after_context  (AForkProcess         *self,
                                                  guint                 ms);

/* Returns the modules that the process loads, or NULL if it is also prepared in other ways. */
GStrv         _afork_process_dup_modules         (AForkProcess         *self);

/* Asks for the resident memory of the process: see _afork_client_measure(). FUNC must not use the
 * process. */
void          _afork_process_measure             (AForkProcess         *self,
                                                  AForkMeasuredFunc     func,
                                                  gpointer              data);

/* The limits that the process and its templates were given, or NULL. */
AForkLimits  *_afork_process_get_limits          (AForkProcess         *self);
/* The name of the system call that has ended the process, or NULL if it is not known. */
char         *_afork_process_dup_refused_call    (AForkProcess         *self);
/* Returns why nothing reports the exit of a process on another host, or NULL if it is on this host
 * or its exit was reported. */
GError       *_afork_process_new_lost_error      (AForkProcess         *self);

/* Whether the process takes commands, because it was not run yet. */
gboolean      _afork_process_can_prepare         (AForkProcess         *self);
/* The same for commands of the caller. Logs that the command is ignored. */
gboolean      _afork_process_may_prepare         (AForkProcess         *self);

/* Forks of the process that were made in advance are out of date. */
void          _afork_process_discard_spare_forks (AForkProcess         *self);
/* Releases these forks, until the process is forked the next time. */
void          _afork_process_trim_spare_forks    (AForkProcess         *self);

/* Sends FRAME, unless the process has failed. Takes FD, which is -1 if the frame has none. */
AForkProcess *_afork_process_send_command        (AForkProcess         *self,
                                                  const AForkFrame     *frame,
                                                  int                   fd);
/* Fails the process because a command cannot be sent. A process that replaces it fails as well. */
void          _afork_process_fail_command        (AForkProcess         *self,
                                                  const GError         *error);
/* Adds an item to the log. */
void          _afork_process_log_item            (AForkProcess         *self,
                                                  GBytes               *bytes);

/* Kills the process. Running it fails with the error. */
void          _afork_process_kill_with_error     (AForkProcess         *self,
                                                  int                   code,
                                                  const char           *format,
                                                  ...) G_GNUC_PRINTF (3, 4);

/* The runtime holds the process as a template, and releases it. In between, the process does not
 * hold a reference to the runtime, because that would be a cycle. */
void          _afork_process_hold_as_template    (AForkProcess         *self);
void          _afork_process_release_as_template (AForkProcess         *self);

/* Why the process has failed, or NULL. */
const GError *_afork_process_get_failure         (AForkProcess         *self);
/* Whether the process can still be forked, as far as it has reported. */
gboolean      _afork_process_can_fork            (AForkProcess         *self);

/* Whether the process has exited, even if this was not reported yet. */
gboolean      _afork_process_poll_exited         (AForkProcess         *self);

/* Whether this program cannot use the process any more: its context has gone, or this is a fork of
 * the program. */
gboolean      _afork_process_is_context_lost     (AForkProcess         *self);

G_END_DECLS
