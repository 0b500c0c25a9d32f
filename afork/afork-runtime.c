/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The class: the table of runtimes, what they execute, and their properties. */

#include "config.h"

#include "afork-runtime.h"
#include "afork-runtime-private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "afork-error.h"
#include "base/i18n.h"
#include "base/library.h"
#include "wire/afork-frame.h"

/**
 * AForkRuntime:
 *
 * A program that fresh processes execute, and the templates that were made from it.
 *
 * The native runtime executes `afork-server`, a small program that is part of AFork and loads
 * worker modules written in C; see [func@AFork.Runtime.get_native]. The Python runtime executes
 * Python; see [func@AFork.Runtime.get_python]. The GJS runtime executes `afork-gjs`, which runs
 * JavaScript; see [func@AFork.Runtime.get_gjs]. A command runtime executes any command that starts
 * such a server, for example under a debugger or on another machine; see
 * [ctor@AFork.Runtime.new_command]. The program's own runtime executes the calling program; see
 * [func@AFork.Runtime.get_self].
 *
 * A runtime has one template for each main context in which its processes are created. It starts
 * the template when it is first needed. The template can be prepared like any process, and all
 * later processes of the runtime have what it was given:
 *
 * ```c
 * AForkRuntime *runtime = afork_runtime_get_native ();
 *
 * afork_process_require (afork_runtime_get_template (runtime), "thumbnail-worker");
 * ```
 *
 * If a template has died, or if properties of its runtime have changed since it was started, the
 * runtime replaces it when it is next needed. The new template gets the same commands.
 *
 * Any thread may use a runtime.
 *
 * Since: 0.1
 */

enum
{
  PROP_0,
  PROP_NAME,
  PROP_ARGV,
  PROP_EXECUTABLE,
  PROP_ENVIRON,
  PROP_WORKING_DIRECTORY,
  PROP_MODULE_PATH,
  PROP_CAN_FORK,
  PROP_CAN_PASS_FDS,
  PROP_START_TIMEOUT,
  PROP_KEEPALIVE,
  PROP_SSH_OPTIONS,
  PROP_SERVER_PATH,
  PROP_REMOTE_RUNTIME,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

enum
{
  LAUNCHING,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

/* Far longer than loading a server takes on a busy machine. */
enum { DEFAULT_START_TIMEOUT = 30000 };

enum { DEFAULT_KEEPALIVE = 15000 };

G_DEFINE_FINAL_TYPE (AForkRuntime, afork_runtime, G_TYPE_OBJECT)

/* What is executed. */

/* Takes PROGRAM. */
static char **
new_argv (char *program)
{
  char **argv = g_new0 (char *, 2);

  argv[0] = program;
  return argv;
}

/* In the build tree the server is in a directory beside the library. A program that uses the
 * library there finds the server of the same build. */
static char *
find_uninstalled_server (void)
{
  g_autofree char *library = _afork_library_dup_path ();
  g_autofree char *directory = NULL;
  g_autofree char *server = NULL;

  if (library == NULL)
    return NULL;

  directory = g_path_get_dirname (library);
  server = g_build_filename (directory, "server", "afork-server", NULL);
  return g_file_test (server, G_FILE_TEST_IS_EXECUTABLE) ? g_steal_pointer (&server) : NULL;
}

static char *
find_server (void)
{
  const char *server = secure_getenv ("AFORK_SERVER");
  char *uninstalled;

  if (server != NULL && *server != '\0')
    return g_strdup (server);

  uninstalled = find_uninstalled_server ();
  return uninstalled != NULL ? uninstalled : g_strdup (AFORK_SERVER_INSTALLED);
}

static char **
find_server_argv (AForkRuntime *self)
{
  return new_argv (find_server ());
}

char *
_afork_runtime_dup_server (void)
{
  return find_server ();
}

/* What the shell of the other host executes. It is one word for that shell, so that it can be any
 * shell: sh gets the rest. The path stands in the script as an argument. */
static char *
new_remote_command (const char *server_path)
{
  g_autofree char *quoted = g_shell_quote (server_path != NULL ? server_path
                                                               : AFORK_SERVER_INSTALLED);
  g_autofree char *script = NULL;
  g_autofree char *word = NULL;

  if (server_path != NULL)
    script = g_strdup_printf ("exec %s --agent", quoted);
  else
    script = g_strdup_printf ("s=%s; [ -x \"$s\" ] || s=$(command -v afork-server) || "
                              "{ echo \"afork-server is neither %s nor in PATH ($PATH)\" >&2; "
                              "exit 127; }; exec \"$s\" --agent",
                              quoted, AFORK_SERVER_INSTALLED);
  word = g_shell_quote (script);
  return g_strdup_printf ("exec sh -c %s", word);
}

/* The first value of an option counts, so the options here come before those of the user. */
static char **
find_ssh_argv (AForkRuntime *self)
{
  static const char * const first[] = {
    "ssh", "-T", "-a", "-x", "-oBatchMode=yes", "-oClearAllForwardings=yes",
    "-oForwardAgent=no", "-oForwardX11=no", "-oPermitLocalCommand=no", "-oRequestTTY=no",
    "-oTunnel=no",
  };
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *command = new_remote_command (self->server_path);

  for (gsize i = 0; i < G_N_ELEMENTS (first); i++)
    g_strv_builder_add (builder, first[i]);
  if (self->ssh_options != NULL)
    g_strv_builder_addv (builder, (const char **) self->ssh_options);
  g_strv_builder_add (builder, "--");
  g_strv_builder_add (builder, self->destination);
  g_strv_builder_add (builder, command);
  return g_strv_builder_end (builder);
}

/* Under a program that stands in for the kernel, such as valgrind, executing "/proc/self/exe" would
 * execute valgrind, although reading the link gives the path of the calling program. The longer
 * name of the link gives valgrind's path, so the two paths differ. */
static char *
find_program (void)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *executed = g_file_read_link ("/proc/thread-self/exe", NULL);

  if (program == NULL || executed == NULL || g_str_equal (program, executed))
    return g_strdup (AFORK_SELF_PATH);

  return g_steal_pointer (&program);
}

static char **
find_program_argv (AForkRuntime *self)
{
  return new_argv (find_program ());
}

/* Languages. A server that is written in the language is searched for as the native server is. */

static char *
find_script (const char *variable,
             const char *uninstalled,
             const char *installed)
{
  const char *script = secure_getenv (variable);
  g_autofree char *library = NULL;
  g_autofree char *directory = NULL;
  g_autofree char *beside = NULL;

  if (script != NULL && *script != '\0')
    return g_strdup (script);

  library = _afork_library_dup_path ();
  if (library != NULL)
    {
      directory = g_path_get_dirname (library);
      beside = g_build_filename (directory, uninstalled, NULL);
      if (g_file_test (beside, G_FILE_TEST_EXISTS))
        return g_steal_pointer (&beside);
    }

  return g_strdup (installed);
}

/* Whether the calling program is the interpreter that is executed. Call this with the mutex
 * locked. */
static gboolean
uses_interpreter (AForkRuntime *self)
{
  return self->argv == NULL && self->executable == NULL && self->interpreter.executable != NULL;
}

static char *
find_python_script (void)
{
  return find_script ("AFORK_PYTHON_SERVER", AFORK_PYTHON_SERVER_UNINSTALLED,
                      AFORK_PYTHON_SERVER_INSTALLED);
}

static char **
find_python_argv (AForkRuntime *self)
{
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *script = find_python_script ();
  char protocol[32];

  if (uses_interpreter (self))
    {
      g_strv_builder_add (builder, self->interpreter.executable);
      g_strv_builder_addv (builder, (const char **) self->interpreter.options);
    }
  else
    {
      g_strv_builder_add (builder, self->executable != NULL ? self->executable : AFORK_PYTHON);
    }

  /* Without PyGObject, the server has no library of ours, and reports that itself. */
  g_snprintf (protocol, sizeof protocol, "--protocol=%d", AFORK_WIRE_VERSION);
  g_strv_builder_add (builder, script);
  g_strv_builder_add (builder, protocol);
  return g_strv_builder_end (builder);
}

static char *
find_gjs_program (void)
{
  return find_script ("AFORK_GJS_SERVER", AFORK_GJS_SERVER_UNINSTALLED,
                      AFORK_GJS_SERVER_INSTALLED);
}

static char **
find_gjs_argv (AForkRuntime *self)
{
  return new_argv (self->executable != NULL ? g_strdup (self->executable) : find_gjs_program ());
}

/* The table of runtimes: one row for each language. */

static const AForkRuntimeInfo native_info = {
  .name = "native",
  .kind = AFORK_RUNTIME_KIND_NATIVE,
  .find_argv = find_server_argv,
  .can_fork = TRUE,
  .can_use_early = TRUE,
};

static const AForkRuntimeInfo python_info = {
  .name = "python",
  .kind = AFORK_RUNTIME_KIND_LANGUAGE,
  .find_argv = find_python_argv,
  .find_part = find_python_script,
  .can_fork = TRUE,
};

/* The JavaScript engine reserves much address space for code. */
static const AForkRuntimeInfo gjs_info = {
  .name = "gjs",
  .kind = AFORK_RUNTIME_KIND_LANGUAGE,
  .find_argv = find_gjs_argv,
  .find_part = find_gjs_program,
  .can_fork = TRUE,
  .needs_address_space = TRUE,
};

static const AForkRuntimeInfo self_info = {
  .name = "self",
  .kind = AFORK_RUNTIME_KIND_SELF,
  .find_argv = find_program_argv,
  .can_fork = TRUE,
};

static const AForkRuntimeInfo program_info = {
  .name = "program",
  .kind = AFORK_RUNTIME_KIND_PROGRAM,
  .can_fork = TRUE,
};

/* For the objects that the caller makes. */
static const AForkRuntimeInfo command_info = {
  .name = "command",
  .kind = AFORK_RUNTIME_KIND_COMMAND,
};

static const AForkRuntimeInfo agent_info = {
  .name = "agent",
  .kind = AFORK_RUNTIME_KIND_AGENT,
};

static const AForkRuntimeInfo ssh_info = {
  .name = "ssh",
  .kind = AFORK_RUNTIME_KIND_AGENT,
  .find_argv = find_ssh_argv,
};

/* What is executed. */

AForkRuntimeKind
_afork_runtime_get_kind (AForkRuntime *self)
{
  return self->info->kind;
}

gboolean
_afork_runtime_can_limit_address_space (AForkRuntime *self)
{
  gboolean is_of_gjs;

  if (self->info->kind != AFORK_RUNTIME_KIND_AGENT)
    return !self->info->needs_address_space;

  _afork_mutex_lock (&self->mutex);
  is_of_gjs = g_str_equal (self->remote_runtime, gjs_info.name);
  _afork_mutex_unlock (&self->mutex);
  return !(is_of_gjs && gjs_info.needs_address_space);
}

/* Call this with the mutex locked. */
static char **
dup_argv (AForkRuntime *self)
{
  return self->argv != NULL || self->info->find_argv == NULL ? g_strdupv (self->argv)
                                                              : self->info->find_argv (self);
}

AForkRuntimeCommand
_afork_runtime_dup_command (AForkRuntime *self)
{
  AForkRuntimeCommand command;

  _afork_mutex_lock (&self->mutex);
  command.argv = dup_argv (self);
  command.environment = g_strdupv (self->environment);
  command.working_directory = g_strdup (self->working_directory);
  _afork_mutex_unlock (&self->mutex);
  return command;
}

gboolean
_afork_runtime_check_part (AForkRuntime  *self,
                           GError       **error)
{
  g_auto(AForkRuntimeCommand) command = _afork_runtime_dup_command (self);
  g_autofree char *part = self->info->find_part != NULL ? self->info->find_part () : NULL;

  if (part == NULL || !g_path_is_absolute (part) || g_file_test (part, G_FILE_TEST_EXISTS)
      || command.argv == NULL || !g_strv_contains ((const char * const *) command.argv, part))
    return TRUE;

  g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
               _("There is no “%s”: AFork was built without the runtime “%s”, or it is not "
                 "installed"), part, self->info->name);
  return FALSE;
}

void
_afork_runtime_command_clear (AForkRuntimeCommand *command)
{
  g_clear_pointer (&command->argv, g_strfreev);
  g_clear_pointer (&command->environment, g_strfreev);
  g_clear_pointer (&command->working_directory, g_free);
}

gboolean
_afork_runtime_can_use_early (AForkRuntime *self)
{
  gboolean is_default;

  _afork_mutex_lock (&self->mutex);
  is_default = self->argv == NULL && self->environment == NULL && self->working_directory == NULL;
  _afork_mutex_unlock (&self->mutex);
  return self->info->can_use_early && is_default;
}

void
_afork_runtime_notify_launching (AForkRuntime *self)
{
  g_signal_emit (self, signals[LAUNCHING], 0);
}

char **
_afork_runtime_dup_search_path (AForkRuntime *self)
{
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new ();
  gboolean is_any;

  _afork_mutex_lock (&self->mutex);
  is_any = self->module_path != NULL;
  if (self->module_path != NULL)
    g_strv_builder_addv (builder, (const char **) self->module_path);
  if (uses_interpreter (self) && self->interpreter.search_path != NULL)
    {
      g_strv_builder_addv (builder, (const char **) self->interpreter.search_path);
      is_any = TRUE;
    }
  _afork_mutex_unlock (&self->mutex);
  return is_any ? g_strv_builder_end (builder) : NULL;
}

/* Its templates. */

AForkContextTable *
_afork_runtime_get_templates (AForkRuntime *self)
{
  return self->templates;
}

AForkContextTable *
_afork_runtime_get_connections (AForkRuntime *self)
{
  return self->connections;
}

/* OpenSSH puts parts of the destination into commands of the user's configuration, such as
 * ProxyCommand, which a shell parses. Older versions do not refuse characters that mean something
 * to it. */
char *
_afork_runtime_dup_refusal (AForkRuntime *self)
{
  const char *destination = self->destination;

  if (destination == NULL)
    return NULL;
  if (*destination == '\0')
    return g_strdup (_("the destination is empty"));
  if (*destination == '-' || strstr (destination, "@-") != NULL
      || strstr (destination, "://-") != NULL)
    return g_strdup (_("the destination would be taken for an option"));
  for (const char *c = destination; *c != '\0'; c++)
    if ((guchar) *c <= ' ' || *c == 0x7f || strchr ("'`\"$\\;&<>|(){}*?!#", *c) != NULL)
      return g_strdup (_("the destination has characters that a shell would interpret"));

  return NULL;
}

guint
_afork_runtime_get_generation (AForkRuntime *self)
{
  guint generation;

  _afork_mutex_lock (&self->mutex);
  generation = self->generation;
  _afork_mutex_unlock (&self->mutex);
  return generation;
}

/* Properties. These functions are given the place of a value, because another thread may change the
 * value until the mutex is locked. */

static guint
get_number (AForkRuntime *self,
            const guint  *place)
{
  guint number;

  _afork_mutex_lock (&self->mutex);
  number = *place;
  _afork_mutex_unlock (&self->mutex);
  return number;
}

static char *
dup_string (AForkRuntime  *self,
            char         **place)
{
  char *copy;

  _afork_mutex_lock (&self->mutex);
  copy = g_strdup (*place);
  _afork_mutex_unlock (&self->mutex);
  return copy;
}

static char **
dup_strings (AForkRuntime   *self,
             char         ***place)
{
  char **copy;

  _afork_mutex_lock (&self->mutex);
  copy = g_strdupv (*place);
  _afork_mutex_unlock (&self->mutex);
  return copy;
}

static gboolean
equal_strings (const char * const *a,
               const char * const *b)
{
  return a == b || (a != NULL && b != NULL && g_strv_equal (a, b));
}

static void
set_number (AForkRuntime *self,
            guint        *place,
            guint         number,
            int           prop_id)
{
  gboolean changes;

  _afork_mutex_lock (&self->mutex);
  changes = *place != number;
  *place = number;
  _afork_mutex_unlock (&self->mutex);

  if (changes)
    g_object_notify_by_pspec (G_OBJECT (self), props[prop_id]);
}

static void
set_string (AForkRuntime  *self,
            char         **place,
            const char    *string,
            int            prop_id)
{
  gboolean changes;

  _afork_mutex_lock (&self->mutex);
  changes = g_strcmp0 (*place, string) != 0;
  if (changes)
    {
      g_free (*place);
      *place = g_strdup (string);
      self->generation++;
    }
  _afork_mutex_unlock (&self->mutex);

  if (changes)
    g_object_notify_by_pspec (G_OBJECT (self), props[prop_id]);
}

static void
set_strings (AForkRuntime         *self,
             char               ***place,
             const char * const   *strings,
             int                   prop_id)
{
  gboolean changes;

  _afork_mutex_lock (&self->mutex);
  changes = !equal_strings ((const char * const *) *place, strings);
  if (changes)
    {
      g_strfreev (*place);
      *place = g_strdupv ((char **) strings);
      self->generation++;
    }
  _afork_mutex_unlock (&self->mutex);

  if (changes)
    g_object_notify_by_pspec (G_OBJECT (self), props[prop_id]);
}

/* The object. */

static void
clear_interpreter (AForkInterpreter *interpreter)
{
  g_clear_pointer (&interpreter->executable, g_free);
  g_clear_pointer (&interpreter->options, g_strfreev);
  g_clear_pointer (&interpreter->search_path, g_strfreev);
}

/* A template that the caller still holds gets a reference to the runtime when it leaves the
 * table. */
static void
afork_runtime_dispose (GObject *object)
{
  AForkRuntime *self = AFORK_RUNTIME (object);

  _afork_context_table_clear (self->templates);
  _afork_context_table_clear (self->connections);

  G_OBJECT_CLASS (afork_runtime_parent_class)->dispose (object);
}

static void
afork_runtime_finalize (GObject *object)
{
  AForkRuntime *self = AFORK_RUNTIME (object);

  _afork_context_table_free (self->templates);
  _afork_context_table_free (self->connections);
  g_free (self->destination);
  g_strfreev (self->ssh_options);
  g_free (self->server_path);
  g_free (self->remote_runtime);
  g_free (self->name);
  g_strfreev (self->argv);
  g_free (self->executable);
  g_strfreev (self->environment);
  g_free (self->working_directory);
  g_strfreev (self->module_path);
  clear_interpreter (&self->interpreter);

  G_OBJECT_CLASS (afork_runtime_parent_class)->finalize (object);
}

static void
afork_runtime_get_property (GObject    *object,
                            guint       prop_id,
                            GValue     *value,
                            GParamSpec *pspec)
{
  AForkRuntime *self = AFORK_RUNTIME (object);

  switch (prop_id)
    {
    case PROP_NAME:
      g_value_set_string (value, afork_runtime_get_name (self));
      break;
    case PROP_ARGV:
      g_value_take_boxed (value, afork_runtime_dup_argv (self));
      break;
    case PROP_EXECUTABLE:
      g_value_take_string (value, afork_runtime_dup_executable (self));
      break;
    case PROP_ENVIRON:
      g_value_take_boxed (value, afork_runtime_dup_environ (self));
      break;
    case PROP_WORKING_DIRECTORY:
      g_value_take_string (value, afork_runtime_dup_working_directory (self));
      break;
    case PROP_MODULE_PATH:
      g_value_take_boxed (value, afork_runtime_dup_module_path (self));
      break;
    case PROP_CAN_FORK:
      g_value_set_boolean (value, afork_runtime_get_can_fork (self));
      break;
    case PROP_CAN_PASS_FDS:
      g_value_set_boolean (value, afork_runtime_get_can_pass_fds (self));
      break;
    case PROP_START_TIMEOUT:
      g_value_set_uint (value, afork_runtime_get_start_timeout (self));
      break;
    case PROP_KEEPALIVE:
      g_value_set_uint (value, afork_runtime_get_keepalive (self));
      break;
    case PROP_SSH_OPTIONS:
      g_value_take_boxed (value, afork_runtime_dup_ssh_options (self));
      break;
    case PROP_SERVER_PATH:
      g_value_take_string (value, afork_runtime_dup_server_path (self));
      break;
    case PROP_REMOTE_RUNTIME:
      g_value_take_string (value, afork_runtime_dup_remote_runtime (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
afork_runtime_set_property (GObject      *object,
                            guint         prop_id,
                            const GValue *value,
                            GParamSpec   *pspec)
{
  AForkRuntime *self = AFORK_RUNTIME (object);

  switch (prop_id)
    {
    case PROP_NAME:
      self->name = g_strdup (g_value_get_string (value) != NULL ? g_value_get_string (value)
                                                                 : command_info.name);
      break;
    case PROP_ARGV:
      afork_runtime_set_argv (self, g_value_get_boxed (value));
      break;
    case PROP_EXECUTABLE:
      afork_runtime_set_executable (self, g_value_get_string (value));
      break;
    case PROP_ENVIRON:
      afork_runtime_set_environ (self, g_value_get_boxed (value));
      break;
    case PROP_WORKING_DIRECTORY:
      afork_runtime_set_working_directory (self, g_value_get_string (value));
      break;
    case PROP_MODULE_PATH:
      afork_runtime_set_module_path (self, g_value_get_boxed (value));
      break;
    case PROP_CAN_FORK:
      self->can_fork = g_value_get_boolean (value);
      break;
    case PROP_CAN_PASS_FDS:
      self->can_pass_fds = g_value_get_boolean (value);
      break;
    case PROP_START_TIMEOUT:
      afork_runtime_set_start_timeout (self, g_value_get_uint (value));
      break;
    case PROP_KEEPALIVE:
      afork_runtime_set_keepalive (self, g_value_get_uint (value));
      break;
    case PROP_SSH_OPTIONS:
      afork_runtime_set_ssh_options (self, g_value_get_boxed (value));
      break;
    case PROP_SERVER_PATH:
      afork_runtime_set_server_path (self, g_value_get_string (value));
      break;
    case PROP_REMOTE_RUNTIME:
      afork_runtime_set_remote_runtime (self, g_value_get_string (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
afork_runtime_class_init (AForkRuntimeClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = afork_runtime_dispose;
  object_class->finalize = afork_runtime_finalize;
  object_class->get_property = afork_runtime_get_property;
  object_class->set_property = afork_runtime_set_property;

  /**
   * AForkRuntime:name: (getter get_name)
   *
   * The name of the runtime, for titles of processes and for messages. If it is `NULL` at
   * construction, the name is `command`.
   *
   * Since: 0.1
   */
  props[PROP_NAME] =
    g_param_spec_string ("name", NULL, NULL, "command",
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRuntime:argv: (getter dup_argv) (setter set_argv)
   *
   * The program that is executed, and its arguments. A program without a slash is looked up in
   * `PATH`.
   *
   * `NULL`, the default, means for the native runtime the server program: that of the environment
   * variable `AFORK_SERVER` (ignored in programs that have more rights than their caller), or else
   * the one beside the library in its build tree, or else the installed one. For the Python
   * runtime, it means [property@AFork.Runtime:executable] with a script that is searched for in the
   * same way, first in `AFORK_PYTHON_SERVER`. For the GJS runtime, it means
   * [property@AFork.Runtime:executable]. For the runtime of [func@AFork.Runtime.get_self] it
   * means the calling program.
   *
   * Since: 0.1
   */
  props[PROP_ARGV] =
    g_param_spec_boxed ("argv", NULL, NULL, G_TYPE_STRV,
                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRuntime:executable: (type filename) (getter dup_executable) (setter set_executable)
   *
   * The interpreter that the runtime of another language than C executes, or `NULL` for the
   * default. A program without a slash is looked up in `PATH`. For a runtime of another host, this
   * is the interpreter there of [property@AFork.Runtime:remote-runtime], and the default is that of
   * the other host. Other runtimes ignore this.
   *
   * The default of the Python runtime is the interpreter of the calling program, if that is a
   * Python program and has loaded AFork's override: then virtual environments, options such as
   * `-I`, and `sys.path` are those of the calling program. Otherwise it is the Python with which
   * AFork was built. A program that embeds Python is not executed.
   *
   * The default of the GJS runtime is the program `afork-gjs`, which is searched for as the native
   * server program is: that of the environment variable `AFORK_GJS_SERVER`, or else the one in the
   * build tree of the library, or else the installed one.
   *
   * [property@AFork.Runtime:argv] comes before this.
   *
   * Since: 0.1
   */
  props[PROP_EXECUTABLE] =
    g_param_spec_string ("executable", NULL, NULL, NULL,
                         G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRuntime:environ: (getter dup_environ) (setter set_environ)
   *
   * The environment of executed processes, as strings `NAME=VALUE`, or `NULL` for the environment
   * that this process has when they are executed.
   *
   * Since: 0.1
   */
  props[PROP_ENVIRON] =
    g_param_spec_boxed ("environ", NULL, NULL, G_TYPE_STRV,
                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRuntime:working-directory: (type filename) (getter dup_working_directory)
   *   (setter set_working_directory)
   *
   * The working directory of executed processes, or `NULL` for the working directory that this
   * process has when they are executed.
   *
   * Since: 0.1
   */
  props[PROP_WORKING_DIRECTORY] =
    g_param_spec_string ("working-directory", NULL, NULL, NULL,
                         G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRuntime:module-path: (getter dup_module_path) (setter set_module_path)
   *
   * The directories in which [method@AFork.Process.require] searches first, or `NULL` for none.
   *
   * Since: 0.1
   */
  props[PROP_MODULE_PATH] =
    g_param_spec_boxed ("module-path", NULL, NULL, G_TYPE_STRV,
                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRuntime:can-fork: (getter get_can_fork)
   *
   * Whether processes of this runtime can be forked. This also requires
   * [property@AFork.Runtime:can-pass-fds]. If they cannot be forked, each process executes the
   * program when it is run, and then gets the commands that were queued for it and for the
   * processes that it was forked from.
   *
   * Since: 0.1
   */
  props[PROP_CAN_FORK] =
    g_param_spec_boolean ("can-fork", NULL, NULL, FALSE,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRuntime:can-pass-fds: (getter get_can_pass_fds)
   *
   * Whether descriptors can be sent to processes of this runtime. They can if the server has the
   * socket that the command gets, and they cannot if another process relays the data.
   *
   * Since: 0.1
   */
  props[PROP_CAN_PASS_FDS] =
    g_param_spec_boolean ("can-pass-fds", NULL, NULL, FALSE,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRuntime:start-timeout: (getter get_start_timeout) (setter set_start_timeout)
   *
   * The time in milliseconds within which an executed program must answer as an AFork server, or 0
   * for no limit. A program that does not answer in time is killed, and its process fails with
   * `AFORK_ERROR_SPAWN` and a message that names the program.
   *
   * The time begins when the program is executed, with the value that the property has then. It
   * includes everything that happens before the server runs, for example connecting to another
   * machine or asking for a password. Forks of a template that has answered have no such limit.
   *
   * The limit also applies to processes that [ctor@AFork.Process.new_template] forks from the
   * calling program, and to processes that [ctor@AFork.Process.new_from_fd] takes over. The latter
   * cannot be killed if they do not answer; their socket is closed instead.
   *
   * Since: 0.1
   */
  props[PROP_START_TIMEOUT] =
    g_param_spec_uint ("start-timeout", NULL, NULL,
                       0, G_MAXUINT, DEFAULT_START_TIMEOUT,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRuntime:keepalive: (getter get_keepalive) (setter set_keepalive)
   *
   * The time in milliseconds after which another host of which nothing is heard counts as lost, or
   * 0 for ever. Its processes then fail with `AFORK_ERROR_HOST_LOST`, and are ended there as soon
   * as nothing was heard of this side for the same time.
   *
   * A process beside this program keeps the connection alive, so this does not depend on the main
   * loop. Connections that exist keep their time. Only runtimes of
   * [ctor@AFork.Runtime.new_ssh] and [ctor@AFork.Runtime.new_agent] use this.
   *
   * Since: 0.1
   */
  props[PROP_KEEPALIVE] =
    g_param_spec_uint ("keepalive", NULL, NULL,
                       0, G_MAXINT, DEFAULT_KEEPALIVE,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRuntime:ssh-options: (getter dup_ssh_options) (setter set_ssh_options)
   *
   * Further options of `ssh`, before the destination, such as `-p` and `2222`, or `NULL` for none.
   * Only a runtime of [ctor@AFork.Runtime.new_ssh] uses this.
   *
   * Since: 0.1
   */
  props[PROP_SSH_OPTIONS] =
    g_param_spec_boxed ("ssh-options", NULL, NULL, G_TYPE_STRV,
                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRuntime:server-path: (type filename) (getter dup_server_path) (setter set_server_path)
   *
   * The path of `afork-server` on the other host. `NULL`, the default, means the path where this
   * build of AFork installs it, and then `PATH` there. Only a runtime of
   * [ctor@AFork.Runtime.new_ssh] uses this.
   *
   * Since: 0.1
   */
  props[PROP_SERVER_PATH] =
    g_param_spec_string ("server-path", NULL, NULL, NULL,
                         G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRuntime:remote-runtime: (getter dup_remote_runtime) (setter set_remote_runtime)
   *
   * The name of the runtime of the processes on the other host: `native`, the default, `python` or
   * `gjs`. With the last two, they work as processes of [func@AFork.Runtime.get_python] or
   * [func@AFork.Runtime.get_gjs] do on that host: its interpreter is executed, and modules and
   * functions are named as for these runtimes. AFork must be installed there with that runtime, and
   * for Python also PyGObject.
   *
   * The other host finds the server and the interpreter itself. [property@AFork.Runtime:executable]
   * names another interpreter there. If it lacks one of them, or has no runtime of this name,
   * processes fail with `AFORK_ERROR_SPAWN`.
   *
   * Only runtimes of [ctor@AFork.Runtime.new_ssh] and [ctor@AFork.Runtime.new_agent] use this.
   *
   * Since: 0.1
   */
  props[PROP_REMOTE_RUNTIME] =
    g_param_spec_string ("remote-runtime", NULL, NULL, "native",
                         G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, props);

  /**
   * AForkRuntime::launching:
   * @self: a runtime
   *
   * Is emitted before a runtime of another language than C executes its interpreter, in the thread
   * that starts the process. For overrides of languages: a handler calls
   * [method@AFork.Runtime.set_interpreter].
   *
   * Since: 0.1
   */
  signals[LAUNCHING] =
    g_signal_new ("launching", AFORK_TYPE_RUNTIME, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 0);
}

static void
afork_runtime_init (AForkRuntime *self)
{
  self->info = &command_info;
  self->start_timeout = DEFAULT_START_TIMEOUT;
  self->keepalive = DEFAULT_KEEPALIVE;
  self->remote_runtime = g_strdup (native_info.name);
  self->templates = _afork_context_table_new (G_OBJECT (self));
  self->connections = _afork_context_table_new (G_OBJECT (self));
}

/* The runtimes that exist once in a program. */

static AForkRuntime *default_runtime;   /* atomic; NULL for the native one */

/* Makes *RUNTIME when this is first called. */
static AForkRuntime *
get_single (gsize                  *runtime,
            const AForkRuntimeInfo *info)
{
  if (g_once_init_enter (runtime))
    {
      AForkRuntime *made = g_object_new (AFORK_TYPE_RUNTIME,
                                         "name", info->name,
                                         "can-fork", info->can_fork,
                                         "can-pass-fds", info->can_fork,
                                         NULL);

      made->info = info;
      g_once_init_leave (runtime, (gsize) made);
    }

  return (AForkRuntime *) *runtime;
}

AForkRuntime *
_afork_runtime_get_program (void)
{
  static gsize program;

  return get_single (&program, &program_info);
}

/**
 * afork_runtime_get_native:
 *
 * Gets the runtime of worker modules written in C. There is one in a program.
 *
 * Its processes need only the C library. To run them under another program, for example `valgrind`,
 * set [property@AFork.Runtime:argv].
 *
 * Returns: (transfer none): the native runtime
 *
 * Since: 0.1
 */
AForkRuntime *
afork_runtime_get_native (void)
{
  static gsize native;

  return get_single (&native, &native_info);
}

/**
 * afork_runtime_get_gjs:
 *
 * Gets the runtime of workers written in JavaScript. There is one in a program, which can be
 * written in any language.
 *
 * Its processes execute `afork-gjs`, a program of AFork that embeds GJS; see
 * [property@AFork.Runtime:executable]. If AFork was built without it, they fail with
 * `AFORK_ERROR_SPAWN`. A module is a file with an ES module, and a function is named
 * `file.js:function`. See [Workers in JavaScript](javascript-workers.html).
 *
 * Returns: (transfer none): the GJS runtime
 *
 * Since: 0.1
 */
AForkRuntime *
afork_runtime_get_gjs (void)
{
  static gsize gjs;

  return get_single (&gjs, &gjs_info);
}

/**
 * afork_runtime_get_python:
 *
 * Gets the runtime of workers written in Python. There is one in a program, which can be written in
 * any language.
 *
 * Its processes need PyGObject. [property@AFork.Runtime:executable] says which Python they execute.
 * A module is a Python module, and a function is named `package.module:function`. See
 * [Python](python.html).
 *
 * Returns: (transfer none): the Python runtime
 *
 * Since: 0.1
 */
AForkRuntime *
afork_runtime_get_python (void)
{
  static gsize python;

  return get_single (&python, &python_info);
}

/**
 * afork_runtime_get_self:
 *
 * Gets the runtime that executes the calling program again, as a server of its own functions. There
 * is one in a program. It needs no other program and no module.
 *
 * Functions are looked up in the modules that are loaded, the newest first, and then in the program
 * and in the libraries that it is linked with, as for [ctor@AFork.Process.new_template]. The
 * runtime executes `/proc/self/exe`, which is the running program even if its file was replaced
 * since.
 *
 * The program must call [func@AFork.init] first in `main()`. If it has not called it, nothing is
 * executed, because the program would start for its user once more, and processes fail with
 * `AFORK_ERROR_SPAWN`. Processes also fail with `AFORK_ERROR_SPAWN` if the program has more rights
 * than its caller, and if the executed program does not answer within
 * [property@AFork.Runtime:start-timeout]; it is killed then.
 *
 * Returns: (transfer none): the program's own runtime
 *
 * Since: 0.1
 */
AForkRuntime *
afork_runtime_get_self (void)
{
  static gsize self;

  return get_single (&self, &self_info);
}

/**
 * afork_runtime_get_default:
 *
 * Gets the runtime of processes that are created without naming a runtime. It is the native runtime
 * unless another was set.
 *
 * Returns: (transfer none): the default runtime
 *
 * Since: 0.1
 */
AForkRuntime *
afork_runtime_get_default (void)
{
  AForkRuntime *runtime = g_atomic_pointer_get (&default_runtime);

  return runtime != NULL ? runtime : afork_runtime_get_native ();
}

/**
 * afork_runtime_set_default:
 * @runtime: (nullable): a runtime, or `NULL` for the native one
 *
 * Sets the runtime of processes that are created without naming a runtime. Programs may call this,
 * and libraries should not. The runtime is never freed, even if another one is set later.
 *
 * Since: 0.1
 */
void
afork_runtime_set_default (AForkRuntime *runtime)
{
  g_return_if_fail (runtime == NULL || AFORK_IS_RUNTIME (runtime));

  /* The reference is never dropped, because another thread may have got the pointer just now. */
  if (runtime != NULL)
    g_object_ref (runtime);
  g_atomic_pointer_set (&default_runtime, runtime);
}

/**
 * afork_runtime_new_command: (constructor)
 * @name: the name of the runtime
 * @argv: (array zero-terminated=1) (element-type filename): a program and its arguments; a program
 *   without a slash is looked up in `PATH`
 *
 * Creates a runtime that executes a command. The command gets the command socket, a stream socket,
 * as its standard input and output, and must connect them to a server that speaks AFork's protocol,
 * for example `afork-server` without arguments.
 *
 * The command may relay the data of the socket, so processes of the runtime are not forked and
 * cannot get descriptors. If the server has the socket itself, create the object with
 * [property@AFork.Runtime:can-fork] and [property@AFork.Runtime:can-pass-fds] instead.
 *
 * Returns: (transfer full): a new runtime
 *
 * Since: 0.1
 */
AForkRuntime *
afork_runtime_new_command (const char         *name,
                           const char * const *argv)
{
  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (argv != NULL, NULL);

  return g_object_new (AFORK_TYPE_RUNTIME, "name", name, "argv", argv, NULL);
}

/**
 * afork_runtime_new_agent: (constructor)
 * @name: the name of the host, for messages
 * @argv: (array zero-terminated=1) (element-type filename): a program and its arguments; a program
 *   without a slash is looked up in `PATH`
 *
 * Creates a runtime whose processes are on another host. The command must connect its standard
 * input and output to `afork-server --agent` there, by pipes, sockets or a terminal.
 *
 * The command is executed once in each main context, when a process is first needed there. All
 * processes share its connection, and forks are made on the host. The connection ends with the last
 * process. What the processes print to standard error comes to that of this program, if the command
 * does the same.
 *
 * Descriptors cannot be sent there: a process or a job that has some fails with
 * `AFORK_ERROR_NOT_SUPPORTED`. When this program ends, all processes there are ended. When the
 * connection ends, they are ended, too, and fail here with `AFORK_ERROR_HOST_LOST`. If there never
 * was a connection, they fail with `AFORK_ERROR_SPAWN`, and if the agent is one of another version,
 * with `AFORK_ERROR_PROTOCOL`. The message contains what the command has printed.
 *
 * See [other hosts](remote.html).
 *
 * Returns: (transfer full): a new runtime
 *
 * Since: 0.1
 */
AForkRuntime *
afork_runtime_new_agent (const char         *name,
                         const char * const *argv)
{
  AForkRuntime *self;

  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (argv != NULL, NULL);

  self = g_object_new (AFORK_TYPE_RUNTIME, "name", name, "argv", argv, "can-fork", TRUE, NULL);
  self->info = &agent_info;
  return self;
}

/**
 * afork_runtime_new_ssh: (constructor)
 * @destination: what `ssh` is to connect to, such as `user@host`; also the name of the runtime
 *
 * Creates a runtime whose processes are on another host, as [ctor@AFork.Runtime.new_agent] does,
 * with a command of OpenSSH. `ssh` must be able to log in without asking: keys of hosts and users
 * are the affair of its configuration. It forwards nothing.
 *
 * [property@AFork.Runtime:ssh-options] and [property@AFork.Runtime:server-path] say more;
 * [method@AFork.Runtime.dup_argv] shows the command. If @destination is empty, begins with `-`, or
 * has characters that a shell would interpret, nothing is executed, and processes fail with
 * `AFORK_ERROR_SPAWN`.
 *
 * Returns: (transfer full): a new runtime
 *
 * Since: 0.1
 */
AForkRuntime *
afork_runtime_new_ssh (const char *destination)
{
  AForkRuntime *self;

  g_return_val_if_fail (destination != NULL, NULL);

  self = g_object_new (AFORK_TYPE_RUNTIME, "name", destination, "can-fork", TRUE, NULL);
  self->info = &ssh_info;
  self->destination = g_strdup (destination);
  return self;
}

/**
 * afork_runtime_get_name: (get-property name)
 * @self: a runtime
 *
 * Gets the name of the runtime, which appears in titles of processes and in error messages. The
 * runtimes of the library are called `native`, `gjs`, `python` and `self`.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
afork_runtime_get_name (AForkRuntime *self)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (self), NULL);

  return self->name;
}

/**
 * afork_runtime_dup_argv: (get-property argv)
 * @self: a runtime
 *
 * Gets the program that is executed, and its arguments. If they were not set, this is the program
 * that the runtime would execute now: the server program for the native runtime, the calling
 * program for that of [func@AFork.Runtime.get_self], and `NULL` for others.
 *
 * Returns: (transfer full) (nullable) (array zero-terminated=1) (element-type filename): a copy of
 *   the arguments
 *
 * Since: 0.1
 */
char **
afork_runtime_dup_argv (AForkRuntime *self)
{
  char **argv;

  g_return_val_if_fail (AFORK_IS_RUNTIME (self), NULL);

  _afork_mutex_lock (&self->mutex);
  argv = dup_argv (self);
  _afork_mutex_unlock (&self->mutex);
  return argv;
}

/**
 * afork_runtime_set_argv: (set-property argv)
 * @self: a runtime
 * @argv: (nullable) (array zero-terminated=1) (element-type filename): a program and its arguments,
 *   or `NULL` for the default
 *
 * Sets the program that is executed, and its arguments. A program without a slash is looked up in
 * `PATH`. A template that runs already is replaced when it is next needed.
 *
 * The native runtime adds the argument `--socket=3`, the number of the command socket. The
 * runtime of [func@AFork.Runtime.get_self] adds an argument that [func@AFork.init] recognizes, so
 * @argv must not contain `--`.
 *
 * Since: 0.1
 */
void
afork_runtime_set_argv (AForkRuntime       *self,
                        const char * const *argv)
{
  g_return_if_fail (AFORK_IS_RUNTIME (self));

  set_strings (self, &self->argv, argv, PROP_ARGV);
}

/**
 * afork_runtime_dup_executable: (get-property executable)
 * @self: a runtime
 *
 * Gets the interpreter that was set for a runtime of another language than C. To get the one that
 * would be executed now, use [method@AFork.Runtime.dup_argv].
 *
 * Returns: (transfer full) (type filename) (nullable): a copy of the path or name, or `NULL` for
 *   the default
 *
 * Since: 0.1
 */
char *
afork_runtime_dup_executable (AForkRuntime *self)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (self), NULL);

  return dup_string (self, &self->executable);
}

/**
 * afork_runtime_set_executable: (set-property executable)
 * @self: a runtime
 * @executable: (type filename) (nullable): the path of an interpreter, a name that is looked up in
 *   `PATH`, or `NULL` for the default
 *
 * Sets the interpreter that a runtime of another language than C executes from now on. It gets no
 * options, and searches for modules in its own directories after those of
 * [property@AFork.Runtime:module-path]. A template that runs already is replaced when it is next
 * needed.
 *
 * Since: 0.1
 */
void
afork_runtime_set_executable (AForkRuntime *self,
                              const char   *executable)
{
  g_return_if_fail (AFORK_IS_RUNTIME (self));

  set_string (self, &self->executable, executable, PROP_EXECUTABLE);
}

/* Whether FILE is the file of the running program. */
static gboolean
is_program (const char *file)
{
  g_autofree char *program = find_program ();
  struct stat a, b;

  return stat (file, &a) == 0 && stat (program, &b) == 0
    && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/**
 * afork_runtime_set_interpreter:
 * @self: a runtime of another language than C
 * @executable: (type filename) (nullable): the path of the interpreter that runs the calling
 *   program, as it was executed, or `NULL` if it is unknown
 * @options: (nullable) (array zero-terminated=1) (element-type filename): the options that it
 *   needs, such as `-I`
 * @search_path: (nullable) (array zero-terminated=1) (element-type filename): absolute paths of the
 *   directories in which the calling program searches for modules
 *
 * Sets how the runtime executes the interpreter of the calling program, which then is the
 * default of [property@AFork.Runtime:executable]. For overrides of languages, which call it in a
 * handler of [signal@AFork.Runtime::launching].
 *
 * If @executable is not the file of the running program, the program embeds the language, and must
 * not be executed again. Then this does nothing. An interpreter that is embedded may also name the
 * program itself: overrides have to check that it is an interpreter.
 *
 * Templates that run already are not replaced.
 *
 * Returns: true if the program is the interpreter
 *
 * Since: 0.1
 */
gboolean
afork_runtime_set_interpreter (AForkRuntime       *self,
                               const char         *executable,
                               const char * const *options,
                               const char * const *search_path)
{
  AForkInterpreter interpreter;
  const char *none[] = { NULL };

  g_return_val_if_fail (AFORK_IS_RUNTIME (self), FALSE);

  if (executable == NULL || !is_program (executable))
    return FALSE;

  interpreter.executable = g_strdup (executable);
  interpreter.options = g_strdupv ((char **) (options != NULL ? options : none));
  interpreter.search_path = g_strdupv ((char **) search_path);
  _afork_mutex_lock (&self->mutex);
  clear_interpreter (&self->interpreter);
  self->interpreter = interpreter;
  _afork_mutex_unlock (&self->mutex);
  return TRUE;
}

/**
 * afork_runtime_dup_environ: (get-property environ)
 * @self: a runtime
 *
 * Gets the environment of the processes that this runtime executes. `NULL`, the default, means the
 * environment that this process has when a process is executed.
 *
 * Returns: (transfer full) (nullable) (array zero-terminated=1) (element-type filename): a copy of
 *   the environment, or `NULL` for that of this process
 *
 * Since: 0.1
 */
char **
afork_runtime_dup_environ (AForkRuntime *self)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (self), NULL);

  return dup_strings (self, &self->environment);
}

/**
 * afork_runtime_set_environ: (set-property environ)
 * @self: a runtime
 * @environment: (nullable) (array zero-terminated=1) (element-type filename): strings
 *   `NAME=VALUE`, or `NULL` for the environment of this process
 *
 * Sets the whole environment of the processes that this runtime executes from now on. A template
 * that runs already is replaced when it is next needed. To change a variable of one process, use
 * [method@AFork.Process.setenv].
 *
 * Since: 0.1
 */
void
afork_runtime_set_environ (AForkRuntime       *self,
                           const char * const *environment)
{
  g_return_if_fail (AFORK_IS_RUNTIME (self));

  set_strings (self, &self->environment, environment, PROP_ENVIRON);
}

/**
 * afork_runtime_dup_working_directory: (get-property working-directory)
 * @self: a runtime
 *
 * Gets the working directory of the processes that this runtime executes. `NULL`, the default,
 * means the working directory that this process has when a process is executed.
 *
 * Returns: (transfer full) (type filename) (nullable): a copy of the path, or `NULL` for the
 *   working directory of this process
 *
 * Since: 0.1
 */
char *
afork_runtime_dup_working_directory (AForkRuntime *self)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (self), NULL);

  return dup_string (self, &self->working_directory);
}

/**
 * afork_runtime_set_working_directory: (set-property working-directory)
 * @self: a runtime
 * @working_directory: (type filename) (nullable): the path of a directory, or `NULL` for the
 *   working directory of this process
 *
 * Sets the working directory of the processes that this runtime executes from now on. A template
 * that runs already is replaced when it is next needed. To change the working directory of one
 * process, use [method@AFork.Process.chdir].
 *
 * Since: 0.1
 */
void
afork_runtime_set_working_directory (AForkRuntime *self,
                                     const char   *working_directory)
{
  g_return_if_fail (AFORK_IS_RUNTIME (self));

  set_string (self, &self->working_directory, working_directory, PROP_WORKING_DIRECTORY);
}

/**
 * afork_runtime_dup_module_path: (get-property module-path)
 * @self: a runtime
 *
 * Gets the directories in which [method@AFork.Process.require] searches for modules first. `NULL`,
 * the default, means none.
 *
 * Returns: (transfer full) (nullable) (array zero-terminated=1) (element-type filename): a copy of
 *   the paths, or `NULL` for none
 *
 * Since: 0.1
 */
char **
afork_runtime_dup_module_path (AForkRuntime *self)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (self), NULL);

  return dup_strings (self, &self->module_path);
}

/**
 * afork_runtime_set_module_path: (set-property module-path)
 * @self: a runtime
 * @module_path: (nullable) (array zero-terminated=1) (element-type filename): paths of directories,
 *   or `NULL` for none
 *
 * Sets the directories in which [method@AFork.Process.require] searches for modules first, before
 * those of the environment variable `AFORK_MODULE_PATH` and the directory for installed modules. A
 * template that runs already is replaced when it is next needed.
 *
 * Since: 0.1
 */
void
afork_runtime_set_module_path (AForkRuntime       *self,
                               const char * const *module_path)
{
  g_return_if_fail (AFORK_IS_RUNTIME (self));

  set_strings (self, &self->module_path, module_path, PROP_MODULE_PATH);
}

/**
 * afork_runtime_get_can_fork: (get-property can-fork)
 * @self: a runtime
 *
 * Gets whether processes of this runtime can be forked. This requires that descriptors can be sent
 * to them, or that they are on another host, where an agent forks them. If they cannot be forked,
 * each process executes the runtime's program when it is run, and [method@AFork.Process.fork]
 * copies the commands that were queued.
 *
 * Returns: true if processes can be forked
 *
 * Since: 0.1
 */
gboolean
afork_runtime_get_can_fork (AForkRuntime *self)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (self), FALSE);

  return self->can_fork && (self->can_pass_fds || self->info->kind == AFORK_RUNTIME_KIND_AGENT);
}

/**
 * afork_runtime_get_can_pass_fds: (get-property can-pass-fds)
 * @self: a runtime
 *
 * Gets whether descriptors can be sent to processes of this runtime. If not, a process or a job
 * with descriptors fails with `AFORK_ERROR_NOT_SUPPORTED`.
 *
 * Returns: true if descriptors can be sent
 *
 * Since: 0.1
 */
gboolean
afork_runtime_get_can_pass_fds (AForkRuntime *self)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (self), FALSE);

  return self->can_pass_fds;
}

/**
 * afork_runtime_get_start_timeout: (get-property start-timeout)
 * @self: a runtime
 *
 * Gets the time within which an executed program must answer as an AFork server. A program that
 * does not answer in time is killed, and its process fails with `AFORK_ERROR_SPAWN`. The default is
 * 30,000 milliseconds.
 *
 * Returns: a time in milliseconds, or 0 for no limit
 *
 * Since: 0.1
 */
guint
afork_runtime_get_start_timeout (AForkRuntime *self)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (self), 0);

  return get_number (self, &self->start_timeout);
}

/**
 * afork_runtime_set_start_timeout: (set-property start-timeout)
 * @self: a runtime
 * @timeout: a time in milliseconds, or 0 for no limit
 *
 * Sets the time within which programs that are executed from now on must answer as an AFork server.
 * This does not replace a template that runs already. Allow more time if a user must type a
 * password or if a network is slow.
 *
 * Since: 0.1
 */
void
afork_runtime_set_start_timeout (AForkRuntime *self,
                                 guint         timeout)
{
  g_return_if_fail (AFORK_IS_RUNTIME (self));

  set_number (self, &self->start_timeout, timeout, PROP_START_TIMEOUT);
}

/**
 * afork_runtime_get_keepalive: (get-property keepalive)
 * @self: a runtime
 *
 * Gets the time after which another host of which nothing is heard counts as lost. The default is
 * 15,000 milliseconds.
 *
 * Returns: a time in milliseconds, or 0 for ever
 *
 * Since: 0.1
 */
guint
afork_runtime_get_keepalive (AForkRuntime *self)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (self), 0);

  return get_number (self, &self->keepalive);
}

/**
 * afork_runtime_set_keepalive: (set-property keepalive)
 * @self: a runtime
 * @keepalive: a time in milliseconds, at most 2,147,483,647, or 0 for ever
 *
 * Sets the time after which another host of which nothing is heard counts as lost, for connections
 * that are made from now on.
 *
 * Since: 0.1
 */
void
afork_runtime_set_keepalive (AForkRuntime *self,
                             guint         keepalive)
{
  g_return_if_fail (AFORK_IS_RUNTIME (self));
  g_return_if_fail (keepalive <= G_MAXINT);

  set_number (self, &self->keepalive, keepalive, PROP_KEEPALIVE);
}

/**
 * afork_runtime_dup_ssh_options: (get-property ssh-options)
 * @self: a runtime
 *
 * Gets the options of `ssh` that were set.
 *
 * Returns: (transfer full) (nullable) (array zero-terminated=1) (element-type filename): a copy of
 *   the options, or `NULL` for none
 *
 * Since: 0.1
 */
char **
afork_runtime_dup_ssh_options (AForkRuntime *self)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (self), NULL);

  return dup_strings (self, &self->ssh_options);
}

/**
 * afork_runtime_set_ssh_options: (set-property ssh-options)
 * @self: a runtime
 * @options: (nullable) (array zero-terminated=1) (element-type filename): options of `ssh`, or
 *   `NULL` for none
 *
 * Sets further options of `ssh`. A template that runs already is replaced when it is next needed.
 *
 * Since: 0.1
 */
void
afork_runtime_set_ssh_options (AForkRuntime       *self,
                               const char * const *options)
{
  g_return_if_fail (AFORK_IS_RUNTIME (self));

  set_strings (self, &self->ssh_options, options, PROP_SSH_OPTIONS);
}

/**
 * afork_runtime_dup_server_path: (get-property server-path)
 * @self: a runtime
 *
 * Gets the path of `afork-server` on the other host.
 *
 * Returns: (transfer full) (type filename) (nullable): a copy of the path, or `NULL` for the
 *   default
 *
 * Since: 0.1
 */
char *
afork_runtime_dup_server_path (AForkRuntime *self)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (self), NULL);

  return dup_string (self, &self->server_path);
}

/**
 * afork_runtime_set_server_path: (set-property server-path)
 * @self: a runtime
 * @path: (type filename) (nullable): the path of `afork-server` on the other host, or `NULL` for
 *   the default
 *
 * Sets the path of `afork-server` on the other host. A template that runs already is replaced when
 * it is next needed.
 *
 * Since: 0.1
 */
void
afork_runtime_set_server_path (AForkRuntime *self,
                               const char   *path)
{
  g_return_if_fail (AFORK_IS_RUNTIME (self));

  set_string (self, &self->server_path, path, PROP_SERVER_PATH);
}

/**
 * afork_runtime_dup_remote_runtime: (get-property remote-runtime)
 * @self: a runtime
 *
 * Gets the name of the runtime of the processes on the other host.
 *
 * Returns: (transfer full): a copy of the name
 *
 * Since: 0.1
 */
char *
afork_runtime_dup_remote_runtime (AForkRuntime *self)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (self), NULL);

  return dup_string (self, &self->remote_runtime);
}

/**
 * afork_runtime_set_remote_runtime: (set-property remote-runtime)
 * @self: a runtime
 * @name: (nullable): `native`, `python` or `gjs`, or `NULL` for `native`
 *
 * Sets the name of the runtime of the processes on the other host. Set it before the first process:
 * a template that runs already is replaced when it is next needed, by one over another connection.
 *
 * Since: 0.1
 */
void
afork_runtime_set_remote_runtime (AForkRuntime *self,
                                  const char   *name)
{
  g_return_if_fail (AFORK_IS_RUNTIME (self));

  set_string (self, &self->remote_runtime, name != NULL ? name : native_info.name,
              PROP_REMOTE_RUNTIME);
}
