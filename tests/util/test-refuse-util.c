/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "test-refuse-util.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test-util.h"

enum { SKIPPED = 77 };

/* Returns the offset of the lower 32 bits of argument N. */
static guint32
get_argument_place (guint n)
{
  const guint32 place = offsetof (struct seccomp_data, args) + n * (guint32) sizeof (guint64);

  return G_BYTE_ORDER == G_LITTLE_ENDIAN ? place : place + (guint32) sizeof (guint32);
}

static void
install (struct sock_filter *filter,
         gsize               n_instructions)
{
  struct sock_fprog program = { .len = (unsigned short) n_instructions, .filter = filter };

  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
      && syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0)
    return;

  skip_apart ("No system calls can be refused here");
}

void
refuse_system_call (long number,
                    int  error)
{
  struct sock_filter filter[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, (guint32) number, 0, 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (guint32) error),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };

  install (filter, G_N_ELEMENTS (filter));
}

static void
answer_with (long    number,
             guint   n,
             guint32 value,
             guint32 answer)
{
  struct sock_filter filter[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, (guint32) number, 0, 3),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, get_argument_place (n)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
    BPF_STMT (BPF_RET | BPF_K, answer),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };

  install (filter, G_N_ELEMENTS (filter));
}

void
refuse_system_call_with (long    number,
                         guint   n,
                         guint32 value,
                         int     error)
{
  answer_with (number, n, value, SECCOMP_RET_ERRNO | (guint32) error);
}

void
forbid_system_call_with (long    number,
                         guint   n,
                         guint32 value)
{
  answer_with (number, n, value, SECCOMP_RET_KILL_PROCESS);
}

void
refuse (const Refusal *refusal)
{
  const RefusedCall *call = refusal->call;

  if (call->argument == ANY_ARGUMENT)
    refuse_system_call (call->number, refusal->error);
  else
    refuse_system_call_with (call->number, (guint) call->argument, call->value, refusal->error);
  if (call->other != 0)
    refuse_system_call (call->other, refusal->error);
}

void
add_refusals (const char        *prefix,
              const RefusedCall *calls,
              guint              n_calls,
              GTestDataFunc      test)
{
  static const struct { const char *name; int number; } errors[] = {
    { "enosys", ENOSYS },
    { "eperm", EPERM },
    { "eacces", EACCES },
    { "einval", EINVAL },
    { "euclean", EUCLEAN },
  };
  const guint n_errors = is_instrumented () ? 1 : G_N_ELEMENTS (errors);
  /* GLib does not free the data of tests that are not run. */
  static Refusal refusals[200];
  static guint n_refusals;

  for (guint i = 0; i < n_calls; i++)
    for (guint j = 0; j < n_errors; j++)
      {
        g_autofree char *path = g_strdup_printf ("%s/%s/%s", prefix, calls[i].name, errors[j].name);
        Refusal *refusal = &refusals[n_refusals++];

        g_assert_cmpuint (n_refusals, <=, G_N_ELEMENTS (refusals));
        *refusal = (Refusal) { &calls[i], errors[j].number };
        g_test_add_data_func (path, refusal, test);
      }
}

void
skip_apart (const char *why)
{
  g_printerr ("# SKIP %s\n", why);
  _exit (SKIPPED);
}

static gboolean
has_skipped (int wait_status)
{
  g_autoptr(GError) error = NULL;

  return !g_spawn_check_wait_status (wait_status, &error)
    && g_error_matches (error, G_SPAWN_EXIT_ERROR, SKIPPED);
}

/* Returns the wait status of the subprocess, which g_test_trap_subprocess() does not report. */
static int
run_subprocess (void)
{
  const char * const argv[] = {
    "/proc/self/exe", "-p", g_test_get_path (), "--GTestSubprocess", "-q", NULL
  };
  g_autoptr(GError) error = NULL;
  int wait_status;

  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL,
                NULL, NULL, &wait_status, &error);
  g_assert_no_error (error);
  return wait_status;
}

void
run_apart (GTestDataFunc test,
           gconstpointer data)
{
  Census census;
  int wait_status;

  if (skip_under_valgrind ("What is refused would be refused to valgrind"))
    return;

  if (g_test_subprocess ())
    {
      census_begin (&census);
      test (data);
      census_end (&census);
      /* Sanitizers look for leaks at exit, and newer ones cannot without prctl(). */
      if (prctl (PR_GET_DUMPABLE) < 0)
        _exit (EXIT_SUCCESS);
      return;
    }

  wait_status = run_subprocess ();
  if (has_skipped (wait_status))
    g_test_skip ("No system calls can be refused here, or it needs other rights");
  else
    g_assert_cmpint (wait_status, ==, 0);
}
