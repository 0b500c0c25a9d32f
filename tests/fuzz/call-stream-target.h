/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The parts of fuzz-call-stream, and the world that they have in common. */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <afork/stream/call-stream.h>

#include "fd-table.h"
#include "script.h"

enum
{
  MAX_TAKEN = 1024 * 1024,
  N_MESSAGES = 8,
  N_SEGMENTS = 8,
  N_WORDS = 6,                  /* in script_words */
  PAGE = 4096,
};

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

typedef enum { SEGMENT_NONE, SEGMENT_IDLE, SEGMENT_IN_USE } SegmentState;

typedef struct
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
} StreamWorld;

extern StreamWorld world;

/* fuzz-call-stream.c: the stream, which begins when it is first asked for. */
AForkCallStream *get_stream    (void);

/* call-stream-samples.c: what may be sent. */

enum { N_VALUES = 12 };

extern int       samples[N_SAMPLES];
/* In normal form. */
extern GVariant *values[N_VALUES];

void             make_samples  (void);
/* How many bytes one is to say that it has. */
gsize            get_sample_size (unsigned which);

/* call-stream-put.c: what is sent to the stream. */

void             put_sample    (unsigned   which);
void             put_frame     (Step      *step);
