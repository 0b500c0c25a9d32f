/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a process may do: a bag of values, and how they are described to a server. */

#include "config.h"

#include "afork-sandbox.h"
#include "afork-sandbox-private.h"

#include <errno.h>
#include <string.h>

#include "afork-enum-types.h"
#include "afork-error.h"
#include "base/i18n.h"
#include "sandbox/filter.h"

/**
 * AForkSandbox:
 *
 * Limits and confinement for a process: how much memory and time it may use, which files it may
 * open, whether it has the network, and which system calls it may make.
 *
 * ```c
 * g_autoptr(AForkSandbox) sandbox = afork_sandbox_new_for_decoding ();
 *
 * afork_process_require (template, "thumbnail-worker");
 * afork_process_restrict (template, sandbox);
 * ```
 *
 * Each fork of a process that was restricted is restricted as well, so a template that was prepared
 * once gives confined workers at nearly the cost of a fork.
 *
 * What is asked for are effects, such as that a worker opens no files. The means are called layers:
 * resource limits, filters of system calls (seccomp), Landlock, and namespaces. Which of them can
 * be had depends on the kernel, on the user, and on the sandbox in which the program itself runs.
 * An effect counts as had if one layer that gives it is in force; further layers are added where
 * they can be had. If an effect cannot be had, the process fails with `AFORK_ERROR_SANDBOX`, and
 * the message says which layers were tried, and why each is not in force. With
 * [property@AFork.Sandbox:best-effort] the process goes on, and
 * [method@AFork.Process.get_confinement] returns what it has.
 *
 * A sandbox is only a description. It may be used for any number of processes, and changed between
 * them: a process that was restricted keeps what the sandbox said then. Any thread may use it, one
 * at a time.
 *
 * See [Confinement](confinement.html).
 *
 * Since: 0.1
 */
struct _AForkSandbox
{
  GObject          parent_instance;
  gint64           memory;
  gint64           resident_memory;
  gint64           cpu_time;
  gint64           open_files;
  gint64           file_size;
  gint64           processes;
  gint64           core_size;
  guint            nice;
  guint            oom_score_adj;
  gboolean         idle_scheduling;
  gboolean         network;
  gboolean         best_effort;
  char           **read_paths;        /* or NULL */
  char           **write_paths;        /* or NULL */
  AForkSystemCalls system_calls;
};

enum
{
  PROP_0,
  PROP_MEMORY,
  PROP_RESIDENT_MEMORY,
  PROP_CPU_TIME,
  PROP_OPEN_FILES,
  PROP_FILE_SIZE,
  PROP_PROCESSES,
  PROP_CORE_SIZE,
  PROP_NICE,
  PROP_IDLE_SCHEDULING,
  PROP_OOM_SCORE_ADJ,
  PROP_NETWORK,
  PROP_READ_PATHS,
  PROP_WRITE_PATHS,
  PROP_SYSTEM_CALLS,
  PROP_BEST_EFFORT,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

/* What new_for_decoding() allows. */
enum
{
  DECODING_MEMORY = 256 * 1024 * 1024,
  DECODING_CPU_TIME = 20,
  DECODING_OPEN_FILES = 64,
};

G_DEFINE_FINAL_TYPE (AForkSandbox, afork_sandbox, G_TYPE_OBJECT)

/* Paths. */

/* Returns whether *PATHS was another array. */
static gboolean
set_paths (char               ***paths,
           const char * const   *value)
{
  char **copy;

  if (*paths == NULL ? value == NULL
                     : value != NULL && g_strv_equal ((const char * const *) *paths, value))
    return FALSE;

  /* VALUE may be what *PATHS is. */
  copy = g_strdupv ((char **) value);
  g_strfreev (*paths);
  *paths = copy;
  return TRUE;
}

static void
afork_sandbox_finalize (GObject *object)
{
  AForkSandbox *self = AFORK_SANDBOX (object);

  g_strfreev (self->read_paths);
  g_strfreev (self->write_paths);

  G_OBJECT_CLASS (afork_sandbox_parent_class)->finalize (object);
}

static void
afork_sandbox_get_property (GObject    *object,
                            guint       prop_id,
                            GValue     *value,
                            GParamSpec *pspec)
{
  AForkSandbox *self = AFORK_SANDBOX (object);

  switch (prop_id)
    {
    case PROP_MEMORY:
      g_value_set_int64 (value, self->memory);
      break;
    case PROP_RESIDENT_MEMORY:
      g_value_set_int64 (value, self->resident_memory);
      break;
    case PROP_CPU_TIME:
      g_value_set_int64 (value, self->cpu_time);
      break;
    case PROP_OPEN_FILES:
      g_value_set_int64 (value, self->open_files);
      break;
    case PROP_FILE_SIZE:
      g_value_set_int64 (value, self->file_size);
      break;
    case PROP_PROCESSES:
      g_value_set_int64 (value, self->processes);
      break;
    case PROP_CORE_SIZE:
      g_value_set_int64 (value, self->core_size);
      break;
    case PROP_NICE:
      g_value_set_uint (value, self->nice);
      break;
    case PROP_IDLE_SCHEDULING:
      g_value_set_boolean (value, self->idle_scheduling);
      break;
    case PROP_OOM_SCORE_ADJ:
      g_value_set_uint (value, self->oom_score_adj);
      break;
    case PROP_NETWORK:
      g_value_set_boolean (value, self->network);
      break;
    case PROP_READ_PATHS:
      g_value_set_boxed (value, self->read_paths);
      break;
    case PROP_WRITE_PATHS:
      g_value_set_boxed (value, self->write_paths);
      break;
    case PROP_SYSTEM_CALLS:
      g_value_set_enum (value, self->system_calls);
      break;
    case PROP_BEST_EFFORT:
      g_value_set_boolean (value, self->best_effort);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
      break;
    }
}

static void
afork_sandbox_set_property (GObject      *object,
                            guint         prop_id,
                            const GValue *value,
                            GParamSpec   *pspec)
{
  AForkSandbox *self = AFORK_SANDBOX (object);

  switch (prop_id)
    {
    case PROP_MEMORY:
      afork_sandbox_set_memory (self, g_value_get_int64 (value));
      break;
    case PROP_RESIDENT_MEMORY:
      afork_sandbox_set_resident_memory (self, g_value_get_int64 (value));
      break;
    case PROP_CPU_TIME:
      afork_sandbox_set_cpu_time (self, g_value_get_int64 (value));
      break;
    case PROP_OPEN_FILES:
      afork_sandbox_set_open_files (self, g_value_get_int64 (value));
      break;
    case PROP_FILE_SIZE:
      afork_sandbox_set_file_size (self, g_value_get_int64 (value));
      break;
    case PROP_PROCESSES:
      afork_sandbox_set_processes (self, g_value_get_int64 (value));
      break;
    case PROP_CORE_SIZE:
      afork_sandbox_set_core_size (self, g_value_get_int64 (value));
      break;
    case PROP_NICE:
      afork_sandbox_set_nice (self, g_value_get_uint (value));
      break;
    case PROP_IDLE_SCHEDULING:
      afork_sandbox_set_idle_scheduling (self, g_value_get_boolean (value));
      break;
    case PROP_OOM_SCORE_ADJ:
      afork_sandbox_set_oom_score_adj (self, g_value_get_uint (value));
      break;
    case PROP_NETWORK:
      afork_sandbox_set_network (self, g_value_get_boolean (value));
      break;
    case PROP_READ_PATHS:
      afork_sandbox_set_read_paths (self, g_value_get_boxed (value));
      break;
    case PROP_WRITE_PATHS:
      afork_sandbox_set_write_paths (self, g_value_get_boxed (value));
      break;
    case PROP_SYSTEM_CALLS:
      afork_sandbox_set_system_calls (self, g_value_get_enum (value));
      break;
    case PROP_BEST_EFFORT:
      afork_sandbox_set_best_effort (self, g_value_get_boolean (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
      break;
    }
}

static void
afork_sandbox_class_init (AForkSandboxClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = afork_sandbox_finalize;
  object_class->get_property = afork_sandbox_get_property;
  object_class->set_property = afork_sandbox_set_property;

  /**
   * AForkSandbox:memory: (getter get_memory) (setter set_memory)
   *
   * The most memory the process may have, in bytes, or -1 for no limit. It is the limit of data
   * (`RLIMIT_DATA`), which counts the heap, stacks of threads and other private memory; and of the
   * address space (`RLIMIT_AS`), which counts what is mapped as well, such as libraries. So the
   * limit must be larger than the process when it is run.
   *
   * JavaScript reserves much more address space than it uses. There, the second limit is for what
   * is mapped in addition after the process was run.
   *
   * Files in memory, such as that of `memfd_create()`, count only while they are mapped. With
   * [enum@AFork.SystemCalls.compute], the process makes none.
   *
   * An allocation over the limit fails, and most programs then abort. An [class@AFork.Rpc] and a
   * pool report this as `AFORK_ERROR_OUT_OF_MEMORY` if the worker says on its standard error output
   * that there was no memory, as GLib, C++ and Python do.
   *
   * Since: 0.1
   */
  props[PROP_MEMORY] =
    g_param_spec_int64 ("memory", NULL, NULL,
                        -1, G_MAXINT64, -1,
                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:resident-memory: (getter get_resident_memory) (setter set_resident_memory)
   *
   * The most memory a worker of a pool may have in use between two jobs, in bytes, or -1 for no
   * limit. The kernel does not enforce it. A pool replaces a worker that has more, as with
   * [property@AFork.Pool:max-memory], which counts if it is less.
   *
   * Since: 0.1
   */
  props[PROP_RESIDENT_MEMORY] =
    g_param_spec_int64 ("resident-memory", NULL, NULL,
                        -1, G_MAXINT64, -1,
                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:cpu-time: (getter get_cpu_time) (setter set_cpu_time)
   *
   * The most processor time the process may use, in seconds, or -1 for no limit. The process then
   * gets `SIGXCPU`, which ends it. If it handles that signal, it is killed a second after twice the
   * time.
   *
   * For a worker that serves calls, it is the time for each call, and does not count what calls
   * before it have used. In all, the worker can use twice the time before it is ended; a pool
   * replaces a worker before that if it has used more than once the time.
   *
   * An [class@AFork.Rpc] and a pool report this as `AFORK_ERROR_TIMED_OUT`. The message says
   * whether one call has used the time, or all calls together.
   *
   * Since: 0.1
   */
  props[PROP_CPU_TIME] =
    g_param_spec_int64 ("cpu-time", NULL, NULL,
                        -1, G_MAXINT64, -1,
                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:open-files: (getter get_open_files) (setter set_open_files)
   *
   * The number of descriptors the process may have open, or -1 for no limit: descriptors of this
   * number and higher ones cannot be made. Those that it has when it is run stay open.
   *
   * Since: 0.1
   */
  props[PROP_OPEN_FILES] =
    g_param_spec_int64 ("open-files", NULL, NULL,
                        -1, G_MAXINT64, -1,
                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:file-size: (getter get_file_size) (setter set_file_size)
   *
   * The largest size to which the process may extend a file, in bytes, or -1 for no limit. Shared
   * memory is a file, too. A process that writes more gets `SIGXFSZ`, which ends it. An
   * [class@AFork.Rpc] and a pool report this as `AFORK_ERROR_LIMIT`.
   *
   * Since: 0.1
   */
  props[PROP_FILE_SIZE] =
    g_param_spec_int64 ("file-size", NULL, NULL,
                        -1, G_MAXINT64, -1,
                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:processes: (getter get_processes) (setter set_processes)
   *
   * The number of processes and threads that the user of the process may have in all, with those of
   * other programs, or -1 for no limit. The process can make another one only while there are
   * fewer.
   *
   * The kernel does not enforce this for root. Then restricting the process fails with
   * `AFORK_ERROR_SANDBOX`. To forbid all new processes, use [enum@AFork.SystemCalls.compute].
   *
   * Since: 0.1
   */
  props[PROP_PROCESSES] =
    g_param_spec_int64 ("processes", NULL, NULL,
                        -1, G_MAXINT64, -1,
                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:core-size: (getter get_core_size) (setter set_core_size)
   *
   * The largest size of a core dump of the process, in bytes, 0 for none, or -1 for no limit.
   *
   * Since: 0.1
   */
  props[PROP_CORE_SIZE] =
    g_param_spec_int64 ("core-size", NULL, NULL,
                        -1, G_MAXINT64, -1,
                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:nice: (getter get_nice) (setter set_nice)
   *
   * The nice value of the process, from 1 to 19, or 0 to leave it as it is: how much it gives way
   * to other processes.
   *
   * Since: 0.1
   */
  props[PROP_NICE] =
    g_param_spec_uint ("nice", NULL, NULL,
                       0, 19, 0,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:idle-scheduling: (getter get_idle_scheduling) (setter set_idle_scheduling)
   *
   * Whether the process runs only while no other process needs the processor (`SCHED_IDLE`).
   *
   * Since: 0.1
   */
  props[PROP_IDLE_SCHEDULING] =
    g_param_spec_boolean ("idle-scheduling", NULL, NULL, FALSE,
                          G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:oom-score-adj: (getter get_oom_score_adj) (setter set_oom_score_adj)
   *
   * How much sooner the kernel kills the process when memory runs out, from 1 to 1000, or 0 to
   * leave that as it is. This begins at once, and not only when the process is run.
   *
   * Since: 0.1
   */
  props[PROP_OOM_SCORE_ADJ] =
    g_param_spec_uint ("oom-score-adj", NULL, NULL,
                       0, 1000, 0,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:network: (getter get_network) (setter set_network)
   *
   * Whether the process may use the network. If not, it can make no sockets but those of `AF_UNIX`,
   * which reach processes of the same machine. It can use sockets that it was sent.
   *
   * Since: 0.1
   */
  props[PROP_NETWORK] =
    g_param_spec_boolean ("network", NULL, NULL, TRUE,
                          G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:read-paths: (getter get_read_paths) (setter set_read_paths)
   *
   * Absolute paths of files and directories that the process may read and execute, and what is in
   * these directories; an empty array for none; or `NULL` for all. A path that does not exist is
   * ignored. Files that can be written can also be read.
   *
   * Restricting a process fails with `AFORK_ERROR_SANDBOX` if a path is not absolute, or if there
   * are more than 256.
   *
   * The process can always use descriptors that it has. The limit does not hold for looking up
   * whether a file exists, or its owner and size, unless namespaces are in force.
   *
   * Since: 0.1
   */
  props[PROP_READ_PATHS] =
    g_param_spec_boxed ("read-paths", NULL, NULL, G_TYPE_STRV,
                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:write-paths: (getter get_write_paths) (setter set_write_paths)
   *
   * Absolute paths of files and directories that the process may write, and in which it may create
   * and remove files; an empty array for none; or `NULL` for all. A path that does not exist is
   * ignored. A path in [property@AFork.Sandbox:read-paths] that is in such a directory can still be
   * written.
   *
   * Restricting a process fails with `AFORK_ERROR_SANDBOX` if a path is not absolute, or if there
   * are more than 256.
   *
   * Since: 0.1
   */
  props[PROP_WRITE_PATHS] =
    g_param_spec_boxed ("write-paths", NULL, NULL, G_TYPE_STRV,
                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:system-calls: (getter get_system_calls) (setter set_system_calls)
   *
   * The system calls that the process may make.
   *
   * Since: 0.1
   */
  props[PROP_SYSTEM_CALLS] =
    g_param_spec_enum ("system-calls", NULL, NULL,
                       AFORK_TYPE_SYSTEM_CALLS, AFORK_SYSTEM_CALLS_ANY,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkSandbox:best-effort: (getter get_best_effort) (setter set_best_effort)
   *
   * Whether the process is run even if some of what was asked for cannot be had. What it has then
   * is returned by [method@AFork.Process.get_confinement].
   *
   * Since: 0.1
   */
  props[PROP_BEST_EFFORT] =
    g_param_spec_boolean ("best-effort", NULL, NULL, FALSE,
                          G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
afork_sandbox_init (AForkSandbox *self)
{
  self->memory = -1;
  self->resident_memory = -1;
  self->cpu_time = -1;
  self->open_files = -1;
  self->file_size = -1;
  self->processes = -1;
  self->core_size = -1;
  self->network = TRUE;
}

/**
 * afork_sandbox_new:
 *
 * Creates a sandbox that restricts nothing yet.
 *
 * Returns: (transfer full): a new sandbox
 *
 * Since: 0.1
 */
AForkSandbox *
afork_sandbox_new (void)
{
  return g_object_new (AFORK_TYPE_SANDBOX, NULL);
}

/**
 * afork_sandbox_new_for_decoding:
 *
 * Creates a sandbox that allows what pure computation on received descriptors needs, and nothing
 * else: for code that reads files of strangers, such as a decoder of pictures. It has
 *
 * - [enum@AFork.SystemCalls.compute], no network, and no files;
 * - 256 MiB of memory, and files that it was sent can grow to this size;
 * - 20 seconds of processor time, 64 descriptors, no core dump, and the highest score for being
 *   killed when memory runs out.
 *
 * The limits are a start: set them to what the work needs.
 *
 * Returns: (transfer full): a new sandbox
 *
 * Since: 0.1
 */
AForkSandbox *
afork_sandbox_new_for_decoding (void)
{
  const char * const none[] = { NULL };

  return g_object_new (AFORK_TYPE_SANDBOX,
                       "memory", (gint64) DECODING_MEMORY,
                       "file-size", (gint64) DECODING_MEMORY,
                       "cpu-time", (gint64) DECODING_CPU_TIME,
                       "open-files", (gint64) DECODING_OPEN_FILES,
                       "core-size", (gint64) 0,
                       "oom-score-adj", 1000,
                       "network", FALSE,
                       "read-paths", none,
                       "write-paths", none,
                       "system-calls", AFORK_SYSTEM_CALLS_COMPUTE,
                       NULL);
}

/**
 * afork_sandbox_get_memory: (get-property memory)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:memory].
 *
 * Returns: the limit, or -1 for none
 *
 * Since: 0.1
 */
gint64
afork_sandbox_get_memory (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), -1);

  return self->memory;
}

/**
 * afork_sandbox_set_memory: (set-property memory)
 * @self: a sandbox
 * @memory: the new limit, from 0, or -1 for none
 *
 * Sets [property@AFork.Sandbox:memory].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_memory (AForkSandbox *self,
                          gint64        memory)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));
  g_return_if_fail (memory >= -1);

  if (self->memory == memory)
    return;

  self->memory = memory;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_MEMORY]);
}

/**
 * afork_sandbox_get_resident_memory: (get-property resident-memory)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:resident-memory].
 *
 * Returns: the limit, or -1 for none
 *
 * Since: 0.1
 */
gint64
afork_sandbox_get_resident_memory (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), -1);

  return self->resident_memory;
}

/**
 * afork_sandbox_set_resident_memory: (set-property resident-memory)
 * @self: a sandbox
 * @resident_memory: the new limit, from 0, or -1 for none
 *
 * Sets [property@AFork.Sandbox:resident-memory].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_resident_memory (AForkSandbox *self,
                                   gint64        resident_memory)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));
  g_return_if_fail (resident_memory >= -1);

  if (self->resident_memory == resident_memory)
    return;

  self->resident_memory = resident_memory;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_RESIDENT_MEMORY]);
}

/**
 * afork_sandbox_get_cpu_time: (get-property cpu-time)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:cpu-time].
 *
 * Returns: the limit, or -1 for none
 *
 * Since: 0.1
 */
gint64
afork_sandbox_get_cpu_time (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), -1);

  return self->cpu_time;
}

/**
 * afork_sandbox_set_cpu_time: (set-property cpu-time)
 * @self: a sandbox
 * @cpu_time: the new limit, from 0, or -1 for none
 *
 * Sets [property@AFork.Sandbox:cpu-time].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_cpu_time (AForkSandbox *self,
                            gint64        cpu_time)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));
  g_return_if_fail (cpu_time >= -1);

  if (self->cpu_time == cpu_time)
    return;

  self->cpu_time = cpu_time;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_CPU_TIME]);
}

/**
 * afork_sandbox_get_open_files: (get-property open-files)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:open-files].
 *
 * Returns: the limit, or -1 for none
 *
 * Since: 0.1
 */
gint64
afork_sandbox_get_open_files (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), -1);

  return self->open_files;
}

/**
 * afork_sandbox_set_open_files: (set-property open-files)
 * @self: a sandbox
 * @open_files: the new limit, from 0, or -1 for none
 *
 * Sets [property@AFork.Sandbox:open-files].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_open_files (AForkSandbox *self,
                              gint64        open_files)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));
  g_return_if_fail (open_files >= -1);

  if (self->open_files == open_files)
    return;

  self->open_files = open_files;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_OPEN_FILES]);
}

/**
 * afork_sandbox_get_file_size: (get-property file-size)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:file-size].
 *
 * Returns: the limit, or -1 for none
 *
 * Since: 0.1
 */
gint64
afork_sandbox_get_file_size (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), -1);

  return self->file_size;
}

/**
 * afork_sandbox_set_file_size: (set-property file-size)
 * @self: a sandbox
 * @file_size: the new limit, from 0, or -1 for none
 *
 * Sets [property@AFork.Sandbox:file-size].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_file_size (AForkSandbox *self,
                             gint64        file_size)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));
  g_return_if_fail (file_size >= -1);

  if (self->file_size == file_size)
    return;

  self->file_size = file_size;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_FILE_SIZE]);
}

/**
 * afork_sandbox_get_processes: (get-property processes)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:processes].
 *
 * Returns: the limit, or -1 for none
 *
 * Since: 0.1
 */
gint64
afork_sandbox_get_processes (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), -1);

  return self->processes;
}

/**
 * afork_sandbox_set_processes: (set-property processes)
 * @self: a sandbox
 * @processes: the new limit, from 0, or -1 for none
 *
 * Sets [property@AFork.Sandbox:processes].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_processes (AForkSandbox *self,
                             gint64        processes)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));
  g_return_if_fail (processes >= -1);

  if (self->processes == processes)
    return;

  self->processes = processes;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_PROCESSES]);
}

/**
 * afork_sandbox_get_core_size: (get-property core-size)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:core-size].
 *
 * Returns: the limit, or -1 for none
 *
 * Since: 0.1
 */
gint64
afork_sandbox_get_core_size (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), -1);

  return self->core_size;
}

/**
 * afork_sandbox_set_core_size: (set-property core-size)
 * @self: a sandbox
 * @core_size: the new limit, from 0, or -1 for none
 *
 * Sets [property@AFork.Sandbox:core-size].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_core_size (AForkSandbox *self,
                             gint64        core_size)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));
  g_return_if_fail (core_size >= -1);

  if (self->core_size == core_size)
    return;

  self->core_size = core_size;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_CORE_SIZE]);
}

/**
 * afork_sandbox_get_nice: (get-property nice)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:nice].
 *
 * Returns: the value, or 0 if it is left as it is
 *
 * Since: 0.1
 */
guint
afork_sandbox_get_nice (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), 0);

  return self->nice;
}

/**
 * afork_sandbox_set_nice: (set-property nice)
 * @self: a sandbox
 * @nice: the new value, or 0 to leave it as it is
 *
 * Sets [property@AFork.Sandbox:nice].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_nice (AForkSandbox *self,
                        guint         nice)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));
  g_return_if_fail (nice <= 19);

  if (self->nice == nice)
    return;

  self->nice = nice;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_NICE]);
}

/**
 * afork_sandbox_get_idle_scheduling: (get-property idle-scheduling)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:idle-scheduling].
 *
 * Returns: the value
 *
 * Since: 0.1
 */
gboolean
afork_sandbox_get_idle_scheduling (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), FALSE);

  return self->idle_scheduling;
}

/**
 * afork_sandbox_set_idle_scheduling: (set-property idle-scheduling)
 * @self: a sandbox
 * @idle_scheduling: the new value
 *
 * Sets [property@AFork.Sandbox:idle-scheduling].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_idle_scheduling (AForkSandbox *self,
                                   gboolean      idle_scheduling)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));

  idle_scheduling = !!idle_scheduling;
  if (self->idle_scheduling == idle_scheduling)
    return;

  self->idle_scheduling = idle_scheduling;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_IDLE_SCHEDULING]);
}

/**
 * afork_sandbox_get_oom_score_adj: (get-property oom-score-adj)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:oom-score-adj].
 *
 * Returns: the value, or 0 if it is left as it is
 *
 * Since: 0.1
 */
guint
afork_sandbox_get_oom_score_adj (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), 0);

  return self->oom_score_adj;
}

/**
 * afork_sandbox_set_oom_score_adj: (set-property oom-score-adj)
 * @self: a sandbox
 * @oom_score_adj: the new value, or 0 to leave it as it is
 *
 * Sets [property@AFork.Sandbox:oom-score-adj].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_oom_score_adj (AForkSandbox *self,
                                 guint         oom_score_adj)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));
  g_return_if_fail (oom_score_adj <= 1000);

  if (self->oom_score_adj == oom_score_adj)
    return;

  self->oom_score_adj = oom_score_adj;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_OOM_SCORE_ADJ]);
}

/**
 * afork_sandbox_get_network: (get-property network)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:network].
 *
 * Returns: the value
 *
 * Since: 0.1
 */
gboolean
afork_sandbox_get_network (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), FALSE);

  return self->network;
}

/**
 * afork_sandbox_set_network: (set-property network)
 * @self: a sandbox
 * @network: the new value
 *
 * Sets [property@AFork.Sandbox:network].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_network (AForkSandbox *self,
                           gboolean      network)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));

  network = !!network;
  if (self->network == network)
    return;

  self->network = network;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_NETWORK]);
}

/**
 * afork_sandbox_get_read_paths: (get-property read-paths)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:read-paths].
 *
 * Returns: (transfer none) (nullable) (array zero-terminated=1) (element-type filename):
 *   the paths, or `NULL`
 *
 * Since: 0.1
 */
const char * const *
afork_sandbox_get_read_paths (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), NULL);

  return (const char * const *) self->read_paths;
}

/**
 * afork_sandbox_set_read_paths: (set-property read-paths)
 * @self: a sandbox
 * @read_paths: (nullable) (array zero-terminated=1) (element-type filename): absolute paths, or
 *   `NULL` for all
 *
 * Sets [property@AFork.Sandbox:read-paths].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_read_paths (AForkSandbox       *self,
                              const char * const *read_paths)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));

  if (set_paths (&self->read_paths, read_paths))
    g_object_notify_by_pspec (G_OBJECT (self), props[PROP_READ_PATHS]);
}

/**
 * afork_sandbox_get_write_paths: (get-property write-paths)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:write-paths].
 *
 * Returns: (transfer none) (nullable) (array zero-terminated=1) (element-type filename):
 *   the paths, or `NULL`
 *
 * Since: 0.1
 */
const char * const *
afork_sandbox_get_write_paths (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), NULL);

  return (const char * const *) self->write_paths;
}

/**
 * afork_sandbox_set_write_paths: (set-property write-paths)
 * @self: a sandbox
 * @write_paths: (nullable) (array zero-terminated=1) (element-type filename): absolute paths, or
 *   `NULL` for all
 *
 * Sets [property@AFork.Sandbox:write-paths].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_write_paths (AForkSandbox       *self,
                               const char * const *write_paths)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));

  if (set_paths (&self->write_paths, write_paths))
    g_object_notify_by_pspec (G_OBJECT (self), props[PROP_WRITE_PATHS]);
}

/**
 * afork_sandbox_get_system_calls: (get-property system-calls)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:system-calls].
 *
 * Returns: the system calls
 *
 * Since: 0.1
 */
AForkSystemCalls
afork_sandbox_get_system_calls (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), AFORK_SYSTEM_CALLS_ANY);

  return self->system_calls;
}

/**
 * afork_sandbox_set_system_calls: (set-property system-calls)
 * @self: a sandbox
 * @system_calls: the system calls to allow
 *
 * Sets [property@AFork.Sandbox:system-calls].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_system_calls (AForkSandbox     *self,
                                AForkSystemCalls  system_calls)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));

  if (self->system_calls == system_calls)
    return;

  self->system_calls = system_calls;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_SYSTEM_CALLS]);
}

/**
 * afork_sandbox_get_best_effort: (get-property best-effort)
 * @self: a sandbox
 *
 * Gets [property@AFork.Sandbox:best-effort].
 *
 * Returns: the value
 *
 * Since: 0.1
 */
gboolean
afork_sandbox_get_best_effort (AForkSandbox *self)
{
  g_return_val_if_fail (AFORK_IS_SANDBOX (self), FALSE);

  return self->best_effort;
}

/**
 * afork_sandbox_set_best_effort: (set-property best-effort)
 * @self: a sandbox
 * @best_effort: the new value
 *
 * Sets [property@AFork.Sandbox:best-effort].
 *
 * Since: 0.1
 */
void
afork_sandbox_set_best_effort (AForkSandbox *self,
                               gboolean      best_effort)
{
  g_return_if_fail (AFORK_IS_SANDBOX (self));

  best_effort = !!best_effort;
  if (self->best_effort == best_effort)
    return;

  self->best_effort = best_effort;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_BEST_EFFORT]);
}

/* For the library: the description. */

/* Adds the filters that the sandbox needs to CONFINEMENT, and keeps their bytes in KEPT. */
static void
describe_filters (AForkSandbox     *self,
                  AForkConfinement *confinement,
                  GPtrArray        *kept)
{
  AForkFilterKind kind = {
    .system_calls = self->system_calls,
    .network = self->network,
    .files = (self->read_paths != NULL && *self->read_paths != NULL)
      || (self->write_paths != NULL && *self->write_paths != NULL),
  };

  for (int stage = AFORK_STAGE_TEMPLATE; stage < AFORK_N_STAGES; stage++)
    {
      AForkFilter *filter = &confinement->filters[confinement->n_filters];
      GBytes *bytes;
      gsize size;

      kind.stage = (AForkStage) stage;
      if (!_afork_filter_is_needed (&kind))
        continue;

      bytes = _afork_filter_compile (&kind, 0, &filter->gives);
      if (bytes == NULL)
        {
          g_debug ("A filter of system calls cannot be made: %s", g_strerror (errno));
          confinement->missing[AFORK_LAYER_SECCOMP] = AFORK_LAYER_STATE_NOT_BUILT;
          confinement->n_filters = 0;
          return;
        }

      g_ptr_array_add (kept, bytes);
      filter->stage = kind.stage;
      filter->architecture = _afork_filter_get_architecture ();
      filter->instructions = g_bytes_get_data (bytes, &size);
      filter->n_instructions = (guint32) (size / AFORK_INSTRUCTION_SIZE);
      confinement->n_filters++;
    }
}

/* Adds a limit, unless VALUE is -1. */
static void
describe_limit (AForkConfinement *confinement,
                AForkLimit        limit,
                AForkEffects      effect,
                gint64            value,
                gint64            hard)
{
  if (value < 0)
    return;

  confinement->limits[limit] = (AForkLimitValue) {
    .set = true,
    .soft = (guint64) value,
    .hard = (guint64) hard,
  };
  confinement->wanted |= effect;
}

static void
describe_limits (AForkSandbox     *self,
                 AForkConfinement *confinement,
                 gboolean          address_space)
{
  const gint64 cpu_time = MIN (self->cpu_time, G_MAXINT32);

  describe_limit (confinement, AFORK_LIMIT_DATA, AFORK_EFFECT_MEMORY, self->memory, self->memory);
  /* The limit of data alone can be evaded: memory that is not writable does not count for it. */
  describe_limit (confinement,
                  address_space ? AFORK_LIMIT_ADDRESS_SPACE : AFORK_LIMIT_MORE_ADDRESS_SPACE,
                  AFORK_EFFECT_MEMORY, self->memory, self->memory);
  /* For calls, the worker moves the first limit up to twice the time. */
  describe_limit (confinement, AFORK_LIMIT_CPU_TIME, AFORK_EFFECT_CPU_TIME, cpu_time,
                  2 * cpu_time + 1);
  describe_limit (confinement, AFORK_LIMIT_OPEN_FILES, AFORK_EFFECT_OPEN_FILES, self->open_files,
                  self->open_files);
  describe_limit (confinement, AFORK_LIMIT_FILE_SIZE, AFORK_EFFECT_FILE_SIZE, self->file_size,
                  self->file_size);
  describe_limit (confinement, AFORK_LIMIT_PROCESSES, AFORK_EFFECT_PROCESSES, self->processes,
                  self->processes);
  describe_limit (confinement, AFORK_LIMIT_CORE_SIZE, AFORK_EFFECT_CORE_SIZE, self->core_size,
                  self->core_size);
}

/* Packs PATHS for CONFINEMENT, and keeps their bytes in KEPT. Returns FALSE if one is not absolute,
 * or if there are too many. There are no files with paths longer than messages can have. */
static gboolean
describe_paths (AForkConfinement    *confinement,
                AForkPathAccess      access,
                AForkEffects         effect,
                const char * const  *paths,
                GPtrArray           *kept,
                GError             **error)
{
  g_autoptr(GPtrArray) possible = g_ptr_array_new ();
  guint32 n_paths;
  guint8 *bytes;
  gsize size;

  if (paths == NULL)
    return TRUE;

  for (gsize i = 0; paths[i] != NULL; i++)
    {
      if (!g_path_is_absolute (paths[i]))
        {
          g_autofree char *shown = g_filename_display_name (paths[i]);

          g_set_error (error, AFORK_ERROR, AFORK_ERROR_SANDBOX,
                       _("The sandbox has the path “%s” in “%s”, which is not absolute"),
                       shown, afork_effect_name (effect));
          return FALSE;
        }
      if (strlen (paths[i]) <= AFORK_MAX_PATH_LENGTH)
        g_ptr_array_add (possible, (char *) paths[i]);
    }
  if (possible->len > AFORK_MAX_PATHS)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SANDBOX,
                   _("The sandbox has %u paths in “%s”, and can have %d at most"),
                   possible->len, afork_effect_name (effect), AFORK_MAX_PATHS);
      return FALSE;
    }

  g_ptr_array_add (possible, NULL);
  paths = (const char * const *) possible->pdata;
  size = afork_strings_size (paths, &n_paths);
  bytes = g_malloc (MAX (size, 1));
  afork_strings_write (paths, bytes);
  g_ptr_array_add (kept, g_bytes_new_take (bytes, size));
  confinement->has_paths[access] = true;
  confinement->paths[access] = (AForkStrings) {
    .n_strings = n_paths,
    .bytes = bytes,
    .n_bytes = size,
  };
  confinement->wanted |= effect;
  return TRUE;
}

/* Namespaces are a further layer for a process that needs neither the network nor files. */
static guint32
get_namespaces (AForkSandbox *self)
{
  guint32 namespaces = 0;

  if (self->system_calls == AFORK_SYSTEM_CALLS_COMPUTE)
    namespaces = AFORK_NAMESPACE_USER | AFORK_NAMESPACE_MOUNT | AFORK_NAMESPACE_PID
      | AFORK_NAMESPACE_IPC | AFORK_NAMESPACE_NETWORK | AFORK_NAMESPACE_UTS;
  else if (!self->network)
    namespaces = AFORK_NAMESPACE_USER | AFORK_NAMESPACE_NETWORK;
  return namespaces;
}

GBytes *
_afork_sandbox_describe (AForkSandbox  *self,
                         gboolean       address_space,
                         GError       **error)
{
  g_autoptr(GPtrArray) kept = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  const gboolean computes = self->system_calls == AFORK_SYSTEM_CALLS_COMPUTE;
  AForkConfinement confinement = {
    .nice = self->nice,
    .idle = self->idle_scheduling,
    .oom_score = self->oom_score_adj,
    .namespaces = get_namespaces (self),
  };
  guint8 *bytes;
  gsize size;

  if (self->best_effort)
    confinement.flags |= AFORK_CONFINEMENT_BEST_EFFORT;
  if (self->nice != 0 || self->idle_scheduling || self->oom_score_adj != 0)
    confinement.wanted |= AFORK_EFFECT_PRIORITY;
  if (!self->network || computes)
    confinement.wanted |= AFORK_EFFECT_NETWORK;
  if (self->system_calls != AFORK_SYSTEM_CALLS_ANY)
    confinement.wanted |= AFORK_EFFECT_SYSTEM_CALLS;
  if (computes)
    {
      confinement.flags |= AFORK_CONFINEMENT_NO_EXEC;
      confinement.wanted |= AFORK_EFFECT_NEW_PROCESSES | AFORK_EFFECT_OTHER_PROCESSES;
    }
  describe_limits (self, &confinement, address_space);
  if (!describe_paths (&confinement, AFORK_PATH_ACCESS_READ, AFORK_EFFECT_READ_PATHS,
                       afork_sandbox_get_read_paths (self), kept, error)
      || !describe_paths (&confinement, AFORK_PATH_ACCESS_WRITE, AFORK_EFFECT_WRITE_PATHS,
                          afork_sandbox_get_write_paths (self), kept, error))
    return NULL;
  describe_filters (self, &confinement, kept);

  size = afork_confinement_size (&confinement);
  bytes = g_malloc (size);
  afork_confinement_write (&confinement, bytes);
  return g_bytes_new_take (bytes, size);
}

AForkLimits *
_afork_sandbox_dup_limits (AForkSandbox *self)
{
  AForkLimits *limits = _afork_limits_new ();

  limits->memory = self->memory;
  limits->resident_memory = self->resident_memory;
  limits->cpu_time = self->cpu_time;
  limits->open_files = self->open_files;
  limits->file_size = self->file_size;
  limits->has_filter = self->system_calls != AFORK_SYSTEM_CALLS_ANY || !self->network;
  return limits;
}
