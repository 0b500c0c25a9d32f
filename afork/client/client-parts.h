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

/* How far the process has come, as its server has replied. A state may be followed by
 *
 *     NEW         STARTING
 *     STARTING    SERVING   GAVE_UP  UNWANTED  EXECUTING  RUNNING  CLOSED_EARLY
 *     SERVING               GAVE_UP  UNWANTED  EXECUTING  RUNNING  CLOSED
 *     GAVE_UP                                                      CLOSED
 *     UNWANTED                                                     CLOSED
 *     EXECUTING                                           RUNNING
 *
 * and each of them by LOST. There is no state for a process that has failed or exited: `failure`
 * and the pid watch say so, and replies that were sent before may still come. */
typedef enum
{
  AFORK_CLIENT_STATE_NEW,           /* no process has been asked for */
  AFORK_CLIENT_STATE_STARTING,      /* no reply has come yet, or none will */
  AFORK_CLIENT_STATE_SERVING,       /* the server takes commands */
  AFORK_CLIENT_STATE_GAVE_UP,       /* it has said why it runs nothing; it still reports on forks */
  AFORK_CLIENT_STATE_UNWANTED,      /* it was ready to run, but the client had failed before */
  AFORK_CLIENT_STATE_EXECUTING,     /* it executes a program, and is no server any more */
  AFORK_CLIENT_STATE_RUNNING,       /* the function, the program or another caller has its socket */
  AFORK_CLIENT_STATE_CLOSED,        /* the command socket has ended, and nothing was run */
  AFORK_CLIENT_STATE_CLOSED_EARLY,  /* the same, and no reply had come */
  AFORK_CLIENT_STATE_LOST           /* it belongs to the program that this one was forked from */
} AForkClientState;

/* The last command that the process gets. It is queued in any state, after which no other is. */
typedef enum
{
  AFORK_CLIENT_LAST_COMMAND_NONE,
  AFORK_CLIENT_LAST_COMMAND_RUN,    /* to run a function or execute a program */
  AFORK_CLIENT_LAST_COMMAND_DETACH  /* to go on for another caller */
} AForkClientLastCommand;

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

  AForkClientState         state;          /* set by _afork_client_set_state() */
  AForkClientLastCommand   last_command;
  AForkChannel            *channel;        /* of commands, and of reports on forks once the socket
                                            * is no longer the server's; or NULL */
  AForkPidWatch           *pid_watch;
  guint                    after_context_ms; /* how long it may outlive its context */
  GError                  *failure;        /* set once */
  gboolean                 failed_like_template;  /* the failure says that its template failed */

  char                    *program;        /* the name of an executed program, or of the program
                                            * that was forked, for messages; or NULL */
  const char              *start_hint;     /* what an error adds if the program does not answer as
                                            * a server, or NULL; static */
  guint                    start_timeout;  /* for the handshake, in milliseconds; 0 for no limit */
  GSource                 *handshake_timeout;  /* fires when that is over; or NULL */

  AForkClient             *template;       /* the one that forks the process, until that has exited;
                                            * or NULL */
  guint32                  number;         /* of a fork, given by its template; or 0 */
  gboolean                 attached;       /* another caller forked the process and gave it away */
  int                      attached_fd;    /* the socket by which that was done, for messages */
  gboolean                 lacks_pidfd;    /* the next reply comes without a pidfd, as announced */

  gboolean                 keeps_interrupt;  /* send SIGINT once the process is running */
  gboolean                 keeps_terminate;  /* send SIGTERM once the process is running */

  AForkChannel            *exec_status;    /* reports how executing a program went, or NULL */
  GSocket                 *program_socket; /* for the owner if executing succeeds, or NULL */

  guint32                  last_number;    /* that a fork was given */
  char                    *expected;       /* the function that a fork was last asked to run, or
                                            * NULL */
  GHashTable              *fork_watches;   /* number → AForkPidWatch of forks it reports; or NULL */
  GHashTable              *pending_forks;  /* number → AForkClient that is not confirmed; or NULL */
  GQueue                   requests;       /* of Request: those that have no reply yet */
  guint                    n_requests_sent;  /* how many of these, from the first, were sent */
  GList                   *unsent_request; /* the first that was not sent, or NULL */
};

void     _afork_client_set_state               (AForkClient               *self,
                                                AForkClientState           state);
/* Whether the command socket has left the server, for what was asked for last. */
gboolean _afork_client_is_handed_over          (AForkClient               *self);
/* Whether a reply has come. */
gboolean _afork_client_has_replied             (AForkClient               *self);
/* Whether the last command has been queued. */
gboolean _afork_client_is_run_requested        (AForkClient               *self);

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
