/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "channel.h"

#include <errno.h>
#include <sys/socket.h>

#include "afork-error.h"
#include "base/atfork.h"
#include "base/context.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "base/turn.h"
#include "channel-reader.h"
#include "channel-writer.h"

/* From include/uapi/asm-generic/socket.h, for a C library that is older than the kernel. Two
 * architectures have other numbers. */
#if !defined (SO_PASSPIDFD) && !defined (__hppa__) && !defined (__sparc__)
# define SO_PASSPIDFD 76
#endif

/* The most bytes that are sent in one turn: a server that reads as fast as the channel sends would
 * otherwise keep other sources of the main context from being dispatched. */
enum { SENT_PER_TURN = 1024 * 1024 };

/* If too many descriptors of this user are in flight, on any socket, some of them must arrive
 * before more can be sent. The kernel does not report that. So the channel tries again after
 * RETRY_TIME, and fails after RETRY_LIMIT, in microseconds. */
enum { RETRY_TIME = 10 * 1000, RETRY_LIMIT = 30 * G_USEC_PER_SEC };

struct _AForkChannel
{
  AForkAtforkHook           atfork_hook;
  gatomicrefcount           ref_count;
  const AForkChannelEvents *events;
  gpointer                  data;
  GSocket                  *socket;         /* NULL once the channel is closed */
  GSource                  *source;         /* NULL once it is closed; holds a reference */
  gpointer                  source_tag;     /* of the socket in the source */
  AForkTurnState            turn_state;     /* of the source */

  GQueue                    write_buffers;  /* of AForkWriteBuffer: the head is sent next */
  GQueue                    send_first;     /* of AForkChannel: they send before this channel */
  gboolean                  waits_for_room;
  gint64                    retry_time;     /* when to send again, or 0 if nothing is waited for */
  gint64                    retry_end;      /* when sending fails instead */
  gboolean                  finishing;      /* _afork_channel_finish() was called */
  gboolean                  finished;       /* the socket is shut down for writing */
  gboolean                  write_closed;   /* the other side reads no more */
  gboolean                  draining;       /* what has arrived is still to be read */

  AForkChannelReader        reader;
  gboolean                  asks_sender;
};

typedef struct
{
  GSource       parent;
  AForkChannel *channel;        /* the callback of the source has the reference */
} ChannelSource;

static gboolean send_queued     (AForkChannel *self,
                                 AForkTurn    *turn,
                                 GError      **error);
static gboolean flush           (AForkChannel *self,
                                 AForkTurn    *turn);
static gboolean receive         (AForkChannel *self,
                                 AForkTurn    *turn);
static void     go_on_draining  (AForkChannel *self,
                                 AForkTurn    *turn);
static void     close_inherited (AForkChannel *self);
static void     atfork_child_cb (gpointer      data);

/* The source. Its prepare() sends queued frames already, which saves an iteration of the context.
 * The source is ready if sending fails, if there is no time left for it, or if a handler of one
 * frame iterates the context while the next frame was read already. The context need not be woken:
 * the thread that queues frames is the one that iterates the context. */

static gboolean
has_to_flush (AForkChannel *self)
{
  return !self->waits_for_room
    && (self->retry_time == 0 || g_get_monotonic_time () >= self->retry_time)
    && (!g_queue_is_empty (&self->write_buffers) || (self->finishing && !self->finished));
}

/* Sends as much as there is time for. Returns whether to dispatch the source, for the rest or for
 * an error. Only the dispatch changes the priority of the source. */
static gboolean
send_early (AForkChannel *self,
            GSource      *source)
{
  gboolean success;
  AForkTurn turn;

  if (!has_to_flush (self))
    return FALSE;
  if (!_afork_turn_begin_early (&turn, source))
    return TRUE;

  success = send_queued (self, &turn, NULL);
  _afork_turn_end (&turn, &self->turn_state, NULL, TRUE);
  return !success || has_to_flush (self);
}

static gboolean
source_prepare (GSource *source,
                int     *timeout)
{
  g_autoptr(AForkChannel) self = _afork_channel_ref (((ChannelSource *) source)->channel);

  *timeout = -1;
  if (_afork_atfork_is_inherited (&self->atfork_hook))
    return TRUE;
  if (send_early (self, source) || self->reader.unparsed || self->draining)
    return TRUE;

  if (self->retry_time > 0)
    *timeout = RETRY_TIME / 1000;
  return _afork_turn_prepare (&self->turn_state, timeout);
}

static gboolean
source_dispatch (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     data)
{
  AForkChannel *self = ((ChannelSource *) source)->channel;
  g_autoptr(AForkChannel) kept G_GNUC_UNUSED = _afork_channel_ref (self);
  GIOCondition condition = g_source_query_unix_fd (source, self->source_tag);
  gboolean caught_up = TRUE;
  AForkTurn turn;

  if (_afork_atfork_is_inherited (&self->atfork_hook))
    {
      close_inherited (self);
      return G_SOURCE_CONTINUE;
    }
  if (!_afork_turn_begin (&turn, source))
    return G_SOURCE_CONTINUE;

  if ((condition & G_IO_OUT) != 0 || has_to_flush (self))
    caught_up = flush (self, &turn);
  if (self->draining && self->source == source)
    go_on_draining (self, &turn);
  else if (((condition & (G_IO_IN | G_IO_HUP | G_IO_ERR)) != 0 || self->reader.unparsed)
           && self->source == source)
    caught_up = receive (self, &turn) && caught_up;
  caught_up = caught_up && !self->draining;

  _afork_turn_end (&turn, &self->turn_state, self->source == source ? source : NULL, caught_up);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = { .prepare = source_prepare, .dispatch = source_dispatch };

static void
unref_cb (gpointer data)
{
  _afork_channel_unref (data);
}

static void
context_gone_cb (gpointer data)
{
  g_autoptr(GError) error = NULL;

  error = g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                       _("The main context of the process is gone"));
  _afork_channel_close (data, error);
}

static void
attach (AForkChannel *self,
        GMainContext *context)
{
  self->source = g_source_new (&source_funcs, sizeof (ChannelSource));
  ((ChannelSource *) self->source)->channel = self;
  g_source_set_static_name (self->source, "[afork] channel");
  /* A handler that iterates the main context may wait for the next frame. */
  g_source_set_can_recurse (self->source, TRUE);
  self->source_tag = g_source_add_unix_fd (self->source, g_socket_get_fd (self->socket),
                                           self->waits_for_room ? G_IO_IN | G_IO_OUT : G_IO_IN);
  self->turn_state = (AForkTurnState) { 0 };
  _afork_source_set_callback (&self->source, NULL, context_gone_cb, _afork_channel_ref (self),
                              unref_cb);
  g_source_attach (self->source, context);
}

static void
detach (AForkChannel *self)
{
  _afork_source_clear (&self->source);
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

/* To free the bytes of an item may run code of the program, which may use the channel. So this is
 * called last. */
static void
free_buffers (GQueue *write_buffers)
{
  g_queue_clear_full (write_buffers, (GDestroyNotify) _afork_write_buffer_free);
}

/* Moves all write buffers to TAKEN. */
static void
take_buffers (AForkChannel *self,
              GQueue       *taken)
{
  AForkWriteBuffer *write_buffer;

  while ((write_buffer = g_queue_pop_head (&self->write_buffers)) != NULL)
    g_queue_push_tail (taken, write_buffer);
}

/* Sending has failed because of ERROR. Returns whether to send again at `retry_time`. */
static gboolean
begin_retry (AForkChannel *self,
             const GError *error)
{
  const gint64 now = g_get_monotonic_time ();

  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_BUSY))
    return FALSE;

  if (self->retry_time == 0)
    self->retry_end = now + RETRY_LIMIT;
  if (now >= self->retry_end)
    return FALSE;

  self->retry_time = now + RETRY_TIME;
  return TRUE;
}

/* Sends until the socket is full, SENT_PER_TURN bytes were sent, or TURN is over, which may be
 * NULL. Moves the write buffers that were sent to SENT. */
static gboolean
send_buffers (AForkChannel  *self,
              AForkTurn     *turn,
              GQueue        *sent,
              GError       **error)
{
  gsize n_bytes = 0;
  AForkWriteBuffer *write_buffer;

  while (n_bytes < SENT_PER_TURN
         && (turn == NULL || _afork_turn_goes_on (turn))
         && (write_buffer = g_queue_peek_head (&self->write_buffers)) != NULL)
    {
      g_autoptr(GError) cause = NULL;
      gsize n_sent;
      GPollableReturn result =
        _afork_write_buffer_send (write_buffer, self->socket, &n_sent, &cause);

      if (result == G_POLLABLE_RETURN_FAILED && !begin_retry (self, cause))
        {
          g_propagate_error (error, g_steal_pointer (&cause));
          return FALSE;
        }
      if (result != G_POLLABLE_RETURN_OK)
        return TRUE;

      self->retry_time = 0;
      n_bytes += n_sent;
      if (_afork_write_buffer_is_sent (write_buffer))
        g_queue_push_tail (sent, g_queue_pop_head (&self->write_buffers));
    }

  return TRUE;
}

/* Sends the queues of the channels that come first. Returns false if the turn is over before. */
static gboolean
send_others (AForkChannel *self,
             AForkTurn    *turn)
{
  while (!g_queue_is_empty (&self->send_first))
    {
      g_autoptr(AForkChannel) other = NULL;

      if (turn != NULL && !_afork_turn_goes_on (turn))
        return FALSE;
      other = g_queue_pop_head (&self->send_first);
      send_queued (other, turn, NULL);
    }

  return TRUE;
}

/* Sends the queue of this channel. Moves the write buffers that are not needed any more to DONE. */
static gboolean
send_own (AForkChannel  *self,
          AForkTurn     *turn,
          GQueue        *done,
          GError       **error)
{
  g_autoptr(GError) cause = NULL;

  if (!send_buffers (self, turn, done, &cause))
    {
      if (!g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
        {
          g_propagate_error (error, g_steal_pointer (&cause));
          return FALSE;
        }

      /* The other side may have sent the reason, which is read next. */
      g_debug ("Commands could not be sent: %s", cause->message);
      self->write_closed = TRUE;
      take_buffers (self, done);
    }

  wait_for_room (self, self->retry_time == 0 && !g_queue_is_empty (&self->write_buffers));
  if (self->finishing && !self->finished && g_queue_is_empty (&self->write_buffers))
    {
      self->finished = TRUE;
      g_socket_shutdown (self->socket, FALSE, TRUE, NULL);
    }
  return TRUE;
}

/* Sends what can be sent in TURN, or without a limit of time if that is NULL. Calls no handler. If
 * it fails, it fails again in flush(), which closes the channel. */
static gboolean
send_queued (AForkChannel  *self,
             AForkTurn     *turn,
             GError       **error)
{
  g_autoptr(AForkChannel) kept G_GNUC_UNUSED = _afork_channel_ref (self);
  GQueue done = G_QUEUE_INIT;
  gboolean success = TRUE;

  if (send_others (self, turn) && self->socket != NULL)
    success = send_own (self, turn, &done, error);
  free_buffers (&done);
  return success;
}

/* Returns false if there was no time to send all that can be sent. */
static gboolean
flush (AForkChannel *self,
       AForkTurn    *turn)
{
  g_autoptr(GError) cause = NULL;
  g_autoptr(GError) failure = NULL;

  if (send_queued (self, turn, &cause))
    return g_queue_is_empty (&self->write_buffers) || _afork_turn_goes_on (turn);

  failure = g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN, _("Commands could not be sent: %s"),
                         cause->message);
  _afork_channel_close (self, failure);
  return TRUE;
}

gboolean
_afork_channel_is_open (AForkChannel *self)
{
  return self->socket != NULL && !self->write_closed && !self->finishing;
}

gboolean
_afork_channel_send (AForkChannel     *self,
                     const AForkFrame *frame,
                     int               fd)
{
  g_auto(AForkFd) owned_fd = fd;
  gsize size = afork_frame_size (frame);
  AForkWriteBuffer *write_buffer = g_queue_peek_tail (&self->write_buffers);

  if (size == 0)
    return FALSE;
  if (!_afork_channel_is_open (self))
    return TRUE;

  if (write_buffer == NULL || !_afork_write_buffer_add (write_buffer, frame, size, fd))
    {
      write_buffer = _afork_write_buffer_new ();
      g_queue_push_tail (&self->write_buffers, write_buffer);
      if (!_afork_write_buffer_add (write_buffer, frame, size, fd))
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

  if (!_afork_channel_is_open (self))
    return;

  do
    {
      gsize piece = MIN (size - offset, (gsize) AFORK_FRAME_PIECE_SIZE);
      AForkWriteBuffer *write_buffer = _afork_write_buffer_new ();

      _afork_write_buffer_end (write_buffer, bytes, offset, piece, offset + piece < size);
      g_queue_push_tail (&self->write_buffers, write_buffer);
      offset += piece;
    }
  while (offset < size);
}

void
_afork_channel_send_first (AForkChannel *self,
                           AForkChannel *other)
{
  if (!_afork_channel_is_open (self))
    return;

  g_queue_push_tail (&self->send_first, _afork_channel_ref (other));
}

void
_afork_channel_push (AForkChannel *self)
{
  if (has_to_flush (self))
    send_queued (self, NULL, NULL);
}

gboolean
_afork_channel_is_sent (AForkChannel *self)
{
  return g_queue_is_empty (&self->write_buffers);
}

void
_afork_channel_finish (AForkChannel *self)
{
  self->finishing = TRUE;
}

/* Receiving. */

static gboolean
set_option (int      fd,
            int      option,
            gboolean value)
{
  const int on = value;

  return setsockopt (fd, SOL_SOCKET, option, &on, sizeof on) == 0;
}

/* Hands FRAME to the callback, and closes the descriptors that it leaves. */
static gboolean
deliver (AForkChannel      *self,
         const AForkFrame  *frame,
         int               *fds,
         GError           **error)
{
  gboolean success = self->events->frame (self, frame, fds, self->reader.sender, self->data, error);

  for (guint i = 0; i < frame->n_fds; i++)
    _afork_fd_clear (&fds[i]);
  return success;
}

/* Delivers the complete frames of the input, until TURN is over. A handler may iterate the main
 * context, which calls this function again, so each frame is taken before it is delivered. */
static gboolean
parse_input (AForkChannel  *self,
             AForkTurn     *turn,
             GError       **error)
{
  AForkFrameResult result = AFORK_FRAME_OK;
  int fds[AFORK_FRAME_MAX_FDS];
  AForkFrame frame;

  while (result == AFORK_FRAME_OK && self->socket != NULL && _afork_turn_goes_on (turn))
    {
      result = _afork_channel_reader_take (&self->reader, &frame, fds, error);
      if (result == AFORK_FRAME_INVALID)
        return FALSE;
      if (result == AFORK_FRAME_OK && !deliver (self, &frame, fds, error))
        return FALSE;
    }

  return TRUE;
}

/* Receives until TURN is over. Returns false if there may be more to receive. */
static gboolean
receive (AForkChannel *self,
         AForkTurn    *turn)
{
  g_autoptr(GError) error = NULL;
  gsize n_bytes = 0;
  gboolean complete;

  do
    {
      gboolean open = self->reader.unparsed
        || _afork_channel_reader_read (&self->reader, self->socket, &n_bytes, &error);

      if (!open || !parse_input (self, turn, &error))
        {
          _afork_channel_close (self, error);
          return TRUE;
        }
      if (self->socket != NULL && self->reader.unparsed)
        return FALSE;
      /* Read again only to complete a frame. */
      complete = _afork_channel_reader_is_empty (&self->reader);
    }
  while (n_bytes > 0 && !complete && self->socket != NULL && _afork_turn_goes_on (turn));

  return n_bytes == 0 || complete || self->socket == NULL;
}

/* Reads until nothing is left, or until the turn is over. */
static void
drain (AForkChannel *self,
       AForkTurn    *turn)
{
  while (self->draining && _afork_turn_goes_on (turn))
    {
      g_autoptr(GError) error = NULL;
      gsize n_bytes = 1;

      if (!(self->reader.unparsed
            || _afork_channel_reader_read (&self->reader, self->socket, &n_bytes, &error))
          || !parse_input (self, turn, &error))
        _afork_channel_close (self, error);
      if (n_bytes == 0)
        self->draining = FALSE;
    }
}

static void
go_on_draining (AForkChannel *self,
                AForkTurn    *turn)
{
  drain (self, turn);
  if (!self->draining && self->socket != NULL)
    self->events->drained (self, self->data);
}

gboolean
_afork_channel_drain (AForkChannel *self)
{
  g_autoptr(AForkChannel) kept G_GNUC_UNUSED = _afork_channel_ref (self);
  AForkTurn turn;

  self->draining = self->socket != NULL;
  if (self->draining && _afork_turn_begin (&turn, NULL))
    {
      drain (self, &turn);
      _afork_turn_end (&turn, &self->turn_state, self->source, !self->draining);
    }
  return !self->draining;
}

gboolean
_afork_channel_refuse (AForkChannel *self)
{
  if (self->socket == NULL)
    return TRUE;

  g_socket_shutdown (self->socket, TRUE, FALSE, NULL);
  return _afork_channel_drain (self);
}

void
_afork_channel_ask_sender (AForkChannel *self,
                           gboolean      ask)
{
  if (self->socket == NULL || self->asks_sender == ask)
    return;

  self->asks_sender = ask;
  set_option (g_socket_get_fd (self->socket), SO_PASSCRED, ask);
}

gboolean
_afork_channel_reserve_fds (AForkChannel *self,
                            guint         n_fds)
{
  return self->socket == NULL
    || _afork_channel_reader_reserve_fds (&self->reader, self->socket, n_fds);
}

void
_afork_channel_read_exactly (AForkChannel *self)
{
  self->reader.exact = TRUE;
}

/* In a fork of the program, which has inherited the channel. */
static void
close_inherited (AForkChannel *self)
{
  g_autoptr(GError) error = _afork_atfork_new_error ();

  _afork_channel_close (self, error);
}

/* Opening and closing. */

/* Checks that FD is a stream socket, and has the kernel report nothing with its messages: GLib
 * drops control messages that it does not know, and leaks the descriptors in them. A new socket
 * needs none of this. */
static gboolean
check_received_socket (int      fd,
                       GError **error)
{
  static const int unknown_options[] = {
    SO_PASSSEC,
#ifdef SO_PASSPIDFD
    SO_PASSPIDFD,
#endif
  };
  socklen_t size = sizeof (int);
  int type;

  if (getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL, _("It is not a stream socket"));
      return FALSE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (unknown_options); i++)
    if (!set_option (fd, unknown_options[i], FALSE)
        && errno != ENOPROTOOPT && errno != EOPNOTSUPP)
      {
        g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                     _("The socket could not be set up: %s"), g_strerror (errno));
        return FALSE;
      }

  return TRUE;
}

/* Has the kernel report which process sends each message. */
static gboolean
ask_sender_first (int      fd,
                  GError **error)
{
  if (set_option (fd, SO_PASSCRED, TRUE))
    return TRUE;

  /* Some kernels refuse a socket of the wrong kind here. */
  g_set_error (error, AFORK_ERROR,
               errno == EOPNOTSUPP ? AFORK_ERROR_PROTOCOL : AFORK_ERROR_SPAWN,
               _("The socket does not report which process sends: %s"), g_strerror (errno));
  return FALSE;
}

/* Closes SOCKET, to which there is no other reference. */
static void
close_socket (GSocket *socket)
{
  /* First, because once it is closed, another thread may get its number. */
  _afork_fd_unregister (g_socket_get_fd (socket));
  g_object_unref (socket);
}

AForkChannel *
_afork_channel_new (int                        fd,
                    AForkChannelSocket         origin,
                    GMainContext              *context,
                    const AForkChannelEvents  *events,
                    gpointer                   data,
                    GError                   **error)
{
  g_auto(AForkFd) owned_fd = fd;
  g_autoptr(GError) cause = NULL;
  AForkChannel *self;
  GSocket *socket;

  if (origin == AFORK_CHANNEL_SOCKET_RECEIVED && !check_received_socket (fd, error))
    return NULL;
  if (!ask_sender_first (fd, error))
    return NULL;
  socket = g_socket_new_from_fd (fd, &cause);
  if (socket == NULL)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("The socket could not be set up: %s"), cause->message);
      return NULL;
    }

  self = g_new0 (AForkChannel, 1);
  _afork_atfork_add_hook (&self->atfork_hook, atfork_child_cb, self);
  g_atomic_ref_count_init (&self->ref_count);
  self->events = events;
  self->data = data;
  _afork_fd_register (g_steal_fd (&owned_fd));
  g_socket_set_blocking (socket, FALSE);
  self->socket = socket;
  self->asks_sender = TRUE;
  _afork_channel_reader_init (&self->reader);
  g_queue_init (&self->write_buffers);
  g_queue_init (&self->send_first);
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
  _afork_atfork_remove_hook (&self->atfork_hook);
  _afork_channel_reader_clear (&self->reader);
  g_free (self);
}

/* Drops everything but the socket. Returns that, or NULL if the channel was closed before. */
static GSocket *
shut (AForkChannel *self)
{
  GSocket *socket = g_steal_pointer (&self->socket);
  GQueue dropped = G_QUEUE_INIT;

  self->draining = FALSE;
  detach (self);
  g_queue_clear_full (&self->send_first, (GDestroyNotify) _afork_channel_unref);
  _afork_channel_reader_drop_fds (&self->reader);
  take_buffers (self, &dropped);
  free_buffers (&dropped);
  return socket;
}

static void
atfork_child_cb (gpointer data)
{
  g_autoptr(AForkChannel) self = _afork_channel_ref (data);
  GSocket *socket = shut (self);

  if (socket != NULL)
    close_socket (socket);
}

void
_afork_channel_close (AForkChannel *self,
                      const GError *error)
{
  g_autoptr(AForkChannel) kept G_GNUC_UNUSED = _afork_channel_ref (self);
  GSocket *socket = shut (self);

  if (socket == NULL)
    return;

  close_socket (socket);
  self->events->closed (self, error, self->data);
}

GSocket *
_afork_channel_steal_socket (AForkChannel *self)
{
  GSocket *socket;

  _afork_channel_ask_sender (self, FALSE);
  socket = shut (self);
  g_assert (socket != NULL);
  _afork_fd_unregister (g_socket_get_fd (socket));
  _afork_atfork_add_given (socket);
  /* A new GSocket is in blocking mode. */
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
