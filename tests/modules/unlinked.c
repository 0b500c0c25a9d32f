/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Functions that serve calls, in a module that is not linked with AFork: linkers drop a library if
 * a module uses no function of it. */

#include <afork/afork.h>

AFORK_WORKER_EXPORT GVariant *unlinked_add  (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT gboolean  unlinked_init (const AForkItem *items, gsize n_items, GError **error);
AFORK_WORKER_EXPORT void      unlinked_done (void);

static guint32 addend;

gboolean
unlinked_init (const AForkItem *items,
               gsize            n_items,
               GError         **error)
{
  addend = n_items;
  return TRUE;
}

GVariant *
unlinked_add (AForkCall  *call,
              GVariant   *args,
              GError    **error)
{
  guint32 number;

  g_variant_get (args, "(u)", &number);
  return g_variant_new_uint32 (number + addend);
}

void
unlinked_done (void)
{
  addend = 0;
}

/* This one uses AFork, and its module is linked with nothing. */
#ifdef USE_AFORK
AFORK_WORKER_EXPORT void      unlinked_add_later (AForkCall *call, GVariant *args);

void
unlinked_add_later (AForkCall *call,
                    GVariant  *args)
{
  g_autoptr(GError) error = NULL;

  afork_worker_emit (g_variant_new_string ("later"));
  afork_call_return_value (call, unlinked_add (call, args, &error), NULL);
}
#endif
