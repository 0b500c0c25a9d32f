/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/**
 * What a worker module in C includes. It needs nothing else: no GLib, no library to link.
 *
 * A worker module is a shared object, loaded into a process by its path or by its name:
 *
 *     cc -shared -fPIC -o upper.so upper.c $(pkg-config --cflags afork-1)
 *
 * Code that is evaluated, and so compiled in the process itself, may include this as well.
 *
 * Functions of it that the caller names are entered in a process of their own, with one thread.
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

/** What an item is: bytes, a string among them, or a descriptor. */
typedef enum
{
  AFORK_ITEM_BYTES,
  AFORK_ITEM_FD
} AForkItemKind;

/**
 * One thing that the caller queued for the function.
 *
 * Bytes: `data` points to `size` bytes, behind which stands a NUL that `size` does not count, so
 * that a string can be used as it is; `fd` is -1. Descriptor: `fd` is open and close-on-exec;
 * `data` is NULL and `size` 0. Both are the function's to use until it returns, and it may close
 * the descriptor.
 */
typedef struct
{
  AForkItemKind  kind;
  int            fd;
  const char    *data;
  size_t         size;
} AForkItem;

/**
 * A function that is run: it gets `socket`, which is connected to the caller, blocking and
 * close-on-exec, and the `n_items` items in the order in which they were queued, those of the
 * templates first. When it returns, what it has printed is written, and the process exits with
 * status 0. Exit handlers and destructors run only if the process was executed and not forked, for
 * a fork must not undo what is its template's; a function that wants them calls exit().
 */
typedef void (*AForkRunFunc) (int              socket,
                              const AForkItem *items,
                              size_t           n_items);

/**
 * A function that is called while a process is being prepared: it gets the `argc` strings that the
 * caller gave, without a program's name before them, and NULL behind them, all good until it
 * returns. What it leaves behind in the process, all forks of the process inherit. It must not
 * leave a thread running, for a process with a second thread is not forked.
 *
 * One that is named `afork_eval_init`, in code that is evaluated, is called when that has been
 * compiled, with the strings that came with the code.
 */
typedef void (*AForkInitFunc) (int                 argc,
                               const char * const *argv);

/**
 * Takes the items that have been queued so far, in a function that is called while a process is
 * being prepared: returns `*n_items` of them, in the order in which they were queued, and the
 * function that is run later gets only what is queued after this. The items are the process's
 * until it ends, not to be freed, and are forked with it; their descriptors may be closed. Where
 * there are none, as in a function that is run, which has got them already, `*n_items` is 0, and
 * what is returned is not to be looked at. To be called in the process's first thread. `n_items`
 * must not be NULL.
 */
AFORK_WORKER_EXPORT const AForkItem *afork_worker_take_items (size_t *n_items);

/**
 * Finds a function by name as the caller's calls do: `SYMBOL`, in the newest module that has it, or
 * `MODULE:SYMBOL`. It is for libraries whose own protocol names functions. Returns NULL if there is
 * none, and then writes why, as a sentence without an end, to the `size` bytes at `why`, unless
 * `why` is NULL.
 */
AFORK_WORKER_EXPORT void *afork_worker_find_function (const char *function,
                                                      char       *why,
                                                      size_t      size);

#ifdef __cplusplus
}
#endif
