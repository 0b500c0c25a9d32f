/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <stddef.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Has MESSAGE pass on N_FDS descriptors, which sendmsg(2) duplicates. CONTROL has
 * CMSG_SPACE (N_FDS * sizeof (int)) bytes, which are zero, and is aligned as a struct cmsghdr is.
 * Async-signal-safe. */
static inline void
afork_attach_fds (struct msghdr *message,
                  void          *control,
                  const int     *fds,
                  size_t         n_fds)
{
  struct cmsghdr *header = (struct cmsghdr *) control;
  /* Volatile: for a copy of a few numbers, the compiler could call the C library. */
  volatile int *out = (volatile int *) CMSG_DATA (header);

  message->msg_control = control;
  message->msg_controllen = CMSG_SPACE (n_fds * sizeof (int));
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN (n_fds * sizeof (int));
  for (size_t i = 0; i < n_fds; i++)
    out[i] = fds[i];
}

#ifdef __cplusplus
}
#endif
