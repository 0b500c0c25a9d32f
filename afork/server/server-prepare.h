/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The commands that set a process up before it is run. Each that returns false has set the
 * failure. */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/afork-frame.h"

/* Returns NULL and sets the failure if there is no memory. The strings are FRAME's. Not
 * async-signal-safe. */
const char **afork_server_strings_to_array (AForkStrings      strings);

/* Returns whether a descriptor was mapped to FD. Async-signal-safe. */
bool         afork_server_is_mapped        (int               fd);

/* Leaves to a program that is executed 0, 1, 2, the descriptors that were mapped, and KEPT, unless
 * that is -1. Returns false and sets the failure if the program could get others. Not
 * async-signal-safe. */
bool         afork_server_hide_unmapped    (int               kept);

/* In a fork: opens the death pipe again, so that the kernel kills this process when the caller
 * ends, whatever other processes do with the pipe that they share. Async-signal-safe. */
void         afork_server_open_death_pipe  (void);

/* Returns whether the process may be forked: it has one thread. If not, sets the failure. Not
 * async-signal-safe. */
bool         afork_server_check_threads    (void);

/* Deletes what has come of a file whose rest will not come. Not async-signal-safe. */
void         afork_server_drop_file        (void);

/* The commands. None is async-signal-safe. */

bool         afork_serve_module_path       (const AForkFrame *frame);
bool         afork_serve_library           (const char       *path);
/* REQUIRE, REQUIRE_FILE, EVAL and CALL, which run code of a module. */
bool         afork_serve_module_code       (const AForkFrame *frame);
/* FILE, and each FILE_BYTES. The module is loaded when all bytes are there. */
bool         afork_serve_file              (const AForkFrame *frame);
bool         afork_serve_file_bytes        (const AForkFrame *frame);
/* FAIL: returns false. */
bool         afork_serve_fail              (const AForkFrame *frame);
bool         afork_serve_setenv            (const char       *name,
                                            const char       *value);
bool         afork_serve_chdir             (const char       *path);
bool         afork_serve_item_bytes        (const AForkFrame *frame);
bool         afork_serve_item_fds          (uint16_t          n_fds);
bool         afork_serve_map_fd            (int               target);
bool         afork_serve_death_pipe        (void);
