/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The parts of fuzz-call-stream, and the state that they share. */

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

/* The descriptors that can be sent. */
enum
{
  SAMPLE_SEGMENT,               /* as a sender makes it */
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
  bool              accepts;            /* it accepts segments */
  bool              sends_sealed;       /* it sends sealed blobs, and no segments */
  bool              has_failed;
  bool              has_ended;
  bool              is_right;           /* everything that was sent so far is correct */
  unsigned          n_right;            /* correct messages that were sent */
  unsigned          n_came;
  AForkCallMessage  messages[N_MESSAGES];

  int               fd;                 /* of the other end */
  Outbox            outbox;
  unsigned          n_fds;              /* the number of descriptors that were sent */
  unsigned          n_value_fds;        /* of these, for the next value */
  gsize             blobs[64];          /* the sizes of the blobs of the next value */
  unsigned          n_blobs;
  bool              is_blob_open;
  SegmentState      segments[N_SEGMENTS + 1];   /* by number */
  gsize             sizes[N_SEGMENTS + 1];
  SegmentState      answered[256];      /* the segments of the stream */
  unsigned          n_answers;
  unsigned          n_large_answers;
  uint8_t          *taken;              /* the bytes that the other end has read */
  size_t            n_taken;
} StreamWorld;

extern StreamWorld world;

/* fuzz-call-stream.c: the stream, which is made when it is first used. */
AForkCallStream *get_stream    (void);

/* call-stream-samples.c: what can be sent. */

enum { N_VALUES = 12 };

extern int       samples[N_SAMPLES];
/* In normal form. */
extern GVariant *values[N_VALUES];

void             make_samples  (void);
/* The size that it should announce. */
gsize            get_sample_size (unsigned which);

/* call-stream-put.c: sending to the stream. */

void             put_sample    (unsigned   which);
void             put_frame     (Step      *step);
