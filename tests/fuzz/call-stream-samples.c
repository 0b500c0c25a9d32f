/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Correct and incorrect descriptors and values that are sent to the stream. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "call-stream-target.h"

static const struct { gsize size; int seals; } memories[] = {
  [SAMPLE_SEGMENT] = { PAGE, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL },
  [SAMPLE_LARGE_SEGMENT] = { 16 * PAGE,
                             F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL },
  [SAMPLE_SEALED] = { 100, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL },
  [SAMPLE_LARGE_SEALED] = { 5 * PAGE, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE },
  [SAMPLE_UNSEALED] = { PAGE, F_SEAL_SHRINK | F_SEAL_GROW },
  [SAMPLE_HOLES] = { 2 * PAGE, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL },
};

int samples[N_SAMPLES];

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

/* The correct values. */

GVariant *values[N_VALUES];

static void
make_values (void)
{
  static const char * const texts[N_VALUES] = {
    "()", "uint32 7", "'text'", "['a', '', 'some']", "{'key': <uint32 7>}", "<<<true>>>",
    "@mms just just 'text'", "b'bytes'", "[uint16 1, 2]", "@(h) (0,)", "@a(yv) [(1, <'a'>)]",
    "@(syau) ('a', 7, [])",
  };

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    values[i] = g_variant_ref_sink (g_variant_new_parsed (texts[i]));
}

gsize
get_sample_size (unsigned which)
{
  return which < G_N_ELEMENTS (memories) ? memories[which].size : PAGE;
}

void
make_samples (void)
{
  int ends[2];

  for (unsigned i = 0; i < G_N_ELEMENTS (memories); i++)
    samples[i] = make_memory (i);
  if (pipe2 (ends, O_CLOEXEC) < 0)
    die ("there is no pipe: %s", strerror (errno));
  samples[SAMPLE_PIPE] = ends[0];
  samples[SAMPLE_FILE] = open ("/dev/null", O_RDWR | O_CLOEXEC);
  make_values ();
}
