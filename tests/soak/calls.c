/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Random calls to workers of one main context, and the allowed outcomes of each. Each call ends
 * once: with the value that its worker must return, or with an error that is explained by an action
 * on it. */

#include "config.h"

#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum
{
  MAX_WORKERS = 6,
  MAX_CALLS = 60,               /* pending calls */
  MAX_BLOBS = 4,
  MAX_FDS = 12,
  TIME_LIMIT = 40,              /* in milliseconds, of calls that would not end */
};

/* A worker, which its calls keep. */
typedef struct
{
  CallMix  *mix;
  guint     ref_count;
  AForkRpc *rpc;                /* NULL once it was dropped */
  gboolean  concurrent;
  gboolean  closing;            /* no more calls will come */
  gboolean  disturbed;          /* its calls may fail */
  GSource  *stop_timer;         /* until it is continued, or NULL */
} Worker;

typedef enum
{
  CALL_NUMBER,
  CALL_VALUE,
  CALL_REVERSE,                 /* descriptors and blobs */
  CALL_ERROR,
  CALL_REPORT,
  CALL_EMIT,
  CALL_ENDLESS,                 /* until its time is over or it is cancelled */
  CALL_EXIT,                    /* the worker exits */
  N_CALLS
} CallKind;

static const char * const kind_names[N_CALLS] = {
  "number", "value", "blobs and descriptors", "error", "progress", "event", "endless", "exit",
};

typedef struct
{
  Worker       *worker;
  CallKind      kind;
  guint32       number;
  AForkJob     *job;            /* NULL for a plain call */
  GCancellable *cancellable;
  gboolean      cancelled;
  gboolean      ended;
  guint         n_blobs;
  gsize         sizes[MAX_BLOBS];
  guint         n_fds;
  ino_t         inodes[MAX_FDS];
  int           gate;           /* if it is closed, an endless call ends; or -1 */
} Call;

struct _CallMix
{
  GMainContext *context;
  AForkProcess *template;       /* not that of the runtime, which other actions use */
  GPtrArray    *workers;        /* that were not dropped */
  GPtrArray    *calls;          /* pending calls */
  gboolean      starved;
  int          *n_objects;      /* AForkRpcs that were not freed; a box with a reference for each */
  guint         n_made;
  guint         n_ended;
  GPtrArray    *alive;          /* workers, including dropped ones, whose calls or closing is
                                 * pending */
  GPtrArray    *processes;      /* of AForkProcess: all workers and the template */
};

static void
iterate (CallMix  *self,
         gboolean  may_block)
{
  g_main_context_iteration (self->context, may_block);
}

/* Workers. */

static void
worker_unref (Worker *self)
{
  if (--self->ref_count > 0)
    return;

  g_assert (self->rpc == NULL && self->stop_timer == NULL);
  g_ptr_array_remove_fast (self->mix->alive, self);
  g_free (self);
}

static void
make_template (CallMix *self)
{
  self->template = afork_process_require (afork_process_new_exec (NULL), "bounds");
  g_ptr_array_add (self->processes, g_object_ref (self->template));
}

static void
worker_new (CallMix *mix)
{
  g_autoptr(AForkProcess) process = NULL;
  Worker *self;

  if (mix->workers->len >= MAX_WORKERS)
    return;

  self = g_new0 (Worker, 1);
  self->mix = mix;
  self->ref_count = 1;
  self->concurrent = chance (40);
  self->disturbed = mix->starved;
  process = afork_process_fork (mix->template);
  self->rpc = g_object_new (AFORK_TYPE_RPC,
                            "process", process,
                            "function", self->concurrent ? "bounds_later" : "bounds_do",
                            "concurrent", self->concurrent,
                            "forward-stderr", FALSE,
                            NULL);
  count_object (self->rpc, mix->n_objects);
  g_ptr_array_add (mix->processes, g_steal_pointer (&process));
  if (chance (30))
    afork_rpc_set_max_in_flight (self->rpc, 1 + chance_below (100));
  g_ptr_array_add (mix->workers, self);
  g_ptr_array_add (mix->alive, self);
  tally ("processes", self->concurrent ? "for calls, concurrent" : "for calls");
}

static Worker *
pick_worker (CallMix *mix)
{
  return mix->workers->len > 0
    ? g_ptr_array_index (mix->workers, chance_below (mix->workers->len)) : NULL;
}

static void
worker_go_on (Worker *self)
{
  if (self->stop_timer == NULL)
    return;

  g_source_destroy (self->stop_timer);
  g_clear_pointer (&self->stop_timer, g_source_unref);
  afork_process_send_signal (afork_rpc_get_process (self->rpc), SIGCONT);
}

static gboolean
go_on_cb (gpointer data)
{
  worker_go_on (data);
  return G_SOURCE_REMOVE;
}

static void
worker_stop (Worker *self)
{
  if (self->stop_timer != NULL)
    return;

  tally ("faults", "worker of calls stopped for a while");
  afork_process_send_signal (afork_rpc_get_process (self->rpc), SIGSTOP);
  self->stop_timer = g_timeout_source_new (chance_below (30));
  g_source_set_callback (self->stop_timer, go_on_cb, self, NULL);
  g_source_attach (self->stop_timer, self->mix->context);
}

static void
worker_kill (Worker *self)
{
  static const int signals[] = { SIGKILL, SIGTERM, SIGSEGV };
  AForkProcess *process = afork_rpc_get_process (self->rpc);

  tally ("faults", "worker of calls killed");
  self->disturbed = TRUE;
  if (chance (30))
    afork_process_force_exit (process);
  else
    afork_process_send_signal (process, signals[chance_below (G_N_ELEMENTS (signals))]);
}

/* Its calls continue; only they keep the object from now on. */
static void
worker_drop (Worker *self)
{
  worker_go_on (self);
  tally ("drops", "of workers of calls");
  g_clear_object (&self->rpc);
  g_ptr_array_remove_fast (self->mix->workers, self);
  worker_unref (self);
}

static void
closed_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  Worker *self = data;
  g_autoptr(GError) error = NULL;

  if (!afork_rpc_close_finish (AFORK_RPC (object), result, &error)
      && !self->disturbed && !self->mix->starved)
    {
      if (!g_error_matches (error, AFORK_ERROR, AFORK_ERROR_CLOSED))
        g_error ("A worker was not closed: %s", error->message);
      /* Its template reports the exit, and may be stopped or busy. */
      tally ("faults", "exit of a worker of calls reported late");
    }
  self->mix->n_ended++;
  worker_unref (self);
}

static void
worker_close (Worker *self)
{
  tally ("drops", "closings of workers of calls");
  self->closing = TRUE;
  self->ref_count++;
  self->mix->n_made++;
  afork_rpc_close_async (self->rpc, NULL, closed_cb, self);
}

/* Its pending operations fail. */
static void
worker_dispose (Worker *self)
{
  tally ("faults", "worker of calls disposed of by force");
  worker_go_on (self);
  self->disturbed = TRUE;
  g_object_run_dispose (G_OBJECT (self->rpc));
  worker_drop (self);
}

/* Calls. */

static void
call_free (Call *self)
{
  if (self->gate >= 0)
    close (self->gate);
  g_clear_object (&self->job);
  g_clear_object (&self->cancellable);
  worker_unref (self->worker);
  g_free (self);
}

G_GNUC_NORETURN static void
refute (Call       *self,
        const char *what)
{
  g_error ("A call (%s %u, %s%s%s%s) %s", kind_names[self->kind], self->number,
           self->worker->concurrent ? "concurrent" : "sequential",
           self->worker->disturbed ? ", disturbed" : "",
           self->worker->closing ? ", closing" : "",
           self->cancelled ? ", cancelled" : "", what);
}

static void
check_reversed (Call     *self,
                GVariant *value)
{
  GUnixFDList *fds = afork_job_get_result_fds (self->job);
  GBytes **blobs;
  gsize n_blobs;
  int n_fds = 0;
  const int *numbers = fds != NULL ? g_unix_fd_list_peek_fds (fds, &n_fds) : NULL;

  blobs = afork_job_get_result_blobs (self->job, &n_blobs);
  if (n_blobs != self->n_blobs || n_fds != (int) self->n_fds)
    refute (self, "has not all that it should have");
  for (guint i = 0; i < n_blobs; i++)
    {
      gsize size, expected = self->sizes[n_blobs - 1 - i];
      const char *data = g_bytes_get_data (blobs[i], &size);
      char letter = (char) ('a' + (self->number + n_blobs - 1 - i) % 26);

      if (size != expected
          || (size > 0 && (data[0] != letter || memcmp (data, data + 1, size - 1) != 0)))
        refute (self, "has a blob of another call");
    }
  for (guint i = 0; i < self->n_fds; i++)
    {
      struct stat status;

      if (fstat (numbers[i], &status) < 0 || status.st_ino != self->inodes[self->n_fds - 1 - i])
        refute (self, "has a descriptor of another call");
    }
}

static void
check_value (Call     *self,
             GVariant *value)
{
  switch (self->kind)
    {
    case CALL_NUMBER:
      if (!g_variant_is_of_type (value, G_VARIANT_TYPE_UINT32)
          || g_variant_get_uint32 (value) != self->number)
        refute (self, "has another number");
      break;
    case CALL_VALUE:
      if (g_variant_get_size (value) != self->number)
        refute (self, "has a value of another size");
      break;
    case CALL_REVERSE:
      check_reversed (self, value);
      break;
    case CALL_REPORT:
    case CALL_EMIT:
      break;
    case CALL_ERROR:
    case CALL_ENDLESS:
    case CALL_EXIT:
    case N_CALLS:
      refute (self, "has a value");
    }
}

static void
check_error (Call         *self,
             const GError *error)
{
  Worker *worker = self->worker;

  if (worker->disturbed || worker->mix->starved)
    return;
  if (self->cancelled && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  if (worker->closing && g_error_matches (error, AFORK_ERROR, AFORK_ERROR_CLOSED))
    return;
  if (self->kind == CALL_ENDLESS && g_error_matches (error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT))
    return;
  if (self->kind == CALL_ERROR && g_error_matches (error, AFORK_ERROR, AFORK_ERROR_FAILED)
      && strspn (error->message, "t") == self->number)
    return;
  refute (self, error->message);
}

static void
tally_end (Call         *self,
           const GError *error)
{
  g_autofree char *row = NULL;

  row = g_strdup_printf ("%s %s", kind_names[self->kind], error == NULL ? "succeeded" : "failed");
  tally ("answers to calls", row);
}

static void
ended_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  Call *self = data;
  CallMix *mix = self->worker->mix;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  if (self->ended)
    refute (self, "ends twice");
  self->ended = TRUE;
  value = self->job != NULL ? afork_rpc_run_job_finish (AFORK_RPC (object), result, &error)
                            : afork_rpc_call_finish (AFORK_RPC (object), result, &error);
  g_assert_true ((value == NULL) == (error != NULL));
  if (error == NULL)
    check_value (self, value);
  else
    check_error (self, error);
  tally_end (self, error);
  mix->n_ended++;
  g_ptr_array_remove_fast (mix->calls, self);
  call_free (self);
}

static void
add_blobs (Call *self)
{
  static const gsize sizes[] = { 0, 1, 4096, 32768, 50000, 300000, 1200000 };

  self->n_blobs = chance_below (MAX_BLOBS + 1);
  for (guint i = 0; i < self->n_blobs; i++)
    {
      gsize size = sizes[chance_below (G_N_ELEMENTS (sizes))];
      g_autoptr(GBytes) blob = NULL;

      self->sizes[i] = size;
      blob = g_bytes_new_take (memset (g_malloc (size + 1), 'a' + (int) (self->number + i) % 26,
                                       size), size);
      afork_job_add_blob (self->job, blob);
    }
}

static void
add_fds (Call *self)
{
  guint n_fds = chance_below (MAX_FDS + 1);
  g_autoptr(GUnixFDList) list = NULL;
  int fds[MAX_FDS];

  for (; self->n_fds < n_fds; self->n_fds++)
    {
      int fd = memfd_create ("soak", MFD_CLOEXEC);
      struct stat status;

      if (fd < 0)
        break;
      g_assert_no_errno (fstat (fd, &status));
      self->inodes[self->n_fds] = status.st_ino;
      fds[self->n_fds] = fd;
    }

  if (self->n_fds == 0)
    return;
  list = g_unix_fd_list_new_from_array (fds, (int) self->n_fds);
  afork_job_set_fds (self->job, list);
}

static gboolean
add_gate (Call *self)
{
  g_autoptr(GUnixFDList) list = NULL;
  int ends[2];

  if (!g_unix_open_pipe (ends, FD_CLOEXEC, NULL))
    return FALSE;

  self->gate = ends[1];
  list = g_unix_fd_list_new_from_array (ends, 1);
  afork_job_set_fds (self->job, list);
  return TRUE;
}

/* The arguments of bounds_do() and bounds_later() for it. */
static GVariant *
make_args (Call *self)
{
  static const char * const names[N_CALLS] = {
    "number", "value", "reverse", "text", "report-value", "emit-value", "hold", "lines",
  };
  gboolean never = self->kind == CALL_ENDLESS && self->worker->concurrent;

  return g_variant_new ("(su)", never ? "never" : names[self->kind], self->number);
}

static CallKind
choose_kind (Worker *worker)
{
  static const CallKind sequential[] = {
    CALL_NUMBER, CALL_NUMBER, CALL_NUMBER, CALL_NUMBER, CALL_VALUE, CALL_REVERSE, CALL_REVERSE,
    CALL_ERROR, CALL_REPORT, CALL_EMIT, CALL_ENDLESS,
  };
  static const CallKind concurrent[] = {
    CALL_NUMBER, CALL_NUMBER, CALL_VALUE, CALL_REVERSE, CALL_REVERSE, CALL_ENDLESS,
  };

  if (worker->concurrent)
    return concurrent[chance_below (G_N_ELEMENTS (concurrent))];
  return chance (2) ? CALL_EXIT : sequential[chance_below (G_N_ELEMENTS (sequential))];
}

static guint32
choose_number (CallKind kind)
{
  switch (kind)
    {
    case CALL_VALUE:
      return 1 + chance_below (chance (20) ? 400000 : 2000);
    case CALL_ERROR:
      return 1 + chance_below (100);
    case CALL_REPORT:
    case CALL_EMIT:
      return 1 + chance_below (20000);
    case CALL_REVERSE:
      return chance_below (20);
    default:
      return chance_below (1000);
    }
}

static void
make_call (Worker *worker)
{
  CallMix *mix = worker->mix;
  g_autoptr(GVariant) args = NULL;
  Call *self;

  if (mix->calls->len >= MAX_CALLS)
    return;

  self = g_new0 (Call, 1);
  self->worker = worker;
  worker->ref_count++;
  self->gate = -1;
  self->kind = choose_kind (worker);
  self->number = choose_number (self->kind);
  args = g_variant_ref_sink (make_args (self));
  if (self->kind == CALL_REVERSE || self->kind == CALL_ENDLESS || self->kind == CALL_REPORT
      || chance (10))
    self->job = afork_job_new (args);
  if (self->kind == CALL_REVERSE)
    {
      add_blobs (self);
      add_fds (self);
    }
  if (self->kind == CALL_ENDLESS)
    {
      afork_job_set_timeout (self->job, TIME_LIMIT);
      if (!worker->concurrent && !add_gate (self))
        {
          call_free (self);
          return;
        }
    }
  if (self->kind == CALL_EXIT)
    {
      tally ("faults", "worker of calls exits");
      worker->disturbed = TRUE;
    }
  if (self->job == NULL || chance (30))
    self->cancellable = g_cancellable_new ();

  mix->n_made++;
  g_ptr_array_add (mix->calls, self);
  if (self->job != NULL)
    afork_rpc_run_job_async (worker->rpc, self->job, self->cancellable, ended_cb, self);
  else
    afork_rpc_call_async (worker->rpc, args, self->cancellable, ended_cb, self);
}

static void
cancel_call (CallMix *mix)
{
  Call *self;

  if (mix->calls->len == 0)
    return;

  tally ("faults", "call cancelled");
  self = g_ptr_array_index (mix->calls, chance_below (mix->calls->len));
  self->cancelled = TRUE;
  if (self->cancellable != NULL)
    g_cancellable_cancel (self->cancellable);
  else
    afork_job_cancel (self->job);
}

/* All of them. */

CallMix *
call_mix_new (void)
{
  CallMix *self = g_new0 (CallMix, 1);

  self->context = g_main_context_get_thread_default ();
  self->workers = g_ptr_array_new ();
  self->calls = g_ptr_array_new ();
  self->n_objects = g_atomic_rc_box_new0 (int);
  self->alive = g_ptr_array_new ();
  self->processes = g_ptr_array_new_with_free_func (g_object_unref);
  make_template (self);
  return self;
}

static void
disturb_all (CallMix *self)
{
  for (guint i = 0; i < self->alive->len; i++)
    ((Worker *) g_ptr_array_index (self->alive, i))->disturbed = TRUE;
}

/* A fork that was not reported may never be made. */
static void
replace_template (CallMix *self)
{
  disturb_all (self);
  afork_process_send_signal (self->template, SIGKILL);
  g_clear_object (&self->template);
  make_template (self);
}

void
call_mix_step (CallMix *self)
{
  Worker *worker = pick_worker (self);
  guint what = chance_below (100);

  if (worker == NULL || what < 6)
    worker_new (self);
  else if (what < 60)
    for (guint i = chance (20) ? chance_below (30) : 1; i > 0 && !worker->closing; i--)
      make_call (worker);
  else if (what < 66)
    cancel_call (self);
  else if (what < 69)
    worker_kill (worker);
  else if (what < 72)
    worker_stop (worker);
  else if (what < 75)
    worker_drop (worker);
  else if (what < 78)
    worker_close (worker);
  else if (what < 79)
    worker_dispose (worker);
  else if (what < 80 && chance (20))
    {
      tally ("faults", "template of workers of calls killed");
      replace_template (self);
    }
  else
    for (guint i = chance_below (8); i > 0; i--)
      iterate (self, FALSE);
}

void
call_mix_starve (CallMix  *self,
                 gboolean  starve)
{
  self->starved = starve;
  disturb_all (self);
  /* A process that was executed meanwhile keeps the low limit. */
  if (!starve)
    replace_template (self);
}

void
call_mix_lose (CallMix *self)
{
  self->starved = TRUE;
  disturb_all (self);
}

void
call_mix_use_lost (CallMix *self)
{
  for (guint i = self->workers->len; i-- > 0;)
    {
      Worker *worker = g_ptr_array_index (self->workers, i);
      g_autoptr(GVariant) value = NULL;
      g_autoptr(GError) error = NULL;

      value = afork_rpc_call (worker->rpc, g_variant_new ("(su)", "number", 1), NULL, &error);
      g_assert_null (value);
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
      if (chance (30))
        worker_kill (worker);
      if (chance (30))
        worker_dispose (worker);
      else if (chance (40))
        worker_drop (worker);
    }
}

void
call_mix_describe (CallMix *self)
{
  g_test_message ("  %u of %u calls and closings", self->n_made - self->n_ended, self->n_made);
  for (guint i = 0; i < self->calls->len; i++)
    {
      Call *call = g_ptr_array_index (self->calls, i);

      g_test_message ("  call %s %u%s", kind_names[call->kind], call->number,
                      call->worker->disturbed ? ", disturbed" : "");
    }
}

/* Each call that is made ends. */
void
call_mix_update_outcomes (CallMix *self)
{
  for (guint i = 0; i < self->workers->len; i++)
    worker_go_on (g_ptr_array_index (self->workers, i));
  while (self->n_ended < self->n_made)
    iterate (self, TRUE);
  g_assert_cmpuint (self->calls->len, ==, 0);
}

static void
mix_free (CallMix *self)
{
  g_assert_cmpuint (self->alive->len, ==, 0);
  g_ptr_array_unref (self->alive);
  g_ptr_array_unref (self->calls);
  g_ptr_array_unref (self->processes);
  g_ptr_array_unref (self->workers);
  g_atomic_rc_box_release (self->n_objects);
  g_free (self);
}

void
call_mix_free (CallMix *self)
{
  gboolean is_ended;

  while (self->workers->len > 0)
    worker_drop (g_ptr_array_index (self->workers, 0));
  /* Or it is dropped, perhaps with its context, and exits by itself. */
  is_ended = chance (50);
  if (is_ended)
    afork_process_force_exit (self->template);
  for (guint i = 0; i < self->processes->len; i++)
    while ((is_ended || self->processes->pdata[i] != self->template)
           && afork_process_get_state (self->processes->pdata[i]) != AFORK_PROCESS_STATE_EXITED)
      iterate (self, TRUE);
  while (g_atomic_int_get (self->n_objects) > 0)
    iterate (self, TRUE);
  while (g_main_context_pending (self->context))
    iterate (self, FALSE);

  g_assert_cmpuint (self->n_ended, ==, self->n_made);
  g_clear_object (&self->template);
  mix_free (self);
}

/* The context was freed, or this frees it. */
void
call_mix_drop (CallMix *self)
{
  while (self->workers->len > 0)
    worker_drop (g_ptr_array_index (self->workers, 0));
  g_assert_cmpuint (self->n_ended, ==, self->n_made);
  g_clear_object (&self->template);
  mix_free (self);
}
