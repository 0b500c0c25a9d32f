/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "native.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "objects.h"

/* The function of the library that a process runs to serve calls. */
#define SERVE_FUNCTION "afork_worker_serve_calls"

/* Is called for each object until it returns 1. */
static int
find_libc_cb (struct dl_phdr_info *info,
              size_t               size,
              void                *data)
{
  AForkNative *self = data;
  uintptr_t start = UINTPTR_MAX, end = 0;

  (void) size;
  for (int i = 0; i < info->dlpi_phnum; i++)
    if (info->dlpi_phdr[i].p_type == PT_LOAD)
      {
        uintptr_t segment = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

        start = segment < start ? segment : start;
        end = segment + info->dlpi_phdr[i].p_memsz > end
          ? segment + info->dlpi_phdr[i].p_memsz : end;
      }

  if ((uintptr_t) getpid < start || (uintptr_t) getpid >= end)
    return 0;

  self->libc_start = start;
  self->libc_end = end;
  return 1;
}

/* Looks the C library up once: this takes time, and each fork would touch the same memory again. */
void
afork_native_init (AForkNative *self)
{
  dl_iterate_phdr (find_libc_cb, self);
}

/* Finding a module's file. */

/* No path is cut, because it could then name another file: the kernel refuses a path that is too
 * long. No directory is skipped when there is no memory: one buffer is allocated, for the longest
 * path. */

/* Returns the larger of A and B. */
static size_t
max_size (size_t a,
          size_t b)
{
  return a > b ? a : b;
}

/* Returns the size of a buffer for each path that MODULE's file may have. */
static size_t
measure_path (const AForkNative *self,
              const char        *search_path,
              const char        *module)
{
  size_t length = max_size (strlen (search_path), strlen (AFORK_MODULES_DIR));

  for (char **directory = self->directories; directory != NULL && *directory != NULL; directory++)
    length = max_size (length, strlen (*directory));

  return length + strlen (module) + sizeof "/.so";
}

/* Writes the path of MODULE's file in DIRECTORY, which has LENGTH bytes, to PATH. Returns whether
 * the file exists. */
static bool
find_in_directory (char       *path,
                   const char *directory,
                   size_t      length,
                   const char *module)
{
  if (length == 0)
    return false;

  memcpy (path, directory, length);
  path[length] = '/';
  stpcpy (stpcpy (path + length + 1, module), ".so");
  return access (path, F_OK) == 0;
}

/* Does the same for each of DIRECTORIES, which are separated by colons, until a file exists. */
static bool
find_in_path (char       *path,
              const char *directories,
              const char *module)
{
  while (*directories != '\0')
    {
      size_t length = strcspn (directories, ":");

      if (find_in_directory (path, directories, length, module))
        return true;
      directories += length;
      directories += *directories == ':';
    }

  return false;
}

/* Does the same for each of DIRECTORIES, which end with NULL or are NULL. */
static bool
find_in_directories (char       *path,
                     char      **directories,
                     const char *module)
{
  for (char **directory = directories; directory != NULL && *directory != NULL; directory++)
    if (find_in_directory (path, *directory, strlen (*directory), module))
      return true;

  return false;
}

/* Returns the path to load for MODULE, or NULL if there is no memory. If no directory has a file,
 * this is its name alone, so that the error of the dynamic linker names what is missing. */
static char *
find_module (AForkNative *self,
             const char  *module)
{
  const char *search_path = secure_getenv ("AFORK_MODULE_PATH");
  char *path;

  if (strchr (module, '/') != NULL)
    return strdup (module);

  if (search_path == NULL)
    search_path = "";
  path = malloc (measure_path (self, search_path, module));
  if (path == NULL)
    return NULL;

  if (!find_in_directories (path, self->directories, module)
      && !find_in_path (path, search_path, module)
      && !find_in_path (path, AFORK_MODULES_DIR, module))
    stpcpy (stpcpy (path, module), ".so");
  return path;
}

/* The library is AFork itself, with GLib, which the server does not link. Worker code may need it
 * without being linked with it: linkers drop a library if the module uses no function of it or if
 * it is named before the module's sources, and code that is evaluated is not linked at all. It is
 * loaded only when a symbol is missing. */

/* Opens the library with the FLAGS of dlopen(). A library of that name that is loaded already is
 * taken for the same one. If there is no file at the path, for example on another machine, the
 * dynamic linker searches for the name. */
static void *
open_library (const AForkNative *self,
              int                flags)
{
  const char *slash = strrchr (self->library, '/');
  const char *name = slash != NULL ? slash + 1 : self->library;
  void *handle = dlopen (name, flags | RTLD_NOLOAD);

  if (handle == NULL)
    handle = dlopen (access (self->library, F_OK) == 0 ? self->library : name, flags);
  return handle;
}

/* Loads the library so that modules can use its functions. Returns whether it is there. */
static bool
show_library (const AForkNative *self)
{
  return self->library != NULL && open_library (self, RTLD_NOW | RTLD_GLOBAL) != NULL;
}

/* Commands that set the process up. */

static bool
native_set_library (void         *data,
                    const char   *path,
                    AForkFailure *failure)
{
  AForkNative *self = data;
  char *copy = strdup (path);

  if (copy == NULL)
    return afork_failure_set (failure, AFORK_WIRE_ERROR_FAILED, "%s", strerror (ENOMEM));

  free (self->library);
  self->library = copy;
  return true;
}

static bool
native_set_module_path (void               *data,
                        const char * const *directories,
                        AForkFailure       *failure)
{
  AForkNative *self = data;
  size_t n_directories = 0;
  char **copy;

  while (directories[n_directories] != NULL)
    n_directories++;

  copy = calloc (n_directories + 1, sizeof *copy);
  for (size_t i = 0; copy != NULL && i < n_directories; i++)
    if ((copy[i] = strdup (directories[i])) == NULL)
      return afork_failure_set (failure, AFORK_WIRE_ERROR_FAILED, "%s", strerror (ENOMEM));

  self->directories = copy;
  return true;
}

/* Adds a module as the newest: HANDLE with NAME, or UNIT, which has no name. */
static bool
add_module (AForkNative  *self,
            const char   *name,
            void         *handle,
            void         *unit,
            AForkFailure *failure)
{
  size_t size = (self->n_modules + 1) * sizeof *self->modules;
  AForkNativeModule *modules = realloc (self->modules, size);
  char *copy = name != NULL ? strdup (name) : NULL;

  if (modules != NULL)
    self->modules = modules;
  if (modules == NULL || (copy == NULL && name != NULL))
    {
      free (copy);
      return afork_failure_set (failure, AFORK_WIRE_ERROR_FAILED, "%s", strerror (ENOMEM));
    }

  self->modules[self->n_modules++] = (AForkNativeModule) { copy, handle, unit };
  self->looked_up = NULL;
  return true;
}

/* Returns whether MODULE is named NAME, which has LENGTH bytes. */
static bool
is_named (const AForkNativeModule *module,
          const char              *name,
          size_t                   length)
{
  return module->name != NULL
    && strncmp (module->name, name, length) == 0
    && module->name[length] == '\0';
}

bool
afork_native_add_program (AForkNative  *self,
                          AForkFailure *failure)
{
  void *handle = dlopen (NULL, RTLD_LAZY);

  if (handle == NULL)
    return afork_failure_set (failure, AFORK_WIRE_ERROR_FAILED,
                              "The program's functions cannot be looked up: %s", dlerror ());

  return add_module (self, "", handle, NULL, failure);
}

/* Returns whether the program is among the modules, where it is the first. */
static bool
has_program (const AForkNative *self)
{
  return self->n_modules > 0 && is_named (&self->modules[0], "", 0);
}

/* Sets the failure to the error of dlopen(). That starts with PATH, which is removed if it is so
 * long that it would leave no room for the cause. */
static void
set_module_failure (AForkFailure *failure,
                    const char   *module,
                    const char   *path)
{
  enum { MOST = 1024 };
  const char *cause = dlerror ();
  size_t length = strlen (path);

  if (length > MOST && strlen (cause) > length && strncmp (cause, path, length) == 0)
    for (cause += length; *cause == ':' || *cause == ' '; cause++)
      ;
  afork_failure_set (failure, AFORK_WIRE_ERROR_MODULE, "Module “%.*s%s” could not be loaded: %s",
                     MOST, module, strlen (module) > MOST ? "…" : "", cause);
}

/* Loads the module at PATH, which is MODULE for the caller and in messages, as NAME. */
static bool
load_module (AForkNative  *self,
             const char   *path,
             const char   *module,
             const char   *name,
             AForkFailure *failure)
{
  void *handle = dlopen (path, RTLD_NOW | RTLD_LOCAL);

  if (handle == NULL)
    set_module_failure (failure, module, path);
  if (handle == NULL && access (path, F_OK) == 0 && show_library (self))
    {
      handle = dlopen (path, RTLD_NOW | RTLD_LOCAL);
      if (handle == NULL)
        set_module_failure (failure, module, path);
    }

  return handle != NULL && add_module (self, name, handle, NULL, failure);
}

static bool
native_require (void         *data,
                const char   *module,
                AForkFailure *failure)
{
  AForkNative *self = data;
  char *path = find_module (self, module);
  bool done;

  if (path == NULL)
    return afork_failure_set (failure, AFORK_WIRE_ERROR_FAILED, "%s", strerror (ENOMEM));

  done = load_module (self, path, module, module, failure);
  free (path);
  return done;
}

/* The module is named as find_module() would find it. */
static bool
native_require_file (void         *data,
                     const char   *path,
                     const char   *name,
                     AForkFailure *failure)
{
  const size_t length = strlen (name), n_suffix = strlen (".so");
  char *module = strdup (name);
  bool done;

  if (module == NULL)
    return afork_failure_set (failure, AFORK_WIRE_ERROR_FAILED, "%s", strerror (ENOMEM));

  if (length > n_suffix && strcmp (module + length - n_suffix, ".so") == 0)
    module[length - n_suffix] = '\0';
  done = load_module (data, path, name, module, failure);
  free (module);
  return done;
}

/* Functions. */

/* Returns SYMBOL of MODULE, or NULL. dlsym() also searches the libraries of a module, because a
 * module may consist of several objects. But a function of the C library is not a worker
 * function. */
static void *
find_in_module (const AForkNative       *self,
                const AForkNativeModule *module,
                const char              *symbol)
{
  void *function;

  if (module->unit != NULL)
    return self->compiler->find (module->unit, symbol);

  function = dlsym (module->handle, symbol);
  if ((uintptr_t) function >= self->libc_start && (uintptr_t) function < self->libc_end)
    return NULL;

  return function;
}

/* Returns FUNCTION, or NULL and sets the failure. FUNCTION is SYMBOL, for the newest module that
 * has it, or MODULE:SYMBOL. :SYMBOL is in the program. */
static void *
find_function (AForkNative  *self,
               const char   *function,
               AForkFailure *failure)
{
  const char *colon = strrchr (function, ':');
  const char *symbol = colon != NULL ? colon + 1 : function;
  bool module_known = false;

  for (size_t i = self->n_modules; i > 0; i--)
    {
      const AForkNativeModule *module = &self->modules[i - 1];
      void *found;

      if (colon != NULL && !is_named (module, function, (size_t) (colon - function)))
        continue;

      module_known = true;
      found = find_in_module (self, module, symbol);
      if (found != NULL)
        return found;
    }

  if (self->n_modules == 0)
    afork_failure_set (failure, AFORK_WIRE_ERROR_FUNCTION,
                       "There is no function “%s”, because no module has been loaded", function);
  else if (colon != NULL && !module_known)
    afork_failure_set (failure, AFORK_WIRE_ERROR_FUNCTION,
                       "There is no function “%s”, because no module “%.*s” has been loaded",
                       function, (int) (colon - function), function);
  else
    afork_failure_set (failure, AFORK_WIRE_ERROR_FUNCTION,
                       "There is no function “%s” in the modules that have been loaded%s%s",
                       function,
                       self->compiler != NULL ? ", nor in the code that was evaluated" : "",
                       has_program (self) ? ", nor among those that the program exports" : "");
  return NULL;
}

/* Returns FUNCTION from the library if it is the one that serves calls, else NULL. FAILURE already
 * says that no module has it; if the library cannot be loaded, this adds the reason. */
static void *
find_in_library (const AForkNative *self,
                 const char        *function,
                 AForkFailure      *failure)
{
  char modules[sizeof failure->text];
  void *handle;

  if (self->library == NULL || strcmp (function, SERVE_FUNCTION) != 0)
    return NULL;

  handle = open_library (self, RTLD_NOW | RTLD_LOCAL);
  if (handle != NULL)
    return dlsym (handle, function);

  strcpy (modules, failure->text);
  afork_failure_set (failure, AFORK_WIRE_ERROR_FUNCTION,
                     "%s, and AFork's library could not be loaded: %s", modules, dlerror ());
  return NULL;
}

/* Resolves SYMBOL for code that is evaluated: from the newest module or code that has it, else from
 * the library. Returns NULL to leave it to the dynamic linker. */
static void *
resolve_cb (void       *data,
            const char *symbol)
{
  const AForkNative *self = data;
  void *found = NULL;

  for (size_t i = self->n_modules; i > 0 && found == NULL; i--)
    found = find_in_module (self, &self->modules[i - 1], symbol);
  if (found == NULL && dlsym (RTLD_DEFAULT, symbol) == NULL && show_library (self))
    found = dlsym (RTLD_DEFAULT, symbol);

  return found;
}

static bool
native_eval (void               *data,
             const char         *code,
             int                 argc,
             const char * const *argv,
             AForkFailure       *failure)
{
  AForkNative *self = data;
  AForkInitFunc init;
  void *unit;

  if (self->compiler == NULL)
    self->compiler = afork_compiler_load (failure);
  if (self->compiler == NULL)
    return false;

  unit = self->compiler->compile (code, resolve_cb, self, failure);
  if (unit == NULL || !add_module (self, NULL, NULL, unit, failure))
    return false;

  init = (AForkInitFunc) self->compiler->find (unit, "afork_eval_init");
  if (init != NULL)
    init (argc, argv);
  else if (argc > 0)
    return afork_failure_set (failure, AFORK_WIRE_ERROR_EVAL,
                              "The code has no function “afork_eval_init” to take its arguments");
  return true;
}

static bool
native_call (void               *data,
             const char         *function,
             int                 argc,
             const char * const *argv,
             AForkFailure       *failure)
{
  AForkInitFunc found = (AForkInitFunc) find_function (data, function, failure);

  if (found == NULL)
    return false;

  found (argc, argv);
  return true;
}

/* Returns whether A and B are equal. strcmp() would be one more page of the C library that a worker
 * touches. */
static bool
is_same (const char *a,
         const char *b)
{
  while (*a != '\0' && *a == *b)
    a++, b++;

  return *a == *b;
}

static bool
native_find_address (void          *data,
                     const char    *name,
                     const char    *object,
                     uint64_t       offset,
                     void         **found,
                     AForkFailure  *failure)
{
  (void) data;
  *found = afork_object_find (object, offset);
  if (*found == NULL)
    return afork_failure_set (failure, AFORK_WIRE_ERROR_FUNCTION,
                              "There is no function “%s”, because the program or shared object "
                              "that has it is not loaded in this process", name);
  return true;
}

/* Does the same for an address as text: see objects.h. */
static bool
find_address_text (const char    *text,
                   void         **found,
                   AForkFailure  *failure)
{
  char id[AFORK_OBJECT_ID_SIZE];
  uint64_t offset;
  const char *name = afork_address_parse (text, id, &offset);

  if (id[0] == '\0')
    return afork_failure_set (failure, AFORK_WIRE_ERROR_FUNCTION,
                              "There is no function “%s”, because the program or shared object "
                              "that has it has no build ID", name);
  return native_find_address (NULL, name, id, offset, found, failure);
}

/* Finds the function to run. Looking a symbol up touches much of the dynamic linker's memory, so
 * the template does it for its forks, which only compare the name. */
static bool
native_find (void          *data,
             const char    *function,
             void         **found,
             AForkFailure  *failure)
{
  AForkNative *self = data;

  if (function[0] == AFORK_ADDRESS_MARK)
    return find_address_text (function, found, failure);

  if (self->looked_up != NULL && is_same (self->looked_up_name, function))
    *found = self->looked_up;
  else
    *found = find_function (self, function, failure);
  if (*found == NULL)
    *found = find_in_library (self, function, failure);

  return *found != NULL;
}

static void
native_look_up (void       *data,
                const char *function)
{
  AForkNative *self = data;
  AForkFailure failure;
  void *found;

  /* A fork that needs the library loads it itself, so that the template stays small. */
  if (strlen (function) >= sizeof self->looked_up_name
      || (found = find_function (self, function, &failure)) == NULL)
    return;

  self->looked_up = found;
  strcpy (self->looked_up_name, function);
}

static int
native_enter (void            *data,
              void            *found,
              int              socket,
              const AForkItem *items,
              size_t           n_items)
{
  ((AForkRunFunc) found) (socket, items, n_items);
  return EXIT_SUCCESS;
}

const AForkWorkerRuntime afork_native_runtime = {
  .set_library = native_set_library,
  .set_module_path = native_set_module_path,
  .require = native_require,
  .require_file = native_require_file,
  .eval = native_eval,
  .call = native_call,
  .look_up = native_look_up,
  .find = native_find,
  .find_address = native_find_address,
  .enter = native_enter,
};
