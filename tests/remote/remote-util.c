/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "remote-util.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ssh-host.h"

static const Way ways[] = { OVER_PIPES, OVER_SSH, OVER_TERMINAL, OVER_SOCKET };

void
add_for_ways (const char *path,
              void      (*test) (Census        *census,
                                 gconstpointer  way))
{
  g_autofree char *by_pipes = g_strconcat ("/agent", path, NULL);
  g_autofree char *by_ssh = g_strconcat ("/ssh", path, NULL);

  add_with_data (by_pipes, &ways[OVER_PIPES], test);
  add_with_data (by_ssh, &ways[OVER_SSH], test);
}

void
add_for_all_ways (const char *path,
                  void      (*test) (Census        *census,
                                     gconstpointer  way))
{
  g_autofree char *by_terminal = g_strconcat ("/terminal", path, NULL);
  g_autofree char *by_socket = g_strconcat ("/socket", path, NULL);

  add_for_ways (path, test);
  add_with_data (by_terminal, &ways[OVER_TERMINAL], test);
  add_with_data (by_socket, &ways[OVER_SOCKET], test);
}

/* The path of a program of the tests in Python. */
static char *
dup_script (const char *folder,
            const char *name)
{
  return g_build_filename (g_getenv ("G_TEST_SRCDIR"), folder, name, NULL);
}

void
enter_ssh (char       **argv,
           const char  *address,
           int          network)
{
  g_autofree char *script = dup_script ("util", "sshd.py");

  ssh_host_enter (argv, script, address, network);
}

char **
dup_ssh_options (void)
{
  const char *configuration = ssh_host_get_configuration ();

  if (configuration == NULL)
    {
      g_test_skip ("ssh or sshd is not installed, or /run/sshd cannot be made");
      return NULL;
    }

  return g_strdupv ((char **) (const char * const []) { "-F", configuration, NULL });
}

AForkRuntime *
new_host (Way way)
{
  return new_named_host (way, way == OVER_SSH ? "127.0.0.1" : "elsewhere");
}

AForkRuntime *
new_named_host (Way         way,
                const char *name)
{
  const char *server = g_getenv ("AFORK_SERVER");
  const char *path[] = { g_getenv ("AFORK_MODULE_PATH"), NULL };
  g_auto(GStrv) options = NULL;
  g_autofree char *destination = NULL;
  g_autofree char *program = NULL;
  AForkRuntime *runtime;

  if (way == OVER_PIPES)
    {
      runtime = afork_runtime_new_agent (name,
                                         (const char * const []) { server, "--agent", NULL });
    }
  else if (way != OVER_SSH)
    {
      program = dup_script ("remote", "agent-at.py");
      runtime = afork_runtime_new_agent (name,
        (const char * const []) { "python3", program,
                                  way == OVER_TERMINAL ? "terminal" : "socket", server, NULL });
    }
  else
    {
      options = dup_ssh_options ();
      if (options == NULL)
        return NULL;
      destination = g_strdup_printf ("%s@%s", g_get_user_name (), name);
      runtime = afork_runtime_new_ssh (destination);
      afork_runtime_set_ssh_options (runtime, (const char * const *) options);
      afork_runtime_set_server_path (runtime, server);
    }

  afork_runtime_set_module_path (runtime, path);
  return runtime;
}

/* Processes. */

GPid
get_parent (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int) pid);
  g_autofree char *text = NULL;
  const char *end;
  int parent = 0;

  if (!g_file_get_contents (path, &text, NULL, NULL) || (end = strrchr (text, ')')) == NULL
      || sscanf (end, ") %*c %d", &parent) != 1)
    return 0;

  return parent;
}

GPid
find_agent (GPid pid)
{
  while (pid > 1)
    {
      g_autofree char *path = g_strdup_printf ("/proc/%d/cmdline", (int) pid);
      g_autofree char *line = NULL;
      gsize size;

      if (g_file_get_contents (path, &line, &size, NULL) && strlen (line) + 1 < size
          && g_str_equal (line + strlen (line) + 1, "--agent"))
        return pid;
      pid = get_parent (pid);
    }

  return 0;
}

gboolean
is_alive (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int) pid);
  g_autofree char *text = NULL;
  const char *end;

  return g_file_get_contents (path, &text, NULL, NULL) && (end = strrchr (text, ')')) != NULL
    && end[1] == ' ' && end[2] != 'Z' && end[2] != 'X';
}

void
await_gone (GPid   pid,
            double seconds)
{
  const gint64 end = g_get_monotonic_time () + (gint64) (seconds * G_USEC_PER_SEC);
  g_autoptr(GSource) ticks = g_timeout_source_new (5);

  g_source_set_callback (ticks, tick_cb, NULL, NULL);
  g_source_attach (ticks, NULL);
  while (is_alive (pid))
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_main_context_iteration (NULL, TRUE);
    }
  g_source_destroy (ticks);
}

static gboolean
is_below (GPid pid,
          GPid ancestor)
{
  while (pid > 1 && pid != ancestor)
    pid = get_parent (pid);

  return pid == ancestor;
}

static gboolean
is_command (const char *line,
            gsize       size,
            const char *program,
            const char *argument)
{
  const gsize length = strlen (line);
  g_autofree char *name = g_path_get_basename (line);

  return length + 1 < size && g_str_equal (name, program)
    && g_str_equal (line + length + 1, argument);
}

GPid
find_process (const char *program,
              const char *argument)
{
  g_autoptr(GDir) processes = g_dir_open ("/proc", 0, NULL);
  const char *entry;

  /* sshd is a child of the parent. */
  while ((entry = g_dir_read_name (processes)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc", entry, "cmdline", NULL);
      g_autofree char *line = NULL;
      gsize size;

      if (g_ascii_isdigit (*entry) && g_file_get_contents (path, &line, &size, NULL)
          && is_command (line, size, program, argument)
          && is_below (atoi (entry), getppid ()) && is_alive (atoi (entry)))
        return atoi (entry);
    }

  return 0;
}

/* Files. */

void
remove_all (const char *path)
{
  if (g_file_test (path, G_FILE_TEST_IS_DIR) && !g_file_test (path, G_FILE_TEST_IS_SYMLINK))
    {
      g_autoptr(GDir) entries = g_dir_open (path, 0, NULL);
      const char *name;

      while ((name = g_dir_read_name (entries)) != NULL)
        {
          g_autofree char *entry = g_build_filename (path, name, NULL);

          remove_all (entry);
        }
    }
  g_assert_no_errno (g_remove (path));
}

/* Modules are found by their paths only. */
gboolean
host_folder_init (HostFolder *self,
                  Way         way)
{
  g_autoptr(GError) error = NULL;

  *self = (HostFolder) { new_host (way) };
  if (self->runtime == NULL)
    return FALSE;

  afork_runtime_set_module_path (self->runtime, NULL);
  self->folder = g_dir_make_tmp ("afork-host-XXXXXX", &error);
  g_assert_no_error (error);
  self->cache = g_build_filename (self->folder, "cache", NULL);
  return TRUE;
}

void
host_folder_clear (HostFolder *self)
{
  if (self->runtime != NULL)
    afork_runtime_set_template (self->runtime, NULL);
  g_clear_object (&self->runtime);
  if (self->folder != NULL)
    remove_all (self->folder);
  g_clear_pointer (&self->folder, g_free);
  g_clear_pointer (&self->cache, g_free);
}

char *
write_file (HostFolder *self,
            const char *name,
            const void *content,
            gsize       size)
{
  char *path = g_build_filename (self->folder, name, NULL);
  g_autoptr(GError) error = NULL;

  g_file_set_contents (path, content, (gssize) size, &error);
  g_assert_no_error (error);
  return path;
}

AForkProcess *
use_cache (HostFolder   *self,
           AForkProcess *process)
{
  return afork_process_setenv (process, "XDG_CACHE_HOME", self->cache);
}

AForkProcess *
require_path (AForkProcess *process,
              const char   *path)
{
  g_autoptr(GFile) file = g_file_new_for_path (path);

  return afork_process_require_file (process, file);
}

/* A caller that is killed. */

void
wait_to_be_killed (GPid worker)
{
  iterate ();
  g_print ("%d\n", (int) worker);
  fflush (stdout);
  for (;;)
    pause ();
}

void
be_busy_caller (AForkRpc *rpc)
{
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) pid = call (rpc, do_args ("pid", 0), &error);

  g_assert_no_error (error);
  begin_call (rpc, "stuck", 0, NULL, &result);
  wait_to_be_killed ((GPid) g_variant_get_uint32 (pid));
}

void
kill_busy_caller (const char *argument,
                  double      seconds)
{
  g_autoptr(GSubprocess) caller = NULL;
  g_autoptr(GDataInputStream) lines = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *line = NULL;
  GPid worker;

  caller = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, "/proc/self/exe",
                             "--be-caller", argument, NULL);
  g_assert_no_error (error);
  lines = g_data_input_stream_new (g_subprocess_get_stdout_pipe (caller));
  line = g_data_input_stream_read_line (lines, NULL, NULL, &error);
  g_assert_no_error (error);
  worker = atoi (line);
  g_assert_true (is_alive (worker));
  g_subprocess_force_exit (caller);
  g_assert_true (g_subprocess_wait (caller, NULL, NULL));
  await_gone (worker, seconds);
}
