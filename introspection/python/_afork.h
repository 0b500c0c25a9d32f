/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <glib.h>

/* The extension module _afork: see _afork.pyi for what it does. It uses the stable ABI only, so one
 * build is for CPython 3.11 and all later versions. It links GLib, and neither PyGObject nor
 * AFork: objects of GLib pass as addresses. */

typedef struct
{
  PyTypeObject *unpacker_type;
  PyTypeObject *exporter_type;

  /* These are set by set_variant_class(), or NULL. */
  PyObject     *variant_class;
  PyObject     *get_variant_address;
  PyObject     *take_variant;
} AForkModule;

/* Returns the state of the module that TYPE, one of its types, belongs to. */
AForkModule *_afork_module_get         (PyTypeObject *type);

/* Reads an address that was passed as an int. Returns NULL with an exception if it is none. */
gpointer     _afork_address_get        (PyObject     *address);

/* Replaces a reference by NEW, whose reference it takes. */
static inline void
_afork_set (PyObject **object,
            PyObject  *new)
{
  PyObject *old = *object;

  *object = new;
  Py_XDECREF (old);
}

/* _afork-pack.c. Returns a reference to a GVariant that the caller owns, or NULL with an exception,
 * which names the part of VALUE that is wrong, beginning with NAME. EXACT: refuses what would
 * arrive as another type, and a container that VALUE has twice. */
GVariant    *_afork_pack               (AForkModule  *module,
                                        PyObject     *value,
                                        PyObject     *name,
                                        gboolean      exact);

/* _afork-unpack.c. Both return NULL with an exception on failure. */
PyTypeObject *_afork_unpacker_type_new (PyObject     *module);
PyObject     *_afork_unpack            (AForkModule  *module,
                                        GVariant     *value);

/* _afork-view.c */
PyTypeObject *_afork_exporter_type_new (PyObject     *module);
PyObject     *_afork_view              (AForkModule  *module,
                                        GBytes       *bytes,
                                        gboolean      is_writable);
