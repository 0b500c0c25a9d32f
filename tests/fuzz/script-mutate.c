/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* How libFuzzer changes a script: by steps and not by bytes, except for some changes of any bytes.
 *
 * The args of a ScriptOp are the arguments of a new step, one character each: a digit: less than
 * it; n: a number, mostly small; *: any; s: begins a string; .: some more of any. A phrase is a
 * sequence of operations by number, each with its arguments as numbers after commas, and a
 * semicolon after it. A `?` stands for any argument. */

#include "script.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate          (uint8_t       *bytes,
                                  size_t         n_bytes,
                                  size_t         max_bytes);
size_t LLVMFuzzerCustomMutator   (uint8_t       *bytes,
                                  size_t         n_bytes,
                                  size_t         max_bytes,
                                  unsigned       seed);
size_t LLVMFuzzerCustomCrossOver (const uint8_t *one,
                                  size_t         n_one,
                                  const uint8_t *other,
                                  size_t         n_other,
                                  uint8_t       *out,
                                  size_t         max_bytes,
                                  unsigned       seed);

static uint64_t random_state;

static unsigned
get_random (size_t below)
{
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (unsigned) ((random_state * UINT64_C (2685821657736338717) >> 33) % below);
}

static void
seed_random (unsigned seed)
{
  random_state = seed * UINT64_C (0x9e3779b97f4a7c15) + 1;
}

static uint8_t
get_random_byte (void)
{
  static const uint8_t favourites[] = { 0, 1, 2, 3, 4, 7, 8, 0x7f, 0x80, 0xf0, 0xf8, 0xfe, 0xff };

  return get_random (2) > 0 ? (uint8_t) get_random (256)
                            : favourites[get_random (sizeof favourites)];
}

/* Where the steps begin; the last entry is the end. */
enum { MAX_STEPS = 4096 };

typedef struct
{
  size_t at[MAX_STEPS + 1];
  size_t n_steps;
} Map;

static void
map_steps (Map           *map,
           const uint8_t *bytes,
           size_t         n_bytes)
{
  Script script = { bytes, n_bytes };
  Step step;

  map->n_steps = 0;
  map->at[0] = 0;
  while (map->n_steps < MAX_STEPS && script_next (&script, script_grammar.n_ops, &step))
    map->at[++map->n_steps] = n_bytes - script.n_bytes;
}

static uint8_t
make_arg (char kind)
{
  if (isdigit ((unsigned char) kind) && kind > '0')
    return (uint8_t) get_random ((size_t) (kind - '0'));
  if (kind == 'n' || kind == 's')
    return get_random (8) > 0 ? (uint8_t) get_random (32) : get_random_byte ();

  return get_random_byte ();
}

static size_t
make_step (uint8_t *out)
{
  unsigned total = 0, chosen;
  unsigned op = 0;
  size_t n_args = 0;

  for (unsigned i = 0; i < script_grammar.n_ops; i++)
    total += script_grammar.ops[i].weight;
  chosen = get_random (total);
  while (chosen >= script_grammar.ops[op].weight)
    chosen -= script_grammar.ops[op++].weight;

  out[0] = (uint8_t) op;
  for (const char *kind = script_grammar.ops[op].args; *kind != '\0'; kind++)
    if (*kind != '.')
      out[2 + n_args++] = make_arg (*kind);
    else
      for (unsigned i = get_random (12); i > 0; i--)
        out[2 + n_args++] = make_arg ('s');
  out[1] = (uint8_t) n_args;
  return 2 + n_args;
}

static size_t
make_phrase (uint8_t *out,
             size_t   size)
{
  size_t n_phrases = 0, n_bytes = 0;
  const char *at;

  while (script_grammar.phrases[n_phrases] != NULL)
    n_phrases++;
  at = script_grammar.phrases[get_random (n_phrases)];

  while (*at != '\0' && n_bytes + 2 + SCRIPT_MAX_ARGS <= size)
    {
      char *end;
      size_t start = n_bytes;

      out[n_bytes] = (uint8_t) strtoul (at, &end, 10);
      n_bytes += 2;
      for (at = end; *at == ','; at = end)
        {
          bool any = at[1] == '?';

          out[n_bytes++] = any ? make_arg ('n') : (uint8_t) strtoul (at + 1, &end, 10);
          if (any)
            end = (char *) at + 2;
        }
      out[start + 1] = (uint8_t) (n_bytes - start - 2);
      at += *at == ';';
    }

  return n_bytes;
}

/* Replaces the bytes from FROM to TO by INSERTED. Returns the new size. */
static size_t
replace (uint8_t       *bytes,
         size_t         n_bytes,
         size_t         max_bytes,
         size_t         from,
         size_t         to,
         const uint8_t *inserted,
         size_t         n_inserted)
{
  if (n_bytes - (to - from) + n_inserted > max_bytes)
    return n_bytes;

  memmove (bytes + from + n_inserted, bytes + to, n_bytes - to);
  memcpy (bytes + from, inserted, n_inserted);
  return n_bytes - (to - from) + n_inserted;
}

static size_t
mutate_args (uint8_t *bytes,
             size_t   n_bytes,
             size_t   max_bytes,
             size_t   from,
             size_t   to)
{
  uint8_t step[2 + SCRIPT_MAX_ARGS];
  size_t n_args = to - from < 2 ? 0 : to - from - 2;

  if (to - from < 2)
    return n_bytes;

  memcpy (step, bytes + from, to - from);
  if (get_random (2) > 0 && n_args > 0)
    step[2 + get_random (n_args)] = get_random_byte ();
  else
    n_args = LLVMFuzzerMutate (step + 2, n_args, SCRIPT_MAX_ARGS);
  step[1] = (uint8_t) n_args;
  return replace (bytes, n_bytes, max_bytes, from, to, step, 2 + n_args);
}

static size_t
mutate_once (uint8_t *bytes,
             size_t   n_bytes,
             size_t   max_bytes)
{
  uint8_t made[1024];
  static Map map;
  size_t a, b, n_made;

  map_steps (&map, bytes, n_bytes);
  a = get_random (map.n_steps + 1);
  b = map.n_steps > 0 ? get_random (map.n_steps) : 0;

  switch (map.n_steps > 0 ? get_random (12) : 0)
    {
    case 0:
    case 1:
    case 2:
      n_made = make_step (made);
      return replace (bytes, n_bytes, max_bytes, map.at[a], map.at[a], made, n_made);
    case 3:
    case 4:
      n_made = make_phrase (made, sizeof made);
      return replace (bytes, n_bytes, max_bytes, map.at[a], map.at[a], made, n_made);
    case 5:
      return replace (bytes, n_bytes, max_bytes, map.at[b], map.at[b + 1], made, 0);
    case 6:
      n_made = map.at[b + 1] - map.at[b];
      memcpy (made, bytes + map.at[b], n_made);
      return replace (bytes, n_bytes, max_bytes, map.at[a], map.at[a], made, n_made);
    case 7:
      n_made = make_step (made);
      return replace (bytes, n_bytes, max_bytes, map.at[b], map.at[b + 1], made, n_made);
    case 8:
      return LLVMFuzzerMutate (bytes, n_bytes, max_bytes);
    default:
      return mutate_args (bytes, n_bytes, max_bytes, map.at[b], map.at[b + 1]);
    }
}

size_t
LLVMFuzzerCustomMutator (uint8_t  *bytes,
                         size_t    n_bytes,
                         size_t    max_bytes,
                         unsigned  seed)
{
  seed_random (seed);
  for (unsigned i = 1 + get_random (4); i > 0; i--)
    n_bytes = mutate_once (bytes, n_bytes, max_bytes);

  return n_bytes > 0 ? n_bytes : 1;
}

/* The first steps of one script, and the last of another. */
size_t
LLVMFuzzerCustomCrossOver (const uint8_t *one,
                           size_t         n_one,
                           const uint8_t *other,
                           size_t         n_other,
                           uint8_t       *out,
                           size_t         max_bytes,
                           unsigned       seed)
{
  static Map map;
  size_t n_first, from, n_second;

  seed_random (seed);
  map_steps (&map, one, n_one);
  n_first = map.at[get_random (map.n_steps + 1)];
  map_steps (&map, other, n_other);
  from = map.at[get_random (map.n_steps + 1)];
  n_second = n_other - from;

  n_first = n_first < max_bytes ? n_first : max_bytes;
  n_second = n_second < max_bytes - n_first ? n_second : max_bytes - n_first;
  memcpy (out, one, n_first);
  memcpy (out + n_first, other + from, n_second);
  return n_first + n_second > 0 ? n_first + n_second : 1;
}
