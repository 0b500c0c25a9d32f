/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "descriptors.h"
#include "paths.h"
#include "server-state.h"

/* From include/uapi/linux/landlock.h, for a C library whose kernel headers are older than the
 * kernel. All architectures have these numbers. */

#ifndef SYS_landlock_create_ruleset
# define SYS_landlock_create_ruleset 444
# define SYS_landlock_add_rule 445
# define SYS_landlock_restrict_self 446
#endif

enum
{
  CREATE_RULESET_VERSION = 1 << 0,
  RULE_PATH_BENEATH = 1,
};

enum
{
  FS_EXECUTE = 1 << 0,
  FS_WRITE_FILE = 1 << 1,
  FS_READ_FILE = 1 << 2,
  FS_READ_DIR = 1 << 3,
  FS_REMOVE_DIR = 1 << 4,
  FS_REMOVE_FILE = 1 << 5,
  FS_MAKE_CHAR = 1 << 6,
  FS_MAKE_DIR = 1 << 7,
  FS_MAKE_REG = 1 << 8,
  FS_MAKE_SOCK = 1 << 9,
  FS_MAKE_FIFO = 1 << 10,
  FS_MAKE_BLOCK = 1 << 11,
  FS_MAKE_SYM = 1 << 12,
  FS_REFER = 1 << 13,
  FS_TRUNCATE = 1 << 14,
  FS_IOCTL_DEV = 1 << 15,

  NET_BIND_TCP = 1 << 0,
  NET_CONNECT_TCP = 1 << 1,

  SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0,
  SCOPE_SIGNAL = 1 << 1,

  FS_READ = FS_EXECUTE | FS_READ_FILE | FS_READ_DIR,
  FS_WRITE = FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_CHAR | FS_MAKE_DIR
    | FS_MAKE_REG | FS_MAKE_SOCK | FS_MAKE_FIFO | FS_MAKE_BLOCK | FS_MAKE_SYM | FS_REFER
    | FS_TRUNCATE,
  /* Device files are not made, even beneath the paths. */
  FS_WRITE_BENEATH = FS_WRITE & ~(FS_MAKE_CHAR | FS_MAKE_BLOCK),
  /* The rights that a rule for a file may have. */
  FS_OF_FILE = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
};

/* The kernel takes the first fields of the structure, as many as its ABI has. */
typedef struct
{
  uint64_t fs;                  /* 1 */
  uint64_t net;                 /* 4 */
  uint64_t scoped;              /* 6 */
} Ruleset;

typedef struct __attribute__ ((packed))
{
  uint64_t allowed;
  int32_t  parent;
} PathRule;

int
afork_landlock_get_abi (void)
{
  return (int) syscall (SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
}

/* What is forbidden, except by rules. */

static uint64_t
get_known_fs (int abi)
{
  uint64_t known = FS_READ | FS_WRITE | FS_IOCTL_DEV;

  if (abi < 2)
    known &= ~(uint64_t) FS_REFER;
  if (abi < 3)
    known &= ~(uint64_t) FS_TRUNCATE;
  if (abi < 5)
    known &= ~(uint64_t) FS_IOCTL_DEV;
  return known;
}

/* Sets RULESET to what ABI has of WANTED. */
static void
fill_ruleset (Ruleset  *ruleset,
              uint32_t  wanted,
              int       abi)
{
  *ruleset = (Ruleset) { 0 };
  if ((wanted & AFORK_LANDLOCK_READ) != 0)
    ruleset->fs |= FS_READ;
  if ((wanted & AFORK_LANDLOCK_WRITE) != 0)
    ruleset->fs |= FS_WRITE;
  if ((wanted & AFORK_LANDLOCK_DEVICES) != 0)
    ruleset->fs |= FS_IOCTL_DEV;
  ruleset->fs &= get_known_fs (abi);
  if ((wanted & AFORK_LANDLOCK_TCP) != 0 && abi >= 4)
    ruleset->net = NET_BIND_TCP | NET_CONNECT_TCP;
  if ((wanted & AFORK_LANDLOCK_SOCKETS) != 0 && abi >= 6)
    ruleset->scoped |= SCOPE_ABSTRACT_UNIX_SOCKET;
  if ((wanted & AFORK_LANDLOCK_SIGNALS) != 0 && abi >= 6)
    ruleset->scoped |= SCOPE_SIGNAL;

  /* A domain must forbid something. No process of a worker makes block devices. */
  if ((wanted & AFORK_LANDLOCK_TRACING) != 0
      && ruleset->fs == 0 && ruleset->net == 0 && ruleset->scoped == 0)
    ruleset->fs = FS_MAKE_BLOCK;
}

/* Returns which of WANTED a domain with RULESET gives. */
static uint32_t
get_effects (const Ruleset *ruleset,
             uint32_t       wanted)
{
  uint32_t effects = AFORK_LANDLOCK_TRACING;

  if ((ruleset->fs & FS_READ) == FS_READ)
    effects |= AFORK_LANDLOCK_READ;
  if ((ruleset->fs & FS_WRITE) == FS_WRITE)
    effects |= AFORK_LANDLOCK_WRITE;
  if ((ruleset->fs & FS_IOCTL_DEV) != 0)
    effects |= AFORK_LANDLOCK_DEVICES;
  if (ruleset->net != 0)
    effects |= AFORK_LANDLOCK_TCP;
  if ((ruleset->scoped & SCOPE_ABSTRACT_UNIX_SOCKET) != 0)
    effects |= AFORK_LANDLOCK_SOCKETS;
  if ((ruleset->scoped & SCOPE_SIGNAL) != 0)
    effects |= AFORK_LANDLOCK_SIGNALS;
  return effects & wanted;
}

/* The rules. */

static bool
fail (AForkLandlockResult *result,
      const char          *call)
{
  result->error = errno;
  result->call = call;
  return false;
}

static bool
allow_path (int                  ruleset_fd,
            const char          *path,
            uint64_t             allowed,
            AForkLandlockResult *result)
{
  PathRule rule = { .allowed = allowed };
  struct stat status;
  bool done = true;

  rule.parent = open (path, O_PATH | O_CLOEXEC);
  if (rule.parent < 0 && afork_path_is_unreachable (errno))
    {
      result->n_ignored++;
      return true;
    }
  if (rule.parent < 0)
    return fail (result, "open");

  if (fstat (rule.parent, &status) == 0 && !S_ISDIR (status.st_mode))
    rule.allowed &= FS_OF_FILE;
  /* Files of the kernel, such as a pipe by its name in /proc, are in no hierarchy (EBADFD), and
   * Landlock does not restrict them. */
  if (rule.allowed != 0
      && syscall (SYS_landlock_add_rule, ruleset_fd, RULE_PATH_BENEATH, &rule, 0) < 0
      && errno != EBADFD)
    done = fail (result, "landlock_add_rule");

  close (rule.parent);
  return done;
}

static bool
allow_paths (int                  ruleset_fd,
             AForkStrings         paths,
             uint64_t             allowed,
             AForkLandlockResult *result)
{
  const char *path;

  while (paths.n_strings > 0)
    {
      path = afork_strings_next (&paths);
      if (allowed != 0 && !allow_path (ruleset_fd, path, allowed, result))
        return false;
    }

  return true;
}

static size_t
get_ruleset_size (int abi)
{
  return abi >= 6 ? sizeof (Ruleset) : abi >= 4 ? 2 * sizeof (uint64_t) : sizeof (uint64_t);
}

int
afork_landlock_make (const AForkLandlockRules *rules,
                     AForkLandlockResult      *result)
{
  const int abi = afork_landlock_get_abi ();
  Ruleset ruleset;
  int fd;

  *result = (AForkLandlockResult) { 0 };
  if (abi < 0)
    {
      fail (result, "landlock_create_ruleset");
      return -1;
    }

  result->abi = abi;
  fill_ruleset (&ruleset, rules->wanted, abi);
  if (ruleset.fs == 0 && ruleset.net == 0 && ruleset.scoped == 0)
    {
      errno = EOPNOTSUPP;
      fail (result, NULL);
      return -1;
    }

  fd = (int) syscall (SYS_landlock_create_ruleset, &ruleset, get_ruleset_size (abi), 0);
  if (fd < 0)
    {
      fail (result, "landlock_create_ruleset");
      return -1;
    }

  if (!allow_paths (fd, rules->read_paths, ruleset.fs & FS_READ, result)
      || !allow_paths (fd, rules->write_paths,
                       ruleset.fs & (FS_READ | FS_WRITE_BENEATH | FS_IOCTL_DEV), result))
    {
      close (fd);
      return -1;
    }

  result->effects = get_effects (&ruleset, rules->wanted);
  return fd;
}

bool
afork_landlock_enforce (int fd)
{
  const bool done = syscall (SYS_landlock_restrict_self, fd, 0) == 0;
  const int saved_errno = errno;

  close (fd);
  errno = saved_errno;
  return done;
}

/* The layer. */

static void
fill_rules (AForkLandlockRules     *rules,
            const AForkConfinement *confinement)
{
  *rules = (AForkLandlockRules) {
    .read_paths = confinement->paths[AFORK_PATH_ACCESS_READ],
    .write_paths = confinement->paths[AFORK_PATH_ACCESS_WRITE],
  };
  if (confinement->has_paths[AFORK_PATH_ACCESS_READ])
    rules->wanted |= AFORK_LANDLOCK_READ;
  if (confinement->has_paths[AFORK_PATH_ACCESS_WRITE])
    rules->wanted |= AFORK_LANDLOCK_WRITE | AFORK_LANDLOCK_DEVICES;
  if ((confinement->wanted & AFORK_EFFECT_NETWORK) != 0)
    rules->wanted |= AFORK_LANDLOCK_TCP;
  if ((confinement->wanted & AFORK_EFFECT_OTHER_PROCESSES) != 0)
    rules->wanted |= AFORK_LANDLOCK_SOCKETS | AFORK_LANDLOCK_SIGNALS | AFORK_LANDLOCK_TRACING;
}

/* Returns the effects of a sandbox that the EFFECTS of Landlock give. It does not forbid all kinds
 * of sockets. */
static uint32_t
get_given (uint32_t effects)
{
  const uint32_t others = AFORK_LANDLOCK_SIGNALS | AFORK_LANDLOCK_TRACING;
  uint32_t given = 0;

  if ((effects & AFORK_LANDLOCK_READ) != 0)
    given |= AFORK_EFFECT_READ_PATHS;
  if ((effects & AFORK_LANDLOCK_WRITE) != 0)
    given |= AFORK_EFFECT_WRITE_PATHS;
  if ((effects & others) == others)
    given |= AFORK_EFFECT_OTHER_PROCESSES;
  return given;
}

static void
set_failed (AForkLayerReport *report,
            int               error)
{
  report->state = AFORK_LAYER_STATE_FAILED;
  report->error = (uint32_t) error;
  report->gives = 0;
}

void
afork_landlock_prepare (const AForkConfinement *confinement,
                        AForkLayerReport       *report)
{
  AForkLandlockRules rules;
  AForkLandlockResult result;
  int fd = -1, moved;

  fill_rules (&rules, confinement);
  if (rules.wanted == 0)
    return;

  if (afork_server.n_rulesets < AFORK_MAX_RULESETS)
    fd = afork_landlock_make (&rules, &result);
  else
    result = (AForkLandlockResult) { .error = E2BIG };
  if (fd < 0)
    {
      set_failed (report, result.error);
      if (result.abi > 0 && result.error == EOPNOTSUPP)
        *report = (AForkLayerReport) { .state = AFORK_LAYER_STATE_TOO_OLD };
      return;
    }

  moved = fd > STDERR_FILENO ? fd : afork_dup_above_stderr (fd);
  if (moved < 0 || prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    {
      set_failed (report, errno);
      close (fd);
      return;
    }

  if (moved != fd)
    close (fd);
  afork_server.rulesets[afork_server.n_rulesets++] = moved;
  report->state = AFORK_LAYER_STATE_IN_FORCE;
  report->gives = get_given (result.effects);
}

void
afork_landlock_enter (AForkLayerReport *report)
{
  for (size_t i = 0; i < afork_server.n_rulesets; i++)
    if (!afork_landlock_enforce (afork_server.rulesets[i]))
      set_failed (report, errno);

  /* A domain is that of the thread, and of those that it makes. */
  if (afork_server.n_rulesets > 0 && !afork_children_has_one_thread ())
    *report = (AForkLayerReport) { .state = AFORK_LAYER_STATE_THREADS };
  afork_server.n_rulesets = 0;
}

bool
afork_landlock_vacate (int target)
{
  for (size_t i = 0; i < afork_server.n_rulesets; i++)
    if (afork_server.rulesets[i] == target)
      {
        afork_server.rulesets[i] = afork_dup_above_stderr (target);
        return afork_server.rulesets[i] >= 0;
      }

  return true;
}
