/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A process beside a relay that sends the file of a module to a server on another host.
 *
 * Reading a file may take any time: from a slow disk, or from a network that does not answer. So
 * neither the caller nor the relay reads it. The process has a socket to the relay. It receives the
 * REQUIRE_FILE of the caller, and sends what the server gets instead: FILE, and after FILE_WANTED
 * the content in FILE_BYTES; or FAIL. Then it exits with status 0. It exits when the socket is
 * closed, or with the relay. */

#pragma once

#include <stdint.h>
#include <sys/types.h>

/* The frame REQUIRE_FILE has at most this size. */
enum { AFORK_FILE_SENDER_MAX_FRAME = 32 * 1024 };

/* The host to which the file goes. */
typedef struct
{
  const char *name;
  const char *machine;          /* as uname(2) names it there */
  uint32_t    pointer_size;     /* in bytes, there */
  const char *runtime;          /* the name of that of the processes there */
} AForkFileTarget;

/* Starts the process. Returns its pid and sets *SOCKET to the relay's end, which is non-blocking;
 * or returns -1 and sets errno. Not async-signal-safe. */
pid_t afork_file_sender_start (const AForkFileTarget *target,
                               int                   *socket);
