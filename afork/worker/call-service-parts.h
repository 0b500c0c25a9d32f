/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "call-service.h"

G_BEGIN_DECLS

/* What the parts of AForkCallService share. They are: its beginning and end in call-service.c, what
 * it sends and receives in call-service-io.c, and how it serves one call at a time in
 * call-service-sequential.c, and many in call-service-concurrent.c. */

struct _AForkCallService
{
  AForkCallStream   *stream;
  gboolean           concurrent;
  gpointer           function;      /* AForkCallFunc or AForkConcurrentCallFunc */
  AForkCallDoneFunc  done;          /* or NULL */

  GMutex             output_lock;   /* for the stream's sending, and: */
  int                write_closed;  /* atomic: the caller takes no more. Set with `output_lock` */
  char              *send_fault;    /* why nothing can be sent any more, or NULL */
  gint               given_up;      /* atomic: a blob was, by another thread than that below */
  GThread           *thread;        /* that serves */
  GPid               pid;
  gboolean           has_flusher;   /* false until it is needed */
  GCond              flush_later;   /* `gathering` has become true */
  gboolean           gathering;     /* the flusher looks after what is gathered */

  GMutex             input_lock;    /* for the stream's receiving, and what follows */
  gboolean           ended;         /* the caller sends no more */
  char              *fault;         /* in what it has sent, or NULL */
  gint64             looked;        /* when the input was last read, in microseconds */
  GQueue             waiting;       /* of AForkCall: received, not begun */
  GHashTable        *waiting_index; /* the same by number; NULL until it is needed */
  gint64             now;           /* when the next call was looked for, in microseconds */

  /* One call at a time. */
  AForkCall         *current;       /* or NULL */
  gboolean           quick;         /* the last one was, and more wait */
  gint64             begun_at;      /* in microseconds */
  gboolean           has_listener;  /* false until it is needed */
  GCond              listen;        /* `listening` has become true */
  gboolean           listening;

  /* Many calls at a time. */
  GHashTable        *begun;         /* of number to GWeakRef; NULL until there is one */
  GMainLoop         *loop;          /* NULL before and after; with the output locked */
  GSource           *source;
  gpointer           source_tag;
  gboolean           waits_for_room;  /* what was gathered; the source looks for room */
};

/* Starts a thread of the service's, which lasts as long as the process. False and an error if there
 * can be none. */
gboolean   _afork_call_service_start_thread (AForkCallService  *self,
                                             const char        *name,
                                             GThreadFunc        func,
                                             GError           **error);

/* Calls that wait. With the input locked, or nobody else there. */
AForkCall *_afork_call_service_take_waiting (AForkCallService  *self);

/* Sending. The functions that do not say otherwise lock the output themselves. */

/* With the output locked. WAIT: until all is sent. */
AForkCallStreamStatus
          _afork_call_service_flush         (AForkCallService   *self,
                                             gboolean            wait);
void     _afork_call_service_unlock_output      (AForkCallService   *self);
/* With the output locked, or nobody else there. */
void     _afork_call_service_gather_error       (AForkCallService   *self,
                                                 guint32             number,
                                                 const GError       *error);
void     _afork_call_service_send_value         (AForkCallService   *self,
                                                 AForkCallFrameKind  kind,
                                                 guint32             number,
                                                 GVariant           *value);
/* This is a child of the worker, just forked. */
void     _afork_call_service_forked_cb          (void);
/* The function is about to be entered. */
void     _afork_call_service_notify_begin       (AForkCallService   *self,
                                                 AForkCall          *call);
/* A blob of the caller's has been given up, in whatever thread; DATA is the service. */
void     _afork_call_service_given_up_cb        (gpointer            data);

/* Receiving. */

/* Takes what came together with the first message. */
void     _afork_call_service_take_rest          (AForkCallService   *self);
/* Reads what has come, or waits for it. */
void     _afork_call_service_receive            (AForkCallService   *self,
                                                 gboolean            wait);
/* Reads again if calls wait that were read long ago: they may have been cancelled since. */
void     _afork_call_service_refresh            (AForkCallService   *self);
/* Reads with the input locked. Calls that are cancelled by it are added to CANCELLED: their
 * handlers, and what their end leads to, must find the service unlocked. */
void     _afork_call_service_read               (AForkCallService   *self,
                                                 gboolean            wait,
                                                 GPtrArray          *cancelled);
/* Then ends them: those that have been begun are told, the others answered. */
void     _afork_call_service_cancel             (AForkCallService   *self,
                                                 GPtrArray          *cancelled);
/* A call is begun that others may be beside. */
void     _afork_call_service_remember           (AForkCallService   *self,
                                                 AForkCall          *call);

/* Whether there are such calls. */
gboolean _afork_call_service_has_begun          (AForkCallService   *self);

/* Serving, until all calls are answered and no more will come. */
void     _afork_call_service_serve_sequentially (AForkCallService   *self);
void     _afork_call_service_serve_concurrently (AForkCallService   *self);

G_END_DECLS
