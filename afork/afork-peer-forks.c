/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The forks of a template as its peer knows them: those that it reports on, and those that have not
 * been heard of yet. */

#include "config.h"

#include "afork-peer-parts-private.h"

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
  g_hash_table_insert (self->lives, GUINT_TO_POINTER (number), _afork_life_ref (life));
}

AForkLife *
_afork_peer_take_fork_life (AForkPeer *self,
                            guint32    number)
{
  gpointer life = NULL;

  if (self->lives != NULL)
    g_hash_table_steal_extended (self->lives, GUINT_TO_POINTER (number), NULL, &life);

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

  if (lives == NULL)
    return;

  g_hash_table_iter_init (&iter, lives);
  while (g_hash_table_iter_next (&iter, NULL, &life))
    {
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
    template->unborn = g_ptr_array_new ();
  g_ptr_array_add (template->unborn, self);
}

void
_afork_peer_stop_being_unborn (AForkPeer *self)
{
  if (self->template != NULL && self->template->unborn != NULL)
    g_ptr_array_remove_fast (self->template->unborn, self);
}

AForkPeer *
_afork_peer_find_unborn (AForkPeer *self,
                         guint32    number)
{
  for (guint i = 0; self->unborn != NULL && i < self->unborn->len; i++)
    {
      AForkPeer *fork = g_ptr_array_index (self->unborn, i);

      if (fork->number == number)
        return fork;
    }

  return NULL;
}

void
_afork_peer_settle_unborn (AForkPeer *self)
{
  g_autoptr(GPtrArray) unborn = NULL;

  if (self->unborn == NULL)
    return;

  unborn = g_ptr_array_copy (self->unborn, (GCopyFunc) _afork_peer_ref, NULL);
  g_ptr_array_set_free_func (unborn, (GDestroyNotify) _afork_peer_unref);
  for (guint i = 0; i < unborn->len; i++)
    {
      AForkPeer *fork = g_ptr_array_index (unborn, i);

      _afork_peer_hold_tales (fork);
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
