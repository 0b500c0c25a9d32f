/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Sends descriptors over a socket. For test programs and modules that write frames themselves, some
 * of which have only the C library. */

#pragma once

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "afork/system/attach-fds.h"

/* The kernel takes no more in one message. */
enum { SEND_FDS_MAX = 253 };

/* Calls sendmsg(2) once with N_FDS descriptors, SEND_FDS_MAX at most. Returns its result. */
static inline ssize_t
send_with_fds (int         socket,
               const void *bytes,
               size_t      n_bytes,
               const int  *fds,
               size_t      n_fds,
               int         flags)
{
  union
  {
    struct cmsghdr align;
    char           bytes[CMSG_SPACE (SEND_FDS_MAX * sizeof (int))];
  } control;
  struct iovec vector = { .iov_base = (void *) bytes, .iov_len = n_bytes };
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

  if (n_fds > 0)
    {
      memset (&control, 0, sizeof control);
      afork_attach_fds (&message, &control, fds, n_fds);
    }

  return sendmsg (socket, &message, flags);
}
