/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "remote-util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char sshd_path[] = "/usr/sbin/sshd";

#define FOLDER_VARIABLE "AFORK_TEST_SSH_FOLDER"
#define PORT_VARIABLE "AFORK_TEST_SSH_PORT"
#define ADDRESS_VARIABLE "AFORK_TEST_SSH_ADDRESS"

static char *folder;            /* of keys and configuration */
static const char *address = "127.0.0.1";
static int network = -1;        /* the network namespace of the server, or -1 for the same */
static guint port;
static GPid sshd;

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

static guint
find_port (void)
{
  struct sockaddr_in name = {
    .sin_family = AF_INET, .sin_addr = { htonl (INADDR_LOOPBACK) },
  };
  socklen_t size = sizeof name;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_no_errno (bind (fd, (struct sockaddr *) &name, sizeof name));
  g_assert_no_errno (getsockname (fd, (struct sockaddr *) &name, &size));
  close (fd);
  return ntohs (name.sin_port);
}

static char *
in_folder (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

static void
make_key (const char *name)
{
  g_autofree char *path = in_folder (name);
  const char *argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path, NULL };
  int status;

  g_assert_true (g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, &status, NULL));
  g_assert_cmpint (status, ==, 0);
}

static void
write_file (const char *name,
            const char *text)
{
  g_autofree char *path = in_folder (name);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_assert_no_errno (g_chmod (path, 0600));
}

static char *
read_file (const char *name)
{
  g_autofree char *path = in_folder (name);
  char *text;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return text;
}

/* In a child of this program, which ends with this program. */
static void
end_with_parent_cb (gpointer data)
{
  prctl (PR_SET_PDEATHSIG, SIGTERM);
}

/* The same for sshd, which stays in front. */
static void
enter_network_cb (gpointer data)
{
  end_with_parent_cb (data);
  if (network >= 0)
    setns (network, CLONE_NEWNET);
}

static void
await_port (void)
{
  struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons ((guint16) port) };
  g_autoptr(GSource) deadline = deadline_new ("the server of ssh");
  gboolean connected = FALSE;

  g_assert_cmpint (inet_pton (AF_INET, address, &name.sin_addr), ==, 1);
  while (!connected)
    {
      int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

      connected = connect (fd, (struct sockaddr *) &name, sizeof name) == 0;
      close (fd);
      if (!connected)
        {
          g_assert_cmpint (waitpid (sshd, NULL, WNOHANG), ==, 0);
          g_usleep (10000);
        }
    }
  deadline_clear (g_steal_pointer (&deadline));
}

/* The limits of sessions are Debian's. bash reads no start-up files for commands at this level. */
static void
write_configuration (void)
{
  g_autofree char *key = read_file ("user.pub");
  g_autofree char *host_key = read_file ("host.pub");
  g_autofree char *known = NULL;
  g_autofree char *configuration = NULL;

  write_file ("authorized_keys", key);
  known = g_strdup_printf ("[%s]:%u %s", address, port, host_key);
  write_file ("known_hosts", known);
  configuration = g_strdup_printf ("Port %u\nListenAddress %s\nHostKey %s/host\n"
                                   "AuthorizedKeysFile %s/authorized_keys\nPidFile none\n"
                                   "StrictModes no\nUsePAM no\nPermitRootLogin yes\n"
                                   "PasswordAuthentication no\n"
                                   "KbdInteractiveAuthentication no\n"
                                   "MaxStartups 10:30:100\nMaxSessions 10\nSetEnv SHLVL=5\n"
                                   "LogLevel ERROR\n",
                                   port, address, folder, folder);
  write_file ("sshd_config", configuration);
}

/* Whether sshd could be started. */
static gboolean
start_sshd (void)
{
  const char *argv[] = { NULL, "-D", "-e", "-f", NULL, NULL };
  g_autofree char *configuration = NULL;
  g_autofree char *ssh = g_find_program_in_path ("ssh");
  g_autoptr(GError) error = NULL;

  if (ssh == NULL || !g_file_test (sshd_path, G_FILE_TEST_IS_EXECUTABLE))
    return FALSE;
  /* sshd run by root wants a directory for its separated processes. */
  if (getuid () == 0 && !g_file_test ("/run/sshd", G_FILE_TEST_IS_DIR)
      && g_mkdir ("/run/sshd", 0755) < 0)
    return FALSE;

  folder = g_dir_make_tmp ("afork-ssh-XXXXXX", &error);
  g_assert_no_error (error);
  port = find_port ();
  make_key ("host");
  make_key ("user");
  write_configuration ();
  configuration = in_folder ("sshd_config");
  argv[0] = sshd_path;
  argv[4] = configuration;
  g_assert_true (g_spawn_async (NULL, (char **) argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD,
                                enter_network_cb, NULL, &sshd, &error));
  await_port ();
  return TRUE;
}

static void
stop_sshd (void)
{
  static const char * const names[] = {
    "host", "host.pub", "user", "user.pub", "authorized_keys", "known_hosts", "sshd_config",
  };

  kill (sshd, SIGTERM);
  waitpid (sshd, NULL, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = in_folder (names[i]);

      g_remove (path);
    }
  g_rmdir (folder);
  g_clear_pointer (&folder, g_free);
}

int
run_with_sshd_at (char       **argv,
                  const char  *at,
                  int          in_network)
{
  if (at != NULL)
    address = at;
  network = in_network;
  return run_with_sshd (argv);
}

int
run_with_sshd (char **argv)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *number = NULL;
  gboolean started;
  int status;

  if (g_getenv (FOLDER_VARIABLE) != NULL)
    {
      folder = g_strdup (g_getenv (FOLDER_VARIABLE));
      port = (guint) atoi (g_getenv (PORT_VARIABLE));
      address = g_getenv (ADDRESS_VARIABLE);
      return -1;
    }

  started = start_sshd ();
  number = g_strdup_printf ("%u", port);
  g_setenv (FOLDER_VARIABLE, started ? folder : "", TRUE);
  g_setenv (PORT_VARIABLE, number, TRUE);
  g_setenv (ADDRESS_VARIABLE, address, TRUE);
  g_assert_true (g_spawn_sync (NULL, argv, NULL,
                               G_SPAWN_CHILD_INHERITS_STDIN | G_SPAWN_LEAVE_DESCRIPTORS_OPEN,
                               end_with_parent_cb, NULL, NULL, NULL, &status, &error));
  if (started)
    stop_sshd ();
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

char **
dup_ssh_options (void)
{
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *number = NULL;
  g_autofree char *key = NULL;
  g_autofree char *known = NULL;
  g_autofree char *host = NULL;

  if (folder == NULL || *folder == '\0')
    {
      g_test_skip ("ssh or sshd is not installed, or /run/sshd cannot be made");
      return NULL;
    }

  number = g_strdup_printf ("-p%u", port);
  key = g_strdup_printf ("-oIdentityFile=%s/user", folder);
  known = g_strdup_printf ("-oUserKnownHostsFile=%s/known_hosts", folder);
  host = g_strdup_printf ("-oHostname=%s", address);
  g_strv_builder_add_many (builder, "-F", "/dev/null", number, key, known,
                           "-oGlobalKnownHostsFile=/dev/null", "-oIdentitiesOnly=yes",
                           "-oIdentityAgent=none", "-oStrictHostKeyChecking=yes", host, NULL);
  return g_strv_builder_end (builder);
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
      /* A caller that a test has executed is no test program. */
      program = g_getenv ("G_TEST_SRCDIR") != NULL
        ? g_build_filename (g_getenv ("G_TEST_SRCDIR"), "remote", "agent-at.py", NULL)
        : g_test_build_filename (G_TEST_DIST, "remote", "agent-at.py", NULL);
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
