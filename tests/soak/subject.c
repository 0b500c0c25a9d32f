/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The model. In doubt it allows an outcome: if a template was killed before a process was reported,
 * the process may have been made or not. A fault that was not caused must not occur. */

#include "config.h"

#include "soak.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

GPtrArray *subjects;

static gboolean starved;
static GPtrArray *defaults;     /* of Subject, one for each runtime; or NULL */
static gboolean native_is_prepared;
static guint last_number;

static Errors
to_errors (const GError *error)
{
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return ERROR_CANCELLED;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES))
    return ERROR_TOO_MANY;
  if (error->domain == AFORK_ERROR)
    return (Errors) 1 << error->code;

  return 0;
}

static void
tally_outcome (const char   *operation,
               const GError *error)
{
  g_autofree char *row = NULL;

  if (error == NULL)
    {
      row = g_strdup_printf ("%-9s succeeded", operation);
    }
  else if (error->domain == AFORK_ERROR)
    {
      g_autoptr(GEnumClass) codes = g_type_class_ref (AFORK_TYPE_ERROR);

      row = g_strdup_printf ("%-9s %s", operation,
                             g_enum_get_value (codes, error->code)->value_name);
    }
  else
    {
      row = g_strdup_printf ("%-9s %s %d", operation, g_quark_to_string (error->domain),
                             error->code);
    }

  tally ("calls", row);
}

/* Outcomes that are not allowed. */
G_GNUC_NORETURN static void
refute (Subject      *self,
        const char   *operation,
        const GError *error)
{
  g_autoptr(GString) ancestors = g_string_new (NULL);

  for (Subject *other = self->template; other != NULL; other = other->template)
    g_string_append_printf (ancestors, ", from process %u (%s%s)", other->number, other->origin,
                            other->process == NULL ? ", dropped" : "");
  g_error ("Process %u (%s%s%s): %s %s; it %s fail, and may with %#x", self->number, self->origin,
           ancestors->str, self->taken_from != NULL ? ", taken over" : "", operation,
           error != NULL ? error->message : "succeeded", self->must_fail ? "must" : "need not",
           (guint) self->may);
}

/* References. */

Subject *
subject_ref (Subject *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
subject_unref (Subject *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_assert (self->process == NULL && self->connection == NULL && self->stop_timer == 0);
  g_clear_pointer (&self->template, subject_unref);
  g_clear_pointer (&self->taken_from, subject_unref);
  g_ptr_array_unref (self->items);
  g_string_free (self->notes, TRUE);
  g_free (self->variable);
  g_free (self->folder);
  g_clear_pointer (&self->mapped, g_bytes_unref);
  g_clear_pointer (&self->recital, g_bytes_unref);
  g_clear_object (&self->run_cancellable);
  g_clear_object (&self->wait_cancellable);
  g_free (self);
}

static void
subject_unref_closure (gpointer  data,
                       GClosure *closure)
{
  subject_unref (data);
}

/* No more events come. */
static void
update_outcome (Subject *self)
{
  if (self->process == NULL && !self->run_pending && self->n_waits == 0
      && self->connection == NULL)
    g_ptr_array_remove (subjects, self);
}

static void
exited_cb (AForkProcess *process,
           int           wait_status,
           gpointer      data)
{
  Subject *self = data;

  if (++self->n_exited > 1)
    g_error ("Process %u (%s) has exited twice", self->number, self->origin);
}

void
subject_inherit (Subject *self,
                 Subject *other)
{
  for (guint i = 0; i < other->items->len; i++)
    g_ptr_array_add (self->items, g_bytes_ref (g_ptr_array_index (other->items, i)));
  self->n_fds = other->n_fds;
  g_string_assign (self->notes, other->notes->str);
  self->variable = g_strdup (other->variable);
  self->folder = g_strdup (other->folder);
  self->mapped = other->mapped != NULL ? g_bytes_ref (other->mapped) : NULL;
  self->is_program = other->is_program;
  self->has_recite = other->has_recite;
  self->has_faults = other->has_faults;
  self->hangs = other->hangs;
}

Subject *
subject_new (AForkProcess *process,
             Subject      *template,
             const char   *origin)
{
  Subject *self = g_new0 (Subject, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->number = ++last_number;
  self->origin = origin;
  self->process = process;
  self->items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  self->notes = g_string_new (NULL);
  self->wait_status = -1;
  self->run_cancellable = g_cancellable_new ();
  self->wait_cancellable = g_cancellable_new ();
  if (template != NULL)
    {
      self->template = subject_ref (template);
      template->has_forks = TRUE;
      subject_inherit (self, template);
      self->may = self->fork_may = template->fork_may;
      self->must_fail = self->forks_must_fail = template->forks_must_fail;
      /* It does not know that its template hangs, and is never made. */
      self->hangs = FALSE;
    }
  if (starved)
    self->may = self->fork_may = self->may | ERRORS_STARVED;
  self->disturbed = self->may != 0;
  self->end_may_be_lost = self->disturbed;

  /* A process that fails at once may have been notified before a handler could be connected. */
  self->n_exited = afork_process_get_state (process) == AFORK_PROCESS_STATE_EXITED;
  g_signal_connect_data (process, "exited", G_CALLBACK (exited_cb), subject_ref (self),
                         subject_unref_closure, G_CONNECT_DEFAULT);
  g_ptr_array_add (subjects, self);
  tally ("processes", origin);
  return subject_ref (self);
}

/* Templates of runtimes. */

static void
retire (gpointer data)
{
  Subject *self = data;

  g_clear_handle_id (&self->stop_timer, g_source_remove);
  g_clear_object (&self->process);
  subject_unref (self);
}

/* The template of the native runtime is prepared once. One that replaces it is prepared in the same
 * way. */
static Subject *
take_over_default (AForkRuntime *runtime,
                   AForkProcess *process)
{
  Subject *self = subject_new (g_object_ref (process), NULL, "a runtime's template");

  self->is_default = TRUE;
  g_ptr_array_remove (subjects, self);
  g_ptr_array_add (defaults, self);
  self->is_program = runtime != afork_runtime_get_native ();
  self->has_recite = !self->is_program;
  if (self->has_recite && !native_is_prepared)
    afork_process_require (process, "recite");
  native_is_prepared |= self->has_recite;
  return self;
}

Subject *
subject_get_default (AForkRuntime *runtime)
{
  AForkProcess *process = afork_runtime_get_template (runtime);

  if (defaults == NULL)
    defaults = g_ptr_array_new_with_free_func (retire);
  for (guint i = 0; i < defaults->len; i++)
    {
      Subject *self = g_ptr_array_index (defaults, i);

      if (self->process == process)
        return self;
      if (afork_process_get_runtime (self->process) == runtime)
        g_ptr_array_remove_index (defaults, i--);
    }

  return take_over_default (runtime, process);
}

void
subject_forget_defaults (void)
{
  for (guint i = 0; defaults != NULL && i < defaults->len; i++)
    {
      Subject *self = g_ptr_array_index (defaults, i);

      subject_let_go_on (self);
      afork_runtime_set_template (afork_process_get_runtime (self->process), NULL);
    }

  g_clear_pointer (&defaults, g_ptr_array_unref);
  native_is_prepared = FALSE;
}

/* Faults. */

void
subject_spoil (Subject *self,
               Errors   errors)
{
  self->may |= errors;
  self->fork_may |= errors;
  self->must_fail = TRUE;
  self->forks_must_fail = TRUE;
  self->disturbed = TRUE;
  for (guint i = 0; i < subjects->len; i++)
    {
      Subject *other = g_ptr_array_index (subjects, i);

      other->end_may_be_lost |= other->template == self;
    }
}

/* The first of the objects that have given one process to each other. */
static Subject *
get_first (Subject *self)
{
  while (self->taken_from != NULL)
    self = self->taken_from;

  return self;
}

static void
mark (Subject *self,
      Errors   errors)
{
  self->may |= errors;
  self->fork_may |= errors;
  self->disturbed = TRUE;
  self->end_may_be_lost = TRUE;
}

static gboolean
is_known (Subject *self)
{
  self->is_known |= self->process != NULL && afork_process_get_pid (self->process) != 0;
  return self->is_known;
}

/* Whether SELF may never be made if the process of FIRST is killed. */
static gboolean
depends_on (Subject *self,
            Subject *first)
{
  while (self != NULL && get_first (self) != first)
    self = is_known (self) ? NULL : self->template;

  return self != NULL;
}

void
subject_disturb (Subject *self,
                 Errors   errors)
{
  Subject *first = get_first (self);

  mark (self, errors);
  for (guint i = 0; i < subjects->len; i++)
    {
      Subject *other = g_ptr_array_index (subjects, i);

      if (depends_on (other, first))
        mark (other, errors);
      else if (other->template != NULL && depends_on (other->template, first))
        other->end_may_be_lost = TRUE;
    }
}

void
subjects_starve (gboolean starve)
{
  starved = starve;
  for (guint i = 0; starve && i < subjects->len; i++)
    mark (g_ptr_array_index (subjects, i), ERRORS_STARVED);
  for (guint i = 0; starve && defaults != NULL && i < defaults->len; i++)
    mark (g_ptr_array_index (defaults, i), ERRORS_STARVED);
}

gboolean
subjects_are_starved (void)
{
  return starved;
}

gboolean
subject_is_held_up (Subject *self)
{
  for (Subject *other = self; other != NULL; other = other->template)
    for (Subject *origin = other; origin != NULL; origin = origin->taken_from)
      if (origin->hangs || origin->stop_timer != 0)
        return TRUE;

  return FALSE;
}

gboolean
subject_is_open (Subject *self)
{
  return self->process != NULL && self->run_kind == RUN_KIND_NONE;
}

void
subject_let_go_on (Subject *self)
{
  if (self->stop_timer == 0)
    return;

  g_clear_handle_id (&self->stop_timer, g_source_remove);
  afork_process_send_signal (self->process, SIGCONT);
}

static gboolean
go_on_cb (gpointer data)
{
  subject_let_go_on (data);
  return G_SOURCE_REMOVE;
}

void
subject_stop (Subject *self)
{
  if (self->process == NULL || self->stop_timer != 0)
    return;

  tally ("faults", "stopped for a while");
  afork_process_send_signal (self->process, SIGSTOP);
  self->stop_timer = g_timeout_add (chance_below (30), go_on_cb, self);
}

void
subject_kill (Subject *self)
{
  if (self->process == NULL)
    return;

  subject_disturb (self, ERRORS_KILLED);
  /* A process that was stopped stays stopped until it is killed, which has an effect at once. */
  if (chance (50))
    {
      tally ("faults", "killed by SIGKILL");
      afork_process_send_signal (self->process, SIGKILL);
    }
  else
    {
      tally ("faults", "killed by force_exit");
      afork_process_force_exit (self->process);
      self->must_fail |= self->run_kind == RUN_KIND_NONE;
      self->forks_must_fail |= self->run_kind == RUN_KIND_NONE;
    }
  self->hangs = FALSE;
}

/* The end. */

static GAsyncQueue *drop_queue;
static GThread *drop_thread;            /* or NULL */

static gpointer
drop_in_thread (gpointer data)
{
  gpointer object;

  while ((object = g_async_queue_pop (drop_queue)) != drop_queue)
    g_object_unref (object);
  return NULL;
}

void
subjects_begin (void)
{
  subjects = g_ptr_array_new_with_free_func ((GDestroyNotify) subject_unref);
  drop_queue = g_async_queue_new ();
}

void
subjects_update_outcomes (void)
{
  if (drop_thread == NULL)
    return;

  g_async_queue_push (drop_queue, drop_queue);
  g_thread_join (g_steal_pointer (&drop_thread));
}

void
subjects_end (void)
{
  subjects_update_outcomes ();
  g_clear_pointer (&drop_queue, g_async_queue_unref);
  g_clear_pointer (&subjects, g_ptr_array_unref);
}

static void
drop_elsewhere (gpointer object)
{
  if (drop_thread == NULL)
    drop_thread = g_thread_new ("dropper", drop_in_thread, NULL);
  g_async_queue_push (drop_queue, object);
}

void
subject_drop (Subject  *self,
              gboolean  in_thread)
{
  g_autoptr(Subject) kept G_GNUC_UNUSED = subject_ref (self);
  gboolean is_unrun = self->run_kind == RUN_KIND_NONE;

  if (self->process == NULL)
    return;

  subject_let_go_on (self);
  /* It would not exit by itself, or a process that waits for its exit keeps it. */
  if (self->hangs || self->run_kind == RUN_KIND_ENDLESS)
    subject_kill (self);
  else if (is_unrun && self->n_waits > 0)
    chance (50) ? subject_kill (self) : g_cancellable_cancel (self->wait_cancellable);

  tally ("drops", in_thread ? "in another thread" : "in their own");
  is_known (self);
  if (in_thread)
    drop_elsewhere (g_steal_pointer (&self->process));
  else
    g_clear_object (&self->process);
  update_outcome (self);
}

void
subject_close (Subject *self)
{
  g_autoptr(Subject) kept G_GNUC_UNUSED = subject_ref (self);

  if (!self->is_reciting)
    g_clear_object (&self->connection);
  update_outcome (self);
}

void
subject_let_go (Subject *self)
{
  g_autoptr(Subject) kept G_GNUC_UNUSED = subject_ref (self);

  subject_let_go_on (self);
  if (self->run_kind == RUN_KIND_ENDLESS || self->hangs)
    subject_kill (self);
  if (!self->is_reciting)
    g_clear_object (&self->connection);
  if (self->run_kind == RUN_KIND_NONE)
    subject_drop (self, FALSE);
  update_outcome (self);
}

/* Reading the report. */

void
subject_expect_recital (Subject *self)
{
  g_autoptr(GByteArray) text = g_byte_array_new ();
  g_autofree char *folder = self->folder != NULL ? g_strdup (self->folder) : g_get_current_dir ();
  g_autofree char *rest = NULL;

  for (guint i = 0; i < self->items->len; i++)
    {
      gsize size;
      const guint8 *data = g_bytes_get_data (g_ptr_array_index (self->items, i), &size);

      g_byte_array_append (text, data, (guint) size);
    }

  rest = g_strdup_printf ("|%s|%s|%s|", self->notes->str,
                          self->variable != NULL ? self->variable : "", folder);
  g_byte_array_append (text, (const guint8 *) rest, (guint) strlen (rest));
  if (self->mapped != NULL)
    g_byte_array_append (text, g_bytes_get_data (self->mapped, NULL),
                         (guint) g_bytes_get_size (self->mapped));
  g_clear_pointer (&self->recital, g_bytes_unref);
  self->recital = g_byte_array_free_to_bytes (g_steal_pointer (&text));
}

static void heard_cb (GObject      *object,
                      GAsyncResult *result,
                      gpointer      data);

/* In parts of any size. */
static void
listen (Subject *self)
{
  GInputStream *stream = g_io_stream_get_input_stream (G_IO_STREAM (self->connection));

  self->is_reciting = TRUE;
  g_input_stream_read_bytes_async (stream, 1 + chance_below (65536), G_PRIORITY_DEFAULT, NULL,
                                   heard_cb, subject_ref (self));
}

static void
heard_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  g_autoptr(Subject) self = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = NULL;
  gsize total, size = 0;
  const char *all = g_bytes_get_data (self->recital, &total);
  const char *part = NULL;

  self->is_reciting = FALSE;
  bytes = g_input_stream_read_bytes_finish (G_INPUT_STREAM (object), result, &error);
  if (bytes == NULL && !self->disturbed)
    refute (self, "reading what it says", error);

  if (bytes != NULL)
    part = g_bytes_get_data (bytes, &size);
  if (size > 0)
    {
      if (size > total - self->n_heard || memcmp (all + self->n_heard, part, size) != 0)
        g_error ("Process %u (%s) says “%.*s” at %" G_GSIZE_FORMAT ", and not “%s”", self->number,
                 self->origin, (int) MIN (size, 200), part, self->n_heard, all + self->n_heard);
      self->n_heard += size;
      listen (self);
      return;
    }

  if (self->n_heard < total && !self->disturbed)
    g_error ("Process %u (%s) says %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " bytes",
             self->number, self->origin, self->n_heard, total);
  tally ("recitals", self->n_heard == total ? "whole" : "cut off by a fault");
  g_clear_object (&self->connection);
  update_outcome (self);
}

/* Results. */

/* If a process is about to execute a program, it is unknown whether it was killed before that, or
 * the program was. */
static gboolean
must_have_failed (Subject *self)
{
  return self->must_fail || (self->is_missing && (self->may & ERROR_BIT (SIGNALED)) == 0);
}

void
subject_ran (Subject           *self,
             const char        *operation,
             GSocketConnection *connection,
             const GError      *error)
{
  tally_outcome (operation, error);
  self->run_pending = FALSE;
  if (error == NULL ? must_have_failed (self) : (to_errors (error) & self->may) == 0)
    refute (self, operation, error);
  /* A process that was not entered reports nothing, and exits as a server that has failed. */
  if (error != NULL)
    self->disturbed = TRUE;

  self->entered = error == NULL;
  self->connection = connection;
  if (connection != NULL && self->run_kind == RUN_KIND_RECITE)
    {
      /* If a worker writes to a closed socket, this ends the worker. */
      if (chance (5))
        {
          self->disturbed = TRUE;
          g_clear_object (&self->connection);
        }
      else
        {
          listen (self);
        }
    }
  else if (connection != NULL && self->process == NULL)
    {
      g_clear_object (&self->connection);
    }
  update_outcome (self);
}

static void
check_end (Subject      *self,
           AForkProcess *process)
{
  int status = -1, signal = -1;
  gboolean exited = afork_process_get_exit_status (process, &status);
  gboolean signaled = afork_process_get_term_signal (process, &signal);

  if (exited == signaled)
    g_error ("Process %u (%s) has ended, and neither exited nor by a signal", self->number,
             self->origin);
  if (self->wait_status < 0 || self->disturbed)
    return;
  if (exited ? self->wait_status != W_EXITCODE (status, 0)
             : (self->wait_status & 0x7f) != signal)
    g_error ("Process %u (%s) has ended with status %d or by signal %d, and not with %#x",
             self->number, self->origin, status, signal, (guint) self->wait_status);
}

void
subject_waited (Subject      *self,
                const char   *operation,
                AForkProcess *process,
                const GError *error)
{
  Errors may = self->may;

  tally_outcome (operation, error);
  if (self->end_may_be_lost)
    may |= ERROR_BIT (LOST);
  if (g_cancellable_is_cancelled (self->wait_cancellable))
    may |= ERROR_CANCELLED;
  if (error != NULL && (to_errors (error) & may) == 0)
    refute (self, operation, error);
  if (error == NULL)
    check_end (self, process);
  update_outcome (self);
}

static void
wait_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  g_autoptr(Subject) self = data;
  g_autoptr(GError) error = NULL;
  gboolean success = afork_process_wait_finish (AFORK_PROCESS (object), result, &error);

  g_assert_true (success == (error == NULL));
  self->n_waits--;
  subject_waited (self, "wait", AFORK_PROCESS (object), error);
}

void
subject_wait (Subject *self)
{
  self->n_waits++;
  afork_process_wait_async (self->process, self->wait_cancellable, wait_cb, subject_ref (self));
}
