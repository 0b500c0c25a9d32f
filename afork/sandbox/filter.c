/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "filter.h"

#include <errno.h>

#ifdef HAVE_SECCOMP
# include <fcntl.h>
# include <linux/seccomp.h>
# include <sched.h>
# include <seccomp.h>
# include <sys/ioctl.h>
# include <sys/mman.h>
# include <sys/prctl.h>
# include <sys/resource.h>
# include <sys/socket.h>
# include <unistd.h>

# include "base/fd.h"
#endif

static gboolean
is_compute (const AForkFilterKind *kind)
{
  return kind->system_calls == AFORK_SYSTEM_CALLS_COMPUTE;
}

gboolean
_afork_filter_is_needed (const AForkFilterKind *kind)
{
  /* What the other two kinds refuse, they refuse in both stages, so one filter is enough. */
  if (kind->stage == AFORK_STAGE_RUN)
    return is_compute (kind);

  return kind->system_calls != AFORK_SYSTEM_CALLS_ANY || !kind->network;
}

#ifdef HAVE_SECCOMP

/* Constants that the headers of the C library lack or hide. */
enum
{
  IOCTL_TIOCSTI = 0x5412,       /* puts characters into the input of a terminal */
  IOCTL_TIOCLINUX = 0x541c,     /* the same, for the console */
  FLAG_CLONE_NEWTIME = 0x80,
  PRCTL_SET_VMA = 0x53564d41,   /* names a mapping */
};

/* Flags of clone() and unshare() that make namespaces. */
static const guint32 namespace_flags[] = {
  CLONE_NEWNS,
  CLONE_NEWCGROUP,
  CLONE_NEWUTS,
  CLONE_NEWIPC,
  CLONE_NEWUSER,
  CLONE_NEWPID,
  CLONE_NEWNET,
};

enum
{
  ALL_NAMESPACE_FLAGS = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER
    | CLONE_NEWPID | CLONE_NEWNET,
};

/* What only administers a system, or reaches into another process, and what is large and seldom
 * used inside the kernel. NO_ADMIN refuses these. If a worker that only computes tries them, it was
 * taken over, so they end it. */
static const char * const admin_calls[] = {
  "_sysctl", "acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_adjtime64",
  "clock_settime", "clock_settime64", "create_module", "delete_module", "fanotify_init",
  "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "get_kernel_syms", "init_module",
  "io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp",
  "kexec_file_load", "kexec_load", "keyctl", "listmount", "lookup_dcookie", "lsm_set_self_attr",
  "migrate_pages", "mount", "mount_setattr", "move_mount", "move_pages", "name_to_handle_at",
  "nfsservctl", "open_by_handle_at", "open_tree", "open_tree_attr", "perf_event_open",
  "pidfd_getfd", "pivot_root", "process_madvise", "process_mrelease", "process_vm_readv",
  "process_vm_writev", "ptrace", "query_module", "quotactl", "quotactl_fd", "reboot",
  "request_key", "setdomainname", "sethostname", "settimeofday", "statmount", "stime",
  "swapoff", "swapon", "sysfs", "syslog", "umount", "umount2", "uselib", "userfaultfd", "ustat",
  "vhangup",
};

/* What COMPUTE allows with any arguments: memory of its own, threads and their signals, time, and
 * descriptors that it has. */
static const char * const compute_calls[] = {
  /* memory */
  "brk", "madvise", "mincore", "mprotect", "mremap", "mseal", "msync", "munmap",
  /* threads */
  "exit", "exit_group", "futex", "futex_requeue", "futex_time64", "futex_wait", "futex_waitv",
  "futex_wake", "get_robust_list", "get_thread_area", "getcpu", "getpid", "getppid", "gettid",
  "membarrier", "rseq", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
  "sched_getparam", "sched_getscheduler", "sched_yield", "set_robust_list", "set_thread_area",
  "set_tid_address", "set_tls",
  /* signals of its own; the guard of the server limits the first two to this process */
  "kill", "tgkill", "alarm", "getitimer", "pause", "restart_syscall", "rt_sigaction",
  "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
  "rt_sigtimedwait_time64", "setitimer", "sigaltstack", "sigreturn",
  /* time, and what can be asked for */
  "clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64", "clock_nanosleep",
  "clock_nanosleep_time64", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32",
  "getrandom", "getresgid", "getresgid32", "getresuid", "getresuid32", "getrlimit", "getrusage",
  "gettimeofday", "getuid", "getuid32", "nanosleep", "sysinfo", "time", "times", "ugetrlimit",
  "uname",
  /* descriptors that it has */
  "_llseek", "_newselect", "close", "dup", "dup2", "dup3", "epoll_create", "epoll_create1",
  "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd", "eventfd2", "fadvise64", "fadvise64_64",
  "fdatasync", "fstat", "fstat64", "fstatfs", "fstatfs64", "fsync", "getpeername", "getsockname",
  "getsockopt", "lseek", "poll", "ppoll", "ppoll_time64", "pread64", "preadv", "preadv2",
  "pselect6", "pselect6_time64", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readv",
  "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "select", "send", "sendfile",
  "sendfile64", "sendmmsg", "sendmsg", "sendto", "shutdown", "timerfd_create", "timerfd_gettime",
  "timerfd_gettime64", "timerfd_settime", "timerfd_settime64", "write", "writev",
};

/* What COMPUTE allows as well if files may be opened, because another layer says which. */
static const char * const file_calls[] = {
  "access", "faccessat", "faccessat2", "fallocate", "fchmod", "fchmodat", "flock", "fstatat64",
  "ftruncate", "ftruncate64", "getcwd", "getdents", "getdents64", "lstat", "lstat64", "mkdir",
  "mkdirat", "newfstatat", "open", "openat", "readlink", "readlinkat", "rename", "renameat",
  "renameat2", "rmdir", "stat", "stat64", "statfs", "statfs64", "statx", "unlink", "unlinkat",
  "utimensat", "utimensat_time64",
  NULL
};

/* What programs try before an older call: they must believe that the kernel does not have it. */
static const char * const unknown_calls[] = {
  "clone3", "close_range", "epoll_pwait2", "statx",
};

static const unsigned long ioctl_requests[] = {
  FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, TCGETS, TIOCGWINSZ,
};

static const int prctl_options[] = {
  PR_GET_DUMPABLE, PR_GET_NAME, PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP, PR_SET_NAME,
  PR_SET_NO_NEW_PRIVS, PRCTL_SET_VMA,
};

/* A filter that is made. The first error stays. */
typedef struct
{
  scmp_filter_ctx context;
  int             error;        /* an errno value, or 0 */
} Builder;

static void
check (Builder *self,
       int      result)
{
  if (result < 0 && self->error == 0)
    self->error = -result;
}

/* Adds a rule for the system call NAME. An architecture that does not have it gets no rule. */
static void
add_if (Builder                   *self,
        guint32                    action,
        const char                *name,
        guint                      n_conditions,
        const struct scmp_arg_cmp *conditions)
{
  int number = seccomp_syscall_resolve_name (name);

  if (number != __NR_SCMP_ERROR)
    check (self, seccomp_rule_add_array (self->context, action, number, n_conditions, conditions));
}

static void
add (Builder    *self,
     guint32     action,
     const char *name)
{
  add_if (self, action, name, 0, NULL);
}

static void
add_all (Builder            *self,
         guint32             action,
         const char * const *names,
         gsize               n_names)
{
  for (gsize i = 0; i < n_names; i++)
    add (self, action, names[i]);
}

/* The kernel uses only the low half of these arguments, so the filter must, too. */
static struct scmp_arg_cmp
low (guint   index,
     guint32 value)
{
  return SCMP_CMP (index, SCMP_CMP_MASKED_EQ, G_MAXUINT32, value);
}

static struct scmp_arg_cmp
masked (guint   index,
        guint64 mask,
        guint64 value)
{
  return SCMP_CMP (index, SCMP_CMP_MASKED_EQ, mask, value);
}

static void
refuse_admin (Builder *self,
              guint32  action)
{
  const struct scmp_arg_cmp terminal[] = { low (1, IOCTL_TIOCSTI), low (1, IOCTL_TIOCLINUX) };
  const struct scmp_arg_cmp time_namespace = masked (0, FLAG_CLONE_NEWTIME, FLAG_CLONE_NEWTIME);

  add_all (self, action, admin_calls, G_N_ELEMENTS (admin_calls));
  /* Its arguments are in memory, where a filter cannot read them. */
  add (self, SCMP_ACT_ERRNO (ENOSYS), "clone3");
  for (gsize i = 0; i < G_N_ELEMENTS (namespace_flags); i++)
    {
      const struct scmp_arg_cmp flag = masked (0, namespace_flags[i], namespace_flags[i]);

      add_if (self, SCMP_ACT_ERRNO (EPERM), "clone", 1, &flag);
      add_if (self, SCMP_ACT_ERRNO (EPERM), "unshare", 1, &flag);
    }
  add_if (self, SCMP_ACT_ERRNO (EPERM), "unshare", 1, &time_namespace);
  for (gsize i = 0; i < G_N_ELEMENTS (terminal); i++)
    add_if (self, SCMP_ACT_ERRNO (EPERM), "ioctl", 1, &terminal[i]);
}

/* Sockets of AF_UNIX stay: they reach processes of this machine only. */
static void
refuse_network (Builder *self,
                guint32  admin_action)
{
  const struct scmp_arg_cmp family = SCMP_CMP (0, SCMP_CMP_NE, AF_UNIX);

  add_if (self, SCMP_ACT_ERRNO (EACCES), "socket", 1, &family);
  add_if (self, SCMP_ACT_ERRNO (EACCES), "socketpair", 1, &family);
  /* These can make sockets without the calls above. */
  add (self, admin_action, "io_uring_setup");
  add (self, SCMP_ACT_ERRNO (EACCES), "socketcall");
}

/* COMPUTE in a template: it forks, signals its forks, and loads modules. What ends a process
 * here also ends a worker, whatever error the filter of the worker has for it. So that filter is
 * shorter, and installing it takes less time. */
static void
refuse_for_template (Builder *self)
{
  /* A process that is run moves to its root directory: see namespaces.h. */
  const struct scmp_arg_cmp other = SCMP_CMP (1, SCMP_CMP_NE, CLONE_NEWNS);

  refuse_admin (self, SCMP_ACT_TRAP);
  add_if (self, SCMP_ACT_ERRNO (EPERM), "setns", 1, &other);
  refuse_network (self, SCMP_ACT_TRAP);
  add (self, SCMP_ACT_ERRNO (EPERM), "execve");
  add (self, SCMP_ACT_ERRNO (EPERM), "execveat");
}

/* The limit of data does not count shared memory, so no shared memory can be made. */
static void
allow_private_memory (Builder *self)
{
  const struct scmp_arg_cmp of_file = masked (3, MAP_ANONYMOUS, 0);
  const struct scmp_arg_cmp private = masked (3, MAP_SHARED, 0);
  const char * const names[] = { "mmap", "mmap2" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      add_if (self, SCMP_ACT_ALLOW, names[i], 1, &of_file);
      add_if (self, SCMP_ACT_ALLOW, names[i], 1, &private);
    }
}

static void
allow_some (Builder  *self,
            gboolean  files)
{
  const struct scmp_arg_cmp thread = masked (0, CLONE_THREAD | ALL_NAMESPACE_FLAGS, CLONE_THREAD);
  const struct scmp_arg_cmp filter[] = {
    SCMP_CMP (0, SCMP_CMP_EQ, PR_SET_SECCOMP),
    SCMP_CMP (1, SCMP_CMP_EQ, SECCOMP_MODE_FILTER),
  };
  const struct scmp_arg_cmp filter_for_all[] = {
    SCMP_CMP (0, SCMP_CMP_EQ, SECCOMP_SET_MODE_FILTER),
    SCMP_CMP (1, SCMP_CMP_EQ, SECCOMP_FILTER_FLAG_TSYNC),
  };
  const struct scmp_arg_cmp own_limit[] = {
    SCMP_CMP (0, SCMP_CMP_EQ, 0),
    SCMP_CMP (2, SCMP_CMP_EQ, 0),
  };
  const struct scmp_arg_cmp own_cpu_time[] = {
    SCMP_CMP (0, SCMP_CMP_EQ, 0),
    SCMP_CMP (1, SCMP_CMP_EQ, RLIMIT_CPU),
  };
  /* Commands are small numbers: from F_DUPFD to F_SETFL. */
  const struct scmp_arg_cmp fcntl_commands[] = {
    SCMP_CMP (1, SCMP_CMP_LE, F_SETFL),
    low (1, F_DUPFD_CLOEXEC),
    low (1, F_GET_SEALS),
    low (1, F_ADD_SEALS),
  };
  const struct scmp_arg_cmp of_descriptor = masked (3, AT_EMPTY_PATH, AT_EMPTY_PATH);

  add_if (self, SCMP_ACT_ALLOW, "clone", 1, &thread);
  /* Another filter can only forbid more. */
  add_if (self, SCMP_ACT_ALLOW, "prctl", 2, filter);
  add_if (self, SCMP_ACT_ALLOW, "seccomp", 2, filter_for_all);
  add_if (self, SCMP_ACT_ALLOW, "prlimit64", 2, own_limit);
  add_if (self, SCMP_ACT_ALLOW, "prlimit64", 2, own_cpu_time);
  if (!files)
    add_if (self, SCMP_ACT_ALLOW, "newfstatat", 1, &of_descriptor);
  for (gsize i = 0; i < G_N_ELEMENTS (fcntl_commands); i++)
    {
      add_if (self, SCMP_ACT_ALLOW, "fcntl", 1, &fcntl_commands[i]);
      add_if (self, SCMP_ACT_ALLOW, "fcntl64", 1, &fcntl_commands[i]);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (ioctl_requests); i++)
    {
      const struct scmp_arg_cmp request = low (1, (guint32) ioctl_requests[i]);

      add_if (self, SCMP_ACT_ALLOW, "ioctl", 1, &request);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (prctl_options); i++)
    {
      const struct scmp_arg_cmp option = low (0, (guint32) prctl_options[i]);

      add_if (self, SCMP_ACT_ALLOW, "prctl", 1, &option);
    }
}

static void
allow_compute (Builder  *self,
               gboolean  files)
{
  for (gsize i = 0; i < G_N_ELEMENTS (unknown_calls); i++)
    if (!files || !g_strv_contains (file_calls, unknown_calls[i]))
      add (self, SCMP_ACT_ERRNO (ENOSYS), unknown_calls[i]);

  add_all (self, SCMP_ACT_ALLOW, compute_calls, G_N_ELEMENTS (compute_calls));
  allow_private_memory (self);
  allow_some (self, files);
  if (files)
    add_all (self, SCMP_ACT_ALLOW, file_calls, G_N_ELEMENTS (file_calls) - 1);

  add (self, SCMP_ACT_TRAP, "setns");
  add (self, SCMP_ACT_TRAP, "execve");
  add (self, SCMP_ACT_TRAP, "execveat");
}

static guint32
get_effects (const AForkFilterKind *kind)
{
  guint32 effects = 0;

  if (is_compute (kind))
    {
      if (kind->stage == AFORK_STAGE_TEMPLATE)
        return 0;
      effects = AFORK_EFFECT_NETWORK | AFORK_EFFECT_SYSTEM_CALLS | AFORK_EFFECT_NEW_PROCESSES
        | AFORK_EFFECT_OTHER_PROCESSES;
      if (!kind->files)
        effects |= AFORK_EFFECT_READ_PATHS | AFORK_EFFECT_WRITE_PATHS;
      return effects;
    }

  if (kind->system_calls == AFORK_SYSTEM_CALLS_NO_ADMIN)
    effects |= AFORK_EFFECT_SYSTEM_CALLS;
  if (!kind->network)
    effects |= AFORK_EFFECT_NETWORK;
  return effects;
}

static void
fill (Builder               *self,
      const AForkFilterKind *kind)
{
  if (is_compute (kind) && kind->stage == AFORK_STAGE_RUN)
    {
      allow_compute (self, kind->files);
      return;
    }
  if (is_compute (kind))
    {
      refuse_for_template (self);
      return;
    }

  if (kind->system_calls == AFORK_SYSTEM_CALLS_NO_ADMIN)
    {
      refuse_admin (self, SCMP_ACT_ERRNO (EPERM));
      add (self, SCMP_ACT_ERRNO (EPERM), "setns");
    }
  if (!kind->network)
    refuse_network (self, SCMP_ACT_ERRNO (EPERM));
}

/* Makes the filter for ARCHITECTURE only. A system call of another one, such as one of 32 bits in a
 * process of 64 bits, ends the process, unless programs of that architecture may be executed. */
static void
build (Builder               *self,
       const AForkFilterKind *kind,
       guint32                architecture)
{
  const gboolean is_allow_list = is_compute (kind) && kind->stage == AFORK_STAGE_RUN;

  self->context = seccomp_init (is_allow_list ? SCMP_ACT_ERRNO (EPERM) : SCMP_ACT_ALLOW);
  if (self->context == NULL)
    {
      self->error = ENOMEM;
      return;
    }

  if (architecture != 0 && architecture != seccomp_arch_native ())
    {
      check (self, seccomp_arch_remove (self->context, seccomp_arch_native ()));
      check (self, seccomp_arch_add (self->context, architecture));
    }
  if (!is_compute (kind))
    {
      const guint32 real = architecture != 0 ? architecture : seccomp_arch_native ();

      if (real == SCMP_ARCH_X86_64)
        check (self, seccomp_arch_add (self->context, SCMP_ARCH_X86));
      if (real == SCMP_ARCH_AARCH64)
        check (self, seccomp_arch_add (self->context, SCMP_ARCH_ARM));
    }
  check (self, seccomp_attr_set (self->context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
  /* A binary tree: the kernel runs the filter once for each system call when it is installed. */
  check (self, seccomp_attr_set (self->context, SCMP_FLTATR_CTL_OPTIMIZE, 2));
  fill (self, kind);
}

/* Returns what was written to the other end of FD, or NULL and sets errno. */
static GBytes *
read_all (int fd)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  guint8 block[4096];
  gssize n;

  while ((n = read (fd, block, sizeof block)) > 0)
    g_byte_array_append (bytes, block, (guint) n);

  return n == 0 ? g_byte_array_free_to_bytes (g_steal_pointer (&bytes)) : NULL;
}

/* The library can only write the instructions to a descriptor. A socket has room for them, and no
 * limit of file sizes, which a program may have, applies to it. */
static GBytes *
export (Builder *self)
{
  int ends[2];
  GBytes *bytes = NULL;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
    {
      self->error = errno;
      return NULL;
    }

  _afork_fd_register (ends[0]);
  _afork_fd_register (ends[1]);
  check (self, seccomp_export_bpf (self->context, ends[1]));
  _afork_fd_close (ends[1]);
  if (self->error == 0 && (bytes = read_all (ends[0])) == NULL)
    self->error = errno;
  _afork_fd_close (ends[0]);
  return bytes;
}

static GBytes *
compile (const AForkFilterKind *kind,
         guint32                architecture)
{
  Builder builder = { NULL };
  GBytes *bytes = NULL;

  build (&builder, kind, architecture);
  if (builder.error == 0)
    bytes = export (&builder);
  if (builder.context != NULL)
    seccomp_release (builder.context);
  if (bytes == NULL)
    errno = builder.error;
  return bytes;
}

/* Filters that were compiled, one of each kind. They are kept: compiling takes milliseconds. */
static GBytes *compiled[2][3][2][2];

GBytes *
_afork_filter_compile (const AForkFilterKind *kind,
                       guint32                architecture,
                       guint32               *gives)
{
  GBytes **kept =
    &compiled[kind->stage][kind->system_calls][kind->network ? 1 : 0][kind->files ? 1 : 0];
  GBytes *bytes, *none = NULL;

  *gives = get_effects (kind);
  if (architecture != 0)
    return compile (kind, architecture);

  bytes = g_atomic_pointer_get (kept);
  if (bytes == NULL && (bytes = compile (kind, 0)) != NULL
      && !g_atomic_pointer_compare_and_exchange_full (kept, none, bytes, &none))
    {
      /* Another thread was first. */
      g_bytes_unref (bytes);
      bytes = none;
    }
  return bytes != NULL ? g_bytes_ref (bytes) : NULL;
}

guint32
_afork_filter_get_architecture (void)
{
  return seccomp_arch_native ();
}

char *
_afork_filter_name_system_call (guint32 number)
{
  char *name = seccomp_syscall_resolve_num_arch (SCMP_ARCH_NATIVE, (int) number);
  char *copy = name != NULL ? g_strdup (name) : g_strdup_printf ("%u", number);

  free (name);
  return copy;
}

#else

GBytes *
_afork_filter_compile (const AForkFilterKind *kind,
                       guint32                architecture,
                       guint32               *gives)
{
  *gives = 0;
  errno = ENOSYS;
  return NULL;
}

guint32
_afork_filter_get_architecture (void)
{
  return 0;
}

char *
_afork_filter_name_system_call (guint32 number)
{
  return g_strdup_printf ("%u", number);
}

#endif
