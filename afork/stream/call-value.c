/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "call-value.h"

#include <string.h>

#include "base/i18n.h"
#include "base/memory.h"
#include "base/value-type.h"
#include "normal-check.h"
#include "protocol-error.h"

enum
{
  /* GLib refuses to read values and types that are nested more deeply, but it makes them. */
  MAX_DEPTH = 128,
  /* GLib checks values of at most this size, in bytes. This takes half a millisecond at most, and
   * GLib does not check them again. */
  SMALL_VALUE = 1024,
};

/* Whether any SIZE bytes are a value of TYPE in normal form. This is so for an array of numbers,
 * and GLib would check each element. */
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

/* Checks VALUE as its receiver will. */
static AForkNormalCheckResult
check_serialized (GVariant *value)
{
  const char *type = g_variant_get_type_string (value);
  gconstpointer data = g_variant_get_data (value);
  gsize size = g_variant_get_size (value);
  g_autoptr(AForkNormalCheck) check = NULL;
  g_autoptr(GVariant) read = NULL;

  if (data == NULL && size > 0)
    return AFORK_NORMAL_CHECK_NOT_NORMAL;
  if (size > SMALL_VALUE)
    {
      check = _afork_normal_check_new ();
      return _afork_normal_check_run (check, type, data, size);
    }

  read = g_variant_new_from_data (g_variant_get_type (value), data, size, FALSE, NULL, NULL);
  g_variant_ref_sink (read);
  return g_variant_is_normal_form (read) ? AFORK_NORMAL_CHECK_NORMAL
                                         : AFORK_NORMAL_CHECK_NOT_NORMAL;
}

/* Returns VALUE, little-endian and in normal form. If there is no such value, *RESULT says why. */
static GVariant *
get_normal (GVariant               *value,
            AForkNormalCheckResult *result)
{
  const char *type = g_variant_get_type_string (value);
  g_autoptr(GVariant) normal = NULL;

  *result = AFORK_NORMAL_CHECK_NORMAL;
  if (is_always_normal (type, g_variant_get_size (value)))
    return swap (g_variant_ref (value));

  /* Without variants inside, a value is nested as deeply as its type, which was checked. */
  if (strchr (type, 'v') == NULL)
    return swap (g_variant_get_normal_form (value));

  /* Most large values are in normal form, and this check is faster than that of GLib. */
  if (g_variant_get_size (value) > SMALL_VALUE)
    {
      normal = swap (g_variant_ref (value));
      *result = check_serialized (normal);
      if (*result != AFORK_NORMAL_CHECK_NOT_NORMAL)
        return g_steal_pointer (&normal);
      g_clear_pointer (&normal, g_variant_unref);
    }

  normal = swap (g_variant_get_normal_form (value));
  *result = check_serialized (normal);
  return g_steal_pointer (&normal);
}

GVariant *
_afork_call_value_export (GVariant  *value,
                          gsize     *size,
                          GError   **error)
{
  const char *type = g_variant_get_type_string (value);
  g_autoptr(GVariant) normal = NULL;
  AForkNormalCheckResult result;

  /* A short type cannot be nested too deeply. */
  if (strlen (type) > MAX_DEPTH && !g_variant_type_string_is_valid (type))
    result = AFORK_NORMAL_CHECK_NOT_NORMAL;
  else if (!_afork_type_is_simple (type))
    result = AFORK_NORMAL_CHECK_TOO_COMPLEX;
  else
    normal = get_normal (value, &result);

  switch (result)
    {
    case AFORK_NORMAL_CHECK_NORMAL:
      *size = g_variant_get_size (normal);
      return g_steal_pointer (&normal);
    case AFORK_NORMAL_CHECK_TOO_COMPLEX:
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                   _("A value has too complex a type for a message, in which the length of a type "
                     "times its levels of nesting is at most %d"),
                   AFORK_VALUE_MAX_TYPE_COMPLEXITY);
      return NULL;
    case AFORK_NORMAL_CHECK_NO_MEMORY:
      _afork_memory_set_error (error, g_variant_get_size (value));
      return NULL;
    default:
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                   _("A value is nested too deeply for a message, which can have %d levels"),
                   MAX_DEPTH);
      return NULL;
    }
}

GBytes *
_afork_call_value_get_bytes (const guint8  *data,
                             gsize          size,
                             GBytes        *owner,
                             GError       **error)
{
  const guint8 *start;
  GBytes *bytes;

  if (owner != NULL)
    {
      start = g_bytes_get_data (owner, NULL);
      return g_bytes_new_from_bytes (owner, (gsize) (data - start), size);
    }

  bytes = _afork_memory_dup_bytes (data, size);
  if (bytes == NULL)
    _afork_memory_set_error (error, size);
  return bytes;
}

/* Makes *SAMPLE a value of TYPE, which is checked if it is another type than before. */
static gboolean
know_type (const char  *type,
           GVariant   **sample,
           GError     **error)
{
  if (*sample != NULL && strcmp (g_variant_get_type_string (*sample), type) == 0)
    return TRUE;
  if (!g_variant_type_string_is_valid (type)
      || !g_variant_type_is_definite ((const GVariantType *) type))
    return _afork_protocol_error_set (error, "a value has no valid type");
  if (!_afork_type_is_simple (type))
    return _afork_protocol_error_set (error, "a value has too complex a type");

  g_clear_pointer (sample, g_variant_unref);
  *sample = g_variant_new_from_data ((const GVariantType *) type, NULL, 0, FALSE, NULL, NULL);
  g_variant_ref_sink (*sample);
  return TRUE;
}

GVariant *
_afork_call_value_import (const AForkCallFrame  *frame,
                          GBytes                *owner,
                          GVariant             **sample,
                          gboolean              *is_checked,
                          GError               **error)
{
  const gboolean is_normal = is_always_normal (frame->type, frame->size);
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GBytes) bytes = NULL;

  if (!know_type (frame->type, sample, error))
    return NULL;

  bytes = _afork_call_value_get_bytes (frame->data, frame->size, owner, error);
  if (bytes == NULL)
    return NULL;
  value = g_variant_new_from_bytes (g_variant_get_type (*sample), bytes, is_normal);
  value = swap (g_variant_take_ref (value));
  *is_checked = is_normal || frame->size <= SMALL_VALUE;
  if (*is_checked && !g_variant_is_normal_form (value))
    {
      _afork_call_value_refuse (error);
      return NULL;
    }

  return g_steal_pointer (&value);
}

gboolean
_afork_call_value_refuse (GError **error)
{
  return _afork_protocol_error_set (error, "a value is not in normal form");
}
