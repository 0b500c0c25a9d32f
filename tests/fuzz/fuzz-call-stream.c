/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* One end of the socket of calls. A script (script.h) controls the other end: it sends frames with
 * descriptors, blobs and segments that belong to them or not, complete, cut or changed, in any
 * pieces; it gives segments back, correctly or not; and it keeps messages for any time.
 *
 * Whatever comes, the messages of the stream must be within bounds and valid; what it sends must be
 * correct; and no descriptor may stay open. As long as everything that came was correct, every
 * message must have been understood. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <afork/stream/segments.h>

#include "call-stream-target.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

enum
{
  OP_FRAME,                     /* kind, flags, descriptors, number, and the fields of its kind */
  OP_SEND,                      /* sends all that was added, or that many bytes of it */
  OP_READ,                      /* the stream reads */
  OP_RAW,                       /* bytes */
  OP_CORRUPT,                   /* position from the end, what to change */
  OP_CUT,                       /* removes that many bytes from the end */
  OP_STRAY,                     /* a descriptor that no frame names */
  OP_DROP,                      /* drops a message: which */
  OP_ANSWER,                    /* the stream sends a value: the size of its blobs */
  OP_TAKE,                      /* the other end reads, and the stream sends the rest */
  OP_MODE,                      /* properties of the stream, if it was not made yet */
  N_OPS
};

static const ScriptOp ops[N_OPS] = {
  [OP_FRAME] = { "*n*n****.", 40 },
  [OP_SEND] = { "*", 8 },
  [OP_READ] = { "", 10 },
  [OP_RAW] = { "...", 2 },
  [OP_CORRUPT] = { "n*", 3 },
  [OP_CUT] = { "n", 1 },
  [OP_STRAY] = { "8", 1 },
  [OP_DROP] = { "8", 5 },
  [OP_ANSWER] = { "3n5", 1 },
  [OP_TAKE] = { "", 5 },
  [OP_MODE] = { "8", 1 },
};

/* RESULT 0, PROGRESS 1, EVENT 2, BEGUN 3, STARTED 4, FAILED 5, BLOB 6, FDS 7, SEGMENT 8,
 * SEGMENT_END 9, RELEASE 10. */
static const char * const phrases[] = {
  "0,4,0,0,0;0,3,0,0,1;0,1,0,0,1,?;0,0,0,0,1,?;1,0;2;",
  "0,5,0,0,1,?,?,?;1,0;2;",
  "0,7,0,?;0,0,0,?,1,?;1,0;2;",
  "0,6,1,0,0,?,?,?;0,6,0,0,0,?,?;0,0,0,0,1,?;1,0;2;",
  "0,8,0,0,1,0;0,0,0,0,1,?,64,1,?;1,0;2;7,0;9;",
  "0,0,0,0,1,?,64,1,?;1,0;2;7,?;9;",
  "0,9,0,0,1;1,0;2;",
  "0,8,0,0,?,?,?;1,0;2;",
  "0,0,0,0,1,?,128,?;1,0;2;",
  "8,1,1,2;9;0,10,0,0,1;1,0;2;9;",
  "10,3;8,?,?,?;9;",
  NULL
};

const ScriptGrammar script_grammar = { ops, N_OPS, phrases };

const char * const script_words[] = {
  "", "g-io-error-quark", "afork-error-quark", "It failed", "It \xff\xfe failed", "%s%n", NULL
};

enum
{
  MAX_STEPS = 300,
  MAX_ANSWERS = 4,
  MAX_LARGE_ANSWERS = 2
};

G_STATIC_ASSERT (G_N_ELEMENTS (script_words) == N_WORDS + 1);

StreamWorld world;

gpointer
world_try_malloc (gsize size)
{
  return size > WORLD_MAX_MESSAGE ? NULL : (g_try_malloc) (size);
}

AForkCallStream *
get_stream (void)
{
  int ends[2];

  if (world.stream != NULL)
    return world.stream;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    die ("there are no sockets: %s", strerror (errno));
  world.fd = ends[1];
  world.stream = _afork_call_stream_new (ends[0]);
  if (world.accepts)
    _afork_call_stream_accept_segments (world.stream);
  if (world.sends_sealed)
    _afork_call_stream_send_sealed (world.stream);
  return world.stream;
}

/* Messages of the stream. */

static void
look_at (GBytes *bytes)
{
  gsize size;
  const volatile guint8 *data = g_bytes_get_data (bytes, &size);

  for (gsize i = 0; i < size; i += PAGE)
    (void) data[i];
  if (size > 0)
    (void) data[size - 1];
}

static void
check_message (const AForkCallMessage *message)
{
  guint64 n_bytes = 0;

  if (afork_call_frame_kind_name (message->kind) == NULL)
    die ("a message is of no kind");
  if (message->value != NULL)
    {
      g_autofree char *text = NULL;

      if (!g_variant_is_normal_form (message->value))
        die ("a value is not in normal form");
      text = g_variant_print (message->value, TRUE);
      if (!g_utf8_validate (text, -1, NULL))
        die ("a value is no text");
    }
  if (message->fds != NULL
      && (unsigned) g_unix_fd_list_get_length (message->fds) > MIN (world.n_fds,
                                                                    AFORK_CALL_MAX_FDS))
    die ("a message has too many descriptors");
  if (message->value == NULL && (message->fds != NULL || message->blobs != NULL))
    die ("a message has what belongs to a value, but none");
  for (guint i = 0; message->blobs != NULL && i < message->blobs->len; i++)
    {
      look_at (g_ptr_array_index (message->blobs, i));
      n_bytes += g_bytes_get_size (g_ptr_array_index (message->blobs, i));
    }
  if (message->blobs != NULL
      && (message->blobs->len > AFORK_CALL_MAX_BLOBS || n_bytes > AFORK_CALL_MAX_BLOB_BYTES))
    die ("a message has too many blobs, or too large ones");
}

static void
stream_stopped (AForkCallStreamStatus  status,
                const GError          *error)
{
  if ((status == AFORK_CALL_STREAM_FAILED) != (error != NULL))
    die ("the stream fails without an error, or has one without failing");
  if (status == AFORK_CALL_STREAM_FAILED && world.is_right)
    die ("the stream does not understand what is right: %s", error->message);

  world.has_failed |= status == AFORK_CALL_STREAM_FAILED;
  world.has_ended |= status == AFORK_CALL_STREAM_END;
}

static void
take_messages (void)
{
  AForkCallStreamStatus status = AFORK_CALL_STREAM_OK;
  g_autoptr(GError) error = NULL;

  while (status == AFORK_CALL_STREAM_OK || status == AFORK_CALL_STREAM_BUSY)
    {
      g_auto(AForkCallMessage) message = { 0 };
      AForkCallMessage *kept = &world.messages[world.n_came % N_MESSAGES];

      status = _afork_call_stream_next (get_stream (), &message, &error);
      if (status == AFORK_CALL_STREAM_BUSY)
        continue;
      if (status != AFORK_CALL_STREAM_OK)
        break;

      check_message (&message);
      world.n_came++;
      _afork_call_message_clear (kept);
      *kept = message;
      message = (AForkCallMessage) { 0 };
    }

  stream_stopped (status, error);
}

/* Reads once. Returns whether there may be more. */
static bool
read_stream (void)
{
  AForkCallStreamStatus status;
  g_autoptr(GError) error = NULL;

  if (world.has_failed || world.has_ended)
    return false;

  status = _afork_call_stream_read (get_stream (), FALSE, &error);
  stream_stopped (status, error);
  if (status != AFORK_CALL_STREAM_OK)
    return false;

  take_messages ();
  return !world.has_failed;
}

/* What the stream has sent. */

/* If the other end gives back a segment that is still in use, the stream may believe it. */
static void
change_answered (uint32_t     number,
                 SegmentState from,
                 SegmentState to)
{
  if (number >= G_N_ELEMENTS (world.answered)
      || (world.answered[number] != from && world.is_right))
    die ("segment %u is not what the stream takes it for", number);
  world.answered[number] = to;
}

static void
result_came (const AForkCallFrame *frame)
{
  for (unsigned i = 0; i < frame->n_blobs; i++)
    {
      uint32_t segment;
      uint64_t size;

      afork_call_frame_get_blob (frame, i, &segment, &size);
      if (segment != AFORK_BLOB_INLINE && segment != AFORK_BLOB_SEALED)
        change_answered (segment, SEGMENT_IDLE, SEGMENT_IN_USE);
    }
}

static void
frame_came (const AForkCallFrame *frame)
{
  switch ((int) frame->kind)
    {
    case AFORK_CALL_FRAME_RESULT:
      result_came (frame);
      break;
    case AFORK_CALL_FRAME_SEGMENT:
      change_answered (frame->number, SEGMENT_NONE, SEGMENT_IDLE);
      break;
    case AFORK_CALL_FRAME_SEGMENT_END:
      change_answered (frame->number, SEGMENT_IDLE, SEGMENT_NONE);
      break;
    case AFORK_CALL_FRAME_RELEASE:
      if (!world.is_right)
        break;
      if (frame->number > N_SEGMENTS || world.segments[frame->number] != SEGMENT_IN_USE)
        die ("segment %u is given back, which is not in use", frame->number);
      world.segments[frame->number] = SEGMENT_IDLE;
      break;
    case AFORK_CALL_FRAME_BLOB:
      break;
    default:
      die ("the stream sends %s", afork_call_frame_kind_name (frame->kind));
    }
}

static bool
receive (void)
{
  union { struct cmsghdr align; char bytes[CMSG_SPACE (AFORK_CALL_FRAME_MAX_FDS * sizeof (int))]; }
    control;
  struct iovec vector = { world.taken + world.n_taken, MAX_TAKEN - world.n_taken };
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = &control,
    .msg_controllen = sizeof control,
  };
  ssize_t n_bytes = recvmsg (world.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

  if (n_bytes <= 0)
    return false;

  for (struct cmsghdr *header = CMSG_FIRSTHDR (&message); header != NULL;
       header = CMSG_NXTHDR (&message, header))
    for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN (0)) / sizeof (int); i++)
      {
        int fd;

        memcpy (&fd, CMSG_DATA (header) + i * sizeof fd, sizeof fd);
        close (fd);
      }
  world.n_taken += (size_t) n_bytes;
  return true;
}

/* Reads what the stream has sent, which must be correct. */
static void
take (void)
{
  AForkCallFrameResult result;
  AForkCallFrame frame;
  const char *why;
  size_t size, start = 0;

  while (receive ())
    ;
  while ((result = afork_call_frame_parse (world.taken + start, world.n_taken - start, &frame,
                                           &size, &why)) == AFORK_CALL_FRAME_OK)
    {
      frame_came (&frame);
      start += size;
    }
  if (result == AFORK_CALL_FRAME_INVALID)
    die ("the stream sends nonsense: %s", why);
  world.n_taken -= start;
  memmove (world.taken, world.taken + start, world.n_taken);
}

static void
flush_and_take (void)
{
  AForkCallStreamStatus status;
  g_autoptr(GError) error = NULL;

  if (world.has_failed)
    return;

  do
    {
      status = _afork_call_stream_flush (get_stream (), FALSE, &error);
      take ();
    }
  while (status == AFORK_CALL_STREAM_WOULD_BLOCK);
  if (status == AFORK_CALL_STREAM_FAILED)
    die ("the stream cannot send: %s", error->message);
}

/* The stream sends a value with N blobs of at least SIZE bytes. */
static void
answer (unsigned n,
        unsigned size,
        unsigned number)
{
  static const unsigned sizes[] = { 0, 100, AFORK_SEGMENT_MIN_BLOB, AFORK_SEGMENT_MIN_BLOB - 1,
                                    AFORK_SEGMENT_MIN_BLOB + PAGE };
  g_autoptr(GPtrArray) blobs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  static const char bytes[AFORK_SEGMENT_MIN_BLOB + PAGE];
  g_autoptr(GError) error = NULL;

  if (world.has_failed || world.n_answers++ == MAX_ANSWERS)
    return;

  for (unsigned i = 0; i < n % 3; i++)
    {
      unsigned blob_size = sizes[(size + i) % G_N_ELEMENTS (sizes)];

      /* To make a segment takes longer than everything else. */
      if (blob_size > 100 && world.n_large_answers++ >= MAX_LARGE_ANSWERS)
        blob_size = 1;
      g_ptr_array_add (blobs, g_bytes_new_static (bytes, blob_size));
    }
  if (!_afork_call_stream_send_value (get_stream (), AFORK_CALL_FRAME_RESULT, 0, number,
                                      values[number % G_N_ELEMENTS (values)], NULL, blobs, &error))
    die ("the stream cannot send a value: %s", error->message);
}

static void
send_put (unsigned how)
{
  get_stream ();
  outbox_send (&world.outbox, world.fd, how < 0x80 ? SIZE_MAX : how & 0x3f);
}

/* The steps. */

static void
do_step (Step *step)
{
  uint32_t number;
  unsigned n;

  switch (step->op)
    {
    case OP_FRAME:
      put_frame (step);
      break;
    case OP_SEND:
      send_put (step_take (step));
      break;
    case OP_READ:
      read_stream ();
      break;
    case OP_RAW:
      world.is_right = false;
      outbox_add_bytes (&world.outbox, step->args, step->n_args);
      break;
    case OP_CORRUPT:
      world.is_right = false;
      number = step_take_number (step);
      if (world.outbox.n_bytes > 0)
        world.outbox.bytes[world.outbox.n_bytes - 1 - number % world.outbox.n_bytes]
          ^= step_take (step);
      break;
    case OP_CUT:
      world.is_right = false;
      number = step_take_number (step);
      world.outbox.n_bytes -= MIN (number, world.outbox.n_bytes);
      break;
    case OP_STRAY:
      world.is_right = false;
      put_sample (step_take (step));
      break;
    case OP_DROP:
      _afork_call_message_clear (&world.messages[step_take (step) % N_MESSAGES]);
      break;
    case OP_ANSWER:
      n = step_take (step);
      number = step_take (step);
      answer (n, step_take (step), number);
      break;
    case OP_TAKE:
      flush_and_take ();
      break;
    default:
      n = step_take (step);
      if (world.stream == NULL && world.outbox.n_bytes == 0)
        {
          world.accepts = (n & 1) == 0;
          world.sends_sealed = (n & 2) != 0;
        }
      break;
    }
}

static void
begin (const uint8_t *bytes,
       size_t         n_bytes)
{
  uint8_t *taken = world.taken != NULL ? world.taken : malloc (MAX_TAKEN);
  Outbox outbox = world.outbox;

  memset (&world, 0, sizeof world);
  world.script = (Script) { bytes, n_bytes };
  world.taken = taken;
  world.outbox = outbox;
  outbox_clear (&world.outbox);
  world.accepts = world.is_right = true;
  world.fd = -1;
}

/* The rest of what was added comes, and then the end. */
static void
come_to_the_end (void)
{
  bool goes_on = true;

  while (goes_on)
    {
      size_t n_left = world.outbox.n_bytes;

      send_put (0);
      goes_on = world.outbox.n_bytes < n_left;
      while (read_stream ())
        goes_on = true;
    }
  if (!world.has_failed)
    flush_and_take ();

  if (world.is_right && world.n_came != world.n_right)
    die ("%u messages came of %u", world.n_came, world.n_right);
  close (world.fd);
  while (read_stream ())
    ;
  if (!world.has_failed && !world.has_ended)
    die ("the stream does not come to an end");
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes,
                        size_t         n_bytes)
{
  static bool is_set_up;
  int next_fd, fd;
  Step step;

  if (!is_set_up)
    {
      set_up_fds (OWN_FD_LIMIT);
      make_samples ();
    }
  is_set_up = true;

  next_fd = dup (STDOUT_FILENO);
  close (next_fd);
  begin (bytes, n_bytes);
  for (unsigned i = 0; i < MAX_STEPS && script_next (&world.script, N_OPS, &step); i++)
    do_step (&step);

  come_to_the_end ();
  /* Some are dropped before the stream, and some after it. */
  for (unsigned i = 0; i < N_MESSAGES; i += 2)
    _afork_call_message_clear (&world.messages[i]);
  _afork_call_stream_unref (world.stream);
  for (unsigned i = 1; i < N_MESSAGES; i += 2)
    _afork_call_message_clear (&world.messages[i]);

  fd = dup (STDOUT_FILENO);
  close (fd);
  if (fd != next_fd)
    die ("a descriptor is left open, or one too many is closed");
  return 0;
}
