/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A binding converts values in code of its own, which knows neither the binding's objects nor how
 * they are made. It shares GVariants and GBytes with the binding by their addresses. */

#include "config.h"

#include "afork-bindings.h"

/**
 * afork_bindings_get_variant_address:
 * @value: a value
 *
 * Returns the address of @value, for the extension module of a language binding. Programs do not
 * need this function.
 *
 * Returns: the address, which is valid as long as there is a reference to @value
 *
 * Since: 0.1
 */
gsize
afork_bindings_get_variant_address (GVariant *value)
{
  g_return_val_if_fail (value != NULL, 0);

  return (gsize) value;
}

/**
 * afork_bindings_take_variant:
 * @address: the address of a `GVariant`, which is not 0
 *
 * Returns the value at an address, for the extension module of a language binding. Programs do not
 * need this function. Another number than the address of a value makes the program crash.
 *
 * Returns: (transfer full): the value at @address, with a reference that belonged to the caller
 *   before
 *
 * Since: 0.1
 */
GVariant *
afork_bindings_take_variant (gsize address)
{
  g_return_val_if_fail (address != 0, NULL);

  return (GVariant *) address;
}

/**
 * afork_bindings_new_variant:
 * @type: the type string of a value, such as `a{sv}`
 * @data: the value in serialized form, in the byte order of this machine; it must be in normal form
 *
 * Creates a value of serialized data, for language bindings. Programs do not need this function.
 * Unlike [ctor@GLib.Variant.new_from_bytes], it returns a reference that is not floating: GJS 1.74
 * never frees values that were floating.
 *
 * Returns: (transfer full) (nullable): the value, or `NULL` if @type is not a definite type
 *
 * Since: 0.1
 */
GVariant *
afork_bindings_new_variant (const char *type,
                            GBytes     *data)
{
  g_return_val_if_fail (type != NULL, NULL);
  g_return_val_if_fail (data != NULL, NULL);

  if (!g_variant_type_string_is_valid (type)
      || !g_variant_type_is_definite (G_VARIANT_TYPE (type)))
    return NULL;

  return g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (type), data, TRUE));
}

/**
 * afork_bindings_get_bytes_address:
 * @bytes: bytes
 *
 * Returns the address of @bytes, for the extension module of a language binding. It is not the
 * address of the data. Programs do not need this function.
 *
 * Returns: the address, which is valid as long as there is a reference to @bytes
 *
 * Since: 0.1
 */
gsize
afork_bindings_get_bytes_address (GBytes *bytes)
{
  g_return_val_if_fail (bytes != NULL, 0);

  return (gsize) bytes;
}
