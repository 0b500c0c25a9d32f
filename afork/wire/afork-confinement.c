/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "afork-confinement.h"

#include <string.h>

#include "afork-fields.h"

typedef enum
{
  RECORD_LIMIT = 1,
  RECORD_NICE,
  RECORD_IDLE,
  RECORD_OOM_SCORE,
  RECORD_FILTER,
  RECORD_PATHS,
  RECORD_NAMESPACES,
  RECORD_MISSING,
} RecordKind;

enum
{
  HEADER_SIZE = 12,
  RECORD_HEADER_SIZE = 8,
  ALL_EFFECTS = (1 << AFORK_N_EFFECTS) - 1,
  ALL_FLAGS = AFORK_CONFINEMENT_BEST_EFFORT | AFORK_CONFINEMENT_NO_EXEC,
  ALL_NAMESPACES = 2 * AFORK_NAMESPACE_UTS - 1,
  MAX_NICE = 19,
  MAX_OOM_SCORE = 1000,
};

const char *
afork_effect_name (uint32_t effect)
{
  static const char * const names[AFORK_N_EFFECTS] = {
    "memory",
    "cpu-time",
    "open-files",
    "file-size",
    "processes",
    "core-size",
    "priority",
    "network",
    "read-paths",
    "write-paths",
    "system-calls",
    "new-processes",
    "other-processes",
  };

  for (unsigned i = 0; i < AFORK_N_EFFECTS; i++)
    if (effect == UINT32_C (1) << i)
      return names[i];

  return NULL;
}

const char *
afork_layer_name (AForkLayer layer)
{
  static const char * const names[AFORK_N_LAYERS] = {
    [AFORK_LAYER_LIMITS] = "rlimits",
    [AFORK_LAYER_PRIORITY] = "priority",
    [AFORK_LAYER_NO_NEW_PRIVS] = "no-new-privs",
    [AFORK_LAYER_SECCOMP] = "seccomp",
    [AFORK_LAYER_LANDLOCK] = "landlock",
    [AFORK_LAYER_SUPERVISOR] = "seccomp-supervisor",
    [AFORK_LAYER_NAMESPACES] = "namespaces",
  };

  return (unsigned) layer < AFORK_N_LAYERS ? names[layer] : NULL;
}

const char *
afork_layer_state_text (AForkLayerState state)
{
  switch (state)
    {
    case AFORK_LAYER_STATE_UNUSED:
      return "not asked for";
    case AFORK_LAYER_STATE_IN_FORCE:
      return "in force";
    case AFORK_LAYER_STATE_NOT_BUILT:
      return "not built into the library";
    case AFORK_LAYER_STATE_NOT_BINDING:
      return "not enforced for root";
    case AFORK_LAYER_STATE_TOO_OLD:
      return "too old in this kernel";
    case AFORK_LAYER_STATE_THREADS:
      return "not for a process that has other threads";
    default:
      return NULL;
    }
}

/* Reading. */

/* Reads a value that is less than LIMIT. */
static uint32_t
read_below (AForkReader *reader,
            uint32_t     limit)
{
  uint32_t value = afork_read_u32 (reader);

  if (value < limit)
    return value;

  reader->failed = true;
  return 0;
}

static uint32_t
read_flags (AForkReader *reader,
            uint32_t     known)
{
  uint32_t value = afork_read_u32 (reader);

  if ((value & ~known) != 0)
    reader->failed = true;
  return value & known;
}

static void
read_limit (AForkReader      *reader,
            AForkConfinement *confinement)
{
  AForkLimitValue *limit = &confinement->limits[read_below (reader, AFORK_N_LIMITS)];

  limit->set = true;
  limit->soft = afork_read_integer (reader, 8);
  limit->hard = afork_read_integer (reader, 8);
  if (limit->soft > limit->hard)
    reader->failed = true;
}

static void
read_filter (AForkReader      *reader,
             AForkConfinement *confinement)
{
  AForkFilter filter = {
    .stage = (AForkStage) read_below (reader, AFORK_N_STAGES),
    .gives = read_flags (reader, ALL_EFFECTS),
    .architecture = afork_read_u32 (reader),
  };

  if (confinement->n_filters == AFORK_MAX_FILTERS || reader->n_bytes == 0
      || reader->n_bytes % AFORK_INSTRUCTION_SIZE != 0
      || reader->n_bytes / AFORK_INSTRUCTION_SIZE > AFORK_MAX_INSTRUCTIONS)
    {
      reader->failed = true;
      return;
    }

  filter.n_instructions = (uint32_t) (reader->n_bytes / AFORK_INSTRUCTION_SIZE);
  filter.instructions = afork_read_bytes (reader, reader->n_bytes);
  confinement->filters[confinement->n_filters++] = filter;
}

/* Whether a string of LENGTH bytes is an absolute path. */
static bool
is_path (const uint8_t *bytes,
         size_t         length)
{
  return length > 0 && bytes[0] == '/' && memchr (bytes, '\0', length + 1) == bytes + length;
}

static void
read_paths (AForkReader      *reader,
            AForkConfinement *confinement)
{
  uint32_t access = read_below (reader, 2);
  AForkStrings paths = { .bytes = reader->bytes, .n_bytes = reader->n_bytes };

  while (reader->n_bytes > 0 && !reader->failed)
    {
      uint32_t length = read_below (reader, AFORK_MAX_PATH_LENGTH + 1);
      const uint8_t *bytes = afork_read_bytes (reader, (size_t) length + 1);

      if (bytes == NULL || !is_path (bytes, length) || paths.n_strings == AFORK_MAX_PATHS)
        reader->failed = true;
      paths.n_strings++;
    }

  if (confinement->has_paths[access])
    reader->failed = true;
  confinement->has_paths[access] = true;
  confinement->paths[access] = paths;
}

static void
read_missing (AForkReader      *reader,
              AForkConfinement *confinement)
{
  uint32_t layer = read_below (reader, AFORK_N_LAYERS);

  confinement->missing[layer] = (AForkLayerState) read_below (reader, AFORK_N_LAYER_STATES);
}

static void
read_record (AForkReader      *reader,
             RecordKind        kind,
             AForkConfinement *confinement)
{
  switch (kind)
    {
    case RECORD_LIMIT:
      read_limit (reader, confinement);
      break;
    case RECORD_NICE:
      confinement->nice = read_below (reader, MAX_NICE + 1);
      break;
    case RECORD_IDLE:
      confinement->idle = true;
      break;
    case RECORD_OOM_SCORE:
      confinement->oom_score = read_below (reader, MAX_OOM_SCORE + 1);
      break;
    case RECORD_FILTER:
      read_filter (reader, confinement);
      break;
    case RECORD_PATHS:
      read_paths (reader, confinement);
      break;
    case RECORD_NAMESPACES:
      confinement->namespaces = read_flags (reader, ALL_NAMESPACES);
      break;
    case RECORD_MISSING:
      read_missing (reader, confinement);
      break;
    default:
      reader->failed = true;
      break;
    }

  if (reader->n_bytes > 0)
    reader->failed = true;
}

bool
afork_confinement_parse (const uint8_t     *bytes,
                         size_t             n_bytes,
                         AForkConfinement  *confinement,
                         const char       **why)
{
  AForkReader reader = { .bytes = bytes, .n_bytes = n_bytes };
  uint32_t version = afork_read_u32 (&reader);

  memset (confinement, 0, sizeof *confinement);
  *why = NULL;
  confinement->flags = read_flags (&reader, ALL_FLAGS);
  confinement->wanted = read_flags (&reader, ALL_EFFECTS);
  if (reader.failed)
    *why = "a description of a sandbox has a header that is not known";
  else if (version != AFORK_CONFINEMENT_VERSION)
    *why = "a description of a sandbox is of another version";

  while (*why == NULL && reader.n_bytes > 0)
    {
      RecordKind kind = (RecordKind) afork_read_integer (&reader, 4);
      AForkReader record = { 0 };

      record.n_bytes = (size_t) afork_read_integer (&reader, 4);
      record.bytes = afork_read_bytes (&reader, record.n_bytes);
      record.failed = reader.failed;
      if (!record.failed)
        read_record (&record, kind, confinement);
      if (record.failed)
        *why = "a record in the description of a sandbox is not valid";
    }

  return *why == NULL;
}

/* Writing. With OUT of NULL, only the sizes are added up. */

typedef struct
{
  uint8_t *out;
  size_t   size;
} Writer;

static void
write_integer (Writer   *writer,
               uint64_t  value,
               size_t    width)
{
  for (size_t i = 0; writer->out != NULL && i < width; i++)
    writer->out[writer->size + i] = (uint8_t) (value >> 8 * i);

  writer->size += width;
}

static void
write_bytes (Writer     *writer,
             const void *bytes,
             size_t      n_bytes)
{
  if (writer->out != NULL && n_bytes > 0)
    memcpy (writer->out + writer->size, bytes, n_bytes);

  writer->size += n_bytes;
}

static void
write_record (Writer     *writer,
              RecordKind  kind,
              size_t      size)
{
  write_integer (writer, kind, 4);
  write_integer (writer, size, 4);
}

static void
write_limit (Writer                *writer,
             AForkLimit             limit,
             const AForkLimitValue *value)
{
  write_record (writer, RECORD_LIMIT, 4 + 8 + 8);
  write_integer (writer, limit, 4);
  write_integer (writer, value->soft, 8);
  write_integer (writer, value->hard, 8);
}

static void
write_filter (Writer            *writer,
              const AForkFilter *filter)
{
  size_t n_bytes = (size_t) filter->n_instructions * AFORK_INSTRUCTION_SIZE;

  write_record (writer, RECORD_FILTER, 4 + 4 + 4 + n_bytes);
  write_integer (writer, filter->stage, 4);
  write_integer (writer, filter->gives, 4);
  write_integer (writer, filter->architecture, 4);
  write_bytes (writer, filter->instructions, n_bytes);
}

static void
write_numbers (Writer     *writer,
               RecordKind  kind,
               size_t      n_numbers,
               uint32_t    first,
               uint32_t    second)
{
  write_record (writer, kind, 4 * n_numbers);
  write_integer (writer, first, 4);
  if (n_numbers == 2)
    write_integer (writer, second, 4);
}

static void
write_confinement (const AForkConfinement *confinement,
                   Writer                 *writer)
{
  write_integer (writer, AFORK_CONFINEMENT_VERSION, 4);
  write_integer (writer, confinement->flags, 4);
  write_integer (writer, confinement->wanted, 4);
  for (unsigned i = 0; i < AFORK_N_LIMITS; i++)
    if (confinement->limits[i].set)
      write_limit (writer, (AForkLimit) i, &confinement->limits[i]);
  if (confinement->nice != 0)
    write_numbers (writer, RECORD_NICE, 1, confinement->nice, 0);
  if (confinement->idle)
    write_record (writer, RECORD_IDLE, 0);
  if (confinement->oom_score != 0)
    write_numbers (writer, RECORD_OOM_SCORE, 1, confinement->oom_score, 0);
  for (unsigned i = 0; i < confinement->n_filters; i++)
    write_filter (writer, &confinement->filters[i]);
  for (unsigned i = 0; i < 2; i++)
    if (confinement->has_paths[i])
      {
        write_record (writer, RECORD_PATHS, 4 + confinement->paths[i].n_bytes);
        write_integer (writer, i, 4);
        write_bytes (writer, confinement->paths[i].bytes, confinement->paths[i].n_bytes);
      }
  if (confinement->namespaces != 0)
    write_numbers (writer, RECORD_NAMESPACES, 1, confinement->namespaces, 0);
  for (unsigned i = 0; i < AFORK_N_LAYERS; i++)
    if (confinement->missing[i] != AFORK_LAYER_STATE_UNUSED)
      write_numbers (writer, RECORD_MISSING, 2, i, confinement->missing[i]);
}

size_t
afork_confinement_size (const AForkConfinement *confinement)
{
  Writer writer = { 0 };

  write_confinement (confinement, &writer);
  return writer.size;
}

void
afork_confinement_write (const AForkConfinement *confinement,
                         uint8_t                *out)
{
  Writer writer = { .out = out };

  write_confinement (confinement, &writer);
}

/* The report. */

/* Whether a layer in STATE may give effects: all that were asked for, or some. */
static bool
may_give (AForkLayerState state)
{
  return state == AFORK_LAYER_STATE_IN_FORCE || state == AFORK_LAYER_STATE_NOT_BINDING
    || state == AFORK_LAYER_STATE_TOO_OLD;
}

bool
afork_confinement_report_parse (const uint8_t          *bytes,
                                size_t                  n_bytes,
                                AForkConfinementReport *report)
{
  AForkReader reader = { .bytes = bytes, .n_bytes = n_bytes };

  memset (report, 0, sizeof *report);
  report->wanted = read_flags (&reader, ALL_EFFECTS);
  if (afork_read_u32 (&reader) != AFORK_N_LAYERS)
    return false;

  for (unsigned i = 0; i < AFORK_N_LAYERS; i++)
    {
      AForkLayerReport *layer = &report->layers[i];

      layer->state = (AForkLayerState) read_below (&reader, AFORK_N_LAYER_STATES);
      layer->error = afork_read_u32 (&reader);
      layer->gives = read_flags (&reader, ALL_EFFECTS);
      if (layer->gives != 0 && !may_give (layer->state))
        return false;
    }

  return !reader.failed && reader.n_bytes == 0;
}

void
afork_confinement_report_write (const AForkConfinementReport *report,
                                uint8_t                      *out)
{
  Writer writer = { .out = out };

  write_integer (&writer, report->wanted, 4);
  write_integer (&writer, AFORK_N_LAYERS, 4);
  for (unsigned i = 0; i < AFORK_N_LAYERS; i++)
    {
      write_integer (&writer, report->layers[i].state, 4);
      write_integer (&writer, report->layers[i].error, 4);
      write_integer (&writer, report->layers[i].gives, 4);
    }
}

uint32_t
afork_confinement_report_had (const AForkConfinementReport *report)
{
  uint32_t had = 0;

  for (unsigned i = 0; i < AFORK_N_LAYERS; i++)
    had |= report->layers[i].gives;
  return had & report->wanted;
}
