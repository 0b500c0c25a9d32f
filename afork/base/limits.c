/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "limits.h"

#include <signal.h>
#include <string.h>

#include <gio/gio.h>

#include "afork-error.h"
#include "i18n.h"

AForkLimits *
_afork_limits_new (void)
{
  AForkLimits *self = g_new (AForkLimits, 1);

  *self = (AForkLimits) {
    .memory = -1,
    .resident_memory = -1,
    .cpu_time = -1,
    .open_files = -1,
    .file_size = -1,
  };
  g_atomic_ref_count_init (&self->ref_count);
  return self;
}

AForkLimits *
_afork_limits_ref (AForkLimits *self)
{
  if (self != NULL)
    g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
_afork_limits_unref (AForkLimits *self)
{
  if (self != NULL && g_atomic_ref_count_dec (&self->ref_count))
    g_free (self);
}

static void
add (gint64 *limit,
     gint64  other)
{
  if (other >= 0 && (*limit < 0 || other < *limit))
    *limit = other;
}

static void
add_all (AForkLimits       *self,
         const AForkLimits *other)
{
  add (&self->memory, other->memory);
  add (&self->resident_memory, other->resident_memory);
  add (&self->cpu_time, other->cpu_time);
  add (&self->open_files, other->open_files);
  add (&self->file_size, other->file_size);
  self->has_filter = self->has_filter || other->has_filter;
}

AForkLimits *
_afork_limits_merge (const AForkLimits *self,
                     const AForkLimits *other)
{
  AForkLimits *merged = _afork_limits_new ();

  if (self != NULL)
    add_all (merged, self);
  if (other != NULL)
    add_all (merged, other);
  return merged;
}

/* What is printed when an allocation fails: by GLib, C++, Python, and perror(). A worker may print
 * anything, so this only chooses between the errors for a worker that has ended anyway. */
static gboolean
says_out_of_memory (const char *text)
{
  const char * const phrases[] = {
    "failed to allocate", "std::bad_alloc", "MemoryError", "Cannot allocate memory",
    "ut of memory",
  };

  for (gsize i = 0; text != NULL && i < G_N_ELEMENTS (phrases); i++)
    if (strstr (text, phrases[i]) != NULL)
      return TRUE;

  return FALSE;
}

/* Whether the calls of the worker have together used all that the kernel gives it, which is twice
 * the time. The last one could not use all of its time then, because it began after the first
 * half. */
static gboolean
has_used_all_cpu_time (const AForkLimits    *self,
                       const AForkLimitsEnd *end)
{
  return end->signal == SIGXCPU
    && end->answer_usec > (guint64) MAX (self->cpu_time, 0) * G_USEC_PER_SEC;
}

/* The kernel kills a process that ignores SIGXCPU. It measures the time for that by ticks, and the
 * time that it reports in another way. */
static gboolean
has_used_cpu_time (const AForkLimits    *self,
                   const AForkLimitsEnd *end)
{
  const guint64 usec = (guint64) MAX (self->cpu_time, 1) * G_USEC_PER_SEC;

  return self->cpu_time >= 0
    && (end->signal == SIGXCPU || (end->signal == SIGKILL && end->cpu_usec >= usec));
}

GError *
_afork_limits_explain (const AForkLimits    *self,
                       const char           *name,
                       const AForkLimitsEnd *end)
{
  if (self == NULL)
    return NULL;

  if (has_used_all_cpu_time (self, end))
    return g_error_new (AFORK_ERROR, AFORK_ERROR_TIMED_OUT,
                        _("%s has used the processor time that its sandbox allows for all calls "
                          "together, which is twice that of one (cpu-time: %lld s)"),
                        name, (long long) self->cpu_time);
  if (has_used_cpu_time (self, end))
    return g_error_new (AFORK_ERROR, AFORK_ERROR_TIMED_OUT,
                        _("%s has used the processor time that its sandbox allows (cpu-time: "
                          "%lld s)"), name, (long long) self->cpu_time);
  if (end->signal == SIGXFSZ && self->file_size >= 0)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_LIMIT,
                        _("%s has written a file larger than its sandbox allows (file-size: "
                          "%lld bytes)"), name, (long long) self->file_size);
  if (end->signal == SIGSYS && self->has_filter && end->system_call != NULL)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SANDBOX,
                        _("%s was ended because its sandbox does not allow the system call “%s” "
                          "(system-calls)"), name, end->system_call);
  if (end->signal == SIGSYS && self->has_filter)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SANDBOX,
                        _("%s was ended because of a system call that its sandbox does not allow "
                          "(system-calls)"), name);
  if (self->memory >= 0 && says_out_of_memory (end->text))
    return g_error_new (AFORK_ERROR, AFORK_ERROR_OUT_OF_MEMORY,
                        _("%s has ended because it needed more memory than its sandbox allows "
                          "(memory: %lld bytes)"), name, (long long) self->memory);

  return NULL;
}

static gboolean
holds (const GError *error,
       const char   *text)
{
  return strstr (error->message, text) != NULL;
}

/* Adds the property NAME and its VALUE to the error, and sets its code. */
static void
name_property (GError     **error,
               int          code,
               const char  *name,
               gint64       value)
{
  GError *named = g_error_new (AFORK_ERROR, code, "%s (%s: %" G_GINT64_FORMAT ")",
                               (*error)->message, name, value);

  g_clear_error (error);
  *error = named;
}

void
_afork_limits_name (const AForkLimits  *self,
                    GError            **error)
{
  if (self == NULL)
    return;

  if (self->open_files >= 0
      && (g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES)
          || g_error_matches (*error, G_FILE_ERROR, G_FILE_ERROR_MFILE)
          || holds (*error, "[Errno 24]") || holds (*error, "Too many open files")))
    name_property (error, AFORK_ERROR_LIMIT, "open-files", self->open_files);
  else if (self->file_size >= 0
           && (holds (*error, "[Errno 27]") || holds (*error, "File too large")))
    name_property (error, AFORK_ERROR_LIMIT, "file-size", self->file_size);
  else if (self->memory >= 0
           && (g_error_matches (*error, G_FILE_ERROR, G_FILE_ERROR_NOMEM)
               || says_out_of_memory ((*error)->message)))
    name_property (error, AFORK_ERROR_OUT_OF_MEMORY, "memory", self->memory);
}
