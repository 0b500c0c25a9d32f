/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The runtimes there are: those of the whole program, the default one among them, and commands. */

#include "config.h"

#include "afork-runtime.h"
#include "afork-runtime-private.h"

static AForkRuntime *default_runtime;   /* atomic; NULL for the native one */

/* Makes *RUNTIME, once for the whole program. */
static AForkRuntime *
get_single (gsize            *runtime,
            const char       *name,
            AForkRuntimeKind  kind)
{
  if (g_once_init_enter (runtime))
    {
      AForkRuntime *made = g_object_new (AFORK_TYPE_RUNTIME,
                                         "name", name,
                                         "can-fork", TRUE,
                                         "can-pass-fds", TRUE,
                                         NULL);

      made->kind = kind;
      g_once_init_leave (runtime, (gsize) made);
    }

  return (AForkRuntime *) *runtime;
}

AForkRuntime *
_afork_runtime_get_program (void)
{
  static gsize program;

  return get_single (&program, "program", AFORK_RUNTIME_KIND_PROGRAM);
}

/**
 * afork_runtime_get_native:
 *
 * Gets the runtime of worker modules written in C, which is the same for the whole program.
 *
 * Its processes need the C library only. To run them under another program, such as `valgrind`, set
 * [property@AFork.Runtime:argv].
 *
 * Returns: (transfer none): the native runtime
 *
 * Since: 0.1
 */
AForkRuntime *
afork_runtime_get_native (void)
{
  static gsize native;

  return get_single (&native, "native", AFORK_RUNTIME_KIND_NATIVE);
}

/**
 * afork_runtime_get_self:
 *
 * Gets the runtime that executes the calling program again, as a server of its own functions; it is
 * the same for the whole program. No other program and no module need to be there.
 *
 * Functions are looked for in the modules that are loaded, the newest first, and then in the
 * program and in the libraries that it is linked with, as for [ctor@AFork.Process.new_template].
 * The program that is executed is `/proc/self/exe`, the very one that runs, even if its file has
 * been replaced since.
 *
 * The program must call [func@AFork.init] as the first thing in `main()`. If it has not, it would
 * only show itself to its user once more, and so nothing is executed: processes fail with
 * `AFORK_ERROR_SPAWN`. So they do if the program runs with more rights than its caller; and if it
 * makes the call at times only, and has not answered within
 * [property@AFork.Runtime:start-timeout], when it is killed.
 *
 * Returns: (transfer none): the program's own runtime
 *
 * Since: 0.1
 */
AForkRuntime *
afork_runtime_get_self (void)
{
  static gsize self;

  return get_single (&self, "self", AFORK_RUNTIME_KIND_SELF);
}

/**
 * afork_runtime_get_default:
 *
 * Gets the runtime of processes for which none is named: the native one, unless another was set.
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
 * Sets the runtime of processes for which none is named. It is for programs, not for libraries, and
 * the runtime is kept from then on, even if another one is set later.
 *
 * Since: 0.1
 */
void
afork_runtime_set_default (AForkRuntime *runtime)
{
  g_return_if_fail (runtime == NULL || AFORK_IS_RUNTIME (runtime));

  /* Never given up: another thread may just have got it. */
  if (runtime != NULL)
    g_object_ref (runtime);
  g_atomic_pointer_set (&default_runtime, runtime);
}

/**
 * afork_runtime_new_command: (constructor)
 * @name: what the runtime is called
 * @argv: (array zero-terminated=1) (element-type filename): a program, looked up in `PATH` if it
 *   has no slash, and its arguments
 *
 * Creates a runtime that executes a command. The command gets the command socket, a stream socket,
 * as its standard input and output, and must hand them to a server that speaks AFork's protocol,
 * such as `afork-server` without arguments.
 *
 * For all that is known the socket is relayed on its way, so processes of the runtime are not
 * forked and take no descriptors. Where that is not so, make the object with
 * [property@AFork.Runtime:can-fork] and [property@AFork.Runtime:can-pass-fds].
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
