/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The compiler plugin, which uses libtcc. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <libtcc.h>
#include <locale.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compiler.h"
#include "eval-tcc-libc.h"
#include "system/size-signal.h"
#include "worker/afork-worker.h"

/* The headers of the C library define __attribute__ as nothing for compilers that they do not know,
 * and packed structures such as epoll_event would then have a wrong layout. This compiler supports
 * it. So code that includes headers gets the one that does this first, and then #undef. */
#ifdef __GLIBC__
# define HEADERS_PREFIX "#include <sys/cdefs.h>\n#undef __attribute__\n#line 1\n"
#else
# define HEADERS_PREFIX ""
#endif

/* A translation unit that was compiled. */
typedef struct
{
  TCCState *state;
  char     *memory;             /* of its code and data */
  size_t    size;
} Unit;

/* Messages of the compiler. */

typedef struct
{
  char   **texts;
  size_t   n_texts;
  size_t   n_lost;              /* because there was no memory */
} Messages;

static bool
is_warning (const char *text)
{
  const char *error = strstr (text, ": error: ");
  const char *warning = strstr (text, ": warning: ");

  return warning != NULL && (error == NULL || warning < error);
}

static void
message_cb (void       *data,
            const char *text)
{
  Messages *messages = data;
  char **texts = realloc (messages->texts, (messages->n_texts + 1) * sizeof *texts);
  char *copy = strdup (text);

  if (texts != NULL)
    messages->texts = texts;
  if (texts == NULL || copy == NULL)
    {
      free (copy);
      messages->n_lost++;
      return;
    }

  texts[messages->n_texts++] = copy;
}

static void
print_messages (const Messages *messages)
{
  AForkSizeSignal held;

  /* A warning that finds no room in a file must not end the process. */
  afork_size_signal_hold (&held);
  for (size_t i = 0; i < messages->n_texts; i++)
    fprintf (stderr, "%s\n", messages->texts[i]);
  afork_size_signal_release (&held);
}

static void
clear_messages (Messages *messages)
{
  for (size_t i = 0; i < messages->n_texts; i++)
    free (messages->texts[i]);
  free (messages->texts);
}

/* Adds a line to the failure's text if all of it fits, with a reserve for the line about those that
 * do not. Returns whether it was added. */
static bool
add_line (AForkFailure *failure,
          size_t       *size,
          const char   *text)
{
  enum { RESERVE = 64 };
  size_t length = strlen (text);

  if (*size + 1 + length + RESERVE > sizeof failure->text)
    return false;

  failure->text[(*size)++] = '\n';
  memcpy (failure->text + *size, text, length + 1);
  *size += length;
  return true;
}

/* Sets the failure to the messages, and returns NULL. Errors come first: if there is no room for
 * all, warnings matter less. */
static void *
fail (AForkFailure   *failure,
      const Messages *messages)
{
  size_t n_left_out = messages->n_lost;
  size_t size;

  afork_failure_set (failure, AFORK_WIRE_ERROR_EVAL, "The code could not be compiled:");
  size = strlen (failure->text);
  for (int warnings = 0; warnings < 2; warnings++)
    for (size_t i = 0; i < messages->n_texts; i++)
      if (is_warning (messages->texts[i]) == warnings)
        n_left_out += !add_line (failure, &size, messages->texts[i]);
  if (n_left_out > 0)
    snprintf (failure->text + size, sizeof failure->text - size, "\n… and %zu more messages",
              n_left_out);

  return NULL;
}

/* Symbols. While code is linked, libtcc asks the dynamic linker for each symbol that the code does
 * not define. Its call of dlsym() comes to the function below, which asks the caller first. */

static AForkCompilerResolve resolve_symbol;
static void                *resolve_data;

void *
__wrap_dlsym (void       *handle,
              const char *symbol)
{
  void *found = resolve_symbol != NULL ? resolve_symbol (resolve_data, symbol) : NULL;

  return found != NULL ? found : __real_dlsym (handle, symbol);
}

/* Headers and libraries. */

/* Returns the directory to include <afork/worker/afork-worker.h> from, or NULL if there is no
 * memory. In the build tree that header is in the directory worker/ of the library. */
static char *
find_headers (void)
{
  Dl_info info;
  char *header, *directory = NULL;
  const char *slash;

  if (dladdr ((void *) find_headers, &info) != 0
      && (slash = strrchr (info.dli_fname, '/')) != NULL)
    {
      int length = (int) (slash - info.dli_fname);

      if (asprintf (&header, "%.*s/../../worker/afork-worker.h", length, info.dli_fname) < 0)
        return NULL;
      if (access (header, F_OK) == 0
          && asprintf (&directory, "%.*s/../../..", length, info.dli_fname) < 0)
        directory = NULL;
      free (header);
    }

  return directory != NULL ? directory : strdup (AFORK_INCLUDE_DIR);
}

/* Adds the directories of the environment variables that compilers use. */
static void
add_variables (TCCState *state)
{
  static const struct
  {
    const char *name;
    int       (*add) (TCCState   *state,
                      const char *path);
  } variables[] = {
    { "CPATH", tcc_add_include_path },
    { "C_INCLUDE_PATH", tcc_add_sysinclude_path },
    { "LIBRARY_PATH", tcc_add_library_path },
  };

  for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
    {
      const char *path = secure_getenv (variables[i].name);

      if (path != NULL && *path != '\0')
        variables[i].add (state, path);
    }
}

/* Compiling. */

static bool
compile_string (TCCState   *state,
                const char *code)
{
  char *text;
  bool done;

  if (strstr (code, "include") == NULL)
    return tcc_compile_string (state, code) == 0;

  if (asprintf (&text, "%s%s", HEADERS_PREFIX, code) < 0)
    {
      tcc_get_error_func (state) (tcc_get_error_opaque (state), strerror (ENOMEM));
      return false;
    }

  done = tcc_compile_string (state, text) == 0;
  free (text);
  return done;
}

/* Links the unit into memory of its own, so that no other memory becomes executable. That is
 * executable from the start: if libtcc could not make it so later, it would end the process. */
static bool
link_unit (Unit *unit)
{
  int size = tcc_relocate (unit->state, NULL);

  if (size < 0)
    return false;

  unit->size = (size_t) size;
  unit->memory = mmap (NULL, unit->size, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (unit->memory == MAP_FAILED)
    {
      char text[200];

      snprintf (text, sizeof text, "Executable memory could not be allocated: %s",
                strerror (errno));
      tcc_get_error_func (unit->state) (tcc_get_error_opaque (unit->state), text);
      return false;
    }

  return tcc_relocate (unit->state, unit->memory) == 0;
}

static bool
compile_unit (Unit       *unit,
              Messages   *messages,
              const char *code)
{
  char *headers;

  unit->state = tcc_new ();
  tcc_set_error_func (unit->state, messages, message_cb);
  tcc_define_symbol (unit->state, "_GNU_SOURCE", "");

  /* The compiler's own directories come after the user's and before ours. */
  add_variables (unit->state);
  if (tcc_set_output_type (unit->state, TCC_OUTPUT_MEMORY) < 0)
    return false;
  headers = find_headers ();
  if (headers != NULL)
    tcc_add_sysinclude_path (unit->state, headers);
  free (headers);

  return compile_string (unit->state, code) && link_unit (unit);
}

static void *
compile (const char           *code,
         AForkCompilerResolve  resolve,
         void                 *data,
         AForkFailure         *failure)
{
  /* The locale of the program may have another decimal point. */
  locale_t locale = newlocale (LC_ALL_MASK, "C", (locale_t) 0);
  locale_t before = uselocale (locale);
  Unit *unit = calloc (1, sizeof *unit);
  Messages messages = { 0 };

  afork_eval_init_libc ();
  resolve_symbol = resolve;
  resolve_data = data;
  if (unit == NULL)
    message_cb (&messages, strerror (ENOMEM));
  else if (compile_unit (unit, &messages, code))
    print_messages (&messages);
  else
    {
      tcc_delete (unit->state);
      free (unit);
      unit = NULL;
    }

  resolve_symbol = NULL;
  uselocale (before);
  freelocale (locale);
  if (unit == NULL)
    fail (failure, &messages);
  else
    tcc_set_error_func (unit->state, NULL, NULL);
  clear_messages (&messages);
  return unit;
}

/* Returns the address of SYMBOL if it is in the memory of the unit: libtcc also has addresses of
 * symbols that the unit only uses. */
static void *
find (void       *data,
      const char *symbol)
{
  Unit *unit = data;
  char *found = tcc_get_symbol (unit->state, symbol);

  return found >= unit->memory && found < unit->memory + unit->size ? found : NULL;
}

AFORK_WORKER_EXPORT const AForkCompiler afork_compiler_1;

const AForkCompiler afork_compiler_1 = {
  .compile = compile,
  .find = find,
};
