/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "afork-frame.h"

#include <string.h>

#include "afork-fields.h"

/* The layout of a payload, with one character for each field:
 * u: 32 bits, s: string, a: array of strings, x: AForkExitReport, b: bytes up to the end. */
typedef struct
{
  AForkFrameKind  kind;
  const char     *name;
  const char     *fields;
  uint8_t         flags;          /* the allowed ones */
  uint16_t        min_fds;
  uint16_t        max_fds;
} Layout;

enum { ITEM_FLAGS = AFORK_FRAME_MORE | AFORK_FRAME_STRING };

static const Layout layouts[] = {
  { AFORK_FRAME_MODULE_PATH, "MODULE_PATH", "a",   0,                0, 0 },
  { AFORK_FRAME_TITLE,       "TITLE",       "s",   0,                0, 0 },
  { AFORK_FRAME_SETENV,      "SETENV",      "ss",  0,                0, 0 },
  { AFORK_FRAME_UNSETENV,    "UNSETENV",    "s",   0,                0, 0 },
  { AFORK_FRAME_CHDIR,       "CHDIR",       "s",   0,                0, 0 },
  { AFORK_FRAME_MAP_FD,      "MAP_FD",      "u",   0,                1, 1 },
  { AFORK_FRAME_REQUIRE,     "REQUIRE",     "s",   0,                0, 0 },
  { AFORK_FRAME_EVAL,        "EVAL",        "sa",  0,                0, 0 },
  { AFORK_FRAME_CALL,        "CALL",        "sa",  0,                0, 0 },
  { AFORK_FRAME_ITEM_BYTES,  "ITEM_BYTES",  "b",   ITEM_FLAGS,       0, 0 },
  { AFORK_FRAME_ITEM_FDS,    "ITEM_FDS",    "",    0,                1, AFORK_FRAME_MAX_FDS },
  { AFORK_FRAME_FORK,        "FORK",        "u",   0,                1, 1 },
  { AFORK_FRAME_RUN,         "RUN",         "ss",  0,                0, 0 },
  { AFORK_FRAME_LOOK_UP,     "LOOK_UP",     "s",   0,                0, 0 },
  { AFORK_FRAME_EXEC,        "EXEC",        "a",   0,                1, 1 },
  { AFORK_FRAME_DEATH_PIPE,  "DEATH_PIPE",  "",    0,                1, 1 },
  { AFORK_FRAME_DETACH,      "DETACH",      "",    0,                0, 0 },
  { AFORK_FRAME_IDENTIFY,    "IDENTIFY",    "u",   0,                0, 0 },
  { AFORK_FRAME_RUN_FUNC,    "RUN_FUNC",    "suus", 0,               0, 0 },
  { AFORK_FRAME_LIBRARY,     "LIBRARY",     "s",   0,                0, 0 },
  { AFORK_FRAME_SIGNAL,      "SIGNAL",      "uu",  0,                0, 0 },
  { AFORK_FRAME_DISOWN,      "DISOWN",      "u",   0,                0, 0 },
  { AFORK_FRAME_LEAVE,       "LEAVE",       "",    0,                0, 0 },
  { AFORK_FRAME_MEASURE,     "MEASURE",     "u",   0,                0, 0 },
  { AFORK_FRAME_RESTRICT,    "RESTRICT",    "b",   0,                0, 0 },
  { AFORK_FRAME_REQUIRE_FILE, "REQUIRE_FILE", "ss", 0,               0, 0 },
  { AFORK_FRAME_FILE,        "FILE",        "ssuu", 0,               0, 0 },
  { AFORK_FRAME_FILE_BYTES,  "FILE_BYTES",  "b",   0,                0, 0 },
  { AFORK_FRAME_FAIL,        "FAIL",        "us",  0,                0, 0 },
  { AFORK_FRAME_HELLO,       "HELLO",       "su",  0,                0, 0 },
  { AFORK_FRAME_FORKED,      "FORKED",      "",    0,                0, 1 },
  { AFORK_FRAME_READY,       "READY",       "",    0,                0, 2 },
  { AFORK_FRAME_ERROR,       "ERROR",       "us",  0,                0, 1 },
  { AFORK_FRAME_FORK_FAILED, "FORK_FAILED", "uus", 0,                0, 0 },
  { AFORK_FRAME_EXITED,      "EXITED",      "ux",  0,                0, 0 },
  { AFORK_FRAME_SIGNALED,    "SIGNALED",    "uu",  0,                0, 0 },
  { AFORK_FRAME_NO_PIDFD,    "NO_PIDFD",    "",    0,                0, 0 },
  { AFORK_FRAME_MEASURED,    "MEASURED",    "uu",  0,                0, 0 },
  { AFORK_FRAME_CONFINED,    "CONFINED",    "b",   0,                0, 0 },
  { AFORK_FRAME_REFUSED,     "REFUSED",     "uu",  0,                0, 0 },
  { AFORK_FRAME_REMOTE,      "REMOTE",      "u",   0,                0, 0 },
  { AFORK_FRAME_FILE_WANTED, "FILE_WANTED", "u",   0,                0, 0 },
};

enum { EXIT_REPORT_SIZE = 4 + 4 + 8 + 8 + 8 };

static const Layout *
find_layout (AForkFrameKind kind)
{
  for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
    if (layouts[i].kind == kind)
      return &layouts[i];

  return NULL;
}

const char *
afork_frame_kind_name (AForkFrameKind kind)
{
  const Layout *layout = find_layout (kind);

  return layout != NULL ? layout->name : NULL;
}

/* Reading. */

static const char *
read_string (AForkReader *reader)
{
  return afork_read_string (reader, AFORK_FRAME_MAX_PAYLOAD - 1);
}

static AForkStrings
read_strings (AForkReader *reader)
{
  AForkStrings strings = { .n_strings = afork_read_u32 (reader), .bytes = reader->bytes };

  for (uint32_t i = 0; i < strings.n_strings && !reader->failed; i++)
    read_string (reader);

  strings.n_bytes = (size_t) (reader->bytes - strings.bytes);
  return strings;
}

static AForkExitReport
read_exit_report (AForkReader *reader)
{
  AForkExitReport report;

  report.pid = afork_read_u32 (reader);
  report.wait_status = afork_read_u32 (reader);
  report.user_usec = afork_read_integer (reader, 8);
  report.system_usec = afork_read_integer (reader, 8);
  report.max_rss_kib = afork_read_integer (reader, 8);
  return report;
}

static bool
read_payload (AForkReader  *reader,
              const Layout *layout,
              AForkFrame   *frame)
{
  size_t n_numbers = 0, n_strings = 0;

  for (const char *field = layout->fields; *field != '\0'; field++)
    switch (*field)
      {
      case 'u':
        frame->number[n_numbers++] = afork_read_u32 (reader);
        break;
      case 's':
        frame->string[n_strings++] = read_string (reader);
        break;
      case 'a':
        frame->strings = read_strings (reader);
        break;
      case 'x':
        frame->exit = read_exit_report (reader);
        break;
      default:
        frame->n_bytes = reader->n_bytes;
        frame->bytes = afork_read_bytes (reader, reader->n_bytes);
        break;
      }

  return !reader->failed && reader->n_bytes == 0;
}

AForkFrameResult
afork_frame_parse (const uint8_t  *bytes,
                   size_t          n_bytes,
                   AForkFrame     *frame,
                   size_t         *size,
                   const char    **why)
{
  AForkReader header = { .bytes = bytes, .n_bytes = n_bytes };
  AForkReader payload;
  const Layout *layout;
  uint32_t payload_size;

  memset (frame, 0, sizeof *frame);
  *size = AFORK_FRAME_HEADER_SIZE;
  *why = NULL;
  if (n_bytes < AFORK_FRAME_HEADER_SIZE)
    return AFORK_FRAME_TRUNCATED;

  payload_size = afork_read_u32 (&header);
  frame->kind = (AForkFrameKind) afork_read_integer (&header, 1);
  frame->flags = (uint8_t) afork_read_integer (&header, 1);
  frame->n_fds = (uint16_t) afork_read_integer (&header, 2);
  layout = find_layout (frame->kind);
  if (layout == NULL)
    *why = "a frame is of no known kind";
  else if (payload_size > AFORK_FRAME_MAX_PAYLOAD)
    *why = "a frame is too large";
  else if ((frame->flags & ~layout->flags) != 0)
    *why = "a frame has flags that its kind does not have";
  else if (frame->n_fds < layout->min_fds || frame->n_fds > layout->max_fds)
    *why = "a frame has the wrong number of descriptors";
  if (*why != NULL)
    return AFORK_FRAME_INVALID;

  *size += payload_size;
  if (header.n_bytes < payload_size)
    return AFORK_FRAME_TRUNCATED;

  payload = (AForkReader) { .bytes = header.bytes, .n_bytes = payload_size };
  if (!read_payload (&payload, layout, frame))
    {
      *why = "a frame's payload does not fit its kind";
      return AFORK_FRAME_INVALID;
    }

  return AFORK_FRAME_OK;
}

const char *
afork_strings_next (AForkStrings *strings)
{
  AForkReader reader = { .bytes = strings->bytes, .n_bytes = strings->n_bytes };
  const char *string;

  if (strings->n_strings == 0)
    return NULL;

  string = read_string (&reader);
  strings->n_strings--;
  strings->bytes = reader.bytes;
  strings->n_bytes = reader.n_bytes;
  return string;
}

/* Writing. */

static uint8_t *
write_exit_report (uint8_t               *out,
                   const AForkExitReport *report)
{
  out = afork_write_integer (out, report->pid, 4);
  out = afork_write_integer (out, report->wait_status, 4);
  out = afork_write_integer (out, report->user_usec, 8);
  out = afork_write_integer (out, report->system_usec, 8);
  return afork_write_integer (out, report->max_rss_kib, 8);
}

size_t
afork_frame_size (const AForkFrame *frame)
{
  size_t n_strings = 0;
  size_t size = 0;

  for (const char *field = find_layout (frame->kind)->fields; *field != '\0'; field++)
    switch (*field)
      {
      case 'u':
        size += 4;
        break;
      case 's':
        size += 4 + strlen (frame->string[n_strings++]) + 1;
        break;
      case 'a':
        size += 4 + frame->strings.n_bytes;
        break;
      case 'x':
        size += EXIT_REPORT_SIZE;
        break;
      default:
        size += frame->n_bytes;
        break;
      }

  return size <= AFORK_FRAME_MAX_PAYLOAD ? AFORK_FRAME_HEADER_SIZE + size : 0;
}

void
afork_frame_write_header (AForkFrameKind kind,
                          uint8_t        flags,
                          uint16_t       n_fds,
                          uint32_t       n_bytes,
                          uint8_t        out[AFORK_FRAME_HEADER_SIZE])
{
  out = afork_write_integer (out, n_bytes, 4);
  out = afork_write_integer (out, kind, 1);
  out = afork_write_integer (out, flags, 1);
  afork_write_integer (out, n_fds, 2);
}

void
afork_frame_write (const AForkFrame *frame,
                   uint8_t          *out)
{
  size_t n_numbers = 0, n_strings = 0;
  size_t size = afork_frame_size (frame);

  afork_frame_write_header (frame->kind, frame->flags, frame->n_fds,
                            (uint32_t) (size - AFORK_FRAME_HEADER_SIZE), out);
  out += AFORK_FRAME_HEADER_SIZE;

  for (const char *field = find_layout (frame->kind)->fields; *field != '\0'; field++)
    switch (*field)
      {
      case 'u':
        out = afork_write_integer (out, frame->number[n_numbers++], 4);
        break;
      case 's':
        out = afork_write_string (out, frame->string[n_strings++]);
        break;
      case 'a':
        out = afork_write_integer (out, frame->strings.n_strings, 4);
        out = afork_write_bytes (out, frame->strings.bytes, frame->strings.n_bytes);
        break;
      case 'x':
        out = write_exit_report (out, &frame->exit);
        break;
      default:
        out = afork_write_bytes (out, frame->bytes, frame->n_bytes);
        break;
      }
}

size_t
afork_strings_size (const char * const *strings,
                    uint32_t           *n_strings)
{
  size_t size = 0;

  *n_strings = 0;
  for (; strings != NULL && *strings != NULL; strings++)
    {
      size += 4 + strlen (*strings) + 1;
      *n_strings += 1;
    }

  return size;
}

void
afork_strings_write (const char * const *strings,
                     uint8_t            *out)
{
  for (; strings != NULL && *strings != NULL; strings++)
    out = afork_write_string (out, *strings);
}
