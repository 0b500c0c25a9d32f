/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What a pidfd tells of its process: the kernel does so from Linux 6.13 on, and /proc where that
 * is the one of this process's PID namespace, or of one around it. */

/* Whether FD is a pidfd. It may be any descriptor, and is not used otherwise than to ask this. */
gboolean _afork_pidfd_check               (int  fd);

/* Opens a pidfd of CHILD, which this process has just made: *PIDFD is -1 if the child has been
 * reaped already, or if the kernel has no pidfds. Fails with AFORK_ERROR_SPAWN. */
gboolean _afork_pidfd_open_child          (int      child,
                                           int     *pidfd,
                                           GError **error);

/* The pid, as this process has it; -1 if the process was reaped, and 0 if nobody can say: it is
 * no pidfd, it is of a process that has no number here, or neither the kernel nor /proc tells. */
int      _afork_pidfd_get_pid             (int  pidfd);

/* How a process ended that somebody else reaps: *WAIT_STATUS is -1 if the kernel does not tell.
 * False if it may tell later, when the process was reaped. */
gboolean _afork_pidfd_get_status          (int  pidfd,
                                           int *wait_status);

/* The same of one that has not been reaped yet. Its parent may never reap it, such as a program
 * that is the init of a container without knowing it. False if it is not known. */
gboolean _afork_pidfd_get_unreaped_status (int  pidfd,
                                           int *wait_status);

G_END_DECLS
