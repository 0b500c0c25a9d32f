/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/**
 * The header for worker modules in C. They need nothing else: neither GLib nor a library to link.
 *
 * A worker module is a shared object that a process loads by its path or its name:
 *
 *     cc -shared -fPIC -o upper.so upper.c $(pkg-config --cflags afork-1)
 *
 * Code that is evaluated, which the process compiles itself, may include this header, too.
 *
 * A function that the caller names runs in its own process, which has one thread.
 */

#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined (__GNUC__)
# define AFORK_WORKER_EXPORT __attribute__ ((visibility ("default"), used))
#else
# define AFORK_WORKER_EXPORT
#endif

/** The kind of an item: bytes, which may be a string, or a descriptor. */
typedef enum
{
  AFORK_ITEM_BYTES,
  AFORK_ITEM_FD
} AForkItemKind;

/**
 * An item that the caller has queued for the function.
 *
 * Bytes: `data` points to `size` bytes and a NUL that `size` does not count, so that a string can
 * be used as it is; `fd` is -1. `is_string` is 1 if the caller has queued it as a string, and
 * otherwise 0. Descriptor: `fd` is open and close-on-exec; `data` is NULL and `size` is 0. The
 * function may use both until it returns, and may close the descriptor.
 */
typedef struct
{
  AForkItemKind  kind;
  int            fd;
  const char    *data;
  size_t         size;
  int            is_string;
} AForkItem;

/**
 * A function that the process runs. It gets `socket`, which is connected to the caller, blocking
 * and close-on-exec, and `n_items` items in the order in which they were queued, those of templates
 * first. When it returns, output in stdio buffers is written and the process exits with status 0.
 * Exit handlers and destructors run only if the process was executed and not forked, because a fork
 * must not undo what its template has set up. A function that needs them calls exit().
 */
typedef void (*AForkRunFunc) (int              socket,
                              const AForkItem *items,
                              size_t           n_items);

/**
 * A function that is called before the process is run. It gets `argc` strings of the caller and
 * NULL after them, without the name of a program first; they are valid until it returns. Forks of
 * the process inherit what it leaves in the process. It must not leave a thread running, because a
 * process with a second thread is not forked.
 *
 * In code that is evaluated, a function named `afork_eval_init` is called after the code was
 * compiled, with the strings that came with the code.
 */
typedef void (*AForkInitFunc) (int                 argc,
                               const char * const *argv);

/**
 * Takes the items that have been queued so far, in a function that is called before the process is
 * run. Sets `*n_items` to their number and returns them in the order in which they were queued. The
 * function that runs later gets only items that are queued after this. They stay in memory until
 * the process ends, must not be freed, and forks of the process have them, too; their descriptors
 * may be closed. If there are none, for example because a function that is run has got them
 * already, `*n_items` is 0, and the result must not be used. Call this in the first thread of the
 * process. `n_items` must not be NULL.
 */
AFORK_WORKER_EXPORT const AForkItem *afork_worker_take_items (size_t *n_items);

/**
 * Finds a function by its name, as when the caller runs it: `SYMBOL` in the newest module that has
 * it, or `MODULE:SYMBOL`. This is for libraries with a protocol that names functions. Returns NULL
 * if there is no such function, and then writes the reason, without a full stop, to the `size`
 * bytes at `why`, unless `why` is NULL.
 */
AFORK_WORKER_EXPORT void *afork_worker_find_function (const char *function,
                                                      char       *why,
                                                      size_t      size);

#ifdef __cplusplus
}
#endif
