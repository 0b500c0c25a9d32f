/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "spare-forks.h"

#include "base/context.h"
#include "base/turn.h"

enum
{
  /* How long a template must be idle. */
  QUIET_MS = 100,
  /* The wait doubles after each failure, at most so often: up to about 100 s. */
  MAX_FAILURES = 10,
};

struct _AForkSpareForks
{
  GObject       parent_instance;        /* the owner of a client is an object */
  AForkClient  *template;
  AForkContext *context;
  GQueue        clients;        /* of AForkClient, the oldest first; some may have failed */
  guint         number;         /* of forks to keep ready */
  gboolean      fork_failed;    /* a fork has failed since the last one was made */
  guint         n_failures;     /* in a row, since a fork was last taken */
  GSource      *timer;          /* makes the next fork, or NULL */
};

G_DEFINE_FINAL_TYPE (AForkSpareForks, _afork_spare_forks, G_TYPE_OBJECT)

static void await_quiet (AForkSpareForks *self);

static void
give_up (gpointer data)
{
  g_autoptr(AForkClient) client = data;

  _afork_client_set_owner (client, NULL, NULL);
  _afork_client_release (client);
}

static void
give_up_dead (AForkSpareForks *self)
{
  for (GList *link = self->clients.head, *next; link != NULL; link = next)
    {
      next = link->next;
      if (!_afork_client_is_open (link->data))
        {
          give_up (link->data);
          g_queue_delete_link (&self->clients, link);
        }
    }
}

static void
note_failure (AForkSpareForks *self)
{
  self->fork_failed = TRUE;
  await_quiet (self);
}

static void
failed_cb (GObject      *owner,
           const GError *error)
{
  g_debug ("A spare fork has failed: %s", error->message);
  note_failure (AFORK_SPARE_FORKS (owner));
}

static const AForkClientEvents client_events = {
  .failed = failed_cb,
};

/* Making the forks. */

static void start_timer (AForkSpareForks *self,
                         guint            ms);

static void
make_fork (AForkSpareForks *self)
{
  AForkClient *client;

  if (self->fork_failed)
    give_up_dead (self);
  if (self->fork_failed && self->n_failures < MAX_FAILURES)
    self->n_failures++;
  self->fork_failed = FALSE;
  if (self->clients.length >= self->number || !_afork_client_is_open (self->template))
    return;

  client = _afork_client_new (self->context, &client_events, G_OBJECT (self));
  _afork_client_fork (client, self->template);
  g_queue_push_tail (&self->clients, client);
  _afork_client_set_started (client);
  /* If the fork has failed at once, the next one would fail, too. */
  if (!_afork_client_is_open (client))
    note_failure (self);
  else if (self->clients.length < self->number)
    start_timer (self, 0);
}

/* Makes one fork, so that other sources of the context are not delayed by many. */
static gboolean
quiet_cb (gpointer data)
{
  AForkSpareForks *self = data;
  AForkTurn turn;

  if (!_afork_turn_begin (&turn, NULL))
    return G_SOURCE_CONTINUE;

  _afork_source_clear (&self->timer);
  if (!_afork_context_is_gone (self->context))
    make_fork (self);
  _afork_turn_end (&turn, NULL, NULL, TRUE);
  return G_SOURCE_REMOVE;
}

static gint64
get_time_in (guint ms)
{
  return g_get_monotonic_time () + ms * G_TIME_SPAN_MILLISECOND;
}

static void
start_timer (AForkSpareForks *self,
             guint            ms)
{
  GMainContext *context = _afork_context_peek (self->context);

  if (context == NULL)
    return;

  self->timer = _afork_turn_timer_new (get_time_in (ms));
  g_source_set_static_name (self->timer, "[afork] spare forks");
  g_source_set_priority (self->timer, G_PRIORITY_LOW);
  g_source_set_callback (self->timer, quiet_cb, self, NULL);
  g_source_attach (self->timer, context);
}

/* Starts the wait again, after which missing forks are made. */
static void
await_quiet (AForkSpareForks *self)
{
  const guint ms = (guint) QUIET_MS << self->n_failures;

  if (self->number == 0)
    _afork_source_clear (&self->timer);
  else if (self->timer != NULL)
    g_source_set_ready_time (self->timer, get_time_in (ms));
  else
    start_timer (self, ms);
}

/* GObject. */

static void
_afork_spare_forks_finalize (GObject *object)
{
  AForkSpareForks *self = AFORK_SPARE_FORKS (object);

  _afork_source_clear (&self->timer);
  g_queue_clear_full (&self->clients, give_up);
  _afork_client_unref (self->template);
  _afork_context_unref (self->context);

  G_OBJECT_CLASS (_afork_spare_forks_parent_class)->finalize (object);
}

static void
_afork_spare_forks_class_init (AForkSpareForksClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = _afork_spare_forks_finalize;
}

static void
_afork_spare_forks_init (AForkSpareForks *self)
{
  g_queue_init (&self->clients);
}

AForkSpareForks *
_afork_spare_forks_new (AForkClient *template)
{
  AForkSpareForks *self = g_object_new (AFORK_TYPE_SPARE_FORKS, NULL);

  self->template = _afork_client_ref (template);
  self->context = _afork_context_ref (_afork_client_get_home (template));
  return self;
}

void
_afork_spare_forks_free (AForkSpareForks *self)
{
  /* A client may be notifying the object, and then holds a reference. */
  self->number = 0;
  _afork_source_clear (&self->timer);
  g_queue_clear_full (&self->clients, give_up);
  g_object_unref (self);
}

void
_afork_spare_forks_set_number (AForkSpareForks *self,
                               guint            number)
{
  self->number = number;
  self->n_failures = 0;
  while (self->clients.length > number)
    give_up (g_queue_pop_tail (&self->clients));
  await_quiet (self);
}

void
_afork_spare_forks_discard (AForkSpareForks *self)
{
  g_queue_clear_full (&self->clients, give_up);
  self->n_failures = 0;
  await_quiet (self);
}

void
_afork_spare_forks_trim (AForkSpareForks *self)
{
  g_queue_clear_full (&self->clients, give_up);
  _afork_source_clear (&self->timer);
}

AForkClient *
_afork_spare_forks_take (AForkSpareForks *self)
{
  gboolean template_lives = _afork_client_is_open (self->template);
  AForkClient *taken = NULL;

  while (taken == NULL && !g_queue_is_empty (&self->clients))
    {
      AForkClient *client = g_queue_pop_head (&self->clients);

      /* A spare fork that has failed is dropped: the caller gets another one. */
      if (template_lives && _afork_client_is_open (client))
        taken = client;
      else
        give_up (client);
    }

  if (taken != NULL)
    self->n_failures = 0;
  await_quiet (self);
  return taken;
}
