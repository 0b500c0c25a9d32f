/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "confinement.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "landlock.h"
#include "refork.h"
#include "seccomp-filter.h"
#include "server-reply.h"
#include "server-state.h"

/* What the second stage does, of all RESTRICTs together. */
struct AForkConfinementState
{
  AForkConfinementReport report;
  uint32_t               required;    /* effects that must be had */
  bool                   no_exec;
  AForkLimitValue        limits[AFORK_N_LIMITS];
  int                    nice;
  bool                   idle;
};

bool
afork_confinement_is_set (void)
{
  return afork_server.confinement != NULL;
}

/* Reports. */

static void
set_failed (AForkLayerReport *report,
            int               error)
{
  report->state = AFORK_LAYER_STATE_FAILED;
  report->error = (uint32_t) error;
  report->gives = 0;
}

static void
set_in_force (AForkLayerReport *report,
              uint32_t          gives)
{
  report->state = AFORK_LAYER_STATE_IN_FORCE;
  report->error = 0;
  report->gives |= gives;
}

/* Limits. */

static const int resources[AFORK_N_LIMITS] = {
  [AFORK_LIMIT_DATA] = RLIMIT_DATA,
  [AFORK_LIMIT_ADDRESS_SPACE] = RLIMIT_AS,
  [AFORK_LIMIT_CPU_TIME] = RLIMIT_CPU,
  [AFORK_LIMIT_OPEN_FILES] = RLIMIT_NOFILE,
  [AFORK_LIMIT_FILE_SIZE] = RLIMIT_FSIZE,
  [AFORK_LIMIT_PROCESSES] = RLIMIT_NPROC,
  [AFORK_LIMIT_CORE_SIZE] = RLIMIT_CORE,
  [AFORK_LIMIT_MORE_ADDRESS_SPACE] = RLIMIT_AS,
};

/* The effects that a limit gives. An address space without a limit of the data in it is not one. */
static const uint32_t limit_effects[AFORK_N_LIMITS] = {
  [AFORK_LIMIT_DATA] = AFORK_EFFECT_MEMORY,
  [AFORK_LIMIT_CPU_TIME] = AFORK_EFFECT_CPU_TIME,
  [AFORK_LIMIT_OPEN_FILES] = AFORK_EFFECT_OPEN_FILES,
  [AFORK_LIMIT_FILE_SIZE] = AFORK_EFFECT_FILE_SIZE,
  [AFORK_LIMIT_PROCESSES] = AFORK_EFFECT_PROCESSES,
  [AFORK_LIMIT_CORE_SIZE] = AFORK_EFFECT_CORE_SIZE,
};

/* Whether the kernel does not enforce a number of processes: it exempts the superuser, and who may
 * raise the limit. In a user namespace of its own, a process has capabilities that do not exempt
 * it. It counts as exempted nevertheless. Async-signal-safe. */
static bool
is_exempt (void)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  const uint32_t exempting = UINT32_C (1) << CAP_SYS_ADMIN | UINT32_C (1) << CAP_SYS_RESOURCE;

  return getuid () == 0
    || syscall (SYS_capget, &header, data) < 0
    || (data[0].effective & exempting) != 0;
}

/* Keeps the stricter of two limits. */
static void
add_limit (AForkLimitValue       *limit,
           const AForkLimitValue *other)
{
  if (!limit->set || other->soft < limit->soft)
    limit->soft = other->soft;
  if (!limit->set || other->hard < limit->hard)
    limit->hard = other->hard;
  limit->set = true;
}

static void
prepare_limits (const AForkConfinement *confinement,
                AForkLayerReport       *report)
{
  AForkConfinementState *own = afork_server.confinement;

  for (unsigned i = 0; i < AFORK_N_LIMITS; i++)
    if (confinement->limits[i].set)
      {
        add_limit (&own->limits[i], &confinement->limits[i]);
        set_in_force (report, limit_effects[i]);
      }

  if (confinement->limits[AFORK_LIMIT_PROCESSES].set && is_exempt ())
    {
      report->gives &= ~(uint32_t) AFORK_EFFECT_PROCESSES;
      report->state = AFORK_LAYER_STATE_NOT_BINDING;
    }
}

/* A limit that is stricter already stays. Async-signal-safe. */
static bool
enter_limit (int                    resource,
             const AForkLimitValue *value)
{
  struct rlimit limit;

  if (getrlimit (resource, &limit) < 0)
    return false;

  if (value->soft < limit.rlim_cur)
    limit.rlim_cur = (rlim_t) value->soft;
  if (value->hard < limit.rlim_max)
    limit.rlim_max = (rlim_t) value->hard;
  if (limit.rlim_cur > limit.rlim_max)
    limit.rlim_cur = limit.rlim_max;
  return setrlimit (resource, &limit) == 0;
}

/* Sets SIZE to what this process has mapped, in bytes. Async-signal-safe. */
static bool
get_address_space (uint64_t *size)
{
  int fd = open ("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  char text[32];
  ssize_t n_read;

  if (fd < 0)
    return false;

  n_read = read (fd, text, sizeof text - 1);
  close (fd);
  if (n_read <= 0)
    return errno = EIO, false;

  text[n_read] = '\0';
  *size = strtoull (text, NULL, 10) * (uint64_t) sysconf (_SC_PAGESIZE);
  return true;
}

/* Makes a limit of what may come in addition one of all. Async-signal-safe. */
static bool
add_address_space (AForkLimitValue *limit)
{
  uint64_t size;

  if (!get_address_space (&size))
    return false;

  limit->soft = limit->soft <= UINT64_MAX - size ? limit->soft + size : UINT64_MAX;
  limit->hard = limit->hard <= UINT64_MAX - size ? limit->hard + size : UINT64_MAX;
  return true;
}

static void
enter_limits (AForkLayerReport *report)
{
  const AForkConfinementState *own = afork_server.confinement;

  for (unsigned i = 0; i < AFORK_N_LIMITS; i++)
    {
      AForkLimitValue limit = own->limits[i];

      if (limit.set
          && ((i == AFORK_LIMIT_MORE_ADDRESS_SPACE && !add_address_space (&limit))
              || !enter_limit (resources[i], &limit)))
        {
          set_failed (report, errno);
          return;
        }
    }
}

/* Priority. */

/* Sets the score of this process and of its forks. A lower one than it has needs a right, and stays
 * away. Async-signal-safe. */
static bool
set_oom_score (uint32_t score)
{
  int fd = open ("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
  char text[12], old[12];
  ssize_t n_read;
  bool done;
  int length;

  if (fd < 0)
    return false;

  length = snprintf (text, sizeof text, "%u", score);
  n_read = read (fd, old, sizeof old - 1);
  old[n_read > 0 ? n_read : 0] = '\0';
  done = atoi (old) >= (int) score || pwrite (fd, text, (size_t) length, 0) == length;
  close (fd);
  return done;
}

static void
prepare_priority (const AForkConfinement *confinement,
                  AForkLayerReport       *report)
{
  AForkConfinementState *own = afork_server.confinement;

  if (confinement->nice == 0 && !confinement->idle && confinement->oom_score == 0)
    return;

  if (confinement->oom_score != 0 && !set_oom_score (confinement->oom_score))
    {
      set_failed (report, errno);
      return;
    }

  if ((int) confinement->nice > own->nice)
    own->nice = (int) confinement->nice;
  own->idle = own->idle || confinement->idle;
  set_in_force (report, AFORK_EFFECT_PRIORITY);
}

static void
enter_priority (AForkLayerReport *report)
{
  const AForkConfinementState *own = afork_server.confinement;
  const struct sched_param parameters = { 0 };

  if (own->nice > 0 && getpriority (PRIO_PROCESS, 0) < own->nice
      && setpriority (PRIO_PROCESS, 0, own->nice) < 0)
    set_failed (report, errno);
  else if (own->idle && sched_setscheduler (0, SCHED_IDLE, &parameters) < 0)
    set_failed (report, errno);
}

/* No new privileges: programs with the set-user-ID bit do not get their user. Filters and Landlock
 * need this. */
static void
prepare_no_new_privs (const AForkConfinement *confinement,
                      AForkLayerReport       *report)
{
  if (confinement->n_filters == 0 && !confinement->has_paths[AFORK_PATH_ACCESS_READ]
      && !confinement->has_paths[AFORK_PATH_ACCESS_WRITE] && confinement->namespaces == 0)
    return;

  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
    set_in_force (report, 0);
  else
    set_failed (report, errno);
}

/* The layers, in the order in which they are prepared and entered. Filters come last: they forbid
 * what the others need. */
static const AForkLayerFunctions layers[] = {
  { AFORK_LAYER_LIMITS, prepare_limits, enter_limits },
  { AFORK_LAYER_PRIORITY, prepare_priority, enter_priority },
  { AFORK_LAYER_NO_NEW_PRIVS, prepare_no_new_privs, NULL },
  /* The process is another one afterwards, and paths mean what they mean there. */
  { AFORK_LAYER_NAMESPACES, afork_namespaces_prepare, afork_namespaces_confine },
  { AFORK_LAYER_LANDLOCK, afork_landlock_prepare, afork_landlock_enter },
  { AFORK_LAYER_SECCOMP, afork_seccomp_prepare, afork_seccomp_enter },
};

enum { N_LAYERS = sizeof layers / sizeof layers[0] };

/* Failures. */

/* Adds to TEXT, of SIZE bytes, and cuts what does not fit. Not async-signal-safe. */
static void __attribute__ ((format (printf, 3, 4)))
append (char       *text,
        size_t      size,
        const char *format,
        ...)
{
  size_t length = strlen (text);
  va_list arguments;

  va_start (arguments, format);
  vsnprintf (text + length, size - length, format, arguments);
  va_end (arguments);
}

/* Sets the failure: the effects LACKING, and why no layer gives them. Not async-signal-safe. */
static bool
fail (const AForkConfinementReport *report,
      uint32_t                      lacking)
{
  char effects[256] = "", reasons[768] = "";

  for (unsigned i = 0; i < AFORK_N_EFFECTS; i++)
    if ((lacking & UINT32_C (1) << i) != 0)
      append (effects, sizeof effects, "%s%s", effects[0] != '\0' ? ", " : "",
              afork_effect_name (UINT32_C (1) << i));

  for (unsigned i = 0; i < AFORK_N_LAYERS; i++)
    {
      const AForkLayerReport *layer = &report->layers[i];
      const char *state = afork_layer_state_text (layer->state);

      if (layer->state == AFORK_LAYER_STATE_UNUSED || layer->state == AFORK_LAYER_STATE_IN_FORCE)
        continue;
      append (reasons, sizeof reasons, "%s%s: %s", reasons[0] != '\0' ? "; " : "",
              afork_layer_name ((AForkLayer) i),
              state != NULL ? state : strerror ((int) layer->error));
    }

  return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SANDBOX,
                            "The process could not be confined: %s (%s)", effects,
                            reasons[0] != '\0' ? reasons : "no layer was asked for");
}

/* Commands. */

/* Whether a layer in STATE gives effects. */
static bool
can_give (AForkLayerState state)
{
  return state == AFORK_LAYER_STATE_IN_FORCE || state == AFORK_LAYER_STATE_NOT_BINDING
    || state == AFORK_LAYER_STATE_TOO_OLD;
}

/* Whether the state of a layer becomes that of a new RESTRICT, ADDED. The first reason why it is
 * not in force stays, unless one of the two gives effects: then it is in force. */
static bool
is_replaced (const AForkLayerReport *layer,
             const AForkLayerReport *added,
             uint32_t                gives)
{
  if (added->state == AFORK_LAYER_STATE_UNUSED)
    return false;
  if (gives != 0 && !can_give (added->state))
    return false;

  return layer->state <= AFORK_LAYER_STATE_IN_FORCE || (gives != 0 && !can_give (layer->state));
}

/* Adds REPORT, of a new RESTRICT, to that of the earlier ones. An effect that both want is had if
 * both have it. */
static void
add_report (AForkConfinementReport       *all,
            const AForkConfinementReport *report)
{
  uint32_t lacking = all->wanted & ~afork_confinement_report_had (all);

  lacking |= report->wanted & ~afork_confinement_report_had (report);
  all->wanted |= report->wanted;
  for (unsigned i = 0; i < AFORK_N_LAYERS; i++)
    {
      AForkLayerReport *layer = &all->layers[i];
      const AForkLayerReport *added = &report->layers[i];
      uint32_t gives = (layer->gives | added->gives) & ~lacking;

      if (is_replaced (layer, added, gives))
        *layer = *added;
      layer->gives = gives;
    }
}

/* Prepares the layers of CONFINEMENT. */
static void
prepare (const AForkConfinement *confinement,
         AForkConfinementReport *report)
{
  report->wanted = confinement->wanted;
  for (unsigned i = 0; i < AFORK_N_LAYERS; i++)
    report->layers[i].state = confinement->missing[i];
  for (unsigned i = 0; i < N_LAYERS; i++)
    layers[i].prepare (confinement, &report->layers[layers[i].layer]);
}

bool
afork_serve_restrict (const AForkFrame *frame)
{
  AForkConfinementReport report = { 0 };
  AForkConfinementState *own;
  AForkConfinement confinement;
  uint32_t lacking;
  const char *why;

  if (!afork_confinement_parse (frame->bytes, frame->n_bytes, &confinement, &why))
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "The caller does not keep to the protocol: %s", why);

  if (afork_server.confinement == NULL)
    afork_server.confinement = calloc (1, sizeof *own);
  own = afork_server.confinement;
  if (own == NULL)
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SANDBOX,
                              "The process could not be confined: %s", strerror (ENOMEM));

  prepare (&confinement, &report);
  lacking = report.wanted & ~afork_confinement_report_had (&report);
  if (lacking != 0 && (confinement.flags & AFORK_CONFINEMENT_BEST_EFFORT) == 0)
    return fail (&report, lacking);

  if ((confinement.flags & AFORK_CONFINEMENT_BEST_EFFORT) == 0)
    own->required |= report.wanted;
  if ((confinement.flags & AFORK_CONFINEMENT_NO_EXEC) != 0)
    own->no_exec = true;
  add_report (&own->report, &report);
  return true;
}

bool
afork_confinement_enter (bool program)
{
  AForkConfinementState *own = afork_server.confinement;
  uint32_t lacking;

  if (own == NULL)
    return true;
  if (program && own->no_exec && own->report.layers[AFORK_LAYER_SECCOMP].gives != 0)
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SANDBOX,
                              "The process cannot execute a program: its sandbox allows no system "
                              "calls for that");

  for (unsigned i = 0; i < N_LAYERS; i++)
    {
      AForkLayerReport *report = &own->report.layers[layers[i].layer];

      if (layers[i].enter != NULL)
        layers[i].enter (report);
    }

  lacking = own->required & ~afork_confinement_report_had (&own->report);
  return lacking == 0 || fail (&own->report, lacking);
}

void
afork_confinement_put_report (void)
{
  uint8_t bytes[AFORK_CONFINEMENT_REPORT_SIZE];
  const AForkFrame frame = {
    .kind = AFORK_FRAME_CONFINED,
    .bytes = bytes,
    .n_bytes = sizeof bytes,
  };

  if (afork_server.confinement == NULL)
    return;

  afork_confinement_report_write (&afork_server.confinement->report, bytes);
  afork_link_put (&afork_server.link, &frame);
}
