/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a fuzz target is to do, in bytes: one step behind the other, each an operation, the number
 * of its arguments, and these, one byte each. Any bytes at all are a script: an operation is taken
 * modulo how many there are, and what is missing counts as 0. */

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

/* Takes the next step off; false at the end. */
bool     script_next        (Script     *self,
                             unsigned    n_ops,
                             Step       *step);

/* Each takes arguments off. */
uint8_t  step_take          (Step       *self);
/* One argument, or several where it is said to be large. */
uint32_t step_take_number   (Step       *self);

/* The words that strings are made of, where they are not made of arguments; ends with NULL. */
extern const char * const script_words[];

/* Bytes to be sent, and the descriptors with the first of them. */
typedef struct
{
  uint8_t *bytes;
  size_t   n_bytes;
  size_t   capacity;
  int      fds[1024];
  size_t   n_fds;
} Outbox;

/* A frame of KIND, made of what is left of the step's arguments; its string, if it is to have one,
 * may be given. */
void     outbox_add_frame   (Outbox     *self,
                             AForkFrame *frame,
                             Step       *step);
void     outbox_add_bytes   (Outbox     *self,
                             const void *bytes,
                             size_t      n_bytes);
/* Adds FD, which stays the caller's. False if there are too many. */
bool     outbox_add_fd      (Outbox     *self,
                             int         fd);
/* Sends of the first N_BYTES what there is room for. */
void     outbox_send        (Outbox     *self,
                             int         socket,
                             size_t      n_bytes);
void     outbox_clear       (Outbox     *self);

/* For the mutator: what operations there are. */
typedef struct
{
  const char *args;             /* how many a new one gets, and which: see script-mutate.c */
  unsigned    weight;           /* how often it is made, as compared to others */
} ScriptOp;

typedef struct
{
  const ScriptOp      *ops;
  unsigned             n_ops;
  const char * const  *phrases; /* steps that belong together, as there; ends with NULL */
} ScriptGrammar;

extern const ScriptGrammar script_grammar;
