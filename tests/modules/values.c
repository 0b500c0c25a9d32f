/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Functions for callers in languages, which send values of their own. */

#include <afork/afork.h>
#include <unistd.h>

AFORK_WORKER_EXPORT GVariant *values_echo  (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT GVariant *values_count (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT GVariant *values_fail  (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT GVariant *values_wait  (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT GVariant *values_print (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT GVariant *values_exit  (AForkCall *call, GVariant *args, GError **error);

/* Returns what it gets, with its blobs and descriptors. */
GVariant *
values_echo (AForkCall  *call,
             GVariant   *args,
             GError    **error)
{
  GUnixFDList *fds = afork_call_get_fds (call);
  gsize n_blobs;
  GBytes **blobs = afork_call_get_blobs (call, &n_blobs);

  for (gsize i = 0; i < n_blobs; i++)
    afork_call_add_result_blob (call, blobs[i]);
  if (fds == NULL)
    return g_variant_ref (args);

  afork_call_return_value (call, args, fds);
  return NULL;
}

/* Reports the numbers below the argument, and emits them as events. */
GVariant *
values_count (AForkCall  *call,
              GVariant   *args,
              GError    **error)
{
  const gint64 n = g_variant_get_int64 (args);

  for (gint64 i = 0; i < n; i++)
    {
      afork_call_report (call, g_variant_new_int64 (i));
      afork_worker_emit (g_variant_new_int64 (i));
    }
  return g_variant_ref (args);
}

GVariant *
values_fail (AForkCall  *call,
             GVariant   *args,
             GError    **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "There is no %s",
               g_variant_get_string (args, NULL));
  return NULL;
}

/* Waits until the call is cancelled. */
GVariant *
values_wait (AForkCall  *call,
             GVariant   *args,
             GError    **error)
{
  GCancellable *cancellable = afork_call_get_cancellable (call);
  GPollFD poll_fd;

  afork_call_report (call, g_variant_new_string ("begun"));
  if (g_cancellable_make_pollfd (cancellable, &poll_fd))
    {
      g_poll (&poll_fd, 1, -1);
      g_cancellable_release_fd (cancellable);
    }
  g_cancellable_set_error_if_cancelled (cancellable, error);
  return NULL;
}

/* Returns its argument as text. */
GVariant *
values_print (AForkCall  *call,
              GVariant   *args,
              GError    **error)
{
  g_autofree char *text = g_variant_print (args, TRUE);

  return g_variant_new_string (text);
}

GVariant *
values_exit (AForkCall  *call,
             GVariant   *args,
             GError    **error)
{
  _exit ((int) g_variant_get_int64 (args));
}
