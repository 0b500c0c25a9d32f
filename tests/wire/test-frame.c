/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include <errno.h>
#include <string.h>

#include <gio/gio.h>

#include "afork/wire/afork-frame.h"

/* A frame, and its array of strings before it is written. */
typedef struct
{
  const char         *name;
  AForkFrame          frame;
  const char * const *strings;
} Sample;

static const char * const some_strings[] = { "one", "", "three", NULL };

static const Sample samples[] = {
  { "MODULE_PATH", { .kind = AFORK_FRAME_MODULE_PATH }, some_strings },
  { "MODULE_PATH", { .kind = AFORK_FRAME_MODULE_PATH }, NULL },
  { "TITLE", { .kind = AFORK_FRAME_TITLE, .string = { "thumbnails" } }, NULL },
  { "TITLE", { .kind = AFORK_FRAME_TITLE, .string = { "" } }, NULL },
  { "SETENV", { .kind = AFORK_FRAME_SETENV, .string = { "LANG", "C" } }, NULL },
  { "UNSETENV", { .kind = AFORK_FRAME_UNSETENV, .string = { "LANG" } }, NULL },
  { "CHDIR", { .kind = AFORK_FRAME_CHDIR, .string = { "/" } }, NULL },
  { "MAP_FD", { .kind = AFORK_FRAME_MAP_FD, .number = { 0x80000001 }, .n_fds = 1 }, NULL },
  { "REQUIRE", { .kind = AFORK_FRAME_REQUIRE, .string = { "echo" } }, NULL },
  { "EVAL", { .kind = AFORK_FRAME_EVAL, .string = { "code" } }, some_strings },
  { "CALL", { .kind = AFORK_FRAME_CALL, .string = { "init" } }, some_strings },
  { "CALL", { .kind = AFORK_FRAME_CALL, .string = { "init" } }, NULL },
  {
    "ITEM_BYTES",
    {
      .kind = AFORK_FRAME_ITEM_BYTES,
      .flags = AFORK_FRAME_MORE,
      .bytes = (const uint8_t *) "a\0b",
      .n_bytes = 4,
    },
    NULL
  },
  { "ITEM_BYTES", { .kind = AFORK_FRAME_ITEM_BYTES, .flags = AFORK_FRAME_STRING }, NULL },
  { "ITEM_FDS", { .kind = AFORK_FRAME_ITEM_FDS, .n_fds = 1 }, NULL },
  { "ITEM_FDS", { .kind = AFORK_FRAME_ITEM_FDS, .n_fds = AFORK_FRAME_MAX_FDS }, NULL },
  { "FORK", { .kind = AFORK_FRAME_FORK, .number = { G_MAXUINT32 }, .n_fds = 1 }, NULL },
  { "RUN", { .kind = AFORK_FRAME_RUN, .string = { "echo:echo", "afork: echo" } }, NULL },
  { "LOOK_UP", { .kind = AFORK_FRAME_LOOK_UP, .string = { "echo" } }, NULL },
  { "EXEC", { .kind = AFORK_FRAME_EXEC, .n_fds = 1 }, some_strings },
  { "DEATH_PIPE", { .kind = AFORK_FRAME_DEATH_PIPE, .n_fds = 1 }, NULL },
  { "DETACH", { .kind = AFORK_FRAME_DETACH }, NULL },
  {
    "IDENTIFY",
    { .kind = AFORK_FRAME_IDENTIFY, .number = { AFORK_WIRE_VERSION } },
    NULL
  },
  {
    "RUN_FUNC",
    {
      .kind = AFORK_FRAME_RUN_FUNC,
      .string = { "0123456789abcdef", "program+0x1234" },
      .number = { 0x1234, G_MAXUINT32 },
    },
    NULL
  },
  { "LIBRARY", { .kind = AFORK_FRAME_LIBRARY, .string = { "/lib/libafork-1.so.0" } }, NULL },
  { "SIGNAL", { .kind = AFORK_FRAME_SIGNAL, .number = { 7, 9 } }, NULL },
  { "DISOWN", { .kind = AFORK_FRAME_DISOWN, .number = { 7 } }, NULL },
  { "LEAVE", { .kind = AFORK_FRAME_LEAVE }, NULL },
  { "MEASURE", { .kind = AFORK_FRAME_MEASURE, .number = { 7 } }, NULL },
  {
    "RESTRICT",
    { .kind = AFORK_FRAME_RESTRICT, .bytes = (const uint8_t *) "\1\0\0\0", .n_bytes = 4 },
    NULL
  },
  {
    "REQUIRE_FILE",
    { .kind = AFORK_FRAME_REQUIRE_FILE, .string = { "/home/user/echo.so", "echo.so" } },
    NULL
  },
  {
    "FILE",
    { .kind = AFORK_FRAME_FILE, .string = { "echo.so", "01ef" }, .number = { 3, 1 } },
    NULL
  },
  {
    "FILE_BYTES",
    { .kind = AFORK_FRAME_FILE_BYTES, .bytes = (const uint8_t *) "\177ELF", .n_bytes = 4 },
    NULL
  },
  {
    "FAIL",
    {
      .kind = AFORK_FRAME_FAIL,
      .number = { AFORK_WIRE_ERROR_MODULE },
      .string = { "no such file" },
    },
    NULL
  },
  { "FILE_WANTED", { .kind = AFORK_FRAME_FILE_WANTED, .number = { 1 } }, NULL },
  {
    "HELLO",
    {
      .kind = AFORK_FRAME_HELLO,
      .string = { AFORK_WIRE_MAGIC },
      .number = { AFORK_WIRE_VERSION },
    },
    NULL
  },
  { "FORKED", { .kind = AFORK_FRAME_FORKED, .n_fds = 1 }, NULL },
  { "READY", { .kind = AFORK_FRAME_READY }, NULL },
  { "READY", { .kind = AFORK_FRAME_READY, .n_fds = 2 }, NULL },
  {
    "ERROR",
    {
      .kind = AFORK_FRAME_ERROR,
      .number = { AFORK_WIRE_ERROR_MODULE },
      .string = { "no such module" },
    },
    NULL
  },
  {
    "FORK_FAILED",
    {
      .kind = AFORK_FRAME_FORK_FAILED,
      .number = { 7, AFORK_WIRE_ERROR_THREADS },
      .string = { "two threads" },
    },
    NULL
  },
  {
    "EXITED",
    {
      .kind = AFORK_FRAME_EXITED,
      .number = { 7 },
      .exit = {
        .pid = 0x01020304,
        .wait_status = 0x05060708,
        .user_usec = G_GUINT64_CONSTANT (0x0102030405060708),
        .system_usec = G_MAXUINT64,
        .max_rss_kib = G_GUINT64_CONSTANT (1) << 32,
      },
    },
    NULL
  },
  { "NO_PIDFD", { .kind = AFORK_FRAME_NO_PIDFD }, NULL },
  { "SIGNALED", { .kind = AFORK_FRAME_SIGNALED, .number = { 7, ESRCH } }, NULL },
  { "MEASURED", { .kind = AFORK_FRAME_MEASURED, .number = { 7, 70000 } }, NULL },
  { "REMOTE", { .kind = AFORK_FRAME_REMOTE, .number = { 4711 } }, NULL },
  { "CONFINED", { .kind = AFORK_FRAME_CONFINED }, NULL },
  { "REFUSED", { .kind = AFORK_FRAME_REFUSED, .number = { 7, 101 } }, NULL },
};

/* A sample as bytes: in exactly as much memory as it needs, so that tools see each access beyond
 * it. */
static guint8 *
write_sample (const Sample *sample,
              gsize        *size)
{
  AForkFrame frame = sample->frame;
  g_autofree guint8 *strings = NULL;
  guint8 *bytes;

  frame.strings.n_bytes = afork_strings_size (sample->strings, &frame.strings.n_strings);
  strings = g_malloc (frame.strings.n_bytes);
  afork_strings_write (sample->strings, strings);
  frame.strings.bytes = strings;

  *size = afork_frame_size (&frame);
  g_assert_cmpuint (*size, >=, AFORK_FRAME_HEADER_SIZE);
  bytes = g_malloc (*size);
  afork_frame_write (&frame, bytes);
  return bytes;
}

static void
assert_strings (AForkStrings        found,
                const char * const *expected)
{
  guint n_expected = expected != NULL ? g_strv_length ((char **) expected) : 0;

  g_assert_cmpuint (found.n_strings, ==, n_expected);
  for (guint i = 0; i < n_expected; i++)
    g_assert_cmpstr (afork_strings_next (&found), ==, expected[i]);
  g_assert_null (afork_strings_next (&found));
  g_assert_cmpuint (found.n_bytes, ==, 0);
}

static void
assert_sample (const AForkFrame *found,
               const Sample     *sample)
{
  const AForkFrame *expected = &sample->frame;

  g_assert_cmpint (found->kind, ==, expected->kind);
  g_assert_cmpuint (found->flags, ==, expected->flags);
  g_assert_cmpuint (found->n_fds, ==, expected->n_fds);
  for (gsize i = 0; i < G_N_ELEMENTS (found->number); i++)
    g_assert_cmpuint (found->number[i], ==, expected->number[i]);
  for (gsize i = 0; i < G_N_ELEMENTS (found->string); i++)
    g_assert_cmpstr (found->string[i], ==, expected->string[i]);
  assert_strings (found->strings, sample->strings);
  g_assert_cmpmem (found->bytes, found->n_bytes, expected->bytes, expected->n_bytes);
  g_assert_cmpuint (found->exit.pid, ==, expected->exit.pid);
  g_assert_cmpuint (found->exit.wait_status, ==, expected->exit.wait_status);
  g_assert_cmpuint (found->exit.user_usec, ==, expected->exit.user_usec);
  g_assert_cmpuint (found->exit.system_usec, ==, expected->exit.system_usec);
  g_assert_cmpuint (found->exit.max_rss_kib, ==, expected->exit.max_rss_kib);
}

/* A frame made by hand, and the reason for which it is refused. */
static void
assert_parses_as (const void       *bytes,
                  gsize             n_bytes,
                  AForkFrameResult  expected)
{
  g_autofree guint8 *copy = g_memdup2 (bytes, n_bytes);
  AForkFrame frame;
  const char *why;
  gsize size;

  g_assert_cmpint (afork_frame_parse (copy, n_bytes, &frame, &size, &why), ==, expected);
  if (expected == AFORK_FRAME_INVALID)
    g_assert_nonnull (why);
  else
    g_assert_null (why);
}

static void
assert_payload (AForkFrameKind    kind,
                guint16           n_fds,
                const void       *payload,
                gsize             n_bytes,
                AForkFrameResult  expected)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  guint8 header[AFORK_FRAME_HEADER_SIZE];

  afork_frame_write_header (kind, 0, n_fds, n_bytes, header);
  g_byte_array_append (bytes, header, sizeof header);
  if (n_bytes > 0)
    g_byte_array_append (bytes, payload, n_bytes);
  assert_parses_as (bytes->data, bytes->len, expected);
}

static void
test_frame_layout (void)
{
  static const guint8 expected[] = {
    19, 0, 0, 0, AFORK_FRAME_CALL, 0, 0, 0,
    2, 0, 0, 0, 'g', 'o', 0,
    1, 0, 0, 0, 3, 0, 0, 0, 'a', 'b', 'c', 0,
  };
  static const char * const args[] = { "abc", NULL };
  const Sample sample = {
    "CALL", { .kind = AFORK_FRAME_CALL, .string = { "go" } }, args
  };
  g_autofree guint8 *bytes = NULL;
  gsize size;

  bytes = write_sample (&sample, &size);
  g_assert_cmpmem (bytes, size, expected, sizeof expected);
}

static void
test_frame_round_trip (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    {
      g_autofree guint8 *bytes = NULL;
      gsize n_bytes, size;
      AForkFrame frame;
      const char *why;

      bytes = write_sample (&samples[i], &n_bytes);
      g_assert_cmpstr (afork_frame_kind_name (samples[i].frame.kind), ==, samples[i].name);
      g_assert_cmpint (afork_frame_parse (bytes, n_bytes, &frame, &size, &why),
                       ==, AFORK_FRAME_OK);
      g_assert_null (why);
      g_assert_cmpuint (size, ==, n_bytes);
      assert_sample (&frame, &samples[i]);
    }
}

/* There is a sample of every kind above. */
static void
test_frame_kinds (void)
{
  for (guint kind = 0; kind <= G_MAXUINT8; kind++)
    {
      gboolean has_sample = FALSE;

      for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
        has_sample |= samples[i].frame.kind == kind;
      g_assert_cmpint (has_sample, ==, afork_frame_kind_name (kind) != NULL);
    }
}

/* Several frames in one buffer are taken one at a time. */
static void
test_frame_sequence (void)
{
  g_autoptr(GByteArray) all = g_byte_array_new ();
  gsize offset = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    {
      g_autofree guint8 *bytes = NULL;
      gsize n_bytes;

      bytes = write_sample (&samples[i], &n_bytes);
      g_byte_array_append (all, bytes, n_bytes);
    }

  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    {
      AForkFrame frame;
      const char *why;
      gsize size;

      g_assert_cmpint (afork_frame_parse (all->data + offset, all->len - offset,
                                          &frame, &size, &why),
                       ==, AFORK_FRAME_OK);
      assert_sample (&frame, &samples[i]);
      offset += size;
    }
  g_assert_cmpuint (offset, ==, all->len);
}

/* An incomplete frame is waited for, wherever it was cut, and the reported size is correct as soon
 * as the header is complete. */
static void
test_frame_truncated (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    {
      g_autofree guint8 *bytes = NULL;
      gsize n_bytes;

      bytes = write_sample (&samples[i], &n_bytes);
      for (gsize n_come = 0; n_come < n_bytes; n_come++)
        {
          g_autofree guint8 *come = g_memdup2 (bytes, n_come);
          AForkFrame frame;
          const char *why;
          gsize size;

          g_assert_cmpint (afork_frame_parse (come, n_come, &frame, &size, &why),
                           ==, AFORK_FRAME_TRUNCATED);
          g_assert_null (why);
          g_assert_cmpuint (size, ==, n_come < AFORK_FRAME_HEADER_SIZE ? AFORK_FRAME_HEADER_SIZE
                                                                       : n_bytes);
        }
    }
}

/* A payload that is shorter than its fields is an error once it is complete, whatever size the
 * header gives. Only bytes may have any size. */
/* Whether a frame of this kind may have any payload. */
static gboolean
is_bytes (AForkFrameKind kind)
{
  return kind == AFORK_FRAME_ITEM_BYTES || kind == AFORK_FRAME_RESTRICT
    || kind == AFORK_FRAME_CONFINED || kind == AFORK_FRAME_FILE_BYTES;
}

static void
test_frame_short_payload (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    {
      const AForkFrame *frame = &samples[i].frame;
      g_autofree guint8 *bytes = NULL;
      gsize n_bytes;

      bytes = write_sample (&samples[i], &n_bytes);
      for (gsize n_left = 0; AFORK_FRAME_HEADER_SIZE + n_left < n_bytes; n_left++)
        assert_payload (frame->kind, frame->n_fds,
                        bytes + AFORK_FRAME_HEADER_SIZE, n_left,
                        is_bytes (frame->kind) ? AFORK_FRAME_OK : AFORK_FRAME_INVALID);
    }
}

static void
test_frame_long_payload (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    {
      const AForkFrame *frame = &samples[i].frame;
      g_autofree guint8 *bytes = NULL;
      g_autofree guint8 *longer = NULL;
      gsize n_bytes;

      bytes = write_sample (&samples[i], &n_bytes);
      n_bytes -= AFORK_FRAME_HEADER_SIZE;
      longer = g_malloc0 (n_bytes + 1);
      memcpy (longer, bytes + AFORK_FRAME_HEADER_SIZE, n_bytes);
      assert_payload (frame->kind, frame->n_fds, longer, n_bytes + 1,
                      is_bytes (frame->kind) ? AFORK_FRAME_OK : AFORK_FRAME_INVALID);
    }
}

/* An invalid header is reported before the payload has come. */
static void
assert_header (guint             kind,
               guint8            flags,
               guint16           n_fds,
               guint32           n_bytes,
               AForkFrameResult  expected)
{
  guint8 header[AFORK_FRAME_HEADER_SIZE];

  afork_frame_write_header (kind, flags, n_fds, n_bytes, header);
  assert_parses_as (header, sizeof header, expected);
}

static void
test_frame_header_kind (void)
{
  for (guint kind = 0; kind <= G_MAXUINT8; kind++)
    if (afork_frame_kind_name (kind) == NULL)
      assert_header (kind, 0, 0, 4, AFORK_FRAME_INVALID);
}

static void
test_frame_header_flags (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    {
      const AForkFrame *frame = &samples[i].frame;
      guint8 allowed = frame->kind == AFORK_FRAME_ITEM_BYTES
        ? AFORK_FRAME_MORE | AFORK_FRAME_STRING : 0;

      for (guint bit = 0; bit < 8; bit++)
        assert_header (frame->kind, 1 << bit, frame->n_fds, 4,
                       (allowed & 1 << bit) != 0 ? AFORK_FRAME_TRUNCATED : AFORK_FRAME_INVALID);
    }
}

static void
test_frame_header_fds (void)
{
  assert_header (AFORK_FRAME_TITLE, 0, 0, 4, AFORK_FRAME_TRUNCATED);
  assert_header (AFORK_FRAME_TITLE, 0, 1, 4, AFORK_FRAME_INVALID);
  assert_header (AFORK_FRAME_FORK, 0, 0, 4, AFORK_FRAME_INVALID);
  assert_header (AFORK_FRAME_FORK, 0, 1, 4, AFORK_FRAME_TRUNCATED);
  assert_header (AFORK_FRAME_FORK, 0, 2, 4, AFORK_FRAME_INVALID);
  assert_header (AFORK_FRAME_ITEM_FDS, 0, 0, 0, AFORK_FRAME_INVALID);
  assert_header (AFORK_FRAME_ITEM_FDS, 0, 1, 0, AFORK_FRAME_OK);
  assert_header (AFORK_FRAME_ITEM_FDS, 0, AFORK_FRAME_MAX_FDS, 0, AFORK_FRAME_OK);
  assert_header (AFORK_FRAME_ITEM_FDS, 0, AFORK_FRAME_MAX_FDS + 1, 0, AFORK_FRAME_INVALID);
  assert_header (AFORK_FRAME_ITEM_FDS, 0, G_MAXUINT16, 0, AFORK_FRAME_INVALID);
}

static void
test_frame_header_size (void)
{
  assert_header (AFORK_FRAME_ITEM_BYTES, 0, 0, AFORK_FRAME_MAX_PAYLOAD, AFORK_FRAME_TRUNCATED);
  assert_header (AFORK_FRAME_ITEM_BYTES, 0, 0, AFORK_FRAME_MAX_PAYLOAD + 1, AFORK_FRAME_INVALID);
  assert_header (AFORK_FRAME_ITEM_BYTES, 0, 0, G_MAXUINT32, AFORK_FRAME_INVALID);
}

/* The largest possible frame, and a larger one. */
static void
test_frame_limit (void)
{
  g_autofree guint8 *payload = g_malloc0 (AFORK_FRAME_MAX_PAYLOAD);
  g_autofree char *text = g_strnfill (AFORK_FRAME_MAX_PAYLOAD - 4, 'x');
  AForkFrame bytes_frame = { .kind = AFORK_FRAME_ITEM_BYTES, .bytes = payload };
  AForkFrame string_frame = { .kind = AFORK_FRAME_TITLE, .string = { text } };
  g_autofree guint8 *written = NULL;
  const char *why;
  gsize size;

  bytes_frame.n_bytes = AFORK_FRAME_MAX_PAYLOAD;
  g_assert_cmpuint (afork_frame_size (&bytes_frame),
                    ==, AFORK_FRAME_HEADER_SIZE + AFORK_FRAME_MAX_PAYLOAD);
  bytes_frame.n_bytes++;
  g_assert_cmpuint (afork_frame_size (&bytes_frame), ==, 0);

  g_assert_cmpuint (afork_frame_size (&string_frame), ==, 0);
  text[AFORK_FRAME_MAX_PAYLOAD - 5] = '\0';
  g_assert_cmpuint (afork_frame_size (&string_frame),
                    ==, AFORK_FRAME_HEADER_SIZE + AFORK_FRAME_MAX_PAYLOAD);

  written = g_malloc (AFORK_FRAME_HEADER_SIZE + AFORK_FRAME_MAX_PAYLOAD);
  afork_frame_write (&string_frame, written);
  g_assert_cmpint (afork_frame_parse (written, AFORK_FRAME_HEADER_SIZE + AFORK_FRAME_MAX_PAYLOAD,
                                      &string_frame, &size, &why),
                   ==, AFORK_FRAME_OK);
  g_assert_cmpstr (string_frame.string[0], ==, text);
}

static void
test_frame_bad_string (void)
{
  /* Longer than the payload, by a little and by as much as possible. */
  assert_payload (AFORK_FRAME_TITLE, 0, "\2\0\0\0x\0", 6, AFORK_FRAME_INVALID);
  assert_payload (AFORK_FRAME_TITLE, 0, "\377\377\377\377x\0", 6, AFORK_FRAME_INVALID);
  /* Shorter than the payload. */
  assert_payload (AFORK_FRAME_TITLE, 0, "\1\0\0\0xy\0", 7, AFORK_FRAME_INVALID);
  /* Without its NUL, and with a NUL in it. */
  assert_payload (AFORK_FRAME_TITLE, 0, "\1\0\0\0xy", 6, AFORK_FRAME_INVALID);
  assert_payload (AFORK_FRAME_TITLE, 0, "\3\0\0\0x\0y\0", 8, AFORK_FRAME_INVALID);
  /* Correct. */
  assert_payload (AFORK_FRAME_TITLE, 0, "\1\0\0\0x\0", 6, AFORK_FRAME_OK);
}

static void
test_frame_bad_strings (void)
{
  assert_payload (AFORK_FRAME_MODULE_PATH, 0, "\1\0\0\0\1\0\0\0x\0", 10, AFORK_FRAME_OK);
  /* More strings than there are, by one and by as many as possible; and fewer. */
  assert_payload (AFORK_FRAME_MODULE_PATH, 0, "\2\0\0\0\1\0\0\0x\0", 10, AFORK_FRAME_INVALID);
  assert_payload (AFORK_FRAME_MODULE_PATH, 0, "\377\377\377\377\1\0\0\0x\0", 10,
                  AFORK_FRAME_INVALID);
  assert_payload (AFORK_FRAME_MODULE_PATH, 0, "\0\0\0\0\1\0\0\0x\0", 10, AFORK_FRAME_INVALID);
}

static gboolean
is_whole_frames (const guint8 *bytes,
                 gsize         n_bytes)
{
  const guint8 *end = bytes + n_bytes;

  if (n_bytes == 0)
    return FALSE;

  while (bytes < end)
    {
      AForkFrame frame;
      const char *why;
      gsize size;

      if (afork_frame_parse (bytes, end - bytes, &frame, &size, &why) != AFORK_FRAME_OK)
        return FALSE;
      bytes += size;
    }

  return TRUE;
}

/* The examples of the fuzz target, which the code under test has not written. */
static void
test_frame_examples (void)
{
  g_autofree char *folder = g_test_build_filename (G_TEST_BUILT, "fuzz", "corpus", "frame", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GDir) dir = g_dir_open (folder, 0, &error);
  const char *name;

  g_assert_no_error (error);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);
      g_autofree char *bytes = NULL;
      gsize n_bytes;

      g_test_message ("%s", name);
      g_file_get_contents (path, &bytes, &n_bytes, &error);
      g_assert_no_error (error);
      g_assert_cmpint (is_whole_frames ((const guint8 *) bytes, n_bytes),
                       ==, !g_str_has_prefix (name, "invalid-"));
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/frame/layout", test_frame_layout);
  g_test_add_func ("/frame/round-trip", test_frame_round_trip);
  g_test_add_func ("/frame/kinds", test_frame_kinds);
  g_test_add_func ("/frame/sequence", test_frame_sequence);
  g_test_add_func ("/frame/truncated", test_frame_truncated);
  g_test_add_func ("/frame/short-payload", test_frame_short_payload);
  g_test_add_func ("/frame/long-payload", test_frame_long_payload);
  g_test_add_func ("/frame/header/kind", test_frame_header_kind);
  g_test_add_func ("/frame/header/flags", test_frame_header_flags);
  g_test_add_func ("/frame/header/fds", test_frame_header_fds);
  g_test_add_func ("/frame/header/size", test_frame_header_size);
  g_test_add_func ("/frame/limit", test_frame_limit);
  g_test_add_func ("/frame/bad-string", test_frame_bad_string);
  g_test_add_func ("/frame/bad-strings", test_frame_bad_strings);
  g_test_add_func ("/frame/examples", test_frame_examples);

  return g_test_run ();
}
