/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "command-log.h"

#include <fcntl.h>

#include "afork-error.h"
#include "base/atfork.h"
#include "base/fd.h"
#include "base/i18n.h"

typedef struct
{
  GBytes  *bytes;               /* a frame; or an item, as it was given */
  gboolean is_item;
  int      fd;                  /* ours, or -1 */
} Step;

struct _AForkPreparation
{
  AForkBelonging atfork_hook;   /* the descriptors */
  GArray        *steps;
  GError        *failure;       /* of a step that is none of them, or NULL */
};

static void
clear_step (gpointer data)
{
  Step *step = data;

  g_bytes_unref (step->bytes);
  _afork_fd_clear (&step->fd);
}

static void
run_in_child (gpointer data)
{
  AForkPreparation *self = data;

  for (guint i = 0; i < self->steps->len; i++)
    _afork_fd_clear (&g_array_index (self->steps, Step, i).fd);
}

AForkPreparation *
_afork_preparation_new (void)
{
  AForkPreparation *self = g_new0 (AForkPreparation, 1);

  self->steps = g_array_new (FALSE, FALSE, sizeof (Step));
  g_array_set_clear_func (self->steps, clear_step);
  _afork_atfork_add_hook (&self->atfork_hook, run_in_child, self);
  return self;
}

void
_afork_preparation_free (AForkPreparation *self)
{
  _afork_atfork_remove_hook (&self->atfork_hook);
  g_array_unref (self->steps);
  g_clear_error (&self->failure);
  g_free (self);
}

/* -1 stays -1. */
static int
copy_fd (int fd)
{
  return fd >= 0 ? _afork_fd_own (fcntl (fd, F_DUPFD_CLOEXEC, 3)) : -1;
}

AForkPreparation *
_afork_preparation_copy (AForkPreparation *self)
{
  AForkPreparation *copy = _afork_preparation_new ();

  for (guint i = 0; i < self->steps->len; i++)
    {
      Step step = g_array_index (self->steps, Step, i);

      g_bytes_ref (step.bytes);
      step.fd = copy_fd (step.fd);
      g_array_append_val (copy->steps, step);
    }
  if (self->failure != NULL)
    copy->failure = g_error_copy (self->failure);

  return copy;
}

gboolean
_afork_preparation_add (AForkPreparation *self,
                        const AForkFrame *frame,
                        int               fd)
{
  gsize size = afork_frame_size (frame);
  Step step = { .fd = copy_fd (fd) };
  guint8 *bytes;

  if (fd >= 0 && step.fd < 0)
    return FALSE;

  bytes = g_malloc (size);
  afork_frame_write (frame, bytes);
  step.bytes = g_bytes_new_take (bytes, size);
  g_array_append_val (self->steps, step);
  return TRUE;
}

void
_afork_preparation_add_item (AForkPreparation *self,
                             GBytes           *bytes)
{
  Step step = { .bytes = g_bytes_ref (bytes), .is_item = TRUE, .fd = -1 };

  g_array_append_val (self->steps, step);
}

void
_afork_preparation_fail (AForkPreparation *self,
                         const GError     *error)
{
  if (self->failure == NULL)
    self->failure = g_error_copy (error);
}

static void
replay_step (const Step *step,
             AForkPeer  *peer)
{
  g_autoptr(GError) error = NULL;
  const guint8 *bytes;
  const char *why;
  AForkFrame frame;
  gsize n_bytes, size;
  int fd;

  if (step->is_item)
    {
      _afork_peer_send_item (peer, step->bytes);
      return;
    }

  bytes = g_bytes_get_data (step->bytes, &n_bytes);
  if (afork_frame_parse (bytes, n_bytes, &frame, &size, &why) != AFORK_FRAME_OK)
    g_assert_not_reached ();

  fd = copy_fd (step->fd);
  if (frame.n_fds > 0 && fd < 0)
    {
      error = g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                           _("A descriptor could not be kept for a process: %s"),
                           g_strerror (step->fd < 0 ? EMFILE : errno));
      _afork_peer_abandon (peer, error);
      return;
    }

  _afork_peer_send (peer, &frame, fd);
}

void
_afork_preparation_replay (AForkPreparation *self,
                           AForkPeer        *peer)
{
  for (guint i = 0; i < self->steps->len; i++)
    replay_step (&g_array_index (self->steps, Step, i), peer);
  if (self->failure != NULL)
    _afork_peer_abandon (peer, self->failure);
}
