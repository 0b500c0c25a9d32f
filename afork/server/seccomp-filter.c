/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "seccomp-filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server-state.h"

#if defined (__x86_64__)
# define NATIVE_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined (__i386__)
# define NATIVE_ARCHITECTURE AUDIT_ARCH_I386
#elif defined (__aarch64__)
# define NATIVE_ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined (__arm__)
# define NATIVE_ARCHITECTURE AUDIT_ARCH_ARM
#elif defined (__riscv) && __riscv_xlen == 64
# define NATIVE_ARCHITECTURE AUDIT_ARCH_RISCV64
#elif defined (__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
# define NATIVE_ARCHITECTURE AUDIT_ARCH_PPC64LE
#elif defined (__loongarch64)
# define NATIVE_ARCHITECTURE AUDIT_ARCH_LOONGARCH64
#else
# define NATIVE_ARCHITECTURE 0
#endif

/* A filter of AFORK_STAGE_RUN, in memory that forks share. */
struct AForkFilterProgram
{
  AForkFilterProgram *next;     /* the first that came is the last */
  unsigned short      n_instructions;
  uint32_t            gives;
  struct sock_filter  guard[AFORK_GUARD_MAX_INSTRUCTIONS]; /* the short program, at the end of it */
  struct sock_filter  instructions[];                      /* follow it without a gap */
};

typedef AForkFilterProgram Program;

_Static_assert (offsetof (Program, instructions) == offsetof (Program, guard)
                + AFORK_GUARD_MAX_INSTRUCTIONS * sizeof (struct sock_filter),
                "the two programs are one");

/* A page that a process shares with its forks: the system call that has ended each, plus one, by
 * the low bits of its number. A worker could write anything there, so it is only used for a
 * message. NULL if there is none. */
enum { N_NOTES = 1024 };

static volatile uint32_t *notes;
static uint32_t           own_number;

/* Notes the system call, and ends the process as SIGSYS does without a handler. Is a handler. */
static void
refused_cb (int        signal_number,
            siginfo_t *info,
            void      *context)
{
  (void) context;
  notes[own_number % N_NOTES] = (uint32_t) info->si_syscall + 1;
  signal (signal_number, SIG_DFL);
  raise (signal_number);
}

/* Is called before the filters of AFORK_STAGE_RUN are installed. */
static void
handle_refusals (void)
{
  struct sigaction action = { .sa_sigaction = refused_cb, .sa_flags = SA_SIGINFO };

  if (notes == NULL)
    return;

  sigemptyset (&action.sa_mask);
  sigaction (SIGSYS, &action, NULL);
}

void
afork_seccomp_forked (uint32_t number)
{
  own_number = number;
  if (notes != NULL)
    notes[number % N_NOTES] = 0;
}

bool
afork_seccomp_get_refused (uint32_t  number,
                           uint32_t *system_call)
{
  uint32_t note = notes != NULL ? notes[number % N_NOTES] : 0;

  *system_call = note - 1;
  return note != 0;
}

/* Makes the page, which a process that is forked again shares with its own forks, too. */
static void
make_notes (void)
{
  void *page;

  if (notes != NULL)
    return;

  page = mmap (NULL, N_NOTES * sizeof notes[0], PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
               -1, 0);
  notes = page != MAP_FAILED ? page : NULL;
}

/* Returns a copy of FILTER that is aligned and in the order of bytes of this machine, or NULL and
 * sets errno. Not async-signal-safe. */
static Program *
copy_filter (const AForkFilter *filter)
{
  Program *program;

  if (NATIVE_ARCHITECTURE == 0 || filter->architecture != NATIVE_ARCHITECTURE)
    {
      errno = ENOEXEC;
      return NULL;
    }

  program = malloc (sizeof *program + filter->n_instructions * sizeof program->instructions[0]);
  if (program == NULL)
    return NULL;

  program->n_instructions = (unsigned short) filter->n_instructions;
  program->gives = filter->gives;
  for (uint32_t i = 0; i < filter->n_instructions; i++)
    {
      const uint8_t *bytes = filter->instructions + (size_t) i * AFORK_INSTRUCTION_SIZE;

      program->instructions[i] = (struct sock_filter) {
        .code = (uint16_t) (bytes[0] | bytes[1] << 8),
        .jt = bytes[2],
        .jf = bytes[3],
        .k = bytes[4] | (uint32_t) bytes[5] << 8 | (uint32_t) bytes[6] << 16
          | (uint32_t) bytes[7] << 24,
      };
    }
  return program;
}

/* Installs a filter for all threads of the process. The kernel does so only if those that it may
 * have besides this one have the same filters as this one, or fewer. */
static bool
install_for_all (const struct sock_fprog *filter)
{
  long result = syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, filter);

  /* Otherwise it is the number of a thread. */
  if (result > 0)
    errno = ECANCELED;
  return result == 0;
}

/* Async-signal-safe, unless the process has other threads. */
static bool
install (struct sock_filter *instructions,
         unsigned short      n_instructions)
{
  const struct sock_fprog filter = { .len = n_instructions, .filter = instructions };

  if (!afork_children_has_one_thread ())
    return install_for_all (&filter);

  return prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

void
afork_seccomp_prepare (const AForkConfinement *confinement,
                       AForkLayerReport       *report)
{
  uint32_t gives = 0;

  for (uint32_t i = 0; i < confinement->n_filters; i++)
    {
      const AForkFilter *filter = &confinement->filters[i];
      Program *program = copy_filter (filter);

      if (program == NULL
          || (filter->stage == AFORK_STAGE_TEMPLATE
              && !install (program->instructions, program->n_instructions)))
        {
          report->state = AFORK_LAYER_STATE_FAILED;
          report->error = (uint32_t) errno;
          free (program);
          return;
        }

      gives |= filter->gives;
      if (filter->stage == AFORK_STAGE_TEMPLATE)
        {
          free (program);
          continue;
        }

      program->next = afork_server.filters;
      afork_server.filters = program;
      make_notes ();
    }

  if (confinement->n_filters > 0)
    {
      report->state = AFORK_LAYER_STATE_IN_FORCE;
      report->gives = gives;
    }
}

/* The short program. */

typedef struct
{
  struct sock_filter *out;
  size_t              n;
} Assembler;

/* The offset of a jump to the end, until the end is known. */
#define TO_END UINT32_MAX

static void
add (Assembler *assembler,
     uint16_t   code,
     uint32_t   k,
     uint8_t    jump_true,
     uint8_t    jump_false)
{
  assembler->out[assembler->n++] =
    (struct sock_filter) { .code = code, .jt = jump_true, .jf = jump_false, .k = k };
}

static void
load (Assembler *assembler,
      size_t     offset)
{
  add (assembler, BPF_LD | BPF_W | BPF_ABS, (uint32_t) offset, 0, 0);
}

/* Does CODE with K if the value is OPERAND; or, with NOT, if it is another. */
static void
do_if (Assembler *assembler,
       bool       not,
       uint32_t   operand,
       uint16_t   code,
       uint32_t   k)
{
  add (assembler, BPF_JMP | BPF_JEQ | BPF_K, operand, not ? 1 : 0, not ? 0 : 1);
  add (assembler, code, k, 0, 0);
}

static void
refuse_if (Assembler *assembler,
           bool       not,
           uint32_t   operand)
{
  do_if (assembler, not, operand, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
}

static void
go_on (Assembler *assembler)
{
  add (assembler, BPF_JMP | BPF_JA, TO_END, 0, 0);
}

/* The low half of an argument: the kernel reads pids and descriptors as 32 bits. */
static size_t
argument_offset (size_t index)
{
  size_t offset = offsetof (struct seccomp_data, args) + index * sizeof (uint64_t);

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  offset += sizeof (uint32_t);
#endif
  return offset;
}

size_t
afork_seccomp_guard (pid_t               pid,
                     const int          *fds,
                     size_t              n_fds,
                     struct sock_filter  out[AFORK_GUARD_MAX_INSTRUCTIONS])
{
  /* Those whose first argument is a descriptor that must not be one of FDS. The arguments of
   * dup2() and dup3() may also be a number that would be closed. */
  static const uint32_t fd_calls[] = {
    __NR_fcntl,
#ifdef __NR_fcntl64
    __NR_fcntl64,
#endif
    __NR_ioctl,
    __NR_close,
    __NR_dup,
#ifdef __NR_dup2
    __NR_dup2,
#endif
    __NR_dup3,
  };
  enum { N_CALLS = sizeof fd_calls / sizeof fd_calls[0] };
  Assembler assembler = { .out = out };

  load (&assembler, offsetof (struct seccomp_data, arch));
  do_if (&assembler, true, NATIVE_ARCHITECTURE, BPF_JMP | BPF_JA, TO_END);
  load (&assembler, offsetof (struct seccomp_data, nr));

  /* Jump over four instructions, unless the call is one of the two. */
  add (&assembler, BPF_JMP | BPF_JEQ | BPF_K, __NR_kill, 1, 0);
  add (&assembler, BPF_JMP | BPF_JEQ | BPF_K, __NR_tgkill, 0, 4);
  load (&assembler, argument_offset (0));
  refuse_if (&assembler, true, (uint32_t) pid);
  go_on (&assembler);

  if (n_fds > 0)
    {
      for (size_t i = 0; i < N_CALLS; i++)
        add (&assembler, BPF_JMP | BPF_JEQ | BPF_K, fd_calls[i], (uint8_t) (N_CALLS - i), 0);
      go_on (&assembler);
      load (&assembler, argument_offset (0));
      for (size_t i = 0; i < n_fds; i++)
        refuse_if (&assembler, false, (uint32_t) fds[i]);
      load (&assembler, offsetof (struct seccomp_data, nr));
#ifdef __NR_dup2
      add (&assembler, BPF_JMP | BPF_JEQ | BPF_K, __NR_dup2, 2, 0);
#endif
      add (&assembler, BPF_JMP | BPF_JEQ | BPF_K, __NR_dup3, 1, 0);
      go_on (&assembler);
      load (&assembler, argument_offset (1));
      for (size_t i = 0; i < n_fds; i++)
        refuse_if (&assembler, false, (uint32_t) fds[i]);
    }

  for (size_t i = 0; i < assembler.n; i++)
    if (out[i].code == (BPF_JMP | BPF_JA) && out[i].k == TO_END)
      out[i].k = (uint32_t) (assembler.n - i - 1);
  return assembler.n;
}

/* Installs PROGRAM behind the short program. Async-signal-safe. */
static bool
install_guarded (Program *program)
{
  struct sock_filter guard[AFORK_GUARD_MAX_INSTRUCTIONS];
  int fds[AFORK_GUARD_MAX_FDS];
  size_t n_fds = 0, n;

  if (afork_server.death_pipe >= 0)
    fds[n_fds++] = afork_server.death_pipe;
  if (afork_server.own_death_pipe >= 0)
    fds[n_fds++] = afork_server.own_death_pipe;
  n = afork_seccomp_guard (getpid (), fds, n_fds, guard);
  memcpy (program->instructions - n, guard, n * sizeof guard[0]);
  return install (program->instructions - n, (unsigned short) (program->n_instructions + n));
}

void
afork_seccomp_enter (AForkLayerReport *report)
{
  bool done = true;

  for (Program *program = afork_server.filters; done && program != NULL; program = program->next)
    if ((program->gives & AFORK_EFFECT_OTHER_PROCESSES) != 0)
      {
        handle_refusals ();
        done = install_guarded (program);
      }
    else
      {
        done = install (program->instructions, program->n_instructions);
      }
  if (done)
    return;

  report->state = AFORK_LAYER_STATE_FAILED;
  report->error = (uint32_t) errno;
  report->gives = 0;
}
