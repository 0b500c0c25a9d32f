/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "descriptors.h"
#include "mux.h"
#include "server-command.h"

enum { SERVER_SOCKET = 3 };

/* A server that was executed here. It is a fork of channel 0 for the caller. */
typedef struct Server
{
  struct Server *next;
  uint32_t       number;
  pid_t          pid;
  int            death_pipe;    /* the writing end. When it is closed, the kernel kills the server
                                 * and all its forks */
  bool           answered;      /* HELLO has come */
  bool           disowned;
  char          *program;       /* its name, for messages; NULL if there was no memory */
} Server;

typedef struct
{
  AForkMux       mux;
  AForkMuxChannel *root;
  Server        *servers;
  int            signals;       /* signalfd: children have exited */
  struct rlimit  limit;         /* of descriptors, for the servers */
  sigset_t       mask;
  uint8_t        commands[64];  /* of channel 0, as far as they are not complete */
  size_t         n_commands;
  bool           leaves;        /* ends when the servers have exited */
  bool           started;       /* START has come */
  char          *runtime;       /* whose servers are executed, as START has named it */
  char          *executable;    /* their interpreter, or empty */
} Agent;

static Agent *
get_agent (AForkMux *mux)
{
  return mux->data;
}

static Server *
find_server (Agent    *self,
             uint32_t  number)
{
  for (Server *server = self->servers; server != NULL; server = server->next)
    if (server->number == number)
      return server;

  return NULL;
}

/* Replies of servers and forks. The caller gets the pids as numbers, because it cannot use the
 * pidfds. */

static bool
put_remote (AForkMux        *mux,
            AForkMuxChannel *channel,
            pid_t            pid)
{
  const AForkFrame frame = { .kind = AFORK_FRAME_REMOTE, .number = { (uint32_t) pid } };

  return afork_mux_put_frame (mux, channel, &frame);
}

/* A server that was executed says HELLO. To the caller it is a fork of channel 0. */
static bool
hello_came (AForkMux        *mux,
            AForkMuxChannel *channel,
            const uint8_t   *head,
            size_t           n_head,
            AForkMuxAction  *action)
{
  const AForkFrame forked = { .kind = AFORK_FRAME_FORKED };
  Server *server = find_server (get_agent (mux), channel->number);
  AForkFrame hello;
  const char *why;
  size_t size;

  if (server != NULL)
    server->answered = true;

  if (afork_frame_parse (head, n_head, &hello, &size, &why) != AFORK_FRAME_OK
      || hello.kind != AFORK_FRAME_HELLO || strcmp (hello.string[0], AFORK_WIRE_MAGIC) != 0
      || hello.number[0] != AFORK_WIRE_VERSION)
    {
      const AForkFrame error = {
        .kind = AFORK_FRAME_ERROR,
        .number = { AFORK_WIRE_ERROR_PROTOCOL },
        .string = { "The server that the agent has executed is of another version" },
      };

      *action = AFORK_MUX_DROP;
      channel->in.raw = true;
      return afork_mux_put_frame (mux, channel, &error) && afork_mux_put_end (mux, channel);
    }

  *action = AFORK_MUX_DROP;
  channel->awaits_hello = false;
  channel->known = true;
  return put_remote (mux, channel, channel->sender) && afork_mux_put_frame (mux, channel, &forked);
}

/* The process of CHANNEL stays to report its forks, on SOCKET, and a fork of it is the worker. */
static bool
open_reports (AForkMux        *mux,
              AForkMuxChannel *channel,
              int              socket)
{
  AForkMuxFrame open = { .kind = AFORK_MUX_OPEN, .number = { channel->id } };
  AForkMuxChannel *reports;

  if (mux->last_id < AFORK_MUX_AGENT_CHANNEL)
    mux->last_id = AFORK_MUX_AGENT_CHANNEL;
  open.channel = ++mux->last_id;
  reports = afork_mux_add (mux, open.channel, socket);
  if (reports == NULL)
    return false;

  reports->known = true;
  afork_mux_follow (channel, reports);
  return afork_mux_put (mux, &open);
}

/* FORKED, READY and ERROR may come with the pidfd of the process, and READY with a socket. */
static bool
process_came (AForkMux        *mux,
              AForkMuxChannel *channel,
              uint8_t         *head,
              AForkMuxAction  *action)
{
  const bool is_ready = head[4] == AFORK_FRAME_READY;
  const unsigned n_fds = head[6] | (unsigned) head[7] << 8;
  const bool has_socket = is_ready && channel->known && n_fds > 0;
  const bool has_pidfd = n_fds > (has_socket ? 1u : 0u);
  bool done = true;

  if (n_fds > channel->n_fds || n_fds > 2)
    return true;

  if (has_pidfd)
    close (afork_mux_take_fd (channel));
  if (has_pidfd || channel->lacks_pidfd)
    done = put_remote (mux, channel, channel->sender);
  if (done && has_socket)
    done = open_reports (mux, channel, afork_mux_take_fd (channel));

  channel->known = true;
  channel->lacks_pidfd = false;
  head[6] = has_socket ? 1 : 0;
  head[7] = 0;
  if (is_ready)
    *action = AFORK_MUX_PASS_RAW;
  return done;
}

/* A frame has come from a server or a fork. */
static bool
reply_came (AForkMux        *mux,
            AForkMuxChannel *channel,
            uint8_t         *head,
            size_t           n_head,
            AForkMuxAction  *action)
{
  if (channel->awaits_hello)
    return hello_came (mux, channel, head, n_head, action);

  switch (head[4])
    {
    case AFORK_FRAME_NO_PIDFD:
      channel->lacks_pidfd = true;
      *action = AFORK_MUX_DROP;
      return true;
    case AFORK_FRAME_FORKED:
    case AFORK_FRAME_READY:
    case AFORK_FRAME_ERROR:
      return process_came (mux, channel, head, action);
    case AFORK_FRAME_EXITED:
      if (n_head != AFORK_MUX_HEAD_SIZE
          || afork_mux_read_u32 (head) != n_head - AFORK_FRAME_HEADER_SIZE)
        return true;
      *action = AFORK_MUX_DROP;
      return afork_mux_exited (mux, channel->forks, channel, head, n_head);
    default:
      return true;
    }
}

/* The process has exited, so all that it has sent is in the socket. */
static bool
is_drained (AForkMuxChannel *channel)
{
  int n_bytes = 0;

  return channel->in_end || channel->socket < 0
    || (ioctl (channel->socket, FIONREAD, &n_bytes) == 0 && n_bytes == 0);
}

static bool
put_exited (AForkMux        *mux,
            AForkMuxChannel *channel,
            const uint8_t   *frame,
            size_t           n_bytes)
{
  return afork_mux_put_data (mux, channel, frame, n_bytes);
}

/* Executing servers. */

/* In the child of this process, which has one thread. */
static void
execute_server (Agent                    *self,
                const AForkServerCommand *command,
                int                       socket)
{
  if (socket == SERVER_SOCKET ? fcntl (socket, F_SETFD, 0) < 0 : dup2 (socket, SERVER_SOCKET) < 0)
    _exit (AFORK_EXIT_BASE + AFORK_WIRE_ERROR_SPAWN);

  afork_hide_from (SERVER_SOCKET + 1);
  setrlimit (RLIMIT_NOFILE, &self->limit);
  signal (SIGPIPE, SIG_DFL);
  signal (SIGINT, SIG_DFL);
  sigprocmask (SIG_SETMASK, &self->mask, NULL);
  afork_server_command_execute (command);
}

static void
server_free (Server *server)
{
  if (server->death_pipe >= 0)
    close (server->death_pipe);
  free (server->program);
  free (server);
}

/* Has the kernel end the server with this process, however this ends. */
static bool
pass_death_pipe (Agent           *self,
                 AForkMuxChannel *channel,
                 Server          *server)
{
  const AForkFrame frame = { .kind = AFORK_FRAME_DEATH_PIPE, .n_fds = 1 };
  int fds[2];

  if (pipe2 (fds, O_CLOEXEC) < 0)
    return false;

  server->death_pipe = fds[1];
  return afork_mux_pass_fd (&self->mux, channel, fds[0])
    && afork_mux_write_frame (&self->mux, channel, &frame);
}

/* Returns the new server, or NULL and sets errno. */
static Server *
start_server (Agent                    *self,
              const AForkServerCommand *command,
              AForkMuxChannel          *channel,
              uint32_t                  number)
{
  Server *server = calloc (1, sizeof *server);
  int fds[2];

  if (server == NULL)
    return NULL;

  server->number = number;
  server->death_pipe = -1;
  server->program = strdup (command->argv[0]);
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
    {
      server_free (server);
      return NULL;
    }

  afork_mux_set_socket (&self->mux, channel, fds[0]);
  channel->awaits_hello = true;
  server->pid = pass_death_pipe (self, channel, server) ? fork () : -1;
  if (server->pid == 0)
    execute_server (self, command, fds[1]);
  close (fds[1]);
  if (server->pid < 0)
    {
      const int saved_errno = errno;

      server_free (server);
      errno = saved_errno;
      return NULL;
    }

  server->next = self->servers;
  self->servers = server;
  return server;
}

static bool
fork_came (Agent    *self,
           uint32_t  number)
{
  AForkMuxChannel *channel = afork_mux_find_fork (&self->mux, self->root->forks, number);
  AForkServerCommand command;
  AForkFailure failure;
  const AForkFrame failed = {
    .kind = AFORK_FRAME_FORK_FAILED,
    .number = { number, AFORK_WIRE_ERROR_SPAWN },
    .string = { failure.text },
  };
  bool done;

  if (channel == NULL || channel->socket >= 0)
    return afork_failure_set (&self->mux.failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "A server was asked for without a channel");

  done = afork_server_command_find (&command, self->runtime, self->executable, &failure)
    && (start_server (self, &command, channel, number) != NULL
        || afork_failure_set (&failure, AFORK_WIRE_ERROR_SPAWN,
                              "The server could not be executed there: %s", strerror (errno)));
  afork_server_command_clear (&command);
  if (done)
    return true;

  return afork_mux_put_frame (&self->mux, self->root, &failed)
    && afork_mux_put_end (&self->mux, channel);
}

/* Servers that live. */

/* Sends a signal, as AFORK_FRAME_SIGNAL says. A server that has not been reaped keeps its pid. */
static uint32_t
signal_server (Agent    *self,
               uint32_t  number,
               uint32_t  signal)
{
  Server *server = find_server (self, number);

  if (server == NULL)
    return ESRCH;
  if (server->disowned)
    return EPERM;
  if (signal == 0 || signal > INT32_MAX)
    return EINVAL;

  return kill (server->pid, (int) signal) == 0 ? 0 : (uint32_t) errno;
}

/* Returns the resident memory in KiB, or 0. */
static uint32_t
measure_server (Agent    *self,
                uint32_t  number)
{
  Server *server = find_server (self, number);
  unsigned long pages = 0;
  char path[32];
  FILE *file;

  if (server == NULL || server->disowned)
    return 0;

  snprintf (path, sizeof path, "/proc/%d/statm", (int) server->pid);
  file = fopen (path, "re");
  if (file == NULL)
    return 0;
  if (fscanf (file, "%*u %lu", &pages) != 1)
    pages = 0;
  fclose (file);
  return (uint32_t) (pages * ((unsigned long) sysconf (_SC_PAGESIZE) / 1024));
}

static uint64_t
to_usec (struct timeval time)
{
  return (uint64_t) time.tv_sec * 1000000 + (uint64_t) time.tv_usec;
}

/* Whether SERVER, which has exited, has not answered as a server. */
static bool
is_silent (Agent        *self,
           const Server *server)
{
  AForkMuxChannel *channel = afork_mux_find_fork (&self->mux, self->root->forks, server->number);

  return !server->answered && (channel == NULL || is_drained (channel));
}

/* Reports that what was executed as SERVER has exited with STATUS and without an answer. */
static bool
report_silent (Agent        *self,
               const Server *server,
               int           status)
{
  AForkMuxChannel *channel = afork_mux_find_fork (&self->mux, self->root->forks, server->number);
  const char *program = server->program != NULL ? server->program : "The server";
  AForkFailure failure;
  const AForkFrame failed = {
    .kind = AFORK_FRAME_FORK_FAILED,
    .number = { server->number, AFORK_WIRE_ERROR_SPAWN },
    .string = { failure.text },
  };

  afork_failure_set (&failure, AFORK_WIRE_ERROR_SPAWN,
                     "“%.2000s” exited there with status %d before it answered as a server of "
                     "AFork", program, status);
  return afork_mux_put_frame (&self->mux, self->root, &failed)
    && (channel == NULL || afork_mux_put_end (&self->mux, channel));
}

/* Reaps the servers that have exited, and reports them. */
static bool
reap (Agent *self)
{
  Server **place = &self->servers;

  while (*place != NULL)
    {
      Server *server = *place;
      AForkFrame frame = { .kind = AFORK_FRAME_EXITED, .number = { server->number } };
      uint8_t bytes[AFORK_MUX_HEAD_SIZE];
      struct rusage usage;
      int wait_status;
      bool done;

      if (wait4 (server->pid, &wait_status, WNOHANG, &usage) != server->pid)
        {
          place = &server->next;
          continue;
        }

      frame.exit = (AForkExitReport) {
        .pid = (uint32_t) server->pid,
        .wait_status = (uint32_t) wait_status,
        .user_usec = to_usec (usage.ru_utime),
        .system_usec = to_usec (usage.ru_stime),
        .max_rss_kib = (uint64_t) usage.ru_maxrss,
      };
      *place = server->next;
      /* It was killed, or it has no forks: a server stays as long as it has any. Without it,
       * nothing would report them, so the kernel kills them now. */
      afork_frame_write (&frame, bytes);
      done = WIFEXITED (wait_status) && is_silent (self, server)
        ? report_silent (self, server, WEXITSTATUS (wait_status))
        : afork_mux_exited (&self->mux, self->root->forks, self->root, bytes, sizeof bytes);
      server_free (server);
      if (!done)
        return false;
    }

  return true;
}

/* Commands of channel 0. */

static bool
reply_number (Agent          *self,
              AForkFrameKind  kind,
              uint32_t        number,
              uint32_t        result)
{
  const AForkFrame frame = { .kind = kind, .number = { number, result } };

  return afork_mux_put_frame (&self->mux, self->root, &frame);
}

static bool
execute (Agent            *self,
         const AForkFrame *frame)
{
  Server *server;

  switch (frame->kind)
    {
    case AFORK_FRAME_FORK:
      return fork_came (self, frame->number[0]);
    case AFORK_FRAME_SIGNAL:
      return reply_number (self, AFORK_FRAME_SIGNALED, frame->number[0],
                           signal_server (self, frame->number[0], frame->number[1]));
    case AFORK_FRAME_MEASURE:
      return reply_number (self, AFORK_FRAME_MEASURED, frame->number[0],
                           measure_server (self, frame->number[0]));
    case AFORK_FRAME_DISOWN:
      server = find_server (self, frame->number[0]);
      if (server != NULL)
        server->disowned = true;
      return true;
    case AFORK_FRAME_LEAVE:
      self->leaves = true;
      return true;
    default:
      return afork_failure_set (&self->mux.failure, AFORK_WIRE_ERROR_PROTOCOL,
                                "The caller sent %s to the agent",
                                afork_frame_kind_name (frame->kind));
    }
}

static bool
commands_came (Agent         *self,
               const uint8_t *bytes,
               size_t         n_bytes)
{
  while (n_bytes > 0)
    {
      const size_t room = sizeof self->commands - self->n_commands;
      const size_t n_taken = n_bytes < room ? n_bytes : room;
      size_t start = 0, size;
      AForkFrame frame;
      const char *why;

      if (n_taken == 0)
        return afork_failure_set (&self->mux.failure, AFORK_WIRE_ERROR_PROTOCOL,
                                  "A command to the agent is too long");
      memcpy (self->commands + self->n_commands, bytes, n_taken);
      self->n_commands += n_taken;
      bytes += n_taken;
      n_bytes -= n_taken;
      while (afork_frame_parse (self->commands + start, self->n_commands - start, &frame, &size,
                                &why) == AFORK_FRAME_OK)
        {
          start += size;
          if (!execute (self, &frame))
            return false;
        }
      if (why != NULL)
        return afork_failure_set (&self->mux.failure, AFORK_WIRE_ERROR_PROTOCOL, "%s", why);

      self->n_commands -= start;
      memmove (self->commands, self->commands + start, self->n_commands);
    }

  return true;
}

/* Frames of the connection. */

static bool
open_came (Agent               *self,
           const AForkMuxFrame *frame)
{
  AForkMuxChannel *parent = afork_mux_find (&self->mux, frame->number[0]);
  AForkMuxChannel *channel;
  int fds[2];

  if (parent == NULL || frame->channel == 0 || frame->channel >= AFORK_MUX_AGENT_CHANNEL
      || afork_mux_find (&self->mux, frame->channel) != NULL)
    return afork_failure_set (&self->mux.failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "A channel was opened that cannot be");

  channel = afork_mux_add (&self->mux, frame->channel, -1);
  if (channel == NULL)
    return false;

  channel->family = parent->forks;
  channel->number = frame->number[1];
  /* Channel 0 executes a server when FORK comes. */
  if (parent == self->root)
    return true;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
    return afork_failure_set (&self->mux.failure, AFORK_WIRE_ERROR_SPAWN,
                              "A fork could not be connected there: %s", strerror (errno));
  return afork_mux_set_socket (&self->mux, channel, fds[0])
    && afork_mux_pass_fd (&self->mux, parent, fds[1]);
}

static bool
start_came (Agent               *self,
            const AForkMuxFrame *frame)
{
  self->started = true;
  self->mux.keepalive = frame->number[1] > INT32_MAX ? INT32_MAX : frame->number[1];
  self->runtime = strdup (frame->string[0]);
  self->executable = strdup (frame->string[1]);
  return (self->runtime != NULL && self->executable != NULL)
    || afork_failure_set (&self->mux.failure, AFORK_WIRE_ERROR_FAILED, "%s", strerror (ENOMEM));
}

static bool
frame_came (AForkMux            *mux,
            const AForkMuxFrame *frame)
{
  Agent *self = get_agent (mux);

  if (frame->kind == AFORK_MUX_START && !self->started && frame->number[0] == AFORK_MUX_VERSION)
    return start_came (self, frame);
  if (!self->started || frame->kind == AFORK_MUX_START || frame->kind == AFORK_MUX_HELLO)
    return afork_failure_set (&mux->failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "%s came where it may not, or from another version",
                              afork_mux_kind_name (frame->kind));
  if (frame->kind == AFORK_MUX_OPEN)
    return open_came (self, frame);

  return commands_came (self, frame->bytes, frame->n_bytes);
}

/* The caller sends no more commands to channel 0. */
static void
root_ended (AForkMux *mux)
{
  get_agent (mux)->leaves = true;
}

static const AForkMuxFuncs funcs = {
  .command = reply_came,
  .frame = frame_came,
  .root_end = root_ended,
  .is_drained = is_drained,
  .put_exited = put_exited,
};

/* The process. */

/* A terminal would change bytes. */
static void
make_raw (int fd)
{
  struct termios settings;

  if (tcgetattr (fd, &settings) < 0)
    return;

  cfmakeraw (&settings);
  tcsetattr (fd, TCSANOW, &settings);
}

static bool
put_hello (Agent *self)
{
  const char magic[] = AFORK_MUX_MAGIC;
  AForkMuxFrame hello = {
    .kind = AFORK_MUX_HELLO,
    .number = {
      AFORK_MUX_VERSION, AFORK_WIRE_VERSION, sizeof (void *), afork_mux_byte_order (),
    },
  };
  struct utsname system;
  size_t n_written = 0;

  if (uname (&system) < 0)
    return false;

  hello.string[0] = system.machine;
  hello.string[1] = system.nodename;
  while (n_written < AFORK_MUX_MAGIC_SIZE)
    {
      ssize_t result = write (self->mux.output, magic + n_written,
                              AFORK_MUX_MAGIC_SIZE - n_written);

      if (result < 0 && errno != EINTR && errno != EAGAIN)
        return false;
      if (result > 0)
        n_written += (size_t) result;
    }

  return afork_mux_put (&self->mux, &hello);
}

/* Whether the servers have exited, and all that the processes have sent is on its way. */
static bool
is_done (Agent *self)
{
  if (!self->leaves || self->servers != NULL)
    return false;

  for (AForkMuxChannel *channel = self->mux.channels; channel != NULL; channel = channel->next)
    if (channel != self->root && (!channel->in_end || channel->n_held > 0))
      return false;

  return self->mux.sending_start == self->mux.sending_end;
}

/* Ends all processes here. Those that the servers have forked have the death pipes. */
static void
end_servers (Agent *self)
{
  for (Server *server = self->servers; server != NULL; server = server->next)
    {
      close (server->death_pipe);
      kill (server->pid, SIGKILL);
    }
  for (Server *server = self->servers; server != NULL; server = server->next)
    waitpid (server->pid, NULL, 0);
}

static bool
prepare (Agent *self)
{
  sigset_t children;
  int input, output;

  make_raw (STDIN_FILENO);
  make_raw (STDOUT_FILENO);
  afork_open_standard_fds ();
  input = afork_dup_above_stderr (STDIN_FILENO);
  output = afork_dup_above_stderr (STDOUT_FILENO);
  if (input < 0 || output < 0)
    return false;

  /* Workers must not print into the connection. */
  close (STDIN_FILENO);
  open ("/dev/null", O_RDONLY);
  dup2 (STDERR_FILENO, STDOUT_FILENO);

  afork_mux_raise_limit (&self->limit);
  signal (SIGPIPE, SIG_IGN);
  /* What ends a group of processes ends this one when its input ends. */
  signal (SIGINT, SIG_IGN);
  /* A process that ignores it, perhaps since before it was executed, cannot wait for children. */
  signal (SIGCHLD, SIG_DFL);
  sigemptyset (&children);
  sigaddset (&children, SIGCHLD);
  sigprocmask (SIG_BLOCK, &children, &self->mask);
  self->signals = signalfd (-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  if (self->signals < 0 || !afork_mux_init (&self->mux, &funcs, self, input, output))
    return false;

  self->mux.is_agent = true;
  self->mux.asks_sender = true;
  self->root = afork_mux_add (&self->mux, 0, -1);
  return self->root != NULL;
}

void
afork_agent (void)
{
  static Agent self;
  AForkMuxState state = AFORK_MUX_OPEN_STILL;

  if (!prepare (&self) || !put_hello (&self))
    {
      perror ("afork-server: the agent could not be started");
      exit (AFORK_EXIT_BASE + AFORK_WIRE_ERROR_SPAWN);
    }

  while (state == AFORK_MUX_OPEN_STILL)
    {
      /* Each turn leaves nothing to be done that no event would announce. */
      struct pollfd children = { self.signals, POLLIN, 0 };
      struct signalfd_siginfo info;

      state = afork_mux_turn (&self.mux, &children, 1, -1);
      if (children.revents != 0)
        {
          while (read (self.signals, &info, sizeof info) > 0)
            ;
          if (state == AFORK_MUX_OPEN_STILL && !reap (&self))
            state = AFORK_MUX_FAILED;
        }
      if (is_done (&self))
        break;
    }

  if (state == AFORK_MUX_FAILED)
    fprintf (stderr, "afork-server: %s\n", self.mux.failure.text);
  if (state == AFORK_MUX_SILENT)
    fprintf (stderr, "afork-server: nothing was heard of the caller for %u milliseconds\n",
             self.mux.keepalive);
  end_servers (&self);
  afork_mux_flush (&self.mux);
  exit (state == AFORK_MUX_OPEN_STILL || state == AFORK_MUX_ENDED
          ? EXIT_SUCCESS : AFORK_EXIT_BASE + AFORK_WIRE_ERROR_HOST_LOST);
}
