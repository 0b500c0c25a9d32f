/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "afork-process.h"
#include "base/context.h"

G_BEGIN_DECLS

/* A blocking call of OBJECT, which is PROCESS or works by it, made of an asynchronous one. The
 * process is served in a context of the call's own meanwhile, so nothing else of the program is
 * dispatched:
 *
 *     if (!_afork_blocking_call_begin (&blocking, object, process, error))
 *       return …;
 *     …_async (…, _afork_blocking_call_cb, &blocking);
 *     result = _afork_blocking_call_end (&blocking);
 */
typedef struct _AForkBlockingCall AForkBlockingCall;

struct _AForkBlockingCall
{
  GObject           *object;
  AForkHold         *hold;      /* of the process's own context */
  GMainContext      *context;
  GArray            *borrowed;  /* of AForkBorrowedClient: who is served meanwhile */
  GAsyncResult      *result;
  AForkBlockingCall *outer;     /* the call from within which this one was made, or NULL */
};

/* Fails with a GIOError if there is no descriptor left to wait with, and with AFORK_ERROR_FAILED if
 * another thread may use the process's main context. */
gboolean      _afork_blocking_call_begin       (AForkBlockingCall  *self,
                                                GObject            *object,
                                                AForkProcess       *process,
                                                GError            **error);
void          _afork_blocking_call_cb          (GObject            *object,
                                                GAsyncResult       *result,
                                                gpointer            data);
/* Waits for the result, and returns it. */
GAsyncResult *_afork_blocking_call_end         (AForkBlockingCall  *self);

/* The context of the innermost blocking call that is under way in this thread, or NULL. */
GMainContext *_afork_blocking_call_get_context (void);

G_END_DECLS
