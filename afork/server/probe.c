/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "landlock.h"
#include "namespaces.h"

#ifndef SECCOMP_RET_USER_NOTIF
# define SECCOMP_RET_USER_NOTIF 0x7fc00000U
#endif

enum { ALL_LANDLOCK = (AFORK_LANDLOCK_TRACING << 1) - 1 };

/* What a process that tries a layer finds out. */
typedef struct
{
  bool                  done;
  int                   error;          /* an errno value, or 0 */
  char                  call[64];       /* what has failed, or "" */
  char                  details[128];
  AForkNamespacesResult namespaces;     /* `call` is not valid in another process */
} Finding;

static void
note_error (Finding    *finding,
            const char *call,
            int         error)
{
  finding->done = false;
  finding->error = error;
  snprintf (finding->call, sizeof finding->call, "%s", call != NULL ? call : "");
}

/* Runs TRY in a process of its own. */
static void
run_apart (void    (*try) (Finding *finding),
           Finding  *finding)
{
  int fds[2];
  pid_t pid;

  *finding = (Finding) { .error = EIO, .call = "fork" };
  fflush (stdout);
  if (pipe2 (fds, O_CLOEXEC) < 0)
    {
      note_error (finding, "pipe2", errno);
      return;
    }

  pid = fork ();
  if (pid == 0)
    {
      Finding own = { .done = true };

      try (&own);
      _exit (write (fds[1], &own, sizeof own) != sizeof own);
    }

  close (fds[1]);
  if (pid < 0)
    {
      note_error (finding, "fork", errno);
    }
  else
    {
      Finding found;

      if (read (fds[0], &found, sizeof found) == sizeof found)
        *finding = found;
      while (waitpid (pid, NULL, 0) < 0 && errno == EINTR)
        ;
    }
  close (fds[0]);
}

/* The layers. */

static void
try_limits (Finding *finding)
{
  const struct rlimit limit = { 0, 0 };

  if (setrlimit (RLIMIT_CORE, &limit) < 0)
    note_error (finding, "setrlimit", errno);
  else if (geteuid () == 0)
    snprintf (finding->details, sizeof finding->details, "not-processes");
}

static void
try_priority (Finding *finding)
{
  const struct sched_param parameters = { 0 };

  if (setpriority (PRIO_PROCESS, 0, 19) < 0)
    note_error (finding, "setpriority", errno);
  else if (sched_setscheduler (0, SCHED_IDLE, &parameters) < 0)
    note_error (finding, "sched_setscheduler", errno);
}

static void
try_no_new_privs (Finding *finding)
{
  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    note_error (finding, "prctl", errno);
}

/* Without a program, the kernel fails with EFAULT if it has filters. */
static void
try_seccomp (Finding *finding)
{
  try_no_new_privs (finding);
  if (finding->done && syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) < 0
      && errno != EFAULT)
    note_error (finding, "seccomp", errno);
}

static void
try_supervisor (Finding *finding)
{
  const uint32_t action = SECCOMP_RET_USER_NOTIF;

  try_seccomp (finding);
  if (finding->done && syscall (SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
    note_error (finding, "seccomp", errno);
}

static void
print_landlock (const AForkLandlockResult *result,
                Finding                   *finding)
{
  static const struct { uint32_t effect; const char *name; } names[] = {
    { AFORK_LANDLOCK_READ, "read" },
    { AFORK_LANDLOCK_WRITE, "write" },
    { AFORK_LANDLOCK_DEVICES, "devices" },
    { AFORK_LANDLOCK_TCP, "tcp" },
    { AFORK_LANDLOCK_SOCKETS, "abstract-sockets" },
    { AFORK_LANDLOCK_SIGNALS, "signals" },
    { AFORK_LANDLOCK_TRACING, "tracing" },
  };
  char *out = finding->details;
  size_t size = sizeof finding->details;
  size_t length = (size_t) snprintf (out, size, "abi=%d", result->abi);

  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if ((result->effects & names[i].effect) != 0 && length < size)
      length += (size_t) snprintf (out + length, size - length, " %s", names[i].name);
}

static void
try_landlock (Finding *finding)
{
  const AForkLandlockRules rules = { .wanted = ALL_LANDLOCK };
  AForkLandlockResult result;
  int fd;

  try_no_new_privs (finding);
  if (!finding->done)
    return;

  fd = afork_landlock_make (&rules, &result);
  if (fd < 0)
    {
      note_error (finding, result.call, result.error);
      return;
    }
  if (!afork_landlock_enforce (fd))
    {
      note_error (finding, "landlock_restrict_self", errno);
      return;
    }

  fd = open ("/", O_RDONLY | O_CLOEXEC);
  if (fd >= 0)
    note_error (finding, "the kernel does not enforce it", 0);
  else
    print_landlock (&result, finding);
}

static void
try_namespaces (Finding *finding)
{
  const AForkNamespacesRules rules = {
    .wanted = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET
      | CLONE_NEWUTS,
    .limits_read = true,
    .limits_write = true,
  };
  AForkNamespacesResult *result = &finding->namespaces;
  Finding inner;
  int fds[2];
  pid_t pid;

  if (!afork_namespaces_enter (&rules, result))
    {
      note_error (finding, result->call, result->error);
      return;
    }
  if (pipe2 (fds, O_CLOEXEC) < 0)
    {
      note_error (finding, "pipe2", errno);
      return;
    }

  pid = fork ();
  if (pid == 0)
    {
      afork_namespaces_set_up (&rules, result);
      if (!afork_namespaces_finish (result) && result->error == 0)
        note_error (finding, "setns", errno);
      if (result->error != 0)
        note_error (finding, result->call, result->error);
      _exit (write (fds[1], finding, sizeof *finding) != sizeof *finding);
    }
  close (fds[1]);
  if (pid < 0)
    note_error (finding, "fork", errno);
  else if (read (fds[0], &inner, sizeof inner) == sizeof inner)
    *finding = inner;
  else
    note_error (finding, "the first process in the namespace has exited", 0);
}

/* The report. */

static void
print (const char    *name,
       bool           done,
       const Finding *finding)
{
  const char *text = finding->details;

  printf ("%s %s", name, done ? "yes" : "no");
  if (done && text[0] != '\0')
    printf (" %s", text);
  if (!done && finding->error == 0)
    printf (" %s", finding->call[0] != '\0' ? finding->call : "unknown");
  else if (!done)
    printf (" %s%s%s", finding->call, finding->call[0] != '\0' ? ": " : "",
            strerror (finding->error));
  putchar ('\n');
}

static void
print_layer (const char *name,
             void      (*try) (Finding *finding))
{
  Finding finding;

  run_apart (try, &finding);
  print (name, finding.done, &finding);
}

/* The reason of a part that is missing is the first step that has failed. */
static void
print_namespaces (void)
{
  static const struct { const char *name; int flag; } flags[] = {
    { "user-namespace", CLONE_NEWUSER },
    { "mount-namespace", CLONE_NEWNS },
    { "pid-namespace", CLONE_NEWPID },
    { "ipc-namespace", CLONE_NEWIPC },
    { "network-namespace", CLONE_NEWNET },
    { "uts-namespace", CLONE_NEWUTS },
  };
  const AForkNamespacesResult *result;
  Finding finding;

  run_apart (try_namespaces, &finding);
  result = &finding.namespaces;
  for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
    {
      print (flags[i].name, (result->in_force & flags[i].flag) != 0, &finding);
      if (flags[i].flag == CLONE_NEWNS)
        print ("root-directory", result->limits_read && result->limits_write, &finding);
    }
  print ("last-user-namespace", result->is_last, &finding);
  print ("no-capabilities", result->drops_caps, &finding);
}

bool
afork_probe (void)
{
  print_layer ("rlimits", try_limits);
  print_layer ("priority", try_priority);
  print_layer ("no-new-privs", try_no_new_privs);
  print_layer ("seccomp", try_seccomp);
  print_layer ("seccomp-supervisor", try_supervisor);
  print_layer ("landlock", try_landlock);
  print_namespaces ();
  return fflush (stdout) == 0 && !ferror (stdout);
}
