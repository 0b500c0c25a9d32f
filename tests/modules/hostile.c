/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A worker that was taken over. It tries what its first item says, with the arguments that follow,
 * and reports on its socket: `done` if it could do harm, or `refused` and the error. It may also be
 * ended while it tries. It prints by write(2) only: a confined process cannot do everything.
 *
 * Code in another language can be taken over, too, and then calls afork_hostile_attempt(). */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

#include "hostile.h"

#ifndef SYS_pidfd_open
# define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
# define SYS_pidfd_getfd 438
#endif
#ifndef SYS_open_tree
# define SYS_open_tree 428
#endif
#ifndef SYS_fsopen
# define SYS_fsopen 430
#endif

/* The descriptor that belongs to the attempt, or -1. */
static int given_fd = -1;
/* The one to report on, or -1 if it is not known. */
static int own_socket = -1;

/* Each returns whether the harm is done; if not, errno says why. */

static bool
read_file (const char *path)
{
  char byte;
  int fd = open (path, O_RDONLY | O_CLOEXEC);

  return fd >= 0 && read (fd, &byte, 1) >= 0;
}

static bool
list_folder (const char *path)
{
  return open (path, O_RDONLY | O_DIRECTORY) >= 0;
}

static bool
write_file (const char *path)
{
  int fd = open (path, O_WRONLY | O_CREAT, 0600);

  return fd >= 0 && write (fd, "x", 1) == 1;
}

static bool
read_by_other_call (const char *path)
{
#ifdef SYS_open
  if (syscall (SYS_open, path, O_RDONLY) >= 0)
    return true;
#endif
  return syscall (SYS_openat2, AT_FDCWD, path, (uint64_t[3]) { O_RDONLY }, 24) >= 0;
}

static bool
remove_file (const char *path)
{
  return unlink (path) == 0 || rename (path, "/tmp/afork-stolen") == 0;
}

/* Makes what is no file, in the working directory. */
static bool
make_node (const char *path)
{
  return mkdir (path, 0700) == 0 || symlink ("/", path) == 0 || link ("/etc/passwd", path) == 0
    || mkfifo (path, 0600) == 0 || mknod (path, S_IFCHR | 0600, 0x103) == 0;
}

static bool
make_socket (const char *family)
{
  int fd = socket (atoi (family), SOCK_STREAM, 0);

  return fd >= 0 || socket (atoi (family), SOCK_DGRAM, 0) >= 0
    || socket (atoi (family), SOCK_RAW, 0) >= 0;
}

static bool
make_socket_pair (const char *unused)
{
  int fds[2];

  (void) unused;
  return socketpair (AF_UNIX, SOCK_STREAM, 0, fds) == 0;
}

static bool
execute (const char *path)
{
  char *const argv[] = { (char *) path, NULL };

  execv (path, argv);
  return false;
}

static bool
make_process (const char *unused)
{
  pid_t pid = fork ();

  (void) unused;
  if (pid == 0)
    _exit (0);
  return pid > 0 && waitpid (pid, NULL, 0) == pid;
}

static bool
make_process_directly (const char *unused)
{
  long pid;

  (void) unused;
#ifdef SYS_fork
  pid = syscall (SYS_fork);
#else
  pid = syscall (SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
  if (pid == 0)
    syscall (SYS_exit_group, 0);
  if (pid > 0)
    return true;

  pid = syscall (SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0)
    syscall (SYS_exit, 0);
  return pid > 0;
}

static bool
make_process_by_clone3 (const char *unused)
{
  uint64_t args[8] = { [4] = SIGCHLD };
  long pid = syscall (SYS_clone3, args, sizeof args);

  (void) unused;
  if (pid == 0)
    syscall (SYS_exit_group, 0);
  return pid > 0;
}

/* Returns whether it can signal PID, which exists: signal 0 only looks. */
static bool
signal_process (const char *pid)
{
  return kill (atoi (pid), 0) == 0;
}

static bool
signal_thread (const char *pid)
{
  return syscall (SYS_tgkill, atoi (pid), atoi (pid), 0) == 0
    || syscall (SYS_tkill, atoi (pid), 0) == 0;
}

static bool
queue_signal (const char *pid)
{
  const union sigval value = { 0 };

  return sigqueue (atoi (pid), 0, value) == 0;
}

static bool
signal_group (const char *unused)
{
  (void) unused;
  return kill (0, 0) == 0 || kill (-1, 0) == 0;
}

/* Has the kernel signal PID when there is input. */
static bool
signal_by_owner (const char *text)
{
  const int fd = own_socket >= 0 ? own_socket : STDERR_FILENO, pid = atoi (text);
  const struct f_owner_ex owner = { F_OWNER_PID, pid };

  return fcntl (fd, F_SETOWN_EX, &owner) == 0 || ioctl (fd, FIOSETOWN, &pid) == 0
    || ioctl (fd, SIOCSPGRP, &pid) == 0 || ioctl (fd, FIOASYNC, &pid) == 0
    || fcntl (fd, F_SETSIG, SIGKILL) == 0 || fcntl (fd, F_SETOWN, pid) == 0;
}

static bool
signal_by_pidfd (const char *pid)
{
  int pidfd = (int) syscall (SYS_pidfd_open, atoi (pid), 0);

  return pidfd >= 0 && syscall (SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0;
}

/* By a pidfd that was sent. */
static bool
signal_by_given_pidfd (const char *unused)
{
  (void) unused;
  return syscall (SYS_pidfd_send_signal, given_fd, 0, NULL, 0) == 0;
}

/* Joins the namespaces of the process whose pidfd was sent. */
static bool
join_namespaces (const char *unused)
{
  (void) unused;
  return setns (given_fd, CLONE_NEWUSER | CLONE_NEWNS) == 0 || setns (given_fd, CLONE_NEWPID) == 0;
}

static bool
steal_descriptor (const char *pid)
{
  int pidfd = given_fd >= 0 ? given_fd : (int) syscall (SYS_pidfd_open, atoi (pid), 0);

  return syscall (SYS_pidfd_getfd, pidfd, 0, 0) >= 0;
}

static bool
trace (const char *pid)
{
  return ptrace (PTRACE_SEIZE, atoi (pid), NULL, NULL) == 0;
}

static bool
read_process (const char *pid)
{
  char byte;
  struct iovec local = { &byte, 1 }, remote = { (void *) pid, 1 };

  return process_vm_readv (atoi (pid), &local, 1, &remote, 1, 0) == 1;
}

static bool
write_process (const char *pid)
{
  char byte = 0;
  struct iovec local = { &byte, 1 }, remote = { (void *) pid, 1 };

  return process_vm_writev (atoi (pid), &local, 1, &remote, 1, 0) == 1;
}

static bool
raise_limit (const char *pid)
{
  struct rlimit limit = { 1, 1 };

  return prlimit (atoi (pid), RLIMIT_NOFILE, &limit, NULL) == 0;
}

static bool
renice (const char *pid)
{
  return setpriority (PRIO_PROCESS, (id_t) atoi (pid), 5) == 0;
}

/* Memory. TEXT is a number of bytes, which must be more than the limit. */

static bool
map_private (const char *text)
{
  size_t size = strtoull (text, NULL, 10);
  char *memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (memory == MAP_FAILED)
    return false;
  memory[size - 1] = 1;
  return true;
}

static bool
map_in_pieces (const char *text)
{
  size_t size = strtoull (text, NULL, 10), piece = 1024 * 1024;

  for (size_t n = 0; n < size; n += piece)
    {
      char *memory = mmap (NULL, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

      if (memory == MAP_FAILED)
        return false;
      memory[0] = 1;
    }
  return true;
}

/* Memory that is mapped in the way of a stack does not count for the limit of data. */
static bool
map_as_stack (const char *text)
{
  const size_t size = strtoull (text, NULL, 10);
  char *memory = mmap (NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);

  if (memory == MAP_FAILED)
    return false;
  memory[size - 1] = 1;
  return true;
}

/* Memory that cannot be written any more does not count for it, either. */
static bool
map_read_only (const char *text)
{
  const size_t size = strtoull (text, NULL, 10), piece = 16 * 1024 * 1024;

  for (size_t n = 0; n < size; n += piece)
    {
      char *memory = mmap (NULL, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

      if (memory == MAP_FAILED)
        return false;
      memory[0] = 1;
      if (mprotect (memory, piece, PROT_READ) < 0)
        return false;
    }
  return true;
}

static bool
grow_break (const char *text)
{
  return sbrk ((intptr_t) strtoull (text, NULL, 10)) != (void *) -1;
}

static bool
map_shared (const char *text)
{
  return mmap (NULL, strtoull (text, NULL, 10), PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool
fill_memfd (const char *text)
{
  int fd = (int) syscall (SYS_memfd_create, "hoard", 0);

  return fd >= 0 && fallocate (fd, 0, 0, (off_t) strtoull (text, NULL, 10)) == 0;
}

static bool
make_shm (const char *text)
{
  return shmget (IPC_PRIVATE, strtoull (text, NULL, 10), IPC_CREAT | 0600) >= 0;
}

static bool
park_in_pipe (const char *unused)
{
  int fds[2];

  (void) unused;
  return pipe (fds) == 0 && fcntl (fds[1], F_SETPIPE_SZ, 1024 * 1024) > 0;
}

/* Fills the socket that was sent, whose other end nobody reads: the memory of messages counts for
 * no limit of the process. */
static bool
park_in_socket (const char *text)
{
  static const char message[64 * 1024];
  const int size = 1024 * 1024 * 1024;
  size_t n_sent = 0;
  ssize_t n;

  setsockopt (given_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  setsockopt (given_fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  while ((n = send (given_fd, message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
    n_sent += (size_t) n;
  return n_sent > strtoull (text, NULL, 10);
}

static bool
hold_many_descriptors (const char *text)
{
  for (int i = 0; i < atoi (text); i++)
    if (dup (STDERR_FILENO) < 0)
      return false;
  return true;
}

/* Time. The limit must end it. */

static bool
burn_time (const char *unused)
{
  volatile bool goes_on = true;

  (void) unused;
  while (goes_on)
    ;
  return true;
}

static bool
burn_time_ignoring (const char *unused)
{
  signal (SIGXCPU, SIG_IGN);
  return burn_time (unused);
}

/* Moves the limit as far as it can. */
static bool
burn_time_moving (const char *unused)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_CPU, &limit) == 0)
    {
      limit.rlim_cur = limit.rlim_max;
      setrlimit (RLIMIT_CPU, &limit);
    }
  return burn_time_ignoring (unused);
}

static void *
burn_in_thread (void *unused)
{
  return burn_time (unused) ? unused : NULL;
}

static bool
burn_time_in_threads (const char *unused)
{
  pthread_t thread;

  for (int i = 0; i < 4; i++)
    if (pthread_create (&thread, NULL, burn_in_thread, NULL) != 0)
      return false;
  return burn_time (unused);
}

/* The kernel. */

static bool
load_bpf (const char *unused)
{
  union bpf_attr attributes = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4,
                                .max_entries = 1 };

  (void) unused;
  return syscall (SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes) >= 0;
}

static bool
set_up_io_uring (const char *unused)
{
  char parameters[256] = { 0 };

  (void) unused;
  return syscall (SYS_io_uring_setup, 4, parameters) >= 0;
}

static bool
handle_faults (const char *unused)
{
  (void) unused;
  return syscall (SYS_userfaultfd, 1) >= 0 || syscall (SYS_userfaultfd, 0) >= 0;
}

static bool
add_key (const char *unused)
{
  (void) unused;
  return syscall (SYS_add_key, "user", "afork", "x", 1, -2) >= 0
    || syscall (SYS_keyctl, 0, -3, 0) >= 0;
}

static bool
count_events (const char *unused)
{
  struct perf_event_attr attributes = {
    .type = PERF_TYPE_SOFTWARE,
    .size = sizeof attributes,
    .config = PERF_COUNT_SW_CPU_CLOCK,
    .exclude_kernel = 1,
  };

  (void) unused;
  return syscall (SYS_perf_event_open, &attributes, 0, -1, -1, 0) >= 0;
}

static bool
mount_folder (const char *path)
{
  return syscall (SYS_mount, "none", path, "tmpfs", 0, NULL) == 0;
}

static bool
mount_by_descriptors (const char *path)
{
  return syscall (SYS_open_tree, AT_FDCWD, path, 1) >= 0 || syscall (SYS_fsopen, "tmpfs", 0) >= 0;
}

static bool
load_module (const char *unused)
{
  (void) unused;
  /* EFAULT or ENOEXEC mean that the kernel has looked at it. */
  return syscall (SYS_init_module, NULL, 0, "") == 0 || errno == EFAULT || errno == ENOEXEC;
}

static bool
make_namespace (const char *unused)
{
  const int flags[] = {
    CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS,
    CLONE_NEWCGROUP,
  };

  (void) unused;
  for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
    if (unshare (flags[i]) == 0)
      return true;

  return false;
}

/* A system call by the numbers of i386, as programs of 32 bits make it: TEXT is the number and the
 * first argument. A kernel without these programs ends the process by SIGSEGV. */
static bool
call_as_i386 (const char *text)
{
#ifdef __x86_64__
  char *rest;
  const long number = strtol (text, &rest, 10), argument = strtol (rest, NULL, 10);
  long result;

  __asm__ volatile ("int $0x80"
                    : "=a" (result)
                    : "a" (number), "b" (argument), "c" (0L), "d" (0L), "S" (0L), "D" (0L)
                    : "memory", "r8", "r9", "r10", "r11");
  errno = result < 0 ? (int) -result : 0;
  return result >= 0;
#else
  (void) text;
  errno = ENOSYS;
  return false;
#endif
}

/* Does nothing, and returns only if a signal has a handler. */
static bool
sleep_for_ever (const char *unused)
{
  (void) unused;
  return pause () == 0;
}

static bool
change_root (const char *path)
{
  return chroot (path) == 0;
}

/* TIOCSTI, TIOCLINUX, TIOCSCTTY, TIOCCONS, TIOCSETD, TIOCSPGRP and TIOCSWINSZ. ENOTTY means that
 * the kernel has looked at the request. */
static bool
use_terminal (const char *unused)
{
  static const uint64_t requests[] = { 0x5412, 0x541c, 0x540e, 0x541d, 0x5423, 0x5410, 0x5414 };
  const int fd = given_fd >= 0 ? given_fd : STDIN_FILENO;
  char argument[64] = "\n";

  (void) unused;
  for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
    /* The kernel uses only the low half of the request. */
    for (uint64_t high = 0; high <= 1; high++)
      if (syscall (SYS_ioctl, fd, requests[i] | high << 32, argument) == 0 || errno == ENOTTY)
        return true;

  return false;
}

static bool
trace_allowed (const char *unused)
{
  (void) unused;
  return prctl (PR_SET_PTRACER, -1L, 0, 0, 0) == 0;
}

static bool
lift_core_limit (const char *unused)
{
  struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

  (void) unused;
  return setrlimit (RLIMIT_DATA, &limit) == 0 || setrlimit (RLIMIT_CPU, &limit) == 0;
}

/* Leaving the death pipe: closes and disarms each descriptor from 3 on that is a pipe. */
static bool
leave_death_pipe (const char *unused)
{
  bool left = false;
  int error = ENOENT;
  struct stat status;

  (void) unused;
  for (int fd = 3; fd < 64; fd++)
    if (fstat (fd, &status) == 0 && S_ISFIFO (status.st_mode))
      {
        left = left || fcntl (fd, F_SETFL, 0) == 0 || fcntl (fd, F_SETOWN, 1) == 0
          || dup2 (STDERR_FILENO, fd) >= 0 || dup (fd) >= 0 || close (fd) == 0;
        error = errno;
      }

  errno = error;
  return left;
}

/* Whether it has a descriptor of a file or socket that it should not have: one besides its socket,
 * what it was sent, and the death pipe. Files of no kind, such as an eventfd, are its own. */
static bool
has_other_descriptor (const char *unused)
{
  struct stat status;

  (void) unused;
  for (int fd = 3; fd < 1024; fd++)
    if (fd != own_socket && fd != given_fd && fstat (fd, &status) == 0
        && (status.st_mode & S_IFMT) != 0 && !S_ISFIFO (status.st_mode))
      return true;

  errno = EBADF;
  return false;
}

/* Opens files by descriptors that it has, of files, directories and sockets. */
static bool
leave_by_descriptors (const char *unused)
{
  char name[32];
  int error = EBADF;

  (void) unused;
  for (int fd = 0; fd < 64; fd++)
    if (fcntl (fd, F_GETFD) >= 0)
      {
        if (fchdir (fd) == 0 || openat (fd, "..", O_RDONLY) >= 0 || openat (fd, ".", O_RDONLY) >= 0)
          return true;
        error = errno;
        snprintf (name, sizeof name, "/proc/self/fd/%d", fd);
        if (open (name, O_RDWR) >= 0 || open (name, O_RDONLY) >= 0)
          return true;
      }

  errno = error;
  return false;
}

static bool
leave_session (const char *unused)
{
  (void) unused;
  return setsid () >= 0 || setpgid (0, 0) == 0;
}

/* Writes to the file that was sent until it is as large as SIZE. */
static bool
grow_file (const char *size)
{
  return pwrite (given_fd, "x", 1, (off_t) strtoull (size, NULL, 10)) == 1;
}

static bool
truncate_file (const char *size)
{
  return ftruncate (given_fd, (off_t) strtoull (size, NULL, 10)) == 0
    || fallocate (given_fd, 0, 0, (off_t) strtoull (size, NULL, 10)) == 0
    || fchmod (given_fd, 0777) == 0 || fcntl (given_fd, F_SETLEASE, F_WRLCK) == 0;
}

/* What a worker that computes needs. */

static void *
return_data (void *data)
{
  return data;
}

static bool
compute (const char *unused)
{
  struct timespec time = { .tv_nsec = 1000 };
  char *memory = malloc (1024 * 1024);
  pthread_t thread;
  void *result;

  memset (memory, 1, 1024 * 1024);
  free (memory);
  return pthread_create (&thread, NULL, return_data, (void *) unused) == 0
    && pthread_join (thread, &result) == 0 && result == unused
    && clock_gettime (CLOCK_MONOTONIC, &time) == 0
    && (time = (struct timespec) { .tv_nsec = 1000 }, nanosleep (&time, NULL)) == 0
    && kill (getpid (), 0) == 0 && prctl (PR_SET_NAME, "computes", 0, 0, 0) == 0;
}

static bool
abort_self (const char *unused)
{
  if (unused != NULL)
    abort ();
  return true;
}

static const struct
{
  const char *name;
  bool      (*try) (const char *argument);
} attempts[] = {
  { "read", read_file },
  { "read-by-other-call", read_by_other_call },
  { "list", list_folder },
  { "write", write_file },
  { "make", make_node },
  { "remove", remove_file },
  { "socket", make_socket },
  { "socket-pair", make_socket_pair },
  { "exec", execute },
  { "fork", make_process },
  { "fork-directly", make_process_directly },
  { "clone3", make_process_by_clone3 },
  { "kill", signal_process },
  { "tgkill", signal_thread },
  { "sigqueue", queue_signal },
  { "kill-group", signal_group },
  { "set-owner", signal_by_owner },
  { "pidfd", signal_by_pidfd },
  { "pidfd-given", signal_by_given_pidfd },
  { "pidfd-getfd", steal_descriptor },
  { "setns", join_namespaces },
  { "ptrace", trace },
  { "process-vm-read", read_process },
  { "process-vm-write", write_process },
  { "prlimit", raise_limit },
  { "renice", renice },
  { "map", map_private },
  { "map-pieces", map_in_pieces },
  { "map-stack", map_as_stack },
  { "map-read-only", map_read_only },
  { "break", grow_break },
  { "map-shared", map_shared },
  { "memfd", fill_memfd },
  { "shm", make_shm },
  { "pipe", park_in_pipe },
  { "park", park_in_socket },
  { "descriptors", hold_many_descriptors },
  { "burn", burn_time },
  { "burn-ignoring", burn_time_ignoring },
  { "burn-moving", burn_time_moving },
  { "burn-threads", burn_time_in_threads },
  { "bpf", load_bpf },
  { "io-uring", set_up_io_uring },
  { "userfaultfd", handle_faults },
  { "key", add_key },
  { "perf", count_events },
  { "mount", mount_folder },
  { "mount-by-descriptors", mount_by_descriptors },
  { "module", load_module },
  { "unshare", make_namespace },
  { "chroot", change_root },
  { "i386", call_as_i386 },
  { "sleep", sleep_for_ever },
  { "terminal", use_terminal },
  { "tracer", trace_allowed },
  { "lift-limit", lift_core_limit },
  { "death-pipe", leave_death_pipe },
  { "other-descriptor", has_other_descriptor },
  { "leave-by-descriptors", leave_by_descriptors },
  { "session", leave_session },
  { "grow-file", grow_file },
  { "truncate-file", truncate_file },
  { "compute", compute },
  { "abort", abort_self },
};

/* Tries it. Returns 0 if the harm is done, the errno value if it was refused, or -1 for an unknown
 * NAME. */
static int
attempt (const char *name,
         const char *argument)
{
  for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++)
    if (strcmp (name, attempts[i].name) == 0)
      {
        errno = 0;
        return attempts[i].try (argument) ? 0 : errno != 0 ? errno : EPERM;
      }

  return -1;
}

/* A thread that is older than the sandbox of the process, and does what others tell it. */

static struct
{
  pthread_mutex_t lock;
  pthread_cond_t  changed;
  const char     *name;         /* or NULL */
  const char     *argument;
  int             result;
} older = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void *
obey (void *unused)
{
  pthread_mutex_lock (&older.lock);
  for (;;)
    {
      while (older.name == NULL)
        pthread_cond_wait (&older.changed, &older.lock);
      older.result = attempt (older.name, older.argument);
      older.name = NULL;
      pthread_cond_broadcast (&older.changed);
    }
  return unused;
}

static int
attempt_in_older_thread (const char *name,
                         const char *argument)
{
  pthread_mutex_lock (&older.lock);
  older.name = name;
  older.argument = argument;
  pthread_cond_broadcast (&older.changed);
  while (older.name != NULL)
    pthread_cond_wait (&older.changed, &older.lock);
  pthread_mutex_unlock (&older.lock);
  return older.result;
}

AFORK_WORKER_EXPORT int
afork_hostile_start_thread (void)
{
  pthread_t thread;

  return pthread_create (&thread, NULL, obey, NULL);
}

AFORK_WORKER_EXPORT int
afork_hostile_attempt (const char *name,
                       const char *argument,
                       int         fd,
                       int         socket)
{
  static const char in_thread[] = "thread:";

  given_fd = fd;
  own_socket = socket;
  if (strncmp (name, in_thread, sizeof in_thread - 1) == 0)
    return attempt_in_older_thread (name + sizeof in_thread - 1, argument);

  return attempt (name, argument);
}

/* The worker. */

AFORK_WORKER_EXPORT void hostile_start_thread (int                 argc,
                                               const char * const *argv);
AFORK_WORKER_EXPORT void hostile_try          (int                 socket,
                                               const AForkItem    *items,
                                               size_t              n_items);

AFORK_WORKER_EXPORT void
hostile_start_thread (int                 argc,
                      const char * const *argv)
{
  (void) argc, (void) argv;
  if (afork_hostile_start_thread () != 0)
    _exit (4);
}

AFORK_WORKER_EXPORT void
hostile_try (int              socket,
             const AForkItem *items,
             size_t           n_items)
{
  const char *name = n_items > 0 ? items[0].data : "";
  const char *argument = n_items > 1 && items[1].kind == AFORK_ITEM_BYTES ? items[1].data : "";
  const int result = afork_hostile_attempt (name, argument, n_items > 2 ? items[2].fd : -1, socket);
  char report[64];
  int length;

  length = snprintf (report, sizeof report, "%s %d",
                     result < 0 ? "unknown" : result == 0 ? "done" : "refused", result);
  if (write (socket, report, (size_t) length) != length)
    _exit (3);
}
