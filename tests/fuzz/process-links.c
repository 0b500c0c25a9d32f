/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The other ends of channels: servers that answer correctly or incorrectly. */

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <afork/client/spawn.h>

#include "process-target.h"

enum
{
  MAX_RECEIVED = 256 * 1024,
  REMOTE_PID = 1,               /* a signal to this process here would be a fault */
};

Link *
add_link (int    fd,
          Other *other)
{
  Link *link;

  if (world.n_links == MAX_LINKS)
    {
      close (fd);
      return NULL;
    }

  link = &world.links[world.n_links++];
  link->fd = move_own (fd);
  link->other = other;
  link->is_remote = false;
  link->has_handshake = link->is_fork = link->heard = link->is_outcome = false;
  link->last = 0;
  link->n_requests = 0;
  link->n_input = link->n_fds = 0;
  link->last_number = link->number = 0;
  link->is_worker = link->has_setup = link->has_started = false;
  link->n_calls = 0;
  return link;
}

void
close_link (Link *link)
{
  if (link->fd >= 0)
    close (link->fd);
  link->fd = -1;
  for (size_t i = 0; i < link->n_fds; i++)
    close (link->fds[i]);
  link->n_fds = 0;
  outbox_clear (&link->outbox);
}

/* Replaces the function that executes a program. */
gboolean
_afork_spawn (const char * const  *argv,
              const char * const  *environment,
              const char          *working_directory,
              AForkSpawnSocket     how,
              int                  socket,
              GPid                *pid,
              int                 *pidfd,
              GError             **error)
{
  Other *other = NULL;
  Link *link;

  if ((world.mode & MODE_NO_SPAWN) == 0)
    other = add_other (FIRST_PID + (GPid) world.n_others, true);
  if (other == NULL)
    {
      close (socket);
      end_own ();
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN, "“%s” is not executed", argv[0]);
      return FALSE;
    }

  link = add_link (socket, other);
  if (link != NULL)
    {
      link->has_handshake = true;
      link->is_remote = argv[1] != NULL && strcmp (argv[1], "--relay") == 0;
    }
  end_own ();
  other->is_exposed = true;
  *pid = other->pid;
  *pidfd = -1;
  if ((world.mode & MODE_NO_PIDFD) == 0)
    *pidfd = fcntl (other->pidfd, F_DUPFD_CLOEXEC, 3);
  if (*pidfd < 0 && (world.mode & MODE_NO_PIDFD) == 0)
    {
      end_other (other, SIGKILL);
      reap_other (other);
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN, "“%s” cannot be watched", argv[0]);
      return FALSE;
    }
  return TRUE;
}

int
take_fd (Link *link)
{
  int fd = link->n_fds > 0 ? link->fds[0] : -1;

  if (fd < 0)
    die ("the library sends a frame without its descriptors");
  memmove (link->fds, link->fds + 1, --link->n_fds * sizeof (int));
  return fd;
}

static void
command_came (Link             *link,
              const AForkFrame *frame)
{
  Link *made;
  int fd;

  if (frame->kind >= AFORK_FRAME_HELLO)
    die ("the library sends %s", afork_frame_kind_name (frame->kind));

  if (frame->kind == AFORK_FRAME_SIGNAL || frame->kind == AFORK_FRAME_MEASURE)
    {
      if (link->n_requests < MAX_REQUESTS)
        link->requests[link->n_requests++] = *frame;
      return;
    }

  link->last = frame->kind;
  link->is_worker = frame->kind == AFORK_FRAME_RUN || frame->kind == AFORK_FRAME_RUN_FUNC;
  for (unsigned i = 0; i < frame->n_fds; i++)
    {
      fd = take_fd (link);
      if (frame->kind != AFORK_FRAME_FORK && frame->kind != AFORK_FRAME_EXEC)
        {
          close (fd);
          continue;
        }

      made = add_link (fd, NULL);
      if (frame->kind == AFORK_FRAME_FORK)
        link->last_number = frame->number[0];
      if (made == NULL)
        continue;
      made->is_fork = frame->kind == AFORK_FRAME_FORK;
      made->is_remote = link->is_remote;
      made->is_outcome = frame->kind == AFORK_FRAME_EXEC;
      made->number = frame->number[0];
    }
}

static bool
receive (Link *link)
{
  char control[CMSG_SPACE (64 * sizeof (int))];
  struct iovec vector = { link->input + link->n_input, MAX_RECEIVED - link->n_input };
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = control,
    .msg_controllen = sizeof control,
  };
  ssize_t n_bytes;

  if (vector.iov_len == 0)
    return false;
  n_bytes = recvmsg (link->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n_bytes <= 0)
    return false;

  for (struct cmsghdr *header = CMSG_FIRSTHDR (&message);
       header != NULL;
       header = CMSG_NXTHDR (&message, header))
    for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN (0)) / sizeof (int); i++)
      {
        int fd;

        memcpy (&fd, CMSG_DATA (header) + i * sizeof fd, sizeof fd);
        if (link->n_fds == sizeof link->fds / sizeof link->fds[0])
          close (fd);
        else
          link->fds[link->n_fds++] = move_own (fd);
      }
  link->n_input += (size_t) n_bytes;
  return true;
}

static bool
take_command (Link   *link,
              size_t *start)
{
  AForkFrame frame;
  const char *why;
  size_t size;

  switch (afork_frame_parse (link->input + *start, link->n_input - *start, &frame, &size, &why))
    {
    case AFORK_FRAME_INVALID:
      die ("the library sends nonsense: %s", why);
    case AFORK_FRAME_OK:
      command_came (link, &frame);
      *start += size;
      return true;
    default:
      return false;
    }
}

/* Reads what the library has sent, which must be correct. */
void
read_link (Link *link)
{
  size_t start = 0;

  if (link->fd < 0)
    return;
  if (link->input == NULL)
    link->input = malloc (MAX_RECEIVED);

  begin_own ();
  while (receive (link))
    ;
  while (link->is_worker ? take_call_frame (link, &start) : take_command (link, &start))
    ;
  link->n_input -= start;
  memmove (link->input, link->input + start, link->n_input);
}

/* The process at the other end of LINK, which is made when it is first needed. If it is not a
 * child, its pid is the one that the kernel reports as the sender. */
static Other *
get_other (Link *link)
{
  if (link->other == NULL)
    link->other = add_other (getpid (), false);
  return link->other;
}

/* A descriptor to be sent: CHOICE is 4 for the pidfd of an unrelated process, 5 for a descriptor
 * that is not a pidfd, 6 for the pidfd of a process of the library, and otherwise the correct one.
 * The other end of LINK itself is not among them: a process that keeps it keeps the channel open,
 * as docs/security.md says. */
static void
add_pidfd (Link     *link,
           unsigned  choice)
{
  Other *other = NULL;

  if (choice == 5)
    {
      outbox_add_fd (&link->outbox, sample);
      return;
    }

  if (choice == 6 && world.n_others > 0)
    {
      other = &world.others[link->number % world.n_others];
    }
  else if (choice != 4)
    {
      other = get_other (link);
    }
  else if ((other = add_other (1, false)) != NULL)
    {
      other->is_stranger = true;
    }
  if (other != NULL && outbox_add_fd (&link->outbox, other->pidfd))
    other->is_exposed = true;
}

/* A socket on which forks are reported. */
static void
add_reports (Link     *link,
             unsigned  choice)
{
  int ends[2];
  Link *made;

  if (choice != 0)
    {
      add_pidfd (link, choice);
      return;
    }

  begin_own ();
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    die ("socketpair: %s", strerror (errno));
  made = add_link (ends[0], NULL);
  if (made != NULL)
    made->last_number = link->last_number;
  /* It is closed with all others. */
  ends[1] = move_own (ends[1]);
  if (!outbox_add_fd (&link->outbox, ends[1]))
    close (ends[1]);
}

static void
put (Link       *link,
     AForkFrame  frame,
     Step       *step)
{
  if (link->fd >= 0 && link->outbox.n_bytes < MAX_PUT)
    outbox_add_frame (&link->outbox, &frame, step);
}

/* Says which pid the process has on its host. */
static void
put_remote (Link     *link,
            uint32_t  pid)
{
  Step none = { 0 };

  put (link, (AForkFrame) { .kind = AFORK_FRAME_REMOTE, .number = { pid } }, &none);
}

static void
send_all (Link *link)
{
  if (link->fd >= 0)
    outbox_send (&link->outbox, link->fd, SIZE_MAX);
}

/* If several templates have a fork of that number, any of them may exit. */
static void
kill_forks (uint32_t number)
{
  for (unsigned i = 0; i < world.n_links; i++)
    {
      Link *fork = &world.links[i];

      if (fork->is_fork && fork->number == number && fork->other != NULL
          && !fork->other->is_stranger && !fork->other->is_child
          && (world.mode & MODE_STUBBORN) == 0)
        end_other (fork->other, SIGKILL);
    }
}

/* The server was told to signal its forks, or asked for their memory. */
static void
put_replies (Link *link)
{
  Step none = { 0 };

  for (size_t i = 0; i < link->n_requests; i++)
    {
      const bool is_signal = link->requests[i].kind == AFORK_FRAME_SIGNAL;
      const uint32_t number = link->requests[i].number[0];

      if (is_signal)
        kill_forks (number);
      put (link, (AForkFrame) {
             .kind = is_signal ? AFORK_FRAME_SIGNALED : AFORK_FRAME_MEASURED,
             .number = { number, is_signal ? 0 : UINT32_MAX },
           }, &none);
    }
  link->n_requests = 0;
}

/* Does what a server would do now. */
void
serve (Link *link)
{
  Step none = { 0 };
  AForkFrame frame = { 0 };

  read_link (link);
  if (link->is_outcome)
    {
      close_link (link);
      return;
    }

  put_replies (link);
  if (link->has_handshake && !link->heard)
    {
      frame.kind = AFORK_FRAME_HELLO;
      frame.string[0] = AFORK_WIRE_MAGIC;
      frame.number[0] = AFORK_WIRE_VERSION;
    }
  else if (link->last == AFORK_FRAME_RUN || link->last == AFORK_FRAME_RUN_FUNC
           || link->last == AFORK_FRAME_EXEC || link->last == AFORK_FRAME_DETACH)
    {
      frame.kind = AFORK_FRAME_READY;
      if (link->is_remote)
        {
          if (!link->heard || link->last_number > 0)
            put_remote (link, REMOTE_PID);
        }
      else if ((link->is_fork && !link->heard) || link->last_number > 0)
        {
          add_pidfd (link, 0);
        }
      if (link->last_number > 0)
        add_reports (link, 0);
      frame.n_fds = (uint16_t) link->outbox.n_fds;
      if (link->last == AFORK_FRAME_DETACH)
        {
          link->is_fork = true;
          link->heard = false;
        }
      link->last = 0;
    }
  else if ((link->is_fork && !link->heard) || link->last == AFORK_FRAME_IDENTIFY)
    {
      frame.kind = AFORK_FRAME_FORKED;
      frame.n_fds = link->is_remote ? 0 : 1;
      if (link->is_remote)
        put_remote (link, REMOTE_PID);
      else
        add_pidfd (link, 0);
      link->last = 0;
    }

  else if (link->is_worker)
    {
      serve_calls (link);
    }

  if (frame.kind != 0)
    {
      link->heard = true;
      put (link, frame, &none);
    }
  send_all (link);
}

void
answer (Link *link,
        Step *step)
{
  static const uint8_t kinds[] = {
    AFORK_FRAME_HELLO, AFORK_FRAME_FORKED, AFORK_FRAME_READY, AFORK_FRAME_ERROR,
    AFORK_FRAME_FORK_FAILED, AFORK_FRAME_EXITED, AFORK_FRAME_RUN, AFORK_FRAME_SIGNALED,
    AFORK_FRAME_MEASURED
  };
  AForkFrame frame = { .kind = kinds[step_take (step) % sizeof kinds] };
  unsigned choice = step_take (step);
  unsigned n_fds = 0;
  uint32_t number = step_take_number (step);

  frame.number[0] = number < 0x80 ? number % (link->last_number + 2) : number;
  frame.number[1] = frame.kind == AFORK_FRAME_SIGNALED ? choice
                                                         : number % (AFORK_WIRE_ERROR_SPAWN + 2);
  frame.exit = (AForkExitReport) {
    .pid = number,
    .wait_status = number < 0x40 ? number << 8 : number,
    .user_usec = UINT64_MAX,
  };
  switch ((int) frame.kind)
    {
    case AFORK_FRAME_HELLO:
      frame.string[0] = choice < 0xc0 ? AFORK_WIRE_MAGIC : NULL;
      frame.number[0] = choice < 0x80 ? AFORK_WIRE_VERSION : number;
      if (choice >= 0xf0)
        frame = (AForkFrame) { .kind = AFORK_FRAME_REMOTE, .number = { number } };
      break;
    case AFORK_FRAME_FORKED:
      n_fds = 1;
      break;
    case AFORK_FRAME_READY:
      n_fds = choice / 8 % 3;
      break;
    case AFORK_FRAME_ERROR:
      n_fds = choice / 8 % 2;
      frame.number[0] = number;
      break;
    default:
      break;
    }

  /* A process on another host has no pidfd, and says its pid, once or twice. */
  if (link->is_remote && n_fds > 0 && choice % 8 < 7)
    {
      put_remote (link, choice < 0x80 ? REMOTE_PID : number);
      if (choice % 8 == 6)
        put_remote (link, number);
      n_fds--;
      if (n_fds > 0)
        add_reports (link, 0);
      frame.n_fds = (uint16_t) n_fds;
      link->heard = true;
      put (link, frame, step);
      return;
    }

  /* A fork that has no pidfd, and says so. */
  if ((frame.kind == AFORK_FRAME_FORKED || frame.kind == AFORK_FRAME_READY) && choice % 8 == 7)
    {
      put (link, (AForkFrame) { .kind = AFORK_FRAME_NO_PIDFD }, step);
      n_fds -= n_fds > 0;
      if (n_fds > 0)
        add_reports (link, 0);
    }
  else if (n_fds > 0)
    {
      add_pidfd (link, choice % 8);
    }
  frame.n_fds = (uint16_t) n_fds;
  if (n_fds > 1)
    add_reports (link, choice >= 0x80 ? choice % 8 : 0);
  link->heard = true;
  put (link, frame, step);
}
