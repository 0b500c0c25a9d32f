/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "worker-pool.h"

#include "auto-fd.h"
#include "font-paths.h"
#include "picture-error.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GRACE       300       /* milliseconds for a worker to stop work that is not needed */
#define END_TIMEOUT 3         /* seconds for the template to report the exit of the last worker */
#define WALL_FACTOR 10        /* a picture may take so many times its processor time */
#define MIN_MEMORY  (G_GINT64_CONSTANT (256) << 20)
#define MAX_MEMORY  (G_GINT64_CONSTANT (1) << 30)
#define OPEN_FILES  512       /* more than the thumbnails of a contact sheet */
#define MAX_START   15000     /* milliseconds for a connection to another host */
#define MAX_HANGS   2         /* how often the template may hang before nothing is tried any more */
#define MAX_SENT    (G_GUINT64_CONSTANT (256) << 20)  /* bytes of a file for another host */

struct _WorkerPool
{
  AForkPool    *pool;
  GPtrArray    *templates;    /* one, or one for each host */
  gboolean      is_elsewhere; /* the workers are on other hosts */
  guint         timeout;      /* seconds until a worker has to be ready */
  guint         timer_id;
  guint         n_hangs;      /* since the last progress */
  guint         n_started;
  guint         n_failed;     /* workers that exited unexpectedly */
  gboolean      closed;
};

/* A module may be in the directory of the program, if both were built there. */
static void
add_own_folder_to_module_path (void)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = program != NULL ? g_path_get_dirname (program) : NULL;
  const char *module_path[] = { folder, NULL };

  afork_runtime_set_module_path (afork_runtime_get_native (), module_path);
}

/* All workers together get a quarter of the memory; on another host, as much as here. */
static gint64
get_memory_limit (const Options *options)
{
  const gint64 memory = (gint64) sysconf (_SC_PHYS_PAGES) * sysconf (_SC_PAGESIZE);

  return CLAMP (memory / (4 * options->n_jobs), MIN_MEMORY, MAX_MEMORY);
}

/* Workers decode what they are sent. They read nothing but fonts, for text in drawings and on
 * contact sheets. */
static void
confine (AForkProcess  *template,
         const Options *options)
{
  g_autoptr(AForkSandbox) sandbox = afork_sandbox_new_for_decoding ();
  g_auto(GStrv) fonts = font_paths_new ();

  afork_sandbox_set_read_paths (sandbox, (const char * const *) fonts);
  afork_sandbox_set_memory (sandbox, get_memory_limit (options));
  afork_sandbox_set_cpu_time (sandbox, options->timeout);
  afork_sandbox_set_open_files (sandbox, OPEN_FILES);
  afork_process_restrict (template, sandbox);
}

/* Returns the path of the module's file on this host, or NULL. */
static char *
find_module (const Options *options)
{
  g_auto(GStrv) own = afork_runtime_dup_module_path (afork_runtime_get_native ());
  const char *folders[] = {
    own != NULL ? own[0] : NULL, g_getenv ("AFORK_MODULE_PATH"), MODULES_DIR,
  };

  if (strchr (options->module, '/') != NULL)
    return g_strdup (options->module);

  for (gsize i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *name = g_strconcat (options->module, ".so", NULL);
      g_autofree char *path = folders[i] != NULL ? g_build_filename (folders[i], name, NULL) : NULL;

      if (path != NULL && g_file_test (path, G_FILE_TEST_EXISTS))
        return g_steal_pointer (&path);
    }

  return NULL;
}

/* Another host need not have the module: it gets that of this one. It needs the decoders. */
static void
load_module (AForkProcess  *template,
             const Options *options)
{
  g_autofree char *path = options->hosts != NULL ? find_module (options) : NULL;
  g_autoptr(GFile) file = path != NULL ? g_file_new_for_path (path) : NULL;

  if (file != NULL)
    afork_process_require_file (template, file);
  else
    afork_process_require (template, options->module);
}

/* There is only this template, or this one for the host of RUNTIME. So a default template to fork
 * it from is not needed. Messages of the template and its workers are shown only if this is wanted:
 * the decoding libraries warn about many valid pictures. */
static AForkProcess *
make_template (const Options *options,
               AForkRuntime  *runtime)
{
  const char *arguments[] = { options->verbose ? "verbose" : "quiet", NULL };
  AForkProcess *process = afork_process_new_exec (runtime);

  afork_process_set_title (process, "thumbnailer");
  afork_process_set_die_with_parent (process, TRUE);
  load_module (process, options);
  afork_process_call (process, "prepare", arguments);
  if (!options->unconfined)
    confine (process, options);
  return process;
}

static GPtrArray *
make_templates (const Options *options)
{
  GPtrArray *templates = g_ptr_array_new_with_free_func (g_object_unref);

  if (options->hosts == NULL)
    g_ptr_array_add (templates, make_template (options, NULL));
  for (gsize i = 0; options->hosts != NULL && options->hosts[i] != NULL; i++)
    {
      g_autoptr(AForkRuntime) runtime = afork_runtime_new_ssh (options->hosts[i]);

      /* A connection that does not come about fails before the template is taken for one that
       * hangs. */
      afork_runtime_set_start_timeout (runtime,
                                       MIN (MAX_START, (guint) options->timeout * 1000 / 2));
      g_ptr_array_add (templates, make_template (options, runtime));
    }

  return templates;
}

static void
end_templates (WorkerPool *self)
{
  for (guint i = 0; i < self->templates->len; i++)
    afork_process_force_exit (self->templates->pdata[i]);
}

/* If the template exits, the pool makes it again. But if the template hangs, workers do not start,
 * and the pool waits. Jobs that run have a time limit, so without this there is always progress. */

static gboolean
no_progress_cb (gpointer user_data)
{
  WorkerPool *self = user_data;

  if (afork_pool_get_n_queued (self->pool) == 0 || afork_pool_get_n_running (self->pool) > 0)
    return G_SOURCE_CONTINUE;

  self->n_hangs++;
  end_templates (self);
  if (self->n_hangs >= MAX_HANGS)
    afork_pool_shutdown_async (self->pool, AFORK_SHUTDOWN_MODE_ABORT, NULL, NULL, NULL);
  return G_SOURCE_CONTINUE;
}

static void
watch_progress (WorkerPool *self)
{
  g_clear_handle_id (&self->timer_id, g_source_remove);
  self->timer_id = g_timeout_add_seconds (self->timeout, no_progress_cb, self);
}

static void
worker_started_cb (AForkPool    *pool,
                   AForkProcess *process,
                   gpointer      user_data)
{
  WorkerPool *self = user_data;

  self->n_started++;
  self->n_hangs = 0;
  watch_progress (self);
}

static void
worker_exited_cb (AForkPool    *pool,
                  AForkProcess *process,
                  const GError *error,
                  gpointer      user_data)
{
  WorkerPool *self = user_data;

  self->n_failed += error != NULL;
}

WorkerPool *
worker_pool_new (const Options *options)
{
  WorkerPool *self = g_new0 (WorkerPool, 1);

  self->timeout = (guint) options->timeout;
  /* An error keeps its domain on the way from a worker only if the domain is known here. */
  (void) PICTURE_ERROR;
  add_own_folder_to_module_path ();
  self->templates = make_templates (options);
  self->is_elsewhere = options->hosts != NULL;
  /* A picture takes long, compared with the way to a worker. So each worker has one at a time, and
   * all workers start as soon as they have something to do. */
  self->pool = g_object_new (AFORK_TYPE_POOL,
                             "process", self->templates->pdata[0],
                             "function", "work",
                             "max-workers", (guint) options->n_jobs,
                             "load", 1,
                             "start-delay", 0,
                             "max-calls", options->fresh ? 1 : 0,
                             "max-memory", (guint64) options->max_memory << 20,
                             "grace", GRACE,
                             "forward-stderr", options->verbose,
                             "trusted", FALSE,
                             NULL);
  for (guint i = 1; i < self->templates->len; i++)
    afork_pool_add_template (self->pool, self->templates->pdata[i], (guint) options->n_jobs);
  g_signal_connect (self->pool, "worker-started", G_CALLBACK (worker_started_cb), self);
  g_signal_connect (self->pool, "worker-exited", G_CALLBACK (worker_exited_cb), self);
  watch_progress (self);
  return self;
}

static void
closed_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      user_data)
{
  WorkerPool *self = user_data;

  afork_pool_shutdown_finish (self->pool, result, NULL);
  self->closed = TRUE;
}

/* A template that hangs does not report that its workers have exited. If the pool has made
 * it again, it is ended by the end of this program. */
static gboolean
end_time_out_cb (gpointer user_data)
{
  WorkerPool *self = user_data;

  self->closed = TRUE;
  for (guint i = 0; i < self->templates->len; i++)
    self->closed &= afork_process_get_state (self->templates->pdata[i])
                    == AFORK_PROCESS_STATE_EXITED;
  end_templates (self);
  return G_SOURCE_CONTINUE;
}

void
worker_pool_free (WorkerPool *self)
{
  g_clear_handle_id (&self->timer_id, g_source_remove);
  g_signal_handlers_disconnect_by_data (self->pool, self);
  self->timer_id = g_timeout_add_seconds (END_TIMEOUT, end_time_out_cb, self);
  afork_pool_shutdown_async (self->pool, AFORK_SHUTDOWN_MODE_ABORT, NULL, closed_cb, self);
  while (!self->closed)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (self->timer_id);
  g_object_unref (self->pool);

  end_templates (self);
  for (guint i = 0; i < self->templates->len; i++)
    afork_process_wait (self->templates->pdata[i], NULL, NULL);
  g_ptr_array_unref (self->templates);
  g_free (self);
}

/* Jobs. */

typedef struct
{
  WorkerPool *pool;
  AForkJob   *job;
  GUnixFDList *files;         /* of the caller, if the worker is on another host; else NULL */
  gint64      begun;          /* when the job was given to the pool, in microseconds */
  int         width;          /* of the picture that the worker has handled */
  int         height;
} Run;

static void
run_free (Run *self)
{
  g_object_unref (self->job);
  g_clear_object (&self->files);
  g_free (self);
}

/* Files for workers on other hosts. Descriptors cannot be sent there, so the job has the content of
 * each file that is to be read, and an empty blob for each that is to be written. */

static gboolean
is_output (int fd)
{
  return (fcntl (fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

static gboolean
set_errno_error (GError     **error,
                 const char  *what)
{
  const int saved_errno = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno), "%s: %s", what,
               g_strerror (saved_errno));
  return FALSE;
}

/* Returns NULL if the file cannot be read. A file that is being written may have any size. */
static GBytes *
read_content (int      fd,
              GError **error)
{
  g_autofree guint8 *content = NULL;
  struct stat info;
  gsize size = 0;
  gssize n_read;

  if (fstat (fd, &info) < 0)
    {
      set_errno_error (error, "The picture could not be read");
      return NULL;
    }
  if ((guint64) info.st_size > MAX_SENT)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   "The file is too large for another host");
      return NULL;
    }

  content = g_malloc ((gsize) info.st_size + 1);
  do
    {
      n_read = TEMP_FAILURE_RETRY (pread (fd, content + size, (gsize) info.st_size - size,
                                          (off_t) size));
      size += (gsize) MAX (n_read, 0);
    }
  while (n_read > 0);
  if (n_read < 0)
    {
      set_errno_error (error, "The picture could not be read");
      return NULL;
    }

  return g_bytes_new_take (g_steal_pointer (&content), size);
}

static gboolean
send_contents (Run          *self,
               GUnixFDList  *files,
               GError      **error)
{
  int n_files;
  const int *fds = g_unix_fd_list_peek_fds (files, &n_files);

  for (int i = 0; i < n_files; i++)
    {
      g_autoptr(GBytes) content = is_output (fds[i]) ? g_bytes_new (NULL, 0)
                                                     : read_content (fds[i], error);

      if (content == NULL)
        return FALSE;
      afork_job_add_blob (self->job, content);
    }

  self->files = g_object_ref (files);
  return TRUE;
}

static gboolean
write_content (int      fd,
               GBytes  *content,
               GError **error)
{
  gsize size;
  const guint8 *next = g_bytes_get_data (content, &size);

  while (size > 0)
    {
      gssize n_written = TEMP_FAILURE_RETRY (write (fd, next, size));

      if (n_written < 0)
        return set_errno_error (error, "The output could not be written");
      next += n_written;
      size -= (gsize) n_written;
    }

  return TRUE;
}

/* Writes what the worker has returned to the files of the caller. */
static gboolean
take_contents (Run     *self,
               GError **error)
{
  int n_files = 0;
  const int *fds = g_unix_fd_list_peek_fds (self->files, &n_files);
  gsize n_blobs, next = 0;
  GBytes **blobs = afork_job_get_result_blobs (self->job, &n_blobs);

  for (int i = 0; i < n_files; i++)
    if (is_output (fds[i]))
      {
        if (next == n_blobs)
          {
            g_set_error_literal (error, PICTURE_ERROR, PICTURE_ERROR_FAILED,
                                 "The worker did not return what it was to make");
            return FALSE;
          }
        if (!write_content (fds[i], blobs[next++], error))
          return FALSE;
      }

  return TRUE;
}

/* Returns whether the picture caused ERROR: it cannot be decoded, or a worker crashed twice that
 * had it. A worker that was lost with its template says nothing about the picture, and neither
 * does one that took too long, or that got no memory: the system may be busy. */
static gboolean
is_caused_by_picture (Run          *self,
                      const GError *error)
{
  if (error->domain == AFORK_ERROR && afork_job_get_begun (self->job))
    switch (error->code)
      {
      case AFORK_ERROR_EXITED:
      case AFORK_ERROR_PROTOCOL:
      case AFORK_ERROR_SIGNALED:
        return TRUE;
      default:
        return FALSE;
      }

  return error->domain == PICTURE_ERROR;
}

/* Whether the limit of time is over, and not that of processor time. */
static gboolean
has_waited (Run *self)
{
  return g_get_monotonic_time () - self->begun
         >= afork_job_get_timeout (self->job) * G_TIME_SPAN_MILLISECOND;
}

/* What a worker says is not trusted, and may have any characters. */
static GError *
new_error (Run          *self,
           const GError *error)
{
  g_autofree char *text = text_from_bytes (error->message, strlen (error->message));

  if (self->pool->n_hangs >= MAX_HANGS && g_error_matches (error, AFORK_ERROR, AFORK_ERROR_CLOSED))
    return g_error_new (G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "No worker was ready within %u s",
                        self->pool->timeout);
  if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT) && has_waited (self))
    return g_error_new (AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "The worker took longer than %u s",
                        afork_job_get_timeout (self->job) / 1000);
  if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT))
    return g_error_new (PICTURE_ERROR, PICTURE_ERROR_TIMED_OUT,
                        "The worker needed more than %u s of processor time", self->pool->timeout);
  if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_SANDBOX)
      && !afork_job_get_begun (self->job))
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SANDBOX,
                        "%s. --unconfined makes thumbnails without protection", text);
  if (is_caused_by_picture (self, error))
    return g_error_new_literal (PICTURE_ERROR, PICTURE_ERROR_FAILED, text);

  return g_error_new_literal (error->domain, error->code, text);
}

static void
answered_cb (GObject      *object,
             GAsyncResult *result,
             gpointer      user_data)
{
  g_autoptr(GTask) task = user_data;
  Run *self = g_task_get_task_data (task);
  g_autoptr(GError) error = NULL;
  GVariant *value = afork_pool_run_job_finish (AFORK_POOL (object), result, &error);

  watch_progress (self->pool);
  if (value == NULL)
    g_task_return_error (task, new_error (self, error));
  else if (!g_variant_is_of_type (value, G_VARIANT_TYPE ("(ii)")))
    g_task_return_new_error (task, PICTURE_ERROR, PICTURE_ERROR_FAILED,
                             "The worker did not say what came of it");
  else if (self->files != NULL && !take_contents (self, &error))
    g_task_return_error (task, g_steal_pointer (&error));
  else
    {
      g_variant_get (value, "(ii)", &self->width, &self->height);
      g_task_return_boolean (task, TRUE);
    }
  g_clear_pointer (&value, g_variant_unref);
}

void
worker_pool_run_async (WorkerPool          *self,
                       const char          *what,
                       GVariant            *args,
                       GUnixFDList         *files,
                       int                  priority,
                       guint                timeout,
                       GCancellable        *cancellable,
                       GAsyncReadyCallback  callback,
                       gpointer             user_data)
{
  g_autoptr(GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Run *run = g_new0 (Run, 1);
  GError *error = NULL;

  run->pool = self;
  run->begun = g_get_monotonic_time ();
  run->job = afork_job_new (g_variant_new ("(sv)", what, args));
  afork_job_set_priority (run->job, priority);
  afork_job_set_timeout (run->job, timeout * WALL_FACTOR * 1000);
  afork_job_set_retries (run->job, 1);

  g_task_set_source_tag (task, worker_pool_run_async);
  g_task_set_task_data (task, run, (GDestroyNotify) run_free);
  if (!self->is_elsewhere)
    afork_job_set_fds (run->job, files);
  else if (!send_contents (run, files, &error))
    {
      g_task_return_error (task, error);
      return;
    }

  afork_pool_run_job_async (self->pool, run->job, cancellable, answered_cb,
                            g_steal_pointer (&task));
}

gboolean
worker_pool_run_finish (GAsyncResult  *result,
                        int           *width,
                        int           *height,
                        GError       **error)
{
  Run *run;

  g_return_val_if_fail (g_task_is_valid (result, NULL), FALSE);

  if (!g_task_propagate_boolean (G_TASK (result), error))
    return FALSE;

  run = g_task_get_task_data (G_TASK (result));
  *width = run->width;
  *height = run->height;
  return TRUE;
}

static void
types_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      user_data)
{
  g_autoptr(GTask) task = user_data;
  GError *error = NULL;
  g_autoptr(GVariant) value = afork_pool_call_finish (AFORK_POOL (object), result, &error);

  if (value == NULL)
    g_task_return_error (task, error);
  else if (!g_variant_is_of_type (value, G_VARIANT_TYPE_STRING_ARRAY))
    g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                             "The worker did not say what it can decode");
  else
    g_task_return_pointer (task, g_variant_dup_strv (value, NULL), (GDestroyNotify) g_strfreev);
}

void
worker_pool_list_types_async (WorkerPool          *self,
                              GAsyncReadyCallback  callback,
                              gpointer             user_data)
{
  GTask *task = g_task_new (NULL, NULL, callback, user_data);

  g_task_set_source_tag (task, worker_pool_list_types_async);
  afork_pool_call_async (self->pool, g_variant_new ("(sv)", "types", g_variant_new ("()")), NULL,
                         types_cb, task);
}

char **
worker_pool_list_types_finish (GAsyncResult  *result,
                               GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/* Returns a time of the statistics in milliseconds. */
static double
get_time (GVariant   *stats,
          const char *key)
{
  guint64 microseconds = 0;

  g_variant_lookup (stats, key, "t", &microseconds);
  return (double) microseconds / 1000;
}

char *
worker_pool_describe (WorkerPool *self)
{
  g_autoptr(GVariant) stats = afork_pool_get_stats (self->pool);

  return g_strdup_printf ("%u worker%s, of which %u exited unexpectedly\n"
                          "Half of the jobs took up to %.1f ms, nine of ten up to %.1f ms, all up "
                          "to %.1f ms",
                          self->n_started, self->n_started == 1 ? "" : "s", self->n_failed,
                          get_time (stats, "run-p50"), get_time (stats, "run-p90"),
                          get_time (stats, "run-max"));
}
