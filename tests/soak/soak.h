/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A random mix of everything that the library does, and a model of the allowed outcomes of each
 * operation. subject.c is the model, action.c makes random actions, soak.c is the program. */

#pragma once

#include <afork/afork.h>

G_BEGIN_DECLS

/* Random numbers. Each step of the mix has its own, which depend only on the seed and on the number
 * of the step, so that a step does the same in every run that has reached the same state. Each
 * thread has its own steps. */
void     chance_begin_step (guint32  seed,
                            guint    step);
gboolean chance            (guint    percent);
guint    chance_below      (guint    limit);

/* Counters for the report. */
void     tally             (const char *table,
                            const char *row);
guint    tally_sum         (const char *table);
void     tally_print       (const char *table);

/* Counts OBJECT in *N_OBJECTS until it is freed, in any thread. *N_OBJECTS was made by
 * g_atomic_rc_box_new0(). Each object has a reference to it, because objects may live longer than
 * what counts them. */
void     count_object      (gpointer    object,
                            int        *n_objects);

/* Errors as a set: a bit for each code of AForkError, and two more. */
typedef guint32 Errors;

#define ERROR_BIT(code)   ((Errors) 1 << AFORK_ERROR_##code)
#define ERROR_CANCELLED   ((Errors) 1 << 30)
#define ERROR_TOO_MANY    ((Errors) 1 << 31)
/* The allowed errors of a process whose template is killed, or that is killed itself. SPAWN comes
 * if it is this program, executed again, and was killed before it has sent HELLO. */
#define ERRORS_KILLED     (ERROR_BIT (SIGNALED) | ERROR_BIT (CLOSED) | ERROR_BIT (LOST) \
                           | ERROR_BIT (SPAWN))
/* The same for a process that is made or run while this program has no descriptors left. */
#define ERRORS_STARVED    (ERRORS_KILLED | ERROR_BIT (FAILED) | ERROR_BIT (PROTOCOL) \
                           | ERROR_BIT (EXITED) | ERROR_TOO_MANY)

typedef enum
{
  RUN_KIND_NONE,
  RUN_KIND_RECITE,              /* `recite` was run: its report is known */
  RUN_KIND_ENDING,              /* a function or program that exits by itself */
  RUN_KIND_UNTIL_CLOSED,
  RUN_KIND_ENDLESS,             /* a function that has to be killed */
  RUN_KIND_DETACH
} RunKind;

/* A process under test, and what is known about it. The list of all processes, its forks, and its
 * operations have references to it. */
typedef struct _Subject Subject;

struct _Subject
{
  gatomicrefcount    ref_count;
  guint              number;
  const char        *origin;
  AForkProcess      *process;           /* NULL once it was dropped */
  Subject           *template;          /* or NULL */
  Subject           *taken_from;        /* the caller that has detached it, or NULL */
  gboolean           is_default;        /* the template of a runtime, which is not given to another
                                         * caller */
  gboolean           is_known;          /* a reply has come */

  /* The allowed outcomes of running it. */
  Errors             may;
  gboolean           must_fail;
  gboolean           is_missing;        /* the program: it fails, unless it is killed first */
  Errors             fork_may;          /* for forks from now on */
  gboolean           forks_must_fail;
  gboolean           end_may_be_lost;
  gboolean           hangs;             /* does nothing more until it is killed */
  guint              stop_timer;        /* until it is continued, or 0 */

  /* Its items and variables. */
  gboolean           is_program;        /* it has the functions of this program */
  gboolean           has_recite;
  gboolean           has_faults;
  GPtrArray         *items;             /* of GBytes */
  guint              n_fds;
  gboolean           has_forks;         /* it has forks, or may have some, including spare ones */
  GString           *notes;
  char              *variable;
  char              *folder;
  GBytes            *mapped;            /* or NULL */

  /* The actions on it. */
  RunKind            run_kind;
  int                wait_status;       /* its exit status if nothing else ends it, or -1 */
  gboolean           disturbed;         /* it may exit in another way */
  gboolean           run_pending;
  gboolean           entered;           /* the process that continues it after it was detached */
  GCancellable      *run_cancellable;
  GCancellable      *wait_cancellable;
  guint              n_waits;           /* pending operations */
  guint              n_exited;
  GSocketConnection *connection;
  gboolean           is_reciting;
  gsize              n_heard;           /* the part of the report that has come */
  GBytes            *recital;           /* the whole expected report, or NULL */
};

Subject   *subject_new            (AForkProcess *process,
                                   Subject      *template,
                                   const char   *origin);
Subject   *subject_ref            (Subject      *self);
void       subject_unref          (Subject      *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Subject, subject_unref)

/* What a fork, or a process that was taken over, has of the other one. */
void       subject_inherit        (Subject      *self,
                                   Subject      *other);

/* All processes with pending events, in the order in which they were made. */
extern GPtrArray *subjects;

/* The template of the runtime at present. */
Subject *subject_get_default      (AForkRuntime      *runtime);
void     subject_forget_defaults  (void);

/* A command of it fails, in order with its other commands. Forks that were made before are not
 * affected. */
void     subject_spoil            (Subject           *self,
                                   Errors             errors);
/* The same, but it may fail at once, and so perhaps its forks that were requested and not reported
 * yet. */
void     subject_disturb          (Subject           *self,
                                   Errors             errors);
/* All of them, and those that are made until this is called with FALSE. */
void     subjects_starve          (gboolean           starve);
gboolean subjects_are_starved     (void);

/* What they need, and what is done when nothing else happens. */
void     subjects_begin           (void);
void     subjects_update_outcomes (void);
void     subjects_end             (void);

/* Whether it, or a process that it comes from, is stopped or hangs, so that no reply comes now. */
gboolean subject_is_held_up       (Subject           *self);
/* Whether it still takes commands. */
gboolean subject_is_open          (Subject           *self);
/* Makes it exit by itself. */
void     subject_let_go           (Subject           *self);
void     subject_stop             (Subject           *self);
void     subject_let_go_on        (Subject           *self);
void     subject_kill             (Subject           *self);
void     subject_drop             (Subject           *self,
                                   gboolean           in_thread);
void     subject_wait             (Subject           *self);
/* Closes the connection to it, if it has one and nothing reads from it. */
void     subject_close            (Subject           *self);

/* The expected report. The process is about to be run. */
void     subject_expect_recital   (Subject           *self);
/* Running it has returned, in a callback or in a blocking call. Takes CONNECTION. */
void     subject_ran              (Subject           *self,
                                   const char        *operation,
                                   GSocketConnection *connection,
                                   const GError      *error);
void     subject_waited           (Subject           *self,
                                   const char        *operation,
                                   AForkProcess      *process,
                                   const GError      *error);

/* A mix of calls in the thread-default main context: workers that come and go, and calls to them,
 * each of which must end once, with an allowed outcome. */
typedef struct _CallMix CallMix;

CallMix *call_mix_new             (void);
/* Does a random action. */
void     call_mix_step            (CallMix    *self);
/* From now on there are few descriptors, or enough. */
void     call_mix_starve          (CallMix    *self,
                                   gboolean    starve);
/* In a plain fork of the program, everything belongs to the parent, so it fails. */
void     call_mix_lose            (CallMix    *self);
/* Checks this. */
void     call_mix_use_lost        (CallMix    *self);
/* Iterates the context until each call has ended. */
void     call_mix_update_outcomes (CallMix    *self);
/* All calls have ended. Drops the workers, and iterates the context until they have exited. */
void     call_mix_free            (CallMix    *self);
/* All calls have ended. Drops the workers, and frees the context at once. */
void     call_mix_drop            (CallMix    *self);
void     call_mix_describe        (CallMix    *self);

/* A mix of jobs in the thread-default main context: pools that come and go, and jobs and maps of
 * them, each of which must end once, with an allowed outcome. The functions are as those for
 * calls. */
typedef struct _PoolMix PoolMix;

PoolMix *pool_mix_new             (void);
void     pool_mix_step            (PoolMix    *self);
void     pool_mix_starve          (PoolMix    *self);
void     pool_mix_use_lost        (PoolMix    *self);
void     pool_mix_update_outcomes (PoolMix    *self);
/* Drops the pools or shuts them down, and iterates the context until their workers have exited. */
void     pool_mix_free            (PoolMix    *self);
void     pool_mix_describe        (PoolMix    *self);

/* Does a random action. */
void     action_begin             (void);
void     action_take              (void);
/* Undoes lasting actions, and waits until other threads are done. */
void     action_update_outcomes   (void);
/* Ends what must not last beyond a round. */
void     action_end_round         (void);
void     action_describe          (void);
void     action_end               (void);

/* Makes a blocking call, which must return soon. */
void     watchdog_begin           (const char *what);
void     watchdog_end             (void);

G_END_DECLS
