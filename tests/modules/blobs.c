/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Answers calls with blobs, correctly and incorrectly. */

#include "config.h"

#include <afork/afork.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "afork/wire/afork-call-frame.h"

#include "../util/send-fds.h"

#ifndef F_SEAL_FUTURE_WRITE
# define F_SEAL_FUTURE_WRITE 0x0010
#endif

AFORK_WORKER_EXPORT GVariant *blobs_make     (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT GVariant *blobs_scribble (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT GVariant *blobs_hostile  (AForkCall *call, GVariant *args, GError **error);

static gpointer
unref_thread (gpointer data)
{
  g_bytes_unref (data);
  return NULL;
}

/* (size, number, letter): returns that many blobs of that size, filled with the letter, and those
 * of the call, which a thread gives up later. The value is the number of mapped segments. */
GVariant *
blobs_make (AForkCall  *call,
            GVariant   *args,
            GError    **error)
{
  g_autofree char *maps = NULL;
  guint32 size, n_made, letter, n_segments = 0;
  gsize n_blobs;
  GBytes **blobs = afork_call_get_blobs (call, &n_blobs);

  g_variant_get (args, "(uuu)", &size, &n_made, &letter);
  for (guint32 i = 0; i < n_made; i++)
    {
      g_autoptr(GBytes) blob = g_bytes_new_take (memset (g_malloc (size + 1), (int) letter, size),
                                                 size);

      afork_call_add_result_blob (call, blob);
    }
  for (gsize i = 0; i < n_blobs; i++)
    {
      afork_call_add_result_blob (call, blobs[i]);
      g_thread_join (g_thread_new ("unref", unref_thread, g_bytes_ref (blobs[i])));
    }

  if (!g_file_get_contents ("/proc/self/maps", &maps, NULL, error))
    return NULL;
  for (char *at = maps; (at = strstr (at, "memfd:afork-blob")) != NULL; at++)
    n_segments++;
  return g_variant_new_uint32 (n_segments);
}

/* (first, step): returns copies of the blobs of the call, and then writes to these, at every STEPth
 * byte from FIRST on. */
GVariant *
blobs_scribble (AForkCall  *call,
                GVariant   *args,
                GError    **error)
{
  guint32 first, step;
  gsize n_blobs;
  GBytes **blobs = afork_call_get_blobs (call, &n_blobs);

  g_variant_get (args, "(uu)", &first, &step);
  for (gsize i = 0; i < n_blobs; i++)
    {
      gsize size;
      char *bytes = (char *) g_bytes_get_data (blobs[i], &size);
      g_autoptr(GBytes) copy = g_bytes_new (bytes, size);

      afork_call_add_result_blob (call, copy);
      for (gsize at = first; at < size; at += step)
        bytes[at] = '!';
    }

  return g_variant_new ("()");
}

static int
find_socket (void)
{
  for (int fd = 3; fd < 64; fd++)
    {
      int type, domain;
      socklen_t length = sizeof type;

      if (getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX
          && getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM)
        return fd;
    }

  abort ();
}

static void
send_frame (int                   socket,
            const AForkCallFrame *frame,
            guint32               segment,
            guint64               size,
            int                   fd)
{
  guint8 bytes[256] = { 0 };
  const gsize n_bytes = afork_call_frame_head_size (frame) + frame->size
    + afork_call_frame_padding (frame);

  afork_call_frame_write (frame, bytes);
  if (frame->n_blobs > 0)
    afork_call_frame_set_blob (bytes, 0, segment, size);
  if (send_with_fds (socket, bytes, n_bytes, &fd, fd >= 0, MSG_NOSIGNAL) != (gssize) n_bytes)
    _exit (EXIT_FAILURE);
}

static void
announce (guint32 number,
          guint64 size,
          int     fd)
{
  const AForkCallFrame frame = {
    .kind = AFORK_CALL_FRAME_SEGMENT, .number = number, .segment_size = size, .n_fds = 1,
  };

  send_frame (find_socket (), &frame, 0, 0, fd);
}

static void
answer (guint32 segment,
        guint64 size,
        int     fd)
{
  const AForkCallFrame frame = {
    .kind = AFORK_CALL_FRAME_RESULT, .number = 1, .n_blobs = 1, .n_fds = fd >= 0, .type = "()",
    .data = (const guint8 *) "", .size = 1,
  };

  send_frame (find_socket (), &frame, segment, size, fd);
}

enum { SIZE = 1024 * 1024 };

/* A piece of a blob, of zeros, which is not the last one. */
static void
send_piece (gsize size)
{
  static const guint8 zeros[SIZE];
  AForkCallFrame frame = {
    .kind = AFORK_CALL_FRAME_BLOB, .flags = AFORK_CALL_FRAME_MORE, .data = zeros, .size = size,
  };
  guint8 head[AFORK_CALL_FRAME_HEADER_SIZE];
  int socket = find_socket ();

  afork_call_frame_write (&frame, head);
  if (send (socket, head, sizeof head, MSG_NOSIGNAL) != sizeof head)
    _exit (EXIT_FAILURE);
  for (gsize n_sent = 0; n_sent < size; n_sent += SIZE)
    if (send (socket, zeros, SIZE, MSG_NOSIGNAL) != SIZE)
      _exit (EXIT_FAILURE);
}

typedef enum
{
  NO_PAGES,
  ALL_PAGES,
  PAGES_BEYOND,         /* the end of the memory: as many segments as would fit before it */
} Pages;

static int
new_memory (Pages pages,
            int   seals)
{
  static const guint8 zeros[SIZE];
  int fd = memfd_create ("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  if (fd < 0 || ftruncate (fd, SIZE) < 0
      || (pages == ALL_PAGES && write (fd, zeros, SIZE) != SIZE)
      || (pages == PAGES_BEYOND && fallocate (fd, FALLOC_FL_KEEP_SIZE, SIZE, SIZE) < 0)
      || (seals != 0 && fcntl (fd, F_ADD_SEALS, seals) < 0))
    abort ();
  return fd;
}

/* Breaks the protocol as the argument says, and waits to be killed. */
GVariant *
blobs_hostile (AForkCall  *call,
               GVariant   *args,
               GError    **error)
{
  const char *how = g_variant_get_string (args, NULL);
  const int fixed = F_SEAL_SHRINK | F_SEAL_GROW;
  const int right = fixed | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  int ends[2];

  if (g_str_equal (how, "unsealed"))
    announce (1, SIZE, new_memory (ALL_PAGES, 0));
  else if (g_str_equal (how, "writable"))
    announce (1, SIZE, new_memory (ALL_PAGES, fixed | F_SEAL_SEAL));
  else if (g_str_equal (how, "short"))
    announce (1, 2 * SIZE, new_memory (ALL_PAGES, right));
  else if (g_str_equal (how, "holes"))
    announce (1, SIZE, new_memory (NO_PAGES, right));
  else if (g_str_equal (how, "holes-pages-beyond"))
    announce (1, SIZE, new_memory (PAGES_BEYOND, right));
  else if (g_str_equal (how, "giant"))
    announce (1, G_MAXUINT64 - 1, new_memory (ALL_PAGES, right));
  else if (g_str_equal (how, "empty"))
    announce (1, 0, new_memory (ALL_PAGES, right));
  else if (g_str_equal (how, "pipe") && pipe (ends) == 0)
    announce (1, SIZE, ends[0]);
  else if (g_str_equal (how, "file"))
    announce (1, SIZE, open ("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  else if (g_str_equal (how, "number-zero"))
    announce (0, SIZE, new_memory (ALL_PAGES, right));
  else if (g_str_equal (how, "twice"))
    {
      announce (1, SIZE, new_memory (ALL_PAGES, right));
      announce (1, SIZE, new_memory (ALL_PAGES, right));
    }
  else if (g_str_equal (how, "many"))
    for (guint32 i = 1; i <= 65; i++)
      {
        int fd = new_memory (ALL_PAGES, right);

        announce (i, SIZE, fd);
        close (fd);
      }
  else if (g_str_equal (how, "strange"))
    answer (7, SIZE, -1);
  else if (g_str_equal (how, "beyond"))
    {
      announce (1, SIZE, new_memory (ALL_PAGES, right));
      answer (1, SIZE + 1, -1);
    }
  else if (g_str_equal (how, "end-strange") || g_str_equal (how, "release-strange"))
    {
      const AForkCallFrame frame = {
        .kind = g_str_equal (how, "end-strange") ? AFORK_CALL_FRAME_SEGMENT_END
                                                 : AFORK_CALL_FRAME_RELEASE,
        .number = 5,
      };

      send_frame (find_socket (), &frame, 0, 0, -1);
    }
  else if (g_str_equal (how, "right") || g_str_equal (how, "shrink"))
    {
      int fd = new_memory (ALL_PAGES, right);

      /* It cannot be shrunk. */
      if (ftruncate (fd, 0) == 0
          || fallocate (fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE) == 0)
        abort ();
      announce (1, SIZE, fd);
      answer (1, SIZE, -1);
    }
  else if (g_str_equal (how, "inline-large"))
    {
      send_piece (AFORK_CALL_FRAME_MAX_PAYLOAD);
      send_piece (SIZE);
    }
  else if (g_str_equal (how, "inline-pieces"))
    for (gsize i = 0; i <= 64; i++)
      send_piece (16 * SIZE);
  else if (g_str_equal (how, "sealed-not"))
    answer (AFORK_BLOB_SEALED, SIZE, new_memory (ALL_PAGES, right));
  else if (g_str_equal (how, "sealed-short"))
    answer (AFORK_BLOB_SEALED, 2 * SIZE, new_memory (ALL_PAGES, fixed | F_SEAL_WRITE));
  else if (g_str_equal (how, "sealed-holes"))
    answer (AFORK_BLOB_SEALED, SIZE, new_memory (NO_PAGES, fixed | F_SEAL_WRITE));
  else if (g_str_equal (how, "sealed-holes-pages-beyond"))
    answer (AFORK_BLOB_SEALED, SIZE, new_memory (PAGES_BEYOND, fixed | F_SEAL_WRITE));
  else if (g_str_equal (how, "sealed-giant"))
    answer (AFORK_BLOB_SEALED, G_MAXUINT64, new_memory (ALL_PAGES, fixed | F_SEAL_WRITE));
  else if (g_str_equal (how, "sealed-without"))
    answer (AFORK_BLOB_SEALED, SIZE, -1);
  else
    abort ();

  for (;;)
    pause ();
}
