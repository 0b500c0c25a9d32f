/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that the kernel kills because memory has run out are distinguished from others that are
 * killed, by counters of the kernel. Here the test writes these counters itself, in files where the
 * program finds those of its control group: a real shortage would affect everything else in the
 * group. */

#define _GNU_SOURCE             /* unshare() */

#include <errno.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test-rpc-util.h"

typedef struct
{
  const char *mount;            /* with @ for the directory */
  const char *group;
  const char *counter;
  const char *counts;           /* with @ for the number of killed processes */
} Hierarchy;

static const Hierarchy version_1 = {
  "25 21 0:22 / /elsewhere rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct\n"
  "26 21 0:23 / @ rw,relatime shared:6 - cgroup cgroup rw,memory\n"
  "27 21 0:24 / /unified rw,relatime shared:7 - cgroup2 cgroup2 rw\n",
  "5:cpu,cpuacct:/\n4:memory:/some/group\n0::/\n",
  "some/group/memory.oom_control",
  "oom_kill_disable 0\nunder_oom 0\noom_kill @\n",
};

static const Hierarchy version_2 = {
  "21 1 8:1 / / rw,relatime - ext4 /dev/root rw\n"
  "25 21 0:22 / @ rw,nosuid,nodev,noexec,relatime shared:5 - cgroup2 cgroup2 rw,nsdelegate\n",
  "0::/some/group\n",
  "some/group/memory.events.local",
  "low 0\nhigh 0\nmax 7\noom 9\noom_kill @\noom_group_kill 0\n",
};

static char *folder;
static const Hierarchy *hierarchy;

/* Writes TEXT to a file, with VALUE in place of each @. */
static char *
write_file (const char *name,
            const char *text,
            const char *value)
{
  g_auto(GStrv) parts = g_strsplit (text, "@", -1);
  g_autofree char *contents = g_strjoinv (value, parts);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);
  g_autoptr(GError) error = NULL;

  g_assert_no_errno (g_mkdir_with_parents (parent, 0700));
  g_file_set_contents (path, contents, -1, &error);
  g_assert_no_error (error);
  return g_steal_pointer (&path);
}

static void
count_killed (guint n_killed)
{
  g_autofree char *value = g_strdup_printf ("%u", n_killed);
  g_autofree char *path G_GNUC_UNUSED = write_file (hierarchy->counter, hierarchy->counts, value);
}

/* Makes this process find our files from now on. */
static gboolean
pretend (const char *name,
         const char *text)
{
  g_autofree char *path = write_file (name, text, folder);
  g_autofree char *place = g_strdup_printf ("/proc/%d/%s", getpid (), name);

  return mount (path, place, "", MS_BIND, NULL) == 0;
}

static gboolean
enter_hierarchy (void)
{
  return unshare (CLONE_NEWNS) == 0
    && mount ("", "/proc", "", MS_PRIVATE, NULL) == 0
    && pretend ("mountinfo", hierarchy->mount)
    && pretend ("cgroup", hierarchy->group);
}

/* A worker that SIGNAL kills, while the kernel has killed N_KILLED processes of the group. */
static void
check_killed (gboolean    concurrent,
              guint       n_killed,
              int         signal,
              const char *expected,
              const char *text)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(GError) error = NULL;
  int gate;

  begin_script_full (rpc, "o e1 g r2", 0, &gate, log);
  begin_script (rpc, concurrent ? "n" : "r3", log);
  await_log (log, "e1 ");
  count_killed (n_killed);
  afork_process_send_signal (afork_rpc_get_process (rpc), signal);
  await_log (log, expected);
  close (gate);

  g_assert_null (afork_rpc_call (rpc, NULL, NULL, &error));
  g_assert_cmpstr (error->message, ==, text);
}

static void
test_memory_killed (void)
{
  static const char signaled[] = "e1 xsignaled xsignaled closed ";
  static const char out_of_memory[] = "e1 xout-of-memory xout-of-memory closed ";

  for (int concurrent = FALSE; concurrent <= TRUE; concurrent++)
    {
      guint before = concurrent ? 4 : 2;

      check_killed (concurrent, before, SIGKILL, signaled,
                    "The worker was ended by signal 9 (Killed). Standard error: line 1");
      check_killed (concurrent, before + 1, SIGKILL, out_of_memory,
                    "The worker was killed because memory ran out. Standard error: line 1");
      check_killed (concurrent, before + 1, SIGKILL, signaled,
                    "The worker was ended by signal 9 (Killed). Standard error: line 1");
      check_killed (concurrent, before + 2, SIGTERM, signaled,
                    "The worker was ended by signal 15 (Terminated). Standard error: line 1");
      /* That was another process of the group. */
      count_killed (before + 2);
      check_killed (concurrent, before + 2, SIGKILL, out_of_memory,
                    "The worker was killed because memory ran out. Standard error: line 1");
    }
}

static gboolean
may_enter_hierarchy (void)
{
  pid_t pid = fork ();
  int status;

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    _exit (enter_hierarchy () ? 0 : 1);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  return WIFEXITED (status) && WEXITSTATUS (status) == 0;
}

static void
remove_files (void)
{
  const char * const names[] = {
    "mountinfo", "cgroup", hierarchy->counter, "some/group", "some", "",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (folder, names[i], NULL);

      /* Only a process that may mount them can write some of these. */
      if (g_remove (path) < 0)
        g_assert_cmpint (errno, ==, ENOENT);
    }
  g_clear_pointer (&folder, g_free);
}

/* In a process of its own, because the library searches for the files once. */
static void
test_memory (gconstpointer data)
{
  hierarchy = data;
  folder = g_dir_make_tmp ("afork-memory-XXXXXX", NULL);
  g_assert_nonnull (folder);
  count_killed (2);

  if (g_test_subprocess ())
    {
      g_assert_true (enter_hierarchy ());
      run_with_census (test_memory_killed);
    }
  else if (may_enter_hierarchy ())
    {
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
    }
  else
    g_test_skip ("Files may not be mounted over those of /proc here");
  remove_files ();
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_data_func ("/rpc-memory/version-1", &version_1, test_memory);
  g_test_add_data_func ("/rpc-memory/version-2", &version_2, test_memory);

  return g_test_run ();
}
