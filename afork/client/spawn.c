/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "spawn.h"

#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "afork-error.h"
#include "base/context.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "base/pidfd-info.h"
#include "base/shared-child.h"
#include "pid-watch.h"
#include "server/descriptors.h"
#include "system/pidfd.h"

#define SOCKET_ARGUMENT "--socket=3"

/* Plans what the child does with its descriptors and working directory before it executes the
 * program. The order matters: a socket that is itself 0 or 1 is copied before it is replaced.
 * Copying it onto its own number clears close-on-exec. */
static int
plan_descriptors (posix_spawn_file_actions_t *actions,
                  const char                 *working_directory,
                  AForkSpawnSocket            how,
                  int                         socket)
{
  int first_closed = AFORK_SPAWN_SOCKET_NUMBER + 1;
  int result;

  if (how != AFORK_SPAWN_SOCKET_STANDARD)
    {
      result = posix_spawn_file_actions_adddup2 (actions, socket, AFORK_SPAWN_SOCKET_NUMBER);
    }
  else
    {
      first_closed = STDERR_FILENO + 1;
      result = posix_spawn_file_actions_adddup2 (actions, socket, STDIN_FILENO);
      if (result == 0)
        result = posix_spawn_file_actions_adddup2 (actions, socket, STDOUT_FILENO);
    }

  if (result == 0)
    result = posix_spawn_file_actions_addclosefrom_np (actions, first_closed);
  if (result == 0 && working_directory != NULL)
    result = posix_spawn_file_actions_addchdir_np (actions, working_directory);
  return result;
}

static int
plan_signals (posix_spawnattr_t *attributes)
{
  sigset_t none, all;
  int result;

  sigemptyset (&none);
  sigfillset (&all);
  result = posix_spawnattr_setsigmask (attributes, &none);
  if (result == 0)
    result = posix_spawnattr_setsigdefault (attributes, &all);
  if (result == 0)
    result = posix_spawnattr_setflags (attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  return result;
}

/* Returns an error number, as posix_spawn() does. posix_spawn() shares the memory of this process
 * until the program is executed, so its cost does not depend on the size of this process. */
static int
spawn (const char * const *argv,
       const char * const *environment,
       const char         *working_directory,
       AForkSpawnSocket    how,
       int                 socket,
       GPid               *pid)
{
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int result;

  result = posix_spawn_file_actions_init (&actions);
  if (result != 0)
    return result;
  result = posix_spawnattr_init (&attributes);
  if (result == 0)
    {
      result = plan_descriptors (&actions, working_directory, how, socket);
      if (result == 0)
        result = plan_signals (&attributes);
      if (result == 0)
        result = posix_spawnp (pid, argv[0], &actions, &attributes, (char **) argv,
                               environment != NULL ? (char **) environment : environ);
      posix_spawnattr_destroy (&attributes);
    }

  posix_spawn_file_actions_destroy (&actions);
  return result;
}

/* The same with older system calls. The C library falls back from clone3() only for ENOSYS, and
 * sandboxes refuse it with other errors. Without close_range() and /proc, posix_spawn() does not
 * close descriptors at all. */

/* What the child needs. It shares the memory, and writes its result here. */
typedef struct
{
  const char * const *paths;            /* where the program may be; ends with NULL */
  char * const       *argv;
  char * const       *environment;
  const char         *working_directory;
  AForkSpawnSocket    how;
  int                 socket;
  int                 error;            /* 0 if the program was executed */
  gboolean            has_more_fds;     /* it was not, because descriptors may be left open */
} Child;

/* The functions of the child. They return 0 or an error number. The child shares the memory of this
 * process but has no other threads, so all of them are async-signal-safe. */

static int
child_copy_fd (int fd,
               int target)
{
  if (fd == target)
    return fcntl (fd, F_SETFD, 0) < 0 ? errno : 0;

  return dup2 (fd, target) < 0 ? errno : 0;
}

static int
child_arrange_fds (Child *self)
{
  int first_closed = AFORK_SPAWN_SOCKET_NUMBER + 1;
  int result;

  if (self->how != AFORK_SPAWN_SOCKET_STANDARD)
    {
      result = child_copy_fd (self->socket, AFORK_SPAWN_SOCKET_NUMBER);
    }
  else
    {
      first_closed = STDERR_FILENO + 1;
      result = child_copy_fd (self->socket, STDIN_FILENO);
      if (result == 0)
        result = child_copy_fd (self->socket, STDOUT_FILENO);
    }

  if (result == 0 && !afork_close_from (first_closed))
    {
      self->has_more_fds = TRUE;
      result = EMFILE;
    }
  return result;
}

/* Signals that cannot be set have their default action already. */
static void
child_reset_signals (void)
{
  struct sigaction action = { .sa_handler = SIG_DFL };
  sigset_t none;

  for (int signal = 1; signal < NSIG; signal++)
    sigaction (signal, &action, NULL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

/* Whether the program may be in one of the next directories of PATH. */
static gboolean
may_be_elsewhere (int error)
{
  return error == ENOENT || error == ENOTDIR || error == EACCES || error == ESTALE
    || error == ENODEV || error == ETIMEDOUT || error == ELOOP;
}

static int
child_execute (Child *self)
{
  int result = ENOENT;

  for (guint i = 0; self->paths[i] != NULL; i++)
    {
      execve (self->paths[i], self->argv, self->environment);
      if (errno != ENOENT || result != EACCES)
        result = errno;
      if (!may_be_elsewhere (errno))
        break;
    }

  return result;
}

static int
child_main (void *data)
{
  Child *self = data;

  self->error = child_arrange_fds (self);
  if (self->error == 0 && self->working_directory != NULL && chdir (self->working_directory) < 0)
    self->error = errno;
  if (self->error == 0)
    {
      child_reset_signals ();
      self->error = child_execute (self);
    }

  _exit (127);
}

/* The paths that execvp() would try for FILE. */
static char **
find_paths (const char *file)
{
  g_autoptr(GPtrArray) paths = g_ptr_array_new ();
  g_auto(GStrv) directories = NULL;
  const char *path = g_getenv ("PATH");

  if (strchr (file, '/') != NULL || *file == '\0')
    {
      g_ptr_array_add (paths, g_strdup (file));
    }
  else
    {
      directories = g_strsplit (path != NULL ? path : "/bin:/usr/bin", ":", -1);
      for (guint i = 0; directories[i] != NULL; i++)
        g_ptr_array_add (paths, g_build_filename (*directories[i] != '\0' ? directories[i] : ".",
                                                  file, NULL));
    }

  g_ptr_array_add (paths, NULL);
  return (char **) g_ptr_array_steal (paths, NULL);
}

static int
spawn_by_clone (const char * const *argv,
                const char * const *environment,
                const char         *working_directory,
                AForkSpawnSocket    how,
                int                 socket,
                GPid               *pid,
                gboolean           *has_more_fds)
{
  g_auto(GStrv) paths = find_paths (argv[0]);
  Child child = {
    .paths = (const char * const *) paths,
    .argv = (char **) argv,
    .environment = environment != NULL ? (char **) environment : environ,
    .working_directory = working_directory,
    .how = how,
    .socket = socket,
  };
  int result = _afork_shared_child_run (child_main, &child, SIGCHLD, pid);

  if (result != 0 || child.error == 0)
    return result;

  /* The child has exited. */
  while (waitpid (*pid, NULL, 0) < 0 && errno == EINTR)
    ;
  *has_more_fds = child.has_more_fds;
  return child.error;
}

/* Whether posix_spawn() can close the descriptors that the child must not have. */
static gboolean
can_close_fds (void)
{
  struct stat status;

  /* There is no such descriptor, so this closes nothing. */
  return afork_sys_close_range (~0U, ~0U) == 0 || stat ("/proc/self/fd", &status) == 0;
}

/* Whether older system calls would fail with ERROR, too. */
static gboolean
is_final (int error)
{
  switch (error)
    {
    case 0:
    case EAGAIN:
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ENOEXEC:
    case E2BIG:
    case ELOOP:
    case ENAMETOOLONG:
    case ETXTBSY:
    case ELIBBAD:
    case EIO:
      return TRUE;
    default:
      return FALSE;
    }
}

static int
spawn_anyhow (const char * const *argv,
              const char * const *environment,
              const char         *working_directory,
              AForkSpawnSocket    how,
              int                 socket,
              GPid               *pid,
              gboolean           *has_more_fds)
{
  int result = ENOSYS;

  *has_more_fds = FALSE;
  if (can_close_fds ())
    result = spawn (argv, environment, working_directory, how, socket, pid);
  if (!is_final (result) && afork_is_missing (result))
    result = spawn_by_clone (argv, environment, working_directory, how, socket, pid, has_more_fds);
  return result;
}

static const char **
add_argument (const char * const *argv,
              const char         *argument)
{
  gsize n_arguments = g_strv_length ((char **) argv);
  const char **longer = g_new0 (const char *, n_arguments + 2);

  for (gsize i = 0; i < n_arguments; i++)
    longer[i] = argv[i];
  longer[n_arguments] = argument;
  return longer;
}

gboolean
_afork_spawn (const char * const  *argv,
              const char * const  *environment,
              const char          *working_directory,
              AForkSpawnSocket     how,
              int                  socket,
              GPid                *pid,
              int                 *pidfd,
              GError             **error)
{
  g_auto(AForkFd) owned_socket = socket;
  g_autofree const char **longer = NULL;
  g_autofree char *program = g_filename_display_name (argv[0]);
  gboolean has_more_fds;
  GPid child;
  int result;

  g_assert (argv != NULL && argv[0] != NULL);

  if (how == AFORK_SPAWN_SOCKET_NUMBERED)
    argv = longer = add_argument (argv, SOCKET_ARGUMENT);
  else if (how == AFORK_SPAWN_SOCKET_HIDDEN)
    argv = longer = add_argument (argv, AFORK_SPAWN_HIDDEN_ARGUMENT);
  result = spawn_anyhow (argv, environment, working_directory, how, socket, &child, &has_more_fds);
  if (result != 0 && has_more_fds)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("“%s” was not executed, because it might inherit descriptors: some from %d "
                     "on may be open, and neither close_range() nor /proc is available to find "
                     "them"), program, AFORK_LAST_SOUGHT_FD);
      return FALSE;
    }
  if (result != 0 && working_directory != NULL)
    {
      g_autofree char *directory = g_filename_display_name (working_directory);

      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("“%s” could not be executed in “%s”: %s"),
                   program, directory, g_strerror (result));
      return FALSE;
    }
  if (result != 0)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("“%s” could not be executed: %s"), program, g_strerror (result));
      return FALSE;
    }

  /* Close the socket first, so that there is a free descriptor for the pidfd. */
  _afork_fd_clear (&owned_socket);
  if (!_afork_pidfd_open_child (child, pidfd, error))
    {
      _afork_pid_watch_discard_child (_afork_get_thread_context (), child);
      g_prefix_error (error, _("“%s” was started but could not be watched: "), program);
      return FALSE;
    }

  *pid = child;
  return TRUE;
}
