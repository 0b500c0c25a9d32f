/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "reply.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void
write_all (int         fd,
           const char *text)
{
  gsize left = strlen (text);

  while (left > 0)
    {
      gssize n = write (fd, text, left);

      if (n < 0 && errno != EINTR)
        return;      /* nobody listens any more */

      text += MAX (n, 0);
      left -= MAX (n, 0);
    }
}

void
reply_ok (int socket,
          int width,
          int height)
{
  g_autofree char *line = g_strdup_printf ("ok %d %d\n", width, height);

  write_all (socket, line);
}

void
reply_error (int           socket,
             const GError *error)
{
  g_autofree char *reason = g_strdelimit (g_strdup (error->message), "\r\n", ' ');
  g_autofree char *line = g_strdup_printf ("error %s\n", g_strstrip (reason));

  write_all (socket, line);
}
