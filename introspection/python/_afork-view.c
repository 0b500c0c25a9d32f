/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "_afork.h"

/* What a memoryview shows: it keeps the bytes. */
typedef struct
{
  PyObject_HEAD
  GBytes   *bytes;
  gboolean  is_writable;
} Exporter;

static int
exporter_get_buffer (PyObject  *object,
                     Py_buffer *view,
                     int        flags)
{
  Exporter *self = (Exporter *) object;
  gsize size;
  gconstpointer data = g_bytes_get_data (self->bytes, &size);

  return PyBuffer_FillInfo (view, object, (void *) (data != NULL ? data : ""), (Py_ssize_t) size,
                            !self->is_writable, flags);
}

static void
exporter_dealloc (PyObject *object)
{
  Exporter *self = (Exporter *) object;
  PyTypeObject *type = Py_TYPE (object);

  g_bytes_unref (self->bytes);
  PyObject_Free (self);
  Py_DECREF (type);
}

PyTypeObject *
_afork_exporter_type_new (PyObject *module)
{
  static PyType_Slot slots[] = {
    { Py_bf_getbuffer, exporter_get_buffer },
    { Py_tp_dealloc, exporter_dealloc },
    { Py_tp_doc, (void *) PyDoc_STR ("The bytes of a blob.") },
    { 0 }
  };
  static PyType_Spec spec = {
    .name = "_afork.Blob",
    .basicsize = sizeof (Exporter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
  };

  return (PyTypeObject *) PyType_FromModuleAndSpec (module, &spec, NULL);
}

PyObject *
_afork_view (AForkModule *module,
             GBytes      *bytes,
             gboolean     is_writable)
{
  Exporter *self = PyObject_New (Exporter, module->exporter_type);
  PyObject *view;

  if (self == NULL)
    return NULL;
  self->bytes = g_bytes_ref (bytes);
  self->is_writable = is_writable;

  view = PyMemoryView_FromObject ((PyObject *) self);
  Py_DECREF (self);
  return view;
}
