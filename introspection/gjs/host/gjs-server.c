/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The server of a process that runs JavaScript. It has a script, which is an AForkServer, too, but
 * one whose functions are written in JavaScript: see server.js. This class does what needs C, and
 * has the script do the rest. */

#include "config.h"

#include "gjs-server.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gjs/gjs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper-threads.h"

#define SCRIPT_URI "resource:///org/afork/gjs/server.js"
#define SCRIPT_TYPE "AForkGjsScript"

/* The number of warmUp() in the script. That of no function of a program is 0. */
enum { WARM_UP = 0 };

/* A command that is done when the context is made. */
typedef enum { COMMAND_REQUIRE, COMMAND_REQUIRE_FILE, COMMAND_EVAL, COMMAND_CALL } CommandKind;

typedef struct
{
  CommandKind   kind;
  char         *text;           /* a module, code or a function */
  char        **args;           /* for REQUIRE_FILE, the path of the file */
} Command;

struct _AForkGjsServer
{
  AForkServer   parent_instance;

  gboolean      is_late;        /* the context is made when the process is run */
  GjsContext   *context;        /* or NULL, and then there is no script, either */
  AForkServer  *script;
  GError       *failure;        /* why there is no script, or NULL */
  GPtrArray    *commands;       /* of Command: what is done when the context is made */
  char         *function;       /* what is found when the context is made, or NULL */
  char        **module_path;    /* or NULL */
  GHashTable   *modules;        /* a set of the names of modules that were loaded */
  guint         n_modules;      /* how many modules were generated, for their names */
  GHashTable   *threads;        /* number of a thread → after which command it was seen first */
  gboolean      has_forks;      /* this process was forked, so it may have forks */
};

G_DEFINE_FINAL_TYPE (AForkGjsServer, _afork_gjs_server, AFORK_TYPE_SERVER)

#define SCRIPT_CLASS(self) AFORK_SERVER_GET_CLASS ((self)->script)

/* Commands that are done later. */

static void
command_free (gpointer data)
{
  Command *command = data;

  g_free (command->text);
  g_strfreev (command->args);
  g_free (command);
}

static void
record (AForkGjsServer     *self,
        CommandKind         kind,
        const char         *text,
        const char * const *args)
{
  Command *command = g_new0 (Command, 1);

  command->kind = kind;
  command->text = g_strdup (text);
  command->args = g_strdupv ((char **) args);
  g_ptr_array_add (self->commands, command);
}

/* Threads. */

/* Returns the name that the kernel has for a thread of this process, or NULL. */
static char *
dup_thread_name (const char *number)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/task/%s/comm", number);
  char *name = NULL;

  if (!g_file_get_contents (path, &name, NULL, NULL))
    return NULL;

  return g_strchomp (name);
}

/* Returns the other threads of this process as number → name. */
static GHashTable *
list_threads (void)
{
  GHashTable *threads = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr(GDir) directory = g_dir_open ("/proc/self/task", 0, NULL);
  g_autofree char *own = g_strdup_printf ("%d", (int) getpid ());
  const char *number;

  while (directory != NULL && (number = g_dir_read_name (directory)) != NULL)
    {
      char *name = g_str_equal (number, own) ? NULL : dup_thread_name (number);

      if (name != NULL)
        g_hash_table_insert (threads, g_strdup (number), name);
    }

  return threads;
}

/* Notes which command has started threads, and writes what it has printed, or each fork would write
 * it again. WHAT says what was done. */
static void
end_command (AForkGjsServer *self,
             const char     *what)
{
  g_autoptr(GHashTable) threads = NULL;
  GHashTableIter iter;
  gpointer number;

  fflush (NULL);
  threads = list_threads ();
  g_hash_table_iter_init (&iter, threads);
  while (g_hash_table_iter_next (&iter, &number, NULL))
    if (!g_hash_table_contains (self->threads, number))
      g_hash_table_insert (self->threads, g_strdup (number), g_strdup (what));
}

/* What starts the threads that libraries of GNOME give these names, which the kernel cuts off after
 * 15 bytes. */
static const struct { const char *prefix, *starter; } starters[] = {
  { "gmain", "import(), a file monitor, Gio.Subprocess, or an asynchronous function of Gio" },
  { "gdbus", "a D-Bus connection, for example by Gio.bus_get() or Gio.Application.register()" },
  { "dconf worker", "Gio.Settings" },
  { "pool-", "import() or an asynchronous function of Gio, such as "
             "Gio.File.load_contents_async()" },
};

static const char *
find_starter (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (starters); i++)
    if (g_str_has_prefix (name, starters[i].prefix))
      return starters[i].starter;

  return NULL;
}

static char *
describe_threads (AForkServer *server)
{
  AForkGjsServer *self = AFORK_GJS_SERVER (server);
  g_autoptr(GHashTable) threads = list_threads ();
  GString *text = g_string_new (NULL);
  GHashTableIter iter;
  gpointer number, name;

  g_hash_table_iter_init (&iter, threads);
  while (g_hash_table_iter_next (&iter, &number, &name))
    {
      const char *starter = find_starter (name);
      const char *command = g_hash_table_lookup (self->threads, number);

      g_string_append_printf (text, "%s“%s”", text->len > 0 ? "; " : "", (char *) name);
      if (starter != NULL)
        g_string_append_printf (text, " was probably started by %s", starter);
      else
        g_string_append (text, " is of a library");
      if (command != NULL)
        g_string_append_printf (text, ", and was there after %s", command);
    }

  return g_string_free (text, FALSE);
}

/* The context. */

/* GJS logs an exception, and its error says only that there was one. */
static void
take_message_cb (const char     *domain,
                 GLogLevelFlags  level,
                 const char     *message,
                 gpointer        data)
{
  char **first = data;

  if (*first == NULL)
    *first = g_strdup (message);
}

/* Evaluates the module that is at URI, by the name IDENTIFIER. */
static gboolean
evaluate_module (AForkGjsServer  *self,
                 const char      *identifier,
                 const char      *uri,
                 GError         **error)
{
  g_autofree char *message = NULL;
  guint handler = g_log_set_handler ("Gjs", G_LOG_LEVEL_MASK, take_message_cb, &message);
  g_autoptr(GError) local_error = NULL;
  guint8 status = 0;
  gboolean done = gjs_context_register_module (self->context, identifier, uri, &local_error)
    && gjs_context_eval_module (self->context, identifier, &status, &local_error);

  g_log_remove_handler ("Gjs", handler);
  if (!done)
    g_set_error (error, local_error->domain, local_error->code, "%s%s%s", local_error->message,
                 message != NULL ? ": " : "", message != NULL ? message : "");
  return done;
}

/* Has the engine do each collection of garbage at once. While one has begun and not ended, GJS
 * blocks calls of JavaScript from C: the worker would get no call any more. */
static void
disable_incremental_collection (GjsContext *context)
{
  /* JS_SetGCParameter (JSContext *, JSGCParamKey, uint32_t), JSGC_INCREMENTAL_GC_ENABLED */
  void (*set_parameter) (gpointer context, int key, guint32 value) =
    (void (*) (gpointer, int, guint32)) dlsym (RTLD_DEFAULT,
                                               "_Z17JS_SetGCParameterP9JSContext12JSGCParamKeyj");
  const int incremental_gc_enabled = 5;

  if (set_parameter != NULL)
    set_parameter (gjs_context_get_native_context (context), incremental_gc_enabled, FALSE);
}

/* Makes a context that finds the override in the folder above that of this program, which is so in
 * the build tree, or else where it was installed, which may not be where GJS looks. */
static GjsContext *
new_context (void)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *own = program != NULL ? g_path_get_dirname (program) : NULL;
  g_autofree char *directory = own != NULL ? g_path_get_dirname (own) : NULL;
  g_autofree char *uninstalled =
    directory != NULL ? g_build_filename (directory, "overrides", NULL) : NULL;
  const char *search_path[] = { AFORK_GJS_PATH_INSTALLED, NULL };
  GjsContext *context;

  if (uninstalled != NULL && g_file_test (uninstalled, G_FILE_TEST_IS_DIR))
    search_path[0] = directory;
  context = gjs_context_new_with_search_path ((char **) search_path);
  disable_incremental_collection (context);
  return context;
}

/* Runs the script once as a worker does: what GJS makes at the first use is shared by the forks. */
static void
warm_up (AForkGjsServer *self)
{
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
    return;

  if (write (fds[1], "", 1) == 1)
    SCRIPT_CLASS (self)->enter (self->script, WARM_UP, fds[0]);
  else
    close (fds[0]);
  close (fds[1]);
}

/* Makes the context and the script. */
static gboolean
make_context (AForkGjsServer  *self,
              GError         **error)
{
  g_autoptr(GError) local_error = NULL;
  GType type;

  self->context = new_context ();
  if (!evaluate_module (self, SCRIPT_URI, SCRIPT_URI, &local_error))
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_MODULE, "AFork could not be loaded by GJS: %s",
                   local_error->message);
      return FALSE;
    }

  type = g_type_from_name (SCRIPT_TYPE);
  g_assert (g_type_is_a (type, AFORK_TYPE_SERVER));
  self->script = g_object_new (type, NULL);
  if (!self->is_late)
    warm_up (self);
  return TRUE;
}

/* Modules. */

static gboolean
set_errno_error (GError     **error,
                 const char  *what)
{
  int saved_errno = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno), "%s: %s", what,
               g_strerror (saved_errno));
  return FALSE;
}

static gboolean
is_uri (const char *module)
{
  return g_str_has_prefix (module, "file://") || g_str_has_prefix (module, "resource://");
}

/* Returns the URI of a module: the name may be one, or a path, which is searched for in the module
 * path first. */
static char *
find_module_uri (AForkGjsServer *self,
                 const char     *module)
{
  g_autoptr(GFile) file = NULL;

  if (is_uri (module))
    return g_strdup (module);

  for (gsize i = 0; self->module_path != NULL && self->module_path[i] != NULL && file == NULL; i++)
    {
      g_autofree char *path = NULL;

      if (g_path_is_absolute (module))
        break;
      path = g_build_filename (self->module_path[i], module, NULL);
      if (g_file_test (path, G_FILE_TEST_EXISTS))
        file = g_file_new_for_path (path);
    }

  if (file == NULL)
    file = g_file_new_for_path (module);
  return g_file_get_uri (file);
}

/* Appends TEXT as a string literal of JavaScript. */
static void
append_literal (GString    *code,
                const char *text)
{
  g_string_append_c (code, '\'');
  for (const char *p = text; *p != '\0'; p++)
    if (g_ascii_isalnum (*p) || strchr ("/:.-_ ", *p) != NULL || (guchar) *p >= 0x80)
      g_string_append_c (code, *p);
    else
      g_string_append_printf (code, "\\x%02x", (guint) *p);
  g_string_append_c (code, '\'');
}

/* Evaluates CODE as a module, which the loader reads from shared memory: the process may not be
 * allowed to write files. */
static gboolean
evaluate_code (AForkGjsServer  *self,
               const GString   *code,
               GError         **error)
{
  g_autofree char *identifier = g_strdup_printf ("afork:%u", ++self->n_modules);
  g_autofree char *uri = NULL;
  int fd = memfd_create ("afork-module", MFD_CLOEXEC);
  gboolean done = FALSE;

  if (fd >= 0 && write (fd, code->str, code->len) == (gssize) code->len)
    {
      uri = g_strdup_printf ("file:///proc/self/fd/%d", fd);
      done = evaluate_module (self, identifier, uri, error);
    }
  else
    {
      set_errno_error (error, "A module could not be generated");
    }

  if (fd >= 0)
    close (fd);
  return done;
}

/* Loads the module that is at URI, and has the script know it. import() starts threads, and after
 * that the process cannot be forked. A module that imports the other one statically does not. */
static gboolean
load_module_at (AForkGjsServer  *self,
                const char      *module,
                const char      *uri,
                GError         **error)
{
  g_autoptr(GString) code = g_string_new ("import * as module from ");
  gboolean done;

  append_literal (code, uri);
  g_string_append (code, ";\nimport {addModule} from '" SCRIPT_URI "';\naddModule(");
  append_literal (code, module);
  g_string_append (code, ", module);\n");

  done = evaluate_code (self, code, NULL);
  if (!done)
    {
      /* That error would not have the exception. The script imports the module once more, to get
       * it. The threads do not matter any more, because the process has failed. */
      if (!SCRIPT_CLASS (self)->require (self->script, uri, error))
        {
          g_prefix_error (error, "Module “%s” could not be loaded: ", module);
          return FALSE;
        }

      done = evaluate_code (self, code, error);
    }

  if (done)
    g_hash_table_add (self->modules, g_strdup (module));
  return done;
}

static gboolean
load_module (AForkGjsServer  *self,
             const char      *module,
             GError         **error)
{
  g_autofree char *uri = find_module_uri (self, module);

  return load_module_at (self, module, uri, error);
}

static gboolean
load_file (AForkGjsServer  *self,
           const char      *module,
           const char      *path,
           GError         **error)
{
  g_autoptr(GFile) file = g_file_new_for_path (path);
  g_autofree char *uri = g_file_get_uri (file);

  return load_module_at (self, module, uri, error);
}

/* Loads the module of the function NAME, MODULE:FUNCTION, unless it was loaded. */
static gboolean
load_module_of (AForkGjsServer  *self,
                const char      *name,
                GError         **error)
{
  const char *colon = strrchr (name, ':');
  g_autofree char *module = NULL;

  if (colon == NULL || colon == name)
    return TRUE;

  module = g_strndup (name, (gsize) (colon - name));
  return g_hash_table_contains (self->modules, module) || load_module (self, module, error);
}

/* Commands. */

static gboolean
do_command (AForkGjsServer      *self,
            CommandKind          kind,
            const char          *text,
            const char * const  *args,
            GError             **error)
{
  switch (kind)
    {
    case COMMAND_REQUIRE:
      return load_module (self, text, error);
    case COMMAND_REQUIRE_FILE:
      return load_file (self, text, args[0], error);
    case COMMAND_EVAL:
      return SCRIPT_CLASS (self)->eval (self->script, text, args, error);
    case COMMAND_CALL:
    default:
      return load_module_of (self, text, error)
        && SCRIPT_CLASS (self)->call (self->script, text, args, error);
    }
}

/* Makes the context, if it was not made yet, and does what was recorded. */
static gboolean
ensure_context (AForkGjsServer  *self,
                GError         **error)
{
  gboolean done;

  if (self->context == NULL)
    {
      done = make_context (self, &self->failure);
      for (guint i = 0; i < self->commands->len && done; i++)
        {
          Command *command = g_ptr_array_index (self->commands, i);

          done = do_command (self, command->kind, command->text,
                             (const char * const *) command->args, &self->failure);
        }
      g_ptr_array_set_size (self->commands, 0);
    }

  if (self->failure != NULL && error != NULL)
    *error = g_error_copy (self->failure);
  return self->failure == NULL;
}

/* Does a command, or records it. Takes WHAT, which says what was done then. */
static gboolean
execute_command (AForkServer         *server,
                 CommandKind          kind,
                 const char          *text,
                 const char * const  *args,
                 char                *what,
                 GError             **error)
{
  AForkGjsServer *self = AFORK_GJS_SERVER (server);
  g_autofree char *owned = what;
  gboolean done;

  if (self->is_late && self->context == NULL)
    {
      record (self, kind, text, args);
      return TRUE;
    }

  done = ensure_context (self, error) && do_command (self, kind, text, args, error);
  end_command (self, owned);
  return done;
}

static gboolean
set_module_path (AForkServer         *server,
                 const char * const  *directories,
                 GError             **error)
{
  AForkGjsServer *self = AFORK_GJS_SERVER (server);

  g_strfreev (self->module_path);
  self->module_path = g_strdupv ((char **) directories);
  return TRUE;
}

static gboolean
require (AForkServer  *server,
         const char   *module,
         GError      **error)
{
  return execute_command (server, COMMAND_REQUIRE, module, NULL,
                          g_strdup_printf ("module “%s” was loaded", module), error);
}

static gboolean
require_file (AForkServer  *server,
              const char   *path,
              const char   *name,
              GError      **error)
{
  const char *args[] = { path, NULL };

  return execute_command (server, COMMAND_REQUIRE_FILE, name, args,
                          g_strdup_printf ("module “%s” was loaded", name), error);
}

static gboolean
eval (AForkServer         *server,
      const char          *code,
      const char * const  *args,
      GError             **error)
{
  return execute_command (server, COMMAND_EVAL, code, args, g_strdup ("code was evaluated"),
                          error);
}

static gboolean
call (AForkServer         *server,
      const char          *function,
      const char * const  *args,
      GError             **error)
{
  return execute_command (server, COMMAND_CALL, function, args,
                          g_strdup_printf ("“%s” was called", function), error);
}

/* Forks. */

static void
before_fork (AForkServer *server)
{
  fflush (NULL);
  _afork_helper_threads_end ();
}

static int
fork_process (AForkServer *server)
{
  pid_t pid = fork ();

  if (pid < 0)
    return -errno;
  if (pid > 0)
    AFORK_GJS_SERVER (server)->has_forks = TRUE;

  return pid;
}

/* Called after fork() in the child, which had one thread: any function may be called. */
static void
forked (AForkServer *server)
{
  AForkGjsServer *self = AFORK_GJS_SERVER (server);

  self->has_forks = FALSE;
  if (self->script != NULL)
    SCRIPT_CLASS (self)->forked (self->script);
}

/* Running. */

static guint
find_now (AForkGjsServer  *self,
          const char      *function,
          GError         **error)
{
  if (!ensure_context (self, error) || !load_module_of (self, function, error))
    return 0;

  return SCRIPT_CLASS (self)->find (self->script, function, error);
}

/* Tries find_now() in a fork of this process. */
static gboolean
try_to_find (AForkGjsServer  *self,
             const char      *function,
             GError         **error)
{
  g_autoptr(GString) text = g_string_new (NULL);
  char buffer[4096];
  gssize n_bytes;
  int fds[2], status, code = AFORK_ERROR_FUNCTION;
  pid_t pid;

  if (pipe2 (fds, O_CLOEXEC) < 0)
    return set_errno_error (error, "A process that has forks could not be run");

  pid = fork ();
  if (pid == 0)
    {
      g_autoptr(GError) local_error = NULL;

      close (fds[0]);
      if (find_now (self, function, &local_error) == 0)
        {
          g_autofree char *line = g_strdup_printf ("%d %s", local_error->code,
                                                   local_error->message);

          if (write (fds[1], line, strlen (line)) < 0)
            _exit (EXIT_FAILURE);
        }
      fflush (NULL);
      _exit (EXIT_SUCCESS);
    }

  close (fds[1]);
  while (pid > 0 && (n_bytes = read (fds[0], buffer, sizeof buffer)) != 0)
    if (n_bytes > 0)
      g_string_append_len (text, buffer, n_bytes);
    else if (errno != EINTR)
      break;
  close (fds[0]);
  if (pid < 0)
    return set_errno_error (error, "A process that has forks could not be run");

  while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
    ;
  if (text->len == 0)
    return TRUE;

  code = (int) g_ascii_strtoll (text->str, NULL, 10);
  g_set_error_literal (error, AFORK_ERROR, code, strchr (text->str, ' ') + 1);
  return FALSE;
}

/* A process that has forks is forked once more after this, and the fork is run. A context that was
 * made here would have threads. So it is tried in another fork whether there is the function, and
 * the fork that is run makes the context. */
static guint
find (AForkServer  *server,
      const char   *function,
      GError      **error)
{
  AForkGjsServer *self = AFORK_GJS_SERVER (server);

  if (self->context != NULL || !self->has_forks)
    return find_now (self, function, error);
  if (!try_to_find (self, function, error))
    return 0;

  self->function = g_strdup (function);
  return G_MAXUINT;
}

static int
enter (AForkServer *server,
       guint        function,
       int          socket)
{
  AForkGjsServer *self = AFORK_GJS_SERVER (server);
  g_autoptr(GError) error = NULL;

  if (self->function != NULL)
    function = find_now (self, self->function, &error);
  if (function == 0)
    {
      g_printerr ("%s\n", error->message);
      return EXIT_FAILURE;
    }

  return SCRIPT_CLASS (self)->enter (self->script, function, socket);
}

/* What was recorded may change what the program inherits. */
static void
before_exec (AForkServer *server)
{
  AForkGjsServer *self = AFORK_GJS_SERVER (server);
  g_autoptr(GError) error = NULL;

  if (self->commands->len > 0 && !ensure_context (self, &error))
    {
      g_printerr ("%s\n", error->message);
      _exit (EXIT_FAILURE);
    }
  fflush (NULL);
}

/* The engine runs handlers at exit(), which are of no use, and its threads may still run. */
static void
leave (AForkServer *server,
       int          status)
{
  fflush (NULL);
  _exit (status);
}

/* Calls. */

static gboolean
init_calls (AForkServer  *server,
            guint         function,
            GError      **error)
{
  AForkGjsServer *self = AFORK_GJS_SERVER (server);

  return SCRIPT_CLASS (self)->init_calls (self->script, function, error);
}

static GVariant *
serve (AForkServer  *server,
       guint         function,
       AForkCall    *call,
       GVariant     *args,
       GError      **error)
{
  AForkGjsServer *self = AFORK_GJS_SERVER (server);

  return SCRIPT_CLASS (self)->serve (self->script, function, call, args, error);
}

static void
serve_concurrently (AForkServer *server,
                    guint        function,
                    AForkCall   *call,
                    GVariant    *args)
{
  AForkGjsServer *self = AFORK_GJS_SERVER (server);

  SCRIPT_CLASS (self)->serve_concurrently (self->script, function, call, args);
}

static int
done_calls (AForkServer *server,
            guint        function)
{
  AForkGjsServer *self = AFORK_GJS_SERVER (server);

  return SCRIPT_CLASS (self)->done_calls (self->script, function);
}

/* The class. */

static void
_afork_gjs_server_finalize (GObject *object)
{
  AForkGjsServer *self = AFORK_GJS_SERVER (object);

  g_clear_object (&self->script);
  g_clear_object (&self->context);
  g_clear_error (&self->failure);
  g_ptr_array_unref (self->commands);
  g_free (self->function);
  g_strfreev (self->module_path);
  g_hash_table_unref (self->modules);
  g_hash_table_unref (self->threads);

  G_OBJECT_CLASS (_afork_gjs_server_parent_class)->finalize (object);
}

static void
_afork_gjs_server_class_init (AForkGjsServerClass *klass)
{
  AForkServerClass *server_class = AFORK_SERVER_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = _afork_gjs_server_finalize;

  server_class->set_module_path = set_module_path;
  server_class->require = require;
  server_class->require_file = require_file;
  server_class->eval = eval;
  server_class->call = call;
  server_class->before_fork = before_fork;
  server_class->describe_threads = describe_threads;
  server_class->fork = fork_process;
  server_class->forked = forked;
  server_class->find = find;
  server_class->enter = enter;
  server_class->before_exec = before_exec;
  server_class->leave = leave;
  server_class->init_calls = init_calls;
  server_class->serve = serve;
  server_class->serve_concurrently = serve_concurrently;
  server_class->done_calls = done_calls;
}

static void
_afork_gjs_server_init (AForkGjsServer *self)
{
  self->commands = g_ptr_array_new_with_free_func (command_free);
  self->modules = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->threads = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
}

AForkServer *
_afork_gjs_server_new (gboolean is_late)
{
  AForkGjsServer *self = g_object_new (AFORK_TYPE_GJS_SERVER, NULL);

  self->is_late = is_late;
  if (!is_late)
    ensure_context (self, NULL);
  return AFORK_SERVER (self);
}
