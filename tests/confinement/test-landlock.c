/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Landlock, seen from inside: a process with some paths tries to open, change and remove others, to
 * connect, to signal and to trace. With each older ABI, exactly what is reported is in force. */

#include "config.h"

#include "test-confined.h"
#include "test-fds.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "afork/server/landlock.h"

#ifndef SYS_landlock_create_ruleset
# define SYS_landlock_create_ruleset 444
# define SYS_landlock_add_rule 445
# define SYS_landlock_restrict_self 446
#endif

enum { ALL = (AFORK_LANDLOCK_TRACING << 1) - 1, NEWEST_ABI = 7 };

static uid_t test_uid;          /* of the test program */

/* Confines this process. Returns what is in force. */
static guint32
confine (const ConfinedFiles *files,
         guint32      wanted,
         int         *abi)
{
  AForkLandlockRules rules = {
    .wanted = wanted,
    .read_paths = pack_paths ((const char * const []) { files->readable, "/proc", NULL }),
    .write_paths = pack_paths ((const char * const []) {
      files->writable, "/nothing/is/here", NULL
    }),
  };
  AForkLandlockResult result;
  int fd;

  if (afork_landlock_get_abi () < 0)
    skip_confined ("There is no Landlock");

  g_assert_no_errno (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  fd = afork_landlock_make (&rules, &result);
  g_assert_cmpint (result.error, ==, 0);
  g_assert_no_errno (fd);
  g_assert_cmpint (fcntl (fd, F_GETFD), ==, FD_CLOEXEC);
  if ((wanted & (AFORK_LANDLOCK_READ | AFORK_LANDLOCK_WRITE)) != 0)
    g_assert_cmpuint (result.n_ignored, ==, 1);
  g_assert_true (afork_landlock_enforce (fd));
  if (abi != NULL)
    *abi = result.abi;
  return result.effects;
}

/* What is in force is tried, and so is what is not. */

static void
try_reading (const ConfinedFiles *files,
             gboolean     in_force)
{
  expect_open (files->readable, "file", O_RDONLY);
  expect_open (files->readable, ".", O_RDONLY | O_DIRECTORY);
  if (in_force)
    {
      assert_refused (open_in (files->other, "file", O_RDONLY), EACCES);
      assert_refused (open_in (files->other, ".", O_RDONLY | O_DIRECTORY), EACCES);
      assert_refused (open ("/etc/passwd", O_RDONLY | O_CLOEXEC), EACCES);
      assert_refused (open ("/dev/zero", O_RDONLY | O_CLOEXEC), EACCES);
      expect_open (files->writable, "file", O_RDONLY);
    }
  else
    {
      expect_open (files->other, "file", O_RDONLY);
    }
}

static void
try_writing (const ConfinedFiles *files,
             gboolean     in_force,
             int          abi)
{
  g_autofree char *inside = g_build_filename (files->writable, "file", NULL);
  g_autofree char *deep = g_build_filename (files->writable, "directory", NULL);
  g_autofree char *deeper = g_build_filename (deep, "moved", NULL);
  g_autofree char *outside = g_build_filename (files->other, "file", NULL);
  g_autofree char *read_only = g_build_filename (files->readable, "file", NULL);

  expect_open (files->writable, "new", O_WRONLY | O_CREAT | O_EXCL);
  g_assert_no_errno (mkdir (deep, 0700));
  g_assert_no_errno (truncate (inside, 1));
  if (in_force || abi != 1)
    {
      g_assert_no_errno (rename (inside, deeper));
      g_assert_no_errno (rename (deeper, inside));
    }
  else
    {
      /* ABI 1 forbids it everywhere. */
      assert_refused (rename (inside, deeper), EXDEV);
    }
  g_assert_no_errno (rmdir (deep));

  /* These are refused with ABI 1, too. */
  assert_refused (open_in (files->readable, "file", O_WRONLY), EACCES);
  assert_refused (open_in (files->other, "file", O_WRONLY), EACCES);
  assert_refused (open_in (files->other, "new", O_WRONLY | O_CREAT), EACCES);
  assert_refused (unlink (outside), EACCES);
  assert_refused (symlink ("file", read_only), EEXIST);
  g_assert_cmpint (rename (outside, inside), ==, -1);
  g_assert_cmpint (rename (inside, outside), ==, -1);
  g_assert_cmpint (link (inside, outside), ==, -1);
  if (in_force)
    {
      assert_refused (truncate (outside, 0), EACCES);
      assert_refused (truncate (read_only, 0), EACCES);
    }
  else
    {
      g_assert_no_errno (truncate (outside, 1));
    }
}

static void
try_tcp (gboolean in_force)
{
  struct sockaddr_in address = {
    .sin_family = AF_INET,
    .sin_port = htons (1),
    .sin_addr = { htonl (INADDR_LOOPBACK) },
  };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0)
    return;

  if (in_force)
    {
      assert_refused (connect (fd, (const struct sockaddr *) &address, sizeof address), EACCES);
      address.sin_port = 0;
      assert_refused (bind (fd, (const struct sockaddr *) &address, sizeof address), EACCES);
    }
  else
    {
      g_assert_cmpint (connect (fd, (const struct sockaddr *) &address, sizeof address), ==, -1);
      g_assert_cmpint (errno, !=, EACCES);
    }
  close (fd);
}

/* Signal 0 only checks the permission. */
static void
try_signals (gboolean in_force)
{
  if (in_force)
    assert_refused (kill (getppid (), 0), EPERM);
  else if (geteuid () == test_uid)
    g_assert_no_errno (kill (getppid (), 0));
  g_assert_no_errno (kill (getpid (), 0));
}

static void
try_tracing (gboolean in_force)
{
  char byte;
  struct iovec local = { &byte, 1 }, remote = { &byte, 1 };

  if (in_force)
    {
      assert_refused (ptrace (PTRACE_SEIZE, getppid (), NULL, NULL), EPERM);
      assert_refused (syscall (SYS_process_vm_readv, getppid (), &local, 1, &remote, 1, 0), EPERM);
    }
  else
    {
      g_assert_cmpint (syscall (SYS_process_vm_readv, getppid (), &local, 1, &remote, 1, 0), ==, 1);
    }
}

static int
connect_abstract (const char *name)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int result;

  g_assert_no_errno (fd);
  strcpy (address.sun_path + 1, name);
  result = connect (fd, (const struct sockaddr *) &address,
                    (socklen_t) (offsetof (struct sockaddr_un, sun_path) + 1 + strlen (name)));
  if (result < 0)
    {
      int saved_errno = errno;

      close (fd);
      errno = saved_errno;
      return -1;
    }

  close (fd);
  return 0;
}

/* Returns a socket that listens at the abstract address NAME. */
static int
listen_abstract (const char *name)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_no_errno (fd);
  strcpy (address.sun_path + 1, name);
  g_assert_no_errno (bind (fd, (const struct sockaddr *) &address,
                           (socklen_t) (offsetof (struct sockaddr_un, sun_path) + 1
                                        + strlen (name))));
  g_assert_no_errno (listen (fd, 8));
  return fd;
}

static void
try_all (const ConfinedFiles *files,
         guint32      in_force,
         int          abi,
         const char  *abstract)
{
  try_reading (files, (in_force & AFORK_LANDLOCK_READ) != 0);
  try_writing (files, (in_force & AFORK_LANDLOCK_WRITE) != 0, abi);
  try_tcp ((in_force & AFORK_LANDLOCK_TCP) != 0);
  try_signals ((in_force & AFORK_LANDLOCK_SIGNALS) != 0);
  try_tracing ((in_force & AFORK_LANDLOCK_TRACING) != 0);
  if ((in_force & AFORK_LANDLOCK_SOCKETS) != 0)
    assert_refused (connect_abstract (abstract), EPERM);
  else
    g_assert_no_errno (connect_abstract (abstract));
}

/* An older ABI. A thread answers the question for the ABI, and the kernel does the rest. */

typedef struct
{
  const ConfinedFiles *files;
  const char  *abstract;
  int          abi;             /* 0: that of the kernel */
  gboolean     ordinary;
} AbiData;

typedef struct
{
  int             abi;
  int             listener;     /* -1 until there is one */
  pthread_mutex_t mutex;
  pthread_cond_t  condition;
} Supervisor;

static void *
supervise (void *data)
{
  Supervisor *self = data;

  pthread_mutex_lock (&self->mutex);
  while (self->listener < 0)
    pthread_cond_wait (&self->condition, &self->mutex);
  pthread_mutex_unlock (&self->mutex);

  while (TRUE)
    {
      struct seccomp_notif request = { 0 };
      struct seccomp_notif_resp response = { 0 };

      if (ioctl (self->listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
        continue;
      response.id = request.id;
      response.val = self->abi;
      ioctl (self->listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
    }

  return NULL;
}

static void
pretend_abi (int abi)
{
  static Supervisor supervisor = {
    .listener = -1,
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .condition = PTHREAD_COND_INITIALIZER,
  };
  struct sock_filter filter[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 3),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, args[2])),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = { G_N_ELEMENTS (filter), filter };
  pthread_t thread;
  int listener;

  supervisor.abi = abi;
  g_assert_cmpint (pthread_create (&thread, NULL, supervise, &supervisor), ==, 0);
  g_assert_no_errno (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  listener = (int) syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                            SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  if (listener < 0)
    skip_confined ("seccomp has no user notification here");
  pthread_mutex_lock (&supervisor.mutex);
  supervisor.listener = listener;
  pthread_cond_signal (&supervisor.condition);
  pthread_mutex_unlock (&supervisor.mutex);
}

static guint32
get_expected (int abi)
{
  guint32 expected = AFORK_LANDLOCK_READ | AFORK_LANDLOCK_TRACING;

  if (abi >= 3)
    expected |= AFORK_LANDLOCK_WRITE;
  if (abi >= 4)
    expected |= AFORK_LANDLOCK_TCP;
  if (abi >= 5)
    expected |= AFORK_LANDLOCK_DEVICES;
  if (abi >= 6)
    expected |= AFORK_LANDLOCK_SOCKETS | AFORK_LANDLOCK_SIGNALS;
  return expected;
}

static void
try_abi (gconstpointer data)
{
  const AbiData *abi_data = data;
  guint32 in_force;
  int abi;

  if (afork_landlock_get_abi () < abi_data->abi)
    skip_confined ("The kernel has an older ABI");
  if (abi_data->ordinary)
    become_ordinary ();
  if (abi_data->abi != 0)
    pretend_abi (abi_data->abi);

  in_force = confine (abi_data->files, ALL, &abi);
  if (abi_data->abi != 0)
    g_assert_cmpint (abi, ==, abi_data->abi);
  g_assert_cmphex (in_force, ==, get_expected (abi));
  try_all (abi_data->files, in_force, abi, abi_data->abstract);
}

static void
run_abi (int      abi,
         gboolean ordinary)
{
  /* Another process may have the same pid in another PID namespace. */
  g_autofree char *abstract = g_strdup_printf ("afork-landlock-%08x", g_random_int ());
  AbiData data = { .abstract = abstract, .abi = abi, .ordinary = ordinary };
  int listener = listen_abstract (abstract);
  ConfinedFiles files;

  confined_files_init (&files, "afork-landlock-XXXXXX");
  data.files = &files;
  run_confined (try_abi, &data);
  confined_files_clear (&files);
  close (listener);
}

static void
test_abi (gconstpointer data)
{
  run_abi (GPOINTER_TO_INT (data), FALSE);
}

static void
test_ordinary (void)
{
  run_abi (0, TRUE);
}

/* Parts. */

/* Without rules for reading, everything may be read, and so on. */
static void
try_parts (gconstpointer data)
{
  const ConfinedFiles *files = data;
  guint32 in_force = confine (files, AFORK_LANDLOCK_WRITE, NULL);

  g_assert_cmphex (in_force & ~(guint32) AFORK_LANDLOCK_WRITE, ==, 0);
  try_reading (files, FALSE);
  try_tcp (FALSE);
  try_signals (FALSE);
  assert_refused (open_in (files->other, "file", O_WRONLY), EACCES);
}

static void
test_parts (void)
{
  ConfinedFiles files;

  confined_files_init (&files, "afork-landlock-XXXXXX");
  run_confined (try_parts, &files);
  confined_files_clear (&files);
}

/* With no paths at all, nothing can be opened. Descriptors that are open can still be used. */
static void
try_nothing (gconstpointer data)
{
  const ConfinedFiles *files = data;
  const AForkLandlockRules rules = { .wanted = AFORK_LANDLOCK_READ | AFORK_LANDLOCK_WRITE };
  int opened = open_in (files->other, "file", O_RDWR);
  AForkLandlockResult result;
  char text[4];
  int fd;

  g_assert_no_errno (opened);
  if (afork_landlock_get_abi () < 0)
    skip_confined ("There is no Landlock");
  g_assert_no_errno (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  fd = afork_landlock_make (&rules, &result);
  g_assert_no_errno (fd);
  g_assert_true (afork_landlock_enforce (fd));

  assert_refused (open ("/", O_RDONLY | O_CLOEXEC), EACCES);
  assert_refused (open_in (files->readable, "file", O_RDONLY), EACCES);
  assert_refused (open_in (files->writable, "file", O_RDWR), EACCES);
  assert_refused (open_in (files->writable, "new", O_WRONLY | O_CREAT), EACCES);
  g_assert_cmpint (read (opened, text, 4), ==, 4);
  g_assert_cmpint (write (opened, "more", 4), ==, 4);
}

static void
test_nothing (void)
{
  ConfinedFiles files;

  confined_files_init (&files, "afork-landlock-XXXXXX");
  run_confined (try_nothing, &files);
  confined_files_clear (&files);
}

/* A process has a domain that its parent does not have: the parent can signal it. Two such
 * processes cannot signal or trace each other. */
static void
try_siblings (gconstpointer data)
{
  const AForkLandlockRules rules = {
    .wanted = AFORK_LANDLOCK_SIGNALS | AFORK_LANDLOCK_TRACING,
  };
  AForkLandlockResult result;
  int ruleset, ready[2];
  pid_t first, second;
  int status;
  char byte;

  if (afork_landlock_get_abi () < 6)
    skip_confined ("Landlock does not restrict signals");
  g_assert_no_errno (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  ruleset = afork_landlock_make (&rules, &result);
  g_assert_no_errno (ruleset);
  g_assert_no_errno (pipe2 (ready, O_CLOEXEC));

  first = fork ();
  if (first == 0)
    {
      g_assert_true (afork_landlock_enforce (ruleset));
      g_assert_cmpint (write (ready[1], "", 1), ==, 1);
      pause ();
      _exit (1);
    }
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);

  second = fork ();
  if (second == 0)
    {
      g_assert_true (afork_landlock_enforce (ruleset));
      assert_refused (kill (first, SIGTERM), EPERM);
      assert_refused (ptrace (PTRACE_SEIZE, first, NULL, NULL), EPERM);
      assert_refused (kill (getppid (), 0), EPERM);
      _exit (0);
    }
  g_assert_no_errno (waitpid (second, &status, 0));
  g_assert_cmpint (status, ==, 0);
  g_assert_no_errno (kill (first, SIGTERM));
  g_assert_no_errno (waitpid (first, &status, 0));
  g_assert_cmpint (status, ==, SIGTERM);
}

static void
test_siblings (void)
{
  run_confined (try_siblings, NULL);
}

/* Refusals. */

typedef struct
{
  const char *name;
  long        number;
  int         error;
} RefusedLandlock;

static const RefusedLandlock refused[] = {
  { "missing", SYS_landlock_create_ruleset, ENOSYS },
  { "disabled", SYS_landlock_create_ruleset, EOPNOTSUPP },
  { "forbidden", SYS_landlock_create_ruleset, EPERM },
  { "rule", SYS_landlock_add_rule, ENOSYS },
};

static void
try_refused (gconstpointer data)
{
  const RefusedLandlock *refusal = data;
  const AForkLandlockRules rules = {
    .wanted = ALL,
    .read_paths = pack_paths ((const char * const []) { "/", NULL }),
  };
  AForkLandlockResult result;

  refuse_call (refusal->number, -1, 0, refusal->error);
  if (refusal->number != SYS_landlock_create_ruleset && afork_landlock_get_abi () < 0)
    skip_confined ("There is no Landlock");
  g_assert_cmpint (afork_landlock_make (&rules, &result), ==, -1);
  g_assert_cmpint (result.error, ==, refusal->error);
  g_assert_cmphex (result.effects, ==, 0);
  g_assert_cmpstr (result.call, ==, refusal->number == SYS_landlock_add_rule
                   ? "landlock_add_rule" : "landlock_create_ruleset");
}

static void
test_refused (gconstpointer data)
{
  run_confined (try_refused, data);
}

/* An ABI that has nothing of what is wanted. */
static void
try_too_old (gconstpointer data)
{
  const AForkLandlockRules rules = { .wanted = AFORK_LANDLOCK_SIGNALS };
  AForkLandlockResult result;

  if (afork_landlock_get_abi () < 0)
    skip_confined ("There is no Landlock");
  pretend_abi (5);
  g_assert_cmpint (afork_landlock_make (&rules, &result), ==, -1);
  g_assert_cmpint (result.error, ==, EOPNOTSUPP);
  g_assert_cmpint (result.abi, ==, 5);
}

static void
test_too_old (void)
{
  run_confined (try_too_old, NULL);
}

/* Without no_new_privs, only the superuser may. */
static void
try_privileges (gconstpointer data)
{
  const AForkLandlockRules rules = { .wanted = AFORK_LANDLOCK_READ };
  AForkLandlockResult result;
  int fd;

  become_ordinary ();
  if (afork_landlock_get_abi () < 0 || prctl (PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0)
    skip_confined ("There is no Landlock, or no_new_privs is set already");
  fd = afork_landlock_make (&rules, &result);
  g_assert_no_errno (fd);
  assert_refused (afork_landlock_enforce (fd) ? 0 : -1, EPERM);
  assert_refused (fcntl (fd, F_GETFD), EBADF);
}

static void
test_privileges (void)
{
  run_confined (try_privileges, NULL);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  test_uid = geteuid ();
  for (int abi = 1; abi <= NEWEST_ABI; abi++)
    {
      g_autofree char *path = g_strdup_printf ("/landlock/abi/%d", abi);

      g_test_add_data_func (path, GINT_TO_POINTER (abi), test_abi);
    }
  g_test_add_data_func ("/landlock/abi/kernel", GINT_TO_POINTER (0), test_abi);
  g_test_add_func ("/landlock/ordinary", test_ordinary);
  g_test_add_func ("/landlock/parts", test_parts);
  g_test_add_func ("/landlock/nothing", test_nothing);
  g_test_add_func ("/landlock/siblings", test_siblings);
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autofree char *path = g_strconcat ("/landlock/refused/", refused[i].name, NULL);

      g_test_add_data_func (path, &refused[i], test_refused);
    }
  g_test_add_func ("/landlock/too-old", test_too_old);
  g_test_add_func ("/landlock/privileges", test_privileges);
  return g_test_run ();
}
