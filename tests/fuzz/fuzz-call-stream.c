/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* One end of the socket over which calls go. The other end is in the hands of a script (script.h):
 * that sends frames, with descriptors, blobs and segments that belong to them or not, whole, cut or
 * changed, in any pieces; gives back what the stream has sent in segments, or what it has not; and
 * keeps what has come for as long as it likes.
 *
 * Whatever comes, what the stream makes messages of must be in bounds and sound; what it sends must
 * be right; and nothing may be left open. As long as all that came was right, every message must
 * have been understood. */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <afork/afork-call-stream-private.h>
#include <afork/afork-segments-private.h>

#include "script.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

enum
{
  OP_FRAME,                     /* kind, flags, descriptors, number, and what its kind has */
  OP_SEND,                      /* all that was put there, or so many bytes of it */
  OP_READ,                      /* the stream reads */
  OP_RAW,                       /* bytes */
  OP_CORRUPT,                   /* place from the end, what to change */
  OP_CUT,                       /* so many bytes from the end */
  OP_STRAY,                     /* a descriptor that no frame names */
  OP_DROP,                      /* what has come: which */
  OP_ANSWER,                    /* the stream sends: how large its blobs are */
  OP_TAKE,                      /* the other end reads, and the stream sends what is left */
  OP_MODE,                      /* how the stream is, if it has not begun */
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
  MAX_PUT = 160 * 1024,
  MAX_TAKEN = 1024 * 1024,
  MAX_ANSWERS = 4,
  MAX_LARGE_ANSWERS = 2,
  MAX_BLOBS = 1100,
  MAX_RIGHT_FDS = 500,          /* in a script that is to be understood */
  N_MESSAGES = 8,
  N_SEGMENTS = 8,
  PAGE = 4096,
};

static void G_GNUC_NORETURN G_GNUC_PRINTF (1, 2)
die (const char *format,
     ...)
{
  va_list arguments;

  va_start (arguments, format);
  vfprintf (stderr, format, arguments);
  va_end (arguments);
  fputc ('\n', stderr);
  abort ();
}

/* What descriptors there are to be sent. */

enum
{
  SAMPLE_SEGMENT,               /* as a sender makes them */
  SAMPLE_LARGE_SEGMENT,
  SAMPLE_SEALED,
  SAMPLE_LARGE_SEALED,
  SAMPLE_UNSEALED,
  SAMPLE_HOLES,
  SAMPLE_PIPE,
  SAMPLE_FILE,
  N_SAMPLES
};

static const struct { gsize size; int seals; } memories[] = {
  [SAMPLE_SEGMENT] = { PAGE, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL },
  [SAMPLE_LARGE_SEGMENT] = { 16 * PAGE,
                             F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL },
  [SAMPLE_SEALED] = { 100, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL },
  [SAMPLE_LARGE_SEALED] = { 5 * PAGE, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE },
  [SAMPLE_UNSEALED] = { PAGE, F_SEAL_SHRINK | F_SEAL_GROW },
  [SAMPLE_HOLES] = { 2 * PAGE, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL },
};

static int samples[N_SAMPLES];

static int
make_memory (unsigned which)
{
  static const char bytes[16 * PAGE];
  int fd = memfd_create ("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  gsize n_written = which == SAMPLE_HOLES ? PAGE : memories[which].size;

  if (fd < 0 || write (fd, bytes, n_written) != (gssize) n_written
      || ftruncate (fd, (off_t) memories[which].size) < 0
      || fcntl (fd, F_ADD_SEALS, memories[which].seals) < 0)
    die ("there is no memory to be shared: %s", strerror (errno));
  return fd;
}

/* The values that are sent right, and the types of others. */

static GVariant *values[12];

static const char * const types[] = {
  "u", "s", "as", "a{sv}", "v", "mmb", "ay", "ad", "(h)", "(uv)", "(((", "", "{sv}", "a", "*", "r",
};

static void
make_values (void)
{
  static const char * const texts[G_N_ELEMENTS (values)] = {
    "()", "uint32 7", "'text'", "['a', '', 'some']", "{'key': <uint32 7>}", "<<<true>>>",
    "@mms just just 'text'", "b'bytes'", "[uint16 1, 2]", "@(h) (0,)", "@a(yv) [(1, <'a'>)]",
    "@(syau) ('a', 7, [])",
  };

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    values[i] = g_variant_ref_sink (g_variant_new_parsed (texts[i]));
}

static void
set_up (void)
{
  struct rlimit files;
  int ends[2];

  /* A message can have more than are usual. */
  getrlimit (RLIMIT_NOFILE, &files);
  files.rlim_cur = MIN ((rlim_t) 4096, files.rlim_max);
  setrlimit (RLIMIT_NOFILE, &files);

  for (unsigned i = 0; i < G_N_ELEMENTS (memories); i++)
    samples[i] = make_memory (i);
  if (pipe2 (ends, O_CLOEXEC) < 0)
    die ("there is no pipe: %s", strerror (errno));
  samples[SAMPLE_PIPE] = ends[0];
  samples[SAMPLE_FILE] = open ("/dev/null", O_RDWR | O_CLOEXEC);
  make_values ();
}

/* The world. */

typedef enum { SEGMENT_NONE, SEGMENT_IDLE, SEGMENT_IN_USE } SegmentState;

static struct
{
  Script            script;
  AForkCallStream  *stream;
  bool              accepts;            /* segments … */
  bool              sends_sealed;       /* … or sends none */
  bool              has_failed;
  bool              has_ended;
  bool              is_right;           /* so far all that was put */
  unsigned          n_right;            /* messages that were put */
  unsigned          n_came;
  AForkCallMessage  messages[N_MESSAGES];

  int               fd;                 /* of the other end */
  Outbox            outbox;
  unsigned          n_fds;              /* that were put, in all … */
  unsigned          n_value_fds;        /* … for the next value */
  gsize             blobs[64];          /* … that go before it: their sizes */
  unsigned          n_blobs;
  bool              is_blob_open;
  SegmentState      segments[N_SEGMENTS + 1];   /* by number */
  gsize             sizes[N_SEGMENTS + 1];
  SegmentState      answered[256];      /* the stream's own */
  unsigned          n_answers;
  unsigned          n_large_answers;
  uint8_t          *taken;              /* what the other end has read */
  size_t            n_taken;
} world;

gpointer
world_try_malloc (gsize size)
{
  return size > WORLD_MAX_MESSAGE ? NULL : (g_try_malloc) (size);
}

static AForkCallStream *
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

/* What comes out of the stream. */

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

  while (status == AFORK_CALL_STREAM_OK)
    {
      g_auto(AForkCallMessage) message = { 0 };
      AForkCallMessage *kept = &world.messages[world.n_came % N_MESSAGES];

      status = _afork_call_stream_next (get_stream (), &message, &error);
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

/* Reads once; whether there may be more. */
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

/* Of its own segments, the stream may believe of any that it was given back, if that was said when
 * it was not true. */
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

/* Reads what the stream has sent, which must be right. */
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

/* The stream sends a value with N blobs, of SIZE bytes or more. */
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

      /* Making a segment takes longer than all the rest. */
      if (blob_size > 100 && world.n_large_answers++ >= MAX_LARGE_ANSWERS)
        blob_size = 1;
      g_ptr_array_add (blobs, g_bytes_new_static (bytes, blob_size));
    }
  if (!_afork_call_stream_send_value (get_stream (), AFORK_CALL_FRAME_RESULT, 0, number,
                                      values[number % G_N_ELEMENTS (values)], NULL, blobs, &error))
    die ("the stream cannot send a value: %s", error->message);
}

/* What goes into the stream. */

static void
put_sample (unsigned which)
{
  if (!outbox_add_fd (&world.outbox, samples[which % N_SAMPLES]))
    world.is_right = false;
  if (++world.n_fds > MAX_RIGHT_FDS)
    world.is_right = false;
}

/* Puts FRAME and its data there. */
static void
put (AForkCallFrame *frame,
     const uint32_t *segments,
     const uint64_t *sizes)
{
  static const uint8_t zeros[8];
  static uint8_t head[2 * 65536];
  size_t size;

  if (frame->type == NULL)
    frame->type = "";
  size = afork_call_frame_head_size (frame);
  if (size == 0 || size > sizeof head || world.outbox.n_bytes > MAX_PUT)
    {
      world.is_right = false;
      return;
    }

  afork_call_frame_write (frame, head);
  for (unsigned i = 0; i < frame->n_blobs; i++)
    afork_call_frame_set_blob (head, i, segments[i], sizes[i]);
  outbox_add_bytes (&world.outbox, head, size);
  outbox_add_bytes (&world.outbox, frame->data, frame->size);
  outbox_add_bytes (&world.outbox, zeros, afork_call_frame_padding (frame));
}

/* Data of so many bytes, which are the same over and over, or what is left of STEP. */
static void
fill_in_data (AForkCallFrame *frame,
              Step           *step)
{
  static uint8_t large[72 * 1024];
  unsigned how = step_take (step);

  frame->data = step->args;
  frame->size = step->n_args;
  if (how >= 0x80)
    {
      frame->data = large;
      frame->size = (how & 0x7f) * sizeof large / 0x80;
    }
}

static void
put_blob (AForkCallFrame *frame,
          Step           *step)
{
  fill_in_data (frame, step);
  if (!world.is_blob_open)
    {
      if (world.n_blobs == G_N_ELEMENTS (world.blobs))
        {
          world.is_right = false;
          return;
        }
      world.blobs[world.n_blobs++] = 0;
    }
  world.blobs[world.n_blobs - 1] += frame->size;
  world.is_blob_open = (frame->flags & AFORK_CALL_FRAME_MORE) != 0;
  put (frame, NULL, NULL);
}

/* A segment is announced: with its own size, or any. */
static void
put_segment (AForkCallFrame *frame,
             Step           *step)
{
  unsigned choice = step_take (step);
  unsigned which = choice < 0x80 ? choice % 2 : choice % N_SAMPLES;

  frame->n_fds = 1;
  frame->segment_size = which < G_N_ELEMENTS (memories) ? memories[which].size : PAGE;
  if (choice >= 0xc0)
    frame->segment_size = step_take_number (step);
  if (!world.accepts || choice >= 0x80 || frame->number == 0 || frame->number > N_SEGMENTS
      || world.segments[frame->number] != SEGMENT_NONE)
    {
      world.is_right = false;
    }
  else
    {
      world.segments[frame->number] = SEGMENT_IDLE;
      world.sizes[frame->number] = memories[which].size;
    }

  put_sample (which);
  put (frame, NULL, NULL);
}

/* A blob that does not go before its value: in a segment, sealed, or as nobody sends any. */
static void
choose_blob (Step     *step,
             uint32_t *segment,
             uint64_t *size)
{
  unsigned choice = step_take (step);
  unsigned which = SAMPLE_SEALED + choice % 2;

  if (choice < 0x80)
    {
      *segment = choice % (N_SEGMENTS + 1);
      *size = step_take_number (step);
      if (*segment == 0 || world.segments[*segment] != SEGMENT_IDLE || *size == 0
          || *size > world.sizes[*segment])
        world.is_right = false;
      else
        world.segments[*segment] = SEGMENT_IN_USE;
    }
  else if (choice < 0xc0)
    {
      *segment = AFORK_BLOB_SEALED;
      *size = memories[which].size;
      put_sample (which);
      world.n_value_fds++;
    }
  else
    {
      *segment = choice % 2 == 0 ? AFORK_BLOB_SEALED : choice & 0xf;
      *size = step_take_number (step);
      world.is_right = false;
      if (choice % 4 == 0)
        {
          put_sample (step_take (step));
          world.n_value_fds++;
        }
    }
}

static void
put_value (AForkCallFrame *frame,
           unsigned        n_more_fds,
           Step           *step)
{
  static uint32_t segments[MAX_BLOBS];
  static uint64_t sizes[MAX_BLOBS];
  unsigned which = step_take (step);
  unsigned n_blobs = step_take (step);
  unsigned n_before = world.n_value_fds;
  unsigned n = 0;

  /* Mostly none. */
  n_blobs = n_blobs < 0x40 ? 0 : n_blobs < 0xf0 ? 1 + n_blobs % 4 : (n_blobs & 0xf) * 70;
  for (unsigned i = 0; i < n_blobs && n < MAX_BLOBS; i++, n++)
    choose_blob (step, &segments[n], &sizes[n]);
  for (unsigned i = 0; i < world.n_blobs && n < MAX_BLOBS; i++, n++)
    {
      segments[n] = AFORK_BLOB_INLINE;
      sizes[n] = world.blobs[i];
    }

  frame->n_blobs = (uint16_t) n;
  frame->n_fds = (uint16_t) (n_more_fds + world.n_value_fds - n_before);
  if (which < 0x80)
    {
      GVariant *value = values[which % G_N_ELEMENTS (values)];

      frame->type = g_variant_get_type_string (value);
      frame->data = g_variant_get_data (value);
      frame->size = g_variant_get_size (value);
    }
  else
    {
      frame->type = types[which % G_N_ELEMENTS (types)];
      fill_in_data (frame, step);
      world.is_right = false;
    }

  if (world.is_blob_open || n > AFORK_CALL_MAX_BLOBS
      || (frame->kind != AFORK_CALL_FRAME_RESULT && frame->kind != AFORK_CALL_FRAME_CALL
          && frame->n_fds > 0))
    world.is_right = false;
  put (frame, segments, sizes);
  world.n_right++;
  world.n_value_fds = world.n_blobs = 0;
  world.is_blob_open = false;
}

static bool
carries_value (AForkCallFrameKind kind)
{
  return kind == AFORK_CALL_FRAME_RESULT || kind == AFORK_CALL_FRAME_PROGRESS
    || kind == AFORK_CALL_FRAME_EVENT || kind == AFORK_CALL_FRAME_CALL;
}

/* A frame that has neither value nor data. */
static void
put_small (AForkCallFrame *frame,
           Step           *step)
{
  static const size_t n_words = G_N_ELEMENTS (script_words) - 1;

  switch ((int) frame->kind)
    {
    case AFORK_CALL_FRAME_FDS:
      if (frame->n_fds == 0)
        world.is_right = false;
      break;
    case AFORK_CALL_FRAME_SEGMENT_END:
      if (frame->number > N_SEGMENTS || world.segments[frame->number] != SEGMENT_IDLE)
        world.is_right = false;
      else
        world.segments[frame->number] = SEGMENT_NONE;
      break;
    case AFORK_CALL_FRAME_RELEASE:
      if (frame->number >= G_N_ELEMENTS (world.answered)
          || world.answered[frame->number] != SEGMENT_IN_USE)
        world.is_right = false;
      else
        world.answered[frame->number] = SEGMENT_IDLE;
      break;
    default:
      frame->code = (int32_t) step_take_number (step);
      for (unsigned i = 0; i < G_N_ELEMENTS (frame->string); i++)
        frame->string[i] = script_words[step_take (step) % n_words];
      if (world.n_value_fds > 0 || world.n_blobs > 0)
        world.is_right = false;
      world.n_right++;
      break;
    }
  put (frame, NULL, NULL);
}

static void
put_frame (Step *step)
{
  static const uint8_t kinds[] = {
    AFORK_CALL_FRAME_RESULT, AFORK_CALL_FRAME_PROGRESS, AFORK_CALL_FRAME_EVENT,
    AFORK_CALL_FRAME_BEGUN, AFORK_CALL_FRAME_STARTED, AFORK_CALL_FRAME_FAILED,
    AFORK_CALL_FRAME_BLOB, AFORK_CALL_FRAME_FDS, AFORK_CALL_FRAME_SEGMENT,
    AFORK_CALL_FRAME_SEGMENT_END, AFORK_CALL_FRAME_RELEASE, AFORK_CALL_FRAME_CALL,
    AFORK_CALL_FRAME_SETUP, AFORK_CALL_FRAME_CANCEL,
  };
  AForkCallFrame frame = { .kind = kinds[step_take (step) % sizeof kinds] };
  unsigned flags = step_take (step);
  unsigned fds = step_take (step);
  unsigned n_fds = fds < 0x80 ? fds % 4 : fds < 0xf0 ? fds % 16 : 16 * (fds & 0xf);
  bool has_number = frame.kind != AFORK_CALL_FRAME_STARTED && frame.kind != AFORK_CALL_FRAME_EVENT
    && frame.kind != AFORK_CALL_FRAME_FDS && frame.kind != AFORK_CALL_FRAME_BLOB;
  bool has_fds = frame.kind == AFORK_CALL_FRAME_RESULT || frame.kind == AFORK_CALL_FRAME_CALL
    || frame.kind == AFORK_CALL_FRAME_FDS;

  frame.number = step_take_number (step);
  if (!has_number && frame.number < 0x80)
    frame.number = 0;
  if (!has_number && frame.number != 0)
    world.is_right = false;

  if (frame.kind == AFORK_CALL_FRAME_BLOB && flags < 0x80)
    frame.flags = flags % 2 > 0 ? AFORK_CALL_FRAME_MORE : 0;
  else if (flags >= 0x80)
    frame.flags = (uint8_t) flags;
  if (flags >= 0x80)
    world.is_right = false;

  /* Not all that it names, now and then. */
  if (!has_fds && fds < 0xf0)
    n_fds = 0;
  frame.n_fds = (uint16_t) n_fds;
  if (n_fds > 0 && (!has_fds || fds >= 0xf8))
    world.is_right = false;
  for (unsigned i = 0; i < n_fds && fds < 0xf8; i++)
    put_sample (SAMPLE_PIPE + i % 2);
  world.n_value_fds += n_fds;

  if (frame.kind == AFORK_CALL_FRAME_BLOB)
    put_blob (&frame, step);
  else if (frame.kind == AFORK_CALL_FRAME_SEGMENT)
    put_segment (&frame, step);
  else if (carries_value (frame.kind))
    put_value (&frame, n_fds, step);
  else
    put_small (&frame, step);
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

/* What was put there comes, and then the end. */
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
    set_up ();
  is_set_up = true;

  next_fd = dup (STDOUT_FILENO);
  close (next_fd);
  begin (bytes, n_bytes);
  for (unsigned i = 0; i < MAX_STEPS && script_next (&world.script, N_OPS, &step); i++)
    do_step (&step);

  come_to_the_end ();
  /* Some are dropped before the stream is, and some after that. */
  for (unsigned i = 0; i < N_MESSAGES; i += 2)
    _afork_call_message_clear (&world.messages[i]);
  _afork_call_stream_free (world.stream);
  for (unsigned i = 1; i < N_MESSAGES; i += 2)
    _afork_call_message_clear (&world.messages[i]);

  fd = dup (STDOUT_FILENO);
  close (fd);
  if (fd != next_fd)
    die ("a descriptor is left open, or one too many is closed");
  return 0;
}
