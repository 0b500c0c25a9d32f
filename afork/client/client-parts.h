/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "base/atfork.h"
#include "channel.h"
#include "client.h"
#include "notifier.h"
#include "pid-watch.h"

G_BEGIN_DECLS

/* For client.c, client-start.c and client-replies.c only. */

struct _AForkClient
{
  AForkAtforkHook          atfork_hook;    /* the channels */
  gatomicrefcount          ref_count;
  AForkContext            *home;           /* that of its owner */
  GMainContext            *context;        /* in which it is served now; not a reference */
  const AForkClientEvents *events;
  AForkNotifier            notifier;       /* calls the events for the owner */
  gboolean                 started;        /* the owner is complete; until then the notifier is
                                            * frozen */

  AForkChannel            *channel;        /* NULL once handed over or closed */
  AForkPidWatch           *pid_watch;
  guint                    after_context_ms; /* how long it may outlive its context */
  GError                  *failure;        /* set once */
  gboolean                 failed_like_template; /* … for what had befallen that */
  gboolean                 closed;         /* the command socket ended with no function entered */
  gboolean                 ready;          /* the command socket is no longer ours … */
  gboolean                 running;        /* … but a function's or a program's */
  gboolean                 forgotten;      /* it is one of the program that this one was forked
                                            * from */

  char                    *program;        /* of one that is executed, for messages */
  const char              *start_hint;     /* what an error adds if the program does not answer as
                                            * a server, or NULL; static */
  gboolean                 handshake_done; /* … and it has answered as a server does */
  guint                    start_timeout;  /* for the handshake, in milliseconds; 0 for no limit */
  GSource                 *handshake_timeout;  /* when that is over; or NULL */

  AForkClient             *template;       /* of one that is forked, until its process has exited */
  guint32                  number;         /* … what that calls it: not 0 */
  gboolean                 attached;       /* forked for another caller: by whom is not known */
  int                      attached_fd;    /* … its socket as it was given, for messages */
  gboolean                 confirmed;      /* … and it has been heard of */
  gboolean                 only_reports;   /* its channel is one on which forks are reported */
  gboolean                 lacks_pidfd;    /* it has said that its next answer comes without one */

  gboolean                 run_requested;
  gboolean                 detaching;      /* … and that is to go on for another caller */
  gboolean                 keeps_interrupt; /* SIGINT is for what it will run … */
  gboolean                 keeps_terminate; /* … and so is SIGTERM */
  gboolean                 gave_up;        /* it has said why it does nothing more */

  AForkChannel            *exec_status;    /* that tells how executing a program went, or NULL */
  GSocket                 *program_socket; /* the program's other end, until that is known */

  guint32                  last_number;    /* that a fork was given */
  char                    *expected;       /* the function that a fork was told to run last, or
                                            * NULL */
  GHashTable              *fork_watches;   /* number → AForkPidWatch of forks it reports; or NULL */
  GHashTable              *pending_forks;  /* forks not heard of, by number; or NULL */
  GQueue                   requests;       /* of Request: signals that it has not confirmed yet */
  guint                    n_requests_sent;      /* the first of them, which it knows of … */
  GList                   *unsent_request;       /* … and the first that it does not, or NULL */
};

/* Itself. */

/* Opens *CHANNEL, which keeps its client as long as it is open. The first takes FD; the second
 * returns the other end, or -1. */
gboolean _afork_client_open_channel            (AForkClient               *self,
                                                AForkChannel             **channel,
                                                const AForkChannelEvents  *events,
                                                int                        fd,
                                                GError                   **error);
int      _afork_client_connect_channel         (AForkClient               *self,
                                                AForkChannel             **channel,
                                                const AForkChannelEvents  *events,
                                                GError                   **error);
/* Drops the command channel, which is closed. */
void     _afork_client_drop_channel            (AForkClient               *self);

/* The handshake is done, or never will be. */
void     _afork_client_clear_handshake_timeout (AForkClient               *self);
/* A server was executed, or its socket taken over: it has to answer in time. */
void     _afork_client_await_handshake         (AForkClient               *self);

/* The owner is notified by the notifier. It may drop the last reference to itself meanwhile. */

/* The pid of the process is known, or another process has taken its place. */
void     _afork_client_notify_known            (AForkClient               *self);
/* The function or the program of the process, or another caller, has the other end of SOCKET. */
void     _afork_client_notify_ready            (AForkClient               *self,
                                                GSocket                   *socket);

/* Commands. */

/* The last one is about to be sent. False if it is not to be: there is nobody left to send it to,
 * or no room for the answer, and then the client has failed. */
gboolean _afork_client_expect_ready            (AForkClient               *self);

/* Answers. */

/* What comes on the command channel. */
extern const AForkChannelEvents _afork_client_channel_events;

/* Forks. */

/* One that has been forked is called NUMBER, and its end will be reported. It hangs on what the
 * one it was forked from does. */
void           _afork_client_add_fork_watch       (AForkClient   *self,
                                                   guint32        number,
                                                   AForkPidWatch *pid_watch);
/* Takes the watch of fork NUMBER out, or returns NULL where there is none. */
AForkPidWatch *_afork_client_take_fork_watch      (AForkClient   *self,
                                                   guint32        number);
gboolean       _afork_client_has_forks            (AForkClient   *self);
/* Nobody will report the ends of its forks any more. They are watched in its context, unless that
 * is gone. */
void           _afork_client_orphan_forks         (AForkClient   *self,
                                                   gboolean       context_gone);

/* Asks for the signals that it could not be asked for before. */
void           _afork_client_send_requests        (AForkClient   *self);
/* It has answered the next request, for fork NUMBER, by an errno or 0. False if there was none. */
gboolean       _afork_client_take_reply           (AForkClient   *self,
                                                   guint32        number,
                                                   int            result);
/* Fork NUMBER is another caller's from now on, and not signalled by this one any more. */
void           _afork_client_disown_fork          (AForkClient   *self,
                                                   guint32        number);

/* A fork is pending until it is heard of. */
void           _afork_client_add_pending_fork     (AForkClient   *self);
void           _afork_client_remove_pending_fork  (AForkClient   *self);
AForkClient   *_afork_client_find_pending_fork    (AForkClient   *self,
                                                   guint32        number);
/* Forks of it that have not been heard of by now may never have come to be. */
void           _afork_client_update_pending_forks (AForkClient   *self);

/* Failing and ending. */

void           _afork_client_set_pid_watch        (AForkClient   *self,
                                                   AForkPidWatch *pid_watch);
void           _afork_client_fail                 (AForkClient   *self,
                                                   const GError  *error);
/* It never came to be, and ERROR is why. */
void           _afork_client_fail_to_start        (AForkClient   *self,
                                                   const GError  *error);
/* Its function or program runs: sends the signals that were kept for that. */
void           _afork_client_send_kept_signals    (AForkClient   *self);
/* Finds out why SELF, whose command socket has ended, will not run its function, and sees to it
 * that its process ends, as soon as that can be; to be called again whenever more is known. */
void           _afork_client_update_outcome       (AForkClient   *self);

G_END_DECLS
