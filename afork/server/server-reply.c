/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a server answers. */

#define _GNU_SOURCE
#include "server-parts.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "system/pidfd.h"
#include "system/system-calls.h"

void
afork_server_put_report (const AForkFrame *frame,
                        void             *data)
{
  (void) data;
  afork_link_put (&afork_server.link, frame);
}

bool
afork_server_check_reports (void)
{
  if (afork_server.link.error == 0)
    return true;

  return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                            "What became of a fork could not be told: %s",
                            strerror (afork_server.link.error));
}

/* Where there are no pidfds, the caller does without. */
static bool
add_pidfd (AForkFrame *frame,
           int        *fds)
{
  int pidfd = afork_pidfd_open_self ();

  if (pidfd < 0 && errno == ENOSYS)
    {
      const AForkFrame none = { .kind = AFORK_FRAME_NO_PIDFD };

      afork_link_put (&afork_server.link, &none);
      return true;
    }
  if (pidfd < 0)
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                              "The process has no descriptor left for itself: %s",
                              strerror (errno));

  fds[frame->n_fds++] = pidfd;
  return true;
}

bool
afork_server_answer (AForkFrame *frame,
                     int         extra_fd)
{
  int fds[2], pidfd = -1;
  bool sent;

  if (afork_server.unborn)
    {
      if (!add_pidfd (frame, fds))
        return false;
      if (frame->n_fds > 0)
        pidfd = fds[0];
    }
  if (extra_fd >= 0)
    fds[frame->n_fds++] = extra_fd;

  sent = afork_link_send (&afork_server.link, frame, fds);
  if (!sent)
    afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                       "The process could not say that it is there: %s",
                       strerror (afork_server.link.error));
  if (pidfd >= 0)
    afork_sys_close (pidfd);
  if (sent)
    afork_server.unborn = false;
  return sent;
}

bool
afork_server_tell_birth (void)
{
  AForkFrame born = { .kind = AFORK_FRAME_BORN };

  return !afork_server.unborn || afork_server_answer (&born, -1);
}
