/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "refork.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "namespaces.h"
#include "server-prepare.h"
#include "server-reply.h"
#include "server-state.h"
#include "system/attach-fds.h"
#include "system/system-calls.h"

/* The number of init among the forks of the outer process. The caller never uses it. */
#define INIT_NUMBER UINT32_MAX

/* The sockets between the three processes. The first of each pair is the end of the process that is
 * named first. */
typedef struct
{
  int outer[2];                 /* init and outer process: an Exit; its end says that one is gone */
  int reports[2];               /* init and caller, which gets it with READY */
  int relay[2];                 /* outer process and server: where the forks of the first are
                                 * reported from now on */
} Sockets;

/* How the server has exited, as init reports it to the outer process. */
typedef struct
{
  int  status;
  bool alone;                   /* no other process is left: init exits, too */
} Exit;

/* What init, or the outer process, has learnt. */
typedef struct
{
  bool has_exit;
  Exit exit;
  bool init_gone;               /* outer process only */
  int  init_status;
} Watch;

/* Sockets. */

static void
close_pair (int *pair)
{
  for (int i = 0; i < 2; i++)
    {
      if (pair[i] >= 0)
        close (pair[i]);
      pair[i] = -1;
    }
}

static void
close_sockets (Sockets *self)
{
  close_pair (self->outer);
  close_pair (self->reports);
  close_pair (self->relay);
}

static bool
open_sockets (Sockets *self)
{
  const int type = SOCK_STREAM | SOCK_CLOEXEC;

  *self = (Sockets) { { -1, -1 }, { -1, -1 }, { -1, -1 } };
  return socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, self->outer) == 0
    && socketpair (AF_UNIX, type, 0, self->reports) == 0
    && socketpair (AF_UNIX, type, 0, self->relay) == 0;
}

static bool
set_fork_failure (void)
{
  return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                            "The process could not be forked into a namespace: %s",
                            strerror (errno));
}

/* What a process does that was just forked. Async-signal-safe, except the runtime's function. */
static void
begin_fork (AForkFdSet *closed)
{
  afork_server.forked = true;
  afork_server_open_death_pipe ();
  if (afork_server.runtime->forked != NULL)
    afork_server.runtime->forked (afork_server.runtime_data);
  afork_children_forget (&afork_server.children, closed);
}

static void
close_fd (int *fd)
{
  close (*fd);
  *fd = -1;
}

/* Closes all descriptors above standard error but the N_KEPT that are KEPT, because other processes
 * may wait until they are closed. Without close_range(), they stay open. Async-signal-safe. */
static void
close_others (int    *kept,
              size_t  n_kept)
{
  unsigned first = STDERR_FILENO + 1;

  for (size_t i = 1; i < n_kept; i++)
    for (size_t j = i; j > 0 && kept[j - 1] > kept[j]; j--)
      {
        int larger = kept[j - 1];

        kept[j - 1] = kept[j];
        kept[j] = larger;
      }

  for (size_t i = 0; i < n_kept; i++)
    {
      if (kept[i] < (int) first)
        continue;
      if (kept[i] > (int) first)
        afork_sys_close_range (first, (unsigned) kept[i] - 1);
      first = (unsigned) kept[i] + 1;
    }
  afork_sys_close_range (first, ~0U);
}

/* Init. */

/* Notes the exit of the server, which is reported to the caller if it was run. DATA is a Watch. */
static void
note_server_exit (const AForkFrame *frame,
                  void             *data)
{
  Watch *watch = data;

  watch->has_exit = true;
  watch->exit.status = (int) frame->exit.wait_status;
  afork_server_put_report (frame, NULL);
}

/* Reaps all processes whose parent has exited. Returns whether there are no children. Not
 * async-signal-safe. */
static bool
reap_orphans (void)
{
  siginfo_t info = { 0 };

  /* The server is reaped with its usage, as other forks are. */
  while (waitid (P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
    {
      if (info.si_pid == 0
          || (afork_server.children.n_children > 0
              && info.si_pid == afork_server.children.children[0].pid))
        return false;
      waitpid (info.si_pid, NULL, WNOHANG);
      info.si_pid = 0;
    }

  return errno == ECHILD;
}

/* Returns a descriptor that is readable when a child has exited, or -1 and sets errno. */
static int
open_child_signals (void)
{
  sigset_t signals;

  signal (SIGCHLD, SIG_DFL);
  sigemptyset (&signals);
  sigaddset (&signals, SIGCHLD);
  return sigprocmask (SIG_SETMASK, &signals, NULL) < 0
    ? -1 : signalfd (-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Returns whether the caller has exited. The kernel does not kill init by the signal of the death
 * pipe, because that comes from no process. */
static bool
has_caller_exited (void)
{
  struct pollfd entry = { .fd = afork_server.death_pipe, .events = POLLIN };

  return afork_server.death_pipe >= 0 && poll (&entry, 1, 0) > 0;
}

/* Returns whether the other end of SOCKET is closed. */
static bool
has_ended (int socket)
{
  char byte;

  return recv (socket, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

/* Reaps SERVER, and all other processes of the namespace until there are none. */
__attribute__ ((noreturn)) static void
serve_as_init (pid_t    server,
               Sockets *sockets)
{
  AForkChildren *children = &afork_server.children;
  const int signals = open_child_signals ();
  int outer = sockets->outer[0];
  AForkFdSet closed = { 0 };
  Watch watch = { 0 };
  bool reported = false, is_empty = false;

  afork_children_add (children, AFORK_WORKER_NUMBER, server);
  afork_link_switch (&afork_server.link, sockets->reports[0], &closed);
  afork_fd_set_add (&closed, sockets->reports[1]);
  afork_fd_set_add (&closed, sockets->relay[1]);
  afork_refork_forget (&closed);
  afork_fd_set_close (&closed);
  close_others ((int[]) {
    children->epoll, children->children[0].pidfd, signals, outer, sockets->reports[0],
    afork_server.death_pipe, afork_server.own_death_pipe
  }, 7);
  afork_children_watch_socket (children, outer);
  afork_children_watch_socket (children, signals);
  afork_children_watch_socket (children, afork_server.death_pipe);

  while (!is_empty)
    {
      if (afork_children_wait (children, note_server_exit, &watch))
        {
          struct signalfd_siginfo info;

          /* The kernel then kills all processes of the namespace. */
          if (has_caller_exited ())
            _exit (AFORK_EXIT_BASE + AFORK_WIRE_ERROR_FAILED);
          while (read (signals, &info, sizeof info) > 0)
            ;
          if (outer >= 0 && has_ended (outer))
            {
              afork_children_signal (children, AFORK_WORKER_NUMBER, SIGKILL);
              afork_children_unwatch_socket (children, outer);
              close_fd (&outer);
            }
          afork_server_receive_leftovers ();
        }
      afork_link_flush (&afork_server.link);

      is_empty = reap_orphans ();
      if (watch.has_exit && !reported)
        {
          watch.exit.alone = is_empty;
          if (outer >= 0)
            send (outer, &watch.exit, sizeof watch.exit, MSG_NOSIGNAL);
          reported = true;
        }
    }

  _exit (0);
}

/* In the first process of the namespace. Returns in the server, which is a fork of it. */
static void
become_init (const AForkNamespacesRules *rules,
             AForkNamespacesResult      *result,
             Sockets                    *sockets)
{
  const bool has_forks = afork_server.children.n_children > 0;
  AForkFdSet closed = { 0 };
  pid_t pid;

  begin_fork (&closed);
  afork_fd_set_add (&closed, sockets->outer[1]);
  afork_fd_set_add (&closed, sockets->relay[0]);
  afork_fd_set_close (&closed);
  afork_namespaces_set_up (rules, result);

  if (!afork_children_prepare (&afork_server.children, sockets->reports[0],
                               &afork_server.failure))
    afork_server_fail ();

  pid = afork_server.fork ();
  if (pid < 0)
    {
      set_fork_failure ();
      afork_server_fail ();
    }
  if (pid == 0)
    {
      begin_fork (&closed);
      afork_fd_set_add (&closed, sockets->outer[0]);
      afork_fd_set_add (&closed, sockets->reports[0]);
      afork_refork_forget (&closed);
      if (!has_forks)
        {
          afork_fd_set_add (&closed, sockets->relay[1]);
          sockets->relay[1] = -1;
        }
      afork_fd_set_close (&closed);
      afork_server.reports = sockets->reports[1];
      afork_server.relay = sockets->relay[1];
      return;
    }

  serve_as_init (pid, sockets);
}

/* The outer process. */

/* Ends the process as STATUS says. */
__attribute__ ((noreturn)) static void
end_like (int status)
{
  const struct rlimit no_core = { 0, 0 };
  sigset_t none;
  int signum;

  if (WIFEXITED (status))
    _exit (WEXITSTATUS (status));

  /* The server has dumped core, if it should. */
  setrlimit (RLIMIT_CORE, &no_core);
  prctl (PR_SET_DUMPABLE, 0, 0, 0, 0);
  signum = WTERMSIG (status);
  signal (signum, SIG_DFL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  raise (signum);
  _exit (AFORK_EXIT_BASE + AFORK_WIRE_ERROR_FAILED);
}

/* Reports the exit of a fork that is older than the namespace, or notes that of init. DATA is a
 * Watch. */
static void
note_fork_exit (const AForkFrame *frame,
                void             *data)
{
  Watch *watch = data;

  if (frame->number[0] != INIT_NUMBER)
    {
      afork_server_put_report (frame, NULL);
      return;
    }

  watch->init_gone = true;
  watch->init_status = (int) frame->exit.wait_status;
}

/* The server is about to be run, and then its socket belongs to the function. Switches to REPORTS,
 * or to the socket that has come with the message, and answers. Returns false if the server is
 * gone. */
static bool
serve_relay (int  relay,
             int *reports)
{
  union
  {
    struct cmsghdr align;
    char           bytes[CMSG_SPACE (sizeof (int))];
  } control;
  char byte;
  struct iovec vector = { &byte, 1 };
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = &control,
    .msg_controllen = sizeof control,
  };
  ssize_t n_bytes = recvmsg (relay, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  struct cmsghdr *header;
  AForkFdSet closed = { 0 };

  if (n_bytes <= 0)
    return n_bytes < 0 && (errno == EAGAIN || errno == EINTR);

  header = CMSG_FIRSTHDR (&message);
  if (header != NULL && header->cmsg_type == SCM_RIGHTS)
    {
      close (*reports);
      memcpy (reports, CMSG_DATA (header), sizeof *reports);
    }
  afork_link_flush (&afork_server.link);
  if (*reports >= 0)
    afork_link_switch (&afork_server.link, *reports, &closed);
  *reports = -1;
  afork_fd_set_close (&closed);
  send (relay, "", 1, MSG_NOSIGNAL);
  return true;
}

/* Whether the outer process can exit. It stays for its older forks, as a server would, unless the
 * server was killed. */
static bool
is_over (const Watch *watch)
{
  const size_t n_forks = afork_server.children.n_children - !watch->init_gone;
  const int status = watch->has_exit ? watch->exit.status : watch->init_status;

  if (!watch->init_gone && (!watch->has_exit || watch->exit.alone))
    return false;

  return n_forks == 0 || !WIFEXITED (status);
}

__attribute__ ((noreturn)) static void
stay_outside (pid_t    init,
              Sockets *sockets)
{
  AForkChildren *children = &afork_server.children;
  const bool has_forks = children->n_children > 0;
  int outer = sockets->outer[1], relay = sockets->relay[0];
  AForkFdSet closed = { 0 };
  Watch watch = { 0 };

  /* It was prepared for one more child before. */
  afork_children_add (children, INIT_NUMBER, init);
  /* The server reads the command socket. Reports on forks are short, so they are written whole. */
  afork_children_unwatch_socket (children, afork_server.link.socket);
  afork_fd_set_add (&closed, sockets->outer[0]);
  afork_fd_set_add (&closed, sockets->reports[1]);
  afork_fd_set_add (&closed, sockets->relay[1]);
  afork_refork_forget (&closed);
  if (!has_forks)
    {
      afork_link_switch (&afork_server.link, -1, &closed);
      afork_fd_set_add (&closed, sockets->reports[0]);
      afork_fd_set_add (&closed, relay);
      afork_fd_set_close (&closed);
      relay = -1;
      close_others ((int[]) {
        children->epoll, children->children[0].pidfd, outer, afork_server.death_pipe,
        afork_server.own_death_pipe
      }, 5);
    }
  else
    {
      afork_server_give_up_items ();
      while (afork_server.link.n_fds > 0)
        close (afork_link_take_fd (&afork_server.link));
      afork_fd_set_close (&closed);
      afork_children_watch_socket (children, relay);
    }
  afork_children_watch_socket (children, outer);

  while (!is_over (&watch))
    {
      if (afork_children_wait (children, note_fork_exit, &watch))
        {
          if (outer >= 0
              && recv (outer, &watch.exit, sizeof watch.exit, MSG_DONTWAIT) == sizeof watch.exit)
            watch.has_exit = true;
          if (outer >= 0 && (watch.has_exit || has_ended (outer)))
            {
              afork_children_unwatch_socket (children, outer);
              /* It stays open: init would take its end for the end of this process. */
              outer = -1;
            }
          if (relay >= 0 && !serve_relay (relay, &sockets->reports[0]))
            {
              afork_children_unwatch_socket (children, relay);
              close_fd (&relay);
            }
        }
      if (has_forks)
        afork_link_flush (&afork_server.link);
    }

  end_like (watch.has_exit ? watch.exit.status : watch.init_status);
}

/* The server. */

/* Moves the server. Returns true in the process that is the server from now on, also if no
 * namespace can be had. Returns false and sets the failure if a process cannot be forked. Not
 * async-signal-safe. */
static bool
enter_namespaces (const AForkNamespacesRules *rules,
                  AForkNamespacesResult      *result)
{
  Sockets sockets;
  pid_t pid;

  if ((rules->wanted & CLONE_NEWPID) == 0)
    {
      if (afork_namespaces_enter (rules, result))
        afork_namespaces_set_up (rules, result);
      return true;
    }

  /* The caller knows the process as the outer one. */
  if (!afork_server_report_fork () || !afork_server_check_threads ())
    return false;
  if (!open_sockets (&sockets))
    {
      set_fork_failure ();
      close_sockets (&sockets);
      return false;
    }
  if (!afork_children_prepare (&afork_server.children, afork_server.link.socket,
                               &afork_server.failure))
    {
      close_sockets (&sockets);
      return false;
    }
  if (!afork_namespaces_enter (rules, result))
    {
      close_sockets (&sockets);
      return true;
    }

  pid = afork_server.fork ();
  if (pid < 0)
    {
      set_fork_failure ();
      close_sockets (&sockets);
      return false;
    }
  if (pid > 0)
    stay_outside (pid, &sockets);

  become_init (rules, result, &sockets);
  return true;
}

static int
get_clone_flags (uint32_t namespaces)
{
  static const struct { uint32_t namespace; int flag; } flags[] = {
    { AFORK_NAMESPACE_USER, CLONE_NEWUSER },
    { AFORK_NAMESPACE_MOUNT, CLONE_NEWNS },
    { AFORK_NAMESPACE_PID, CLONE_NEWPID },
    { AFORK_NAMESPACE_IPC, CLONE_NEWIPC },
    { AFORK_NAMESPACE_NETWORK, CLONE_NEWNET },
    { AFORK_NAMESPACE_UTS, CLONE_NEWUTS },
  };
  int result = 0;

  for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
    if ((namespaces & flags[i].namespace) != 0)
      result |= flags[i].flag;
  return result;
}

/* Returns the effects of a sandbox that RESULT gives. Processes in the same PID namespace can still
 * signal each other. */
static uint32_t
get_given (const AForkNamespacesResult *result)
{
  uint32_t given = 0;

  /* With capabilities, a process could mount, or configure the network. */
  if (!result->drops_caps)
    return 0;

  if ((result->in_force & CLONE_NEWNET) != 0)
    given |= AFORK_EFFECT_NETWORK;
  if (result->limits_read)
    given |= AFORK_EFFECT_READ_PATHS;
  if (result->limits_write)
    given |= AFORK_EFFECT_WRITE_PATHS;
  return given;
}

/* Of this process, if it has got RESTRICT. The descriptor is in the state of the server. */
static AForkNamespacesResult own;

void
afork_namespaces_prepare (const AForkConfinement *confinement,
                          AForkLayerReport       *report)
{
  const AForkNamespacesRules rules = {
    .wanted = get_clone_flags (confinement->namespaces),
    .limits_read = confinement->has_paths[AFORK_PATH_ACCESS_READ],
    .limits_write = confinement->has_paths[AFORK_PATH_ACCESS_WRITE],
    .read_paths = confinement->paths[AFORK_PATH_ACCESS_READ],
    .write_paths = confinement->paths[AFORK_PATH_ACCESS_WRITE],
  };
  uint32_t given;

  if (rules.wanted == 0)
    return;
  /* A second root directory could have what the first one has not. */
  if (own.in_force != 0)
    {
      *report = (AForkLayerReport) { AFORK_LAYER_STATE_FAILED, EBUSY, 0 };
      return;
    }

  if (!enter_namespaces (&rules, &own))
    afork_server_fail ();

  afork_server.root = own.root;
  given = get_given (&own);
  if (own.error == 0 || given != 0)
    *report = (AForkLayerReport) { AFORK_LAYER_STATE_IN_FORCE, 0, given };
  else
    *report = (AForkLayerReport) { AFORK_LAYER_STATE_FAILED, (uint32_t) own.error, 0 };
}

void
afork_namespaces_confine (AForkLayerReport *report)
{
  const bool changes_root = afork_server.root >= 0;

  own.root = afork_server.root;
  afork_server.root = -1;
  if (!afork_namespaces_finish (&own))
    *report = (AForkLayerReport) { AFORK_LAYER_STATE_FAILED, (uint32_t) errno, 0 };
  /* Other threads have kept their capabilities, and with them the way back. */
  if (changes_root && !afork_children_has_one_thread ())
    *report = (AForkLayerReport) { .state = AFORK_LAYER_STATE_THREADS };
}

/* Has the outer process report its forks on REPORTS, or where init reports, and waits until it
 * does. */
static void
switch_outer_process (int reports)
{
  union
  {
    struct cmsghdr align;
    char           bytes[CMSG_SPACE (sizeof (int))];
  } control = { 0 };
  char byte = 0;
  struct iovec vector = { &byte, 1 };
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
  ssize_t n_bytes;

  if (reports >= 0)
    afork_attach_fds (&message, &control, &reports, 1);
  if (sendmsg (afork_server.relay, &message, MSG_NOSIGNAL) < 0)
    return;

  do
    n_bytes = recv (afork_server.relay, &byte, 1, 0);
  while (n_bytes < 0 && errno == EINTR);
}

int
afork_refork_prepare_run (int reports)
{
  int own_reports = afork_server.reports;

  if (afork_server.relay >= 0)
    {
      switch_outer_process (reports);
      close_fd (&afork_server.relay);
    }
  if (reports >= 0)
    return -1;

  afork_server.reports = -1;
  return own_reports;
}

void
afork_refork_forget (AForkFdSet *closed)
{
  if (afork_server.reports >= 0)
    afork_fd_set_add (closed, afork_server.reports);
  if (afork_server.relay >= 0)
    afork_fd_set_add (closed, afork_server.relay);
  afork_server.reports = -1;
  afork_server.relay = -1;
}
