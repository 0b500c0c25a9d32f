/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "_afork.h"

static struct PyModuleDef module_def;

AForkModule *
_afork_module_get (PyTypeObject *type)
{
  return PyType_GetModuleState (type);
}

gpointer
_afork_address_get (PyObject *address)
{
  gpointer pointer;

  if (!PyLong_CheckExact (address))
    {
      PyErr_SetString (PyExc_TypeError, "an address must be an int");
      return NULL;
    }

  pointer = PyLong_AsVoidPtr (address);
  if (pointer == NULL && PyErr_Occurred () == NULL)
    PyErr_SetString (PyExc_ValueError, "an address must not be 0");
  return pointer;
}

/* Functions. */

static PyObject *
set_variant_class (PyObject *module,
                   PyObject *args)
{
  AForkModule *self = PyModule_GetState (module);
  PyObject *class, *get_address, *take;

  if (!PyArg_ParseTuple (args, "O!OO:set_variant_class", &PyType_Type, &class, &get_address, &take))
    return NULL;

  _afork_set (&self->variant_class, Py_NewRef (class));
  _afork_set (&self->get_variant_address, Py_NewRef (get_address));
  _afork_set (&self->take_variant, Py_NewRef (take));
  Py_RETURN_NONE;
}

static PyObject *
pack (PyObject *module,
      PyObject *args,
      PyObject *keywords)
{
  static char *names[] = { (char *) "", (char *) "name", (char *) "exact", NULL };
  PyObject *value, *name = NULL;
  GVariant *variant;
  int exact = 0;

  if (!PyArg_ParseTupleAndKeywords (args, keywords, "O|U$p:pack", names, &value, &name, &exact))
    return NULL;

  variant = _afork_pack (PyModule_GetState (module), value, name, exact);
  return variant != NULL ? PyLong_FromVoidPtr (variant) : NULL;
}

static PyObject *
unpack (PyObject *module,
        PyObject *address)
{
  GVariant *value = _afork_address_get (address);

  return value != NULL ? _afork_unpack (PyModule_GetState (module), value) : NULL;
}

static PyObject *
view (PyObject *module,
      PyObject *args,
      PyObject *keywords)
{
  static char *names[] = { (char *) "", (char *) "writable", NULL };
  PyObject *address;
  int is_writable = 0;
  GBytes *bytes;

  if (!PyArg_ParseTupleAndKeywords (args, keywords, "O|$p:view", names, &address, &is_writable))
    return NULL;

  bytes = _afork_address_get (address);
  return bytes != NULL ? _afork_view (PyModule_GetState (module), bytes, is_writable) : NULL;
}

static PyMethodDef functions[] = {
  {
    "set_variant_class", set_variant_class, METH_VARARGS,
    PyDoc_STR ("set_variant_class(cls, get_address, take, /)\n--\n\n"
               "Sets the class of GVariants, and two functions that convert between an instance\n"
               "and the address of its GVariant. take() takes the reference.")
  },
  {
    "pack", (PyCFunction) (void (*) (void)) pack, METH_VARARGS | METH_KEYWORDS,
    PyDoc_STR ("pack(value, /, name='value', *, exact=False)\n--\n\n"
               "Converts a value to a GVariant, and returns the address of a new reference to it.")
  },
  {
    "unpack", unpack, METH_O,
    PyDoc_STR ("unpack(address, /)\n--\n\n"
               "Returns the value of the GVariant at an address.")
  },
  {
    "view", (PyCFunction) (void (*) (void)) view, METH_VARARGS | METH_KEYWORDS,
    PyDoc_STR ("view(address, /, *, writable=False)\n--\n\n"
               "Returns a memoryview of the bytes of the GBytes at an address, without a copy.")
  },
  { NULL }
};

/* The module. */

static int
module_exec (PyObject *module)
{
  AForkModule *self = PyModule_GetState (module);

  self->unpacker_type = _afork_unpacker_type_new (module);
  if (self->unpacker_type == NULL || PyModule_AddType (module, self->unpacker_type) < 0)
    return -1;
  self->exporter_type = _afork_exporter_type_new (module);
  return self->exporter_type != NULL ? 0 : -1;
}

static int
module_traverse (PyObject  *module,
                 visitproc  visit,
                 void      *arg)
{
  AForkModule *self = PyModule_GetState (module);

  Py_VISIT (self->unpacker_type);
  Py_VISIT (self->exporter_type);
  Py_VISIT (self->variant_class);
  Py_VISIT (self->get_variant_address);
  Py_VISIT (self->take_variant);
  return 0;
}

static int
module_clear (PyObject *module)
{
  AForkModule *self = PyModule_GetState (module);

  Py_CLEAR (self->unpacker_type);
  Py_CLEAR (self->exporter_type);
  Py_CLEAR (self->variant_class);
  Py_CLEAR (self->get_variant_address);
  Py_CLEAR (self->take_variant);
  return 0;
}

static void
module_free (void *module)
{
  module_clear (module);
}

static PyModuleDef_Slot slots[] = {
  { Py_mod_exec, module_exec },
  { 0 }
};

static struct PyModuleDef module_def = {
  PyModuleDef_HEAD_INIT,
  .m_name = "_afork",
  .m_doc = PyDoc_STR ("Python's values as GVariants, and the bytes of blobs. For AFork's own use."),
  .m_size = sizeof (AForkModule),
  .m_methods = functions,
  .m_slots = slots,
  .m_traverse = module_traverse,
  .m_clear = module_clear,
  .m_free = module_free,
};

PyMODINIT_FUNC PyInit__afork (void);

PyMODINIT_FUNC
PyInit__afork (void)
{
  return PyModuleDef_Init (&module_def);
}
