/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* How a process comes to be: executed, forked, or taken over. */

#include "config.h"

#include "afork-process.h"
#include "afork-process-private.h"

#include "afork-error.h"
#include "base/i18n.h"
#include "afork-runtime.h"
#include "afork-runtime-private.h"

void
_afork_process_start (AForkProcess *self)
{
  const AForkFrame frame = {
    .kind = AFORK_FRAME_TITLE,
    .string = { afork_process_get_title (self) },
  };

  self->started = TRUE;
  _afork_runtime_spawn (self->runtime, self->peer);
  _afork_peer_send (self->peer, &frame, -1);
  if (self->die_with_parent)
    _afork_peer_tie (self->peer);
  if (self->preparation != NULL)
    _afork_preparation_replay (self->preparation, self->peer);
}

/* Its program is executed when it is run, and then told what the template was told. */
static void
begin_later (AForkProcess *self,
             AForkProcess *template)
{
  if (template == NULL)
    {
      self->preparation = _afork_preparation_new ();
      return;
    }
  if (template->preparation == NULL)
    {
      _afork_process_abandon (self, AFORK_ERROR_NOT_SUPPORTED,
                              _("A process of the runtime “%s” that was taken over cannot be "
                                "forked"),
                              afork_runtime_get_name (self->runtime));
      return;
    }

  self->preparation = _afork_preparation_copy (template->preparation);
  if (_afork_peer_get_failure (template->peer) != NULL)
    _afork_peer_fail_like_template (self->peer, template->peer);
}

/* A fork that was made already. */
static void
become_spare (AForkProcess *self,
              AForkPeer    *spare)
{
  _afork_process_take_peer (self, spare);
  if (_afork_life_is_known (_afork_peer_get_life (spare)))
    self->state = AFORK_PROCESS_STATE_PREPARING;
}

static void
begin_as_fork (AForkProcess *self,
               AForkProcess *template)
{
  AForkPeer *spare = NULL;

  self->started = TRUE;
  if (template->spares != NULL)
    spare = _afork_spares_take (template->spares);
  if (spare != NULL)
    become_spare (self, spare);
  else
    _afork_peer_fork (self->peer, template->peer);
}

void
_afork_process_begin (AForkProcess *self)
{
  AForkProcess *template = self->template;

  if (self->fd >= 0)
    {
      self->started = TRUE;
      _afork_peer_set_start_timeout (self->peer, afork_runtime_get_start_timeout (self->runtime));
      _afork_peer_adopt (self->peer, g_steal_fd (&self->fd));
      return;
    }

  if (template == NULL && !self->fresh)
    template = afork_runtime_get_template (self->runtime);
  if (template != NULL && !_afork_process_can_prepare (template))
    {
      _afork_process_abandon (self, AFORK_ERROR_CLOSED,
                              _("The process could not be forked from its template: that was run"));
      return;
    }
  if (template != NULL)
    {
      self->title = g_strdup (template->title);
      self->die_with_parent = template->die_with_parent;
    }

  if (!afork_runtime_get_can_fork (self->runtime))
    {
      begin_later (self, template);
    }
  else if (template == NULL)
    {
      _afork_process_start (self);
    }
  else
    {
      begin_as_fork (self, template);
    }
}

void
_afork_process_replace (AForkProcess *self,
                        AForkProcess *replaced)
{
  g_clear_pointer (&self->preparation, _afork_preparation_free);
  if (replaced == NULL || replaced->preparation == NULL)
    {
      self->preparation = _afork_preparation_new ();
      return;
    }

  self->title = g_strdup (replaced->title);
  self->preparation = _afork_preparation_copy (replaced->preparation);
  if (replaced->die_with_parent)
    afork_process_set_die_with_parent (self, TRUE);
  if (self->started)
    _afork_preparation_replay (self->preparation, self->peer);
  afork_process_set_spare (self, replaced->spare);
}

/* Making processes. */

/**
 * afork_process_new: (constructor)
 *
 * Creates a process of the default runtime by forking that runtime's template, which is started
 * first if need be; see [func@AFork.Runtime.get_default].
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_new (void)
{
  return g_object_new (AFORK_TYPE_PROCESS, NULL);
}

/**
 * afork_process_new_for_runtime: (constructor)
 * @runtime: a runtime
 *
 * Creates a process of @runtime by forking its template, which is started first if need be. If the
 * runtime cannot fork, its program is executed when the process is run, and told then what was
 * queued until then.
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_new_for_runtime (AForkRuntime *runtime)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (runtime), NULL);

  return g_object_new (AFORK_TYPE_PROCESS, "runtime", runtime, NULL);
}

/**
 * afork_process_new_exec: (constructor)
 * @runtime: (nullable): a runtime, or `NULL` for the default one
 *
 * Creates a process by executing the runtime's program, which takes longer than forking its
 * template, but inherits nothing from that: the process has the environment and the folder that
 * this process, or @runtime, has now. Where [func@AFork.early] was called, that process is forked
 * instead of executing the native runtime's program.
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_new_exec (AForkRuntime *runtime)
{
  g_return_val_if_fail (runtime == NULL || AFORK_IS_RUNTIME (runtime), NULL);

  return g_object_new (AFORK_TYPE_PROCESS, "runtime", runtime, "fresh", TRUE, NULL);
}

/**
 * afork_process_new_template: (constructor)
 * @error: return location for an [error@AFork.Error]
 *
 * Forks the calling program as it is now, with everything that it has loaded, into a process that
 * is prepared, forked and run like any other. Functions are looked for in the modules that are
 * loaded there, the newest first, and then in the program itself and in the libraries that it is
 * linked with; `:NAME` names one of the program. What the program is to export, it must be linked
 * for: with `-rdynamic`, in meson with `export_dynamic: true`.
 *
 * The program must have one thread. GLib starts one of its own with the first asynchronous call,
 * this library's among them, so call this before. See the page on [templates of the program
 * itself](templates-of-the-program.html).
 *
 * This call takes as long as forking the program does, which grows with its size; forks of the
 * template are then no matter of the program's. The number of the process is known at once. Its
 * runtime is called `program`.
 *
 * Fails with `AFORK_ERROR_THREADS`, and the names of the threads, if the program has more than one,
 * and with `AFORK_ERROR_SPAWN` if the system is out of processes, descriptors or memory.
 *
 * Returns: (transfer full): a new process, or `NULL` on error
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_new_template (GError **error)
{
  g_autoptr(AForkProcess) process = NULL;
  GError *failure;

  process = g_object_new (AFORK_TYPE_PROCESS,
                          "runtime", _afork_runtime_get_program (),
                          "fresh", TRUE,
                          NULL);
  failure = _afork_peer_get_failure (process->peer);
  if (failure != NULL)
    {
      /* There is no owner to be told, and nothing is left of it. */
      _afork_peer_forget_tales (process->peer);
      g_propagate_error (error, g_error_copy (failure));
      return NULL;
    }

  return g_steal_pointer (&process);
}

/**
 * afork_process_new_from_fd: (constructor)
 * @fd: a descriptor that [method@AFork.Process.detach_finish] gave, in this process or in another;
 *   it is the new object's from here on
 *
 * Takes a process over that somebody else has prepared and detached, to go on preparing, forking
 * and running it. It has everything that it was given so far.
 *
 * Whoever has forked the process goes on reaping it. Here, its end is seen all the same, and how
 * it ended where the kernel tells (Linux does from 6.15 on); where it does not, waiting for it
 * fails with `AFORK_ERROR_LOST`, and what it has used is not known. All of that is known of forks
 * of it.
 *
 * The process counts as one of the default runtime; a program with others sets
 * [property@AFork.Process:runtime] along with [property@AFork.Process:fd] instead.
 *
 * What is wrong with @fd is told where the new process is run: `AFORK_ERROR_FAILED` if it is no
 * connected stream socket, `AFORK_ERROR_LOST` if the process has ended, `AFORK_ERROR_PROTOCOL` if
 * the other side is no such process, or one of another version of the protocol. If descriptors or
 * memory are used up, that is `AFORK_ERROR_SPAWN`. A side that never answers is waited for until
 * that is cancelled.
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_new_from_fd (int fd)
{
  /* What is no descriptor must not be the property's -1, which is for other processes. */
  return g_object_new (AFORK_TYPE_PROCESS, "fd", fd >= 0 ? fd : G_MAXINT, NULL);
}

/**
 * afork_process_fork:
 * @self: a process that was not run
 *
 * Makes another process of this one, with all that was queued for it so far. Both then go on
 * independently of each other. What was queued and could not be done fails both.
 *
 * If @self was run, executed or detached, the new process fails with `AFORK_ERROR_CLOSED`.
 *
 * If @self has more than one thread, started by a module, the new process fails with
 * `AFORK_ERROR_THREADS`, and @self does not.
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_fork (AForkProcess *self)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);

  return g_object_new (AFORK_TYPE_PROCESS, "template", self, NULL);
}
