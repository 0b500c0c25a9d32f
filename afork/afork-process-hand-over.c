/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What all ways of handing a process over have in common: each is taken once, and answered once. */

#include "config.h"

#include "afork-process.h"
#include "afork-process-private.h"

#include <fcntl.h>

#include "afork-error.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "base/task.h"

/* The caller has lost interest, and without it the process has nobody to talk to. */
static void
give_up (AForkProcess *self)
{
  if (self->function != NULL)
    _afork_process_abandon (self, AFORK_ERROR_CLOSED, _("Running “%s” was cancelled"),
                            self->function);
  else
    _afork_process_abandon (self, AFORK_ERROR_CLOSED, _("Running the process was cancelled"));
}

static const GError *
get_kill_error (AForkProcess *self)
{
  return _afork_life_get_kill_error (_afork_peer_get_life (self->peer));
}

/* Answers TASK, which was cancelled, when it is known whether the process could be killed. */
static void
return_cancelled (AForkProcess *self,
                  GTask        *task)
{
  const GError *error = get_kill_error (self);

  if (_afork_life_is_being_killed (_afork_peer_get_life (self->peer)))
    g_set_object (&self->cancelled_task, task);
  else if (error != NULL)
    g_task_return_error (task, g_error_copy (error));
  else
    _afork_task_return_cancelled (task);
}

void
_afork_process_return_cancelled (AForkProcess *self)
{
  g_autoptr(GTask) task = g_steal_pointer (&self->cancelled_task);

  if (task != NULL)
    return_cancelled (self, task);
}

/* The task of a run that is to be answered now, or NULL if it has been. */
static GTask *
take_run_task (AForkProcess *self)
{
  if (self->run_task != NULL)
    _afork_task_unwatch_cancellable (self->run_task);

  return g_steal_pointer (&self->run_task);
}

static void
fd_free (gpointer data)
{
  _afork_fd_close (*(int *) data);
  g_free (data);
}

/* Answers an object of the library that runs the process. False if there is none. */
static gboolean
return_ran (AForkProcess *self,
            GSocket      *socket,
            const GError *error)
{
  AForkRanFunc func = g_steal_pointer (&self->ran_func);
  g_autoptr(GSocketConnection) connection = NULL;

  if (func == NULL)
    return FALSE;

  if (socket != NULL)
    connection = g_socket_connection_factory_create_connection (socket);
  func (self, connection, error, self->ran_data);
  return TRUE;
}

static void
return_descriptor (GTask   *task,
                   GSocket *socket)
{
  int fd = _afork_fd_own (fcntl (g_socket_get_fd (socket), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));

  if (fd < 0)
    g_task_return_new_error (task, AFORK_ERROR, AFORK_ERROR_SPAWN,
                             _("The descriptor of the process could not be kept: %s"),
                             g_strerror (errno));
  else
    g_task_return_pointer (task, g_memdup2 (&fd, sizeof fd), fd_free);
}

void
_afork_process_return_socket (AForkProcess *self,
                              GSocket      *socket)
{
  g_autoptr(GTask) task = take_run_task (self);

  if (return_ran (self, socket, NULL) || task == NULL)
    return;

  /* The two have come together, and cancelling it kills the process. */
  if (g_cancellable_is_cancelled (g_task_get_cancellable (task)))
    {
      give_up (self);
      return_cancelled (self, task);
    }
  else if (self->detached)
    return_descriptor (task, socket);
  else
    g_task_return_pointer (task, g_socket_connection_factory_create_connection (socket),
                           g_object_unref);
}

void
_afork_process_return_failure (AForkProcess *self,
                               const GError *error)
{
  g_autoptr(GTask) task = take_run_task (self);

  if (!return_ran (self, NULL, error) && task != NULL)
    g_task_return_error (task, g_error_copy (error));
}

static void
run_cancelled_cb (gpointer data)
{
  AForkProcess *self = g_task_get_source_object (data);
  g_autoptr(GTask) task = take_run_task (self);

  if (task == NULL)
    return;

  give_up (self);
  return_cancelled (self, task);
}

void
_afork_process_fail_disposed (AForkProcess *self)
{
  g_autoptr(GError) error = _afork_process_new_disposed_error ();
  g_autoptr(GTask) task = take_run_task (self);
  g_autoptr(GTask) cancelled_task = g_steal_pointer (&self->cancelled_task);

  if (task != NULL)
    _afork_task_return_error_later (task, g_error_copy (error));
  if (cancelled_task != NULL)
    _afork_task_return_error_later (cancelled_task, g_error_copy (error));
  return_ran (self, NULL, error);
}

gboolean
_afork_process_take_over (AForkProcess  *self,
                          GError       **error)
{
  if (self->disposed)
    {
      g_propagate_error (error, _afork_process_new_disposed_error ());
      return FALSE;
    }
  if (self->function != NULL)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED,
                   _("The process was told already to run “%s”"), self->function);
      return FALSE;
    }
  if (self->handed_over)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED,
                   _("The process was run or detached already"));
      return FALSE;
    }

  self->handed_over = TRUE;
  g_clear_pointer (&self->spares, _afork_spares_free);
  return TRUE;
}

gboolean
_afork_process_begin_hand_over (AForkProcess *self,
                                GTask        *task)
{
  g_autoptr(GError) error = NULL;

  /* Else the task would hide a process that runs. */
  g_task_set_check_cancellable (task, FALSE);
  if (_afork_process_take_over (self, &error))
    return TRUE;

  g_task_return_error (task, g_steal_pointer (&error));
  return FALSE;
}

gboolean
_afork_process_ensure_started (AForkProcess  *self,
                               GError       **error)
{
  GError *failure;

  if (_afork_peer_get_failure (self->peer) == NULL && _afork_process_is_stranded (self))
    _afork_process_abandon (self, AFORK_ERROR_CLOSED,
                            _("The main context of the process is gone"));
  else if (!self->started && _afork_peer_get_failure (self->peer) == NULL)
    _afork_process_start (self);
  failure = _afork_peer_get_failure (self->peer);
  if (failure != NULL)
    g_propagate_error (error, g_error_copy (failure));
  return failure == NULL;
}

gboolean
_afork_process_await_hand_over (AForkProcess *self,
                                GTask        *task)
{
  g_autoptr(GError) error = NULL;

  if (g_task_return_error_if_cancelled (task))
    {
      give_up (self);
      return FALSE;
    }
  if (!_afork_process_ensure_started (self, &error))
    {
      g_task_return_error (task, g_steal_pointer (&error));
      return FALSE;
    }

  _afork_task_watch_cancellable (task, run_cancelled_cb);
  self->run_task = g_object_ref (task);
  return TRUE;
}
