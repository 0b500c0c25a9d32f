/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-process.h"
#include "base/context.h"
#include "base/task.h"
#include "client/client.h"
#include "process/blocking-call.h"
#include "process/command-log.h"
#include "process/spare-forks.h"

G_BEGIN_DECLS

/* The process was to be killed, and cannot be; ERROR says why. */
typedef void (*AForkUnkillableFunc) (AForkProcess *process,
                                     const GError *error,
                                     gpointer      data);

/* What came of a run: CONNECTION, or NULL and ERROR. */
typedef void (*AForkRanFunc) (AForkProcess      *process,
                              GSocketConnection *connection,
                              const GError      *error,
                              gpointer           data);

/* AForkProcess is in three files: the class in afork-process.c, what it can be told in
 * afork-process-prepare.c, and the ways of handing it over in afork-process-run.c. */
struct _AForkProcess
{
  GObject           parent_instance;
  AForkRuntime     *runtime;
  guint             n_holds;        /* while there are any, the runtime is no reference; atomic */
  AForkProcess     *template;       /* only while the object is constructed */
  gboolean          fresh;
  int               fd;             /* to take the process over by, or -1; until constructed */
  AForkContext     *context;

  AForkClient      *client;
  gboolean          disposed;
  gboolean          refused;        /* another thread uses its context */
  gboolean          started;        /* else all that is told to it is only kept, until it runs */
  AForkCommandLog  *command_log;    /* what it was told, if that is needed again; or NULL */

  AForkProcessState state;
  gboolean          detached;
  gboolean          die_with_parent;
  guint             spare;
  AForkSpareForks  *spare_forks;    /* NULL unless it has or had any, and once it was handed over */
  char             *title;          /* NULL for the usual one */
  char             *template_title; /* the usual one until it runs; made when first needed */
  gboolean          run_started;    /* it was told what to run or to execute, or is detached */
  char             *function;       /* NULL until it was told to run one */
  AForkPendingTask  run_task;
  AForkRanFunc      ran_func;       /* in place of a task, or NULL */
  gpointer          ran_data;
  GTask            *cancelled_task; /* … until it is known whether the process can be killed */
  GQueue            wait_tasks;     /* see _afork_task_queue_push() */

  AForkUnkillableFunc unkillable_func;  /* or NULL */
  gpointer          unkillable_data;
};

/* Each public function that does something to the process begins with one of these. They hold its
 * main context, or return NULL if another thread may use that: with an error, or with a critical
 * warning where a function can tell no error. */
AForkHold    *_afork_process_hold                (AForkProcess         *self,
                                                  GError              **error);
AForkHold    *_afork_process_hold_or_warn        (AForkProcess         *self);
/* The same, which answers TASK with the error. */
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

/* Takes the process out of its caller's hands, if it has not been before. */
gboolean      _afork_process_mark_run            (AForkProcess         *self,
                                                  GError              **error);
/* Has it started by now, unless it has failed. */
gboolean      _afork_process_ensure_started      (AForkProcess         *self,
                                                  GError              **error);
/* The same for TASK: false if that is answered already. */
gboolean      _afork_process_start_run           (AForkProcess         *self,
                                                  GTask                *task);
gboolean      _afork_process_expect_run          (AForkProcess         *self,
                                                  GTask                *task);
/* Runs FUNCTION for an object of the library. FUNC is called once, wherever the process is served
 * by then, perhaps already in this call. A task would be answered in the context in which it was
 * made, and the process may be served in that of a blocking call. */
void          _afork_process_run_for             (AForkProcess         *self,
                                                  const char           *function,
                                                  AForkRanFunc          func,
                                                  gpointer              data);

/* Has FUNC called whenever that is so, unless another function is already. */
void          _afork_process_watch_unkillable    (AForkProcess         *self,
                                                  AForkUnkillableFunc   func,
                                                  gpointer              data);
void          _afork_process_unwatch_unkillable  (AForkProcess         *self,
                                                  gpointer              data);

/* When its main context has gone, it has so long, in milliseconds, to exit before it is killed. */
void          _afork_process_kill_after_context  (AForkProcess         *self,
                                                  guint                 ms);

/* Whether it may still be told something. */
gboolean      _afork_process_can_prepare         (AForkProcess         *self);
/* The same for what the program tells it, which is ignored then. */
gboolean      _afork_process_may_prepare         (AForkProcess         *self);

/* What forks of it are like has changed. */
void          _afork_process_discard_spare_forks (AForkProcess         *self);

/* Tells it FRAME, unless it has failed. Takes FD, which is -1 if the frame names none. */
AForkProcess *_afork_process_send_command        (AForkProcess         *self,
                                                  const AForkFrame     *frame,
                                                  int                   fd);
/* The process cannot be told something. If it is replaced, then by one that must not go without. */
void          _afork_process_fail_command        (AForkProcess         *self,
                                                  const GError         *error);
/* Whether it matters no more what the process is told. One that has failed may be replaced by one
 * that is told the same. */
gboolean      _afork_process_ignores_commands    (AForkProcess         *self);

/* Makes it fail, so that running it says so, and kills it. */
void          _afork_process_kill_with_error     (AForkProcess         *self,
                                                  int                   code,
                                                  const char           *format,
                                                  ...) G_GNUC_PRINTF (3, 4);

/* Its runtime keeps it as a template, and gives it up. Meanwhile it does not keep the runtime, or
 * the two would keep each other for ever. */
void          _afork_process_hold_as_template    (AForkProcess         *self);
void          _afork_process_release_as_template (AForkProcess         *self);

/* Whether it is lost to this program. */
gboolean      _afork_process_is_context_lost     (AForkProcess         *self);

G_END_DECLS
