/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "children.h"
#include "command-link.h"
#include "fork.h"
#include "items.h"
#include "pidfd.h"
#include "title.h"

/* There is one server in a process, and it lives as long: nothing of it is ever freed. What every
 * fork needs stands together at the front, in one page of memory, for that is what a fork pays
 * by. */
typedef struct
{
  bool                      forked;
  bool                      unborn;   /* the caller has not got the pidfd that it is to get */
  bool                      ignores_interrupt;  /* SIGINT, as no module has changed */
  const AForkWorkerRuntime *runtime;
  void                     *runtime_data;
  AForkItems                items;
  AForkItems                taken;    /* by the function that is run */
  unsigned                  mapped;   /* a bit for each of 0, 1 and 2 that was mapped */
  int                       outcome;  /* the socket that tells how executing went, or -1 */
  int                       lifeline; /* the pipe whose end ends this process, or -1 */
  AForkChildren             children;
  AForkLink                 link;
  AForkFailure              failure;
} Server;

static Server server __attribute__ ((aligned (4096)));

_Static_assert (offsetof (Server, link.fds) <= 4096, "the server's small things fill a page");

/* Answers. */

static void
put_frame (const AForkFrame *frame,
           void             *data)
{
  (void) data;
  afork_link_put (&server.link, frame);
}

/* Sends FRAME, which has no descriptors yet. With the first that a forked process sends goes its
 * pidfd; then EXTRA_FD, unless that is -1. */
static bool
answer (AForkFrame *frame,
        int         extra_fd)
{
  int fds[2];

  if (server.unborn)
    {
      fds[frame->n_fds] = afork_pidfd_open (getpid ());
      if (fds[frame->n_fds] < 0)
        return afork_failure_set (&server.failure, AFORK_WIRE_ERROR_SPAWN,
                                  "The process has no descriptor left for itself: %s",
                                  strerror (errno));
      frame->n_fds++;
    }
  if (extra_fd >= 0)
    fds[frame->n_fds++] = extra_fd;

  afork_link_send (&server.link, frame, fds);
  if (server.unborn)
    close (fds[0]);
  server.unborn = false;
  return true;
}

/* The first that a forked process says, unless it has something else to say. It is said before any
 * code of a module runs in it: that may never come back, and the caller can end only what it
 * knows. */
static bool
tell_birth (void)
{
  AForkFrame born = { .kind = AFORK_FRAME_BORN };

  return !server.unborn || answer (&born, -1);
}

/* Ending. */

#ifdef __GLIBC__
/* All streams there are, the newest first. Standard error comes before the two others that are
 * always there. */
extern FILE *_IO_list_all;

/* Wide characters have a buffer of their own. */
static bool
is_written (const FILE *stream)
{
  return stream->_mode <= 0 && stream->_IO_write_ptr == stream->_IO_write_base;
}
#endif

/* Whether nothing that was printed waits to be written, as far as can be told without a lock. Most
 * workers print nothing, and fflush() would touch memory for that. */
static bool
stdio_is_written (void)
{
#ifdef __GLIBC__
  return _IO_list_all == stderr && is_written (stdout) && is_written (stderr);
#else
  return false;
#endif
}

/* Exit handlers and destructors run in the process that was executed, for which they were made: in
 * a fork they would undo what is its template's, and cost it more than all the rest of its end. */
__attribute__ ((noreturn)) static void
end (int status)
{
  if (!server.forked)
    exit (status);

  if (!stdio_is_written ())
    fflush (NULL);
  _exit (status);
}

/* A process that only stays for its forks has no use for its items, and the other ends of what they
 * are wait for them to be closed. */
static void
give_up_items (void)
{
  if (server.outcome >= 0)
    close (server.outcome);
  for (size_t i = 0; i < server.items.n_items; i++)
    if (server.items.items[i].kind == AFORK_ITEM_FD)
      close (server.items.items[i].fd);
}

/* So it is with sockets of forks that will never be. */
static void
give_up_input (void)
{
  server.link.input_start = server.link.input_end = 0;
  while (server.link.n_fds > 0)
    close (afork_link_take_fd (&server.link));
}

static void
discard_commands (void)
{
  AForkLinkResult result = afork_link_receive (&server.link, false, &server.failure);

  if (result == AFORK_LINK_END)
    afork_children_unwatch_socket (&server.children, server.link.socket);
  give_up_input ();
}

/* Ends the process, but not before it has reaped and reported its forks. Commands that still come
 * are read and dropped, so that the sockets in them close and their other ends know. */
__attribute__ ((noreturn)) static void
leave (int status)
{
  /* While it stays, it can be ended, and what it was sent is no longer open. */
  if (server.children.n_children > 0)
    {
      tell_birth ();
      give_up_items ();
      give_up_input ();
    }

  while (server.children.n_children > 0)
    {
      bool readable = afork_children_wait (&server.children, put_frame, NULL);

      afork_link_flush (&server.link);
      if (readable)
        discard_commands ();
    }

  end (status);
}

__attribute__ ((noreturn)) static void
fail (void)
{
  AForkWireError code = server.failure.code;
  AForkFrame frame = {
    .kind = AFORK_FRAME_ERROR,
    .number = { code },
    .string = { server.failure.text },
  };
  int pidfd = server.unborn ? afork_pidfd_open (getpid ()) : -1;

  /* If no pidfd can be had, the error goes without. */
  frame.n_fds = pidfd >= 0;
  afork_link_send (&server.link, &frame, &pidfd);
  if (pidfd >= 0)
    close (pidfd);
  server.unborn = false;

  leave (AFORK_EXIT_BASE + (int) code);
}

/* Forking. */

static void
report_failed_fork (uint32_t number)
{
  AForkFrame frame = {
    .kind = AFORK_FRAME_FORK_FAILED,
    .number = { number, server.failure.code },
    .string = { server.failure.text },
  };

  afork_link_send (&server.link, &frame, NULL);
}

/* Forks, if this process may be forked. Returns -1 and sets the failure where it did not. GIVEN is
 * the new process's: it is closed in this one, which leaves a place for that process's pidfd. */
static pid_t
fork_process (uint32_t number,
              int      given)
{
  pid_t pid;

  if (!afork_children_check_threads (&server.failure)
      || !afork_children_prepare (&server.children, server.link.socket, &server.failure))
    {
      close (given);
      return -1;
    }

  pid = afork_fork ();
  if (pid != 0)
    close (given);
  if (pid == 0)
    {
      server.forked = true;
      server.unborn = true;
      if (server.runtime->forked != NULL)
        server.runtime->forked (server.runtime_data);
    }
  else if (pid < 0)
    {
      afork_failure_set (&server.failure, AFORK_WIRE_ERROR_SPAWN,
                         "The process could not be forked: %s", strerror (errno));
    }
  else if (!afork_children_add (&server.children, number, pid, &server.failure))
    {
      return -1;
    }

  return pid;
}

static void
serve_fork (uint32_t number,
            int      socket)
{
  pid_t pid = fork_process (number, socket);

  if (pid == 0)
    {
      AForkFdSet closed = { 0 };

      afork_children_forget (&server.children, &closed);
      afork_link_switch (&server.link, socket, &closed);
      afork_fd_set_close (&closed);
      return;
    }

  if (pid < 0)
    report_failed_fork (number);
}

/* Running. */

/* The C library's function for this lies in memory that nothing else here touches. The default
 * action is all zeroes, however the machine's struct sigaction is laid out. */
static void
reset_interrupt (void)
{
  const unsigned long action[8] = { 0 };

  syscall (SYS_rt_sigaction, SIGINT, action, NULL, (_NSIG - 1) / 8);
}

/* NULL and a failure if memory is out. The strings are the frame's. */
static const char **
strings_to_array (AForkStrings strings)
{
  const char **array = calloc ((size_t) strings.n_strings + 1, sizeof *array);

  if (array == NULL)
    afork_failure_set (&server.failure, AFORK_WIRE_ERROR_FAILED, "%s", strerror (ENOMEM));
  for (size_t i = 0; array != NULL && strings.n_strings > 0; i++)
    array[i] = afork_strings_next (&strings);

  return array;
}

/* A process that has forks cannot become a worker itself, for somebody must reap them. A fork of
 * it goes on instead; it stays, and reports on a socket of its own, whose other end it returns in
 * the fork. */
static int
stay_behind (void)
{
  AForkFdSet closed = { 0 };
  int reports[2];
  pid_t pid;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, reports) < 0)
    {
      afork_failure_set (&server.failure, AFORK_WIRE_ERROR_SPAWN,
                         "The process could not be forked: %s", strerror (errno));
      fail ();
    }

  pid = fork_process (AFORK_WORKER_NUMBER, reports[1]);
  if (pid < 0)
    {
      close (reports[0]);
      fail ();
    }
  if (pid == 0)
    {
      afork_children_forget (&server.children, &closed);
      afork_fd_set_add (&closed, reports[0]);
      afork_fd_set_close (&closed);
      return reports[1];
    }

  afork_children_unwatch_socket (&server.children, server.link.socket);
  afork_link_switch (&server.link, reports[0], &closed);
  afork_fd_set_close (&closed);
  leave (EXIT_SUCCESS);
}

/* Makes a process that has no forks. *REPORTS is then to be told to the caller, unless it is -1. */
static bool
become_single (int *reports)
{
  if (!afork_link_is_idle (&server.link))
    return afork_failure_set (&server.failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "Something came behind the last command");

  *reports = -1;
  if (server.children.n_children > 0)
    {
      *reports = stay_behind ();
    }
  else if (server.children.epoll >= 0)
    {
      close (server.children.epoll);
      server.children.epoll = -1;
    }

  return true;
}

/* Tells the caller that from now on the socket is not its server's. */
static bool
answer_ready (int reports)
{
  AForkFrame ready = { .kind = AFORK_FRAME_READY };

  if (!answer (&ready, reports))
    return false;
  if (reports >= 0)
    close (reports);

  return true;
}

/* Ends the life as a server: makes a clean process that is about to do what it was prepared for,
 * and tells the caller so. */
static bool
become_worker (const char *title)
{
  int reports;

  if (!become_single (&reports))
    return false;

  if (server.ignores_interrupt)
    reset_interrupt ();
  if (title != NULL)
    afork_title_set (title);
  return answer_ready (reports);
}

static bool
run (void       *found,
     const char *title)
{
  if (!become_worker (title))
    return false;

  server.taken = server.items;
  server.items = (AForkItems) { 0 };
  server.runtime->enter (server.runtime_data, found, server.link.socket,
                         server.taken.items, server.taken.n_items);
  end (EXIT_SUCCESS);
}

static bool
serve_run (const char *function,
           const char *title)
{
  void *found;

  return server.runtime->find (server.runtime_data, function, &found, &server.failure)
    && run (found, title);
}

static bool
serve_run_func (const AForkFrame *frame)
{
  const uint64_t offset = frame->number[0] | (uint64_t) frame->number[1] << 32;
  const char *title = frame->string[1];
  void *found;

  if (server.runtime->find_address == NULL)
    return afork_failure_set (&server.failure, AFORK_WIRE_ERROR_NOT_SUPPORTED,
                              "The runtime has no functions in C, such as “%s”", title);

  return server.runtime->find_address (server.runtime_data, title, frame->string[0], offset,
                                       &found, &server.failure)
    && run (found, title);
}

/* Makes the socket standard input and output, where these were not mapped. */
static bool
map_socket (int socket)
{
  for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
    if ((server.mapped & 1u << fd) == 0 && dup2 (socket, fd) < 0)
      return afork_failure_set (&server.failure, AFORK_WIRE_ERROR_FAILED,
                                "The socket could not become descriptor %d: %s", fd,
                                strerror (errno));

  return true;
}

static bool
serve_exec (const AForkFrame *frame)
{
  const char **argv;
  int socket;

  if (frame->strings.n_strings == 0)
    return afork_failure_set (&server.failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "EXEC came without a program");

  argv = strings_to_array (frame->strings);
  server.outcome = afork_link_take_fd (&server.link);
  if (argv == NULL || !become_worker (NULL))
    return false;

  /* From here on the socket is the program's, and what fails is told on the other one. */
  socket = server.link.socket;
  server.link.socket = server.outcome;
  if (!map_socket (socket))
    return false;
  /* The program must have it open, too. */
  if (server.lifeline >= 0)
    fcntl (server.lifeline, F_SETFD, 0);

  execvp (argv[0], (char **) argv);
  return afork_failure_set (&server.failure, AFORK_WIRE_ERROR_SPAWN,
                            "“%s” could not be executed: %s", argv[0], strerror (errno));
}

/* Another caller. */

static bool
serve_detach (void)
{
  int reports;

  return become_single (&reports) && answer_ready (reports);
}

/* Whoever has the other end of the socket now wants to know who this is. */
static bool
serve_identify (uint32_t version)
{
  if (version != AFORK_WIRE_VERSION)
    return afork_failure_set (&server.failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "The caller speaks version %u of the protocol, and this process "
                              "version %u", version, AFORK_WIRE_VERSION);

  server.unborn = true;
  return true;
}

/* Preparation. */

static bool
serve_module_path (const AForkFrame *frame)
{
  const char **folders = strings_to_array (frame->strings);
  bool done = folders != NULL
    && server.runtime->set_module_path (server.runtime_data, folders, &server.failure);

  free (folders);
  return done;
}

static bool
serve_call (const AForkFrame *frame)
{
  const char **arguments = strings_to_array (frame->strings);
  int n_arguments = (int) frame->strings.n_strings;
  bool done = arguments != NULL;

  if (done && frame->kind == AFORK_FRAME_CALL)
    done = server.runtime->call (server.runtime_data, frame->string[0],
                                 n_arguments, arguments, &server.failure);
  else if (done)
    done = server.runtime->eval (server.runtime_data, frame->string[0],
                                 n_arguments, arguments, &server.failure);

  free (arguments);
  return done;
}

/* What is done by code of a module. */
static bool
serve_module_code (const AForkFrame *frame)
{
  struct sigaction interrupt;
  bool done;

  if (!tell_birth ())
    return false;

  if (frame->kind == AFORK_FRAME_REQUIRE)
    done = server.runtime->require (server.runtime_data, frame->string[0], &server.failure);
  else
    done = serve_call (frame);

  /* What it has printed is written once, and not by every fork again. */
  fflush (NULL);
  sigaction (SIGINT, NULL, &interrupt);
  server.ignores_interrupt = interrupt.sa_handler == SIG_IGN;
  return done;
}

static bool
serve_setenv (const char *name,
              const char *value)
{
  int result = value != NULL ? setenv (name, value, 1) : unsetenv (name);

  if (result < 0)
    return afork_failure_set (&server.failure, AFORK_WIRE_ERROR_FAILED,
                              "Environment variable “%s” could not be set: %s", name,
                              strerror (errno));
  return true;
}

static bool
serve_chdir (const char *path)
{
  if (chdir (path) < 0)
    return afork_failure_set (&server.failure, AFORK_WIRE_ERROR_FAILED,
                              "The working directory could not be changed to “%s”: %s", path,
                              strerror (errno));
  return true;
}

static bool
serve_item_fds (uint16_t n_fds)
{
  for (uint16_t i = 0; i < n_fds; i++)
    if (!afork_items_add_fd (&server.items, afork_link_take_fd (&server.link)))
      return afork_failure_set (&server.failure, AFORK_WIRE_ERROR_FAILED,
                                "A descriptor could not be kept: %s", strerror (ENOMEM));
  return true;
}

static bool
serve_item_bytes (const AForkFrame *frame)
{
  if (!afork_items_add_bytes (&server.items, frame->bytes, frame->n_bytes,
                              (frame->flags & AFORK_FRAME_MORE) != 0))
    return afork_failure_set (&server.failure, AFORK_WIRE_ERROR_FAILED,
                              "An item of bytes could not be kept: %s", strerror (ENOMEM));
  return true;
}

/* Moves *FD to another number if it is TARGET. */
static bool
vacate_fd (int *fd,
           int  target)
{
  int moved;

  if (*fd != target)
    return true;

  moved = fcntl (target, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (moved < 0)
    return false;

  *fd = moved;
  return true;
}

/* Makes sure that nothing which the server keeps is at descriptor TARGET. The number itself stays
 * open: dup2() closes it. */
static bool
vacate (int target)
{
  bool socket_moves = server.link.socket == target;
  bool done = vacate_fd (&server.link.socket, target)
    && vacate_fd (&server.lifeline, target)
    && afork_children_vacate (&server.children, target);

  if (done && socket_moves && server.children.epoll >= 0)
    {
      afork_children_unwatch_socket (&server.children, target);
      done = afork_children_watch_socket (&server.children, server.link.socket);
    }
  for (size_t i = 0; done && i < server.link.n_fds; i++)
    done = vacate_fd (&server.link.fds[i], target);
  for (size_t i = 0; done && i < server.items.n_items; i++)
    if (server.items.items[i].kind == AFORK_ITEM_FD)
      done = vacate_fd (&server.items.items[i].fd, target);

  return done;
}

static bool
serve_map_fd (int target)
{
  int fd = afork_link_take_fd (&server.link);
  bool done;

  /* What is mapped is meant for programs that the worker executes, so it is not close-on-exec. */
  /* What was printed goes where it was printed to. */
  fflush (NULL);
  if (fd == target)
    done = fcntl (fd, F_SETFD, 0) == 0;
  else
    done = vacate (target) && dup2 (fd, target) >= 0;
  if (done && target <= STDERR_FILENO)
    server.mapped |= 1u << target;
  if (!done)
    /* dup2() has one error for a bad descriptor, which this is not, and a number over the limit. */
    afork_failure_set (&server.failure, AFORK_WIRE_ERROR_FAILED,
                       "A descriptor could not be mapped to %d: %s", target,
                       strerror (errno == EBADF ? EMFILE : errno));

  if (fd != target)
    close (fd);
  return done;
}

static bool
watch_lifeline (int fd)
{
  struct pollfd ended = { .fd = fd, .events = POLLIN };

  if (fcntl (fd, F_SETSIG, SIGKILL) < 0
      || fcntl (fd, F_SETOWN, -getpgrp ()) < 0
      || fcntl (fd, F_SETFL, O_ASYNC) < 0)
    return false;

  /* Where the caller has gone already, nothing would happen any more. */
  if (poll (&ended, 1, 0) != 0)
    kill (0, SIGKILL);
  return true;
}

/* Has the kernel kill this process, and all that it will have forked, when the pipe ends, whatever
 * any of them does then. They are told apart from the rest of the world by their process group, and
 * the pipe is watched as long as one of them has it open. */
static bool
serve_lifeline (void)
{
  if (server.lifeline >= 0)
    close (server.lifeline);

  server.lifeline = afork_link_take_fd (&server.link);
  if ((getpgrp () != getpid () && setpgid (0, 0) < 0) || !watch_lifeline (server.lifeline))
    return afork_failure_set (&server.failure, AFORK_WIRE_ERROR_FAILED,
                              "The process could not be made to end with its caller: %s",
                              strerror (errno));
  return true;
}

const AForkItem *
afork_worker_take_items (size_t *n_items)
{
  AForkItems items = server.items;

  server.items = (AForkItems) { 0 };
  *n_items = items.n_items;
  return items.items;
}

/* The loop. */

static bool
execute (const AForkFrame *frame)
{
  switch (frame->kind)
    {
    case AFORK_FRAME_MODULE_PATH:
      return serve_module_path (frame);
    case AFORK_FRAME_TITLE:
      afork_title_set (frame->string[0]);
      return true;
    case AFORK_FRAME_SETENV:
      return serve_setenv (frame->string[0], frame->string[1]);
    case AFORK_FRAME_UNSETENV:
      return serve_setenv (frame->string[0], NULL);
    case AFORK_FRAME_CHDIR:
      return serve_chdir (frame->string[0]);
    case AFORK_FRAME_MAP_FD:
      return serve_map_fd ((int) frame->number[0]);
    case AFORK_FRAME_REQUIRE:
    case AFORK_FRAME_EVAL:
    case AFORK_FRAME_CALL:
      return serve_module_code (frame);
    case AFORK_FRAME_ITEM_BYTES:
      return serve_item_bytes (frame);
    case AFORK_FRAME_ITEM_FDS:
      return serve_item_fds (frame->n_fds);
    case AFORK_FRAME_FORK:
      serve_fork (frame->number[0], afork_link_take_fd (&server.link));
      return true;
    case AFORK_FRAME_EXPECT:
      server.runtime->expect (server.runtime_data, frame->string[0]);
      return true;
    case AFORK_FRAME_EXEC:
      return serve_exec (frame);
    case AFORK_FRAME_LIFELINE:
      return serve_lifeline ();
    case AFORK_FRAME_DETACH:
      return serve_detach ();
    case AFORK_FRAME_IDENTIFY:
      return serve_identify (frame->number[0]);
    case AFORK_FRAME_RUN:
      return serve_run (frame->string[0], frame->string[1]);
    case AFORK_FRAME_RUN_FUNC:
      return serve_run_func (frame);
    default:
      return afork_failure_set (&server.failure, AFORK_WIRE_ERROR_PROTOCOL,
                                "The caller sent %s, which is for callers",
                                afork_frame_kind_name (frame->kind));
    }
}

/* Waits for commands, and meanwhile reaps the forks there are. */
static AForkLinkResult
wait_for_commands (void)
{
  /* A fork that has its commands already tells its birth with their outcome, in one message. */
  if (server.unborn)
    {
      AForkLinkResult result = afork_link_receive (&server.link, false, &server.failure);

      if (result != AFORK_LINK_EMPTY)
        return result;
      if (!tell_birth ())
        return AFORK_LINK_FAILED;
    }

  if (server.children.n_children == 0)
    return afork_link_receive (&server.link, true, &server.failure);

  if (!afork_children_wait (&server.children, put_frame, NULL))
    {
      afork_link_flush (&server.link);
      return AFORK_LINK_EMPTY;
    }
  afork_link_flush (&server.link);
  return afork_link_receive (&server.link, false, &server.failure);
}

void
afork_serve (int                       socket,
             bool                      forked,
             const AForkWorkerRuntime *runtime,
             void                     *runtime_data)
{
  AForkFrame hello = {
    .kind = AFORK_FRAME_HELLO,
    .string = { AFORK_WIRE_MAGIC },
    .number = { AFORK_WIRE_VERSION },
  };
  AForkLinkResult result;
  AForkFrame frame;

  /* Ctrl-C at a terminal is for the caller, which ends this process by closing the socket, and for
   * workers. A template that fell to it would leave a caller that handles it without its forks. */
  signal (SIGINT, SIG_IGN);
  server.ignores_interrupt = true;

  /* A worker may have become a server once more: see afork_process_new_template(). */
  server.items = (AForkItems) { 0 };
  server.mapped = 0;
  server.forked = forked;
  server.outcome = -1;
  server.lifeline = -1;
  server.runtime = runtime;
  server.runtime_data = runtime_data;
  afork_link_init (&server.link, socket);
  afork_children_init (&server.children);
  answer (&hello, -1);

  for (;;)
    {
      result = afork_link_next (&server.link, &frame, &server.failure);
      if (result == AFORK_LINK_OK && !execute (&frame))
        fail ();
      if (result == AFORK_LINK_EMPTY)
        result = wait_for_commands ();

      if (result == AFORK_LINK_FAILED)
        fail ();
      if (result == AFORK_LINK_END)
        {
          if (server.children.epoll >= 0)
            afork_children_unwatch_socket (&server.children, server.link.socket);
          leave (EXIT_SUCCESS);
        }
    }
}
