/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Namespaces, seen from inside: a process in them tries to reach files, processes, the network and
 * privileges. If the kernel or a sandbox refuses a part, exactly what is reported is in force. */

#include "config.h"

#include "test-basics.h"
#include "test-confined.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "afork/server/namespaces.h"

#ifndef SYS_open_tree
# define SYS_open_tree 428
# define SYS_move_mount 429
#endif
#ifndef SYS_mount_setattr
# define SYS_mount_setattr 442
#endif

enum
{
  ALL = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS,
};

static ConfinedFiles files;

/* A test, which runs INSIDE with what is in force. */
typedef struct
{
  const char *name;
  void      (*inside) (const AForkNamespacesResult *result);
  int         wanted;
  gboolean    limits_read;
  gboolean    limits_write;
  gboolean    shows_proc;
  gboolean    root_readable;    /* "/" is among the read paths */
  gboolean    ordinary;
  gboolean    links;            /* what may be read is named by links */
} Case;

/* A template sees its files, and makes no mounts. */
static void
check_between (const Case                  *one,
               const AForkNamespacesResult *result)
{
  if (result->root < 0)
    return;

  g_assert_cmpint (fcntl (result->root, F_GETFD), ==, FD_CLOEXEC);
  expect_open (files.other, "file", O_RDWR);
  expect_open ("/etc", "passwd", O_RDONLY);
  if (result->is_last)
    assert_refused (unshare (CLONE_NEWUSER), ENOSPC);
}

/* Links in a directory that may be read, of which each leads out of it, and links to directories.
 * All directories have a file. */
static const struct
{
  const char *path;
  const char *target;           /* from the top, if it does not begin with a dot */
} links[] = {
  { "readable/absolute", "a-first" },
  { "readable/relative", "../z-last" },
  { "readable/chain", "middle" },
  { "middle", "./a-chained" },
  { "alias", "a-aliased" },
  { "to-proc", "/proc" },
  { "readable/writable", "writable" },
};

static const char * const linked[] = { "a-first", "z-last", "a-chained", "a-aliased" };

/* What the process may read. It may write to readable/writable. */
static const char * const named[] = {
  "readable/absolute/file", "readable/relative", "readable/chain/file", "readable", "alias",
  "to-proc", "readable/none",
};

static void
make_links (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (linked); i++)
    g_free (make_directory (files.top, linked[i]));
  for (gsize i = 0; i < G_N_ELEMENTS (links); i++)
    {
      g_autofree char *path = g_build_filename (files.top, links[i].path, NULL);
      g_autofree char *target = strchr ("./", links[i].target[0]) != NULL
        ? g_strdup (links[i].target)
        : g_build_filename (files.top, links[i].target, NULL);

      g_assert_no_errno (symlink (target, path));
    }
}

static AForkStrings
pack_links (void)
{
  char *paths[G_N_ELEMENTS (named) + 1] = { NULL };

  for (gsize i = 0; i < G_N_ELEMENTS (named); i++)
    paths[i] = g_build_filename (files.top, named[i], NULL);
  return pack_paths ((const char * const *) paths);
}

static void
enter (const Case *one)
{
  g_autofree char *writable_link = g_build_filename (files.readable, "writable", NULL);
  const char *read_paths[] = { files.readable, "/nothing/is/here", "/dev/null", NULL, NULL };
  AForkNamespacesRules rules = {
    .wanted = one->wanted,
    .limits_read = one->limits_read,
    .limits_write = one->limits_write,
    .shows_proc = one->shows_proc,
    .write_paths = pack_paths ((const char * const []) { files.writable, NULL }),
  };
  AForkNamespacesResult result;
  pid_t pid;
  int status;

  if (one->root_readable)
    read_paths[3] = "/";
  rules.read_paths = one->links ? pack_links () : pack_paths (read_paths);
  if (one->links)
    rules.write_paths = pack_paths ((const char * const []) { writable_link, NULL });
  if (!afork_namespaces_enter (&rules, &result))
    {
      /* Nothing has changed. */
      g_assert_cmpint (result.in_force, ==, 0);
      g_assert_cmpint (result.error, !=, 0);
      g_assert_cmpstr (result.call, ==, "unshare");
      one->inside (&result);
      return;
    }

  pid = fork ();
  g_assert_no_errno (pid);
  if (pid == 0)
    {
      afork_namespaces_set_up (&rules, &result);
      check_between (one, &result);
      if (!afork_namespaces_finish (&result))
        g_assert_false (result.limits_read);
      g_assert_cmpint (result.root, ==, -1);
      one->inside (&result);
      _exit (0);
    }
  g_assert_no_errno (waitpid (pid, &status, 0));
  if (WIFEXITED (status) && WEXITSTATUS (status) != 0)
    _exit (WEXITSTATUS (status));
  g_assert_cmpint (status, ==, 0);
}

static void
skip_without_namespaces (const AForkNamespacesResult *result)
{
  if ((result->in_force & CLONE_NEWUSER) == 0)
    skip_confined ("There are no user namespaces");
}

/* What is tried. */

static gboolean
has_capabilities (void)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

  g_assert_no_errno (syscall (SYS_capget, &header, data));
  for (guint i = 0; i < G_N_ELEMENTS (data); i++)
    if ((data[i].effective | data[i].permitted | data[i].inheritable) != 0)
      return TRUE;

  return prctl (PR_CAPBSET_READ, CAP_CHOWN) == 1;
}

static guint
count_entries (const char *path)
{
  DIR *directory = opendir (path);
  guint n_entries = 0;

  g_assert_nonnull (directory);
  for (const struct dirent *entry; (entry = readdir (directory)) != NULL;)
    n_entries += entry->d_name[0] != '.';
  closedir (directory);
  return n_entries;
}

static void
try_network (gboolean in_force)
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
    assert_refused (connect (fd, (const struct sockaddr *) &address, sizeof address), ENETUNREACH);
  close (fd);
}

static void
try_privileges (const AForkNamespacesResult *result)
{
  if (result->drops_caps)
    {
      g_assert_false (has_capabilities ());
      assert_refused (mount ("tmpfs", "/", "tmpfs", 0, NULL), EPERM);
      assert_refused (sethostname ("other", 5), EPERM);
      assert_refused (chroot ("/"), EPERM);
      assert_refused (unshare (CLONE_NEWNS), EPERM);
    }
  if (result->is_last)
    {
      assert_refused (unshare (CLONE_NEWUSER), ENOSPC);
      assert_refused (syscall (SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL), ENOSPC);
    }
  /* The same user is mapped, and no other. */
  if ((result->in_force & CLONE_NEWUSER) != 0 && result->drops_caps)
    assert_refused (setuid (geteuid () + 1), EINVAL);
}

static void
try_pids (gboolean in_force)
{
  if (!in_force)
    return;

  g_assert_cmpint (getpid (), ==, 1);
  g_assert_cmpint (getppid (), ==, 0);
  /* Nobody else is there. */
  assert_refused (kill (-1, SIGKILL), ESRCH);
  for (pid_t pid = 2; pid < 200; pid++)
    assert_refused (kill (pid, 0), ESRCH);
}

static void
try_everything_else (const AForkNamespacesResult *result)
{
  try_privileges (result);
  try_pids ((result->in_force & CLONE_NEWPID) != 0);
  try_network ((result->in_force & CLONE_NEWNET) != 0);
}

/* Only some paths. */
static void
inside_paths (const AForkNamespacesResult *result)
{
  skip_without_namespaces (result);
  g_assert_cmpint (result->error, ==, 0);
  g_assert_cmphex (result->in_force, ==, ALL);
  g_assert_true (result->limits_read);
  g_assert_true (result->limits_write);
  g_assert_true (result->is_last);
  g_assert_true (result->drops_caps);

  expect_open (files.readable, "file", O_RDONLY);
  assert_refused (open_in (files.readable, "file", O_RDWR), EROFS);
  assert_refused (open_in (files.readable, "new", O_WRONLY | O_CREAT), EROFS);
  expect_open (files.writable, "file", O_RDWR);
  expect_open (files.writable, "made", O_WRONLY | O_CREAT | O_EXCL);
  assert_refused (open_in (files.other, "file", O_RDONLY), ENOENT);
  assert_refused (open ("/etc/passwd", O_RDONLY | O_CLOEXEC), ENOENT);
  assert_refused (open ("/proc/self/status", O_RDONLY | O_CLOEXEC), ENOENT);
  assert_refused (open ("/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), EROFS);
  assert_refused (mkdir ("/new", 0700), EROFS);
  assert_refused (chdir ("/usr"), ENOENT);
  expect_open ("/dev", "null", O_RDWR);
  g_assert_cmpuint (count_entries ("/dev"), ==, 1);
  try_everything_else (result);
}

/* Links lead where they lead outside, and not out of the root directory. */
static void
inside_links (const AForkNamespacesResult *result)
{
  skip_without_namespaces (result);
  if (g_strcmp0 (result->call, "mount /proc") == 0)
    skip_confined ("The kernel allows no other /proc here");
  g_assert_cmpint (result->error, ==, 0);
  g_assert_true (result->limits_read);
  g_assert_true (result->limits_write);

  expect_open (files.readable, "file", O_RDONLY);
  expect_open (files.readable, "absolute/file", O_RDONLY);
  expect_open (files.readable, "relative/file", O_RDONLY);
  expect_open (files.readable, "chain/file", O_RDONLY);
  expect_open (files.top, "a-first/file", O_RDONLY);
  expect_open (files.top, "alias/file", O_RDONLY);
  assert_refused (open_in (files.readable, "absolute/file", O_RDWR), EROFS);
  assert_refused (open_in (files.top, "alias/file", O_RDWR), EROFS);
  /* Only this file was named. */
  assert_refused (open_in (files.readable, "absolute/new", O_WRONLY | O_CREAT), EROFS);
  g_assert_cmpuint (count_entries ("/"), ==, 1 + 1);
  expect_open (files.readable, "writable/file", O_RDWR);
  expect_open (files.writable, "made", O_WRONLY | O_CREAT | O_EXCL);
  assert_refused (open_in (files.top, "other/file", O_RDONLY), ENOENT);
  assert_refused (open ("/etc/passwd", O_RDONLY | O_CLOEXEC), ENOENT);
  /* The /proc of the namespace, in which there is only this process. */
  assert_refused (open ("/proc/2/status", O_RDONLY | O_CLOEXEC), ENOENT);
  try_everything_else (result);
}

/* Nothing but /proc, with the processes of the namespace. */
static void
inside_proc (const AForkNamespacesResult *result)
{
  g_autofree char *link = NULL;
  pid_t pid;
  int status;

  skip_without_namespaces (result);
  if (result->error != 0)
    skip_confined ("The kernel allows no other /proc here");

  g_assert_true (result->limits_read);
  link = g_file_read_link ("/proc/self", NULL);
  g_assert_cmpstr (link, ==, "1");
  pid = fork ();
  if (pid == 0)
    {
      g_autofree char *own = g_file_read_link ("/proc/self", NULL);

      g_assert_cmpstr (own, ==, "2");
      g_assert_false (g_file_test ("/proc/3", G_FILE_TEST_EXISTS));
      _exit (0);
    }
  g_assert_no_errno (waitpid (pid, &status, 0));
  g_assert_cmpint (status, ==, 0);
  try_everything_else (result);
}

/* All may be read, and little written. The /proc of others is gone. */
static void
inside_read_only (const AForkNamespacesResult *result)
{
  g_autofree char *directory = g_get_current_dir ();

  skip_without_namespaces (result);
  g_assert_cmpint (result->error, ==, 0);
  g_assert_true (result->limits_write);
  expect_open (files.readable, "file", O_RDONLY);
  expect_open (files.other, "file", O_RDONLY);
  expect_open ("/etc", "passwd", O_RDONLY);
  assert_refused (open_in (files.other, "file", O_RDWR), EROFS);
  assert_refused (open_in (files.readable, "new", O_WRONLY | O_CREAT), EROFS);
  expect_open (files.writable, "file", O_RDWR);
  /* Devices cannot be opened. */
  assert_refused (open ("/dev/zero", O_RDWR | O_CLOEXEC), EACCES);
  assert_refused (open ("/proc/2/status", O_RDONLY | O_CLOEXEC), ENOENT);
  /* It is where it was. */
  g_assert_cmpstr (directory, ==, files.top);
  try_everything_else (result);
}

/* What cannot be had of mounts is not reported. */
static void
inside_unlimited (const AForkNamespacesResult *result)
{
  skip_without_namespaces (result);
  g_assert_cmpint (result->error, ==, 0);
  g_assert_false (result->limits_read);
  g_assert_false (result->limits_write);
  expect_open (files.other, "file", O_RDWR);
  try_everything_else (result);
}

/* IPC objects and the host name. */
/* Of shared memory that the test makes. Other programs may run this test at the same time. */
static key_t shared_key;

static void
inside_ipc (const AForkNamespacesResult *result)
{
  skip_without_namespaces (result);
  if ((result->in_force & CLONE_NEWIPC) == 0)
    skip_confined ("There are no IPC namespaces");
  g_assert_cmpint (shmget (shared_key, 0, 0), ==, -1);
  g_assert_cmpint (errno, ==, ENOENT);
}

static const Case cases[] = {
  { "paths", inside_paths, ALL, TRUE, TRUE, FALSE, FALSE, FALSE },
  { "paths/ordinary", inside_paths, ALL, TRUE, TRUE, FALSE, FALSE, TRUE },
  { "links", inside_links, ALL, TRUE, TRUE, FALSE, FALSE, FALSE, TRUE },
  { "links/ordinary", inside_links, ALL, TRUE, TRUE, FALSE, FALSE, TRUE, TRUE },
  { "proc", inside_proc, ALL, TRUE, TRUE, TRUE, FALSE, FALSE },
  { "proc/ordinary", inside_proc, ALL, TRUE, TRUE, TRUE, FALSE, TRUE },
  { "read-only", inside_read_only, ALL, FALSE, TRUE, FALSE, FALSE, FALSE },
  { "read-only/ordinary", inside_read_only, ALL, FALSE, TRUE, FALSE, FALSE, TRUE },
  { "read-only/root-named", inside_read_only, ALL, TRUE, TRUE, FALSE, TRUE, FALSE },
  { "unlimited", inside_unlimited, ALL, FALSE, FALSE, FALSE, FALSE, FALSE },
  { "read-alone", inside_unlimited, ALL, TRUE, FALSE, FALSE, FALSE, FALSE },
};

static void
run_case (gconstpointer data)
{
  const Case *one = data;

  g_assert_no_errno (chdir (files.top));
  if (one->ordinary)
    become_ordinary ();
  enter (one);
}

static void
test_case (gconstpointer data)
{
  g_autofree char *made = NULL;

  if (skip_under_valgrind ("valgrind 3.19 does not know these system calls"))
    return;

  confined_files_init (&files, "afork-namespaces-XXXXXX");
  if (((const Case *) data)->links)
    make_links ();
  run_confined (run_case, data);
  /* What was written is there, and nothing is mounted here. */
  made = g_build_filename (files.writable, "made", NULL);
  if (((const Case *) data)->inside == inside_paths && !g_test_failed ())
    g_assert_true (g_file_test (made, G_FILE_TEST_EXISTS));
  g_assert_true (g_file_test ("/usr", G_FILE_TEST_IS_DIR));
  confined_files_clear (&files);
}

static void
run_ipc (gconstpointer data)
{
  const Case one = { .inside = inside_ipc, .wanted = ALL };

  enter (&one);
}

static void
test_ipc (void)
{
  int id;

  shared_key = (key_t) g_random_int_range (1, G_MAXINT32);
  id = shmget (shared_key, 4096, IPC_CREAT | IPC_EXCL | 0666);
  if (id < 0)
    {
      g_test_skip ("There is no shared memory of System V");
      return;
    }

  confined_files_init (&files, "afork-namespaces-XXXXXX");
  run_confined (run_ipc, NULL);
  g_assert_no_errno (shmctl (id, IPC_RMID, NULL));
  confined_files_clear (&files);
}

/* Refusals. */

typedef struct
{
  const char *name;
  long        number;
  int         argument;         /* -1 for any, as in refuse_call() */
  guint32     value;
  int         lacks;            /* namespaces that cannot be had then */
  gboolean    lacks_root;
  gboolean    lacks_last;
} RefusedNamespaces;

static const RefusedNamespaces refused[] = {
  { "unshare", SYS_unshare, -1, 0, ALL, TRUE, TRUE },
  { "user", SYS_unshare, 0, CLONE_NEWUSER | CLONE_NEWPID, ALL, TRUE, TRUE },
  { "mount-namespace", SYS_unshare, 0, CLONE_NEWNS, CLONE_NEWNS, TRUE, FALSE },
  { "ipc", SYS_unshare, 0, CLONE_NEWIPC, CLONE_NEWIPC, FALSE, FALSE },
  { "network", SYS_unshare, 0, CLONE_NEWNET, CLONE_NEWNET, FALSE, FALSE },
  { "uts", SYS_unshare, 0, CLONE_NEWUTS, CLONE_NEWUTS, FALSE, FALSE },
  { "mount", SYS_mount, -1, 0, 0, TRUE, FALSE },
  { "open-tree", SYS_open_tree, -1, 0, 0, TRUE, FALSE },
  { "move-mount", SYS_move_mount, -1, 0, 0, TRUE, FALSE },
  { "mount-setattr", SYS_mount_setattr, -1, 0, 0, TRUE, FALSE },
  { "pivot-root", SYS_pivot_root, -1, 0, 0, TRUE, FALSE },
  { "setns", SYS_setns, -1, 0, 0, TRUE, FALSE },
};

static const RefusedNamespaces *refusal;

static void
inside_refused (const AForkNamespacesResult *result)
{
  g_assert_cmpint (result->error, ==, EPERM);
  g_assert_nonnull (result->call);
  g_assert_cmphex (result->in_force, ==, ALL & ~refusal->lacks);
  g_assert_cmpint (result->limits_read, ==, !refusal->lacks_root);
  g_assert_cmpint (result->limits_write, ==, !refusal->lacks_root);
  g_assert_cmpint (result->is_last, ==, !refusal->lacks_last);
  if (refusal->lacks_root)
    {
      /* Everything is where it was. */
      expect_open (files.other, "file", O_RDWR);
      expect_open ("/etc", "passwd", O_RDONLY);
    }
  else
    {
      assert_refused (open_in (files.other, "file", O_RDONLY), ENOENT);
    }
  if (result->in_force != 0)
    try_everything_else (result);
}

static void
inside_check (const AForkNamespacesResult *result)
{
  if (result->error != 0)
    skip_confined ("There are no namespaces");
}

static void
run_refused (gconstpointer data)
{
  const Case one = {
    .inside = inside_refused, .wanted = ALL, .limits_read = TRUE, .limits_write = TRUE
  };

  refusal = data;
  refuse_call (refusal->number, refusal->argument, refusal->value, EPERM);
  enter (&one);
}

static void
run_check (gconstpointer data)
{
  const Case one = {
    .inside = inside_check, .wanted = ALL, .limits_read = TRUE, .limits_write = TRUE
  };

  enter (&one);
}

static void
test_refused (gconstpointer data)
{
  pid_t pid;
  int status;

  if (skip_under_valgrind ("valgrind 3.19 does not know these system calls"))
    return;

  confined_files_init (&files, "afork-namespaces-XXXXXX");
  /* Where not everything can be had, something else is reported. */
  pid = fork ();
  if (pid == 0)
    {
      run_check (NULL);
      _exit (0);
    }
  g_assert_no_errno (waitpid (pid, &status, 0));
  if (status == 0)
    run_confined (run_refused, data);
  else
    g_test_skip ("There are no namespaces");
  confined_files_clear (&files);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strconcat ("/namespaces/", cases[i].name, NULL);

      g_test_add_data_func (path, &cases[i], test_case);
    }
  g_test_add_func ("/namespaces/ipc", test_ipc);
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autofree char *path = g_strconcat ("/namespaces/refused/", refused[i].name, NULL);

      g_test_add_data_func (path, &refused[i], test_refused);
    }
  return g_test_run ();
}
