/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the tests of afork-server by itself have in common: they are its caller, and write frames as
 * they please. */

#pragma once

#include <glib.h>
#include <sys/types.h>

#include "afork/wire/afork-frame.h"
#include "test-basics.h"
#include "test-fds.h"

G_BEGIN_DECLS

#define FRAME(KIND, ...) ((AForkFrame) { .kind = AFORK_FRAME_ ## KIND, __VA_ARGS__ })

/* Where a server that is started finds its socket. */
enum { SERVER_SOCKET = 3 };

typedef struct
{
  int         socket;
  pid_t       pid;              /* 0 where the other side is a fork */
  GByteArray *input;            /* the frame received last */
  GArray     *fds;              /* of int: received, and taken by nobody */
} Caller;

/* Adds a test, which must leave as many descriptors as there were. */
void        add_server_test      (const char         *path,
                                  gconstpointer       data,
                                  void              (*test) (guint         *n_fds,
                                                             gconstpointer  data));

const char *get_server           (void);

/* Executes ARGV with SOCKET as descriptor NUMBER and ERROR_FD as standard error, unless they are
 * -1. */
pid_t       spawn_server         (const char * const *argv,
                                  int                 socket,
                                  int                 number,
                                  int                 error_fd);
void        expect_status        (pid_t               pid,
                                  int                 status);

/* Makes the caller of whoever has the other end of SOCKET, or of a server that is started. */
void        caller_init          (Caller             *self,
                                  int                 socket);
void        caller_start         (Caller             *self);
/* Closes the socket, and sees how the server ends. */
void        caller_finish        (Caller             *self,
                                  int                 status);

/* Adds a frame to what is to be sent. */
void        add_frame            (GByteArray         *bytes,
                                  AForkFrame          frame);

void        caller_send_bytes    (Caller             *self,
                                  gconstpointer       bytes,
                                  gsize               n_bytes,
                                  const int          *fds,
                                  gsize               n_fds);
void        caller_send          (Caller             *self,
                                  AForkFrame          frame);
void        caller_send_with_fd  (Caller             *self,
                                  AForkFrame          frame,
                                  int                 fd);
void        caller_require       (Caller             *self,
                                  const char         *module);
void        caller_call          (Caller             *self,
                                  const char         *function,
                                  const char * const *args);
void        caller_run           (Caller             *self,
                                  const char         *function);
/* Waits until all that was sent has been read. */
void        caller_await_read    (Caller             *self);

/* Has FORK be the caller of a new fork. */
void        caller_fork          (Caller             *self,
                                  guint32             number,
                                  Caller             *fork);
/* A fork that has been heard of; its pidfd is the first descriptor. */
void        caller_expect_fork   (Caller             *self,
                                  guint32             number,
                                  Caller             *fork);

/* The next frame, and not a byte more. It is good until the next. A fork tells its birth by itself
 * only if it has nothing else to say yet. */
AForkFrame  caller_expect        (Caller             *self,
                                  AForkFrameKind      kind);
void        caller_expect_error  (Caller             *self,
                                  AForkWireError      code,
                                  const char         *text);
void        caller_expect_exited (Caller             *self,
                                  guint32             number,
                                  int                 status);
/* Nothing more comes. */
void        caller_expect_end    (Caller             *self);
/* It runs echo(), and has been sent TEXT behind its items. */
void        caller_expect_echo   (Caller             *self,
                                  const char         *text);
int         caller_take_fd       (Caller             *self);

G_END_DECLS
