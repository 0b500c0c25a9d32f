/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "backlog.h"
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
  AFORK_CLIENT_STATE_NEW,           /* no process was started */
  AFORK_CLIENT_STATE_STARTING,      /* a process was started, and no reply has come */
  AFORK_CLIENT_STATE_SERVING,       /* the server takes commands */
  AFORK_CLIENT_STATE_GAVE_UP,       /* it has said why it runs nothing; it still reports on forks */
  AFORK_CLIENT_STATE_UNWANTED,      /* it was ready to run, but the client had failed before */
  AFORK_CLIENT_STATE_EXECUTING,     /* it executes a program, and is no server any more */
  AFORK_CLIENT_STATE_RUNNING,       /* the function, the program or another caller has its socket */
  AFORK_CLIENT_STATE_CLOSED,        /* the command socket has ended, and nothing was run */
  AFORK_CLIENT_STATE_CLOSED_EARLY,  /* the same, and no reply had come */
  AFORK_CLIENT_STATE_INHERITED      /* it belongs to the program that this one was forked from */
} AForkClientState;

/* The last command that the process gets. It may be queued in any state. No other follows. */
typedef enum
{
  AFORK_CLIENT_LAST_COMMAND_NONE,
  AFORK_CLIENT_LAST_COMMAND_RUN,    /* to run a function or execute a program */
  AFORK_CLIENT_LAST_COMMAND_DETACH  /* to serve another caller */
} AForkClientLastCommand;

struct _AForkClient
{
  AForkAtforkHook          atfork_hook;
  gatomicrefcount          ref_count;
  AForkContext            *home;           /* the context of its owner */
  GMainContext            *context;        /* the context where it is served now; not a reference */
  const AForkClientEvents *events;
  AForkNotifier            notifier;       /* calls the events for the owner */
  gboolean                 started;        /* the owner is complete; until then the notifier is
                                            * frozen */

  AForkClientState         state;          /* set by _afork_client_set_state() */
  AForkClientLastCommand   last_command;
  AForkChannel            *channel;        /* for commands and replies; once the process runs, for
                                            * reports on its forks; or NULL */
  AForkPidWatch           *pid_watch;
  AForkPidWatch           *exited_watch;   /* the pid watch of a process that has exited, while what
                                            * it had sent is read; or NULL */
  guint                    n_replies;      /* how many replies are being handled: two while an ERROR
                                            * of executing waits for READY */
  guint                    after_context_ms; /* how long the process may outlive the context */
  GError                  *failure;        /* set once */
  gboolean                 failed_like_template;  /* the failure says that its template failed */

  char                    *program;        /* for messages: the program that was executed or
                                            * forked; or NULL */
  const char              *start_hint;     /* a static string for the error if the program does not
                                            * answer as a server; or NULL */
  guint                    start_timeout;  /* for the handshake, in milliseconds; 0 for no limit */
  GSource                 *handshake_timeout;  /* or NULL */

  AForkClient             *template;       /* forks the process; NULL if there is none, and once the
                                            * process has exited */
  guint32                  number;         /* the number of a fork at its template; or 0 */
  AForkHost               *host;           /* where the process is; NULL for here */
  gboolean                 is_connection;  /* the process is a relay, and its forks are on the
                                            * host */
  gboolean                 released;       /* a connection that gets no more forks */
  guint32                  remote_pid;     /* REMOTE has come: the next reply comes from this pid on
                                            * the host; or 0 */
  gboolean                 attached;       /* the process was taken over from another caller */
  int                      attached_fd;    /* for messages: its command socket */
  gboolean                 lacks_pidfd;    /* NO_PIDFD has come: the next reply has no pidfd */

  gboolean                 may_refork;     /* RESTRICT may move its server to another process */
  AForkConfinementReport  *confinement;    /* what is in force, once CONFINED has come; or NULL */

  gboolean                 keeps_interrupt;  /* send SIGINT once the process is running */
  gboolean                 keeps_terminate;  /* send SIGTERM once the process is running */

  AForkChannel            *exec_status;    /* reports whether executing a program failed; or NULL */
  GSocket                 *program_socket; /* for the owner if executing succeeds, or NULL */

  guint32                  last_number;    /* the number of the last fork */
  char                    *looked_up;      /* the function that the process was last asked to look
                                            * up for its forks, or NULL */
  GHashTable              *fork_watches;   /* number → AForkPidWatch, for the forks that the process
                                            * reports; or NULL */
  GHashTable              *pending_forks;  /* number → AForkClient, for forks that are not
                                            * confirmed; or NULL */
  AForkBacklog             backlog;        /* what is to be done for the forks */
  GQueue                   fork_commands;  /* of ForkCommand: those that have no reply yet */
  guint                    n_fork_commands_sent;  /* how many of these, from the first, were sent */
  GList                   *unsent_fork_command;  /* the first that was not sent, or NULL */
};

void     _afork_client_set_state               (AForkClient               *self,
                                                AForkClientState           state);
/* Whether the socket no longer belongs to the server, because the process does the last command. */
gboolean _afork_client_is_handed_over          (AForkClient               *self);
/* Whether a reply has come. */
gboolean _afork_client_has_replied             (AForkClient               *self);
/* Whether the process is on another host. */
gboolean _afork_client_is_remote               (AForkClient               *self);
/* Whether the last command has been queued. */
gboolean _afork_client_has_last_command        (AForkClient               *self);

/* Channels. */

/* Opens *CHANNEL, which holds a reference to the client while it is open. The first function takes
 * FD, which another process has made. The second makes a socket pair, and returns the other end or
 * -1. */
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

/* Call it when the handshake is done, or cannot be done any more. */
void     _afork_client_clear_handshake_timeout (AForkClient               *self);
/* Starts the handshake timeout. Call it when a server was executed or taken over. */
void     _afork_client_await_handshake         (AForkClient               *self);

/* Notifications of the owner, which may drop the last reference to itself meanwhile. */

/* The pid of the process is known, or another process has taken its place. */
void     _afork_client_notify_known            (AForkClient               *self);
/* The process runs its function or program, or was detached. SOCKET is connected to it. */
void     _afork_client_notify_ready            (AForkClient               *self,
                                                GSocket                   *socket);

/* Commands. */

/* Prepares the channel for the reply to the last command. Returns false if the command must not be
 * sent: the channel is closed, or there is no room for the descriptors of the reply, and the client
 * has failed. */
gboolean _afork_client_prepare_for_ready       (AForkClient               *self);

/* Replies. */

/* Handles the frames on the command channel. */
extern const AForkChannelEvents _afork_client_channel_events;

/* Forks. */

/* Has the process report the exit of its fork NUMBER to PID_WATCH, and signal the fork for it. */
void           _afork_client_add_fork_watch       (AForkClient   *self,
                                                   guint32        number,
                                                   AForkPidWatch *pid_watch);
/* Removes the watch of fork NUMBER and returns it, or NULL if there is none. */
AForkPidWatch *_afork_client_take_fork_watch      (AForkClient   *self,
                                                   guint32        number);
/* Fork NUMBER was ended because of SYSTEM_CALL. Does nothing if there is no such fork. */
void           _afork_client_set_refused_call     (AForkClient   *self,
                                                   guint32        number,
                                                   guint32        system_call);
gboolean       _afork_client_has_forks            (AForkClient   *self);
/* If SELF is a connection that has no forks left, lets it end. */
void           _afork_client_release_connection   (AForkClient   *self);
/* If SELF is a connection, which has ended, has its processes fail because the host is lost. */
void           _afork_client_lose_host            (AForkClient   *self);
/* Whether the process is on another host, and has neither exited nor is its host lost: that it has
 * closed its socket can mean both, and the connection reports one of them. Until then, its forks
 * may still be reported. */
gboolean       _afork_client_waits_for_host       (AForkClient   *self);
/* If the connection to the host of the process has ended, learns why. */
void           _afork_client_read_connection      (AForkClient   *self);
/* Whether READY may come from another process than the one that the client knows: a fork of it, or
 * the server that RESTRICT has moved into a PID namespace. */
gboolean       _afork_client_may_have_successor   (AForkClient   *self);
/* The process reports the exits of its forks no more. The forks are watched in the context, unless
 * that is gone. */
void           _afork_client_set_forks_unreported (AForkClient   *self);

/* Sends the commands about forks that could not be sent before. */
void           _afork_client_send_fork_commands   (AForkClient   *self);
/* The process has replied RESULT to the next command about a fork. Returns false if that command is
 * not KIND for fork NUMBER, or if there is none. */
gboolean       _afork_client_take_reply           (AForkClient   *self,
                                                   AForkFrameKind kind,
                                                   guint32        number,
                                                   guint32        result);
/* Notifies the process that fork NUMBER belongs to another caller, and must not be signalled any
 * more. */
void           _afork_client_disown_fork          (AForkClient   *self,
                                                   guint32        number);

/* A fork is pending until it is confirmed. */
void           _afork_client_add_pending_fork     (AForkClient   *self);
void           _afork_client_remove_pending_fork  (AForkClient   *self);
AForkClient   *_afork_client_find_pending_fork    (AForkClient   *self,
                                                   guint32        number);
/* Updates the outcome of each pending fork, because it may not be possible any more. */
void           _afork_client_update_pending_forks (AForkClient   *self);

/* The outcome. */

void           _afork_client_set_pid_watch        (AForkClient   *self,
                                                   AForkPidWatch *pid_watch);
void           _afork_client_fail                 (AForkClient   *self,
                                                   const GError  *error);
/* Fails the client because the process could not be started. */
void           _afork_client_fail_to_start        (AForkClient   *self,
                                                   const GError  *error);
/* Sends the signals that were kept until the process runs. */
void           _afork_client_send_kept_signals    (AForkClient   *self);
/* Goes on with the exit of the process, if that is waiting for what the process had sent. */
void           _afork_client_handle_exit          (AForkClient   *self);
/* If the command socket was closed, finds out why the process does not run, and makes it exit. Call
 * it again when more is known. */
void           _afork_client_update_outcome       (AForkClient   *self);

G_END_DECLS
