/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "base/context.h"
#include "client/client.h"

G_BEGIN_DECLS

/* A blocking call of OBJECT, made of an asynchronous one. During the call, the process is served in
 * a main context of the call, and no other source of the program is dispatched. OBJECT is the
 * process or an object that uses it:
 *
 *     if (!_afork_process_begin_blocking (process, &blocking, object, error))
 *       return …;
 *     …_async (…, _afork_blocking_call_cb, &blocking);
 *     result = _afork_blocking_call_end (&blocking);
 */
typedef struct _AForkBlockingCall AForkBlockingCall;

struct _AForkBlockingCall
{
  GObject           *object;
  AForkHold         *hold;      /* of the process's context */
  GMainContext      *context;
  GSource           *interrupt; /* or NULL */
  GArray            *borrowed;  /* of AForkBorrowedClient: the clients that are served here */
  GAsyncResult      *result;
  gboolean           has_waited;
  GMainContext      *outer;     /* of the call within which this one is made, or NULL */
};

/* Serves CLIENT in a context of the call. HOLD is that of the client's own context, and is taken.
 * Fails with a GIOError if there are too few descriptors for a context. */
gboolean      _afork_blocking_call_begin       (AForkBlockingCall  *self,
                                                GObject            *object,
                                                AForkHold          *hold,
                                                AForkClient        *client,
                                                GError            **error);
void          _afork_blocking_call_cb          (GObject            *object,
                                                GAsyncResult       *result,
                                                gpointer            data);
/* Waits for the result. For a caller that has borrowed other clients, and has to give them back
 * before the call ends. */
void          _afork_blocking_call_wait        (AForkBlockingCall  *self);
/* Waits for the result and returns it. */
GAsyncResult *_afork_blocking_call_end         (AForkBlockingCall  *self);

G_END_DECLS
