/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Modules that are files of this host, in processes here and on another host. */

#include "config.h"

#include "remote-util.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

enum
{
  LARGE = 64 * 1024 * 1024,
  MOST_KIB = 12 * 1024,         /* of memory, for a process through which the large file goes */
};

#define SKIP_WITHOUT(folder, way) if (!host_folder_init (folder, *(const Way *) (way))) return

/* A process whose cache is in the folder. */
static AForkProcess *
new_process (HostFolder *self)
{
  return use_cache (self, afork_process_new_exec (self->runtime));
}

/* Copies a module of the tests to a file in the folder, with N_MORE bytes behind it. */
static char *
copy_module (HostFolder *self,
             const char *module,
             const char *name,
             gsize       n_more)
{
  g_autofree char *source = g_strdup_printf ("%s/%s.so", g_getenv ("AFORK_MODULE_PATH"), module);
  char *path = g_build_filename (self->folder, name, NULL);
  g_autofree char *content = NULL;
  g_autoptr(GError) error = NULL;
  gsize size;

  g_file_get_contents (source, &content, &size, &error);
  g_assert_no_error (error);
  content = g_realloc (content, size + n_more);
  for (gsize i = 0; i < n_more; i++)
    content[size + i] = (char) (i * 2654435761u >> 11);
  g_file_set_contents (path, content, (gssize) (size + n_more), &error);
  g_assert_no_error (error);
  return path;
}

/* Where the other host keeps the file. */
static char *
find_cached (HostFolder *self,
             const char *path)
{
  g_autofree char *content = NULL;
  g_autofree char *digest = NULL;
  gsize size;

  g_assert_true (g_file_get_contents (path, &content, &size, NULL));
  digest = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guchar *) content, size);
  return g_strdup_printf ("%s/afork-1/modules/%s.so", self->cache, digest);
}

static guint
count_cached (HostFolder *self)
{
  g_autofree char *path = g_build_filename (self->cache, "afork-1", "modules", NULL);
  g_autoptr(GDir) entries = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (entries != NULL && g_dir_read_name (entries) != NULL)
    n++;
  return n;
}

static void
assert_mode (const char *path,
             mode_t      mode)
{
  GStatBuf status;

  g_assert_no_errno (g_lstat (path, &status));
  g_assert_cmphex (status.st_mode, ==, mode);
}

static ino_t
get_inode (const char *path)
{
  GStatBuf status;

  g_assert_no_errno (g_lstat (path, &status));
  return status.st_ino;
}

static void
assert_loads (HostFolder *self,
              const char *path)
{
  g_autoptr(AForkProcess) process = require_path (new_process (self), path);

  g_object_unref (run_process_ok (process, "done"));
  await_end (process);
  assert_exit_status (process, 0);
}

static void
assert_fails (HostFolder *self,
              const char *path,
              const char *text)
{
  g_autoptr(AForkProcess) process = require_path (new_process (self), path);

  expect_run_error (process, "done", AFORK_ERROR, AFORK_ERROR_MODULE, text);
}

/* The module is there, in its place among the commands, and forks have it. */
static void
test_file_load (Census        *census,
                gconstpointer  way)
{
  g_auto(HostFolder) self = { 0 };
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) other = NULL;
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  g_autofree char *cached = NULL;
  g_autofree char *modules = NULL;
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  ino_t inode;

  SKIP_WITHOUT (&self, way);
  first = copy_module (&self, "lifecycle", "first file.so", 0);
  second = copy_module (&self, "describe", "second", 0);
  process = new_process (&self);
  afork_process_send_arg (process, "5");
  require_path (process, first);
  afork_process_send_arg (process, "later");
  require_path (process, second);
  fork = afork_process_fork (process);
  other = afork_process_fork (process);
  before = run_to_end (process, "describe");
  after = run_to_end (fork, "second:describe");
  g_assert_cmpstr (before, ==, after);
  g_assert_nonnull (strstr (before, "bytes 1 "));
  g_assert_nonnull (strstr (before, "bytes 5 "));
  g_object_unref (run_process_ok (other, "first file:exit_with"));
  await_end (other);
  assert_exit_status (other, 5);

  cached = find_cached (&self, first);
  modules = g_path_get_dirname (cached);
  assert_mode (cached, S_IFREG | 0400);
  assert_mode (modules, S_IFDIR | 0700);
  assert_mode (self.cache, S_IFDIR | 0700);
  g_assert_cmpuint (count_cached (&self), ==, 2);

  /* Another process finds the copy. */
  inode = get_inode (cached);
  assert_loads (&self, first);
  g_assert_cmpuint (get_inode (cached), ==, inode);
}

/* Copies that are not what they should be are replaced. */
static void
test_file_repair (Census        *census,
                  gconstpointer  way)
{
  g_auto(HostFolder) self = { 0 };
  g_autofree char *module = NULL;
  g_autofree char *cached = NULL;
  g_autofree char *modules = NULL;
  g_autofree char *victim = NULL;
  g_autofree char *content = NULL;
  g_autofree char *kept = NULL;
  gsize size, n_kept;
  ino_t inode;

  SKIP_WITHOUT (&self, way);
  module = copy_module (&self, "lifecycle", "module.so", 0);
  cached = find_cached (&self, module);
  modules = g_path_get_dirname (cached);
  victim = write_file (&self, "victim", "precious", 8);
  g_assert_true (g_file_get_contents (module, &content, &size, NULL));
  assert_loads (&self, module);

  /* One byte is another one. */
  content[size / 2] ^= 1;
  g_assert_true (g_file_set_contents (cached, content, (gssize) size, NULL));
  assert_loads (&self, module);
  assert_mode (cached, S_IFREG | 0400);

  /* It was cut, as when a disk was full. */
  g_assert_true (g_file_set_contents (cached, content, 1000, NULL));
  assert_loads (&self, module);

  /* It is the right one, but others may write to it. */
  inode = get_inode (cached);
  g_assert_no_errno (g_chmod (cached, 0666));
  assert_loads (&self, module);
  g_assert_cmpuint (get_inode (cached), !=, inode);

  /* It is a link, to a file that must not be changed, and to the right one. */
  g_assert_no_errno (g_remove (cached));
  g_assert_no_errno (symlink (victim, cached));
  assert_loads (&self, module);
  assert_mode (cached, S_IFREG | 0400);
  g_assert_true (g_file_get_contents (victim, &kept, &n_kept, NULL));
  g_assert_cmpmem (kept, n_kept, "precious", 8);
  g_assert_no_errno (g_remove (cached));
  g_assert_no_errno (symlink (module, cached));
  assert_loads (&self, module);
  assert_mode (cached, S_IFREG | 0400);

  /* Something that blocks who opens it. */
  g_assert_no_errno (g_remove (cached));
  g_assert_no_errno (mkfifo (cached, 0600));
  assert_loads (&self, module);
  assert_mode (cached, S_IFREG | 0400);
  g_assert_cmpuint (count_cached (&self), ==, 1);
}

/* Old copies are deleted with the next one, and nothing else is. */
static void
test_file_old (Census        *census,
               gconstpointer  way)
{
  static const char *ages[] = {
    ".new-1-2-3", "0000000000000000000000000000000000000000000000000000000000000000.so",
    "README",
  };
  g_auto(HostFolder) self = { 0 };
  g_autofree char *module = NULL;
  g_autofree char *cached = NULL;
  g_autofree char *other = NULL;
  struct timespec old[2] = { { 0 } };

  SKIP_WITHOUT (&self, way);
  module = copy_module (&self, "lifecycle", "module.so", 0);
  other = copy_module (&self, "lifecycle", "other.so", 1);
  cached = find_cached (&self, module);
  assert_loads (&self, module);
  for (gsize i = 0; i < G_N_ELEMENTS (ages); i++)
    {
      g_autofree char *name = g_strdup_printf ("cache/afork-1/modules/%s", ages[i]);
      g_autofree char *path = write_file (&self, name, "", 0);

      g_assert_no_errno (utimensat (AT_FDCWD, path, old, 0));
    }

  /* A copy that is used is not old any more. */
  g_assert_no_errno (utimensat (AT_FDCWD, cached, old, 0));
  assert_loads (&self, module);
  g_assert_cmpuint (count_cached (&self), ==, 4);
  assert_loads (&self, other);
  g_assert_cmpuint (count_cached (&self), ==, 3);
  g_assert_true (g_file_test (cached, G_FILE_TEST_IS_REGULAR));
}

/* Each of these is one error that says why, in the place of the command, and other processes go
 * on. */
static void
test_file_errors (Census        *census,
                  gconstpointer  way)
{
  g_auto(HostFolder) self = { 0 };
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) first = NULL;
  g_autoptr(AForkProcess) no_path = NULL;
  g_autoptr(GFile) elsewhere = g_file_new_for_uri ("http://example.org/module.so");
  g_autofree char *long_name = g_strnfill (5000, 'x');
  g_autofree char *missing = NULL;
  g_autofree char *long_path = NULL;
  g_autofree char *fifo = NULL;
  g_autofree char *empty = NULL;
  g_autofree char *text = NULL;
  g_autofree char *secret = NULL;
  g_autofree char *module = NULL;

  SKIP_WITHOUT (&self, way);
  missing = g_build_filename (self.folder, "missing.so", NULL);
  long_path = g_build_filename (self.folder, long_name, NULL);
  fifo = g_build_filename (self.folder, "fifo.so", NULL);
  g_assert_no_errno (mkfifo (fifo, 0600));
  empty = write_file (&self, "empty.so", "", 0);
  text = write_file (&self, "text.so", "This is no module.", 18);
  secret = copy_module (&self, "lifecycle", "secret.so", 0);
  module = copy_module (&self, "lifecycle", "module.so", 0);
  g_assert_no_errno (g_chmod (secret, 0));

  template = new_process (&self);
  fork = require_path (afork_process_fork (template), missing);
  require_path (template, module);

  assert_fails (&self, missing, "missing.so");
  assert_fails (&self, missing, g_strerror (ENOENT));
  assert_fails (&self, self.folder, g_strerror (EISDIR));
  assert_fails (&self, long_path, g_strerror (ENAMETOOLONG));
  assert_fails (&self, fifo, "regular file");
  assert_fails (&self, "/dev/zero", "regular file");
  assert_fails (&self, empty, "empty.so");
  assert_fails (&self, text, "text.so");
  if (geteuid () != 0)
    assert_fails (&self, secret, g_strerror (EACCES));
  expect_run_error (fork, "done", AFORK_ERROR, AFORK_ERROR_MODULE, "missing.so");

  /* The first failure counts. */
  first = require_path (new_process (&self), missing);
  afork_process_require (first, "no-such-module");
  require_path (first, module);
  expect_run_error (first, "done", AFORK_ERROR, AFORK_ERROR_MODULE, "missing.so");
  g_object_unref (first);
  first = afork_process_require (new_process (&self), "no-such-module");
  require_path (first, missing);
  expect_run_error (first, "done", AFORK_ERROR, AFORK_ERROR_MODULE, "no-such-module");

  no_path = afork_process_require_file (new_process (&self), elsewhere);
  expect_run_error (no_path, "done", AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED, "example.org");

  g_object_unref (run_process_ok (template, "done"));
  await_end (template);
  assert_exit_status (template, 0);
}

static void
assert_others_may_write (HostFolder *self,
                         const char *module,
                         const char *directory)
{
  g_autofree char *message = g_strdup_printf ("in %s: other users may write", directory);

  assert_fails (self, module, message);
}

/* Caches that other users could change, and such as cannot be. */
static void
test_file_unsafe (Census        *census,
                  gconstpointer  way)
{
  g_auto(HostFolder) self = { 0 };
  g_autoptr(AForkProcess) no_home = NULL;
  g_autofree char *own = NULL;
  g_autofree char *modules = NULL;
  g_autofree char *module = NULL;

  SKIP_WITHOUT (&self, way);
  module = copy_module (&self, "lifecycle", "module.so", 0);
  own = g_build_filename (self.cache, "afork-1", NULL);
  modules = g_build_filename (own, "modules", NULL);

  g_assert_no_errno (g_mkdir (self.cache, 0700));
  g_assert_no_errno (g_chmod (self.cache, 0777));
  assert_others_may_write (&self, module, self.cache);
  g_assert_no_errno (g_chmod (self.cache, 0770));
  assert_others_may_write (&self, module, self.cache);
  /* As /tmp is. */
  g_assert_no_errno (g_chmod (self.cache, 01777));
  assert_loads (&self, module);
  g_assert_no_errno (g_chmod (own, 01777));
  assert_others_may_write (&self, module, own);
  g_assert_no_errno (g_chmod (own, 0700));
  g_assert_no_errno (g_chmod (modules, 0770));
  assert_others_may_write (&self, module, modules);
  if (geteuid () == 0)
    {
      g_assert_no_errno (g_chmod (modules, 0700));
      g_assert_no_errno (chown (modules, 65534, 65534));
      assert_fails (&self, module, "another user");
    }

  remove_all (own);
  g_assert_no_errno (symlink ("/tmp", own));
  assert_fails (&self, module, "could not be kept");
  g_assert_no_errno (g_remove (own));
  g_assert_true (g_file_set_contents (own, "", 0, NULL));
  assert_fails (&self, module, g_strerror (ENOTDIR));

  no_home = afork_process_setenv (new_process (&self), "XDG_CACHE_HOME", "relative");
  afork_process_setenv (no_home, "HOME", NULL);
  require_path (no_home, module);
  expect_run_error (no_home, "done", AFORK_ERROR, AFORK_ERROR_MODULE, "HOME");

  /* Without XDG_CACHE_HOME, it is in the home directory. */
  g_object_unref (no_home);
  no_home = afork_process_setenv (new_process (&self), "XDG_CACHE_HOME", NULL);
  afork_process_setenv (no_home, "HOME", self.folder);
  require_path (no_home, module);
  g_object_unref (run_process_ok (no_home, "done"));
  await_end (no_home);
  g_free (own);
  own = g_build_filename (self.folder, ".cache", "afork-1", "modules", NULL);
  assert_mode (own, S_IFDIR | 0700);
}

/* What another machine could load. */
static void
test_file_machine (Census        *census,
                   gconstpointer  way)
{
  g_auto(HostFolder) self = { 0 };
  struct utsname system;
  Elf64_Ehdr other = {
    .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
    .e_type = ET_DYN,
  };
  g_autofree char *of_other_machine = NULL;
  g_autofree char *of_other_class = NULL;
  const gboolean is_arm = uname (&system) == 0 && g_str_has_prefix (system.machine, "aarch64");

  SKIP_WITHOUT (&self, way);
  other.e_machine = is_arm ? EM_X86_64 : EM_AARCH64;
  of_other_machine = write_file (&self, "other-machine.so", &other, sizeof other);
  other.e_machine = EM_386;
  other.e_ident[EI_CLASS] = ELFCLASS32;
  of_other_class = write_file (&self, "other-class.so", &other, sizeof other);
  assert_fails (&self, of_other_machine, is_arm ? "it is for x86_64" : "it is for aarch64");
  assert_fails (&self, of_other_machine, system.machine);
  if (sizeof (void *) == 8)
    assert_fails (&self, of_other_class, "it is for i386 with 32 bits");
  /* Nothing was copied. */
  g_assert_false (g_file_test (self.cache, G_FILE_TEST_EXISTS));
}

/* An agent that says that it is on another machine. */
static void
test_file_announced_machine (Census        *census,
                             gconstpointer  data)
{
  g_autofree char *program = g_test_build_filename (G_TEST_DIST, "remote", "hostile-agent.py",
                                                    NULL);
  g_auto(HostFolder) self = { 0 };
  g_autofree char *module = NULL;

  g_assert_true (host_folder_init (&self, OVER_PIPES));
  g_clear_object (&self.runtime);
  self.runtime = afork_runtime_new_agent ("liar",
    (const char * const []) { "python3", program, g_getenv ("AFORK_SERVER"), "machine", NULL });
  module = copy_module (&self, "lifecycle", "module.so", 0);
  assert_fails (&self, module, "the host is s390x");
}

static guint
get_peak_kib (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", (int) pid);
  g_autofree char *text = NULL;
  const char *line;
  guint kib = 0;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  line = strstr (text, "VmHWM:");
  g_assert_nonnull (line);
  g_assert_cmpint (sscanf (line, "VmHWM: %u", &kib), ==, 1);
  return kib;
}

/* Neither side keeps a large file in memory, and another process is not held up by it. */
static void
test_file_large (Census        *census,
                 gconstpointer  way)
{
  g_auto(HostFolder) self = { 0 };
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) small = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *large_module = NULL;
  g_autofree char *module = NULL;
  g_autofree char *cached = NULL;
  GStatBuf status;
  guint of_relay, of_agent;

  SKIP_WITHOUT (&self, way);
  module = copy_module (&self, "lifecycle", "module.so", 0);
  large_module = copy_module (&self, "lifecycle", "large.so", LARGE);
  assert_loads (&self, module);

  process = require_path (new_process (&self), large_module);
  afork_process_run_async (process, "until_closed", NULL, store_result_cb, &result);
  iterate ();
  for (int i = 0; i < 5; i++)
    assert_loads (&self, module);
  g_assert_null (result);
  await_result (&result);
  connection = afork_process_run_finish (process, result, &error);
  g_assert_no_error (error);

  cached = find_cached (&self, large_module);
  g_assert_no_errno (g_lstat (cached, &status));
  g_assert_cmpint (status.st_size, >, LARGE);
  of_relay = get_peak_kib (find_process ("afork-server", "--relay"));
  of_agent = get_peak_kib (find_process ("afork-server", "--agent"));
  g_test_message ("relay %u KiB, agent %u KiB", of_relay, of_agent);
  /* A sanitizer has memory of its own. */
  if (!is_instrumented ())
    {
      g_assert_cmpuint (of_relay, <, MOST_KIB);
      g_assert_cmpuint (of_agent, <, MOST_KIB);
    }
  finish_process (process, connection);
}

static char *
find_temporary (HostFolder *self)
{
  g_autofree char *path = g_build_filename (self->cache, "afork-1", "modules", NULL);
  g_autoptr(GDir) entries = g_dir_open (path, 0, NULL);
  const char *name;

  while (entries != NULL && (name = g_dir_read_name (entries)) != NULL)
    if (g_str_has_prefix (name, ".new-"))
      return g_build_filename (path, name, NULL);

  return NULL;
}

/* Iterates the main context until a part of a file has come there. */
static char *
await_temporary (HostFolder *self)
{
  g_autoptr(GSource) deadline = deadline_new ("a part of the file");
  g_autoptr(GSource) ticks = g_timeout_source_new (1);
  char *path;

  g_source_set_callback (ticks, tick_cb, NULL, NULL);
  g_source_attach (ticks, NULL);
  while ((path = find_temporary (self)) == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_source_destroy (ticks);
  deadline_clear (g_steal_pointer (&deadline));
  return path;
}

/* The file changes while it is copied: it is cut, or its content is another one. */
static void
test_file_changes (Census        *census,
                   gconstpointer  way)
{
  for (int cuts = 0; cuts < 2; cuts++)
    {
      g_auto(HostFolder) self = { 0 };
      g_autoptr(AForkProcess) process = NULL;
      g_autoptr(GAsyncResult) result = NULL;
      g_autoptr(GError) error = NULL;
      g_autofree char *module = NULL;
      g_autofree char *temporary = NULL;
      GPid agent;
      int fd;

      SKIP_WITHOUT (&self, way);
      module = copy_module (&self, "lifecycle", "module.so", LARGE);
      process = require_path (new_process (&self), module);
      afork_process_run_async (process, "done", NULL, store_result_cb, &result);
      temporary = await_temporary (&self);
      agent = find_process ("afork-server", "--agent");
      g_assert_no_errno (kill (agent, SIGSTOP));
      fd = open (module, O_WRONLY | O_CLOEXEC);
      if (cuts)
        g_assert_no_errno (ftruncate (fd, LARGE / 2));
      else
        g_assert_cmpint (pwrite (fd, "another", 7, LARGE), ==, 7);
      close (fd);
      g_assert_no_errno (kill (agent, SIGCONT));

      await_result (&result);
      g_assert_null (afork_process_run_finish (process, result, &error));
      g_test_message ("%s", error->message);
      assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_MODULE, cuts ? "cut" : "changed");
      await_end (process);
      g_assert_cmpuint (count_cached (&self), ==, 0);
    }
}

/* The process is killed while its file is read and copied, and others go on. */
static void
test_file_killed (Census        *census,
                  gconstpointer  way)
{
  g_auto(HostFolder) self = { 0 };
  g_autofree char *large_module = NULL;
  g_autofree char *module = NULL;
  g_autofree char *other = NULL;

  SKIP_WITHOUT (&self, way);
  module = copy_module (&self, "lifecycle", "module.so", 0);
  large_module = copy_module (&self, "lifecycle", "large.so", LARGE);
  assert_loads (&self, module);
  for (int i = 0; i < 2; i++)
    {
      g_autoptr(AForkProcess) process = require_path (new_process (&self), large_module);
      g_autoptr(GAsyncResult) result = NULL;
      g_autoptr(GError) error = NULL;
      g_autofree char *temporary = NULL;

      afork_process_run_async (process, "done", NULL, store_result_cb, &result);
      if (i == 0)
        iterate ();
      else
        temporary = await_temporary (&self);
      afork_process_force_exit (process);
      await_result (&result);
      g_assert_null (afork_process_run_finish (process, result, &error));
      assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_CLOSED, "");
      await_end (process);
      assert_loads (&self, module);
    }

  /* The part that had come goes with the next copy. */
  other = copy_module (&self, "lifecycle", "other.so", 1);
  assert_loads (&self, other);
  g_assert_cmpuint (count_cached (&self), ==, 2);
}

/* A process here opens the file itself. */
static void
test_file_here (Census        *census,
                gconstpointer  data)
{
  g_autoptr(AForkRuntime) other = afork_runtime_new_agent ("unused",
                                                           (const char * const []) { "x", NULL });
  g_auto(HostFolder) self = { 0 };
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) again = NULL;
  g_autoptr(AForkProcess) fails = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *module = NULL;
  g_autofree char *fifo = NULL;

  self.folder = g_dir_make_tmp ("afork-file-XXXXXX", &error);
  g_assert_no_error (error);
  module = copy_module (&self, "lifecycle", "any name.so", 0);
  fifo = g_build_filename (self.folder, "fifo", NULL);
  g_assert_no_errno (mkfifo (fifo, 0600));

  process = require_path (afork_process_new (), module);
  afork_process_send_arg (process, "4");
  fork = afork_process_fork (process);
  g_object_unref (run_process_ok (process, "any name:exit_with"));
  await_end (process);
  assert_exit_status (process, 4);
  g_object_unref (run_process_ok (fork, "exit_with"));
  await_end (fork);
  assert_exit_status (fork, 4);

  again = require_path (afork_process_new_exec (afork_runtime_get_native ()), module);
  g_object_unref (run_process_ok (again, "done"));
  await_end (again);
  fails = require_path (afork_process_new (), fifo);
  expect_run_error (fails, "done", AFORK_ERROR, AFORK_ERROR_MODULE, "regular file");
  g_object_unref (fails);
  fails = require_path (afork_process_new (), "/nonexistent/module.so");
  expect_run_error (fails, "done", AFORK_ERROR, AFORK_ERROR_MODULE, "/nonexistent/module.so");
}

int
main (int    argc,
      char **argv)
{
  enter_ssh (argv, NULL, -1);

  g_test_init (&argc, &argv, NULL);
  add_for_all_ways ("/file/load", test_file_load);
  add_for_ways ("/file/repair", test_file_repair);
  add_for_ways ("/file/old", test_file_old);
  add_for_ways ("/file/errors", test_file_errors);
  add_for_ways ("/file/unsafe", test_file_unsafe);
  add_for_ways ("/file/machine", test_file_machine);
  add_for_ways ("/file/large", test_file_large);
  add_for_ways ("/file/changes", test_file_changes);
  add_for_ways ("/file/killed", test_file_killed);
  add_with_census ("/agent/file/announced-machine", test_file_announced_machine);
  add_with_census ("/file/here", test_file_here);
  return g_test_run ();
}
