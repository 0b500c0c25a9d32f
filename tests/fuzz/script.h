/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a fuzz target does, as bytes: a sequence of steps, each of which is an operation, the number
 * of its arguments, and the arguments, one byte each. Any bytes are a script: an operation is taken
 * modulo the number of operations, and missing arguments are 0. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <afork/wire/afork-frame.h>

enum { SCRIPT_MAX_ARGS = 63 };

typedef struct
{
  const uint8_t *bytes;
  size_t         n_bytes;
} Script;

typedef struct
{
  uint8_t        op;
  const uint8_t *args;
  size_t         n_args;
} Step;

/* Takes the next step. Returns false at the end. */
bool     script_next        (Script     *self,
                             unsigned    n_ops,
                             Step       *step);

/* Each of these takes arguments. */
uint8_t  step_take          (Step       *self);
/* One argument, or several if it is marked as large. */
uint32_t step_take_number   (Step       *self);

/* The words that strings are made of, unless they are made of arguments. Ends with NULL. */
extern const char * const script_words[];

/* Bytes to be sent, and the descriptors that are sent with the first of them. */
typedef struct
{
  uint8_t *bytes;
  size_t   n_bytes;
  size_t   capacity;
  int      fds[1024];
  size_t   n_fds;
} Outbox;

/* Adds a frame of KIND, made of the remaining arguments of the step. Its string may be given. */
void     outbox_add_frame   (Outbox     *self,
                             AForkFrame *frame,
                             Step       *step);
/* Adds a frame of which all is given. */
void     outbox_add_whole_frame (Outbox           *self,
                                 const AForkFrame *frame);
void     outbox_add_bytes   (Outbox     *self,
                             const void *bytes,
                             size_t      n_bytes);
/* Adds FD, which stays the caller's. Returns false if there are too many. */
bool     outbox_add_fd      (Outbox     *self,
                             int         fd);
/* Sends as many of the first N_BYTES as there is room for. */
void     outbox_send        (Outbox     *self,
                             int         socket,
                             size_t      n_bytes);
void     outbox_clear       (Outbox     *self);

/* For the mutator: the operations. */
typedef struct
{
  const char *args;             /* the arguments of a new one: see script-mutate.c */
  unsigned    weight;           /* how often it is made, compared to others */
} ScriptOp;

typedef struct
{
  const ScriptOp      *ops;
  unsigned             n_ops;
  const char * const  *phrases; /* steps that belong together; ends with NULL */
} ScriptGrammar;

extern const ScriptGrammar script_grammar;
