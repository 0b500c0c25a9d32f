/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "test-confined.h"
#include "test-basics.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77, NOBODY = 65534 };

void
skip_confined (const char *why)
{
  g_printerr ("# SKIP %s\n", why);
  _exit (SKIPPED);
}

void
run_confined (GTestDataFunc func,
              gconstpointer data)
{
  pid_t pid;
  int status;

  if (skip_under_valgrind ("valgrind 3.19 does not know these system calls"))
    return;

  pid = fork ();
  g_assert_no_errno (pid);
  if (pid == 0)
    {
      func (data);
      _exit (0);
    }

  while (waitpid (pid, &status, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  if (WIFEXITED (status) && WEXITSTATUS (status) == SKIPPED)
    g_test_skip ("The kernel, or the sandbox of the test, does not have what is tested");
  else
    g_assert_cmpint (status, ==, 0);
}

void
refuse_call (long    number,
             int     argument,
             guint32 value,
             int     error)
{
  const guint32 half = G_BYTE_ORDER == G_LITTLE_ENDIAN ? 0 : 4;
  const guint32 place = (guint32) offsetof (struct seccomp_data, args)
    + 8 * (guint32) MAX (argument, 0) + half;
  struct sock_filter filter[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, (guint32) number, 0, 3),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, place),
    /* Without an argument, both ways lead to the refusal. */
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, value, 0, argument < 0 ? 0 : 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (guint32) error),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = { G_N_ELEMENTS (filter), filter };

  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
      || syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
    skip_confined ("No system calls can be refused here");
}

AForkStrings
pack_paths (const char * const *paths)
{
  AForkStrings strings = { 0 };
  guint8 *bytes;

  strings.n_bytes = afork_strings_size (paths, &strings.n_strings);
  bytes = g_malloc (strings.n_bytes + 1);
  afork_strings_write (paths, bytes);
  strings.bytes = bytes;
  return strings;
}

char *
make_open_folder (const char *template)
{
  g_autofree char *path = g_build_filename ("/tmp", template, NULL);
  char *folder = g_mkdtemp (path) != NULL ? g_steal_pointer (&path)
                                          : g_dir_make_tmp (template, NULL);

  g_assert_nonnull (folder);
  g_assert_no_errno (chmod (folder, 0755));
  return folder;
}

void
become_ordinary (void)
{
  if (geteuid () != 0)
    return;

  /* The gids are kept apart from the uid, as they are for a user that has logged in. */
  if (setgroups (0, NULL) < 0 || setresgid (NOBODY, NOBODY, NOBODY) < 0
      || setresuid (NOBODY, NOBODY, NOBODY) < 0)
    skip_confined ("The process cannot become an ordinary user");
  /* It was cleared, and then /proc/self would be root's. */
  prctl (PR_SET_DUMPABLE, 1, 0, 0, 0);
}

char *
make_directory (const char *top,
                const char *name)
{
  char *path = g_build_filename (top, name, NULL);
  g_autofree char *file = g_build_filename (path, "file", NULL);

  g_assert_no_errno (g_mkdir (path, 0777));
  g_assert_no_errno (chmod (path, 0777));
  g_assert_true (g_file_set_contents (file, "text", -1, NULL));
  g_assert_no_errno (chmod (file, 0666));
  return path;
}

void
confined_files_init (ConfinedFiles *self,
                     const char    *template)
{
  self->top = make_open_folder (template);
  self->readable = make_directory (self->top, "readable");
  self->writable = make_directory (self->top, "writable");
  self->other = make_directory (self->top, "other");
}

static void
remove_all (const char *path)
{
  g_autoptr(GDir) directory = g_dir_open (path, 0, NULL);
  const char *name;

  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      if (!g_file_test (child, G_FILE_TEST_IS_SYMLINK))
        remove_all (child);
      g_remove (child);
    }
  g_remove (path);
}

void
confined_files_clear (ConfinedFiles *self)
{
  remove_all (self->top);
  g_free (self->top);
  g_free (self->readable);
  g_free (self->writable);
  g_free (self->other);
  *self = (ConfinedFiles) { 0 };
}

int
open_in (const char *directory,
         const char *name,
         int         flags)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);

  return open (path, flags | O_CLOEXEC, 0600);
}

void
expect_open (const char *directory,
             const char *name,
             int         flags)
{
  int fd = open_in (directory, name, flags);

  g_assert_no_errno (fd);
  close (fd);
}
