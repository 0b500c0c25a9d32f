/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-call-value-private.h"

#include <string.h>

#include "afork-call-breach-private.h"
#include "afork-i18n-private.h"

/* GLib reads no values, and knows no types, that are nested more deeply; it makes them all the
 * same. */
enum { MAX_DEPTH = 128 };

/* Whether any bytes, if there are SIZE, are a value of TYPE in normal form: an array of numbers.
 * GLib would look at each element. */
static gboolean
is_always_normal (const char *type,
                  gsize       size)
{
  static const struct { char type; guint8 size; } numbers[] = {
    { 'y', 1 }, { 'n', 2 }, { 'q', 2 }, { 'i', 4 }, { 'u', 4 }, { 'x', 8 }, { 't', 8 }, { 'd', 8 },
  };

  if (type[0] != 'a' || type[1] == '\0' || type[2] != '\0')
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
    if (numbers[i].type == type[1])
      return size % numbers[i].size == 0;

  return FALSE;
}

static GVariant *
swap (GVariant *value)
{
#if G_BYTE_ORDER == G_BIG_ENDIAN
  GVariant *swapped = g_variant_byteswap (value);

  g_variant_unref (value);
  return swapped;
#else
  return value;
#endif
}

/* Whether VALUE, which is in normal form, is so for who reads it: only its depth can be wrong. */
static gboolean
can_be_read (GVariant *value)
{
  const char *type = g_variant_get_type_string (value);
  g_autoptr(GVariant) read = NULL;
  g_autoptr(GBytes) bytes = NULL;

  /* A type that is short cannot be deep, and then a value cannot without variants. */
  if (strlen (type) > MAX_DEPTH && !g_variant_type_string_is_valid (type))
    return FALSE;
  if (strchr (type, 'v') == NULL)
    return TRUE;

  bytes = g_variant_get_data_as_bytes (value);
  read = g_variant_ref_sink (g_variant_new_from_bytes (g_variant_get_type (value), bytes, FALSE));
  return g_variant_is_normal_form (read);
}

GVariant *
_afork_call_value_export (GVariant  *value,
                          gsize     *size,
                          GError   **error)
{
  g_autoptr(GVariant) normal = NULL;

  *size = g_variant_get_size (value);
  if (is_always_normal (g_variant_get_type_string (value), *size))
    return swap (g_variant_ref (value));

  normal = g_variant_get_normal_form (value);
  *size = g_variant_get_size (normal);
  if (can_be_read (normal))
    return swap (g_steal_pointer (&normal));

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
               _("A value is nested too deeply for a message, which can have %d levels"),
               MAX_DEPTH);
  return NULL;
}

GBytes *
_afork_call_value_get_bytes (const guint8 *data,
                             gsize         size,
                             GBytes       *owner)
{
  const guint8 *start;

  if (owner == NULL)
    return g_bytes_new (data, size);

  start = g_bytes_get_data (owner, NULL);
  return g_bytes_new_from_bytes (owner, (gsize) (data - start), size);
}

/* Has SAMPLE be of a type. False if there is no such type. */
static gboolean
know_type (const char  *type,
           GVariant   **sample)
{
  if (*sample != NULL && strcmp (g_variant_get_type_string (*sample), type) == 0)
    return TRUE;
  if (!g_variant_type_string_is_valid (type)
      || !g_variant_type_is_definite ((const GVariantType *) type))
    return FALSE;

  g_clear_pointer (sample, g_variant_unref);
  *sample = g_variant_new_from_data ((const GVariantType *) type, NULL, 0, FALSE, NULL, NULL);
  g_variant_ref_sink (*sample);
  return TRUE;
}

GVariant *
_afork_call_value_import (const AForkCallFrame  *frame,
                          GBytes                *owner,
                          GVariant             **sample,
                          GError               **error)
{
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GBytes) bytes = NULL;

  if (!know_type (frame->type, sample))
    {
      _afork_call_breach (error, "a value has no valid type");
      return NULL;
    }

  bytes = _afork_call_value_get_bytes (frame->data, frame->size, owner);
  value = g_variant_new_from_bytes (g_variant_get_type (*sample), bytes,
                                    is_always_normal (frame->type, frame->size));
  value = swap (g_variant_take_ref (value));
  if (!g_variant_is_normal_form (value))
    {
      _afork_call_breach (error, "a value is not in normal form");
      return NULL;
    }

  return g_steal_pointer (&value);
}
