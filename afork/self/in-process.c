/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "in-process.h"

#include "afork-error.h"
#include "afork-job-private.h"
#include "server/native.h"
#include "worker/call.h"
#include "worker/stand-in.h"

struct _AForkInProcess
{
  AForkCallFunc function;
};

/* One call, while the function is called. */
typedef struct
{
  AForkJob    *job;             /* or NULL */
  GVariant    *value;           /* or NULL */
  GUnixFDList *fds;             /* or NULL */
  GPtrArray   *blobs;           /* or NULL */
  GError      *error;           /* or NULL */
} InProcessCall;

gboolean
_afork_in_process_is_wanted (void)
{
  static gsize wanted;          /* 1: no; 2: yes */

  if (g_once_init_enter (&wanted))
    g_once_init_leave (&wanted, g_strcmp0 (g_getenv ("AFORK_INPROCESS"), "1") == 0 ? 2 : 1);
  return wanted == 2;
}

static gboolean
fail (GError             **error,
      const AForkFailure  *failure)
{
  g_set_error_literal (error, AFORK_ERROR, AFORK_ERROR_FUNCTION, failure->text);
  return FALSE;
}

/* A process may load a file by its path, or by afork_process_require_file(), which names the module
 * otherwise. Here it has both names. */
static bool
load_module (AForkNative  *native,
             const char   *module,
             AForkFailure *failure)
{
  g_autofree char *name = g_path_is_absolute (module) ? g_path_get_basename (module) : NULL;

  return afork_native_runtime.require (native, module, failure)
    && (name == NULL || afork_native_runtime.require_file (native, module, name, failure));
}

static gboolean
load (AForkNative         *native,
      const char * const  *modules,
      const char * const  *module_path,
      GError             **error)
{
  AForkFailure failure;

  if (module_path != NULL
      && !afork_native_runtime.set_module_path (native, module_path, &failure))
    return fail (error, &failure);

  for (guint i = 0; modules[i] != NULL; i++)
    if (!load_module (native, modules[i], &failure))
      return fail (error, &failure);
  return TRUE;
}

static gpointer
find_function (AForkNative  *native,
               const char   *name,
               GError      **error)
{
  AForkFailure failure;
  void *function;

  if (!afork_native_runtime.find (native, name, &function, &failure))
    {
      fail (error, &failure);
      return NULL;
    }

  return function;
}

/* Loads the modules and finds both functions. */
static gboolean
find_functions (const char * const  *modules,
                const char * const  *module_path,
                const char          *function,
                const char          *init_function,
                AForkCallFunc       *call,
                AForkCallInitFunc   *init,
                GError             **error)
{
  /* Modules stay loaded. The newest module that has a function comes first, so the modules of
   * another pool do not matter. */
  static GMutex mutex;
  static AForkNative native;
  g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&mutex);

  if (native.n_modules == 0)
    afork_native_init (&native);
  if (!load (&native, modules, module_path, error))
    return FALSE;

  *call = (AForkCallFunc) find_function (&native, function, error);
  if (*call == NULL || init_function == NULL)
    return *call != NULL;

  *init = (AForkCallInitFunc) find_function (&native, init_function, error);
  return *init != NULL;
}

AForkInProcess *
_afork_in_process_new (const char * const  *modules,
                       const char * const  *module_path,
                       const char          *function,
                       const char          *init_function,
                       GError             **error)
{
  AForkCallFunc call = NULL;
  AForkCallInitFunc init = NULL;
  AForkInProcess *self;

  if (!find_functions (modules, module_path, function, init_function, &call, &init, error))
    return NULL;
  if (init != NULL && !init (NULL, 0, error))
    return NULL;

  self = g_new0 (AForkInProcess, 1);
  self->function = call;
  return self;
}

void
_afork_in_process_free (AForkInProcess *self)
{
  g_free (self);
}

/* The call. */

static void
report_cb (gpointer  data,
           guint32   number,
           GVariant *progress)
{
  InProcessCall *self = data;

  if (self->job != NULL)
    _afork_job_emit_progress (self->job, progress);
}

/* A worker and its caller may write to the blobs that they get, and the other one does not see it.
 * Returns NULL for NULL. */
static GPtrArray *
copy_blobs (GPtrArray *blobs)
{
  GPtrArray *copies;

  if (blobs == NULL)
    return NULL;

  copies = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  for (guint i = 0; i < blobs->len; i++)
    {
      gsize size;
      gconstpointer data = g_bytes_get_data (g_ptr_array_index (blobs, i), &size);

      g_ptr_array_add (copies, g_bytes_new (data, size));
    }
  return copies;
}

static void
answer_cb (gpointer      data,
           guint32       number,
           GVariant     *value,
           GUnixFDList  *fds,
           GPtrArray    *blobs,
           const GError *error)
{
  InProcessCall *self = data;

  if (error != NULL)
    {
      self->error = g_error_copy (error);
      return;
    }

  self->value = g_variant_ref_sink (value != NULL ? value : g_variant_new_tuple (NULL, 0));
  self->fds = fds != NULL ? g_object_ref (fds) : NULL;
  self->blobs = copy_blobs (blobs);
}

static const AForkCallResponder responder = {
  .report = report_cb,
  .answer = answer_cb,
};

static AForkCall *
new_call (InProcessCall *self,
          GVariant      *args)
{
  GUnixFDList *fds = self->job != NULL ? afork_job_get_fds (self->job) : NULL;
  GPtrArray *blobs = self->job != NULL ? _afork_job_get_blobs (self->job) : NULL;
  AForkCallMessage message = {
    .kind = AFORK_CALL_FRAME_CALL,
    .number = 1,
    .value = g_variant_ref (args),
    .fds = fds != NULL ? g_object_ref (fds) : NULL,
    .blobs = copy_blobs (blobs),
  };

  return _afork_call_new (&responder, self, &message);
}

/* Calls FUNCTION as a worker does that serves one call after the other. */
static void
enter (AForkCallFunc  function,
       AForkCall     *call,
       InProcessCall *self)
{
  g_autoptr(GError) error = NULL;
  GVariant *value;

  _afork_call_begin (call);
  value = function (call, _afork_call_get_args (call), &error);
  if (value != NULL)
    g_variant_take_ref (value);

  if (error != NULL)
    afork_call_return_error (call, error);
  else if (value != NULL || !_afork_call_is_answered (call))
    afork_call_return_value (call, value, NULL);
  g_clear_pointer (&value, g_variant_unref);
}

static void
cancelled_cb (GCancellable *cancellable,
              gpointer      data)
{
  _afork_call_cancel (data);
}

GVariant *
_afork_in_process_call (AForkInProcess           *self,
                        GVariant                 *args,
                        AForkJob                 *job,
                        GCancellable             *cancellable,
                        AForkInProcessEventFunc   event_func,
                        gpointer                  data,
                        GError                  **error)
{
  InProcessCall state = { .job = job };
  g_autoptr(AForkCall) call = new_call (&state, args);
  const AForkStandIn stand_in = { .emit = event_func, .data = data };
  const AForkStandIn *before = _afork_stand_in_set (&stand_in);
  gulong id = cancellable != NULL
    ? g_cancellable_connect (cancellable, G_CALLBACK (cancelled_cb), call, NULL) : 0;

  enter (self->function, call, &state);
  g_cancellable_disconnect (cancellable, id);
  _afork_stand_in_set (before);

  if (state.value != NULL && job != NULL)
    _afork_job_set_results (job, state.fds, state.blobs);
  g_clear_object (&state.fds);
  g_clear_pointer (&state.blobs, g_ptr_array_unref);
  if (state.error != NULL)
    g_propagate_error (error, state.error);
  return state.value;
}
