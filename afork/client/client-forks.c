/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The forks of a template as its peer knows them: those that it reports on, and those that have not
 * been heard of yet. */

#include "config.h"

#include "client-parts.h"

/* Signals. A process that this one may not signal is signalled by its parent, which reports it. */

/* What the parent was asked for, or is to be. */
typedef struct
{
  guint32 number;               /* of the fork */
  int     signal;               /* 0: none from now on, and this is not answered */
} Request;

/* Behind the last command nothing may come until it is known whether the socket is the server's
 * still. */
static gboolean
can_be_asked (AForkPeer *self)
{
  return self->channel != NULL && (!self->told_to_run || self->gave_up || self->only_reports);
}

static void
send_request (AForkPeer     *self,
              const Request *request)
{
  const AForkFrame frame = {
    .kind = request->signal != 0 ? AFORK_FRAME_SIGNAL : AFORK_FRAME_DISOWN,
    .number = { request->number, (guint32) request->signal },
  };

  _afork_channel_send (self->channel, &frame, -1);
}

void
_afork_peer_send_requests (AForkPeer *self)
{
  if (!can_be_asked (self))
    return;

  while (self->unsent_request != NULL)
    {
      GList *link = self->unsent_request;
      Request *request = link->data;

      self->unsent_request = link->next;
      send_request (self, request);
      if (request->signal != 0)
        {
          self->n_requests_sent++;
        }
      else
        {
          g_queue_delete_link (&self->requests, link);
          g_free (request);
        }
    }

  /* Who sends a signal need not iterate the main context. */
  _afork_channel_push (self->channel);
}

static void
add_request (AForkPeer *self,
             guint32    number,
             int        signal)
{
  Request *request = g_new (Request, 1);

  *request = (Request) { number, signal };
  g_queue_push_tail (&self->requests, request);
  if (self->unsent_request == NULL)
    self->unsent_request = self->requests.tail;
  _afork_peer_send_requests (self);
}

static gboolean
request_signal (gpointer reporter,
                guint32  number,
                int      signal)
{
  AForkPeer *self = reporter;

  if (self->channel == NULL || !_afork_channel_is_open (self->channel))
    return FALSE;

  add_request (self, number, signal);
  return TRUE;
}

gboolean
_afork_peer_take_answer (AForkPeer *self,
                         guint32    number,
                         int        result)
{
  g_autofree Request *request = NULL;
  AForkLife *life;

  if (self->n_requests_sent == 0)
    return FALSE;

  request = g_queue_pop_head (&self->requests);
  self->n_requests_sent--;
  if (request->number != number)
    return FALSE;

  life = self->lives != NULL ? g_hash_table_lookup (self->lives, GUINT_TO_POINTER (number)) : NULL;
  if (life != NULL)
    _afork_life_signal_answered (life, request->signal, result);
  return TRUE;
}

void
_afork_peer_disown_fork (AForkPeer *self,
                         guint32    number)
{
  AForkLife *life = NULL;

  if (self->lives != NULL)
    life = g_hash_table_lookup (self->lives, GUINT_TO_POINTER (number));
  if (life == NULL)
    return;

  _afork_life_set_reporter (life, NULL, NULL, 0);
  add_request (self, number, 0);
}

static void
drop_requests (AForkPeer *self)
{
  g_queue_clear_full (&self->requests, g_free);
  self->n_requests_sent = 0;
  self->unsent_request = NULL;
}

/* Lives. */

void
_afork_peer_add_fork_life (AForkPeer *self,
                           guint32    number,
                           AForkLife *life)
{
  AForkLifeline *lifeline = _afork_life_get_lifeline (self->life);

  if (self->lives == NULL)
    self->lives = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) _afork_life_unref);

  if (lifeline != NULL)
    _afork_life_set_lifeline (life, lifeline);
  _afork_life_set_reporter (life, request_signal, self, number);
  g_hash_table_insert (self->lives, GUINT_TO_POINTER (number), _afork_life_ref (life));
}

AForkLife *
_afork_peer_take_fork_life (AForkPeer *self,
                            guint32    number)
{
  gpointer life = NULL;

  if (self->lives != NULL)
    g_hash_table_steal_extended (self->lives, GUINT_TO_POINTER (number), NULL, &life);
  if (life != NULL)
    _afork_life_set_reporter (life, NULL, NULL, 0);

  return life;
}

gboolean
_afork_peer_has_forks (AForkPeer *self)
{
  return self->lives != NULL && g_hash_table_size (self->lives) > 0;
}

void
_afork_peer_orphan_forks (AForkPeer *self,
                          gboolean   context_gone)
{
  g_autoptr(GHashTable) lives = g_steal_pointer (&self->lives);
  GHashTableIter iter;
  gpointer life;

  drop_requests (self);
  if (lives == NULL)
    return;

  g_hash_table_iter_init (&iter, lives);
  while (g_hash_table_iter_next (&iter, NULL, &life))
    {
      _afork_life_set_reporter (life, NULL, NULL, 0);
      if (context_gone)
        _afork_life_strand (life);
      else
        _afork_life_orphan (life);
    }
}

void
_afork_peer_be_unborn (AForkPeer *self)
{
  AForkPeer *template = self->template;

  if (template->unborn == NULL)
    template->unborn = g_hash_table_new (NULL, NULL);
  g_hash_table_insert (template->unborn, GUINT_TO_POINTER (self->number), self);
}

void
_afork_peer_stop_being_unborn (AForkPeer *self)
{
  if (self->template != NULL && self->template->unborn != NULL)
    g_hash_table_remove (self->template->unborn, GUINT_TO_POINTER (self->number));
}

AForkPeer *
_afork_peer_find_unborn (AForkPeer *self,
                         guint32    number)
{
  return self->unborn != NULL ? g_hash_table_lookup (self->unborn, GUINT_TO_POINTER (number))
                              : NULL;
}

static int
compare_numbers (gconstpointer a,
                 gconstpointer b)
{
  const AForkPeer *first = *(AForkPeer * const *) a;
  const AForkPeer *second = *(AForkPeer * const *) b;

  return first->number < second->number ? -1 : first->number > second->number;
}

/* Whether no server was ever there that could have forked anything. */
static gboolean
was_never_started (AForkPeer *self)
{
  if (self->program != NULL)
    return !self->greeted;
  if (self->adopted)
    return !self->born;

  return self->template != NULL && was_never_started (self->template);
}

/* A fork's socket usually ends with its template's. Not if a child of a program that is no server
 * keeps that, with the unread command that holds the fork's socket. */
void
_afork_peer_settle_unborn (AForkPeer *self)
{
  const gboolean impossible = self->channel == NULL && self->failure != NULL
    && was_never_started (self);
  g_autoptr(GPtrArray) unborn = NULL;
  GHashTableIter iter;
  gpointer peer;

  if (self->unborn == NULL)
    return;

  unborn = g_ptr_array_new_with_free_func ((GDestroyNotify) _afork_peer_unref);
  g_hash_table_iter_init (&iter, self->unborn);
  while (g_hash_table_iter_next (&iter, NULL, &peer))
    g_ptr_array_add (unborn, _afork_peer_ref (peer));
  g_ptr_array_sort (unborn, compare_numbers);
  for (guint i = 0; i < unborn->len; i++)
    {
      AForkPeer *fork = g_ptr_array_index (unborn, i);

      _afork_peer_hold_tales (fork);
      if (impossible)
        _afork_peer_fail_like_template (fork, self);
      else
        _afork_peer_settle (fork);
      _afork_peer_let_tales_go (fork, TRUE);
    }
}

void
_afork_peer_forget_template (AForkPeer *self)
{
  _afork_peer_stop_being_unborn (self);
  g_clear_pointer (&self->template, _afork_peer_unref);
}
