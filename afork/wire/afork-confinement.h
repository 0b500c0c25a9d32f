/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a process may do, as bytes: the payload of RESTRICT, which the caller writes, and that of
 * CONFINED, by which a worker reports what is in force.
 *
 * A caller asks for effects, such as that a worker has no network. A layer is a means of the
 * kernel, and may give several effects. An effect is had if one layer that gives it is in force.
 *
 * RESTRICT has a header and records, in any order. Integers are little-endian and of fixed width:
 *
 *   offset  size
 *   0       4     version, AFORK_CONFINEMENT_VERSION
 *   4       4     flags, AForkConfinementFlags
 *   8       4     wanted effects, AForkEffects
 *   12      …     records: u32 kind, u32 size of the rest, and the rest
 *
 * The rest of a record is, by its kind:
 *
 *   LIMIT       u32 AForkLimit, u64 soft limit, u64 hard limit
 *   NICE        u32 the nice value, from 1 to 19
 *   IDLE        nothing: the idle scheduling policy
 *   OOM_SCORE   u32 the value for oom_score_adj, from 1 to 1000
 *   FILTER      u32 AForkStage, u32 effects that it gives, u32 architecture (AUDIT_ARCH_…), and
 *               instructions: u16 code, u8 jump if true, u8 jump if false, u32 operand
 *   PATHS       u32 AForkPathAccess, and paths, each as in a frame. Without this record, all paths
 *               of that access are allowed; with no path, none is
 *   NAMESPACES  u32 AForkNamespaces
 *   MISSING     u32 AForkLayer, u32 AForkLayerState: a layer that the caller could not prepare
 *
 * CONFINED has the wanted effects as u32, the number of layers as u32, and for each layer u32
 * AForkLayerState, u32 errno value or 0, and u32 effects that it gives.
 *
 * These functions do no input or output and allocate no memory. They are async-signal-safe.
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "afork-frame.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AFORK_CONFINEMENT_VERSION 1

/* What a caller can ask for. afork_effect_name() has the names, which are public. */
typedef enum
{
  AFORK_EFFECT_MEMORY          = 1 << 0,    /* no more memory than the limit */
  AFORK_EFFECT_CPU_TIME        = 1 << 1,
  AFORK_EFFECT_OPEN_FILES      = 1 << 2,
  AFORK_EFFECT_FILE_SIZE       = 1 << 3,
  AFORK_EFFECT_PROCESSES       = 1 << 4,    /* no more processes of the user than the limit */
  AFORK_EFFECT_CORE_SIZE       = 1 << 5,
  AFORK_EFFECT_PRIORITY        = 1 << 6,    /* nice value, idle scheduling, score for the killer of
                                             * processes when memory is low */
  AFORK_EFFECT_NETWORK         = 1 << 7,    /* no sockets but those of AF_UNIX */
  AFORK_EFFECT_READ_PATHS      = 1 << 8,    /* only files beneath the read paths are opened to be
                                             * read or executed */
  AFORK_EFFECT_WRITE_PATHS     = 1 << 9,    /* only files beneath the write paths are opened to be
                                             * written, created or removed */
  AFORK_EFFECT_SYSTEM_CALLS    = 1 << 10,   /* none of the system calls that administer a system */
  AFORK_EFFECT_NEW_PROCESSES   = 1 << 11,   /* no process is made, and no program executed */
  AFORK_EFFECT_OTHER_PROCESSES = 1 << 12,   /* no other process is signalled, traced or read */
} AForkEffects;

enum { AFORK_N_EFFECTS = 13 };

/* The means. */
typedef enum
{
  AFORK_LAYER_LIMITS,         /* setrlimit(2) */
  AFORK_LAYER_PRIORITY,       /* setpriority(2), sched_setscheduler(2), oom_score_adj */
  AFORK_LAYER_NO_NEW_PRIVS,   /* gives no effect: the next two need it */
  AFORK_LAYER_SECCOMP,        /* the filters */
  AFORK_LAYER_LANDLOCK,       /* READ_PATHS and WRITE_PATHS; NETWORK if the ABI has all of it */
  AFORK_LAYER_SUPERVISOR,     /* the same, by user notification of seccomp, where there is no
                               * Landlock */
  AFORK_LAYER_NAMESPACES,     /* those of AForkNamespaces, and a root directory with little in it */
} AForkLayer;

enum { AFORK_N_LAYERS = 7 };

typedef enum
{
  AFORK_LAYER_STATE_UNUSED,       /* not asked for */
  AFORK_LAYER_STATE_IN_FORCE,
  AFORK_LAYER_STATE_FAILED,       /* the kernel refused it, with the errno value */
  AFORK_LAYER_STATE_NOT_BUILT,    /* the caller's library was built without it */
  AFORK_LAYER_STATE_NOT_BINDING,  /* the kernel would not enforce it for this user, who is root */
  AFORK_LAYER_STATE_TOO_OLD,      /* the kernel's version of it gives less than was asked for */
  AFORK_LAYER_STATE_THREADS,      /* it would hold for one thread, and the process has others */
} AForkLayerState;

enum { AFORK_N_LAYER_STATES = 7 };

typedef enum
{
  AFORK_CONFINEMENT_BEST_EFFORT = 1 << 0,   /* an effect that cannot be had is no failure */
  AFORK_CONFINEMENT_NO_EXEC     = 1 << 1,   /* the filters allow no program to be executed */
} AForkConfinementFlags;

/* When a filter is installed: in the process that gets RESTRICT, which must still fork and signal
 * its forks; or when this process or a fork of it is run. Limits and paths apply to the process
 * that is run, too. */
typedef enum
{
  AFORK_STAGE_TEMPLATE,
  AFORK_STAGE_RUN,
} AForkStage;

enum { AFORK_N_STAGES = 2 };

typedef enum
{
  AFORK_LIMIT_DATA,             /* RLIMIT_DATA, and so on */
  AFORK_LIMIT_ADDRESS_SPACE,
  AFORK_LIMIT_CPU_TIME,
  AFORK_LIMIT_OPEN_FILES,
  AFORK_LIMIT_FILE_SIZE,
  AFORK_LIMIT_PROCESSES,
  AFORK_LIMIT_CORE_SIZE,
  AFORK_LIMIT_MORE_ADDRESS_SPACE,   /* besides what the process has mapped when it is run */
} AForkLimit;

enum { AFORK_N_LIMITS = 8 };

typedef enum
{
  AFORK_PATH_ACCESS_READ,
  AFORK_PATH_ACCESS_WRITE,      /* includes reading */
} AForkPathAccess;

typedef enum
{
  AFORK_NAMESPACE_USER    = 1 << 0,
  AFORK_NAMESPACE_MOUNT   = 1 << 1,
  AFORK_NAMESPACE_PID     = 1 << 2,
  AFORK_NAMESPACE_IPC     = 1 << 3,
  AFORK_NAMESPACE_NETWORK = 1 << 4,
  AFORK_NAMESPACE_UTS     = 1 << 5,
} AForkNamespaces;

/* The largest numbers of things in a RESTRICT. */
enum
{
  AFORK_MAX_FILTERS = 4,
  AFORK_MAX_INSTRUCTIONS = 4096,    /* as the kernel (BPF_MAXINSNS) */
  AFORK_MAX_PATHS = 256,
  AFORK_MAX_PATH_LENGTH = 4095,
  AFORK_INSTRUCTION_SIZE = 8,
};

typedef struct
{
  AForkStage     stage;
  uint32_t       gives;             /* effects */
  uint32_t       architecture;
  uint32_t       n_instructions;
  const uint8_t *instructions;      /* AFORK_INSTRUCTION_SIZE bytes each, not aligned */
} AForkFilter;

typedef struct
{
  bool     set;
  uint64_t soft;
  uint64_t hard;
} AForkLimitValue;

/* A RESTRICT. Pointers are into the bytes that were parsed, or to memory of the writer. */
typedef struct
{
  uint32_t        flags;            /* AForkConfinementFlags */
  uint32_t        wanted;           /* AForkEffects */
  AForkLimitValue limits[AFORK_N_LIMITS];
  uint32_t        nice;             /* 0: unchanged */
  bool            idle;
  uint32_t        oom_score;        /* 0: unchanged */
  uint32_t        n_filters;
  AForkFilter     filters[AFORK_MAX_FILTERS];
  bool            has_paths[2];     /* by AForkPathAccess: whether paths are limited */
  AForkStrings    paths[2];         /* absolute; see afork_strings_next() */
  uint32_t        namespaces;       /* AForkNamespaces to be tried; 0 for none */
  AForkLayerState missing[AFORK_N_LAYERS];  /* UNUSED: not missing */
} AForkConfinement;

/* A CONFINED. */
typedef struct
{
  AForkLayerState state;
  uint32_t        error;            /* an errno value, with FAILED; else 0 */
  uint32_t        gives;            /* effects: with IN_FORCE all that the layer should give; with
                                     * NOT_BINDING and TOO_OLD the others; else none */
} AForkLayerReport;

typedef struct
{
  uint32_t         wanted;
  AForkLayerReport layers[AFORK_N_LAYERS];
} AForkConfinementReport;

enum { AFORK_CONFINEMENT_REPORT_SIZE = 8 + AFORK_N_LAYERS * 12 };

/* Parses the payload of RESTRICT. If it is invalid, returns false and sets *WHY to a sentence
 * without a full stop. */
bool        afork_confinement_parse        (const uint8_t                *bytes,
                                            size_t                        n_bytes,
                                            AForkConfinement             *confinement,
                                            const char                  **why);

/* Returns the size of the payload, and writes it to OUT, which has room for that. */
size_t      afork_confinement_size         (const AForkConfinement       *confinement);
void        afork_confinement_write        (const AForkConfinement       *confinement,
                                            uint8_t                      *out);

/* The same for CONFINED, whose size is AFORK_CONFINEMENT_REPORT_SIZE. An invalid report is refused
 * whole. */
bool        afork_confinement_report_parse (const uint8_t                *bytes,
                                            size_t                        n_bytes,
                                            AForkConfinementReport       *report);
void        afork_confinement_report_write (const AForkConfinementReport *report,
                                            uint8_t                      *out);

/* Returns the effects that are had. */
uint32_t    afork_confinement_report_had   (const AForkConfinementReport *report);

/* Return the public names, such as "read-paths" and "landlock". EFFECT is one bit. */
const char *afork_effect_name              (uint32_t                      effect);
const char *afork_layer_name               (AForkLayer                    layer);

/* Returns why a layer is not in force, such as "is not built in", or NULL for FAILED, whose reason
 * is the errno value. */
const char *afork_layer_state_text         (AForkLayerState               state);

#ifdef __cplusplus
}
#endif
