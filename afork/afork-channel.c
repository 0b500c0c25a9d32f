/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-channel-private.h"

#include <gio/gunixcredentialsmessage.h>
#include <gio/gunixfdmessage.h>
#include <string.h>
#include <sys/socket.h>

#include "afork-batch-private.h"
#include "afork-belonging-private.h"
#include "afork-context-private.h"
#include "afork-error.h"
#include "afork-fd-private.h"
#include "afork-i18n-private.h"

enum
{
  /* So that a reader who keeps up with a large item does not keep the main context from the
   * rest. */
  SENT_PER_TURN = 1024 * 1024,
  BULK_INPUT_SIZE = 4096,
  /* A server sends at most two at once, and never some for which there is no frame. */
  MAX_AWAITED_FDS = 4,
};

struct _AForkChannel
{
  AForkBelonging                belonging;      /* the socket, the source, and what is queued */
  gatomicrefcount               ref_count;
  const AForkChannelEvents *events;
  gpointer                  data;
  GSocket                  *socket;         /* NULL once closed */
  GSource                  *source;         /* NULL once closed; holds a reference */
  gpointer                  source_tag;     /* of the socket within the source */

  GQueue                    batches;        /* of AForkBatch, the next to be sent first */
  GPtrArray                *send_first;     /* of AForkChannel, or NULL */
  gboolean                  waits_for_room;
  gboolean                  finishing;
  gboolean                  finished;       /* and nothing was left to send */
  gboolean                  deaf;           /* the other side takes no more */

  gboolean                  exact;
  guint8                   *input;
  gsize                     input_size;
  gsize                     input_start;    /* taken up to here … */
  gsize                     input_end;      /* … and received up to here */
  gboolean                  unparsed;       /* whether it begins with a frame is not known yet */
  gsize                     frame_size;     /* of the frame that it begins with, as far as known */
  GArray                   *fds;            /* of int: received, and claimed by no frame yet */
  gboolean                  asks_sender;
  GPid                      sender;         /* of the last frame that came with one */
};

typedef struct
{
  GSource       parent;
  AForkChannel *channel;        /* the source's user has the reference */
} ChannelSource;

/* Whom a source keeps. GLib drops it when the source is destroyed, but from within the source's own
 * dispatch only after that, when there may be another source already. */
typedef struct
{
  AForkChannel *channel;
  GSource      *source;         /* for comparison */
} SourceUser;

static void flush            (AForkChannel *self);
static void receive          (AForkChannel *self);
static void source_user_free (gpointer      data);
static void forget           (gpointer      data);

/* The source. It is ready also when something is queued, or when a handler that was called for one
 * frame turns the context while the next one is here already; without a wake-up of the context:
 * what queues something is of the context's own thread, which does not sleep meanwhile. */

static gboolean
has_to_flush (AForkChannel *self)
{
  return !self->waits_for_room
    && (!g_queue_is_empty (&self->batches) || (self->finishing && !self->finished));
}

static gboolean
source_prepare (GSource *source,
                int     *timeout)
{
  AForkChannel *self = ((ChannelSource *) source)->channel;

  *timeout = -1;
  return has_to_flush (self) || self->unparsed;
}

static gboolean
source_dispatch (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     data)
{
  AForkChannel *self = ((ChannelSource *) source)->channel;
  g_autoptr(AForkChannel) kept G_GNUC_UNUSED = _afork_channel_ref (self);
  GIOCondition condition = g_source_query_unix_fd (source, self->source_tag);

  if ((condition & G_IO_OUT) != 0 || has_to_flush (self))
    flush (self);
  if (((condition & (G_IO_IN | G_IO_HUP | G_IO_ERR)) != 0 || self->unparsed)
      && self->source == source)
    receive (self);

  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = { .prepare = source_prepare, .dispatch = source_dispatch };

static void
attach (AForkChannel *self,
        GMainContext *context)
{
  SourceUser *user = g_new0 (SourceUser, 1);

  self->source = g_source_new (&source_funcs, sizeof (ChannelSource));
  ((ChannelSource *) self->source)->channel = self;
  g_source_set_static_name (self->source, "[afork] channel");
  /* A handler that turns the main context waits perhaps for what is still to come here. */
  g_source_set_can_recurse (self->source, TRUE);
  self->source_tag = g_source_add_unix_fd (self->source, g_socket_get_fd (self->socket),
                                           self->waits_for_room ? G_IO_IN | G_IO_OUT : G_IO_IN);
  user->channel = _afork_channel_ref (self);
  user->source = self->source;
  g_source_set_callback (self->source, NULL, user, source_user_free);
  g_source_attach (self->source, context);
}

static void
detach (AForkChannel *self)
{
  _afork_source_clear (&self->source);
}

/* A source is being destroyed: by us, who have forgotten it already, or with its context. */
static void
source_user_free (gpointer data)
{
  SourceUser *user = data;
  g_autoptr(AForkChannel) self = user->channel;
  gboolean context_gone = self->source == user->source;
  g_autoptr(GError) error = NULL;

  g_free (user);
  if (!context_gone)
    return;

  error = g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                       _("The main context of the process is gone"));
  _afork_channel_close (self, error);
}

static void
wait_for_room (AForkChannel *self,
               gboolean      wait)
{
  if (self->waits_for_room == wait)
    return;

  self->waits_for_room = wait;
  g_source_modify_unix_fd (self->source, self->source_tag,
                           wait ? G_IO_IN | G_IO_OUT : G_IO_IN);
}

/* Sending. */

static void
clear_batches (AForkChannel *self)
{
  g_queue_clear_full (&self->batches, (GDestroyNotify) _afork_batch_free);
}

static void
flush_others (AForkChannel *self)
{
  g_autoptr(GPtrArray) others = g_steal_pointer (&self->send_first);

  for (guint i = 0; others != NULL && i < others->len; i++)
    flush (g_ptr_array_index (others, i));
}

static void
flush (AForkChannel *self)
{
  g_autoptr(GError) error = NULL;
  GPollableReturn result = G_POLLABLE_RETURN_OK;
  gsize n_bytes = 0;
  AForkBatch *batch;

  flush_others (self);
  if (self->socket == NULL)
    return;

  while (result == G_POLLABLE_RETURN_OK
         && n_bytes < SENT_PER_TURN
         && (batch = g_queue_peek_head (&self->batches)) != NULL)
    {
      gsize n_sent;

      result = _afork_batch_send (batch, self->socket, &n_sent, &error);
      n_bytes += n_sent;
      if (_afork_batch_is_sent (batch))
        _afork_batch_free (g_queue_pop_head (&self->batches));
    }

  /* The other side may have said why it listens no longer: that is still to be read. */
  if (result == G_POLLABLE_RETURN_FAILED
      && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
    {
      g_autoptr(GError) failure = NULL;

      failure = g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN,
                             _("Commands could not be sent: %s"), error->message);
      _afork_channel_close (self, failure);
      return;
    }
  if (result == G_POLLABLE_RETURN_FAILED)
    {
      g_debug ("Commands could not be sent: %s", error->message);
      self->deaf = TRUE;
      clear_batches (self);
    }

  wait_for_room (self, !g_queue_is_empty (&self->batches));
  if (self->finishing && !self->finished && g_queue_is_empty (&self->batches))
    {
      self->finished = TRUE;
      g_socket_shutdown (self->socket, FALSE, TRUE, NULL);
    }
}

/* Whether what is sent can still arrive. */
static gboolean
is_open (AForkChannel *self)
{
  return self->socket != NULL && !self->deaf && !self->finishing;
}

gboolean
_afork_channel_send (AForkChannel     *self,
                     const AForkFrame *frame,
                     int               fd)
{
  g_auto(AForkFd) owned_fd = fd;
  gsize size = afork_frame_size (frame);
  AForkBatch *batch = g_queue_peek_tail (&self->batches);

  if (size == 0)
    return FALSE;
  if (!is_open (self))
    return TRUE;

  if (batch == NULL || !_afork_batch_add (batch, frame, size, fd))
    {
      batch = _afork_batch_new ();
      g_queue_push_tail (&self->batches, batch);
      if (!_afork_batch_add (batch, frame, size, fd))
        g_assert_not_reached ();
    }

  (void) g_steal_fd (&owned_fd);
  return TRUE;
}

void
_afork_channel_send_item (AForkChannel *self,
                          GBytes       *bytes)
{
  gsize size = g_bytes_get_size (bytes);
  gsize offset = 0;

  if (!is_open (self))
    return;

  do
    {
      gsize piece = MIN (size - offset, (gsize) AFORK_FRAME_PIECE_SIZE);
      AForkBatch *batch = _afork_batch_new ();

      _afork_batch_end (batch, bytes, offset, piece, offset + piece < size);
      g_queue_push_tail (&self->batches, batch);
      offset += piece;
    }
  while (offset < size);
}

void
_afork_channel_send_first (AForkChannel *self,
                           AForkChannel *other)
{
  if (!is_open (self))
    return;

  if (self->send_first == NULL)
    self->send_first = g_ptr_array_new_with_free_func ((GDestroyNotify) _afork_channel_unref);
  g_ptr_array_add (self->send_first, _afork_channel_ref (other));
}

gboolean
_afork_channel_is_sent (AForkChannel *self)
{
  return g_queue_is_empty (&self->batches);
}

void
_afork_channel_finish (AForkChannel *self)
{
  self->finishing = TRUE;
}

/* Receiving. */

static gboolean
take_fds (AForkChannel *self,
          GUnixFDList  *list)
{
  int n_fds;
  g_autofree int *fds = g_unix_fd_list_steal_fds (list, &n_fds);

  g_array_append_vals (self->fds, fds, (guint) n_fds);
  return self->fds->len <= MAX_AWAITED_FDS;
}

static gboolean
take_messages (AForkChannel           *self,
               GSocketControlMessage **messages,
               int                     n_messages)
{
  gboolean fits = TRUE;

  for (int i = 0; i < n_messages; i++)
    {
      if (G_IS_UNIX_FD_MESSAGE (messages[i]))
        fits &= take_fds (self, g_unix_fd_message_get_fd_list (G_UNIX_FD_MESSAGE (messages[i])));
      else if (G_IS_UNIX_CREDENTIALS_MESSAGE (messages[i]))
        self->sender = g_credentials_get_unix_pid (
          g_unix_credentials_message_get_credentials (G_UNIX_CREDENTIALS_MESSAGE (messages[i])),
          NULL);
      g_object_unref (messages[i]);
    }

  g_free (messages);
  return fits;
}

/* Moves what has not been taken to the front, and makes room for SIZE bytes in all. */
static void
make_room (AForkChannel *self,
           gsize         size)
{
  if (self->input_start > 0)
    memmove (self->input, self->input + self->input_start, self->input_end - self->input_start);
  self->input_end -= self->input_start;
  self->input_start = 0;

  if (size > self->input_size)
    {
      self->input = g_realloc (self->input, size);
      self->input_size = size;
    }
}

/* Reads once. False, and an error unless the other side has merely closed, if no more will come.
 * *N_BYTES is 0 where nothing has come. */
static gboolean
read_input (AForkChannel  *self,
            gsize         *n_bytes,
            GError       **error)
{
  GSocketControlMessage **messages = NULL;
  g_autoptr(GError) local_error = NULL;
  GInputVector vector;
  int n_messages = 0;
  /* A socket that a worker sent is perhaps its own as well, and so not surely non-blocking. */
  int flags = MSG_DONTWAIT;
  gssize result;

  *n_bytes = 0;
  make_room (self, self->exact ? self->frame_size : MAX (self->frame_size, BULK_INPUT_SIZE));
  vector.buffer = self->input + self->input_end;
  vector.size = (self->exact ? self->frame_size : self->input_size) - self->input_end;
  result = g_socket_receive_message (self->socket, NULL, &vector, 1, &messages, &n_messages,
                                     &flags, NULL, &local_error);
  if (result < 0)
    {
      if (g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return TRUE;
      /* A process that ends before it has read everything resets the connection. */
      if (!g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
        g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                     _("Answers could not be received: %s"), local_error->message);
      return FALSE;
    }

  *n_bytes = (gsize) result;
  self->input_end += (gsize) result;
  if (!take_messages (self, messages, n_messages))
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                   _("More descriptors came than frames that name them"));
      return FALSE;
    }
  if ((flags & MSG_CTRUNC) != 0)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("A descriptor could not be received: %s"), g_strerror (EMFILE));
      return FALSE;
    }

  return result > 0;
}

/* Hands one frame on. */
static gboolean
deliver (AForkChannel      *self,
         const AForkFrame  *frame,
         GError           **error)
{
  int fds[AFORK_FRAME_MAX_FDS];
  gboolean success;

  if (frame->n_fds > self->fds->len)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                   _("%s came without the descriptors that it names"),
                   afork_frame_kind_name (frame->kind));
      return FALSE;
    }

  for (guint i = 0; i < frame->n_fds; i++)
    fds[i] = g_array_index (self->fds, int, i);
  if (frame->n_fds > 0)
    g_array_remove_range (self->fds, 0, frame->n_fds);

  success = self->events->frame (self, frame, fds, self->sender, self->data, error);
  for (guint i = 0; i < frame->n_fds; i++)
    _afork_fd_clear (&fds[i]);
  return success;
}

/* Takes the input apart, as far as it goes. What a frame leads to may well turn the main context,
 * and so come back here: each frame counts as taken before it is delivered. */
static gboolean
parse_input (AForkChannel  *self,
             GError       **error)
{
  AForkFrameResult result = AFORK_FRAME_OK;
  AForkFrame frame;
  const char *why;

  while (result == AFORK_FRAME_OK && self->socket != NULL)
    {
      result = afork_frame_parse (self->input + self->input_start,
                                  self->input_end - self->input_start,
                                  &frame, &self->frame_size, &why);
      if (result == AFORK_FRAME_INVALID)
        {
          g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                       _("The process does not keep to the protocol: %s"), why);
          return FALSE;
        }
      self->unparsed = result == AFORK_FRAME_OK;
      if (result == AFORK_FRAME_OK)
        {
          self->input_start += self->frame_size;
          self->frame_size = AFORK_FRAME_HEADER_SIZE;
          if (!deliver (self, &frame, error))
            return FALSE;
        }
    }

  return TRUE;
}

static void
receive (AForkChannel *self)
{
  g_autoptr(GError) error = NULL;
  gsize n_bytes = 0;
  gboolean complete;

  do
    {
      gboolean open = self->unparsed || read_input (self, &n_bytes, &error);

      if (!open || !parse_input (self, &error))
        {
          _afork_channel_close (self, error);
          return;
        }
      /* Another read is worth its while only to complete a frame. */
      complete = self->input_start == self->input_end;
    }
  while (n_bytes > 0 && !complete && self->socket != NULL);
}

void
_afork_channel_drain (AForkChannel *self)
{
  g_autoptr(AForkChannel) kept G_GNUC_UNUSED = _afork_channel_ref (self);
  gsize n_bytes = 1;

  while (n_bytes > 0 && self->socket != NULL)
    {
      g_autoptr(GError) error = NULL;

      if (!(self->unparsed || read_input (self, &n_bytes, &error))
          || !parse_input (self, &error))
        _afork_channel_close (self, error);
    }
}

void
_afork_channel_ask_sender (AForkChannel *self,
                           gboolean      ask)
{
  if (self->socket == NULL || self->asks_sender == ask)
    return;

  self->asks_sender = ask;
  g_socket_set_option (self->socket, SOL_SOCKET, SO_PASSCRED, ask, NULL);
}

void
_afork_channel_read_exactly (AForkChannel *self)
{
  self->exact = TRUE;
}

/* Life. */

AForkChannel *
_afork_channel_new (int                        fd,
                    GMainContext              *context,
                    const AForkChannelEvents  *events,
                    gpointer                   data,
                    GError                   **error)
{
  g_auto(AForkFd) owned_fd = fd;
  g_autoptr(GSocket) socket = NULL;
  g_autoptr(GError) cause = NULL;
  socklen_t size = sizeof (int);
  AForkChannel *self;
  int type;

  /* GLib 2.74 closes what is no socket, and says that it has not. */
  if (getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL, _("It is no stream socket"));
      return NULL;
    }
  socket = g_socket_new_from_fd (fd, &cause);
  if (socket != NULL)
    {
      (void) g_steal_fd (&owned_fd);
      g_socket_set_blocking (socket, FALSE);
    }
  /* The kernel then says with each message who sent it, and nobody can say otherwise. */
  if (socket == NULL || !g_socket_set_option (socket, SOL_SOCKET, SO_PASSCRED, TRUE, &cause))
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("A process could not be connected: %s"), cause->message);
      return NULL;
    }

  self = g_new0 (AForkChannel, 1);
  _afork_belonging_begin (&self->belonging, forget, self);
  g_atomic_ref_count_init (&self->ref_count);
  self->events = events;
  self->data = data;
  self->socket = g_steal_pointer (&socket);
  self->asks_sender = TRUE;
  self->frame_size = AFORK_FRAME_HEADER_SIZE;
  self->fds = g_array_new (FALSE, FALSE, sizeof (int));
  g_queue_init (&self->batches);
  attach (self, context);
  return self;
}

AForkChannel *
_afork_channel_ref (AForkChannel *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
_afork_channel_unref (AForkChannel *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_assert (self->source == NULL && self->socket == NULL);
  _afork_belonging_end (&self->belonging);
  g_array_unref (self->fds);
  g_free (self->input);
  g_free (self);
}

/* Lets go of everything but the socket, which is returned. */
static GSocket *
shut (AForkChannel *self)
{
  detach (self);
  clear_batches (self);
  g_clear_pointer (&self->send_first, g_ptr_array_unref);
  for (guint i = 0; i < self->fds->len; i++)
    _afork_fd_close (g_array_index (self->fds, int, i));
  g_array_set_size (self->fds, 0);
  return g_steal_pointer (&self->socket);
}

static void
forget (gpointer data)
{
  g_autoptr(AForkChannel) self = _afork_channel_ref (data);
  g_autoptr(GSocket) socket G_GNUC_UNUSED = shut (self);
}

void
_afork_channel_close (AForkChannel *self,
                      const GError *error)
{
  g_autoptr(AForkChannel) kept G_GNUC_UNUSED = _afork_channel_ref (self);
  GSocket *socket = shut (self);

  if (socket == NULL)
    return;

  g_object_unref (socket);
  self->events->closed (self, error, self->data);
}

GSocket *
_afork_channel_steal_socket (AForkChannel *self)
{
  GSocket *socket;

  _afork_channel_ask_sender (self, FALSE);
  socket = shut (self);
  g_socket_set_blocking (socket, TRUE);
  return socket;
}

void
_afork_channel_set_context (AForkChannel *self,
                            GMainContext *context)
{
  if (self->socket == NULL)
    return;

  detach (self);
  attach (self, context);
}
