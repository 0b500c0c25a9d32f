/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Files of modules that came from another host. They are kept in a directory of the user, by the
 * SHA-256 of their content, for later processes.
 *
 * Each file there is read and compared before it is used. So a file that was cut or changed is
 * found, and replaced. The directory must belong to the user, and no other user may write to it. No
 * symbolic link in it is followed. Files that were not used for a month are deleted when another
 * one is added, and so are those of processes that ended before the file was complete. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "sha256.h"

/* A file that is looked for or received. */
typedef struct
{
  char        *name;            /* of the module, for messages and its functions */
  char         digest[AFORK_SHA256_TEXT_SIZE];
  uint64_t     size;
  int          directory;
  char        *path;            /* where the file is, or will be */
  const char  *file_name;       /* the end of PATH */
  int          fd;              /* what is received is written here, or -1 */
  char         temporary[48];   /* the name of that file, until it is complete */
  AForkSha256  sum;             /* of what was received */
  uint64_t     n_received;
} AForkCachedModule;

/* Looks for a file with the content that DIGEST says. NAME is the base name of its original. Sets
 * *FOUND to whether it is there; if not, the content has to be added. Returns NULL and sets the
 * failure if no file can be kept here. Not async-signal-safe. */
AForkCachedModule *afork_module_cache_open   (const char         *name,
                                              const char         *digest,
                                              uint64_t            size,
                                              bool               *found,
                                              AForkFailure       *failure);

/* Adds the next bytes of the content. Returns false and sets the failure if they cannot be kept, or
 * are more than the file has. Not async-signal-safe. */
bool               afork_module_cache_add    (AForkCachedModule  *self,
                                              const uint8_t      *bytes,
                                              size_t              n_bytes,
                                              AForkFailure       *failure);

/* All bytes have come. Returns false and sets the failure if they are not what the digest says, or
 * cannot be kept. Not async-signal-safe. */
bool               afork_module_cache_finish (AForkCachedModule  *self,
                                              AForkFailure       *failure);

/* Frees SELF, and deletes the file if it is not complete. Not async-signal-safe. */
void               afork_module_cache_free   (AForkCachedModule  *self);
