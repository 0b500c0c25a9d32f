/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "job-identity.h"

#include <string.h>

#include "afork-job-private.h"

static guint64
mix_word (guint64 hash,
          guint64 word)
{
  hash = (hash ^ word) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  return hash ^ (hash >> 32);
}

/* Adds the data and their size to HASH. */
static guint64
mix_data (guint64       hash,
          gconstpointer data,
          gsize         size)
{
  const guint8 *bytes = data;
  gsize n_left = size;
  guint64 word;

  hash = mix_word (hash, size);
  for (; n_left >= sizeof word; n_left -= sizeof word, bytes += sizeof word)
    {
      memcpy (&word, bytes, sizeof word);
      hash = mix_word (hash, word);
    }
  if (n_left == 0)
    return hash;

  word = 0;
  memcpy (&word, bytes, n_left);
  return mix_word (hash, word);
}

static guint
compute_hash (const AForkJobIdentity *self)
{
  const char *type = g_variant_get_type_string (self->args);
  guint64 hash = 1;

  if (self->key != NULL)
    hash = mix_data (hash, self->key, strlen (self->key));
  hash = mix_data (hash, type, strlen (type));
  hash = mix_data (hash, g_variant_get_data (self->args), g_variant_get_size (self->args));
  for (guint i = 0; self->blobs != NULL && i < self->blobs->len; i++)
    {
      gsize size;
      gconstpointer data = g_bytes_get_data (g_ptr_array_index (self->blobs, i), &size);

      hash = mix_data (hash, data, size);
    }

  return (guint) hash;
}

gboolean
_afork_job_identity_init (AForkJobIdentity *self,
                          GVariant         *args,
                          AForkJob         *job)
{
  GUnixFDList *fds = job != NULL ? afork_job_get_fds (job) : NULL;

  if (fds != NULL && g_unix_fd_list_get_length (fds) > 0)
    return FALSE;

  *self = (AForkJobIdentity) {
    .key = job != NULL ? afork_job_get_key (job) : NULL,
    .args = args,
    .blobs = job != NULL ? _afork_job_get_blobs (job) : NULL,
    .size = g_variant_get_size (args),
  };
  if (self->key != NULL)
    self->size += strlen (self->key);
  for (guint i = 0; self->blobs != NULL && i < self->blobs->len; i++)
    self->size += g_bytes_get_size (g_ptr_array_index (self->blobs, i));
  if (self->size > AFORK_JOB_IDENTITY_MAX_SIZE)
    return FALSE;

  self->hash = compute_hash (self);
  return TRUE;
}

AForkJobIdentity *
_afork_job_identity_copy (const AForkJobIdentity *self)
{
  AForkJobIdentity *copy = g_new (AForkJobIdentity, 1);
  g_autoptr(GBytes) data = g_bytes_new (g_variant_get_data (self->args),
                                        g_variant_get_size (self->args));

  *copy = *self;
  copy->key = g_strdup (self->key);
  copy->args = g_variant_ref_sink (g_variant_new_from_bytes (g_variant_get_type (self->args),
                                                             data, FALSE));
  if (self->blobs == NULL)
    return copy;

  copy->blobs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  for (guint i = 0; i < self->blobs->len; i++)
    {
      gsize size;
      gconstpointer bytes = g_bytes_get_data (g_ptr_array_index (self->blobs, i), &size);

      g_ptr_array_add (copy->blobs, g_bytes_new (bytes, size));
    }
  return copy;
}

void
_afork_job_identity_free (AForkJobIdentity *self)
{
  g_free ((char *) self->key);
  g_variant_unref (self->args);
  g_clear_pointer (&self->blobs, g_ptr_array_unref);
  g_free (self);
}

guint
_afork_job_identity_hash (gconstpointer self)
{
  return ((const AForkJobIdentity *) self)->hash;
}

static gboolean
has_equal_args (const AForkJobIdentity *left,
                const AForkJobIdentity *right)
{
  const gsize size = g_variant_get_size (left->args);

  return g_variant_type_equal (g_variant_get_type (left->args), g_variant_get_type (right->args))
    && g_variant_get_size (right->args) == size
    && (size == 0 || memcmp (g_variant_get_data (left->args), g_variant_get_data (right->args),
                             size) == 0);
}

static gboolean
has_equal_blobs (const AForkJobIdentity *left,
                 const AForkJobIdentity *right)
{
  const guint n_left = left->blobs != NULL ? left->blobs->len : 0;
  const guint n_right = right->blobs != NULL ? right->blobs->len : 0;

  if (n_left != n_right)
    return FALSE;

  for (guint i = 0; i < n_left; i++)
    if (!g_bytes_equal (g_ptr_array_index (left->blobs, i), g_ptr_array_index (right->blobs, i)))
      return FALSE;

  return TRUE;
}

gboolean
_afork_job_identity_equal (gconstpointer a,
                           gconstpointer b)
{
  const AForkJobIdentity *left = a;
  const AForkJobIdentity *right = b;

  return left->hash == right->hash
    && left->size == right->size
    && g_strcmp0 (left->key, right->key) == 0
    && has_equal_args (left, right)
    && has_equal_blobs (left, right);
}
