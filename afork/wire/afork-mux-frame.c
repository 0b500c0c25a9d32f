/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "afork-mux-frame.h"

#include "afork-fields.h"

/* The layout of a payload, with one character for each field: u: 32 bits, s: string, b: bytes up to
 * the end, one at least. */
typedef struct
{
  AForkMuxKind  kind;
  const char   *name;
  const char   *fields;
  bool          has_channel;    /* the frame is about one channel, and not about the connection */
} Layout;

static const Layout layouts[] = {
  { AFORK_MUX_HELLO,  "HELLO",  "uuuuss", false },
  { AFORK_MUX_START,  "START",  "uuss",   false },
  { AFORK_MUX_PING,   "PING",   "",       false },
  { AFORK_MUX_OPEN,   "OPEN",   "uu",     true },
  { AFORK_MUX_DATA,   "DATA",   "b",      true },
  { AFORK_MUX_END,    "END",    "",       true },
  { AFORK_MUX_CREDIT, "CREDIT", "u",      true },
  { AFORK_MUX_STOP,   "STOP",   "",       true },
};

static const Layout *
find_layout (AForkMuxKind kind)
{
  for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
    if (layouts[i].kind == kind)
      return &layouts[i];

  return NULL;
}

const char *
afork_mux_kind_name (AForkMuxKind kind)
{
  const Layout *layout = find_layout (kind);

  return layout != NULL ? layout->name : NULL;
}

AForkMuxByteOrder
afork_mux_byte_order (void)
{
  const uint16_t one = 1;
  uint8_t first;

  memcpy (&first, &one, 1);
  return first == 1 ? AFORK_MUX_LITTLE_ENDIAN : AFORK_MUX_BIG_ENDIAN;
}

/* Reads the fields of FRAME, which has the LAYOUT. Returns false if the payload has another one. */
static bool
read_fields (AForkMuxFrame *frame,
             const Layout  *layout,
             const uint8_t *bytes,
             size_t         n_bytes)
{
  AForkReader reader = { .bytes = bytes, .n_bytes = n_bytes };
  size_t n_numbers = 0, n_strings = 0;

  for (const char *field = layout->fields; *field != '\0'; field++)
    switch (*field)
      {
      case 'u':
        frame->number[n_numbers++] = afork_read_u32 (&reader);
        break;
      case 's':
        frame->string[n_strings++] = afork_read_string (&reader, AFORK_MUX_MAX_STRING);
        break;
      default:
        frame->n_bytes = reader.n_bytes;
        frame->bytes = afork_read_bytes (&reader, reader.n_bytes);
        if (frame->n_bytes == 0)
          return false;
        break;
      }

  return !reader.failed && reader.n_bytes == 0;
}

static AForkMuxResult
refuse (const char **why,
        const char  *reason)
{
  *why = reason;
  return AFORK_MUX_INVALID;
}

AForkMuxResult
afork_mux_frame_parse (const uint8_t  *bytes,
                       size_t          n_bytes,
                       AForkMuxFrame  *frame,
                       size_t         *size,
                       const char    **why)
{
  const Layout *layout;
  size_t n_payload;

  *frame = (AForkMuxFrame) { 0 };
  *why = NULL;
  *size = AFORK_MUX_HEADER_SIZE;
  if (n_bytes < AFORK_MUX_HEADER_SIZE)
    return AFORK_MUX_TRUNCATED;

  n_payload = (size_t) afork_get_integer (bytes + 4, 2);
  layout = find_layout (bytes[6]);
  if (layout == NULL)
    return refuse (why, "the kind of a frame is unknown");
  if (bytes[7] != 0)
    return refuse (why, "a frame has flags that are unknown");
  if (n_payload > AFORK_MUX_MAX_PAYLOAD)
    return refuse (why, "a frame is too long");
  if (!layout->has_channel && afork_get_integer (bytes, 4) != 0)
    return refuse (why, "a frame of the connection names a channel");

  *size = AFORK_MUX_HEADER_SIZE + n_payload;
  if (n_bytes < *size)
    return AFORK_MUX_TRUNCATED;

  frame->kind = layout->kind;
  frame->channel = (uint32_t) afork_get_integer (bytes, 4);
  if (!read_fields (frame, layout, bytes + AFORK_MUX_HEADER_SIZE, n_payload))
    return refuse (why, "the payload of a frame is not what its kind has");

  return AFORK_MUX_OK;
}

size_t
afork_mux_frame_size (const AForkMuxFrame *frame)
{
  size_t n_strings = 0;
  size_t size = AFORK_MUX_HEADER_SIZE;

  for (const char *field = find_layout (frame->kind)->fields; *field != '\0'; field++)
    switch (*field)
      {
      case 'u':
        size += 4;
        break;
      case 's':
        size += 4 + strlen (frame->string[n_strings++]) + 1;
        break;
      default:
        size += frame->n_bytes;
        break;
      }

  return size;
}

void
afork_mux_frame_write (const AForkMuxFrame *frame,
                       uint8_t             *out)
{
  const size_t n_payload = afork_mux_frame_size (frame) - AFORK_MUX_HEADER_SIZE;
  size_t n_numbers = 0, n_strings = 0;

  out = afork_write_integer (out, frame->channel, 4);
  out = afork_write_integer (out, n_payload, 2);
  *out++ = (uint8_t) frame->kind;
  *out++ = 0;
  for (const char *field = find_layout (frame->kind)->fields; *field != '\0'; field++)
    switch (*field)
      {
      case 'u':
        out = afork_write_integer (out, frame->number[n_numbers++], 4);
        break;
      case 's':
        out = afork_write_string (out, frame->string[n_strings++]);
        break;
      default:
        out = afork_write_bytes (out, frame->bytes, frame->n_bytes);
        break;
      }
}
