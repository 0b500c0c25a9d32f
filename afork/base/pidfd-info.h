/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Queries about the process of a pidfd. The kernel answers them from Linux 6.13 on. On older
 * kernels /proc does, if it shows the PID namespace of this process, or one that contains it. */

/* Whether FD is a pidfd. It may be any descriptor. This has no effect on it. */
gboolean _afork_pidfd_check               (int  fd);

/* Opens a pidfd of CHILD, a new child of this process. *PIDFD is -1 if the child was reaped
 * already, or if the kernel has no pidfds. Fails with AFORK_ERROR_SPAWN. */
gboolean _afork_pidfd_open_child          (int      child,
                                           int     *pidfd,
                                           GError **error);

/* Returns the pid in the PID namespace of this process. It is -1 if the process was reaped. It is 0
 * if the pid is unknown: the descriptor is not a pidfd, the process has no pid in this namespace,
 * or neither the kernel nor /proc reports it. */
int      _afork_pidfd_get_pid             (int  pidfd);

/* Gets the wait status of a process that another process reaps. *WAIT_STATUS is -1 if the kernel
 * does not report it. Returns false if the kernel may report it later, when the process was
 * reaped. */
gboolean _afork_pidfd_get_status          (int  pidfd,
                                           int *wait_status);

/* The same for a process that was not reaped yet. Its parent may never reap it, for example a
 * program that runs as the init process of a container and does not reap children. Returns false if
 * the status is unknown. */
gboolean _afork_pidfd_get_unreaped_status (int  pidfd,
                                           int *wait_status);

G_END_DECLS
