/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a worker gathers in its outbox, and what its caller reads there when the worker has
 * exited. */

#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <afork/afork-error.h>
#include <afork/stream/call-outbox.h>
#include <afork/stream/call-writer.h>

enum { SIZE = AFORK_CALL_OUTBOX_SIZE, ROOM = SIZE - AFORK_CALL_OUTBOX_HEADER_SIZE };

/* The header. */

typedef struct
{
  const char *name;
  guint64     base;
  guint32     size;
  guint64     n_received;
  gboolean    is_right;
  gsize       offset;           /* after the header */
  gsize       rest;
} Header;

static const Header headers[] = {
  { "nothing", 0, 0, 100, TRUE, 0, 0 },
  { "nothing-far", G_MAXUINT64, 0, 100, TRUE, 0, 0 },
  { "all", 96, 64, 96, TRUE, 0, 64 },
  { "some", 96, 64, 106, TRUE, 10, 54 },
  { "last", 96, 64, 159, TRUE, 63, 1 },
  { "none", 96, 64, 160, TRUE, 0, 0 },
  { "long-ago", 96, 64, 1000, TRUE, 0, 0 },
  { "odd-base", 91, 69, 92, TRUE, 1, 68 },
  { "most", 0, ROOM, 0, TRUE, 0, ROOM },
  { "late", G_MAXUINT64 - 63, 64, G_MAXUINT64 - 1, TRUE, 62, 2 },
  { "too-much", 0, ROOM + 8, 0, FALSE, 0, 0 },
  { "much-too-much", 0, G_MAXUINT32 - 7, 0, FALSE, 0, 0 },
  { "odd-end", 96, 65, 96, FALSE, 0, 0 },
  { "gap", 96, 64, 95, FALSE, 0, 0 },
  { "far-gap", G_MAXUINT64 - 63, 64, 95, FALSE, 0, 0 },
};

static void
test_header (gconstpointer data)
{
  const Header *self = data;
  AForkCallOutboxHeader header = { .base = self->base, .size = self->size, .begun = 7 };
  AForkCallOutboxRest rest;
  const char *why = NULL;

  g_assert_true (afork_call_outbox_parse (&header, SIZE, self->n_received, &rest, &why));
  g_assert_false (rest.in_use);
  g_assert_cmpuint (rest.size, ==, 0);

  header.in_use = 1;
  g_assert_cmpint (afork_call_outbox_parse (&header, SIZE, self->n_received, &rest, &why), ==,
                   self->is_right);
  g_assert_cmpint (why == NULL, ==, self->is_right);
  g_assert_true (rest.in_use);
  g_assert_cmpuint (rest.begun, ==, 7);
  g_assert_cmpuint (rest.size, ==, self->rest);
  if (self->rest > 0)
    g_assert_cmpuint (rest.offset, ==, AFORK_CALL_OUTBOX_HEADER_SIZE + self->offset);
}

/* All values that a header can have: the caller reads only bytes in the outbox. */
static void
test_any_header (void)
{
  for (int i = 0; i < 100000; i++)
    {
      AForkCallOutboxHeader header;
      AForkCallOutboxRest rest;
      const char *why;

      for (gsize j = 0; j < sizeof header / 4; j++)
        ((guint32 *) &header)[j] = g_random_boolean () ? (guint32) g_random_int_range (0, 2 * SIZE)
                                                       : g_random_int ();
      header.base &= g_random_boolean () ? G_MAXUINT16 : G_MAXUINT64;
      afork_call_outbox_parse (&header, SIZE, (guint64) g_random_int_range (0, 2 * SIZE), &rest,
                               &why);
      if (rest.size > 0)
        {
          g_assert_cmpuint (rest.offset, >=, AFORK_CALL_OUTBOX_HEADER_SIZE);
          g_assert_cmpuint (rest.offset, <, SIZE);
          g_assert_cmpuint (rest.size, <=, SIZE - rest.offset);
        }
    }
}

/* A worker whose caller reads at any time. The worker may be gone at any moment. */

typedef struct
{
  int              ends[2];
  int              fd;
  AForkCallWriter *writer;
  GByteArray      *stream;      /* everything that was gathered */
  gsize            n_kept;      /* how much of it must not be lost */
  gsize            n_read;
} World;

static void
world_init (World    *self,
            gboolean  has_outbox)
{
  *self = (World) { .stream = g_byte_array_new () };
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, self->ends), ==, 0);
  self->writer = _afork_call_writer_new (self->ends[0]);
  self->fd = _afork_call_outbox_make (SIZE);
  g_assert_cmpint (self->fd, >, STDERR_FILENO);
  if (has_outbox)
    _afork_call_writer_set_outbox (self->writer, _afork_call_outbox_new (self->fd));
}

static void
world_clear (World *self)
{
  _afork_call_writer_free (self->writer);
  g_byte_array_unref (self->stream);
  close (self->ends[0]);
  close (self->ends[1]);
  close (self->fd);
}

/* Gathers a frame of about that size, with an owner if it is long. */
static void
gather (World *self,
        gsize  size)
{
  g_autofree guint8 *data = g_malloc (size);
  AForkCallFrame frame = {
    .kind = AFORK_CALL_FRAME_EVENT, .type = "ay", .data = data, .size = size,
  };
  gsize start = self->stream->len, head_size = afork_call_frame_head_size (&frame);
  g_autoptr(GBytes) owner = NULL;

  for (gsize i = 0; i < size; i++)
    data[i] = (guint8) (start + i * 7);
  owner = g_bytes_new (data, size);
  frame.data = g_bytes_get_data (owner, NULL);
  _afork_call_writer_gather (self->writer, &frame, g_random_boolean () ? owner : NULL, NULL, 0);

  g_byte_array_set_size (self->stream,
                         (guint) (start + head_size + size + afork_call_frame_padding (&frame)));
  memset (self->stream->data + start, 0, self->stream->len - start);
  afork_call_frame_write (&frame, self->stream->data + start);
  memcpy (self->stream->data + start + head_size, data, size);
}

static void
flush (World *self)
{
  g_autoptr(GError) error = NULL;

  _afork_call_writer_flush (self->writer, FALSE, &error);
  g_assert_no_error (error);
}

/* Sends as the worker does, but without waiting. */
static void
keep (World *self)
{
  if (!_afork_call_writer_keep (self->writer))
    flush (self);
  if (_afork_call_writer_keep (self->writer))
    self->n_kept = self->stream->len;
}

static void
check_bytes (World  *self,
             gsize   start,
             GBytes *bytes)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  g_assert_cmpuint (start + size, <=, self->stream->len);
  g_assert_cmpmem (data, size, self->stream->data + start, size);
}

static void
read_some (World *self,
           gsize  max)
{
  g_autofree guint8 *data = g_malloc (max);
  gssize size = recv (self->ends[1], data, max, MSG_DONTWAIT);
  g_autoptr(GBytes) bytes = g_bytes_new (data, (gsize) MAX (size, 0));

  check_bytes (self, self->n_read, bytes);
  self->n_read += g_bytes_get_size (bytes);
}

/* Checks the outbox as if the worker had exited now. */
static void
check_rest (World *self)
{
  g_autoptr(GBytes) rest = NULL;
  g_autoptr(GError) error = NULL;
  gboolean in_use;
  gsize n_received;
  guint32 begun;
  int n_unread;

  g_assert_cmpint (ioctl (self->ends[1], FIONREAD, &n_unread), ==, 0);
  n_received = self->n_read + (gsize) n_unread;
  rest = _afork_call_outbox_read (self->fd, SIZE, n_received, &in_use, &begun, &error);
  g_assert_no_error (error);
  if (rest != NULL)
    {
      check_bytes (self, n_received, rest);
      n_received += g_bytes_get_size (rest);
    }
  g_assert_cmpuint (n_received, >=, self->n_kept);
}

static void
test_writer (void)
{
  static const int sizes[] = { 1, 40, 300, 4000, 20 * 1000, 50 * 1000, 300 * 1000 };
  World world;

  for (int i = 0; i < 30; i++)
    {
      world_init (&world, TRUE);
      for (int j = 0; j < 100; j++)
        {
          int most = sizes[g_random_int_range (0, G_N_ELEMENTS (sizes))];

          gather (&world, (gsize) g_random_int_range (1, most + 1));
          check_rest (&world);
          keep (&world);
          check_rest (&world);
          if (g_random_int_range (0, 4) == 0)
            flush (&world);
          if (g_random_boolean ())
            read_some (&world, (gsize) g_random_int_range (1, 100 * 1000));
          check_rest (&world);
        }
      world_clear (&world);
    }
}

/* A short frame is kept in the outbox, and not sent at once. */
static void
test_kept (void)
{
  World world;

  world_init (&world, TRUE);
  for (int i = 0; i < 100; i++)
    {
      gather (&world, 100);
      g_assert_true (_afork_call_writer_keep (world.writer));
    }
  read_some (&world, 1);
  g_assert_cmpuint (world.n_read, ==, 0);
  world.n_kept = world.stream->len;
  check_rest (&world);
  world_clear (&world);
}

/* Without an outbox, only what was sent is kept. */
static void
test_without (void)
{
  World world;

  world_init (&world, FALSE);
  gather (&world, 10);
  g_assert_false (_afork_call_writer_keep (world.writer));
  flush (&world);
  g_assert_true (_afork_call_writer_keep (world.writer));
  world_clear (&world);
}

static void
test_begun (void)
{
  int fd = _afork_call_outbox_make (SIZE);
  g_autoptr(GError) error = NULL;
  AForkCallOutbox *outbox;
  gboolean in_use;
  guint32 begun;

  g_assert_null (_afork_call_outbox_read (fd, SIZE, 0, &in_use, &begun, &error));
  g_assert_no_error (error);
  g_assert_false (in_use);

  outbox = _afork_call_outbox_new (fd);
  _afork_call_outbox_set_begun (outbox, 77);
  g_assert_null (_afork_call_outbox_read (fd, SIZE, 0, &in_use, &begun, &error));
  g_assert_no_error (error);
  g_assert_true (in_use);
  g_assert_cmpuint (begun, ==, 77);
  _afork_call_outbox_free (outbox);
  close (fd);
}

/* No process can change the size of an outbox, and another file is not accepted as one. */
static void
test_descriptor (void)
{
  int fd = _afork_call_outbox_make (SIZE);
  int other = _afork_call_outbox_make (AFORK_CALL_OUTBOX_HEADER_SIZE);
  int ends[2];

  g_assert_cmpint (ftruncate (fd, SIZE + 1), <, 0);
  g_assert_cmpint (ftruncate (fd, SIZE - 1), <, 0);
  close (fd);

  g_assert_null (_afork_call_outbox_new (other));
  close (other);
  g_assert_null (_afork_call_outbox_new (-1));
  g_assert_cmpint (pipe (ends), ==, 0);
  g_assert_null (_afork_call_outbox_new (ends[0]));
  close (ends[0]);
  close (ends[1]);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (headers); i++)
    {
      g_autofree char *path = g_strdup_printf ("/call-outbox/header/%s", headers[i].name);

      g_test_add_data_func (path, &headers[i], test_header);
    }
  g_test_add_func ("/call-outbox/any-header", test_any_header);
  g_test_add_func ("/call-outbox/writer", test_writer);
  g_test_add_func ("/call-outbox/kept", test_kept);
  g_test_add_func ("/call-outbox/without", test_without);
  g_test_add_func ("/call-outbox/begun", test_begun);
  g_test_add_func ("/call-outbox/descriptor", test_descriptor);

  return g_test_run ();
}
