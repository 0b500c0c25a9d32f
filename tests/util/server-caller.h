/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* For tests of afork-server by itself: they are its caller, and write any frames. */

#pragma once

#include <glib.h>
#include <sys/types.h>

#include "afork/wire/afork-frame.h"
#include "test-basics.h"
#include "test-fds.h"

G_BEGIN_DECLS

#define FRAME(KIND, ...) ((AForkFrame) { .kind = AFORK_FRAME_ ## KIND, __VA_ARGS__ })

/* The descriptor by which a server gets its socket. */
enum { SERVER_SOCKET = 3 };

typedef struct
{
  int         socket;
  pid_t       pid;              /* 0 if the other side is a fork */
  GByteArray *input;            /* the last frame that was received */
  GArray     *fds;              /* of int: received, and not taken yet */
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

/* Makes a caller of the server that has the other end of SOCKET; or starts a server. */
void        caller_init          (Caller             *self,
                                  int                 socket);
void        caller_start         (Caller             *self);
/* Closes the socket. The server must exit with STATUS. */
void        caller_finish        (Caller             *self,
                                  int                 status);

/* Appends a frame to BYTES. */
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
/* Waits until the server has read all that was sent. */
void        caller_await_read    (Caller             *self);

/* Asks for a fork, and makes FORK its caller. */
void        caller_fork          (Caller             *self,
                                  guint32             number,
                                  Caller             *fork);
/* Waits until the server confirms the fork. Its pidfd is the first descriptor. */
void        caller_expect_fork   (Caller             *self,
                                  guint32             number,
                                  Caller             *fork);

/* Reads the next frame, and no byte more. It is valid until the next one is read. A fork reports
 * itself only if it has nothing else to send. */
AForkFrame  caller_expect        (Caller             *self,
                                  AForkFrameKind      kind);
void        caller_expect_error  (Caller             *self,
                                  AForkWireError      code,
                                  const char         *text);
void        caller_expect_exited (Caller             *self,
                                  guint32             number,
                                  int                 status);
/* The server must send nothing more. */
void        caller_expect_end    (Caller             *self);
/* Shuts the socket down for writing. The worker, which runs echo(), must send back TEXT. */
void        caller_expect_echo   (Caller             *self,
                                  const char         *text);
int         caller_take_fd       (Caller             *self);

G_END_DECLS
