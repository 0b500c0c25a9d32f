/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "context-wakeup.h"

#include <string.h>

#include "atfork.h"
#include "main-context.h"

#define COUNT_KEY "eventfd-count:"

/* Returns the counter of eventfd FD, or -1 if FD is not an eventfd. */
static gint64
get_count (int fd)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", fd);
  g_autofree char *text = NULL;
  const char *line = NULL;

  if (g_file_get_contents (path, &text, NULL, NULL))
    line = strstr (text, COUNT_KEY);

  return line != NULL ? g_ascii_strtoll (line + strlen (COUNT_KEY), NULL, 16) : -1;
}

/* Returns the descriptors that CONTEXT polls. The caller has acquired it. */
static GPollFD *
query (GMainContext *context,
       int          *n_fds)
{
  GPollFD *fds;
  int timeout;

  *n_fds = g_main_context_query (context, G_MAXINT, &timeout, NULL, 0);
  fds = g_new0 (GPollFD, *n_fds);
  g_main_context_query (context, G_MAXINT, &timeout, fds, *n_fds);
  return fds;
}

/* Returns -1 if it cannot be found. */
static int
find (GMainContext *context)
{
  g_autofree GPollFD *fds = NULL;
  g_autofree gint64 *counts = NULL;
  int found = -1;
  int n_fds;

  if (!g_main_context_acquire (context))
    return -1;

  /* Sources may have eventfds, too. The eventfd that counts a wake-up is that of the context. */
  fds = query (context, &n_fds);
  counts = g_new (gint64, n_fds);
  for (int i = 0; i < n_fds; i++)
    counts[i] = get_count (fds[i].fd);
  g_main_context_wakeup (context);
  for (int i = 0; i < n_fds && found < 0; i++)
    if (counts[i] >= 0 && get_count (fds[i].fd) > counts[i])
      found = fds[i].fd;

  g_main_context_release (context);
  return found;
}

void
_afork_context_wakeups_find (AForkContextWakeups *self)
{
  GMainContext *context = g_main_context_get_thread_default ();

  self->fds[0] = _afork_main_context_ensure_default (NULL) ? find (g_main_context_default ()) : -1;
  self->fds[1] = context != NULL ? find (context) : -1;
}

void
_afork_context_wakeups_renew (const AForkContextWakeups *self)
{
  for (guint i = 0; i < G_N_ELEMENTS (self->fds); i++)
    if (self->fds[i] >= 0)
      _afork_eventfd_renew (self->fds[i]);
}
