/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Functions between the library or the server and the C library. They are part of the test program,
 * whose functions come before those of all libraries. Servers have this file preloaded.
 *
 * Functions that are called here must be async-signal-safe, because this runs after a fork as
 * well. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plan.h"

#define EXPORT __attribute__ ((visibility ("default")))

/* The function that this file replaces. */
#define NEXT(function) ((__typeof__ (&function)) next (#function))

static FaultPlan *plan;
static FaultRole role;

static void *
next (const char *name)
{
  return dlsym (RTLD_NEXT, name);
}

const char *
fault_role_name (FaultRole of)
{
  static const char * const names[FAULT_N_ROLES] = { "caller", "template", "fork" };

  return names[of];
}

const char *
fault_call_name (FaultCall of)
{
#define FAULT_CALL_NAME(id, name) name,
  static const char * const names[FAULT_N_CALLS] = { FAULT_CALLS (FAULT_CALL_NAME) };
#undef FAULT_CALL_NAME

  return names[of];
}

void
fault_join (FaultPlan *joined,
            FaultRole  as)
{
  plan = joined;
  role = as;
}

/* A server joins when it is executed. */
__attribute__ ((constructor)) static void
join_as_server (void)
{
  const char *path = getenv (FAULT_PLAN_VARIABLE);
  void *memory;
  int fd;

  if (path == NULL || plan != NULL)
    return;

  fd = open (path, O_RDWR | O_CLOEXEC);
  if (fd < 0)
    abort ();
  memory = mmap (NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall (SYS_close, fd);
  if (memory == MAP_FAILED)
    abort ();

  fault_join (memory, FAULT_TEMPLATE);
  /* A program that a server executes is not a server. */
  unsetenv ("LD_PRELOAD");
  unsetenv (FAULT_PLAN_VARIABLE);
}

/* Steps. */

/* Whether a call from ADDRESS is a step. In the caller, these are calls of the library and calls of
 * GIO for it; in a server, those of the server and its modules. Calls of other libraries do not
 * count. */
static bool
is_watched (void *address)
{
  static const char * const in_caller[] = { "libafork", "libgio" };
  static const char * const not_in_server[] = {
    "libc.", "ld-linux", "libasan", "libubsan", "libfaults-preloaded", "libglib", "libgobject",
    "test-faults",
  };
  Dl_info object;
  const char *name;

  if (dladdr (address, &object) == 0 || object.dli_fname == NULL)
    return false;

  name = strrchr (object.dli_fname, '/');
  name = name != NULL ? name + 1 : object.dli_fname;
  if (role != FAULT_CALLER)
    {
      for (size_t i = 0; i < sizeof not_in_server / sizeof not_in_server[0]; i++)
        if (strncmp (name, not_in_server[i], strlen (not_in_server[i])) == 0)
          return false;
      return true;
    }

  for (size_t i = 0; i < sizeof in_caller / sizeof in_caller[0]; i++)
    if (strncmp (name, in_caller[i], strlen (in_caller[i])) == 0)
      return true;
  return false;
}

static void
send_self (int number)
{
  syscall (SYS_kill, (pid_t) syscall (SYS_getpid), number);
}

static void
sleep_ms (int ms)
{
  struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

  while (nanosleep (&left, &left) < 0 && errno == EINTR)
    ;
}

/* Counts a call from ADDRESS. A fault of the process happens here. Returns the fault of the
 * call. */
static FaultAction
enter (FaultCall  call,
       void      *address)
{
  int saved_errno = errno;
  FaultAction action = FAULT_NONE;

  if (plan == NULL || !atomic_load (&plan->armed) || !is_watched (address))
    {
      errno = saved_errno;
      return FAULT_NONE;
    }

  if (atomic_fetch_add (&plan->counts[role][call], 1) + 1 == plan->nth
      && plan->role == role && plan->call == call)
    action = plan->action;
  if (action != FAULT_NONE)
    atomic_store (&plan->hit, (int) syscall (SYS_getpid));

  if (action == FAULT_KILL)
    send_self (SIGKILL);
  else if (fault_stops (action))
    send_self (SIGSTOP);
  else if (action == FAULT_DELAY)
    sleep_ms (plan->value);

  errno = saved_errno;
  return action;
}

/* For calls that can only fail. */
static bool
fails (FaultCall  call,
       void      *address)
{
  if (enter (call, address) != FAULT_FAIL)
    return false;

  errno = plan->value;
  return true;
}

#define FAILS(call) fails (FAULT_CALL_##call, __builtin_return_address (0))

/* Descriptors. */

EXPORT int
socketpair (int domain,
            int type,
            int protocol,
            int fds[2])
{
  return FAILS (SOCKETPAIR) ? -1 : NEXT (socketpair) (domain, type, protocol, fds);
}

EXPORT int
pipe2 (int fds[2],
       int flags)
{
  return FAILS (PIPE2) ? -1 : NEXT (pipe2) (fds, flags);
}

EXPORT int
eventfd (unsigned count,
         int      flags)
{
  return FAILS (EVENTFD) ? -1 : NEXT (eventfd) (count, flags);
}

static int
call_fcntl (const char *name,
            void       *address,
            int         fd,
            int         command,
            void       *argument)
{
  const FaultCall call = command == F_DUPFD_CLOEXEC || command == F_DUPFD ? FAULT_CALL_DUP_FD
                                                                          : FAULT_CALL_FCNTL;
  int (*real) (int, int, ...) = (int (*) (int, int, ...)) next (name);

  return fails (call, address) ? -1 : real (fd, command, argument);
}

/* The C library has two names for it, by the size of file offsets. */
#undef fcntl
#undef fcntl64
EXPORT int fault_fcntl   (int fd, int command, ...) __asm__ ("fcntl");
EXPORT int fault_fcntl64 (int fd, int command, ...) __asm__ ("fcntl64");

EXPORT int
fault_fcntl (int fd,
             int command,
             ...)
{
  va_list arguments;
  void *argument;

  va_start (arguments, command);
  argument = va_arg (arguments, void *);
  va_end (arguments);
  return call_fcntl ("fcntl", __builtin_return_address (0), fd, command, argument);
}

EXPORT int
fault_fcntl64 (int fd,
               int command,
               ...)
{
  va_list arguments;
  void *argument;

  va_start (arguments, command);
  argument = va_arg (arguments, void *);
  va_end (arguments);
  return call_fcntl ("fcntl64", __builtin_return_address (0), fd, command, argument);
}

EXPORT int
dup2 (int fd,
      int target)
{
  return FAILS (DUP2) ? -1 : NEXT (dup2) (fd, target);
}

EXPORT int
close (int fd)
{
  /* If it fails, nothing can be done. */
  enter (FAULT_CALL_CLOSE, __builtin_return_address (0));
  return NEXT (close) (fd);
}

EXPORT ssize_t
read (int     fd,
      void   *buffer,
      size_t  size)
{
  return FAILS (READ) ? -1 : NEXT (read) (fd, buffer, size);
}

EXPORT ssize_t
write (int         fd,
       const void *buffer,
       size_t      size)
{
  return FAILS (WRITE) ? -1 : NEXT (write) (fd, buffer, size);
}

EXPORT int
epoll_create1 (int flags)
{
  return FAILS (EPOLL_CREATE) ? -1 : NEXT (epoll_create1) (flags);
}

EXPORT int
epoll_ctl (int                 epoll,
           int                 operation,
           int                 fd,
           struct epoll_event *event)
{
  /* To remove one needs no memory. */
  if (operation == EPOLL_CTL_ADD ? FAILS (EPOLL_CTL) : false)
    return -1;

  return NEXT (epoll_ctl) (epoll, operation, fd, event);
}

EXPORT int
epoll_wait (int                 epoll,
            struct epoll_event *events,
            int                 n_events,
            int                 timeout)
{
  return FAILS (EPOLL_WAIT) ? -1 : NEXT (epoll_wait) (epoll, events, n_events, timeout);
}

EXPORT int
ioctl (int           fd,
       unsigned long request,
       ...)
{
  va_list arguments;
  void *argument;

  va_start (arguments, request);
  argument = va_arg (arguments, void *);
  va_end (arguments);
  return FAILS (IOCTL) ? -1 : NEXT (ioctl) (fd, request, argument);
}

static int
call_stat (const char  *name,
           void        *address,
           const char  *path,
           struct stat *status)
{
  int (*real) (const char *, struct stat *)
    = (int (*) (const char *, struct stat *)) next (name);

  return fails (FAULT_CALL_STAT, address) ? -1 : real (path, status);
}

EXPORT int fault_stat   (const char *path, struct stat *status) __asm__ ("stat");
EXPORT int fault_stat64 (const char *path, struct stat *status) __asm__ ("stat64");

EXPORT int
fault_stat (const char  *path,
            struct stat *status)
{
  return call_stat ("stat", __builtin_return_address (0), path, status);
}

EXPORT int
fault_stat64 (const char  *path,
              struct stat *status)
{
  return call_stat ("stat64", __builtin_return_address (0), path, status);
}

/* Sockets. */

EXPORT int
getsockopt (int        socket,
            int        level,
            int        name,
            void      *value,
            socklen_t *size)
{
  return FAILS (GETSOCKOPT) ? -1 : NEXT (getsockopt) (socket, level, name, value, size);
}

EXPORT int
setsockopt (int         socket,
            int         level,
            int         name,
            const void *value,
            socklen_t   size)
{
  return FAILS (SETSOCKOPT) ? -1 : NEXT (setsockopt) (socket, level, name, value, size);
}

EXPORT int
shutdown (int socket,
          int how)
{
  return FAILS (SHUTDOWN) ? -1 : NEXT (shutdown) (socket, how);
}

static size_t
count_bytes (const struct msghdr *message)
{
  size_t n_bytes = 0;

  for (size_t i = 0; i < message->msg_iovlen; i++)
    n_bytes += message->msg_iov[i].iov_len;
  return n_bytes;
}

/* Removes all but the first SIZE bytes of MESSAGE, which has as many vectors as there is room
 * for. */
static void
shorten (struct msghdr       *message,
         struct iovec         vectors[],
         const struct msghdr *whole,
         size_t               size)
{
  size_t n_vectors = 0;

  *message = *whole;
  for (; n_vectors < whole->msg_iovlen && size > 0; n_vectors++)
    {
      vectors[n_vectors] = whole->msg_iov[n_vectors];
      if (vectors[n_vectors].iov_len > size)
        vectors[n_vectors].iov_len = size;
      size -= vectors[n_vectors].iov_len;
    }

  message->msg_iov = vectors;
  message->msg_iovlen = n_vectors;
}

enum { MAX_VECTORS = 8 };

/* Only half of the message is sent. */
static ssize_t
cut (int                  socket,
     const struct msghdr *whole,
     int                  flags)
{
  struct iovec vectors[MAX_VECTORS];
  struct msghdr message;
  size_t size = plan->value > 0 ? (size_t) plan->value : (count_bytes (whole) + 1) / 2;

  shorten (&message, vectors, whole, size);
  NEXT (sendmsg) (socket, &message, flags);
  if (role != FAULT_CALLER)
    send_self (SIGKILL);
  NEXT (shutdown) (socket, SHUT_RDWR);
  errno = EPIPE;
  return -1;
}

EXPORT ssize_t
sendmsg (int                  socket,
         const struct msghdr *whole,
         int                  flags)
{
  struct iovec vectors[MAX_VECTORS];
  struct msghdr message;

  switch ((int) enter (FAULT_CALL_SENDMSG, __builtin_return_address (0)))
    {
    case FAULT_FAIL:
      errno = plan->value;
      return -1;
    case FAULT_CUT:
      return cut (socket, whole, flags);
    case FAULT_SHORT:
      shorten (&message, vectors, whole, (size_t) plan->value);
      return NEXT (sendmsg) (socket, &message, flags);
    default:
      return NEXT (sendmsg) (socket, whole, flags);
    }
}

/* As if the descriptor table was full. */
static void
lose_fds (struct msghdr *message)
{
  for (struct cmsghdr *control = CMSG_FIRSTHDR (message);
       control != NULL;
       control = CMSG_NXTHDR (message, control))
    if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS)
      {
        size_t n_fds = (control->cmsg_len - CMSG_LEN (0)) / sizeof (int);
        int fds[256];

        memcpy (fds, CMSG_DATA (control), n_fds * sizeof (int));
        for (size_t i = 0; i < n_fds; i++)
          syscall (SYS_close, fds[i]);
        message->msg_controllen = 0;
        message->msg_flags |= MSG_CTRUNC;
        return;
      }
}

EXPORT ssize_t
recvmsg (int            socket,
         struct msghdr *whole,
         int            flags)
{
  FaultAction action = enter (FAULT_CALL_RECVMSG, __builtin_return_address (0));
  struct iovec vectors[MAX_VECTORS];
  struct iovec *whole_vectors = whole->msg_iov;
  size_t n_whole_vectors = whole->msg_iovlen;
  ssize_t result;

  if (action == FAULT_FAIL)
    {
      errno = plan->value;
      return -1;
    }
  if (action == FAULT_SHORT)
    {
      struct msghdr message;

      shorten (&message, vectors, whole, (size_t) plan->value);
      *whole = message;
    }

  result = NEXT (recvmsg) (socket, whole, flags);
  whole->msg_iov = whole_vectors;
  whole->msg_iovlen = n_whole_vectors;
  if (action == FAULT_LOSE_FDS && result > 0)
    lose_fds (whole);
  return result;
}

/* Processes. */

static pid_t
forked (pid_t pid)
{
  if (pid == 0)
    role = role == FAULT_CALLER ? FAULT_TEMPLATE : FAULT_FORK;
  return pid;
}

EXPORT pid_t
fork (void)
{
  return FAILS (FORK) ? -1 : forked (NEXT (fork) ());
}

EXPORT pid_t
_Fork (void)
{
  return FAILS (FORK) ? -1 : forked (NEXT (_Fork) ());
}

EXPORT int
posix_spawnp (pid_t                            *pid,
              const char                       *file,
              const posix_spawn_file_actions_t *actions,
              const posix_spawnattr_t          *attributes,
              char * const                     *argv,
              char * const                     *environment)
{
  return FAILS (SPAWN) ? errno
                       : NEXT (posix_spawnp) (pid, file, actions, attributes, argv, environment);
}

EXPORT int
posix_spawn_file_actions_adddup2 (posix_spawn_file_actions_t *actions,
                                  int                         fd,
                                  int                         target)
{
  return FAILS (SPAWN_ACTION) ? errno
                              : NEXT (posix_spawn_file_actions_adddup2) (actions, fd, target);
}

EXPORT int
posix_spawn_file_actions_addclosefrom_np (posix_spawn_file_actions_t *actions,
                                          int                         first)
{
  return FAILS (SPAWN_ACTION) ? errno
                              : NEXT (posix_spawn_file_actions_addclosefrom_np) (actions, first);
}

EXPORT int
execvp (const char   *file,
        char * const *argv)
{
  return FAILS (EXEC) ? -1 : NEXT (execvp) (file, argv);
}

EXPORT int
setpgid (pid_t pid,
         pid_t group)
{
  return FAILS (SETPGID) ? -1 : NEXT (setpgid) (pid, group);
}

EXPORT int
waitid (idtype_t   type,
        id_t       id,
        siginfo_t *info,
        int        options)
{
  return FAILS (WAIT) ? -1 : NEXT (waitid) (type, id, info, options);
}

EXPORT pid_t
wait4 (pid_t          pid,
       int           *status,
       int            options,
       struct rusage *usage)
{
  return FAILS (WAIT) ? -1 : NEXT (wait4) (pid, status, options, usage);
}

EXPORT long
syscall (long number,
         ...)
{
  long arguments[6];
  bool failed = false;
  va_list list;

  va_start (list, number);
  for (int i = 0; i < 6; i++)
    arguments[i] = va_arg (list, long);
  va_end (list);

  if (number == SYS_pidfd_open)
    failed = FAILS (PIDFD_OPEN);
  else if (number == SYS_pidfd_send_signal)
    failed = FAILS (PIDFD_SIGNAL);
  else if (number == SYS_waitid)
    failed = FAILS (WAIT);
  if (failed)
    return -1;

  return NEXT (syscall) (number, arguments[0], arguments[1], arguments[2], arguments[3],
                         arguments[4], arguments[5]);
}

/* Other calls of the server. */

EXPORT void *
dlopen (const char *file,
        int         flags)
{
  /* dlerror() must return something. */
  return FAILS (DLOPEN) ? NEXT (dlopen) ("/no module: the interposed library took it away", flags)
                        : NEXT (dlopen) (file, flags);
}

EXPORT int
setenv (const char *name,
        const char *value,
        int         overwrite)
{
  return FAILS (SETENV) ? -1 : NEXT (setenv) (name, value, overwrite);
}

EXPORT int
chdir (const char *path)
{
  return FAILS (CHDIR) ? -1 : NEXT (chdir) (path);
}

#ifdef FAULT_PRELOADED

/* The dynamic linker itself calls these, before any function can be looked up. It allocates little,
 * and frees nothing. */
static void *
allocate_early (size_t size)
{
  static char memory[4096] __attribute__ ((aligned (16)));
  static size_t n_used;
  void *result = memory + n_used;

  n_used += (size + 15) & ~(size_t) 15;
  if (n_used > sizeof memory)
    abort ();
  return result;
}

static void *(*next_malloc) (size_t);
static void *(*next_calloc) (size_t, size_t);
static void *(*next_realloc) (void *, size_t);
static bool finding_allocator;

static bool
find_allocator (void)
{
  if (next_realloc != NULL || finding_allocator)
    return next_realloc != NULL;

  finding_allocator = true;
  next_malloc = (void *(*) (size_t)) next ("malloc");
  next_calloc = (void *(*) (size_t, size_t)) next ("calloc");
  next_realloc = (void *(*) (void *, size_t)) next ("realloc");
  finding_allocator = false;
  return next_realloc != NULL;
}

EXPORT void *
malloc (size_t size)
{
  if (!find_allocator ())
    return allocate_early (size);
  return FAILS (MALLOC) ? NULL : next_malloc (size);
}

EXPORT void *
calloc (size_t n_elements,
        size_t size)
{
  if (!find_allocator ())
    return allocate_early (n_elements * size);
  return FAILS (MALLOC) ? NULL : next_calloc (n_elements, size);
}

EXPORT void *
realloc (void   *memory,
         size_t  size)
{
  find_allocator ();
  return FAILS (MALLOC) ? NULL : next_realloc (memory, size);
}

EXPORT char *
strdup (const char *string)
{
  return FAILS (MALLOC) ? NULL : NEXT (strdup) (string);
}

#endif
