/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A worker that was taken over. It tries what its first item says, with the arguments that follow,
 * and reports on its socket: `done` if it could do harm, or `refused` and the error. It may also be
 * ended while it tries. It prints by write(2) only: a confined process cannot do everything. */

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

#ifndef SYS_pidfd_open
# define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
# define SYS_pidfd_getfd 438
#endif

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
signal_by_owner (const char *pid)
{
  return fcntl (STDERR_FILENO, F_SETOWN, atoi (pid)) == 0;
}

static bool
signal_by_pidfd (const char *pid)
{
  int pidfd = (int) syscall (SYS_pidfd_open, atoi (pid), 0);

  return pidfd >= 0 && syscall (SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0;
}

/* The items may hold a pidfd. */
static bool
steal_descriptor (const char *pid)
{
  int pidfd = (int) syscall (SYS_pidfd_open, atoi (pid), 0);

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
load_module (const char *unused)
{
  (void) unused;
  /* EFAULT or ENOEXEC mean that the kernel has looked at it. */
  return syscall (SYS_init_module, NULL, 0, "") == 0 || errno == EFAULT || errno == ENOEXEC;
}

static bool
unshare_user (const char *unused)
{
  (void) unused;
  return unshare (CLONE_NEWUSER) == 0;
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

static bool
type_into_terminal (const char *unused)
{
  const char key = '\n';
  int error;

  (void) unused;
  if (ioctl (STDIN_FILENO, 0x5412, &key) == 0)
    return true;
  error = errno;
  /* The kernel uses only the low half of the request. */
  if (syscall (SYS_ioctl, STDIN_FILENO, UINT64_C (0x100005412), &key) == 0)
    return true;
  errno = error;
  return error == ENOTTY;
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

static bool
leave_session (const char *unused)
{
  (void) unused;
  return setsid () >= 0 || setpgid (0, 0) == 0;
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
  { "pidfd-getfd", steal_descriptor },
  { "ptrace", trace },
  { "process-vm-read", read_process },
  { "process-vm-write", write_process },
  { "prlimit", raise_limit },
  { "renice", renice },
  { "map", map_private },
  { "map-pieces", map_in_pieces },
  { "break", grow_break },
  { "map-shared", map_shared },
  { "memfd", fill_memfd },
  { "shm", make_shm },
  { "pipe", park_in_pipe },
  { "descriptors", hold_many_descriptors },
  { "burn", burn_time },
  { "burn-ignoring", burn_time_ignoring },
  { "burn-threads", burn_time_in_threads },
  { "bpf", load_bpf },
  { "io-uring", set_up_io_uring },
  { "userfaultfd", handle_faults },
  { "key", add_key },
  { "perf", count_events },
  { "mount", mount_folder },
  { "module", load_module },
  { "unshare", unshare_user },
  { "chroot", change_root },
  { "i386", call_as_i386 },
  { "sleep", sleep_for_ever },
  { "terminal", type_into_terminal },
  { "tracer", trace_allowed },
  { "lift-limit", lift_core_limit },
  { "death-pipe", leave_death_pipe },
  { "session", leave_session },
  { "compute", compute },
  { "abort", abort_self },
};

/* Writes to the descriptor ITEM until its file is as large as SIZE. */
static bool
grow_file (int         fd,
           const char *size)
{
  return pwrite (fd, "x", 1, (off_t) strtoull (size, NULL, 10)) == 1;
}

AFORK_WORKER_EXPORT void hostile_try (int              socket,
                                      const AForkItem *items,
                                      size_t           n_items);

AFORK_WORKER_EXPORT void
hostile_try (int              socket,
             const AForkItem *items,
             size_t           n_items)
{
  const char *name = n_items > 0 ? items[0].data : "";
  const char *argument = n_items > 1 && items[1].kind == AFORK_ITEM_BYTES ? items[1].data : "";
  char report[64];
  bool done = false, known = false;
  int length;

  errno = 0;
  if (strcmp (name, "grow-file") == 0 && n_items > 2)
    {
      known = true;
      done = grow_file (items[2].fd, argument);
    }
  for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++)
    if (strcmp (name, attempts[i].name) == 0)
      {
        known = true;
        done = attempts[i].try (argument);
      }

  length = snprintf (report, sizeof report, "%s %d",
                     !known ? "unknown" : done ? "done" : "refused", errno);
  if (write (socket, report, (size_t) length) != length)
    _exit (3);
}
