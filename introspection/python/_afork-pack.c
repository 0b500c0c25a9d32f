/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Values are of exactly the types in the table of _afork.pyi. An instance of a subclass would
 * arrive as an instance of its base, so it is refused. No code in Python is called, except for
 * GVariants. While that code runs, other threads may change lists and dictionaries, so their items
 * are held. */

#include "_afork.h"

#include "afork/values/writer.h"

enum
{
  /* Of a key in the text of an exception, in characters. */
  MAX_KEY = 40,
  /* References to a container that only the container around it has, while it is packed. */
  N_REFERENCES = 2,
  MAX_FEW = 4,
};

typedef struct
{
  AForkModule      *module;
  AForkValueWriter *writer;
  PyObject         *name;       /* or NULL */
  gboolean          exact;
  /* With EXACT: containers that may be there twice. Few are in an array, which costs nothing. */
  PyObject         *few[MAX_FEW];
  guint             n_few;
  GHashTable       *more;       /* or NULL */
} Packer;

/* Where a value stands, from the inside to the outside. */
typedef struct _Place Place;
struct _Place
{
  const Place *outer;           /* or NULL */
  PyObject    *container;
  PyObject    *key;             /* or NULL */
  Py_ssize_t   index;
};

static gboolean pack_value (Packer      *self,
                            PyObject    *value,
                            const Place *place);

/* Exceptions. */

/* Returns "[2]['k']" for PLACE. */
static PyObject *
get_path (const Place *place)
{
  PyObject *path = PyUnicode_FromString ("");

  for (; path != NULL && place != NULL; place = place->outer)
    {
      PyObject *longer = NULL, *key = NULL;

      if (place->key == NULL)
        longer = PyUnicode_FromFormat ("[%zd]%U", place->index, path);
      else
        key = PyUnicode_Substring (place->key, 0, MAX_KEY);
      if (key != NULL)
        longer = PyUnicode_FromFormat (PyUnicode_GetLength (place->key) > MAX_KEY
                                       ? "[%R...]%U" : "[%R]%U", key, path);
      Py_XDECREF (key);
      _afork_set (&path, longer);
    }

  return path;
}

/* Raises a TypeError for the value at PLACE. Returns false. */
static gboolean
refuse (Packer      *self,
        const Place *place,
        const char  *format,
        ...)
{
  PyObject *path = get_path (place);
  PyObject *text;
  va_list args;

  va_start (args, format);
  text = path != NULL ? PyUnicode_FromFormatV (format, args) : NULL;
  va_end (args);

  if (text != NULL && self->name != NULL)
    PyErr_Format (PyExc_TypeError, "%U%U: %U", self->name, path, text);
  else if (text != NULL)
    PyErr_Format (PyExc_TypeError, "value%U: %U", path, text);
  Py_XDECREF (path);
  Py_XDECREF (text);
  return FALSE;
}

/* Returns the name of the type of VALUE, with its module unless that is builtins. */
static PyObject *
get_type_name (PyObject *value)
{
  PyObject *name = PyType_GetQualName (Py_TYPE (value));
  PyObject *module = PyObject_GetAttrString ((PyObject *) Py_TYPE (value), "__module__");

  if (module == NULL)
    PyErr_Clear ();
  else if (name != NULL && PyUnicode_Check (module)
           && PyUnicode_CompareWithASCIIString (module, "builtins") != 0)
    _afork_set (&name, PyUnicode_FromFormat ("%U.%U", module, name));
  Py_XDECREF (module);
  return name;
}

static gboolean
refuse_type (Packer      *self,
             PyObject    *value,
             const Place *place)
{
  static const struct { const char *name; unsigned long flag; } bases[] = {
    { "int", Py_TPFLAGS_LONG_SUBCLASS },
    { "str", Py_TPFLAGS_UNICODE_SUBCLASS },
    { "bytes", Py_TPFLAGS_BYTES_SUBCLASS },
    { "list", Py_TPFLAGS_LIST_SUBCLASS },
    { "tuple", Py_TPFLAGS_TUPLE_SUBCLASS },
    { "dict", Py_TPFLAGS_DICT_SUBCLASS },
  };
  PyObject *name = get_type_name (value);
  const char *base = PyFloat_Check (value) ? "float" : NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (bases); i++)
    if (PyType_HasFeature (Py_TYPE (value), bases[i].flag))
      base = bases[i].name;
  if (PyByteArray_Check (value))
    base = self->exact ? "bytes" : "bytearray";
  if (PyMemoryView_Check (value))
    base = "bytes";

  if (name != NULL && base != NULL)
    refuse (self, place, "%U cannot be sent, because it would arrive as %s; convert it with %s()",
            name, base, base);
  else if (name != NULL)
    refuse (self, place, "%U cannot be sent; use None, bool, int, float, str, bytes, list, tuple, "
            "dict or GLib.Variant", name);
  Py_XDECREF (name);
  return FALSE;
}

static gboolean
check (Packer           *self,
       AForkValueStatus  status,
       const Place      *place)
{
  switch (status)
    {
    case AFORK_VALUE_WRITTEN:
      return TRUE;
    case AFORK_VALUE_TOO_DEEP:
      return refuse (self, place, "the value is nested too deeply: a GVariant has at most 128 "
                     "levels, and a list or dict in another one adds at least two");
    case AFORK_VALUE_TOO_COMPLEX:
      return refuse (self, place, "a tuple has too many items; use a list");
    default:
      PyErr_NoMemory ();
      return FALSE;
    }
}

/* Values. */

static gboolean
pack_int (Packer      *self,
          PyObject    *value,
          const Place *place)
{
  int overflow;
  gint64 number = PyLong_AsLongLongAndOverflow (value, &overflow);
  guint64 large;

  if (overflow == 0)
    return check (self, _afork_value_writer_add_int64 (self->writer, number), place);

  large = overflow > 0 ? PyLong_AsUnsignedLongLong (value) : 0;
  if (overflow < 0 || PyErr_Occurred () != NULL)
    {
      PyErr_Clear ();
      return refuse (self, place, "an int must be at least -2**63 and less than 2**64");
    }
  return check (self, _afork_value_writer_add_uint64 (self->writer, large), place);
}

/* Returns the UTF-8 of TEXT, which belongs to it, or NULL with an exception. */
static const char *
get_utf8 (Packer      *self,
          PyObject    *text,
          const Place *place,
          const char  *what,
          Py_ssize_t  *length)
{
  const char *utf8 = PyUnicode_AsUTF8AndSize (text, length);

  if (utf8 == NULL && PyErr_ExceptionMatches (PyExc_UnicodeEncodeError))
    {
      PyErr_Clear ();
      refuse (self, place, "%s must not have surrogates", what);
    }
  else if (utf8 != NULL && memchr (utf8, '\0', (gsize) *length) != NULL)
    {
      refuse (self, place, "%s must not have NUL characters", what);
      return NULL;
    }
  return utf8;
}

static gboolean
pack_str (Packer      *self,
          PyObject    *value,
          const Place *place)
{
  Py_ssize_t length;
  const char *text = get_utf8 (self, value, place, "a str", &length);

  return text != NULL
    && check (self, _afork_value_writer_add_string (self->writer, text, (gsize) length), place);
}

static gboolean
pack_buffer (Packer      *self,
             PyObject    *value,
             const Place *place)
{
  gboolean is_packed;
  Py_buffer view;

  if (PyObject_GetBuffer (value, &view, PyBUF_FULL_RO) < 0)
    {
      PyErr_Clear ();
      return refuse (self, place, "the memoryview has been released");
    }

  if (view.ndim != 1 || (view.format != NULL && strcmp (view.format, "B") != 0)
      || !PyBuffer_IsContiguous (&view, 'C'))
    is_packed = refuse (self, place, "a memoryview must be contiguous, of one dimension and of "
                        "format 'B'; see memoryview.cast()");
  else
    is_packed = check (self, _afork_value_writer_add_bytes (self->writer, view.buf,
                                                            (gsize) view.len), place);
  PyBuffer_Release (&view);
  return is_packed;
}

static gboolean
pack_variant (Packer      *self,
              PyObject    *value,
              const Place *place)
{
  PyObject *address = PyObject_CallFunctionObjArgs (self->module->get_variant_address, value, NULL);
  GVariant *variant = address != NULL ? _afork_address_get (address) : NULL;

  Py_XDECREF (address);
  return variant != NULL
    && check (self, _afork_value_writer_add_variant (self->writer, variant), place);
}

/* Returns whether VALUE was not added before. */
static gboolean
add_seen (Packer   *self,
          PyObject *value)
{
  for (guint i = 0; i < self->n_few; i++)
    if (self->few[i] == value)
      return FALSE;

  if (self->n_few < MAX_FEW)
    {
      self->few[self->n_few++] = value;
      return TRUE;
    }

  if (self->more == NULL)
    self->more = g_hash_table_new (NULL, NULL);
  return g_hash_table_add (self->more, value);
}

/* Whether a container stands where it does, and nowhere else. Without EXACT, it may be there twice,
 * and only a cycle is refused. */
static gboolean
check_container (Packer      *self,
                 PyObject    *value,
                 const Place *place)
{
  for (const Place *outer = place; outer != NULL; outer = outer->outer)
    if (outer->container == value)
      return refuse (self, place, "the value contains itself");

  /* Most containers have one reference only besides that of the caller. The whole value can be
   * there twice only in a cycle, and the interpreter has one empty tuple. */
  if (!self->exact || place == NULL || Py_REFCNT (value) <= N_REFERENCES
      || (PyTuple_CheckExact (value) && PyTuple_Size (value) == 0))
    return TRUE;

  return add_seen (self, value) || refuse (self, place, "the value is there twice");
}

static gboolean
pack_list (Packer      *self,
           PyObject    *value,
           const Place *place)
{
  Place inner = { .outer = place, .container = value };
  gboolean is_packed = check_container (self, value, place)
    && check (self, _afork_value_writer_begin_list (self->writer), place);

  for (; is_packed && inner.index < PyList_Size (value); inner.index++)
    {
      PyObject *item = Py_NewRef (PyList_GetItem (value, inner.index));

      is_packed = pack_value (self, item, &inner);
      Py_DECREF (item);
    }

  return is_packed && check (self, _afork_value_writer_end (self->writer), place);
}

static gboolean
pack_tuple (Packer      *self,
            PyObject    *value,
            const Place *place)
{
  Place inner = { .outer = place, .container = value };
  gboolean is_packed = check_container (self, value, place)
    && check (self, _afork_value_writer_begin_tuple (self->writer), place);

  for (; is_packed && inner.index < PyTuple_Size (value); inner.index++)
    {
      PyObject *item = Py_NewRef (PyTuple_GetItem (value, inner.index));

      is_packed = pack_value (self, item, &inner);
      Py_DECREF (item);
    }

  return is_packed && check (self, _afork_value_writer_end (self->writer), place);
}

static gboolean
pack_key (Packer      *self,
          PyObject    *key,
          const Place *place)
{
  Py_ssize_t length;
  const char *text;

  if (!PyUnicode_CheckExact (key))
    {
      PyObject *name = get_type_name (key);

      if (name != NULL)
        refuse (self, place, "the keys of a dict must be str, not %U", name);
      Py_XDECREF (name);
      return FALSE;
    }

  text = get_utf8 (self, key, place, "the key of a dict", &length);
  return text != NULL
    && check (self, _afork_value_writer_add_key (self->writer, text, (gsize) length), place);
}

static gboolean
pack_dict (Packer      *self,
           PyObject    *value,
           const Place *place)
{
  const Py_ssize_t size = PyDict_Size (value);
  gboolean is_packed = check_container (self, value, place)
    && check (self, _afork_value_writer_begin_dictionary (self->writer), place);
  PyObject *key, *item;
  Py_ssize_t at = 0;

  while (is_packed && PyDict_Next (value, &at, &key, &item))
    {
      const Place inner = { .outer = place, .container = value, .key = key };

      Py_INCREF (key);
      Py_INCREF (item);
      is_packed = pack_key (self, key, place) && pack_value (self, item, &inner);
      Py_DECREF (key);
      Py_DECREF (item);
      if (is_packed && PyDict_Size (value) != size)
        is_packed = refuse (self, place, "the dict has changed meanwhile");
    }

  return is_packed && check (self, _afork_value_writer_end (self->writer), place);
}

static gboolean
pack_value (Packer      *self,
            PyObject    *value,
            const Place *place)
{
  if (PyLong_CheckExact (value))
    return pack_int (self, value, place);
  if (PyUnicode_CheckExact (value))
    return pack_str (self, value, place);
  if (PyFloat_CheckExact (value))
    return check (self, _afork_value_writer_add_double (self->writer, PyFloat_AsDouble (value)),
                  place);
  if (PyTuple_CheckExact (value))
    return pack_tuple (self, value, place);
  if (PyDict_CheckExact (value))
    return pack_dict (self, value, place);
  if (PyList_CheckExact (value))
    return pack_list (self, value, place);
  if (Py_IsNone (value))
    return check (self, _afork_value_writer_add_nothing (self->writer), place);
  if (PyBool_Check (value))
    return check (self, _afork_value_writer_add_boolean (self->writer, Py_IsTrue (value)), place);
  if (PyBytes_CheckExact (value))
    return check (self, _afork_value_writer_add_bytes (self->writer, PyBytes_AsString (value),
                                                       (gsize) PyBytes_Size (value)), place);
  if (!self->exact && (PyByteArray_CheckExact (value) || PyMemoryView_Check (value)))
    return pack_buffer (self, value, place);
  if (self->module->variant_class != NULL
      && Py_IS_TYPE (value, (PyTypeObject *) self->module->variant_class))
    return pack_variant (self, value, place);

  return refuse_type (self, value, place);
}

GVariant *
_afork_pack (AForkModule *module,
             PyObject    *value,
             PyObject    *name,
             gboolean     exact)
{
  g_autoptr(AForkValueWriter) writer = _afork_value_writer_new ();
  Packer packer = { .module = module, .writer = writer, .name = name, .exact = exact };
  gboolean is_packed = pack_value (&packer, value, NULL);
  GVariant *variant;

  g_clear_pointer (&packer.more, g_hash_table_unref);
  if (!is_packed)
    return NULL;

  variant = _afork_value_writer_finish (writer);
  if (variant == NULL)
    PyErr_NoMemory ();
  return variant;
}
