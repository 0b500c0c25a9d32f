/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "run.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The text for the other side, which sends it back. */
#define WORD "word"

struct _Run
{
  FaultPlan    *plan;
  GPtrArray    *processes;
  GPtrArray    *pools;
  GPtrArray    *maps;
  GPtrArray    *operations;
  GCancellable *cancellable;
  GSource      *control;        /* the driver's signal to give up; or NULL */
  gboolean      given_up;
  guint32       kinds;
  char         *report;
  gsize         report_size;
};

typedef enum { FUNCTION, PROGRAM, DETACH, NOTED, JOB, NEXT, WAIT } OperationType;

struct _Operation
{
  Run               *run;
  OperationType      type;
  AForkProcess      *process;       /* NULL for a job */
  guint32            number;        /* of a job, or NO_MORE */
  guint              n_answers;
  GSocketConnection *connection;
  int                fd;
  GError            *error;
  gboolean           cut;       /* not everything has come */
};

/* Words. */

static const struct
{
  guint32     kind;
  const char *name;
} kind_names[] = {
  { KIND_SAME, "same" },
  { KIND_ENDED, "ended" },
  { KIND_UNKNOWN, "end unknown" },
  { KIND_CANCELLED, "CANCELLED" },
  { KIND_TOO_MANY, "TOO_MANY_OPEN_FILES" },
  { KIND_NO_SPACE, "NO_SPACE" },
  { KIND_CODE (FAILED), "FAILED" },
  { KIND_CODE (SPAWN), "SPAWN" },
  { KIND_CODE (CLOSED), "CLOSED" },
  { KIND_CODE (MODULE), "MODULE" },
  { KIND_CODE (EVAL), "EVAL" },
  { KIND_CODE (FUNCTION), "FUNCTION" },
  { KIND_CODE (THREADS), "THREADS" },
  { KIND_CODE (SANDBOX), "SANDBOX" },
  { KIND_CODE (NOT_SUPPORTED), "NOT_SUPPORTED" },
  { KIND_CODE (PROTOCOL), "PROTOCOL" },
  { KIND_CODE (EXITED), "EXITED" },
  { KIND_CODE (SIGNALED), "SIGNALED" },
  { KIND_CODE (LOST), "LOST" },
};

char *
kinds_to_string (guint32 kinds)
{
  g_autoptr(GString) text = g_string_new (NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (kind_names); i++)
    if ((kinds & kind_names[i].kind) != 0)
      g_string_append_printf (text, "%s%s", text->len > 0 ? " " : "", kind_names[i].name);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

void
run_wrong (Run        *run,
           const char *format,
           ...)
{
  va_list arguments;

  va_start (arguments, format);
  g_vsnprintf (run->report, run->report_size, format, arguments);
  va_end (arguments);
  _exit (1);
}

static guint32
to_kind (Run          *run,
         const GError *error)
{
  if (error->domain == AFORK_ERROR)
    return (guint32) KIND_FIRST_CODE << error->code;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return KIND_CANCELLED;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES))
    return KIND_TOO_MANY;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE))
    return KIND_NO_SPACE;

  run_wrong (run, "An error that nobody knows: %s %d: %s",
             g_quark_to_string (error->domain), error->code, error->message);
}

/* Giving up. */

static gboolean
control_cb (int          fd,
            GIOCondition condition,
            gpointer     data)
{
  Run *run = data;

  run->given_up = TRUE;
  if (run->plan->action == FAULT_STOP_CANCEL)
    {
      g_cancellable_cancel (run->cancellable);
      return G_SOURCE_REMOVE;
    }

  for (guint i = 0; i < run->pools->len; i++)
    afork_pool_shutdown_async (g_ptr_array_index (run->pools, i), AFORK_SHUTDOWN_MODE_ABORT, NULL,
                               NULL, NULL);
  for (guint i = 0; i < run->processes->len; i++)
    afork_process_force_exit (g_ptr_array_index (run->processes, i));
  return G_SOURCE_REMOVE;
}

/* Returns the letter of proc(5) for the state of a process, or Z if there is none. */
static char
get_process_state (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *text = NULL;
  const char *name_end = NULL;

  if (g_file_get_contents (path, &text, NULL, NULL))
    name_end = strrchr (text, ')');
  return name_end != NULL ? name_end[2] : 'Z';
}

/* Continues the process that has stopped itself, or is about to. The driver does so if the caller
 * is not to give up, or if the process stops after this. */
static void
await_continued (Run *run)
{
  const gboolean by_driver = run->plan->action == FAULT_STOP;
  int pid = atomic_load (&run->plan->hit);
  char state;

  if (pid == 0 || run->plan->role == FAULT_CALLER || !fault_stops (run->plan->action))
    return;

  /* There is no event for a child of another process. It has only one system call to make. */
  while ((state = get_process_state (pid)) != 'Z' && state != 'X'
         && (by_driver ? !atomic_load (&run->plan->continued) : state != 'T'))
    g_usleep (500);
  if (!by_driver && state == 'T')
    kill (pid, SIGCONT);
}

/* Operations. */

static Operation *
add_operation (Run           *run,
               OperationType  type,
               AForkProcess  *process)
{
  Operation *self = g_new0 (Operation, 1);

  self->run = run;
  self->type = type;
  self->process = process;
  self->fd = -1;
  g_ptr_array_add (run->operations, self);
  return self;
}

static void
operation_free (gpointer data)
{
  Operation *self = data;

  g_clear_object (&self->connection);
  g_clear_error (&self->error);
  if (self->fd >= 0)
    close (self->fd);
  g_free (self);
}

static void
answer_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  AForkProcess *process = AFORK_PROCESS (object);
  Operation *self = data;
  gboolean success;

  if (self->n_answers++ > 0)
    run_wrong (self->run, "An operation was answered twice");

  switch (self->type)
    {
    case FUNCTION:
      self->connection = afork_process_run_finish (process, result, &self->error);
      success = self->connection != NULL;
      break;
    case PROGRAM:
      self->connection = afork_process_exec_finish (process, result, &self->error);
      success = self->connection != NULL;
      break;
    case DETACH:
      self->fd = afork_process_detach_finish (process, result, &self->error);
      success = self->fd >= 0;
      break;
    default:
      success = afork_process_wait_finish (process, result, &self->error);
      break;
    }

  if (success == (self->error != NULL))
    run_wrong (self->run, "An operation has both a result and an error, or neither");
}

Operation *
run_function (Run          *run,
              AForkProcess *process,
              const char   *function)
{
  Operation *self = NULL;

  if (!run->given_up)
    {
      self = add_operation (run, FUNCTION, process);
      afork_process_run_async (process, function, run->cancellable, answer_cb, self);
    }

  return self;
}

static void
job_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      data)
{
  Operation *self = data;
  g_autoptr(GVariant) answer = NULL;

  if (self->n_answers++ > 0)
    run_wrong (self->run, "A job has ended twice");

  answer = afork_pool_run_job_finish (AFORK_POOL (object), result, &self->error);
  if ((answer == NULL) == (self->error == NULL))
    run_wrong (self->run, "A job has both a result and an error, or neither");
  if (answer != NULL && g_variant_get_uint32 (answer) != self->number)
    run_wrong (self->run, "A job has the result of another one");
  if (answer != NULL)
    self->run->kinds |= KIND_SAME;
}

AForkJob *
run_new_job (guint32 number)
{
  AForkJob *job = afork_job_new (g_variant_new ("(su)", "echo", number));

  afork_job_set_retries (job, 3);
  return job;
}

Operation *
run_job (Run       *run,
         AForkPool *pool,
         guint32    number)
{
  g_autoptr(AForkJob) job = NULL;
  Operation *self;

  if (run->given_up)
    return NULL;

  self = add_operation (run, JOB, NULL);
  self->number = number;
  job = run_new_job (number);
  afork_pool_run_job_async (pool, job, run->cancellable, job_cb, self);
  return self;
}

static void
next_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  Operation *self = data;
  g_autoptr(AForkJob) job = NULL;

  if (self->n_answers++ > 0)
    run_wrong (self->run, "The next job of a map was returned twice");

  job = afork_map_next_finish (AFORK_MAP (object), result, &self->error);
  if (job != NULL && self->error != NULL)
    run_wrong (self->run, "A map has both a job and an error");
  if (self->error != NULL)
    return;

  if ((job != NULL) != (self->number != NO_MORE))
    run_wrong (self->run, "A map returns %s", job != NULL ? "too many jobs" : "too few jobs");
  if (job != NULL && afork_job_get_error (job) != NULL)
    self->error = g_error_copy (afork_job_get_error (job));
  else if (job != NULL && g_variant_get_uint32 (afork_job_get_result (job)) != self->number)
    run_wrong (self->run, "A map does not return its jobs in their order");
  if (self->error == NULL)
    self->run->kinds |= KIND_SAME;
}

AForkMap *
run_map (Run        *run,
         AForkPool  *pool,
         GListModel *jobs)
{
  AForkMap *map = afork_pool_map_jobs (pool, jobs, AFORK_MAP_ORDERED);

  g_ptr_array_add (run->maps, map);
  return map;
}

Operation *
run_next (Run      *run,
          AForkMap *map,
          guint32   number)
{
  Operation *self;

  if (run->given_up)
    return NULL;

  self = add_operation (run, NEXT, NULL);
  self->number = number;
  afork_map_next_async (map, run->cancellable, next_cb, self);
  return self;
}

Operation *
run_program (Run                *run,
             AForkProcess       *process,
             const char * const *argv)
{
  Operation *self = NULL;

  if (!run->given_up)
    {
      self = add_operation (run, PROGRAM, process);
      afork_process_exec_async (process, argv, run->cancellable, answer_cb, self);
    }

  return self;
}

Operation *
run_detach (Run          *run,
            AForkProcess *process)
{
  Operation *self = NULL;

  if (!run->given_up)
    {
      self = add_operation (run, DETACH, process);
      afork_process_detach_async (process, run->cancellable, answer_cb, self);
    }

  return self;
}

Operation *
run_note (Run               *run,
          AForkProcess      *process,
          GSocketConnection *connection,
          GError            *error)
{
  Operation *self = add_operation (run, NOTED, process);

  self->n_answers = 1;
  self->connection = connection;
  self->error = error;
  if ((connection == NULL) == (error == NULL))
    run_wrong (run, "A call has both a result and an error, or neither");
  return self;
}

void
run_await (Run       *run,
           Operation *operation)
{
  while (operation != NULL && operation->n_answers == 0)
    g_main_context_iteration (NULL, TRUE);
}

gboolean
run_has_failed (Run       *run,
                Operation *operation)
{
  return operation != NULL && operation->error != NULL;
}

gboolean
run_is_cut_off (Run *run)
{
  return run->plan->action == FAULT_CUT && run->plan->role == FAULT_CALLER;
}

int
run_take_fd (Run       *run,
             Operation *operation)
{
  return operation != NULL ? g_steal_fd (&operation->fd) : -1;
}

/* Talking. */

typedef struct
{
  GByteArray *bytes;
  gboolean    over;
} Hearing;

static gboolean
readable_cb (int          fd,
             GIOCondition condition,
             gpointer     data)
{
  Hearing *hearing = data;
  guint8 buffer[65536];
  ssize_t n_read = recv (fd, buffer, sizeof buffer, MSG_DONTWAIT);

  if (n_read < 0 && (errno == EAGAIN || errno == EINTR))
    return G_SOURCE_CONTINUE;
  if (n_read > 0)
    {
      g_byte_array_append (hearing->bytes, buffer, (guint) n_read);
      return G_SOURCE_CONTINUE;
    }

  hearing->over = TRUE;
  return G_SOURCE_REMOVE;
}

void
run_talk (Run        *run,
          Operation  *operation,
          const char *expected)
{
  g_autofree char *all = g_strconcat (expected, WORD, NULL);
  Hearing hearing = { 0 };
  guint source;
  int fd;

  if (run->given_up || operation == NULL || operation->connection == NULL)
    return;

  fd = g_socket_get_fd (g_socket_connection_get_socket (operation->connection));
  hearing.bytes = g_byte_array_new ();
  /* The other side reports whether it arrives. */
  send (fd, WORD, strlen (WORD), MSG_NOSIGNAL);
  shutdown (fd, SHUT_WR);
  source = g_unix_fd_add (fd, G_IO_IN, readable_cb, &hearing);
  while (!hearing.over && !run->given_up)
    g_main_context_iteration (NULL, TRUE);
  if (!hearing.over)
    g_source_remove (source);

  operation->cut = hearing.bytes->len < strlen (all);
  if (hearing.bytes->len > strlen (all)
      || memcmp (hearing.bytes->data != NULL ? (char *) hearing.bytes->data : "", all,
                 hearing.bytes->len) != 0)
    run_wrong (run, "%u bytes came that are not those that were sent", hearing.bytes->len);
  g_byte_array_unref (hearing.bytes);
}

/* Ends. */

/* The exit status of a process that was run must fit what was reported of it. */
static guint32
judge_end (Run          *run,
           Operation    *ran,
           AForkProcess *process,
           const GError *error)
{
  int value;

  if (error != NULL)
    {
      if (ran->error != NULL && g_error_matches (error, ran->error->domain, ran->error->code))
        return 0;
      if (!g_error_matches (error, AFORK_ERROR, AFORK_ERROR_LOST))
        run_wrong (run, "Waiting for the end failed: %s", error->message);
      return ran->error == NULL ? KIND_UNKNOWN : 0;
    }
  /* If a worker was entered, and its caller could not be told, it writes to a socket that the
   * caller has closed. */
  if (afork_process_get_term_signal (process, &value) && value != SIGKILL
      && (value != SIGPIPE || ran->error == NULL))
    run_wrong (run, "The process was ended by signal %d", value);
  if (ran->error != NULL)
    return 0;
  if (!afork_process_get_exit_status (process, &value))
    return KIND_ENDED;
  if (value != 0)
    run_wrong (run, "The process was run and exited with %d", value);
  if (ran->cut)
    run_wrong (run, "Not all came, and yet the process exited with 0");

  return KIND_SAME;
}

void
run_note_wait (Run       *run,
               Operation *operation,
               gboolean   success,
               GError    *error)
{
  Operation *wait = add_operation (run, WAIT, operation->process);

  wait->n_answers = 1;
  if (success == (error != NULL))
    run_wrong (run, "Waiting has both succeeded and failed, or neither");
  if (error != NULL && error->domain == G_IO_ERROR)
    run->kinds |= to_kind (run, error);
  else
    run->kinds |= judge_end (run, operation, operation->process, error);
  g_clear_error (&error);
}

void
run_let_go (Run       *run,
            Operation *operation)
{
  g_clear_object (&operation->connection);
}

void
run_end (Run       *run,
         Operation *operation)
{
  Operation *wait;

  if (operation == NULL || run->given_up)
    return;

  run_let_go (run, operation);
  wait = add_operation (run, WAIT, operation->process);
  afork_process_wait_async (operation->process, run->cancellable, answer_cb, wait);
  while (wait->n_answers == 0 && !run->given_up)
    g_main_context_iteration (NULL, TRUE);
  if (!run->given_up)
    {
      run->kinds |= judge_end (run, operation, operation->process, wait->error);
      g_clear_error (&wait->error);
    }
}

static gboolean
tick_cb (gpointer data)
{
  return G_SOURCE_CONTINUE;
}

void
run_await_fork (Run          *run,
                AForkProcess *template)
{
  guint tick = g_timeout_add (5, tick_cb, NULL);

  while (!run->given_up
         && afork_process_get_state (template) < AFORK_PROCESS_STATE_EXITED
         && atomic_load (&run->plan->counts[FAULT_TEMPLATE][FAULT_CALL_FORK]) == 0)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (tick);
}

/* All of it. */

Run *
run_new (FaultPlan *plan,
         int        control,
         char      *report,
         gsize      report_size)
{
  Run *run = g_new0 (Run, 1);

  run->plan = plan;
  run->processes = g_ptr_array_new_with_free_func (g_object_unref);
  run->pools = g_ptr_array_new_with_free_func (g_object_unref);
  run->maps = g_ptr_array_new_with_free_func (g_object_unref);
  run->operations = g_ptr_array_new_with_free_func (operation_free);
  run->cancellable = g_cancellable_new ();
  run->report = report;
  run->report_size = report_size;
  if (control >= 0)
    {
      run->control = g_unix_fd_source_new (control, G_IO_IN);
      g_source_set_callback (run->control, G_SOURCE_FUNC (control_cb), run, NULL);
      g_source_attach (run->control, NULL);
    }

  return run;
}

AForkProcess *
run_keep (Run          *run,
          AForkProcess *process)
{
  g_ptr_array_add (run->processes, process);
  return process;
}

AForkPool *
run_keep_pool (Run       *run,
               AForkPool *pool)
{
  g_ptr_array_add (run->pools, pool);
  return pool;
}

static void
shut_down_cb (GObject      *object,
              GAsyncResult *result,
              gpointer      data)
{
  Run *run = data;
  g_autoptr(GError) error = NULL;

  if (!afork_pool_shutdown_finish (AFORK_POOL (object), result, &error))
    run_wrong (run, "A pool was not shut down: %s", error->message);
  g_ptr_array_remove (run->pools, object);
}

/* All jobs have ended. */
static void
shut_down_pools (Run *run)
{
  for (guint i = 0; i < run->pools->len; i++)
    afork_pool_shutdown_async (g_ptr_array_index (run->pools, i), AFORK_SHUTDOWN_MODE_DRAIN, NULL,
                               shut_down_cb, run);
  while (run->pools->len > 0)
    g_main_context_iteration (NULL, TRUE);
}

static void
await_type (Run      *run,
            gboolean  waits)
{
  for (guint i = 0; i < run->operations->len; i++)
    {
      Operation *operation = g_ptr_array_index (run->operations, i);

      if ((operation->type == WAIT) == waits)
        run_await (run, operation);
    }
}

/* An error of the system has its text. But a server that fails before it has sent HELLO can only
 * print an error. */
static void
check_words (Run           *run,
             OperationType  type,
             const GError  *error)
{
  const char *words = g_strerror (run->plan->value);

  /* The worker has exited because of the error, and has retries. */
  if (type == JOB || type == NEXT)
    return;
  if (run->plan->action == FAULT_FAIL && run->plan->call != FAULT_CALL_DLOPEN
      && strstr (error->message, "never answered") == NULL
      && strstr (error->message, words) == NULL)
    run_wrong (run, "“%s” does not say “%s”", error->message, words);
}

guint32
run_finish (Run   *run,
            guint *n_operations)
{
  guint32 kinds;

  /* Without the process that is stopped. But only that can report its own exit. */
  await_type (run, FALSE);
  atomic_store (&run->plan->finishing, TRUE);
  await_continued (run);
  await_type (run, TRUE);
  g_ptr_array_set_size (run->maps, 0);
  shut_down_pools (run);

  for (guint i = 0; i < run->operations->len; i++)
    {
      Operation *operation = g_ptr_array_index (run->operations, i);

      if (operation->error != NULL)
        {
          run->kinds |= to_kind (run, operation->error);
          if (operation->type != WAIT)
            check_words (run, operation->type, operation->error);
        }
    }

  /* The fault has not been noticed. */
  if (run->given_up && run->kinds == 0)
    run->kinds = KIND_SAME;

  *n_operations += run->operations->len;
  kinds = run->kinds;
  if (run->control != NULL)
    {
      g_source_destroy (run->control);
      g_source_unref (run->control);
      run->control = NULL;
    }

  /* The other side finds everything closed that was still open. */
  for (guint i = 0; i < run->operations->len; i++)
    {
      Operation *operation = g_ptr_array_index (run->operations, i);

      g_clear_object (&operation->connection);
      if (operation->fd >= 0)
        close (g_steal_fd (&operation->fd));
    }
  g_ptr_array_set_size (run->processes, 0);
  return kinds;
}

void
run_free (Run *run)
{
  for (guint i = 0; i < run->operations->len; i++)
    {
      Operation *operation = g_ptr_array_index (run->operations, i);

      if (operation->n_answers != 1)
        run_wrong (run, "An operation has had %u answers", operation->n_answers);
    }

  g_ptr_array_unref (run->operations);
  g_ptr_array_unref (run->processes);
  g_ptr_array_unref (run->pools);
  g_ptr_array_unref (run->maps);
  g_object_unref (run->cancellable);
  g_free (run);
}
