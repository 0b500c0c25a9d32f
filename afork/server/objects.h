/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Names of places in programs and shared objects, by which other processes find them. The functions
 * use the dynamic linker and are not async-signal-safe. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The size of a build ID in hexadecimal, with its NUL. Objects with equal build IDs are equal. */
enum { AFORK_OBJECT_ID_SIZE = 2 * 32 + 1 };

/* Sets ID to the build ID of the object that has code at ADDRESS, and OFFSET to the distance from
 * the start of the object. Returns false if there is no such object, or it has no build ID. */
bool  afork_object_describe (const void *address,
                             char        id[AFORK_OBJECT_ID_SIZE],
                             uint64_t   *offset);

/* Returns the address of the code at OFFSET in the object with build ID ID, which may come from
 * another process. Returns NULL if no such object is loaded, or it has no code there. */
void *afork_object_find     (const char *id,
                             uint64_t    offset);

/* An address as text takes the place of the name of a function: the mark, the build ID, "+", the
 * offset in hexadecimal, a space, and a name for messages. The build ID is empty if there is none.
 * No symbol begins with the mark. */
#define AFORK_ADDRESS_MARK '@'

/* Sets ID and OFFSET, and returns the name, which is a part of TEXT. If TEXT is no address, sets ID
 * to an empty string, and returns TEXT. */
const char *afork_address_parse (const char *text,
                                 char        id[AFORK_OBJECT_ID_SIZE],
                                 uint64_t   *offset);
