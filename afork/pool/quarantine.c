/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "quarantine.h"

#include <string.h>

#include "afork-error.h"
#include "base/i18n.h"

/* A job that has ended a worker. */
typedef struct
{
  AForkJobIdentity *identity;
  char             *first;      /* how the first worker has exited */
  char             *second;     /* how the second one has exited; NULL if there was none */
  gint64            time;       /* of the last of these exits */
  gsize             size;
  GList             link;
} Suspect;

static void
remove_suspect (AForkQuarantine *self,
                Suspect         *suspect)
{
  g_hash_table_remove (self->suspects, suspect->identity);
  if (g_hash_table_size (self->suspects) == 0)
    g_clear_pointer (&self->suspects, g_hash_table_unref);
  g_queue_unlink (&self->order, &suspect->link);
  self->size -= suspect->size;

  _afork_job_identity_free (suspect->identity);
  g_free (suspect->first);
  g_free (suspect->second);
  g_free (suspect);
}

/* Removes the suspects whose time is over. */
static void
expire (AForkQuarantine *self,
        gint64           now)
{
  Suspect *oldest;

  while ((oldest = g_queue_peek_head (&self->order)) != NULL && oldest->time + self->time <= now)
    remove_suspect (self, oldest);
}

/* Removes the oldest suspects until the bounds hold. The newest one stays. */
static void
trim (AForkQuarantine *self)
{
  while (self->order.length > AFORK_QUARANTINE_MAX_JOBS
         || (self->order.length > 1 && self->size > AFORK_QUARANTINE_MAX_SIZE))
    remove_suspect (self, g_queue_peek_head (&self->order));
}

static Suspect *
look_up (AForkQuarantine        *self,
         const AForkJobIdentity *identity)
{
  return self->suspects != NULL ? g_hash_table_lookup (self->suspects, identity) : NULL;
}

/* While there are no suspects, a job costs nothing: its identity is not computed. */
static Suspect *
find (AForkQuarantine *self,
      GVariant        *args,
      AForkJob        *job)
{
  AForkJobIdentity identity;

  if (self->suspects == NULL || !_afork_job_identity_init (&identity, args, job))
    return NULL;

  return look_up (self, &identity);
}

static Suspect *
add_suspect (AForkQuarantine        *self,
             const AForkJobIdentity *identity,
             const char             *first)
{
  Suspect *suspect = g_new0 (Suspect, 1);

  suspect->identity = _afork_job_identity_copy (identity);
  suspect->first = g_strdup (first);
  suspect->size = sizeof *suspect + identity->size + strlen (first);
  suspect->link.data = suspect;
  self->size += suspect->size;
  if (self->suspects == NULL)
    self->suspects = g_hash_table_new (_afork_job_identity_hash, _afork_job_identity_equal);
  g_hash_table_insert (self->suspects, suspect->identity, suspect);
  g_queue_push_tail_link (&self->order, &suspect->link);
  return suspect;
}

static void
set_second (AForkQuarantine *self,
            Suspect         *suspect,
            const char      *reason)
{
  gsize size = strlen (reason);

  self->n_refused++;
  suspect->second = g_strdup (reason);
  suspect->size += size;
  self->size += size;
}

static void
set_time (AForkQuarantine *self,
          Suspect         *suspect,
          gint64           time)
{
  suspect->time = time;
  g_queue_unlink (&self->order, &suspect->link);
  g_queue_push_tail_link (&self->order, &suspect->link);
}

void
_afork_quarantine_init (AForkQuarantine *self,
                        gint64           time)
{
  *self = (AForkQuarantine) { .time = time };
  g_queue_init (&self->order);
}

void
_afork_quarantine_clear (AForkQuarantine *self)
{
  while (!g_queue_is_empty (&self->order))
    remove_suspect (self, g_queue_peek_head (&self->order));
}

void
_afork_quarantine_set_time (AForkQuarantine *self,
                            gint64           time)
{
  self->time = time;
  if (time == 0)
    _afork_quarantine_clear (self);
}

const char *
_afork_quarantine_add_exit (AForkQuarantine *self,
                            GVariant        *args,
                            AForkJob        *job,
                            const char      *earlier,
                            const char      *reason,
                            gint64           now)
{
  AForkJobIdentity identity;
  Suspect *suspect;

  if (self->time == 0 || !_afork_job_identity_init (&identity, args, job))
    return earlier;

  expire (self, now);
  suspect = look_up (self, &identity);
  if (suspect == NULL && earlier == NULL)
    {
      set_time (self, add_suspect (self, &identity, reason), now);
      trim (self);
      return NULL;
    }

  if (suspect == NULL)
    suspect = add_suspect (self, &identity, earlier);
  /* Further equal jobs may have run at the same time. */
  if (suspect->second == NULL)
    {
      set_second (self, suspect, reason);
      set_time (self, suspect, now);
      trim (self);
    }
  return suspect->first;
}

void
_afork_quarantine_absolve (AForkQuarantine *self,
                           GVariant        *args,
                           AForkJob        *job)
{
  Suspect *suspect = find (self, args, job);

  if (suspect != NULL && suspect->second == NULL)
    remove_suspect (self, suspect);
}

GError *
_afork_quarantine_check (AForkQuarantine *self,
                         GVariant        *args,
                         AForkJob        *job,
                         gint64           now)
{
  Suspect *suspect;
  gint64 left;

  expire (self, now);
  suspect = find (self, args, job);
  if (suspect == NULL || suspect->second == NULL)
    return NULL;

  left = (suspect->time + self->time - now + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC;
  return g_error_new (AFORK_ERROR, AFORK_ERROR_QUARANTINED,
                      _("Equal jobs have ended two workers, and are refused for %u s more. "
                        "The first: %s. The second: %s"),
                      (guint) left, suspect->first, suspect->second);
}
