/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a server replies, what it does for forks that live, and how it ends. */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/afork-frame.h"

/* Sends FRAME, which has no descriptors yet. The first frame that a forked process sends gets the
 * process's pidfd, then EXTRA_FD, unless that is -1. Returns false and sets the failure if FRAME is
 * not sent. Not async-signal-safe. */
bool afork_server_reply         (AForkFrame       *frame,
                                 int               extra_fd);

/* Opens the pidfd that afork_server_reply() will send, before the process loses the means to do so.
 * Returns false and sets the failure if it cannot. Not async-signal-safe. */
bool afork_server_open_pidfd    (void);

/* Sends FORKED if the caller does not have this process's pidfd yet. A forked process calls this
 * before it runs code of a module: that code may never return, and the caller can end only a
 * process that it knows. Not async-signal-safe. */
bool afork_server_report_fork   (void);

/* Puts a report of afork_children_wait() up for sending. DATA is not used. Async-signal-safe. */
void afork_server_put_report    (const AForkFrame *frame,
                                 void             *data);

/* Returns whether no report was lost; if one was, sets the failure. Not async-signal-safe. */
bool afork_server_check_reports (void);

/* Sends SIGNAL to fork NUMBER, and sends the caller the result. Not async-signal-safe. */
bool afork_serve_signal         (uint32_t          number,
                                 uint32_t          signal);

/* Sends no further signal to fork NUMBER, and does not measure it any more. Async-signal-safe. */
bool afork_serve_disown         (uint32_t          number);

/* Sends the caller the resident memory of fork NUMBER. Not async-signal-safe. */
bool afork_serve_measure        (uint32_t          number);

/* For a process that stays only for its forks: closes the descriptors of its items, because other
 * processes may wait until they are closed. Async-signal-safe. */
void afork_server_give_up_items (void);

/* For the same: receives once, does the commands that concern forks, and drops all others. Not
 * async-signal-safe. */
void afork_server_receive_leftovers (void);

/* Ends the process at once. Exit handlers and destructors run only in a process that was executed:
 * in a fork they would undo what its template has set up, and take more time than the rest of its
 * end. Not async-signal-safe. */
void afork_server_end           (int               status) __attribute__ ((noreturn));

/* Reaps and reports all forks of the process, then ends it. Not async-signal-safe. */
void afork_server_leave         (int               status) __attribute__ ((noreturn));

/* Sends the failure, then does the same. Not async-signal-safe. */
void afork_server_fail          (void) __attribute__ ((noreturn));
