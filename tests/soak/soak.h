/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A random mix of everything that the library does, and a model of what each operation may come
 * to. subject.c is the model, action.c does things at random, soak.c is the program. */

#pragma once

#include <afork/afork.h>

G_BEGIN_DECLS

/* Random numbers. Each step of the mix has its own, which depend on the seed and on the step's
 * number alone, so that a step does the same in every run that has come to the same state. Each
 * thread has steps of its own. */
void     chance_begin_step (guint32  seed,
                            guint    step);
gboolean chance            (guint    percent);
guint    chance_below      (guint    limit);

/* What is counted for the report. */
void     tally             (const char *table,
                            const char *row);
guint    tally_sum         (const char *table);
void     tally_print       (const char *table);

/* Errors as a set: a bit for each code of AForkError, and two more. */
typedef guint32 Errors;

#define ERROR_BIT(code)   ((Errors) 1 << AFORK_ERROR_##code)
#define ERROR_CANCELLED   ((Errors) 1 << 30)
#define ERROR_TOO_MANY    ((Errors) 1 << 31)
/* What may befall a process whose template is killed, or that is killed itself. */
/* This program, when it is executed again, may be hit before it has greeted: that is SPAWN. */
#define ERRORS_KILLED     (ERROR_BIT (SIGNALED) | ERROR_BIT (CLOSED) | ERROR_BIT (LOST) \
                           | ERROR_BIT (SPAWN))
/* … and one that is made or goes on while this program has no descriptor to spare. */
#define ERRORS_STARVED    (ERRORS_KILLED | ERROR_BIT (FAILED) | ERROR_BIT (PROTOCOL) \
                           | ERROR_BIT (EXITED) | ERROR_TOO_MANY)

typedef enum
{
  RUN_KIND_NONE,
  RUN_KIND_RECITE,              /* `recite` was run: what it says is known */
  RUN_KIND_ENDING,              /* a function or program that ends by itself */
  RUN_KIND_UNTIL_CLOSED,
  RUN_KIND_ENDLESS,             /* a function that has to be killed */
  RUN_KIND_DETACH
} RunKind;

/* A process under test, and what is known of it. It is kept by whoever knows it: the list of all,
 * its forks, and its operations. */
typedef struct _Subject Subject;

struct _Subject
{
  gatomicrefcount    ref_count;
  guint              number;
  const char        *origin;
  AForkProcess      *process;           /* NULL once dropped */
  Subject           *template;          /* or NULL */
  Subject           *taken_from;        /* by whom it was detached, or NULL */
  gboolean           is_default;        /* a runtime's own template, which is not handed over */
  gboolean           is_known;          /* it was heard of */

  /* What running it may come to. */
  Errors             may;
  gboolean           must_fail;
  gboolean           is_missing;        /* the program: fails, unless it is killed first */
  Errors             fork_may;          /* of what is forked from it from now on */
  gboolean           forks_must_fail;
  gboolean           end_may_be_lost;
  gboolean           hangs;             /* does nothing more until it is killed */
  guint              stop_timer;        /* until it goes on, or 0 */

  /* What it was given. */
  gboolean           is_program;        /* it has this program's functions */
  gboolean           has_recite;
  gboolean           has_faults;
  GPtrArray         *items;             /* of GBytes */
  guint              n_fds;
  gboolean           has_forks;         /* or may have, spares among them */
  GString           *notes;
  char              *variable;
  char              *folder;
  GBytes            *mapped;            /* or NULL */

  /* What is done with it. */
  RunKind            run_kind;
  int                wait_status;       /* with which it ends if left alone, or -1 */
  gboolean           disturbed;         /* it may end in another way */
  gboolean           run_pending;
  gboolean           entered;           /* what it was handed over to */
  GCancellable      *run_cancellable;
  GCancellable      *wait_cancellable;
  guint              n_waits;           /* that are not answered */
  guint              n_exited;
  GSocketConnection *connection;
  gboolean           is_reciting;
  gsize              n_heard;           /* of what it recites */
  GBytes            *recital;           /* all that it should say, or NULL */
};

Subject   *subject_new            (AForkProcess *process,
                                   Subject      *template,
                                   const char   *origin);
Subject   *subject_ref            (Subject      *self);
void       subject_unref          (Subject      *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Subject, subject_unref)

/* What a fork, or whoever takes it over, has of the other one. */
void       subject_inherit        (Subject      *self,
                                   Subject      *other);

/* All of which something is still to come, in the order in which they were made. */
extern GPtrArray *subjects;

/* The runtime's own template, as it is now. */
Subject *subject_get_default      (AForkRuntime      *runtime);
void     subject_forget_defaults  (void);

/* Something goes wrong with it, in order with what it is told; what was forked before is all
 * right. */
void     subject_spoil            (Subject           *self,
                                   Errors             errors);
/* … or at once, and so perhaps for forks that were asked for and have not been heard of. */
void     subject_disturb          (Subject           *self,
                                   Errors             errors);
/* All of them, and those that are made until this is called with FALSE. */
void     subjects_starve          (gboolean           starve);
gboolean subjects_are_starved     (void);

/* What they need, and what is done when nothing else goes on. */
void     subjects_begin           (void);
void     subjects_update_outcomes (void);
void     subjects_end             (void);

/* Whether it, or what it comes from, is stopped or hangs, so that nothing comes of it now. */
gboolean subject_is_held_up       (Subject           *self);
/* Whether it can still be told something. */
gboolean subject_is_open          (Subject           *self);
/* Sees to it that it ends by itself. */
void     subject_let_go           (Subject           *self);
void     subject_stop             (Subject           *self);
void     subject_let_go_on        (Subject           *self);
void     subject_kill             (Subject           *self);
void     subject_drop             (Subject           *self,
                                   gboolean           in_thread);
void     subject_wait             (Subject           *self);
/* Closes the connection to it, if it has one and nobody listens. */
void     subject_close            (Subject           *self);

/* What it would say, for comparison; it is about to be told to. */
void     subject_expect_recital   (Subject           *self);
/* It has been answered, in a callback or by a blocking call. Takes CONNECTION. */
void     subject_ran              (Subject           *self,
                                   const char        *operation,
                                   GSocketConnection *connection,
                                   const GError      *error);
void     subject_waited           (Subject           *self,
                                   const char        *operation,
                                   AForkProcess      *process,
                                   const GError      *error);

/* A mix of calls in the thread-default main context: workers that come and go, and calls to them,
 * each of which must end once, with what it is to come to. */
typedef struct _CallMix CallMix;

CallMix *call_mix_new             (void);
/* Does something at random. */
void     call_mix_step            (CallMix    *self);
/* From now on descriptors are few, or not any more. */
void     call_mix_starve          (CallMix    *self,
                                   gboolean    starve);
/* In a plain fork of the program: all of it is the parent's, so it fails … */
void     call_mix_lose            (CallMix    *self);
/* … and this checks it. */
void     call_mix_use_lost        (CallMix    *self);
/* Iterates the context until each call that was made has ended. */
void     call_mix_update_outcomes (CallMix    *self);
/* It is settled. Drops the workers, and iterates the context until they have ended. */
void     call_mix_free            (CallMix    *self);
/* It is settled. Drops the workers, and leaves it at that: its context goes. */
void     call_mix_drop            (CallMix    *self);
void     call_mix_describe        (CallMix    *self);

/* Does something at random. */
void     action_begin             (void);
void     action_take              (void);
/* Undoes what lasts, and waits until what goes on in other threads is over. */
void     action_update_outcomes   (void);
/* Ends what has to be over at the end of a round. */
void     action_end_round         (void);
void     action_describe          (void);
void     action_end               (void);

/* A blocking call is made, which must come to an end soon. */
void     watchdog_begin           (const char *what);
void     watchdog_end             (void);

G_END_DECLS
