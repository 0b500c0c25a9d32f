/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "objects.h"

#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns whether the object has code at OFFSET from its start. */
static bool
has_code (const struct dl_phdr_info *info,
          uint64_t                   offset)
{
  for (int i = 0; i < info->dlpi_phnum; i++)
    {
      const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

      if (segment->p_type == PT_LOAD
          && (segment->p_flags & PF_X) != 0
          && offset >= segment->p_vaddr
          && offset - segment->p_vaddr < segment->p_memsz)
        return true;
    }

  return false;
}

/* Looks for a build ID among NOTES, which follow each other, their names and descriptions padded to
 * ALIGNMENT. Returns whether it has set ID. */
static bool
find_id_in_notes (const char *notes,
                  size_t      size,
                  size_t      alignment,
                  char        id[AFORK_OBJECT_ID_SIZE])
{
  const ElfW(Nhdr) *note;

  for (size_t place = 0; place + sizeof *note <= size;)
    {
      size_t name = place + sizeof *note;
      size_t description, end;

      note = (const void *) (notes + place);
      description = (name + note->n_namesz + alignment - 1) & ~(alignment - 1);
      end = description + note->n_descsz;
      if (end > size)
        return false;

      if (note->n_type == NT_GNU_BUILD_ID
          && note->n_namesz == sizeof ELF_NOTE_GNU
          && memcmp (notes + name, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0
          && note->n_descsz <= (AFORK_OBJECT_ID_SIZE - 1) / 2)
        {
          for (size_t i = 0; i < note->n_descsz; i++)
            sprintf (id + 2 * i, "%02x", (unsigned char) notes[description + i]);
          return note->n_descsz > 0;
        }

      place = (end + alignment - 1) & ~(alignment - 1);
    }

  return false;
}

/* Writes the build ID of the object to ID. Returns false if it has none. */
static bool
get_id (const struct dl_phdr_info *info,
        char                       id[AFORK_OBJECT_ID_SIZE])
{
  for (int i = 0; i < info->dlpi_phnum; i++)
    {
      const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

      if (segment->p_type == PT_NOTE
          && find_id_in_notes ((const char *) (info->dlpi_addr + segment->p_vaddr),
                               segment->p_memsz, segment->p_align == 8 ? 8 : 4, id))
        return true;
    }

  return false;
}

typedef struct
{
  uintptr_t   address;          /* what to look for, or what was found; 0 if nothing was */
  char        id[AFORK_OBJECT_ID_SIZE];
  uint64_t    offset;
  bool        found;
} Search;

/* Is called for each object until it returns 1. */
static int
describe_cb (struct dl_phdr_info *info,
             size_t               size,
             void                *data)
{
  Search *search = data;

  (void) size;
  search->offset = search->address - info->dlpi_addr;
  if (search->address < info->dlpi_addr || !has_code (info, search->offset))
    return 0;

  search->found = get_id (info, search->id);
  return 1;
}

bool
afork_object_describe (const void *address,
                       char        id[AFORK_OBJECT_ID_SIZE],
                       uint64_t   *offset)
{
  Search search = { .address = (uintptr_t) address };

  dl_iterate_phdr (describe_cb, &search);
  if (!search.found)
    return false;

  memcpy (id, search.id, AFORK_OBJECT_ID_SIZE);
  *offset = search.offset;
  return true;
}

/* Is called for each object until it returns 1. */
static int
find_cb (struct dl_phdr_info *info,
         size_t               size,
         void                *data)
{
  Search *search = data;
  char id[AFORK_OBJECT_ID_SIZE];

  (void) size;
  if (!has_code (info, search->offset)
      || !get_id (info, id)
      || strcmp (id, search->id) != 0)
    return 0;

  search->address = info->dlpi_addr + (uintptr_t) search->offset;
  return 1;
}

void *
afork_object_find (const char *id,
                   uint64_t    offset)
{
  Search search = { .offset = offset };

  if (strlen (id) >= sizeof search.id)
    return NULL;

  strcpy (search.id, id);
  dl_iterate_phdr (find_cb, &search);
  return (void *) search.address;
}

const char *
afork_address_parse (const char *text,
                     char        id[AFORK_OBJECT_ID_SIZE],
                     uint64_t   *offset)
{
  size_t length = strcspn (text + 1, "+");
  char *end;

  id[0] = '\0';
  *offset = 0;
  if (length >= AFORK_OBJECT_ID_SIZE || text[1 + length] != '+')
    return text;

  memcpy (id, text + 1, length);
  id[length] = '\0';
  *offset = strtoull (text + 1 + length + 1, &end, 16);
  return *end == ' ' ? end + 1 : text;
}
