/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "afork-call.h"
#include "stream/call-stream.h"

G_BEGIN_DECLS

/* What a call needs of the service that serves it. The functions may be called from any thread. */
typedef struct
{
  /* Sends PROGRESS of the call NUMBER. */
  void     (*report) (gpointer       data,
                      guint32        number,
                      GVariant      *progress);
  /* Sends the answer: ERROR, or if that is NULL, VALUE with FDS and BLOBS, each of which may be
   * NULL. */
  void     (*answer) (gpointer       data,
                      guint32        number,
                      GVariant      *value,
                      GUnixFDList   *fds,
                      GPtrArray     *blobs,
                      const GError  *error);
  /* Receives while the call is served, so that it can be cancelled. NULL if the service always
   * does. */
  gboolean (*listen) (gpointer       data,
                      GError       **error);
} AForkCallResponder;

/* Takes what MESSAGE, a CALL, has. RESPONDER and DATA must outlive the call. */
AForkCall *_afork_call_new                  (const AForkCallResponder *responder,
                                             gpointer                  data,
                                             AForkCallMessage         *message);
guint32    _afork_call_get_number           (AForkCall                *self);
/* Returns the call's own link, for a queue of calls. */
GList     *_afork_call_get_link             (AForkCall                *self);
GVariant  *_afork_call_get_args             (AForkCall                *self);
gboolean   _afork_call_is_answered          (AForkCall                *self);

/* Returns whether the caller wants to know when the function is entered. */
gboolean   _afork_call_wants_begin_notified (AForkCall                *self);

/* Notes that the function is about to be entered. */
void       _afork_call_begin                (AForkCall                *self);
gboolean   _afork_call_is_begun             (AForkCall                *self);

/* Notes that the caller does not want the answer any more. */
void       _afork_call_cancel               (AForkCall                *self);

G_END_DECLS
