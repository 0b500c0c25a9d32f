/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-call.h"
#include "call.h"
#include "call-functions.h"
#include "stream/call-stream.h"

G_BEGIN_DECLS

/* The worker's half of calls: it receives them, has the worker's function serve them, and sends
 * the answers. A process has at most one service, which lasts until the process ends.
 *
 * This file sends and receives. call-service-sequential.c serves one call at a time and
 * call-service-concurrent.c many; call-service.c starts the service and ends it. */
typedef struct
{
  AForkCallStream          *stream;
  const AForkCallResponder *responder;     /* what calls of this service use */
  gboolean                  concurrent;
  const AForkCallFunctions *functions;     /* how these are called: */
  gpointer                  data;          /* of `functions` */
  gpointer                  function;
  gpointer                  done;          /* or NULL */
  guint64                   cpu_time;      /* of each call, in seconds; 0 for any */
  guint64                   cpu_limit;     /* the limit of the process now, in seconds */

  GMutex                    output_lock;   /* protects the sending half of the stream */
  int                       write_closed;  /* the caller takes no more; atomic, set with the lock */
  char                     *send_fault;    /* why nothing can be sent any more, or NULL */
  gboolean                  retired;       /* RETIRE was sent; set with the output lock */
  gint                      given_up;      /* atomic: another thread has given up a blob */
  GThread                  *thread;        /* the thread that serves */
  GPid                      pid;
  gboolean                  has_flusher;   /* its thread was started */
  GCond                     flush_later;   /* signals that `gathering` has become true */
  gboolean                  gathering;     /* the flusher sends what is gathered */

  GMutex                    input_lock;    /* protects the receiving half and the fields below */
  gboolean                  ended;         /* the caller sends no more */
  char                     *fault;         /* what is wrong with the caller's messages, or NULL */
  gint64                    read_time;     /* when the input was last read, in microseconds */
  GQueue                    waiting;       /* of AForkCall: received, and not begun */
  GHashTable               *waiting_index; /* number → AForkCall in `waiting`; NULL until needed */
  gint64                    now;           /* the time at the last search for a call */

  /* One call at a time. */
  AForkCall                *current;       /* or NULL */
  gboolean                  quick;         /* the last call was quick, and more calls wait */
  gint64                    begun_at;      /* in microseconds */
  gboolean                  has_listener;  /* its thread was started */
  GCond                     listen;        /* signals that `listening` has become true */
  gboolean                  listening;

  /* Many calls at a time. */
  GHashTable               *begun;         /* number → GWeakRef; NULL until there is a call */
  GMainLoop                *loop;          /* NULL while it does not run; under the output lock */
  GSource                  *source;
  gpointer                  source_tag;
  gboolean                  waits_for_room;  /* the source waits until the socket takes more */
} AForkCallService;

/* Starts a thread of the service, which lasts as long as the process. Returns FALSE and sets ERROR
 * if the thread cannot be started. */
gboolean   _afork_call_service_start_thread  (AForkCallService   *self,
                                              const char         *name,
                                              GThreadFunc         func,
                                              GError            **error);

/* Sending. Functions lock the output themselves, unless they say otherwise. */

/* Sends what is gathered; with WAIT, until all is sent. The output is locked. */
AForkCallStreamStatus
           _afork_call_service_flush         (AForkCallService   *self,
                                              gboolean            wait);
void       _afork_call_service_unlock_output (AForkCallService   *self);
/* The output is locked, or there is no other thread. */
void       _afork_call_service_gather_error  (AForkCallService   *self,
                                              guint32             number,
                                              const GError       *error);
void       _afork_call_service_send_value    (AForkCallService   *self,
                                              AForkCallFrameKind  kind,
                                              guint32             number,
                                              GVariant           *value);
/* Takes the limit of processor time that the process has been given as that of each call. */
void       _afork_call_service_init_cpu_time (AForkCallService   *self);
/* Reports to the caller that CALL is about to be served, and gives it its processor time. */
void       _afork_call_service_notify_begin  (AForkCallService   *self,
                                              AForkCall          *call);
/* A thread has given up a blob of the caller. DATA is the service. */
void       _afork_call_service_given_up_cb   (gpointer            data);
/* Sends RETIRE, once. */
void       _afork_call_service_retire        (AForkCallService   *self);

/* The functions of an AForkCallResponder, of which DATA is the service. They may be called from any
 * thread. */
void       _afork_call_service_report        (gpointer            data,
                                              guint32             number,
                                              GVariant           *progress);
void       _afork_call_service_answer        (gpointer            data,
                                              guint32             number,
                                              GVariant           *value,
                                              GUnixFDList        *fds,
                                              GPtrArray          *blobs,
                                              const GError       *error);

/* Receiving. */

/* Takes what came together with the first message. */
void       _afork_call_service_take_rest     (AForkCallService   *self);
/* Reads what has come; with WAIT, waits for something. */
void       _afork_call_service_receive       (AForkCallService   *self,
                                              gboolean            wait);
/* Reads again if the calls that wait were read long ago: the caller may have cancelled them. */
void       _afork_call_service_refresh       (AForkCallService   *self);
/* Reads with the input locked. Adds the calls that the caller has cancelled to CANCELLED, which the
 * function below takes with the input unlocked: handlers of their cancellables may use the
 * service. */
void       _afork_call_service_read          (AForkCallService   *self,
                                              gboolean            wait,
                                              GPtrArray          *cancelled);
/* Cancels the calls in CANCELLED that have been begun, and answers the others. */
void       _afork_call_service_cancel        (AForkCallService   *self,
                                              GPtrArray          *cancelled);
/* Removes the first call that waits, and returns it, or NULL. The input is locked, or there is no
 * other thread that receives. */
AForkCall *_afork_call_service_take_waiting  (AForkCallService   *self);
/* Begins a call beside others. */
void       _afork_call_service_remember      (AForkCallService   *self,
                                              AForkCall          *call);
/* Returns whether there are calls that were begun so and have no answer. */
gboolean   _afork_call_service_has_begun     (AForkCallService   *self);

G_END_DECLS
