/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The converter of Python, in an interpreter. The input is a letter and bytes:
 *
 *   g   a GVariant that came from another process: a type string, a NUL, and the serialized value
 *   v   a value of Python, made of the bytes: of all types, with itself inside, or with code that
 *       changes it while it is converted
 *
 * Neither may do more harm than an exception. What has been converted must come back as the same.
 * The checks are in python-values.py. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

PyMODINIT_FUNC PyInit__afork (void);

enum
{
  /* GLib takes long to look at values whose types are complex. */
  MAX_TYPE = 256,
};

/* Functions for the checks. GVariants are addresses, as they are for the module. */

static GVariant *
get_variant (PyObject *address)
{
  return PyLong_AsVoidPtr (address);
}

static GVariant *
new_variant (const char    *type,
             gconstpointer  data,
             gsize          size)
{
  g_autoptr(GBytes) bytes = g_bytes_new (data, size);

  return g_variant_ref_sink (g_variant_new_from_bytes ((const GVariantType *) type, bytes, FALSE));
}

/* One of a few types, by the first byte. Its value is the rest. */
static PyObject *
make_variant (PyObject *module,
              PyObject *data)
{
  static const char * const types[] = { "u", "s", "ay", "(sv)", "a{sv}", "mx", "av", "g" };
  const char *bytes = PyBytes_AsString (data);
  const gsize size = (gsize) PyBytes_Size (data);

  (void) module;
  return PyLong_FromVoidPtr (size == 0
                             ? new_variant ("()", "", 1)
                             : new_variant (types[(guint8) bytes[0] % G_N_ELEMENTS (types)],
                                            bytes + 1, size - 1));
}

static PyObject *
unref (PyObject *module,
       PyObject *address)
{
  (void) module;
  g_variant_unref (get_variant (address));
  Py_RETURN_NONE;
}

static PyObject *
is_normal (PyObject *module,
           PyObject *address)
{
  (void) module;
  return PyBool_FromLong (g_variant_is_normal_form (get_variant (address)));
}

/* Whether two values are the same when they are in normal form. g_variant_equal() would take NaNs
 * for different. */
static PyObject *
is_same (PyObject *module,
         PyObject *args)
{
  g_autoptr(GVariant) a = g_variant_get_normal_form (get_variant (PyTuple_GetItem (args, 0)));
  g_autoptr(GVariant) b = g_variant_get_normal_form (get_variant (PyTuple_GetItem (args, 1)));
  const gsize size = g_variant_get_size (a);

  (void) module;
  return PyBool_FromLong (g_variant_is_of_type (a, g_variant_get_type (b))
                          && g_variant_get_size (b) == size
                          && (size == 0
                              || memcmp (g_variant_get_data (a), g_variant_get_data (b), size)
                                 == 0));
}

static PyMethodDef functions[] = {
  { "is_normal", is_normal, METH_O, NULL },
  { "is_same", is_same, METH_VARARGS, NULL },
  { "new_variant", make_variant, METH_O, NULL },
  { "unref", unref, METH_O, NULL },
  { NULL }
};

static struct PyModuleDef module_def = {
  PyModuleDef_HEAD_INIT,
  .m_name = "fuzz",
  .m_size = -1,
  .m_methods = functions,
};

static PyObject *
init_module (void)
{
  return PyModule_Create (&module_def);
}

/* Prints the exception, and ends the target. */
static void
fail (void)
{
  PyErr_Print ();
  fflush (stderr);
  abort ();
}

static PyObject *try_variant, *try_value;

static void
set_up (void)
{
  PyPreConfig early;
  PyConfig config;
  PyObject *globals;
  g_autofree char *code = NULL;

  /* A sanitizer sees what is allocated one by one. */
  PyPreConfig_InitIsolatedConfig (&early);
  early.allocator = PYMEM_ALLOCATOR_MALLOC;
  early.utf8_mode = 1;
  Py_PreInitialize (&early);
  PyImport_AppendInittab ("_afork", PyInit__afork);
  PyImport_AppendInittab ("fuzz", init_module);
  PyConfig_InitIsolatedConfig (&config);
  config.site_import = 0;
  if (PyStatus_Exception (Py_InitializeFromConfig (&config))
      || !g_file_get_contents (FUZZ_PYTHON_CODE, &code, NULL, NULL))
    abort ();
  PyConfig_Clear (&config);

  if (PyRun_SimpleString (code) != 0)
    abort ();
  globals = PyModule_GetDict (PyImport_AddModule ("__main__"));
  try_variant = PyDict_GetItemString (globals, "try_variant");
  try_value = PyDict_GetItemString (globals, "try_value");
}

static void
call (PyObject *function,
      PyObject *argument)
{
  PyObject *result = argument != NULL ? PyObject_CallOneArg (function, argument) : NULL;

  if (result == NULL)
    fail ();
  Py_DECREF (result);
  Py_DECREF (argument);
}

static void
call_with_variant (const uint8_t *bytes,
                   size_t         n_bytes)
{
  const uint8_t *type_end = memchr (bytes, '\0', MIN (n_bytes, MAX_TYPE));
  const char *type = (const char *) bytes;
  g_autoptr(GVariant) value = NULL;

  if (type_end == NULL || !g_variant_type_string_is_valid (type)
      || !g_variant_type_is_definite ((const GVariantType *) type))
    return;

  value = new_variant (type, type_end + 1, n_bytes - (gsize) (type_end + 1 - bytes));
  call (try_variant, PyLong_FromVoidPtr (value));
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes,
                        size_t         n_bytes)
{
  if (try_value == NULL)
    set_up ();

  if (n_bytes > 0 && bytes[0] == 'g')
    call_with_variant (bytes + 1, n_bytes - 1);
  else if (n_bytes > 0)
    call (try_value, PyBytes_FromStringAndSize ((const char *) bytes + 1,
                                                (Py_ssize_t) n_bytes - 1));
  return 0;
}
