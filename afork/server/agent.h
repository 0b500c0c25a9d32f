/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* afork-server --agent: the far side of a connection to another host. */

#pragma once

/* Serves a relay at standard input and output, and ends the process. It is the parent of the
 * servers that the relay asks for. When the input ends, or nothing is heard of the relay for the
 * time that it has set, all processes here are ended. Not async-signal-safe. */
void afork_agent (void) __attribute__ ((noreturn));
