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
 * and each of them by INHERITED. There is no state for a process that has failed or exited:
 * `failure` and the pid watch say so, and replies that were sent before may still come. */
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
  AFORK_CLIENT_STATE_INHERITED      /* it belongs to the program that this one was forked from */
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
  AForkAtforkHook          atfork_hook;    /* for the channels */
  gatomicrefcount          ref_count;
  AForkContext            *home;           /* of its owner */
  GMainContext            *context;        /* where it is served now; not a reference */
  const AForkClientEvents *events;
  AForkNotifier            notifier;       /* calls the events for the owner */
  gboolean                 started;        /* the owner is complete; until then the notifier is
                                            * frozen */

  AForkClientState         state;          /* set by _afork_client_set_state() */
  AForkClientLastCommand   last_command;
  AForkChannel            *channel;        /* of commands, and of reports on forks once the socket
                                            * is no longer the server's; or NULL */
  AForkPidWatch           *pid_watch;
  guint                    after_context_ms; /* how long the process may outlive it */
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
  char                    *looked_up;      /* the function that the process was last told to look
                                            * up for its forks, or NULL */
  GHashTable              *fork_watches;   /* number → AForkPidWatch of forks it reports; or NULL */
  GHashTable              *pending_forks;  /* number → AForkClient that is not confirmed; or NULL */
  GQueue                   fork_commands;  /* of ForkCommand: those that have no reply yet */
  guint                    n_fork_commands_sent;  /* how many of these, from the first, were sent */
  GList                   *unsent_fork_command;  /* the first that was not sent, or NULL */
};

void     _afork_client_set_state               (AForkClient               *self,
                                                AForkClientState           state);
/* Whether the command socket has left the server, for what was asked for last. */
gboolean _afork_client_is_handed_over          (AForkClient               *self);
/* Whether a reply has come. */
gboolean _afork_client_has_replied             (AForkClient               *self);
/* Whether the last command has been queued. */
gboolean _afork_client_has_last_command        (AForkClient               *self);

/* Channels. */

/* Opens *CHANNEL, which keeps the client as long as it is open. The first takes FD; the second
 * makes a socket pair and returns the other end, or -1. */
gboolean _afork_client_open_channel            (AForkClient               *self,
                                                AForkChannel             **channel,
                                                const AForkChannelEvents  *events,
                                                int                        fd,
                                                GError                   **error);
int      _afork_client_connect_channel         (AForkClient               *self,
                                                AForkChannel             **channel,
                                                const AForkChannelEvents  *events,
                                                GError                   **error);
/* Drops the command channel, which has been closed. */
void     _afork_client_drop_channel            (AForkClient               *self);

/* The handshake is done, or will never be. */
void     _afork_client_clear_handshake_timeout (AForkClient               *self);
/* A server was executed or taken over. It has to reply in time. */
void     _afork_client_await_handshake         (AForkClient               *self);

/* The owner is notified by the notifier. It may drop the last reference to itself meanwhile. */

/* The pid of the process is known, or another process has taken its place. */
void     _afork_client_notify_known            (AForkClient               *self);
/* The function or the program of the process, or another caller, has the other end of SOCKET. */
void     _afork_client_notify_ready            (AForkClient               *self,
                                                GSocket                   *socket);

/* Commands. */

/* Prepares the channel for the reply to the last command. Returns false if that must not be sent:
 * the channel is closed, or there are no descriptors for the reply, and then the client has
 * failed. */
gboolean _afork_client_prepare_for_ready       (AForkClient               *self);

/* Replies. */

/* Handles the frames on the command channel. */
extern const AForkChannelEvents _afork_client_channel_events;

/* Forks. */

/* The process reports the exit of its fork NUMBER to PID_WATCH, and can be asked to signal it. */
void           _afork_client_add_fork_watch       (AForkClient   *self,
                                                   guint32        number,
                                                   AForkPidWatch *pid_watch);
/* Removes the watch of fork NUMBER and returns it, or NULL if there is none. */
AForkPidWatch *_afork_client_take_fork_watch      (AForkClient   *self,
                                                   guint32        number);
gboolean       _afork_client_has_forks            (AForkClient   *self);
/* The exits of its forks will no longer be reported. They are watched in its context, unless that
 * is gone. */
void           _afork_client_set_forks_unreported (AForkClient   *self,
                                                   gboolean       context_gone);

/* Sends the commands about forks that could not be sent before. */
void           _afork_client_send_fork_commands   (AForkClient   *self);
/* The process has replied to the next command about a fork, NUMBER, with an errno or 0. Returns
 * false if there was no such command. */
gboolean       _afork_client_take_reply           (AForkClient   *self,
                                                   guint32        number,
                                                   int            result);
/* Fork NUMBER belongs to another caller from now on. It is no longer signalled for this one. */
void           _afork_client_disown_fork          (AForkClient   *self,
                                                   guint32        number);

/* A fork is pending until it is confirmed. */
void           _afork_client_add_pending_fork     (AForkClient   *self);
void           _afork_client_remove_pending_fork  (AForkClient   *self);
AForkClient   *_afork_client_find_pending_fork    (AForkClient   *self,
                                                   guint32        number);
/* Updates the outcome of each pending fork, which may not exist. */
void           _afork_client_update_pending_forks (AForkClient   *self);

/* The outcome. */

void           _afork_client_set_pid_watch        (AForkClient   *self,
                                                   AForkPidWatch *pid_watch);
void           _afork_client_fail                 (AForkClient   *self,
                                                   const GError  *error);
/* The process could not be started, because of ERROR. */
void           _afork_client_fail_to_start        (AForkClient   *self,
                                                   const GError  *error);
/* Sends the signals that were kept for the function or the program, which runs now. */
void           _afork_client_send_kept_signals    (AForkClient   *self);
/* If the command socket has ended, finds out why no function will run, and makes the process exit.
 * It is called again whenever more is known. */
void           _afork_client_update_outcome       (AForkClient   *self);

G_END_DECLS
