/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Memory. What a server allocates belongs to its process until that exits. */

#include "server-target.h"

static void *
track (Memory *memory,
       size_t  size)
{
  if (memory == NULL)
    return NULL;

  memory->size = size;
  memory->previous = &world.memory;
  memory->next = world.memory.next;
  world.memory.next->previous = memory;
  world.memory.next = memory;
  return memory + 1;
}

static Memory *
untrack (void *bytes)
{
  Memory *memory = (Memory *) bytes - 1;

  memory->previous->next = memory->next;
  memory->next->previous = memory->previous;
  return memory;
}

void *
world_malloc (size_t size)
{
  if (fails (0))
    return errno = ENOMEM, NULL;
  return track (malloc (sizeof (Memory) + size), size);
}

void *
world_calloc (size_t n,
              size_t size)
{
  void *bytes;

  if (n > 0 && size > SIZE_MAX / 2 / n)
    return errno = ENOMEM, NULL;
  bytes = world_malloc (n * size);
  return bytes != NULL ? memset (bytes, 0, n * size) : NULL;
}

/* Always moves the memory. */
void *
world_realloc (void   *bytes,
               size_t  size)
{
  void *moved = world_malloc (size);

  if (moved != NULL && bytes != NULL)
    {
      size_t old = ((Memory *) bytes - 1)->size;

      memcpy (moved, bytes, old < size ? old : size);
      free (untrack (bytes));
    }
  return moved;
}

char *
world_strdup (const char *string)
{
  size_t size = strlen (string) + 1;
  char *copy = world_malloc (size);

  return copy != NULL ? memcpy (copy, string, size) : NULL;
}

void
world_free (void *bytes)
{
  if (bytes != NULL)
    free (untrack (bytes));
}

void
free_all (void)
{
  while (world.memory.next != &world.memory)
    free (untrack (world.memory.next + 1));
}
