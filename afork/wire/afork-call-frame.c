/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "afork-call-frame.h"

#include <string.h>

#include "afork-fields.h"

typedef enum
{
  PAYLOAD_NONE,
  PAYLOAD_VALUE,
  PAYLOAD_DATA,
  PAYLOAD_STRINGS,              /* as many as the layout says */
  PAYLOAD_SEGMENT,
} Payload;

typedef struct
{
  AForkCallFrameKind  kind;
  const char         *name;
  Payload             payload;
  uint8_t             n_strings;
  bool                has_code;
  bool                has_number;     /* if not, it must be 0 */
  uint8_t             flags;          /* the allowed ones */
  uint16_t            min_fds;
  uint16_t            max_fds;
} Layout;

#define ANY_FDS 0, AFORK_CALL_FRAME_MAX_FDS
#define SETUP_FLAGS \
  (AFORK_CALL_FRAME_CONCURRENT | AFORK_CALL_FRAME_UNTRUSTED | AFORK_CALL_FRAME_NO_MEMORY \
   | AFORK_CALL_FRAME_NO_FDS)

static const Layout layouts[] = {
  { AFORK_CALL_FRAME_SETUP, "SETUP", PAYLOAD_STRINGS, 3, false, true, SETUP_FLAGS, 0, 0 },
  { AFORK_CALL_FRAME_CALL, "CALL", PAYLOAD_VALUE, 0, false, true, AFORK_CALL_FRAME_NOTIFY_BEGIN,
    ANY_FDS },
  { AFORK_CALL_FRAME_CANCEL, "CANCEL", PAYLOAD_NONE, 0, false, true, 0, 0, 0 },
  { AFORK_CALL_FRAME_OUTBOX, "OUTBOX", PAYLOAD_NONE, 0, false, false, 0, 1, 1 },
  { AFORK_CALL_FRAME_STARTED, "STARTED", PAYLOAD_NONE, 0, false, false, 0, 0, 0 },
  { AFORK_CALL_FRAME_BEGUN, "BEGUN", PAYLOAD_NONE, 0, false, true, 0, 0, 0 },
  { AFORK_CALL_FRAME_PROGRESS, "PROGRESS", PAYLOAD_VALUE, 0, false, true, 0, 0, 0 },
  { AFORK_CALL_FRAME_EVENT, "EVENT", PAYLOAD_VALUE, 0, false, false, 0, 0, 0 },
  { AFORK_CALL_FRAME_RESULT, "RESULT", PAYLOAD_VALUE, 0, false, true, 0, ANY_FDS },
  { AFORK_CALL_FRAME_FAILED, "FAILED", PAYLOAD_STRINGS, 2, true, true, 0, 0, 0 },
  { AFORK_CALL_FRAME_RETIRE, "RETIRE", PAYLOAD_NONE, 0, false, false, 0, 0, 0 },
  { AFORK_CALL_FRAME_FDS, "FDS", PAYLOAD_NONE, 0, false, false, 0, 1, AFORK_CALL_FRAME_MAX_FDS },
  { AFORK_CALL_FRAME_BLOB, "BLOB", PAYLOAD_DATA, 0, false, false, AFORK_CALL_FRAME_MORE, 0, 0 },
  { AFORK_CALL_FRAME_SEGMENT, "SEGMENT", PAYLOAD_SEGMENT, 0, false, true, 0, 1, 1 },
  { AFORK_CALL_FRAME_SEGMENT_END, "SEGMENT_END", PAYLOAD_NONE, 0, false, true, 0, 0, 0 },
  { AFORK_CALL_FRAME_RELEASE, "RELEASE", PAYLOAD_NONE, 0, false, true, 0, 0, 0 },
};

enum { BLOB_SIZE = 16, SEGMENT_SIZE = 8 };

static const Layout *
find_layout (AForkCallFrameKind kind)
{
  for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
    if (layouts[i].kind == kind)
      return &layouts[i];

  return NULL;
}

static size_t
get_max_payload (const Layout *layout)
{
  return layout->kind == AFORK_CALL_FRAME_FAILED ? AFORK_CALL_FRAME_MAX_ERROR
                                                 : AFORK_CALL_FRAME_MAX_PAYLOAD;
}

const char *
afork_call_frame_kind_name (AForkCallFrameKind kind)
{
  const Layout *layout = find_layout (kind);

  return layout != NULL ? layout->name : NULL;
}

static size_t
align (size_t size)
{
  return (size + 7) & ~(size_t) 7;
}

/* Reading. */

/* Takes a string from the front of *BYTES. Returns NULL if there is none. */
static const char *
read_string (const uint8_t **bytes,
             size_t         *n_bytes)
{
  const char *string;
  size_t length;

  if (*n_bytes < 4)
    return NULL;
  length = (size_t) afork_get_integer (*bytes, 4);
  if (length > *n_bytes - 4 || *n_bytes - 4 - length < 1)
    return NULL;

  string = (const char *) *bytes + 4;
  if (memchr (string, '\0', length + 1) != string + length)
    return NULL;

  *bytes += 4 + length + 1;
  *n_bytes -= 4 + length + 1;
  return string;
}

static bool
read_value (const uint8_t  *payload,
            size_t          n_bytes,
            size_t          type_size,
            AForkCallFrame *frame)
{
  size_t blobs_size = (size_t) frame->n_blobs * BLOB_SIZE;
  size_t head_size = blobs_size + align (type_size);

  if (type_size < 2 || head_size > n_bytes)
    return false;

  frame->blobs = payload;
  frame->type = (const char *) payload + blobs_size;
  frame->data = payload + head_size;
  frame->size = n_bytes - head_size;
  return memchr (frame->type, '\0', type_size) == frame->type + type_size - 1;
}

static bool
read_strings (const uint8_t  *payload,
              size_t          n_bytes,
              const Layout   *layout,
              AForkCallFrame *frame)
{
  if (layout->has_code)
    {
      if (n_bytes < 4)
        return false;
      frame->code = (int32_t) (uint32_t) afork_get_integer (payload, 4);
      payload += 4;
      n_bytes -= 4;
    }

  for (size_t i = 0; i < layout->n_strings; i++)
    if ((frame->string[i] = read_string (&payload, &n_bytes)) == NULL)
      return false;

  return n_bytes == 0;
}

static bool
read_payload (const uint8_t  *payload,
              size_t          n_bytes,
              size_t          type_size,
              const Layout   *layout,
              AForkCallFrame *frame)
{
  switch (layout->payload)
    {
    case PAYLOAD_VALUE:
      return read_value (payload, n_bytes, type_size, frame);
    case PAYLOAD_STRINGS:
      return read_strings (payload, n_bytes, layout, frame);
    case PAYLOAD_SEGMENT:
      if (n_bytes != SEGMENT_SIZE)
        return false;
      frame->segment_size = afork_get_integer (payload, 8);
      return true;
    case PAYLOAD_DATA:
      frame->data = payload;
      frame->size = n_bytes;
      return true;
    default:
      return n_bytes == 0;
    }
}

/* Returns what is wrong with the header, or NULL. */
static const char *
find_fault (const Layout         *layout,
            const AForkCallFrame *frame,
            size_t                n_bytes,
            size_t                type_size)
{
  if (layout == NULL)
    return "a frame is of no known kind";
  if (n_bytes > get_max_payload (layout))
    return "a frame is too large";
  if ((frame->flags & ~layout->flags) != 0)
    return "a frame has flags that its kind does not have";
  if (frame->n_fds < layout->min_fds || frame->n_fds > layout->max_fds)
    return "a frame has the wrong number of descriptors";
  if (!layout->has_number && frame->number != 0)
    return "a frame has a number, and its kind has none";
  if (layout->payload != PAYLOAD_VALUE && (type_size > 0 || frame->n_blobs > 0))
    return "a frame has the type of a value, and its kind has no value";
  if (frame->n_blobs > AFORK_CALL_MAX_BLOBS)
    return "a value has too many blobs";
  return NULL;
}

AForkCallFrameResult
afork_call_frame_parse (const uint8_t   *bytes,
                        size_t           n_bytes,
                        AForkCallFrame  *frame,
                        size_t          *size,
                        const char     **why)
{
  const Layout *layout;
  size_t payload_size, type_size;

  *size = AFORK_CALL_FRAME_HEADER_SIZE;
  if (n_bytes < AFORK_CALL_FRAME_HEADER_SIZE)
    return AFORK_CALL_FRAME_TRUNCATED;

  memset (frame, 0, sizeof *frame);
  payload_size = (size_t) afork_get_integer (bytes, 4);
  frame->kind = bytes[4];
  frame->flags = bytes[5];
  frame->n_fds = (uint16_t) afork_get_integer (bytes + 6, 2);
  frame->number = (uint32_t) afork_get_integer (bytes + 8, 4);
  type_size = (size_t) afork_get_integer (bytes + 12, 2);
  frame->n_blobs = (uint16_t) afork_get_integer (bytes + 14, 2);

  layout = find_layout (frame->kind);
  *why = find_fault (layout, frame, payload_size, type_size);
  if (*why != NULL)
    return AFORK_CALL_FRAME_INVALID;

  *size = AFORK_CALL_FRAME_HEADER_SIZE + align (payload_size);
  if (n_bytes < *size)
    return AFORK_CALL_FRAME_TRUNCATED;

  if (!read_payload (bytes + AFORK_CALL_FRAME_HEADER_SIZE, payload_size, type_size, layout, frame))
    {
      *why = "a frame's payload does not fit its kind";
      return AFORK_CALL_FRAME_INVALID;
    }

  return AFORK_CALL_FRAME_OK;
}

void
afork_call_frame_get_blob (const AForkCallFrame *frame,
                           size_t                index,
                           uint32_t             *segment,
                           uint64_t             *size)
{
  const uint8_t *bytes = frame->blobs + index * BLOB_SIZE;

  *segment = (uint32_t) afork_get_integer (bytes, 4);
  *size = afork_get_integer (bytes + 8, 8);
}

/* Writing. */

/* Returns the size of the payload without `data`. */
static size_t
get_fixed_size (const AForkCallFrame *frame,
                const Layout         *layout)
{
  size_t size = 0;

  switch (layout->payload)
    {
    case PAYLOAD_VALUE:
      return (size_t) frame->n_blobs * BLOB_SIZE + align (strlen (frame->type) + 1);
    case PAYLOAD_STRINGS:
      for (size_t i = 0; i < layout->n_strings; i++)
        size += 4 + strlen (frame->string[i]) + 1;
      return size + (layout->has_code ? 4 : 0);
    case PAYLOAD_SEGMENT:
      return SEGMENT_SIZE;
    default:
      return 0;
    }
}

/* Whether zeros follow the fixed bytes at once. */
static bool
has_data (const Layout *layout)
{
  return layout->payload == PAYLOAD_VALUE || layout->payload == PAYLOAD_DATA;
}

size_t
afork_call_frame_head_size (const AForkCallFrame *frame)
{
  const Layout *layout = find_layout (frame->kind);
  size_t size = get_fixed_size (frame, layout);

  if (size > get_max_payload (layout)
      || frame->size > get_max_payload (layout) - size
      || (layout->payload == PAYLOAD_VALUE && strlen (frame->type) > AFORK_CALL_FRAME_MAX_TYPE))
    return 0;

  return AFORK_CALL_FRAME_HEADER_SIZE + (has_data (layout) ? size : align (size));
}

size_t
afork_call_frame_padding (const AForkCallFrame *frame)
{
  return align (frame->size) - frame->size;
}

void
afork_call_frame_write (const AForkCallFrame *frame,
                        uint8_t              *out)
{
  const Layout *layout = find_layout (frame->kind);
  size_t size = get_fixed_size (frame, layout);
  bool has_type = layout->payload == PAYLOAD_VALUE;
  size_t type_size = has_type ? strlen (frame->type) + 1 : 0;
  uint8_t *start = out;

  out = afork_write_integer (out, size + frame->size, 4);
  *out++ = (uint8_t) frame->kind;
  *out++ = frame->flags;
  out = afork_write_integer (out, frame->n_fds, 2);
  out = afork_write_integer (out, frame->number, 4);
  out = afork_write_integer (out, type_size, 2);
  out = afork_write_integer (out, has_type ? frame->n_blobs : 0, 2);

  switch (layout->payload)
    {
    case PAYLOAD_VALUE:
      memset (out, 0, (size_t) frame->n_blobs * BLOB_SIZE);
      out += (size_t) frame->n_blobs * BLOB_SIZE;
      memcpy (out, frame->type, type_size);
      out += type_size;
      break;
    case PAYLOAD_STRINGS:
      if (layout->has_code)
        out = afork_write_integer (out, (uint32_t) frame->code, 4);
      for (size_t i = 0; i < layout->n_strings; i++)
        out = afork_write_string (out, frame->string[i]);
      break;
    case PAYLOAD_SEGMENT:
      out = afork_write_integer (out, frame->segment_size, 8);
      break;
    default:
      break;
    }

  /* Zeros after the type string, or at the end. */
  while ((out - start) % 8 != 0)
    *out++ = 0;
}

void
afork_call_frame_set_blob (uint8_t  *out,
                           size_t    index,
                           uint32_t  segment,
                           uint64_t  size)
{
  out += AFORK_CALL_FRAME_HEADER_SIZE + index * BLOB_SIZE;
  afork_write_integer (out, segment, 4);
  afork_write_integer (out + 4, 0, 4);
  afork_write_integer (out + 8, size, 8);
}
