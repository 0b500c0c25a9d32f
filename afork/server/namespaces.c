/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "paths.h"
#include "wire/afork-confinement.h"

/* From include/uapi/linux/mount.h, for a C library that is older than the kernel. All architectures
 * have these numbers. */

#ifndef SYS_open_tree
# define SYS_open_tree 428
# define SYS_move_mount 429
#endif
#ifndef SYS_mount_setattr
# define SYS_mount_setattr 442
#endif

enum
{
  TREE_CLONE = 1,                       /* OPEN_TREE_CLONE */
  TREE_RECURSIVE = 0x8000,              /* AT_RECURSIVE */
  MOVE_EMPTY_FROM = 0x4,                /* MOVE_MOUNT_F_EMPTY_PATH */
  MOVE_EMPTY_TO = 0x40,                 /* MOVE_MOUNT_T_EMPTY_PATH */
};

enum
{
  MOUNT_RDONLY = 0x1,                   /* MOUNT_ATTR_RDONLY, … */
  MOUNT_NOSUID = 0x2,
  MOUNT_NODEV = 0x4,
};

typedef struct
{
  uint64_t set;
  uint64_t clear;
  uint64_t propagation;
  uint64_t user_ns;
} MountAttributes;

/* Where the new root directory is put together: any directory that exists. What it hides has been
 * looked up before. */
static const char * const stages[] = { "/tmp", "/run", "/var", "/usr", "/dev" };

/* Notes that CALL has failed, unless something else has failed before. Returns false. */
static bool
fail (AForkNamespacesResult *result,
      const char            *call)
{
  if (result->error == 0)
    {
      result->error = errno;
      result->call = call;
    }

  return false;
}

/* The user namespace. */

static bool
write_file (const char *path,
            const char *text)
{
  const size_t length = strlen (text);
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  int saved_errno;
  bool done;

  if (fd < 0)
    return false;

  done = write (fd, text, length) == (ssize_t) length;
  saved_errno = errno;
  close (fd);
  errno = saved_errno;
  return done;
}

/* Gives the user and the group that the process had before the same numbers in the namespace. All
 * other users and groups are nobody. */
static bool
map_user (uid_t                  uid,
          gid_t                  gid,
          AForkNamespacesResult *result)
{
  char text[64];

  /* Before Linux 3.19, there was no such file, and none was needed. */
  if (!write_file ("/proc/self/setgroups", "deny") && errno != ENOENT)
    return fail (result, "/proc/self/setgroups");
  snprintf (text, sizeof text, "%u %u 1\n", (unsigned) uid, (unsigned) uid);
  if (!write_file ("/proc/self/uid_map", text))
    return fail (result, "/proc/self/uid_map");
  snprintf (text, sizeof text, "%u %u 1\n", (unsigned) gid, (unsigned) gid);
  return write_file ("/proc/self/gid_map", text) || fail (result, "/proc/self/gid_map");
}

bool
afork_namespaces_enter (const AForkNamespacesRules *rules,
                        AForkNamespacesResult      *result)
{
  const int flags = rules->wanted & (CLONE_NEWUSER | CLONE_NEWPID);
  const uid_t uid = geteuid ();
  const gid_t gid = getegid ();

  *result = (AForkNamespacesResult) { .root = -1 };
  if ((flags & CLONE_NEWUSER) == 0)
    return false;
  if (unshare (flags) < 0)
    return fail (result, "unshare");

  result->in_force = flags;
  /* Without a mapping, the namespaces are as closed, and the user is nobody. */
  map_user (uid, gid, result);
  return true;
}

/* The root directory. */

static int
copy_tree (const char *path)
{
  return (int) syscall (SYS_open_tree, AT_FDCWD, path,
                        TREE_CLONE | TREE_RECURSIVE | O_CLOEXEC);
}

/* Puts the mounts of TREE at PATH. */
static bool
move_tree (int         tree,
           const char *path)
{
  return syscall (SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_EMPTY_FROM) == 0;
}

/* Puts the mounts of TREE where FD is, which was opened with O_PATH and is closed. */
static bool
move_tree_to (int tree,
              int fd)
{
  const bool done =
    syscall (SYS_move_mount, tree, "", fd, "", MOVE_EMPTY_FROM | MOVE_EMPTY_TO) == 0;
  const int saved_errno = errno;

  close (fd);
  errno = saved_errno;
  return done;
}

/* Sets ATTRIBUTES of the mount FD, and with TREE_RECURSIVE of all mounts below it. */
static bool
set_attributes (int      fd,
                unsigned flags,
                uint64_t attributes)
{
  const MountAttributes changes = { .set = attributes };

  return syscall (SYS_mount_setattr, fd, "", AT_EMPTY_PATH | flags, &changes, sizeof changes) == 0;
}

/* Whether PATH is DIRECTORY or beneath it. */
static bool
is_beneath (const char *path,
            const char *directory)
{
  const size_t length = strlen (directory);

  return strncmp (path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* Whether PATH is the root directory, or a link to it. */
static bool
is_root (const char *path)
{
  struct stat status, root;

  return path[strspn (path, "/")] == '\0'
    || (stat (path, &status) == 0 && stat ("/", &root) == 0
        && status.st_dev == root.st_dev && status.st_ino == root.st_ino);
}

/* Whether a part of PATH is "..", which could lead out of the new root. */
static bool
goes_up (const char *path)
{
  const char *found = path;

  while ((found = strstr (found, "/..")) != NULL)
    {
      found += 3;
      if (*found == '/' || *found == '\0')
        return true;
    }

  return false;
}

static bool
is_device (const struct stat *status)
{
  return S_ISCHR (status->st_mode) || S_ISBLK (status->st_mode);
}

static bool
names_root (AForkStrings paths)
{
  while (paths.n_strings > 0)
    if (is_root (afork_strings_next (&paths)))
      return true;

  return false;
}

/* Copies the mounts at PATH, and makes them read-only unless WRITABLE. Returns a descriptor, or -1:
 * errno is 0 if there is nothing that the process can reach. */
static int
copy_mounts (const char            *path,
             bool                   writable,
             AForkNamespacesResult *result)
{
  uint64_t attributes = MOUNT_NOSUID | (writable ? 0 : MOUNT_RDONLY);
  int tree = copy_tree (path);
  struct stat status;

  if (tree < 0 && afork_path_is_unreachable (errno))
    {
      errno = 0;
      return -1;
    }
  if (tree < 0)
    {
      fail (result, "open_tree");
      return -1;
    }

  /* Devices can be used only if they are named themselves. */
  if (fstat (tree, &status) < 0 || !is_device (&status))
    attributes |= MOUNT_NODEV;
  if (set_attributes (tree, TREE_RECURSIVE, attributes))
    return tree;

  fail (result, "mount_setattr");
  close (tree);
  return -1;
}

/* A path that was named, and the mounts at its end, which were copied. */
typedef struct
{
  const char *path;
  char       *real;             /* the same place, without links on the way */
  int         tree;             /* or -1 for one in /proc, which is mounted later */
  bool        is_directory;
  bool        is_device;
  bool        is_writable;
} Part;

enum { MAX_PARTS = 2 * AFORK_MAX_PATHS };       /* to be read, and to be written */

/* What the new root directory is made of. */
typedef struct
{
  int    base;                  /* the mounts of the whole root directory, or -1 for an empty one */
  bool   is_writable;           /* these mounts are writable */
  bool   names_proc;
  size_t n_parts;
  Part   parts[MAX_PARTS];
} Plan;

static void
clear_part (Part *part)
{
  free (part->real);
  if (part->tree >= 0)
    close (part->tree);
}

static void
clear_plan (Plan *plan)
{
  if (plan->base >= 0)
    close (plan->base);
  for (size_t i = 0; i < plan->n_parts; i++)
    clear_part (&plan->parts[i]);
}

/* Sets PART to what PATH leads to. Returns false if it failed, and true without a path if there is
 * nothing that the process can reach. */
static bool
make_part (Part                  *part,
           const char            *path,
           bool                   writable,
           AForkNamespacesResult *result)
{
  struct stat status;
  int fd = open (path, O_PATH | O_CLOEXEC);

  *part = (Part) { .tree = -1, .is_writable = writable };
  if (fd < 0)
    return afork_path_is_unreachable (errno) || fail (result, "open");

  part->real = afork_path_dup_real (fd);
  if (fstat (fd, &status) == 0)
    {
      part->is_directory = S_ISDIR (status.st_mode);
      part->is_device = is_device (&status);
    }
  close (fd);
  if (part->real == NULL)
    {
      /* Without /proc, links are not known, and only paths without them lead there. */
      part->real = strdup (path);
      if (part->real == NULL)
        return fail (result, "malloc");
    }

  if (!is_beneath (part->real, "/proc") && !is_beneath (path, "/proc"))
    {
      part->tree = copy_mounts (part->real, writable, result);
      if (part->tree < 0)
        {
          const bool is_gone = errno == 0;

          clear_part (part);
          return is_gone;
        }
    }

  part->path = path;
  return true;
}

/* Adds PATHS to PLAN, sorted so that a place comes after those above it. */
static bool
add_parts (Plan                  *plan,
           AForkStrings           paths,
           bool                   writable,
           AForkNamespacesResult *result)
{
  while (paths.n_strings > 0)
    {
      const char *path = afork_strings_next (&paths);
      Part part;
      size_t at;

      if (is_root (path))
        continue;
      if (plan->n_parts == MAX_PARTS)
        {
          errno = E2BIG;
          return fail (result, "open_tree");
        }
      if (!make_part (&part, path, writable, result))
        return false;
      if (part.path == NULL)
        continue;

      plan->names_proc = plan->names_proc || part.tree < 0;
      for (at = plan->n_parts; at > 0 && strcmp (plan->parts[at - 1].real, part.real) > 0; at--)
        plan->parts[at] = plan->parts[at - 1];
      plan->parts[at] = part;
      plan->n_parts++;
    }

  return true;
}

/* Whether PART, which was named to be read, is at or beneath a path that is to be written. Then it
 * needs no mount of its own, which would be read-only: Landlock lets it be written, too. A device
 * needs one, because devices cannot be used in the other mounts. */
static bool
is_covered (const Plan *plan,
            const Part *part)
{
  if (part->is_writable || part->is_device)
    return false;

  for (size_t i = 0; i < plan->n_parts; i++)
    if (plan->parts[i].is_writable && is_beneath (part->real, plan->parts[i].real))
      return true;
  return plan->is_writable;
}

static bool
make_plan (const AForkNamespacesRules *rules,
           Plan                       *plan,
           AForkNamespacesResult      *result)
{
  const bool all = !rules->limits_read || names_root (rules->read_paths)
    || names_root (rules->write_paths);

  plan->base = -1;
  plan->is_writable = all && (!rules->limits_write || names_root (rules->write_paths));
  plan->names_proc = false;
  plan->n_parts = 0;
  if (all)
    {
      plan->base = copy_mounts ("/", plan->is_writable, result);
      if (plan->base < 0)
        return false;
    }

  return (!rules->limits_read || add_parts (plan, rules->read_paths, false, result))
    && (!rules->limits_write || add_parts (plan, rules->write_paths, true, result));
}

/* Mounts the new root directory somewhere. Returns a descriptor of it, or -1. */
static int
mount_root (const Plan            *plan,
            AForkNamespacesResult *result)
{
  for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
    {
      const bool mounted = plan->base >= 0
        ? move_tree (plan->base, stages[i])
        : mount ("tmpfs", stages[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=256k") == 0;
      int root = mounted ? open (stages[i], O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

      if (root >= 0)
        return root;
      if (errno != ENOENT && errno != ENOTDIR)
        break;
    }

  fail (result, plan->base >= 0 ? "move_mount" : "mount");
  return -1;
}

/* Mounts the /proc of the PID namespace at PATH. The /proc of another namespace is no substitute,
 * because it lets a process access the memory of others of the same user. */
static bool
mount_proc (const char *path)
{
  const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

  /* The kernel refuses it where parts of /proc are hidden from this process, as in a container. */
  return mount ("proc", path, "proc", flags, "subset=pid") == 0
    || mount ("proc", path, "proc", flags, NULL) == 0;
}

/* Shows the /proc of the PID namespace at PATH, in the new root. It is the file system that is at
 * /proc already, if there is one: rules of Landlock are made for that. */
static bool
show_proc (const AForkNamespacesResult *result,
           const char                  *path)
{
  return (result->has_proc && mount ("/proc", path, NULL, MS_BIND, NULL) == 0)
    || mount_proc (path);
}

/* Mounts PART in the directory ROOT. */
static bool
mount_part (const Part *part,
            int         root)
{
  const AForkPathMake make = part->is_directory ? AFORK_PATH_MAKE_DIRECTORY : AFORK_PATH_MAKE_FILE;
  int fd;

  if (part->tree < 0)
    return true;

  fd = afork_path_open_in_root (root, part->real, make, NULL);
  return fd >= 0 && move_tree_to (part->tree, fd);
}

/* Has the path that was named lead to the place of PART, as it does outside. If there are other
 * files on the way, it leads to these. One that goes up does so only if what is on its way is
 * there. */
static bool
link_part (const Part *part,
           int         root)
{
  int fd;

  if (part->tree < 0 || strcmp (part->path, part->real) == 0 || goes_up (part->path))
    return true;

  fd = afork_path_open_in_root (root, part->path, AFORK_PATH_MAKE_LINK, part->real);
  if (fd >= 0)
    close (fd);
  return fd >= 0 || errno == EROFS || afork_path_is_unreachable (errno);
}

/* Makes an empty directory for the new /proc, and shows that. */
static bool
make_proc (const AForkNamespacesResult *result,
           int                          root)
{
  int fd = afork_path_open_in_root (root, "proc", AFORK_PATH_MAKE_DIRECTORY, NULL);

  if (fd < 0)
    return false;

  close (fd);
  return show_proc (result, "proc");
}

/* Fills the working directory, which is the new root. ROOT is a descriptor of it. No link on the
 * way to a place may lead out of it, so all paths are opened from there. */
static bool
fill_root (const AForkNamespacesRules *rules,
           const Plan                 *plan,
           int                         root,
           AForkNamespacesResult      *result)
{
  const bool has_pid = (result->in_force & CLONE_NEWPID) != 0;
  const bool wants_proc = has_pid && (rules->shows_proc || plan->names_proc);

  for (size_t i = 0; i < plan->n_parts; i++)
    if (!is_covered (plan, &plan->parts[i]) && !mount_part (&plan->parts[i], root))
      return fail (result, "move_mount");

  if (plan->base >= 0 && has_pid && faccessat (root, "proc", F_OK, 0) == 0)
    {
      if (!show_proc (result, "proc") && mount ("tmpfs", "proc", "tmpfs", MS_RDONLY, "size=4k") < 0)
        return fail (result, "mount /proc");
    }
  else if (plan->base < 0 && wants_proc)
    {
      if (!make_proc (result, root))
        return fail (result, "mount /proc");
    }

  /* All places are there now. */
  for (size_t i = 0; i < plan->n_parts; i++)
    if (!link_part (&plan->parts[i], root))
      return fail (result, "symlink");

  if (plan->base < 0 && !set_attributes (root, 0, MOUNT_RDONLY))
    return fail (result, "mount_setattr");
  return true;
}

/* Makes the working directory the root directory, and drops the old one. */
static bool
switch_root (void)
{
  return syscall (SYS_pivot_root, ".", ".") == 0 && umount2 (".", MNT_DETACH) == 0
    && chdir ("/") == 0;
}

static bool
change_root (const AForkNamespacesRules *rules,
             AForkNamespacesResult      *result)
{
  static Plan plan;             /* large, and used once */
  bool done = false;
  int root;

  if (make_plan (rules, &plan, result))
    {
      root = mount_root (&plan, result);
      if (root >= 0 && fchdir (root) == 0)
        done = fill_root (rules, &plan, root, result)
          && (switch_root () || fail (result, "pivot_root"));
      if (root >= 0)
        close (root);
    }
  clear_plan (&plan);
  return done;
}

static int
open_mount_namespace (AForkNamespacesResult *result)
{
  int fd = open ("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

  if (fd < 0)
    fail (result, "/proc/self/ns/mnt");
  return fd;
}

/* Makes a second mount namespace with the new root directory, and leaves it again. Its descriptor
 * is RESULT->root. */
static void
prepare_root (const AForkNamespacesRules *rules,
              AForkNamespacesResult      *result)
{
  char directory[PATH_MAX];
  int here = open_mount_namespace (result);
  bool done = false;

  if (here < 0)
    return;

  if (getcwd (directory, sizeof directory) == NULL)
    strcpy (directory, "/");
  /* Without the way back, the new root would be in force at once. */
  if (setns (here, CLONE_NEWNS) < 0)
    {
      fail (result, "setns");
    }
  else if (unshare (CLONE_NEWNS) < 0)
    {
      fail (result, "unshare");
    }
  else
    {
      result->root = open_mount_namespace (result);
      done = result->root >= 0 && change_root (rules, result);
      /* If this fails, the root is in force from now on. */
      if (setns (here, CLONE_NEWNS) < 0)
        {
          fail (result, "setns");
          close (result->root);
          result->root = -1;
        }
    }

  if (chdir (directory) < 0 && chdir ("/") < 0)
    done = fail (result, "chdir");
  close (here);
  result->limits_read = done && rules->limits_read;
  result->limits_write = done && rules->limits_write;
  if (!done && result->root >= 0)
    {
      close (result->root);
      result->root = -1;
    }
}

/* Capabilities. */

/* Removes all capabilities from this process but KEPT, a set of bits. */
static bool
set_capabilities (uint32_t kept)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  const struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
    { .effective = kept, .permitted = kept }
  };

  return syscall (SYS_capset, &header, data) == 0;
}

/* Has no program that is executed get capabilities. In the namespace, a process could use them to
 * mount, or to configure the network. */
static bool
drop_bounding_set (AForkNamespacesResult *result)
{
  /* The ambient set is a part of the others. */
  for (unsigned long capability = 0; capability < 64; capability++)
    if (prctl (PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EINVAL)
      return fail (result, "prctl");

  return true;
}

/* The steps. */

void
afork_namespaces_set_up (const AForkNamespacesRules *rules,
                         AForkNamespacesResult      *result)
{
  static const int flags[] = { CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWUTS, CLONE_NEWNS };
  const uint32_t needed = UINT32_C (1) << CAP_SYS_ADMIN | UINT32_C (1) << CAP_SYS_CHROOT;

  for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
    if ((rules->wanted & flags[i]) != 0)
      {
        if (unshare (flags[i]) == 0)
          result->in_force |= flags[i];
        else
          fail (result, "unshare");
      }

  /* It needs the capabilities and /proc. A process without capabilities cannot change it back. */
  result->is_last = write_file ("/proc/sys/user/max_user_namespaces", "0");
  if (!result->is_last)
    fail (result, "/proc/sys/user/max_user_namespaces");

  if ((result->in_force & CLONE_NEWNS) != 0)
    {
      /* pivot_root() does not work where mounts are propagated. */
      const bool is_private = mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;

      if (!is_private)
        fail (result, "mount");
      /* A template measures its forks there. */
      if (is_private && (result->in_force & CLONE_NEWPID) != 0)
        result->has_proc = mount_proc ("/proc");
      /* Mounts cannot show files that may be written, but not read. */
      if (is_private && rules->limits_write)
        prepare_root (rules, result);
    }

  result->drops_caps = drop_bounding_set (result);
  if (!set_capabilities (result->root >= 0 ? needed : 0))
    result->drops_caps = fail (result, "capset");
}

bool
afork_namespaces_finish (AForkNamespacesResult *result)
{
  char directory[PATH_MAX];
  int error = 0;

  if (result->root < 0)
    return true;

  if (getcwd (directory, sizeof directory) == NULL)
    strcpy (directory, "/");
  if (setns (result->root, CLONE_NEWNS) < 0)
    {
      error = errno;
      result->limits_read = result->limits_write = false;
    }
  /* The working directory stays the same if it is there. */
  else if (chdir (directory) < 0 && chdir ("/") < 0)
    {
      error = errno;
    }
  close (result->root);
  result->root = -1;

  if (!set_capabilities (0))
    {
      error = errno;
      result->drops_caps = false;
    }
  errno = error;
  return error == 0;
}
