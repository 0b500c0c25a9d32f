/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "afork-error.h"
#include "base/context-wakeup.h"
#include "base/i18n.h"
#include "server/descriptors.h"
#include "server/server-reply.h"
#include "server/server.h"
#include "server/title.h"
#include "worker/call-functions.h"

/**
 * AForkServer:
 *
 * The server of a runtime for another language than C. This class is for those who write such a
 * runtime, and not for applications.
 *
 * The program of a runtime executes the interpreter of a language, in which a class is derived from
 * this one. [method@AFork.Server.run] reads the commands of the caller from a socket and calls a
 * virtual function for each that concerns the language. It does the rest itself: items and
 * descriptors, forks and their reports, titles, the death pipe, executing programs, and the
 * messages of calls.
 *
 * A process has one server. All virtual functions are called in the thread that has called
 * [method@AFork.Server.run], which must be the only thread of the process. Functions that can fail
 * must set an error then. Its message is what the caller gets; if it is longer than 4095 bytes, the
 * caller gets the end of it.
 *
 * Since: 0.1
 */

/* There is one in a process, and the process ends with it. */
typedef struct
{
  AForkServer         *server;
  AForkContextWakeups  wakeups;
  const AForkItem     *items;           /* of the function that runs, or NULL */
  gsize                n_items;
  int                  status;          /* with which a worker that serves calls exits */
} Running;

static Running running;

G_DEFINE_TYPE (AForkServer, afork_server, G_TYPE_OBJECT)

/* What is found if the caller wants to make calls. Other functions have numbers of the language. */
static const char calls_marker;

/* Failures. */

/* Returns the code of ERROR, if it is one of AFork's that a command can have, or else CODE. */
static AForkWireError
choose_code (const GError   *error,
             AForkWireError  code)
{
  static const AForkWireError codes[] = {
    [AFORK_ERROR_MODULE] = AFORK_WIRE_ERROR_MODULE,
    [AFORK_ERROR_EVAL] = AFORK_WIRE_ERROR_EVAL,
    [AFORK_ERROR_FUNCTION] = AFORK_WIRE_ERROR_FUNCTION,
    [AFORK_ERROR_NOT_SUPPORTED] = AFORK_WIRE_ERROR_NOT_SUPPORTED,
  };

  if (error->domain != AFORK_ERROR || error->code < 0
      || error->code >= (int) G_N_ELEMENTS (codes) || codes[error->code] == 0)
    return code;

  return codes[error->code];
}

/* Sets the failure to ERROR, which is freed. Returns SUCCESS, if it is true and ERROR is NULL. */
static bool
propagate (gboolean        success,
           GError         *error,
           AForkFailure   *failure,
           AForkWireError  code,
           const char     *what)
{
  g_autoptr(GError) owned G_GNUC_UNUSED = error;
  const char *text;
  gsize length;

  if (success && error == NULL)
    return true;
  if (error == NULL)
    return afork_failure_set (failure, code,
                              "“%s”: the language has failed, and has set no error", what);

  /* The end of a traceback says more than its start. */
  text = error->message;
  length = strlen (text);
  if (length >= AFORK_FAILURE_TEXT_SIZE)
    for (text += length - AFORK_FAILURE_TEXT_SIZE + 1; ((guchar) *text & 0xc0) == 0x80; text++)
      ;
  return afork_failure_set (failure, choose_code (error, code), "%s", text);
}

/* Returns whether TEXT can be passed to the language, whose strings have an encoding. */
static bool
check_text (const char     *text,
            AForkFailure   *failure,
            AForkWireError  code)
{
  g_autofree char *shown = NULL;

  if (g_utf8_validate (text, -1, NULL))
    return true;

  shown = g_utf8_make_valid (text, -1);
  return afork_failure_set (failure, code, "“%.1000s” is not valid UTF-8", shown);
}

static bool
refuse (AForkFailure *failure,
        const char   *what)
{
  return afork_failure_set (failure, AFORK_WIRE_ERROR_NOT_SUPPORTED,
                            "The language of the process has nothing to do this with: “%s”", what);
}

/* The runtime. DATA is the server. */

static bool
set_module_path (void               *data,
                 const char * const *directories,
                 AForkFailure       *failure)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);
  GError *error = NULL;
  gboolean done;

  if (klass->set_module_path == NULL)
    return true;

  done = klass->set_module_path (data, directories, &error);
  return propagate (done, error, failure, AFORK_WIRE_ERROR_MODULE, "set_module_path");
}

static bool
require (void         *data,
         const char   *module,
         AForkFailure *failure)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);
  GError *error = NULL;
  gboolean done;

  if (klass->require == NULL)
    return refuse (failure, module);
  if (!check_text (module, failure, AFORK_WIRE_ERROR_MODULE))
    return false;

  done = klass->require (data, module, &error);
  return propagate (done, error, failure, AFORK_WIRE_ERROR_MODULE, module);
}

static bool
require_file (void         *data,
              const char   *path,
              const char   *name,
              AForkFailure *failure)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);
  GError *error = NULL;
  gboolean done;

  if (klass->require_file == NULL)
    return refuse (failure, path);
  if (!check_text (path, failure, AFORK_WIRE_ERROR_MODULE))
    return false;

  done = klass->require_file (data, path, name, &error);
  return propagate (done, error, failure, AFORK_WIRE_ERROR_MODULE, path);
}

static bool
eval (void               *data,
      const char         *code,
      int                 argc,
      const char * const *argv,
      AForkFailure       *failure)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);
  GError *error = NULL;
  gboolean done;

  if (klass->eval == NULL)
    return refuse (failure, "eval");
  if (!check_text (code, failure, AFORK_WIRE_ERROR_EVAL))
    return false;

  done = klass->eval (data, code, argv, &error);
  return propagate (done, error, failure, AFORK_WIRE_ERROR_EVAL, "eval");
}

static bool
call (void               *data,
      const char         *function,
      int                 argc,
      const char * const *argv,
      AForkFailure       *failure)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);
  GError *error = NULL;
  gboolean done;

  if (klass->call == NULL)
    return refuse (failure, function);
  if (!check_text (function, failure, AFORK_WIRE_ERROR_FUNCTION))
    return false;

  done = klass->call (data, function, argv, &error);
  return propagate (done, error, failure, AFORK_WIRE_ERROR_FUNCTION, function);
}

static bool
set_variable (void         *data,
              const char   *name,
              const char   *value,
              AForkFailure *failure)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);
  g_autoptr(GBytes) name_bytes = g_bytes_new_static (name, strlen (name));
  g_autoptr(GBytes) value_bytes = NULL;
  GError *error = NULL;
  gboolean done;

  if (value != NULL)
    value_bytes = g_bytes_new_static (value, strlen (value));
  done = klass->set_variable (data, name_bytes, value_bytes, &error);
  return propagate (done, error, failure, AFORK_WIRE_ERROR_FAILED, name);
}

/* The functions of the language are not looked up before they are run: finding one may load its
 * module, which belongs into the process that asked for it. */
static void
look_up (void       *data,
         const char *function)
{
}

static void
before_fork (void *data)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);

  if (klass->before_fork != NULL)
    klass->before_fork (data);
}

static void
describe_threads (void         *data,
                  AForkFailure *failure)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);
  g_autofree char *description = NULL;
  gsize length = strlen (failure->text);

  if (klass->describe_threads != NULL)
    description = klass->describe_threads (data);
  if (description != NULL)
    g_snprintf (failure->text + length, sizeof failure->text - length, ". %s", description);
}

/* Called after fork() in the child, which had one thread: any function may be called. Without new
 * eventfds, the siblings would wake each other, and without a new seed, all of them would get the
 * same random numbers and UUIDs from GLib. */
static void
forked (void *data)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);
  guint32 seed;

  _afork_context_wakeups_renew (&running.wakeups);
  if (getrandom (&seed, sizeof seed, GRND_NONBLOCK) == sizeof seed)
    g_random_set_seed (seed);
  if (klass->forked != NULL)
    klass->forked (data);
}

static bool
needs_fd (void *data,
          int   fd)
{
  return fd == running.wakeups.fds[0] || fd == running.wakeups.fds[1];
}

static bool
find (void         *data,
      const char   *function,
      void        **found,
      AForkFailure *failure)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);
  GError *error = NULL;
  guint number;

  if (strcmp (function, "afork_worker_serve_calls") == 0)
    {
      *found = (void *) &calls_marker;
      return true;
    }
  if (klass->find == NULL)
    return refuse (failure, function);
  if (!check_text (function, failure, AFORK_WIRE_ERROR_FUNCTION))
    return false;

  number = klass->find (data, function, &error);
  *found = GUINT_TO_POINTER (number);
  return propagate (number != 0, error, failure, AFORK_WIRE_ERROR_FUNCTION, function);
}

static int
enter (void            *data,
       void            *found,
       int              socket,
       const AForkItem *items,
       size_t           n_items)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);

  running.items = items;
  running.n_items = n_items;
  if (found == &calls_marker)
    {
      afork_worker_serve_calls (socket, items, n_items);
      return running.status;
    }

  return klass->enter != NULL ? klass->enter (data, GPOINTER_TO_UINT (found), socket)
                              : EXIT_FAILURE;
}

static void
before_exec (void *data)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);

  if (klass->before_exec != NULL)
    klass->before_exec (data);
}

static void
leave (void *data,
       int   status)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);

  if (klass->leave != NULL)
    klass->leave (data, status);
}

/* Calls. */

static GError *
new_silent_error (void)
{
  return g_error_new_literal (AFORK_ERROR, AFORK_ERROR_FAILED,
                              _("The worker has failed, and has set no error"));
}

static gboolean
init_calls (gpointer          data,
            gpointer          function,
            const AForkItem  *items,
            gsize             n_items,
            GError          **error)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);
  GError *own = NULL;

  if (klass->init_calls != NULL && klass->init_calls (data, GPOINTER_TO_UINT (function), &own)
      && own == NULL)
    return TRUE;

  g_propagate_error (error, own != NULL ? own : new_silent_error ());
  return FALSE;
}

static GVariant *
serve (gpointer    data,
       gpointer    function,
       AForkCall  *call,
       GVariant   *args,
       GError    **error)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);

  if (klass->serve == NULL)
    {
      g_propagate_error (error, new_silent_error ());
      return NULL;
    }

  return klass->serve (data, GPOINTER_TO_UINT (function), call, args, error);
}

static void
serve_concurrently (gpointer   data,
                    gpointer   function,
                    AForkCall *call,
                    GVariant  *args)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);

  /* A call that is dropped without an answer fails. */
  if (klass->serve_concurrently != NULL)
    klass->serve_concurrently (data, GPOINTER_TO_UINT (function), call, args);
}

static void
run_loop (gpointer   data,
          GMainLoop *loop)
{
  AFORK_SERVER_GET_CLASS (data)->run_loop (data, loop);
}

static void
done_calls (gpointer data,
            gpointer function)
{
  AForkServerClass *klass = AFORK_SERVER_GET_CLASS (data);

  if (klass->done_calls != NULL)
    running.status = klass->done_calls (data, GPOINTER_TO_UINT (function));
}

static const AForkCallFunctions call_functions = {
  .call = serve,
  .call_concurrently = serve_concurrently,
  .init = init_calls,
  .done = done_calls,
  .run_loop = run_loop,
};

/* Running. */

static pid_t
fork_process (void)
{
  int pid = AFORK_SERVER_GET_CLASS (running.server)->fork (running.server);

  if (pid >= 0)
    return pid;

  errno = -pid;
  return -1;
}

/* Uses the memory of the arguments for titles. Only the interpreter has the arguments, so the
 * kernel is asked where they are. The memory of the environment is left alone, because the
 * interpreter may have pointers to it. */
static void
init_title (void)
{
  enum { ARGUMENTS_START = 48, ARGUMENTS_END };
  g_autofree char *text = NULL;
  g_auto(GStrv) fields = NULL;
  const char *rest = NULL;
  guint64 start, end;

  if (g_file_get_contents ("/proc/self/stat", &text, NULL, NULL))
    rest = strrchr (text, ')');
  /* After the name in parentheses, which may have spaces, comes the third field. */
  fields = g_strsplit (rest != NULL ? rest : "", " ", -1);
  if (g_strv_length (fields) <= ARGUMENTS_END - 2)
    return;

  start = g_ascii_strtoull (fields[ARGUMENTS_START - 2], NULL, 10);
  end = g_ascii_strtoull (fields[ARGUMENTS_END - 2], NULL, 10);
  if (start != 0 && end > start)
    afork_title_init_memory ((char *) (guintptr) start, end - start);
}

/**
 * afork_server_run:
 * @self: a server
 * @socket: the command socket, a connected stream socket, which the server closes
 *
 * Serves the caller at the other end of @socket, and ends the process. Never returns.
 *
 * The process must have one thread. [vfunc@AFork.Server.leave] is called before it ends.
 *
 * Since: 0.1
 */
void
afork_server_run (AForkServer *self,
                  int          socket)
{
  static AForkWorkerRuntime runtime = {
    .set_module_path = set_module_path,
    .require = require,
    .require_file = require_file,
    .eval = eval,
    .call = call,
    .look_up = look_up,
    .before_fork = before_fork,
    .describe_threads = describe_threads,
    .forked = forked,
    .needs_fd = needs_fd,
    .find = find,
    .enter = enter,
    .before_exec = before_exec,
    .leave = leave,
  };
  const AForkServerOptions options = {
    .socket = socket,
    .runtime = &runtime,
    .runtime_data = self,
    .fork = fork_process,
  };

  g_return_if_fail (AFORK_IS_SERVER (self));
  g_return_if_fail (afork_is_stream_socket (socket));

  if (AFORK_SERVER_GET_CLASS (self)->set_variable != NULL)
    runtime.set_variable = set_variable;
  running.server = g_object_ref (self);
  _afork_call_functions_set (&call_functions, self);

  afork_open_standard_fds ();
  afork_prepare_socket (socket);
  init_title ();
  _afork_context_wakeups_find (&running.wakeups);
  afork_serve (&options);
}

/**
 * afork_server_exit:
 * @self: a server, within [method@AFork.Server.run]
 * @status: the exit status, from 0 to 255
 *
 * Ends the process, for a function of the language that does this, such as `exit()`. Call it in the
 * thread that has called [method@AFork.Server.run]. Never returns.
 *
 * If the process has forks, it waits for them first, and reports their ends.
 * [vfunc@AFork.Server.leave] is called before the process ends.
 *
 * Since: 0.1
 */
void
afork_server_exit (AForkServer *self,
                   int          status)
{
  g_return_if_fail (AFORK_IS_SERVER (self));
  g_return_if_fail (running.server != NULL);

  afork_server_leave (status);
}

/* Items. */

/**
 * afork_server_get_n_items:
 * @self: a server
 *
 * Gets the number of items that the caller has queued for the function. It is 0 except within
 * [vfunc@AFork.Server.enter] and while calls are served.
 *
 * Returns: the number of items
 *
 * Since: 0.1
 */
guint
afork_server_get_n_items (AForkServer *self)
{
  g_return_val_if_fail (AFORK_IS_SERVER (self), 0);

  return (guint) running.n_items;
}

/**
 * afork_server_dup_item:
 * @self: a server
 * @index: the index of an item
 *
 * Gets the bytes of an item, which are not copied.
 *
 * Returns: (transfer full) (nullable): the bytes, or `NULL` if the item is a descriptor
 *
 * Since: 0.1
 */
GBytes *
afork_server_dup_item (AForkServer *self,
                       guint        index)
{
  g_return_val_if_fail (AFORK_IS_SERVER (self), NULL);
  g_return_val_if_fail (index < running.n_items, NULL);

  /* Items are in memory until the process ends. */
  return running.items[index].kind == AFORK_ITEM_BYTES
    ? g_bytes_new_static (running.items[index].data, running.items[index].size) : NULL;
}

/**
 * afork_server_get_item_fd:
 * @self: a server
 * @index: the index of an item
 *
 * Gets an item that is a descriptor. It belongs to the function that gets it.
 *
 * Returns: the descriptor, or -1 if the item is of bytes
 *
 * Since: 0.1
 */
int
afork_server_get_item_fd (AForkServer *self,
                          guint        index)
{
  g_return_val_if_fail (AFORK_IS_SERVER (self), -1);
  g_return_val_if_fail (index < running.n_items, -1);

  return running.items[index].fd;
}

/**
 * afork_server_get_item_is_string:
 * @self: a server
 * @index: the index of an item
 *
 * Gets whether the caller has queued an item as a string, by [method@AFork.Process.send_arg]. The
 * string has the encoding of file names.
 *
 * Returns: true if the item is a string, and false if it is bytes or a descriptor
 *
 * Since: 0.1
 */
gboolean
afork_server_get_item_is_string (AForkServer *self,
                                 guint        index)
{
  g_return_val_if_fail (AFORK_IS_SERVER (self), FALSE);
  g_return_val_if_fail (index < running.n_items, FALSE);

  return running.items[index].is_string;
}

/* The class. */

static int
afork_server_real_fork (AForkServer *self)
{
  pid_t pid = fork ();

  return pid >= 0 ? pid : -errno;
}

static void
afork_server_real_run_loop (AForkServer *self,
                            GMainLoop   *loop)
{
  g_main_loop_run (loop);
}

/**
 * AForkServerClass::set_module_path:
 * @self: a server
 * @directories: (array zero-terminated=1) (element-type filename): the directories of
 *   [property@AFork.Runtime:module-path]
 * @error: return location for an error
 *
 * Sets the directories in which modules are searched first. Without this function, they are
 * ignored.
 *
 * Returns: true on success
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::require:
 * @self: a server
 * @module: the name of a module
 * @error: return location for an error
 *
 * Loads a module, for [method@AFork.Process.require]. Without this function, none can be loaded.
 *
 * Returns: true on success
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::require_file:
 * @self: a server
 * @path: the absolute path of a file
 * @name: the base name of the file as the caller has it
 * @error: return location for an error
 *
 * Loads a module from a file, for [method@AFork.Process.require_file]. The module has the name by
 * which [vfunc@AFork.Server.require] would find a file of that base name. Without this function, no
 * files can be loaded.
 *
 * Returns: true on success
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::eval:
 * @self: a server
 * @code: the code
 * @args: (array zero-terminated=1) (element-type filename): the arguments of the code
 * @error: return location for an error
 *
 * Runs code, for [method@AFork.Process.eval]. Without this function, no code can be run.
 *
 * Returns: true on success
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::call:
 * @self: a server
 * @function: the name of a function
 * @args: (array zero-terminated=1) (element-type filename): the arguments of the function
 * @error: return location for an error
 *
 * Calls a function before the process is run, for [method@AFork.Process.call]. Without this
 * function, none can be called.
 *
 * Returns: true on success
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::set_variable:
 * @self: a server
 * @name: the name of an environment variable, in any encoding
 * @value: (nullable): its value, in any encoding, or `NULL` to unset the variable
 * @error: return location for an error
 *
 * Sets or unsets an environment variable, for [method@AFork.Process.setenv]. A language that keeps
 * the environment itself must set the variable in the C library, too. Without this function, it is
 * only set there.
 *
 * Returns: true on success
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::before_fork:
 * @self: a server
 *
 * Is called before the process is forked. A language that has threads of its own ends them here,
 * because the process is forked only if it has one thread.
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::describe_threads:
 * @self: a server
 *
 * Describes the threads of the process for an error: it has more than one thread, and is not
 * forked. The error names the threads as the kernel does. This adds what the language knows.
 *
 * Returns: (transfer full) (nullable): sentences without the last full stop, or `NULL`
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::fork:
 * @self: a server
 *
 * Forks the process, as fork(2) does, with what the language does before and after that. Without
 * this function, fork() of the C library is called.
 *
 * Returns: the pid of the child, 0 in the child, or a negative errno value
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::forked:
 * @self: a server
 *
 * Is called in a process that was just forked, before it does anything else. GLib's random numbers
 * and main contexts have been renewed; the language must renew its own.
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::find:
 * @self: a server
 * @function: the name of a function
 * @error: return location for an error
 *
 * Finds a function that the caller names to run it, or to have calls served by it.
 *
 * Returns: a number of the language's choice for the function, or 0 and an error if there is none
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::enter:
 * @self: a server
 * @function: the number of a function
 * @socket: a descriptor of the socket to the caller, which belongs to the function
 *
 * Runs a function with the socket and the items. The caller was notified that it runs.
 *
 * Returns: the exit status of the process, from 0 to 255
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::before_exec:
 * @self: a server
 *
 * Is called before the process executes a program: undoes what the interpreter has set up and the
 * program would inherit, such as signals that are ignored.
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::leave:
 * @self: a server
 * @status: the exit status of the process
 *
 * Is called before the process exits, run or not. Buffers are written here.
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::init_calls:
 * @self: a server
 * @function: the number of a function
 * @error: return location for an error
 *
 * Calls the function of [property@AFork.Rpc:init-function] with the items. If it fails, the worker
 * serves no calls.
 *
 * Returns: true on success
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::serve:
 * @self: a server
 * @function: the number of a function
 * @call: the call
 * @args: the arguments of the call
 * @error: return location for an error
 *
 * Serves a call: see [callback@AFork.CallFunc].
 *
 * Returns: (transfer full) (nullable): the result
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::serve_concurrently:
 * @self: a server
 * @function: the number of a function
 * @call: the call
 * @args: the arguments of the call
 *
 * Begins to serve a call: see [callback@AFork.ConcurrentCallFunc].
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::run_loop:
 * @self: a server
 * @loop: a main loop of the default main context
 *
 * Runs @loop until it is quit. A language that has to know that the main context is iterated does
 * it itself. Without this function, [method@GLib.MainLoop.run] is called.
 *
 * Since: 0.1
 */
/**
 * AForkServerClass::done_calls:
 * @self: a server
 * @function: the number of a function
 *
 * Calls the function of [property@AFork.Rpc:done-function].
 *
 * Returns: the exit status of the process, from 0 to 255
 *
 * Since: 0.1
 */
static void
afork_server_class_init (AForkServerClass *klass)
{
  klass->fork = afork_server_real_fork;
  klass->run_loop = afork_server_real_run_loop;
}

static void
afork_server_init (AForkServer *self)
{
}
