/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "descriptors.h"
#include "file-sender.h"
#include "mux.h"

enum
{
  MAX_NOISE = 1024,       /* bytes of each kind of output that are quoted in an error */
  PIECE_SIZE = 4096,      /* poll() promises that a pipe takes so much without blocking */
  END_MS = 2000,          /* how long the program may take to end by itself */
  GRACE_MS = 5000,        /* how long processes may live when no commands can come any more */
};

/* How far the connection has come. A state is followed by any later one. */
typedef enum
{
  STATE_STARTING,         /* the program runs, and no agent has answered */
  STATE_READY,            /* the magic has come, and HELLO is next */
  STATE_OPEN,
  STATE_CLOSED            /* what had come is written, and then this process exits */
} State;

/* The end of what the program has printed. */
typedef struct
{
  char   bytes[MAX_NOISE];
  size_t n_bytes;
} Noise;

typedef struct
{
  AForkMux         mux;
  AForkMuxChannel *root;
  State            state;
  const char      *host;
  const char      *runtime;       /* of the servers there */
  const char      *executable;    /* their interpreter, or empty */
  char           **argv;
  pid_t            program;       /* 0 when it has been reaped */
  int              wait_status;
  int              errors;        /* what the program prints to standard error, or -1 */
  bool             stderr_is_full;
  int              death_pipe;    /* of the caller, or -1 */
  int64_t          start_timeout; /* of the agent and of servers, in milliseconds; 0 for none */
  bool             leaves;        /* the caller needs the connection no more */
  size_t           n_magic;       /* bytes of the magic that have come */
  Noise            printed;       /* to standard output, before the magic */
  Noise            complained;    /* to standard error */
  char             host_name[AFORK_MUX_MAX_STRING + 1];   /* as the agent calls it */
  char             machine[AFORK_MUX_MAX_STRING + 1];
  uint32_t         pointer_size;  /* there, in bytes */
} Relay;

static Relay *
get_relay (AForkMux *mux)
{
  return mux->data;
}

/* Text for errors. */

static void
add_noise (Noise      *self,
           const void *bytes,
           size_t      n_bytes)
{
  size_t n_kept;

  if (n_bytes > sizeof self->bytes)
    {
      bytes = (const char *) bytes + (n_bytes - sizeof self->bytes);
      n_bytes = sizeof self->bytes;
    }
  n_kept = sizeof self->bytes - n_bytes;
  if (self->n_bytes > n_kept)
    {
      memmove (self->bytes, self->bytes + self->n_bytes - n_kept, n_kept);
      self->n_bytes = n_kept;
    }
  memcpy (self->bytes + self->n_bytes, bytes, n_bytes);
  self->n_bytes += n_bytes;
}

/* Appends to TEXT, which has SIZE bytes. */
static void __attribute__ ((format (printf, 3, 4)))
append (char       *text,
        size_t      size,
        const char *format,
        ...)
{
  const size_t length = strlen (text);
  va_list arguments;

  va_start (arguments, format);
  vsnprintf (text + length, size - length, format, arguments);
  va_end (arguments);
}

/* Appends the lines of NOISE as one, without what cannot be printed. */
static void
append_noise (char        *text,
              size_t       size,
              const Noise *noise,
              const char  *title)
{
  char line[MAX_NOISE + 1];
  size_t n_line = 0;

  for (size_t i = 0; i < noise->n_bytes; i++)
    {
      const unsigned char c = (unsigned char) noise->bytes[i];

      if (c > ' ' && c != 0x7f)
        line[n_line++] = (char) c;
      else if (n_line > 0 && line[n_line - 1] != ' ')
        line[n_line++] = ' ';
    }
  while (n_line > 0 && (line[n_line - 1] == ' ' || line[n_line - 1] == '.'))
    n_line--;
  line[n_line] = '\0';
  if (n_line > 0)
    append (text, size, ". %s: %s", title, line);
}

/* Appends how the program has ended, or nothing if it runs. */
static void
append_end (Relay  *self,
            char   *text,
            size_t  size)
{
  if (self->program != 0)
    return;
  if (WIFSIGNALED (self->wait_status))
    append (text, size, ": “%s” was ended by signal %d (%s)", self->argv[0],
            WTERMSIG (self->wait_status), strsignal (WTERMSIG (self->wait_status)));
  else if (WIFEXITED (self->wait_status))
    append (text, size, ": “%s” exited with status %d", self->argv[0],
            WEXITSTATUS (self->wait_status));
}

/* The program. */

/* In the child. Async-signal-safe, apart from execvp(), which is called in a process with one
 * thread. */
static void
execute (Relay               *self,
         const int            input[2],
         const int            output[2],
         const int            errors[2],
         const struct rlimit *limit,
         const sigset_t      *mask)
{
  /* It ends with this process. It is not in the group that a terminal interrupts. */
  prctl (PR_SET_PDEATHSIG, SIGTERM);
  setpgid (0, 0);
  if (dup2 (input[0], STDIN_FILENO) < 0 || dup2 (output[1], STDOUT_FILENO) < 0
      || dup2 (errors[1], STDERR_FILENO) < 0)
    _exit (127);

  afork_hide_from (STDERR_FILENO + 1);
  setrlimit (RLIMIT_NOFILE, limit);
  signal (SIGPIPE, SIG_DFL);
  sigprocmask (SIG_SETMASK, mask, NULL);
  execvp (self->argv[0], self->argv);
  dprintf (STDERR_FILENO, "“%s” could not be executed: %s\n", self->argv[0], strerror (errno));
  _exit (127);
}

/* Starts the program and initializes the connection. Returns false and sets the failure if it
 * cannot. */
static bool
start_program (Relay *self)
{
  const AForkMuxFuncs *funcs = self->mux.funcs;
  int input[2], output[2], errors[2];
  struct rlimit limit;
  sigset_t mask;

  sigprocmask (SIG_SETMASK, NULL, &mask);
  afork_mux_raise_limit (&limit);
  if (pipe2 (input, O_CLOEXEC) < 0 || pipe2 (output, O_CLOEXEC) < 0
      || pipe2 (errors, O_CLOEXEC) < 0 || (self->program = fork ()) < 0)
    {
      self->program = 0;
      return afork_failure_set (&self->mux.failure, AFORK_WIRE_ERROR_SPAWN,
                                "“%s” could not be executed: %s", self->argv[0],
                                strerror (errno));
    }
  if (self->program == 0)
    execute (self, input, output, errors, &limit, &mask);

  setpgid (self->program, self->program);
  close (input[0]);
  close (output[1]);
  close (errors[1]);
  self->errors = errors[0];
  fcntl (self->errors, F_SETFL, O_NONBLOCK);
  return afork_mux_init (&self->mux, funcs, self, output[0], input[1]);
}

/* Waits for the program for MS milliseconds at most. Returns whether it has ended. */
static bool
wait_for_program (Relay *self,
                  int    ms)
{
  const int64_t end = afork_mux_now () + ms;
  sigset_t children;

  sigemptyset (&children);
  sigaddset (&children, SIGCHLD);
  while (self->program != 0)
    {
      const int64_t left = end - afork_mux_now ();
      const struct timespec time = { .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000 };

      if (waitpid (self->program, &self->wait_status, WNOHANG) != 0)
        self->program = 0;
      else if (left <= 0)
        return false;
      else
        sigtimedwait (&children, NULL, &time);
    }

  return true;
}

/* Ends the program, which has to end by itself when its input ends. */
static void
end_program (Relay *self,
             int    ms)
{
  if (self->mux.input >= 0)
    {
      close (self->mux.input);
      close (self->mux.output);
    }
  self->mux.input = self->mux.output = -1;
  if (wait_for_program (self, ms))
    return;

  kill (-self->program, SIGTERM);
  if (wait_for_program (self, END_MS / 4))
    return;

  kill (-self->program, SIGKILL);
  wait_for_program (self, END_MS);
}

/* Reads what the program prints to standard error. Once the agent has answered, this is what the
 * workers print, and goes to standard error here. */
static void
read_errors (Relay *self)
{
  char bytes[PIECE_SIZE];
  ssize_t n_bytes = read (self->errors, bytes, sizeof bytes);

  if (n_bytes < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n_bytes <= 0)
    {
      close (self->errors);
      self->errors = -1;
      return;
    }

  add_noise (&self->complained, bytes, (size_t) n_bytes);
  if (self->state == STATE_OPEN)
    for (ssize_t n_written = 0, result; n_written < n_bytes; n_written += result)
      {
        result = write (STDERR_FILENO, bytes + n_written, (size_t) (n_bytes - n_written));
        if (result <= 0)
          break;
      }
}

/* Standard error is often shared with other processes, so it blocks. While it takes nothing, the
 * program's output is not read. */
static struct pollfd
get_errors_poll (Relay *self)
{
  if (self->errors >= 0 && self->stderr_is_full)
    return (struct pollfd) { STDERR_FILENO, POLLOUT, 0 };

  return (struct pollfd) { self->errors, POLLIN, 0 };
}

/* What the poll above waited for has come. */
static void
relay_errors (Relay *self)
{
  struct pollfd room = { STDERR_FILENO, POLLOUT, 0 };

  self->stderr_is_full = poll (&room, 1, 0) == 0;
  if (!self->stderr_is_full)
    read_errors (self);
}

/* The end of the connection. */

/* Closes the connection, and has all processes of the caller notice. */
static void
close_connection (Relay *self)
{
  self->state = STATE_CLOSED;
  self->mux.closed = true;
  for (AForkMuxChannel *channel = self->mux.channels; channel != NULL; channel = channel->next)
    {
      channel->in_end = true;
      channel->out_end = true;
      channel->n_held = 0;
      afork_mux_write_queue (&self->mux, channel);
    }
}

/* Reports CODE with TEXT to the caller, as the error of the server that this process is. */
static void
fail (Relay          *self,
      AForkWireError  code,
      const char     *text)
{
  const AForkFrame error = {
    .kind = AFORK_FRAME_ERROR, .number = { code }, .string = { text },
  };

  if (self->state == STATE_CLOSED)
    return;

  if (!self->root->out.raw && self->root->out.n_head == 0 && self->root->out.n_rest == 0)
    afork_mux_write_frame (&self->mux, self->root, &error);
  close_connection (self);
}

/* No agent has answered. */
static void
fail_start (Relay          *self,
            AForkWireError  code,
            const char     *what)
{
  char text[AFORK_FAILURE_TEXT_SIZE] = "";

  append (text, sizeof text, "There is no connection to “%s”: %s", self->host, what);
  append_end (self, text, sizeof text);
  append_noise (text, sizeof text, &self->complained, "Standard error");
  append_noise (text, sizeof text, &self->printed, "Standard output");
  fail (self, code, text);
}

static void
fail_open (Relay      *self,
           const char *what)
{
  char text[AFORK_FAILURE_TEXT_SIZE] = "";

  append (text, sizeof text, "The host “%s” was lost: %s", self->host, what);
  append_end (self, text, sizeof text);
  append_noise (text, sizeof text, &self->complained, "Standard error");
  fail (self, AFORK_WIRE_ERROR_HOST_LOST, text);
}

/* The connection has ended in STATE. */
static void
connection_ended (Relay         *self,
                  AForkMuxState  state)
{
  const bool was_open = self->state == STATE_OPEN;
  char text[128];

  if (state == AFORK_MUX_FAILED)
    {
      fail (self, self->mux.failure.code, self->mux.failure.text);
      return;
    }
  if (state == AFORK_MUX_SILENT)
    {
      snprintf (text, sizeof text, "nothing was heard of it for %g s",
                self->mux.keepalive / 1000.0);
      fail_open (self, text);
      return;
    }
  if (self->leaves && was_open)
    {
      close_connection (self);
      return;
    }

  /* Its exit status, and what it has to say, come within a moment. */
  end_program (self, END_MS / 4);
  for (int i = 0; i < 16 && self->errors >= 0; i++)
    {
      struct pollfd entry = { self->errors, POLLIN, 0 };

      if (poll (&entry, 1, 0) <= 0)
        break;
      read_errors (self);
    }
  if (was_open)
    fail_open (self, "the connection has ended");
  else
    fail_start (self, AFORK_WIRE_ERROR_SPAWN, "no agent of AFork has answered");
}

/* Commands of the caller that pass by. */

static bool
fork_came (AForkMux        *mux,
           AForkMuxChannel *channel,
           uint32_t         number)
{
  AForkMuxFrame open = {
    .kind = AFORK_MUX_OPEN, .number = { channel->id, number },
  };
  AForkMuxChannel *fork;

  open.channel = ++mux->last_id;
  if (open.channel >= AFORK_MUX_AGENT_CHANNEL)
    return afork_failure_set (&mux->failure, AFORK_WIRE_ERROR_SPAWN,
                              "The connection has no numbers left for channels");

  fork = afork_mux_add (mux, open.channel, afork_mux_take_fd (channel));
  if (fork == NULL)
    return false;

  fork->family = channel->forks;
  fork->number = number;
  if (channel == get_relay (mux)->root)
    fork->opened = afork_mux_now ();
  return afork_mux_put (mux, &open);
}

/* The library does not send these commands here. The process gets no further ones. */
static bool
refuse_fds (AForkMux        *mux,
            AForkMuxChannel *channel,
            AForkMuxAction  *action)
{
  const AForkFrame error = {
    .kind = AFORK_FRAME_ERROR,
    .number = { AFORK_WIRE_ERROR_NOT_SUPPORTED },
    .string = { "Descriptors cannot be sent to another host" },
  };

  *action = AFORK_MUX_DROP;
  channel->in.raw = true;
  while (channel->n_fds > 0)
    close (afork_mux_take_fd (channel));
  return afork_mux_write_frame (mux, channel, &error) && afork_mux_put_end (mux, channel);
}

/* The command needs the content of a file. Another process reads that, and sends it in the place of
 * the command. */
static bool
require_file_came (AForkMux        *mux,
                   AForkMuxChannel *channel,
                   const uint8_t   *head,
                   AForkMuxAction  *action)
{
  const Relay *self = get_relay (mux);
  const AForkFileTarget target = {
    self->host, self->machine, self->pointer_size, self->runtime,
  };
  const uint32_t n_payload = afork_mux_read_u32 (head);
  const AForkFrame failed = {
    .kind = AFORK_FRAME_FAIL,
    .number = { AFORK_WIRE_ERROR_MODULE },
    .string = { mux->failure.text },
  };

  *action = AFORK_MUX_DROP;
  if (n_payload == 0 || n_payload > AFORK_FILE_SENDER_MAX_FRAME - AFORK_FRAME_HEADER_SIZE)
    {
      afork_failure_set (&mux->failure, AFORK_WIRE_ERROR_MODULE,
                         "A module could not be copied to “%.255s”: %s", self->host,
                         strerror (ENAMETOOLONG));
      return afork_mux_put_frame (mux, channel, &failed);
    }

  channel->source_pid = afork_file_sender_start (&target, &channel->source);
  if (channel->source_pid < 0)
    {
      afork_failure_set (&mux->failure, AFORK_WIRE_ERROR_MODULE,
                         "A module could not be copied to “%.255s”: %s", self->host,
                         strerror (errno));
      return afork_mux_put_frame (mux, channel, &failed);
    }

  *action = AFORK_MUX_DIVERT;
  return true;
}

/* The process that reads a file has closed its socket because it exits, or need not go on. */
static bool
source_ended (AForkMux        *mux,
              AForkMuxChannel *channel)
{
  int wait_status;

  (void) mux;
  kill (channel->source_pid, SIGKILL);
  return waitpid (channel->source_pid, &wait_status, 0) == channel->source_pid
    && WIFEXITED (wait_status) && WEXITSTATUS (wait_status) == 0;
}

static bool
command_came (AForkMux        *mux,
              AForkMuxChannel *channel,
              uint8_t         *head,
              size_t           n_head,
              AForkMuxAction  *action)
{
  Relay *self = get_relay (mux);
  const unsigned n_fds = head[6] | (unsigned) head[7] << 8;
  AForkMuxChannel *fork;

  if (n_fds > channel->n_fds)
    return afork_failure_set (&mux->failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "A command came without the descriptors that it names");

  switch (head[4])
    {
    case AFORK_FRAME_FORK:
      if (n_fds != 1 || n_head != AFORK_FRAME_HEADER_SIZE + 4)
        return refuse_fds (mux, channel, action);
      return fork_came (mux, channel, afork_mux_read_u32 (head + AFORK_FRAME_HEADER_SIZE));
    case AFORK_FRAME_DEATH_PIPE:
      /* Processes there end with the caller in any case. */
      *action = AFORK_MUX_DROP;
      if (n_fds == 1 && channel == self->root && self->death_pipe < 0)
        self->death_pipe = afork_mux_take_fd (channel);
      else if (n_fds == 1)
        close (afork_mux_take_fd (channel));
      return true;
    case AFORK_FRAME_SIGNAL:
      fork = n_head == AFORK_FRAME_HEADER_SIZE + 8
        && afork_mux_read_u32 (head + AFORK_FRAME_HEADER_SIZE + 4) == SIGKILL
          ? afork_mux_find_fork (mux, channel->forks,
                                 afork_mux_read_u32 (head + AFORK_FRAME_HEADER_SIZE))
          : NULL;
      if (fork != NULL)
        {
          fork->killed = true;
          return afork_mux_release (mux, fork);
        }
      return true;
    case AFORK_FRAME_LEAVE:
      self->leaves |= channel == self->root;
      return true;
    case AFORK_FRAME_REQUIRE_FILE:
      return require_file_came (mux, channel, head, action);
    case AFORK_FRAME_RUN:
    case AFORK_FRAME_RUN_FUNC:
      *action = n_fds == 0 ? AFORK_MUX_PASS_RAW : AFORK_MUX_PASS;
      break;
    default:
      break;
    }

  return n_fds == 0 || refuse_fds (mux, channel, action);
}

/* Replies to the caller that pass by. */

static bool
reply_came (AForkMux        *mux,
            AForkMuxChannel *channel,
            uint8_t         *head,
            size_t           n_head,
            AForkMuxAction  *action)
{
  channel->opened = 0;
  if (channel == get_relay (mux)->root && head[4] != AFORK_FRAME_FORK_FAILED
      && head[4] != AFORK_FRAME_EXITED && head[4] != AFORK_FRAME_SIGNALED
      && head[4] != AFORK_FRAME_MEASURED && head[4] != AFORK_FRAME_REFUSED)
    return afork_failure_set (&mux->failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "The agent does not keep to the protocol: it sent what a server does "
                              "not report");
  if (head[4] == AFORK_FRAME_READY)
    {
      *action = AFORK_MUX_PASS_RAW;
      return true;
    }
  if (head[4] == AFORK_FRAME_FILE_WANTED)
    {
      const uint8_t wanted = head[AFORK_FRAME_HEADER_SIZE] != 0;

      /* If the process that asked has failed, END was sent. */
      if (channel->source < 0 && !channel->in_end)
        return afork_failure_set (&mux->failure, AFORK_WIRE_ERROR_PROTOCOL,
                                  "The agent does not keep to the protocol: a file was wanted that "
                                  "there is not");
      *action = AFORK_MUX_DROP;
      channel->uncredited += (uint32_t) n_head;
      if (channel->source >= 0)
        send (channel->source, &wanted, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
      return true;
    }
  if (head[4] != AFORK_FRAME_EXITED || n_head != AFORK_MUX_HEAD_SIZE
      || afork_mux_read_u32 (head) != n_head - AFORK_FRAME_HEADER_SIZE)
    return true;

  *action = AFORK_MUX_DROP;
  return afork_mux_exited (mux, channel->forks, channel, head, n_head);
}

/* What the process has sent was here before its exit. */
static bool
is_drained (AForkMuxChannel *channel)
{
  return channel->shut || channel->socket < 0 || channel->queue_start == channel->queue_end;
}

static bool
put_exited (AForkMux        *mux,
            AForkMuxChannel *channel,
            const uint8_t   *frame,
            size_t           n_bytes)
{
  return afork_mux_write (mux, channel, frame, n_bytes);
}

/* Frames of the connection. */

static bool
hello_came (Relay               *self,
            const AForkMuxFrame *frame)
{
  const AForkMuxFrame start = {
    .kind = AFORK_MUX_START,
    .number = { AFORK_MUX_VERSION, self->mux.keepalive },
    .string = { self->runtime, self->executable },
  };
  char text[160];

  if (frame->number[0] != AFORK_MUX_VERSION || frame->number[1] != AFORK_WIRE_VERSION)
    {
      snprintf (text, sizeof text, "its agent speaks version %u.%u of the protocol, and this "
                "library version %u.%u", frame->number[0], frame->number[1], AFORK_MUX_VERSION,
                AFORK_WIRE_VERSION);
      fail_start (self, AFORK_WIRE_ERROR_PROTOCOL, text);
      return true;
    }

  snprintf (self->host_name, sizeof self->host_name, "%s", frame->string[1]);
  snprintf (self->machine, sizeof self->machine, "%s", frame->string[0]);
  self->pointer_size = frame->number[2];
  self->state = STATE_OPEN;
  self->complained.n_bytes = 0;
  return afork_mux_put (&self->mux, &start);
}

static bool
open_came (Relay               *self,
           const AForkMuxFrame *frame)
{
  AForkMuxChannel *parent = afork_mux_find (&self->mux, frame->number[0]);
  AForkMuxChannel *channel;
  int fds[2];

  if (parent == NULL || parent == self->root || parent->out.raw || parent->out.n_head > 0
      || parent->out.n_rest > 0 || parent->forks == AFORK_MUX_NO_FORKS
      || frame->channel <= AFORK_MUX_AGENT_CHANNEL
      || afork_mux_find (&self->mux, frame->channel) != NULL)
    return afork_failure_set (&self->mux.failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "The agent does not keep to the protocol: a channel was opened that "
                              "cannot be");
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
    return afork_failure_set (&self->mux.failure, AFORK_WIRE_ERROR_SPAWN,
                              "A process could not be connected: %s", strerror (errno));

  channel = afork_mux_add (&self->mux, frame->channel, fds[0]);
  if (channel == NULL)
    {
      close (fds[1]);
      return false;
    }

  afork_mux_follow (parent, channel);
  return afork_mux_pass_fd (&self->mux, parent, fds[1]);
}

static bool
frame_came (AForkMux            *mux,
            const AForkMuxFrame *frame)
{
  Relay *self = get_relay (mux);

  if (self->state == STATE_READY && frame->kind == AFORK_MUX_HELLO)
    return hello_came (self, frame);
  if (self->state == STATE_OPEN && frame->kind == AFORK_MUX_OPEN)
    return open_came (self, frame);

  return afork_failure_set (&mux->failure, AFORK_WIRE_ERROR_PROTOCOL,
                            "The agent does not keep to the protocol: %s came where it may not",
                            afork_mux_kind_name (frame->kind));
}

static const AForkMuxFuncs funcs = {
  .command = command_came,
  .reply = reply_came,
  .source_end = source_ended,
  .frame = frame_came,
  .is_drained = is_drained,
  .put_exited = put_exited,
};

/* Looks for the magic in BYTES. What comes before it is kept for errors. Returns how many bytes
 * were used. */
static size_t
seek_magic (Relay         *self,
            const uint8_t *bytes,
            size_t         n_bytes)
{
  const char magic[] = AFORK_MUX_MAGIC;

  for (size_t i = 0; i < n_bytes; i++)
    {
      if (bytes[i] != (uint8_t) magic[self->n_magic])
        {
          /* The first character of the magic does not occur again in it. */
          add_noise (&self->printed, magic, self->n_magic);
          self->n_magic = 0;
        }
      if (bytes[i] == (uint8_t) magic[self->n_magic])
        self->n_magic++;
      else
        add_noise (&self->printed, &bytes[i], 1);
      if (self->n_magic == AFORK_MUX_MAGIC_SIZE)
        {
          self->state = STATE_READY;
          return i + 1;
        }
    }

  return n_bytes;
}

/* Waits for the agent to answer. Nothing of the caller is read before. */
static AForkMuxState
await_agent (Relay   *self,
             int64_t  due)
{
  const int64_t left = due - afork_mux_now ();
  struct pollfd polls[] = {
    { self->mux.input, POLLIN, 0 },
    { self->errors, POLLIN, 0 },
    { self->root->socket, 0, 0 },
  };
  uint8_t bytes[PIECE_SIZE];
  size_t n_used;
  ssize_t n_bytes;
  char text[80];

  poll (polls, 3, due < 0 ? -1 : left < 0 ? 0 : (int) left);
  if (polls[1].revents != 0)
    read_errors (self);
  /* The caller has gone. */
  if (polls[2].revents != 0)
    {
      close_connection (self);
      return AFORK_MUX_OPEN_STILL;
    }
  if (polls[0].revents == 0)
    {
      if (due < 0 || afork_mux_now () < due)
        return AFORK_MUX_OPEN_STILL;
      snprintf (text, sizeof text, "no agent of AFork has answered within %g s",
                (double) (due - self->mux.last_sent) / 1000.0);
      fail_start (self, AFORK_WIRE_ERROR_SPAWN, text);
      return AFORK_MUX_OPEN_STILL;
    }

  n_bytes = read (self->mux.input, bytes, sizeof bytes);
  if (n_bytes < 0 && (errno == EAGAIN || errno == EINTR))
    return AFORK_MUX_OPEN_STILL;
  if (n_bytes <= 0)
    return AFORK_MUX_ENDED;

  self->mux.last_heard = afork_mux_now ();
  n_used = self->state == STATE_STARTING ? seek_magic (self, bytes, (size_t) n_bytes) : 0;
  return afork_mux_receive (&self->mux, bytes + n_used, (size_t) n_bytes - n_used)
           ? AFORK_MUX_OPEN_STILL : AFORK_MUX_FAILED;
}

/* Whether all that came for the caller was written. */
static bool
is_flushed (Relay *self)
{
  for (AForkMuxChannel *channel = self->mux.channels; channel != NULL; channel = channel->next)
    if (channel->socket >= 0 && !channel->shut)
      return false;

  return true;
}

/* How long to wait at most for the first replies of servers, in milliseconds, or -1. Ends the
 * connection if one has not come in time. */
static int
check_servers (Relay *self)
{
  const int64_t now = afork_mux_now ();
  int64_t first = INT64_MAX;
  char text[80];

  if (self->start_timeout == 0 || self->state != STATE_OPEN)
    return -1;

  for (AForkMuxChannel *channel = self->mux.channels; channel != NULL; channel = channel->next)
    if (channel->opened > 0 && !channel->out_end && channel->opened < first)
      first = channel->opened;
  if (first == INT64_MAX)
    return -1;
  if (now < first + self->start_timeout)
    return (int) (first + self->start_timeout - now);

  snprintf (text, sizeof text, "it has not started a server within %g s",
            (double) self->start_timeout / 1000.0);
  fail_open (self, text);
  return 0;
}

/* Whether the caller has exited, or can send no more commands and has had time to end its
 * processes. */
static bool
is_caller_gone (Relay               *self,
                const struct pollfd *polls,
                int64_t             *gone)
{
  if (polls[0].revents != 0)
    return true;
  if (polls[1].revents == 0)
    return false;

  if (*gone == 0)
    *gone = afork_mux_now ();
  return afork_mux_now () >= *gone + GRACE_MS || self->mux.n_channels == 1;
}

static void
serve (Relay   *self,
       int64_t  due)
{
  AForkMuxState state = AFORK_MUX_OPEN_STILL;
  int64_t gone = 0;

  while (self->state < STATE_OPEN && state == AFORK_MUX_OPEN_STILL)
    state = await_agent (self, due);
  if (state != AFORK_MUX_OPEN_STILL)
    connection_ended (self, state);

  while (self->state != STATE_CLOSED || !is_flushed (self))
    {
      struct pollfd polls[] = {
        { self->death_pipe, 0, 0 },
        { gone == 0 ? self->root->socket : -1, 0, 0 },
        get_errors_poll (self),
      };
      int timeout;

      timeout = check_servers (self);
      if (gone != 0 && (timeout < 0 || timeout > GRACE_MS))
        timeout = GRACE_MS;
      state = afork_mux_turn (&self->mux, polls, 3, timeout);
      if (polls[2].revents != 0)
        relay_errors (self);
      if (gone != 0)
        polls[1].revents = POLLHUP;
      if (is_caller_gone (self, polls, &gone))
        return;
      self->leaves |= self->root->in_end;
      /* The end of all processes was reported to the caller. */
      if (self->leaves && gone == 0)
        gone = afork_mux_now ();
      if (state != AFORK_MUX_OPEN_STILL && self->state != STATE_CLOSED)
        connection_ended (self, state);
    }
}

void
afork_relay (int    argc,
             char **argv)
{
  static Relay self;
  const AForkFrame hello = {
    .kind = AFORK_FRAME_HELLO,
    .string = { AFORK_WIRE_MAGIC },
    .number = { AFORK_WIRE_VERSION },
  };
  const long keepalive = argc > 1 ? strtol (argv[1], NULL, 10) : 0;
  const long timeout = argc > 2 ? strtol (argv[2], NULL, 10) : 0;
  sigset_t children;
  bool was_left;
  int socket;

  if (argc < 6 || !afork_is_stream_socket (STDIN_FILENO))
    {
      fputs ("afork-server --relay is started by programs that use AFork.\n", stderr);
      exit (2);
    }

  afork_open_standard_fds ();
  socket = afork_dup_above_stderr (STDIN_FILENO);
  close (STDIN_FILENO);
  open ("/dev/null", O_RDONLY);
  dup2 (STDERR_FILENO, STDOUT_FILENO);
  /* Signals of a terminal are for the caller, which may handle them and need its processes. */
  setsid ();
  signal (SIGPIPE, SIG_IGN);
  signal (SIGCHLD, SIG_DFL);
  sigemptyset (&children);
  sigaddset (&children, SIGCHLD);

  self.host = argv[0];
  self.runtime = argv[3];
  self.executable = argv[4];
  self.argv = argv + 5;
  self.errors = -1;
  self.death_pipe = -1;
  self.mux.funcs = &funcs;
  self.mux.input = -1;
  if (!start_program (&self))
    self.state = STATE_CLOSED;
  /* The program gets the mask of before. */
  sigprocmask (SIG_BLOCK, &children, NULL);
  self.mux.keepalive = keepalive > 0 && keepalive <= INT32_MAX ? (uint32_t) keepalive : 0;
  self.root = afork_mux_add (&self.mux, 0, socket);
  if (self.root == NULL || !afork_mux_write_frame (&self.mux, self.root, &hello)
      || !afork_mux_write_queue (&self.mux, self.root))
    exit (AFORK_EXIT_BASE + AFORK_WIRE_ERROR_SPAWN);

  if (self.state == STATE_CLOSED)
    {
      self.state = STATE_STARTING;
      fail (&self, self.mux.failure.code, self.mux.failure.text);
    }
  self.start_timeout = timeout > 0 && timeout <= INT32_MAX ? timeout : 0;
  serve (&self, timeout > 0 ? afork_mux_now () + timeout : -1);

  /* An agent that may go on has nothing to do any more, and ends when its input does. */
  was_left = self.leaves;
  afork_mux_close (&self.mux);
  end_program (&self, was_left ? END_MS : 0);
  exit (EXIT_SUCCESS);
}
