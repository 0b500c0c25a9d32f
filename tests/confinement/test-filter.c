/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Runs the compiled filters in an interpreter: for each number of a system call, for each
 * architecture. What each filter must say stands in tables of this test. */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <gio/gio.h>

#ifdef HAVE_SECCOMP
# include <seccomp.h>
#endif

#include "afork/afork-enums.h"
#include "afork/sandbox/filter.h"
#include "afork/server/seccomp-filter.h"

#ifdef HAVE_SECCOMP

enum
{
  X32_BIT = 0x40000000,
  N_NUMBERS = 1024,     /* Linux 6.18 has less than 480 */
  ALLOW = SECCOMP_RET_ALLOW,
  TRAP = SECCOMP_RET_TRAP,
  DENY = SECCOMP_RET_ERRNO | EPERM,
  DENY_FILE = SECCOMP_RET_ERRNO | EACCES,
  UNKNOWN = SECCOMP_RET_ERRNO | ENOSYS,
};

#define KILL SECCOMP_RET_KILL_PROCESS

static const guint32 foreign[] = {
  AUDIT_ARCH_ALPHA, AUDIT_ARCH_ARMEB, AUDIT_ARCH_IA64, AUDIT_ARCH_M68K, AUDIT_ARCH_MIPS,
  AUDIT_ARCH_MIPS64, AUDIT_ARCH_PARISC, AUDIT_ARCH_PPC, AUDIT_ARCH_PPC64, AUDIT_ARCH_PPC64LE,
  AUDIT_ARCH_RISCV32, AUDIT_ARCH_RISCV64, AUDIT_ARCH_S390, AUDIT_ARCH_S390X, AUDIT_ARCH_SH,
  AUDIT_ARCH_SPARC, AUDIT_ARCH_SPARC64, 0, 1, G_MAXUINT32,
};

/* The interpreter. It knows the instructions that the kernel allows in a filter and that libseccomp
 * uses; others fail the test. */

static guint32
load (const struct seccomp_data *data,
      guint32                    offset)
{
  guint32 value;

  g_assert_cmpuint (offset % 4, ==, 0);
  g_assert_cmpuint (offset, <=, sizeof *data - 4);
  memcpy (&value, (const char *) data + offset, 4);
  return value;
}

static gboolean
compare (guint16 operation,
         guint32 a,
         guint32 k)
{
  switch (operation)
    {
    case BPF_JEQ:
      return a == k;
    case BPF_JGT:
      return a > k;
    case BPF_JGE:
      return a >= k;
    case BPF_JSET:
      return (a & k) != 0;
    default:
      g_assert_not_reached ();
    }
}

static guint32
interpret (const struct sock_filter  *program,
           gsize                      n_instructions,
           const struct seccomp_data *data)
{
  guint32 a = 0;

  for (gsize i = 0; i < n_instructions; i++)
    {
      const struct sock_filter *instruction = &program[i];

      switch (instruction->code)
        {
        case BPF_LD | BPF_W | BPF_ABS:
          a = load (data, instruction->k);
          break;
        case BPF_ALU | BPF_AND | BPF_K:
          a &= instruction->k;
          break;
        case BPF_JMP | BPF_JA:
          i += instruction->k;
          break;
        case BPF_RET | BPF_K:
          return instruction->k;
        default:
          g_assert_cmpuint (BPF_CLASS (instruction->code), ==, BPF_JMP);
          g_assert_cmpuint (BPF_SRC (instruction->code), ==, BPF_K);
          i += compare (BPF_OP (instruction->code), a, instruction->k) ? instruction->jt
                                                                       : instruction->jf;
          break;
        }
    }

  g_assert_not_reached ();
}

/* A filter in the form in which the server installs it. */
typedef struct
{
  GBytes                   *bytes;
  const struct sock_filter *program;
  gsize                     n_instructions;
  guint32                   gives;
} Filter;

static Filter
compile (AForkStage       stage,
         AForkSystemCalls system_calls,
         gboolean         network,
         gboolean         files,
         guint32          architecture)
{
  const AForkFilterKind kind = {
    .stage = stage,
    .system_calls = system_calls,
    .network = network,
    .files = files,
  };
  Filter filter;
  gsize size;

  filter.bytes = _afork_filter_compile (&kind, architecture, &filter.gives);
  if (filter.bytes == NULL)
    g_error ("The filter is not compiled: %s", g_strerror (errno));
  filter.program = g_bytes_get_data (filter.bytes, &size);
  filter.n_instructions = size / sizeof (struct sock_filter);
  g_assert_cmpuint (size % sizeof (struct sock_filter), ==, 0);
  g_assert_cmpuint (filter.n_instructions, <=, AFORK_MAX_INSTRUCTIONS);
  return filter;
}

static void
filter_clear (Filter *filter)
{
  g_bytes_unref (filter->bytes);
}

static guint32
ask (const Filter  *filter,
     guint32        architecture,
     guint32        number,
     const guint64  args[6])
{
  struct seccomp_data data = { .nr = (int) number, .arch = architecture };

  if (args != NULL)
    memcpy (data.args, args, sizeof data.args);
  return interpret (filter->program, filter->n_instructions, &data);
}

/* What a filter says about system calls whose arguments are all zero: names, separated by spaces.
 * A name that an architecture does not have is skipped. */
typedef struct
{
  guint32     action;
  const char *names;
} Row;

/* Sets the action of NUMBER to that of the row that has its name. The number of a name is not
 * looked up: i386 has two for some names, of which one is a number in an argument. */
static void
fill (guint32   *actions,
      guint32    number,
      const Row *rows,
      gsize      n_rows,
      guint32    architecture)
{
  char *name = seccomp_syscall_resolve_num_arch (architecture, (int) number);

  for (gsize i = 0; name != NULL && i < n_rows; i++)
    {
      g_auto(GStrv) names = g_strsplit (rows[i].names, " ", -1);

      if (g_strv_contains ((const char * const *) names, name))
        actions[number] = rows[i].action;
    }
  free (name);
}

static void
assert_actions (const Filter *filter,
                guint32       architecture,
                guint32       other,
                const Row    *rows,
                gsize         n_rows)
{
  g_autofree guint32 *actions = g_new (guint32, N_NUMBERS);

  for (guint32 i = 0; i < N_NUMBERS; i++)
    actions[i] = other;
  for (guint32 i = 0; i < N_NUMBERS; i++)
    fill (actions, i, rows, n_rows, architecture);

  for (guint32 i = 0; i < N_NUMBERS; i++)
    {
      guint32 action = ask (filter, architecture, i, NULL);

      if (action != actions[i])
        {
          char *name = seccomp_syscall_resolve_num_arch (architecture, (int) i);

          g_error ("System call %u (%s) of architecture 0x%x: 0x%x, not 0x%x", i,
                   name != NULL ? name : "unknown", architecture, action, actions[i]);
        }
    }
  /* A negative number, and those far from any. */
  g_assert_cmphex (ask (filter, architecture, G_MAXUINT32, NULL), !=,
                   other == ALLOW ? G_MAXUINT32 : ALLOW);
  g_assert_cmphex (ask (filter, architecture, G_MAXINT32, NULL), !=,
                   other == ALLOW ? G_MAXUINT32 : ALLOW);
}

/* No number of these architectures is allowed. */
static void
assert_kills (const Filter  *filter,
              const guint32 *architectures,
              gsize          n_architectures)
{
  for (gsize i = 0; i < n_architectures; i++)
    for (guint32 number = 0; number < N_NUMBERS; number++)
      g_assert_cmphex (ask (filter, architectures[i], number, NULL), ==, KILL);
}

static void
assert_kills_x32 (const Filter *filter)
{
  for (guint32 number = 0; number < N_NUMBERS; number++)
    g_assert_cmphex (ask (filter, AUDIT_ARCH_X86_64, X32_BIT | number, NULL), ==, KILL);
}

#define ADMIN_NAMES \
  "_sysctl acct add_key adjtimex bpf chroot clock_adjtime clock_adjtime64 clock_settime " \
  "clock_settime64 create_module delete_module fanotify_init finit_module fsconfig fsmount " \
  "fsopen fspick get_kernel_syms init_module io_uring_enter io_uring_register " \
  "io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl listmount " \
  "lookup_dcookie lsm_set_self_attr migrate_pages mount mount_setattr move_mount move_pages " \
  "name_to_handle_at nfsservctl open_by_handle_at open_tree open_tree_attr perf_event_open " \
  "pidfd_getfd pivot_root process_madvise process_mrelease process_vm_readv " \
  "process_vm_writev ptrace query_module quotactl quotactl_fd reboot request_key " \
  "setdomainname sethostname setns settimeofday statmount stime swapoff swapon sysfs syslog " \
  "umount umount2 uselib userfaultfd ustat vhangup"

/* With all arguments zero: mmap() of a file, prlimit64() that reads, F_DUPFD, kill (0) with the
 * guard of the server not yet there. */
static const Row compute_rows[] = {
  {
    ALLOW,
    "brk madvise mincore mprotect mremap mseal msync munmap mmap mmap2 exit exit_group futex "
    "futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list "
    "get_thread_area getcpu getpid getppid gettid membarrier rseq sched_get_priority_max "
    "sched_get_priority_min sched_getaffinity sched_getparam sched_getscheduler sched_yield "
    "set_robust_list set_thread_area set_tid_address set_tls kill tgkill alarm getitimer pause "
    "restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend "
    "rt_sigtimedwait rt_sigtimedwait_time64 setitimer sigaltstack sigreturn clock_getres "
    "clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 "
    "getegid getegid32 geteuid geteuid32 getgid getgid32 getrandom getresgid getresgid32 "
    "getresuid getresuid32 getrlimit getrusage gettimeofday getuid getuid32 nanosleep sysinfo "
    "time times ugetrlimit uname _llseek _newselect close dup dup2 dup3 epoll_create "
    "epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd eventfd2 fadvise64 fadvise64_64 "
    "fdatasync fstat fstat64 fstatfs fstatfs64 fsync getpeername getsockname getsockopt lseek "
    "poll ppoll ppoll_time64 pread64 preadv preadv2 pselect6 pselect6_time64 pwrite64 pwritev "
    "pwritev2 read readahead readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg select send "
    "sendfile sendfile64 sendmmsg sendmsg sendto shutdown timerfd_create timerfd_gettime "
    "timerfd_gettime64 timerfd_settime timerfd_settime64 write writev fcntl fcntl64 prlimit64",
  },
  { UNKNOWN, "clone3 close_range epoll_pwait2 statx" },
  { TRAP, "execve execveat setns" },
};

/* i386 multiplexes system calls for sockets, whose number is in the first argument. */
static const Row compute_rows_i386[] = {
  { DENY, "socketcall ipc" },
};

static void
test_compute (gconstpointer data)
{
  const guint32 architecture = GPOINTER_TO_UINT (data);
  Filter filter = compile (AFORK_STAGE_RUN, AFORK_SYSTEM_CALLS_COMPUTE, FALSE, FALSE, architecture);
  Row rows[G_N_ELEMENTS (compute_rows) + 1];

  memcpy (rows, compute_rows, sizeof compute_rows);
  rows[G_N_ELEMENTS (compute_rows)] = compute_rows_i386[0];
  assert_actions (&filter, architecture, DENY, rows, G_N_ELEMENTS (rows));
  assert_kills (&filter, foreign, G_N_ELEMENTS (foreign));
  if (architecture == AUDIT_ARCH_X86_64)
    assert_kills_x32 (&filter);
  for (gsize i = 0; i < 3; i++)
    {
      const guint32 others[] = { AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64 };

      if (others[i] != architecture)
        assert_kills (&filter, &others[i], 1);
    }
  g_assert_cmphex (filter.gives, ==,
                   AFORK_EFFECT_NETWORK | AFORK_EFFECT_READ_PATHS | AFORK_EFFECT_WRITE_PATHS
                   | AFORK_EFFECT_SYSTEM_CALLS | AFORK_EFFECT_NEW_PROCESSES
                   | AFORK_EFFECT_OTHER_PROCESSES);
  filter_clear (&filter);
}

/* A call with arguments. */
typedef struct
{
  const char *name;
  guint64     args[6];
  guint32     action;
} Case;

#define HIGH G_GUINT64_CONSTANT (0x100000000)
#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM \
                | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

static const Case compute_cases[] = {
  { "clone", { THREAD }, ALLOW },
  { "clone", { SIGCHLD }, DENY },
  { "clone", { CLONE_VM | CLONE_VFORK | SIGCHLD }, DENY },
  { "clone", { THREAD | CLONE_NEWUSER }, DENY },
  { "clone", { THREAD | CLONE_NEWNET }, DENY },
  { "clone", { CLONE_PARENT | SIGCHLD }, DENY },
  { "clone3", { THREAD, 88 }, UNKNOWN },
  { "mmap", { 0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS }, ALLOW },
  { "mmap", { 0, 4096, 3, MAP_SHARED, 5 }, ALLOW },
  { "mmap", { 0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS }, DENY },
  { "mmap", { 0, 4096, 3, MAP_SHARED_VALIDATE | MAP_ANONYMOUS }, DENY },
  { "mmap", { 0, 4096, 3, HIGH | MAP_SHARED | MAP_ANONYMOUS }, DENY },
  { "prctl", { PR_SET_NAME }, ALLOW },
  { "prctl", { PR_SET_SECCOMP, SECCOMP_MODE_FILTER }, ALLOW },
  { "prctl", { PR_SET_SECCOMP, SECCOMP_MODE_STRICT }, DENY },
  { "prctl", { PR_SET_PDEATHSIG }, DENY },
  { "seccomp", { SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC }, ALLOW },
  { "seccomp", { SECCOMP_SET_MODE_FILTER, 0 }, DENY },
  { "seccomp", { SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER }, DENY },
  { "seccomp", { SECCOMP_SET_MODE_STRICT, SECCOMP_FILTER_FLAG_TSYNC }, DENY },
  { "prctl", { PR_SET_DUMPABLE }, DENY },
  { "prctl", { PR_SET_MM }, DENY },
  { "prctl", { PR_SET_PTRACER }, DENY },
  { "prlimit64", { 0, RLIMIT_AS, 0, 1 }, ALLOW },
  { "prlimit64", { 0, RLIMIT_CPU, 1, 0 }, ALLOW },
  { "prlimit64", { 0, RLIMIT_AS, 1, 0 }, DENY },
  { "prlimit64", { 1, RLIMIT_AS, 0, 1 }, DENY },
  { "prlimit64", { 1, RLIMIT_CPU, 1, 0 }, DENY },
  { "newfstatat", { 3, 0, 0, AT_EMPTY_PATH }, ALLOW },
  { "newfstatat", { 3, 0, 0, 0 }, DENY },
  { "fcntl", { 3, F_GETFL }, ALLOW },
  { "fcntl", { 3, F_SETFL, O_NONBLOCK }, ALLOW },
  { "fcntl", { 3, F_DUPFD_CLOEXEC, 3 }, ALLOW },
  { "fcntl", { 3, F_SETOWN, 1 }, DENY },
  { "fcntl", { 3, F_SETSIG, SIGKILL }, DENY },
  { "fcntl", { 3, F_SETOWN_EX, 0 }, DENY },
  { "fcntl", { 3, F_SETPIPE_SZ, 1 << 20 }, DENY },
  { "fcntl", { 3, F_NOTIFY, 1 }, DENY },
  { "fcntl", { 3, F_SETLEASE, 1 }, DENY },
  { "fcntl", { 3, F_GETOWN }, DENY },
  { "fcntl", { 3, F_SETLK }, DENY },
  { "ioctl", { 0, TCGETS }, ALLOW },
  { "ioctl", { 3, FIONBIO }, ALLOW },
  { "ioctl", { 0, 0x5412 }, DENY },
  { "ioctl", { 0, HIGH | 0x5412 }, DENY },
  { "ioctl", { 0, 0x541c }, DENY },
  { "ioctl", { 3, FIOASYNC }, DENY },
  { "ioctl", { 3, FIOSETOWN }, DENY },
  { "ioctl", { 3, SIOCSPGRP }, DENY },
  { "socket", { AF_UNIX, SOCK_STREAM }, DENY },
  { "socket", { AF_INET, SOCK_STREAM }, DENY },
  { "socketpair", { AF_UNIX, SOCK_STREAM }, DENY },
  { "memfd_create", { 0 }, DENY },
  { "pipe2", { 0 }, DENY },
  { "shmget", { 0 }, DENY },
  { "ftruncate", { 3, 1 << 20 }, DENY },
  { "fallocate", { 3 }, DENY },
  { "setsockopt", { 3 }, DENY },
  { "pidfd_open", { 1 }, DENY },
  { "pidfd_send_signal", { 3 }, DENY },
  { "tkill", { 1, SIGKILL }, DENY },
  { "rt_sigqueueinfo", { 1, SIGKILL }, DENY },
  { "rt_tgsigqueueinfo", { 1, 1, SIGKILL }, DENY },
  { "setpriority", { 0 }, DENY },
  { "setsid", { 0 }, DENY },
  { "setpgid", { 0 }, DENY },
  { "unshare", { CLONE_NEWUSER }, DENY },
  { "fork", { 0 }, DENY },
  { "vfork", { 0 }, DENY },
  { "seccomp", { SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER }, DENY },
};

static const Case no_admin_cases[] = {
  { "clone", { SIGCHLD }, ALLOW },
  { "clone", { THREAD }, ALLOW },
  { "clone", { SIGCHLD | CLONE_NEWUSER }, DENY },
  { "clone", { SIGCHLD | CLONE_NEWNS }, DENY },
  { "clone", { SIGCHLD | CLONE_NEWPID | CLONE_NEWUSER }, DENY },
  { "clone3", { 0 }, UNKNOWN },
  { "unshare", { CLONE_FILES }, ALLOW },
  { "unshare", { CLONE_THREAD }, ALLOW },
  { "unshare", { CLONE_NEWUSER }, DENY },
  { "unshare", { CLONE_NEWCGROUP }, DENY },
  { "unshare", { 0x80 }, DENY },
  { "ioctl", { 0, TCGETS }, ALLOW },
  { "ioctl", { 0, 0x5412 }, DENY },
  { "ioctl", { 0, HIGH | 0x5412 }, DENY },
  { "ioctl", { 0, 0x541c }, DENY },
  { "socket", { AF_INET }, ALLOW },
  { "kill", { 1 }, ALLOW },
};

static const Case no_network_cases[] = {
  { "socket", { AF_UNIX }, ALLOW },
  { "socket", { AF_INET }, DENY_FILE },
  { "socket", { AF_INET6 }, DENY_FILE },
  { "socket", { AF_NETLINK }, DENY_FILE },
  { "socket", { AF_PACKET }, DENY_FILE },
  { "socket", { AF_VSOCK }, DENY_FILE },
  { "socket", { HIGH | AF_UNIX }, DENY_FILE },
  { "socketpair", { AF_UNIX }, ALLOW },
  { "socketpair", { AF_TIPC }, DENY_FILE },
  { "io_uring_setup", { 0 }, DENY },
  { "mount", { 0 }, ALLOW },
};

static const Case template_cases[] = {
  { "clone", { SIGCHLD }, ALLOW },
  { "fork", { 0 }, ALLOW },
  { "wait4", { 0 }, ALLOW },
  { "pidfd_open", { 1 }, ALLOW },
  { "pidfd_send_signal", { 3 }, ALLOW },
  { "openat", { 0 }, ALLOW },
  { "socketpair", { AF_UNIX }, ALLOW },
  { "unshare", { CLONE_THREAD }, ALLOW },
  { "seccomp", { 0 }, ALLOW },
  { "setrlimit", { 0 }, ALLOW },
  { "execve", { 0 }, DENY },
  { "execveat", { 0 }, DENY },
  { "socket", { AF_INET }, DENY_FILE },
  { "ptrace", { 0 }, TRAP },
  { "mount", { 0 }, TRAP },
  { "io_uring_setup", { 0 }, TRAP },
  { "setns", { 3, CLONE_NEWNS }, ALLOW },
  { "setns", { 3, CLONE_NEWUSER }, DENY },
  { "setns", { 3, 0 }, DENY },
};

static void
assert_cases (const Filter *filter,
              guint32       architecture,
              const Case   *cases,
              gsize         n_cases)
{
  for (gsize i = 0; i < n_cases; i++)
    {
      int number = seccomp_syscall_resolve_name_arch (architecture, cases[i].name);
      guint32 action;

      if (number < 0)
        continue;
      action = ask (filter, architecture, (guint32) number, cases[i].args);
      if (action != cases[i].action)
        g_error ("Case %" G_GSIZE_FORMAT " (%s) of architecture 0x%x: 0x%x, not 0x%x", i,
                 cases[i].name, architecture, action, cases[i].action);
    }
}

static void
test_compute_cases (gconstpointer data)
{
  const guint32 architecture = GPOINTER_TO_UINT (data);
  Filter filter = compile (AFORK_STAGE_RUN, AFORK_SYSTEM_CALLS_COMPUTE, FALSE, FALSE, architecture);

  assert_cases (&filter, architecture, compute_cases, G_N_ELEMENTS (compute_cases));
  filter_clear (&filter);
}

static void
test_compute_files (gconstpointer data)
{
  static const Case cases[] = {
    { "openat", { 0 }, ALLOW },
    { "newfstatat", { 0 }, ALLOW },
    { "statx", { 0 }, ALLOW },
    { "openat2", { 0 }, DENY },
    { "getdents64", { 0 }, ALLOW },
    { "execve", { 0 }, TRAP },
    { "mknodat", { 0 }, DENY },
    { "linkat", { 0 }, DENY },
    { "socket", { AF_UNIX }, DENY },
  };
  const guint32 architecture = GPOINTER_TO_UINT (data);
  Filter filter = compile (AFORK_STAGE_RUN, AFORK_SYSTEM_CALLS_COMPUTE, FALSE, TRUE, architecture);

  assert_cases (&filter, architecture, cases, G_N_ELEMENTS (cases));
  g_assert_cmphex (filter.gives & (AFORK_EFFECT_READ_PATHS | AFORK_EFFECT_WRITE_PATHS), ==, 0);
  filter_clear (&filter);
}

/* What ends a template ends its workers, too: of two filters, the kernel does what the stricter
 * one says. */
static void
test_template (gconstpointer data)
{
  static const Row rows[] = {
    { TRAP, ADMIN_NAMES },
    { UNKNOWN, "clone3" },
    { DENY, "execve execveat setns" },
    { DENY_FILE, "socket socketpair socketcall" },
  };
  const guint32 architecture = GPOINTER_TO_UINT (data);
  Filter filter = compile (AFORK_STAGE_TEMPLATE, AFORK_SYSTEM_CALLS_COMPUTE, FALSE, FALSE,
                           architecture);

  assert_cases (&filter, architecture, template_cases, G_N_ELEMENTS (template_cases));
  assert_actions (&filter, architecture, ALLOW, rows, G_N_ELEMENTS (rows));
  assert_kills (&filter, foreign, G_N_ELEMENTS (foreign));
  if (architecture == AUDIT_ARCH_X86_64)
    assert_kills_x32 (&filter);
  filter_clear (&filter);
}

static void
test_no_admin (gconstpointer data)
{
  static const Row rows[] = {
    { DENY, ADMIN_NAMES },
    { UNKNOWN, "clone3" },
  };
  const guint32 architecture = GPOINTER_TO_UINT (data);
  Filter filter = compile (AFORK_STAGE_TEMPLATE, AFORK_SYSTEM_CALLS_NO_ADMIN, TRUE, FALSE,
                           architecture);

  assert_actions (&filter, architecture, ALLOW, rows, G_N_ELEMENTS (rows));
  assert_cases (&filter, architecture, no_admin_cases, G_N_ELEMENTS (no_admin_cases));
  /* Programs of 32 bits may be executed, and are bound by the same. */
  if (architecture == AUDIT_ARCH_X86_64)
    assert_actions (&filter, AUDIT_ARCH_I386, ALLOW, rows, G_N_ELEMENTS (rows));
  assert_kills (&filter, foreign, G_N_ELEMENTS (foreign));
  if (architecture == AUDIT_ARCH_X86_64)
    assert_kills_x32 (&filter);
  g_assert_cmphex (filter.gives, ==, AFORK_EFFECT_SYSTEM_CALLS);
  filter_clear (&filter);
}

static void
test_no_network (gconstpointer data)
{
  const guint32 architecture = GPOINTER_TO_UINT (data);
  Filter filter = compile (AFORK_STAGE_TEMPLATE, AFORK_SYSTEM_CALLS_ANY, FALSE, FALSE,
                           architecture);

  assert_cases (&filter, architecture, no_network_cases, G_N_ELEMENTS (no_network_cases));
  if (architecture == AUDIT_ARCH_X86_64)
    assert_cases (&filter, AUDIT_ARCH_I386, no_network_cases, G_N_ELEMENTS (no_network_cases));
  g_assert_cmphex (filter.gives, ==, AFORK_EFFECT_NETWORK);
  filter_clear (&filter);
}

/* A program may be allowed no files at all. */
static void
test_file_size (void)
{
  const AForkFilterKind kind = {
    .stage = AFORK_STAGE_RUN, .system_calls = AFORK_SYSTEM_CALLS_COMPUTE
  };
  struct rlimit before, none;
  g_autoptr(GBytes) usual = NULL;
  g_autoptr(GBytes) limited = NULL;
  guint32 gives;

  usual = _afork_filter_compile (&kind, AUDIT_ARCH_X86_64, &gives);
  g_assert_nonnull (usual);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &before), ==, 0);
  none = before;
  none.rlim_cur = 0;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &none), ==, 0);
  limited = _afork_filter_compile (&kind, AUDIT_ARCH_X86_64, &gives);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &before), ==, 0);
  g_assert_nonnull (limited);
  g_assert_true (g_bytes_equal (limited, usual));
}

/* Compiling the filter of this architecture again gives the one that is kept. */
static void
test_kept (void)
{
  Filter one = compile (AFORK_STAGE_RUN, AFORK_SYSTEM_CALLS_COMPUTE, FALSE, FALSE, 0);
  Filter two = compile (AFORK_STAGE_RUN, AFORK_SYSTEM_CALLS_COMPUTE, FALSE, FALSE, 0);

  g_assert_true (one.bytes == two.bytes);
  filter_clear (&one);
  filter_clear (&two);
}

static void
test_guard (void)
{
  const int fds[] = { 7, 9 };
  struct sock_filter program[AFORK_GUARD_MAX_INSTRUCTIONS + 1];
  const struct { long number; guint64 args[2]; guint32 action; } cases[] = {
    { SYS_kill, { 4711 }, ALLOW },
    { SYS_kill, { 4712 }, DENY },
    { SYS_kill, { 0 }, DENY },
    { SYS_kill, { (guint64) -4711 }, DENY },
    { SYS_kill, { G_MAXUINT64 }, DENY },
    { SYS_tgkill, { 4711, 1 }, ALLOW },
    { SYS_tgkill, { 1, 1 }, DENY },
    { SYS_close, { 7 }, DENY },
    { SYS_close, { HIGH | 7 }, DENY },
    { SYS_close, { 9 }, DENY },
    { SYS_close, { 8 }, ALLOW },
    { SYS_fcntl, { 9, F_SETFL }, DENY },
    { SYS_fcntl, { 5, F_SETFL }, ALLOW },
    { SYS_ioctl, { 7, FIONBIO }, DENY },
    { SYS_dup, { 9 }, DENY },
    { SYS_dup, { 3 }, ALLOW },
    { SYS_dup3, { 3, 9 }, DENY },
    { SYS_dup3, { 9, 3 }, DENY },
    { SYS_dup3, { 3, 4 }, ALLOW },
#ifdef SYS_dup2
    { SYS_dup2, { 3, 7 }, DENY },
    { SYS_dup2, { 3, 4 }, ALLOW },
#endif
    { SYS_read, { 7 }, ALLOW },
  };

  for (gsize n_fds = 0; n_fds <= G_N_ELEMENTS (fds); n_fds++)
    {
      gsize n_instructions = afork_seccomp_guard (4711, fds, n_fds, program);

      g_assert_cmpuint (n_instructions, <, G_N_ELEMENTS (program));
      program[n_instructions++] =
        (struct sock_filter) { .code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW };
      for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
        {
          struct seccomp_data data = {
            .nr = (int) cases[i].number,
            .arch = _afork_filter_get_architecture (),
            .args = { cases[i].args[0], cases[i].args[1] },
          };
          gboolean is_of_fds = cases[i].number != SYS_kill && cases[i].number != SYS_tgkill;
          guint32 expected = is_of_fds && n_fds < 2 ? ALLOW : cases[i].action;
          guint32 action;

          /* With one descriptor only, what concerns 9 is allowed. */
          if (is_of_fds && n_fds == 1 && cases[i].args[0] != 9 && cases[i].args[1] != 9)
            expected = cases[i].action;
          action = interpret (program, n_instructions, &data);
          if (action != expected)
            g_error ("Case %u with %u descriptors: 0x%x", (guint) i, (guint) n_fds, action);
        }
    }
}

static void
add_tests (const char    *name,
           guint32        architecture)
{
  const struct { const char *name; GTestDataFunc func; } tests[] = {
    { "compute/all", test_compute },
    { "compute/arguments", test_compute_cases },
    { "compute/files", test_compute_files },
    { "no-admin", test_no_admin },
    { "no-network", test_no_network },
    { "template", test_template },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *path = g_strdup_printf ("/filter/%s/%s", tests[i].name, name);

      g_test_add_data_func (path, GUINT_TO_POINTER (architecture), tests[i].func);
    }
}

#endif

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#ifdef HAVE_SECCOMP
  add_tests ("x86-64", AUDIT_ARCH_X86_64);
  add_tests ("i386", AUDIT_ARCH_I386);
  add_tests ("aarch64", AUDIT_ARCH_AARCH64);
  g_test_add_func ("/filter/file-size", test_file_size);
  g_test_add_func ("/filter/kept", test_kept);
  g_test_add_func ("/filter/guard", test_guard);
#endif

  return g_test_run ();
}
