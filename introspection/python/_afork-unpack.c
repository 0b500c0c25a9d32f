/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "_afork.h"

#include "afork/values/reader.h"

enum
{
  /* The deepest nesting of a GVariant, each level of which may be a container here. */
  MAX_LEVELS = 128,
  /* The clock is read after this many parts of a value, or bytes of strings. */
  PARTS_PER_LOOK = 32,
  BYTES_PER_LOOK = 16 * 1024,
  /* How many numbers of a list are taken at a time. */
  MAX_NUMBERS = 128,
  /* Keys of dictionaries that are kept, and the longest of them. */
  N_KEYS = 64,
  MAX_KEY = 64,
};

/* Dictionaries of a list often have the same keys. */
typedef struct
{
  const char *data;             /* in the value */
  gsize       size;
  PyObject   *text;             /* or NULL */
} Key;

/* A container that is not complete. A list or tuple is hidden from the garbage collector until it
 * is, so that no other code can find it. */
typedef struct
{
  PyObject            *container;
  PyObject            *key;     /* of a dictionary: of the next value; or NULL */
  AForkValueEventKind  kind;
  Py_ssize_t           n_items; /* there will be */
  Py_ssize_t           n_set;
} Level;

typedef struct
{
  PyObject_HEAD
  GVariant         *value;
  AForkValueReader *reader;     /* NULL once there is a result or an exception */
  gboolean          is_normalized;
  gboolean          is_running;
  PyObject         *result;     /* or NULL */
  Level             levels[MAX_LEVELS];
  guint             n_levels;
  Key               keys[N_KEYS];
} Unpacker;

/* Building. */

static void
drop (Unpacker *self)
{
  while (self->n_levels > 0)
    {
      Level *level = &self->levels[--self->n_levels];

      Py_CLEAR (level->container);
      Py_CLEAR (level->key);
    }
  for (guint i = 0; i < N_KEYS; i++)
    Py_CLEAR (self->keys[i].text);
  Py_CLEAR (self->result);
}

/* Puts ITEM, whose reference it takes, where it belongs. */
static gboolean
place (Unpacker *self,
       PyObject *item)
{
  Level *level;
  int result;

  if (item == NULL)
    return FALSE;
  if (self->n_levels == 0)
    {
      self->result = item;
      return TRUE;
    }

  level = &self->levels[self->n_levels - 1];
  switch (level->kind)
    {
    case AFORK_VALUE_LIST:
      return PyList_SetItem (level->container, level->n_set++, item) == 0;
    case AFORK_VALUE_TUPLE:
      return PyTuple_SetItem (level->container, level->n_set++, item) == 0;
    default:
      if (level->key == NULL)
        {
          level->key = item;
          return TRUE;
        }
      result = PyDict_SetItem (level->container, level->key, item);
      Py_CLEAR (level->key);
      Py_DECREF (item);
      return result == 0;
    }
}

static gboolean
begin (Unpacker              *self,
       const AForkValueEvent *event)
{
  const Py_ssize_t n_items = (Py_ssize_t) event->n_items;
  Level level = { .kind = event->kind, .n_items = n_items };

  g_assert (self->n_levels < MAX_LEVELS);

  if (event->kind == AFORK_VALUE_LIST)
    level.container = PyList_New (n_items);
  else if (event->kind == AFORK_VALUE_TUPLE)
    level.container = PyTuple_New (n_items);
  else
    level.container = PyDict_New ();
  if (level.container == NULL)
    return FALSE;

  if (event->kind != AFORK_VALUE_DICTIONARY && n_items > 0)
    PyObject_GC_UnTrack (level.container);
  self->levels[self->n_levels++] = level;
  return TRUE;
}

static gboolean
end (Unpacker *self)
{
  Level *level = &self->levels[--self->n_levels];

  if (level->kind != AFORK_VALUE_DICTIONARY && level->n_items > 0)
    PyObject_GC_Track (level->container);
  return place (self, g_steal_pointer (&level->container));
}

static gboolean
is_key (const Unpacker *self)
{
  const Level *level = self->n_levels > 0 ? &self->levels[self->n_levels - 1] : NULL;

  return level != NULL && level->kind == AFORK_VALUE_DICTIONARY && level->key == NULL;
}

static PyObject *
new_str (Unpacker              *self,
         const AForkValueEvent *event)
{
  const char *data = event->bytes.data;
  const gsize size = event->bytes.size;
  PyObject *text;
  Key *key;

  if (size == 0 || size > MAX_KEY || !is_key (self))
    return PyUnicode_FromStringAndSize (data, (Py_ssize_t) size);

  key = &self->keys[((guchar) data[0] * 7u + (guchar) data[size / 2] * 3u
                     + (guchar) data[size - 1] + size) % N_KEYS];
  if (key->text != NULL && key->size == size && memcmp (key->data, data, size) == 0)
    return Py_NewRef (key->text);

  text = PyUnicode_FromStringAndSize (data, (Py_ssize_t) size);
  if (text != NULL)
    {
      Py_XDECREF (key->text);
      *key = (Key) { data, size, Py_NewRef (text) };
    }
  return text;
}

/* Adds numbers to a list of only such numbers, which are faster to take together. Sets N to how
 * many. */
static gboolean
take_numbers (Unpacker *self,
              gsize    *n)
{
  union { gint64 integer; double number; } numbers[MAX_NUMBERS];
  AForkValueEventKind kind;
  PyObject *list;
  Level *level;

  *n = _afork_value_reader_take_numbers (self->reader, numbers, MAX_NUMBERS, &kind);
  if (*n == 0)
    return TRUE;

  level = &self->levels[self->n_levels - 1];
  list = level->container;
  for (gsize i = 0; i < *n; i++)
    {
      PyObject *item = kind == AFORK_VALUE_INT64 ? PyLong_FromLongLong (numbers[i].integer)
                                                 : PyFloat_FromDouble (numbers[i].number);

      if (item == NULL || PyList_SetItem (list, level->n_set++, item) < 0)
        return FALSE;
    }
  return TRUE;
}

static PyObject *
new_variant (Unpacker *self)
{
  AForkModule *module = _afork_module_get (Py_TYPE ((PyObject *) self));
  PyObject *address, *variant = NULL;
  GVariant *value;

  if (module->take_variant == NULL)
    {
      PyErr_SetString (PyExc_RuntimeError, "set_variant_class() must be called before");
      return NULL;
    }

  value = _afork_value_reader_dup_variant (self->reader);
  address = PyLong_FromVoidPtr (value);
  if (address != NULL)
    variant = PyObject_CallFunctionObjArgs (module->take_variant, address, NULL);
  if (variant == NULL)
    g_variant_unref (value);
  Py_XDECREF (address);
  return variant;
}

static gboolean
take_event (Unpacker              *self,
            const AForkValueEvent *event)
{
  switch (event->kind)
    {
    case AFORK_VALUE_NOTHING:
      return place (self, Py_NewRef (Py_None));
    case AFORK_VALUE_BOOLEAN:
      return place (self, PyBool_FromLong (event->boolean));
    case AFORK_VALUE_INT64:
      return place (self, PyLong_FromLongLong (event->int64));
    case AFORK_VALUE_UINT64:
      return place (self, PyLong_FromUnsignedLongLong (event->uint64));
    case AFORK_VALUE_DOUBLE:
      return place (self, PyFloat_FromDouble (event->number));
    case AFORK_VALUE_STRING:
      return place (self, new_str (self, event));
    case AFORK_VALUE_BYTES:
      return place (self, PyBytes_FromStringAndSize (event->bytes.data,
                                                     (Py_ssize_t) event->bytes.size));
    case AFORK_VALUE_VARIANT:
      return place (self, new_variant (self));
    case AFORK_VALUE_LIST:
    case AFORK_VALUE_TUPLE:
    case AFORK_VALUE_DICTIONARY:
      return begin (self, event);
    default:
      return end (self);
    }
}

/* Steps. */

static gboolean
start (Unpacker *self)
{
  g_clear_pointer (&self->reader, _afork_value_reader_free);
  self->reader = _afork_value_reader_new (self->value);
  return TRUE;
}

/* The reader cannot go on. A value that is not in normal form still is a value: begins again with
 * its normal form. Otherwise raises an exception and returns false. */
static gboolean
begin_again (Unpacker            *self,
             AForkValueEventKind  reason)
{
  GVariant *normal;

  switch (reason)
    {
    case AFORK_VALUE_NOT_NORMAL:
      if (!self->is_normalized)
        {
          drop (self);
          self->is_normalized = TRUE;
          normal = g_variant_get_normal_form (self->value);
          g_variant_unref (self->value);
          self->value = normal;
          return start (self);
        }
      PyErr_SetString (PyExc_ValueError, "a GVariant is not in normal form");
      return FALSE;
    case AFORK_VALUE_NESTED_TOO_DEEPLY:
      PyErr_SetString (PyExc_TypeError, "a GVariant is nested in more than 128 levels");
      return FALSE;
    case AFORK_VALUE_TYPE_TOO_COMPLEX:
      PyErr_SetString (PyExc_TypeError, "a GVariant has too complex a type");
      return FALSE;
    default:
      PyErr_NoMemory ();
      return FALSE;
    }
}

/* Goes on until the monotonic time DEADLINE, in microseconds. Returns false with an exception on
 * failure. */
static gboolean
run_until (Unpacker *self,
           gint64    deadline)
{
  gsize n_parts = 0, n_bytes = 0, n_numbers = 0;
  AForkValueEvent event;
  gboolean is_taken;

  while (TRUE)
    {
      _afork_value_reader_next (self->reader, &event);
      if (event.kind == AFORK_VALUE_FINISHED)
        {
          g_clear_pointer (&self->reader, _afork_value_reader_free);
          return TRUE;
        }
      is_taken = event.kind < AFORK_VALUE_FINISHED ? take_event (self, &event)
                                                   : begin_again (self, event.kind);
      if (is_taken && (event.kind == AFORK_VALUE_LIST || n_numbers > 0))
        is_taken = take_numbers (self, &n_numbers);
      if (!is_taken)
        {
          drop (self);
          g_clear_pointer (&self->reader, _afork_value_reader_free);
          return FALSE;
        }

      n_parts += 1 + n_numbers;
      if (event.kind == AFORK_VALUE_STRING || event.kind == AFORK_VALUE_BYTES)
        n_bytes += event.bytes.size;
      if (n_parts >= PARTS_PER_LOOK || n_bytes >= BYTES_PER_LOOK)
        {
          if (deadline != G_MAXINT64 && g_get_monotonic_time () >= deadline)
            return TRUE;
          n_parts = n_bytes = 0;
        }
    }
}

/* Methods. */

static Unpacker *
unpacker_new (PyTypeObject *type,
              GVariant     *value)
{
  Unpacker *self = PyObject_GC_New (Unpacker, type);

  if (self == NULL)
    return NULL;

  self->value = g_variant_ref_sink (value);
  self->reader = NULL;
  self->is_normalized = FALSE;
  self->is_running = FALSE;
  self->result = NULL;
  self->n_levels = 0;
  memset (self->keys, 0, sizeof self->keys);
  start (self);
  PyObject_GC_Track (self);
  return self;
}

static PyObject *
unpacker_construct (PyTypeObject *type,
                    PyObject     *args,
                    PyObject     *keywords)
{
  static char *names[] = { (char *) "", NULL };
  PyObject *address;
  GVariant *value;

  if (!PyArg_ParseTupleAndKeywords (args, keywords, "O:Unpacker", names, &address))
    return NULL;

  value = _afork_address_get (address);
  return value != NULL ? (PyObject *) unpacker_new (type, value) : NULL;
}

static PyObject *
unpacker_step (PyObject *object,
               PyObject *microseconds)
{
  Unpacker *self = (Unpacker *) object;
  gint64 budget = PyLong_AsLongLong (microseconds);
  gboolean is_right = TRUE;

  if (budget == -1 && PyErr_Occurred () != NULL)
    return NULL;
  if (budget < 0)
    {
      PyErr_SetString (PyExc_ValueError, "a step must not take less than 0 microseconds");
      return NULL;
    }
  /* Code in Python that is called for GVariants, and other threads meanwhile, may call this. */
  if (self->is_running)
    {
      PyErr_SetString (PyExc_RuntimeError, "another step is running");
      return NULL;
    }

  if (self->reader != NULL)
    {
      self->is_running = TRUE;
      is_right = run_until (self, g_get_monotonic_time () + MIN (budget, G_MAXINT32));
      self->is_running = FALSE;
    }
  return is_right ? PyBool_FromLong (self->reader == NULL) : NULL;
}

static PyObject *
unpacker_take (PyObject *object,
               PyObject *unused)
{
  Unpacker *self = (Unpacker *) object;

  if (self->reader != NULL || self->result == NULL)
    {
      PyErr_SetString (PyExc_RuntimeError, "there is no value to be taken");
      return NULL;
    }
  return g_steal_pointer (&self->result);
}

static int
unpacker_traverse (PyObject  *object,
                   visitproc  visit,
                   void      *arg)
{
  Unpacker *self = (Unpacker *) object;

  Py_VISIT (Py_TYPE (object));
  Py_VISIT (self->result);
  for (guint i = 0; i < self->n_levels; i++)
    Py_VISIT (self->levels[i].container);
  return 0;
}

static int
unpacker_clear (PyObject *object)
{
  drop ((Unpacker *) object);
  return 0;
}

static void
unpacker_dealloc (PyObject *object)
{
  Unpacker *self = (Unpacker *) object;
  PyTypeObject *type = Py_TYPE (object);

  PyObject_GC_UnTrack (object);
  drop (self);
  g_clear_pointer (&self->reader, _afork_value_reader_free);
  g_variant_unref (self->value);
  PyObject_GC_Del (object);
  Py_DECREF (type);
}

PyTypeObject *
_afork_unpacker_type_new (PyObject *module)
{
  static PyMethodDef methods[] = {
    {
      "step", unpacker_step, METH_O,
      PyDoc_STR ("step(microseconds, /)\n--\n\n"
                 "Goes on for about this time. Returns whether the whole value was converted.")
    },
    {
      "take", unpacker_take, METH_NOARGS,
      PyDoc_STR ("take()\n--\n\nReturns the value, once.")
    },
    { NULL }
  };
  static PyType_Slot slots[] = {
    { Py_tp_new, unpacker_construct },
    { Py_tp_methods, methods },
    { Py_tp_traverse, unpacker_traverse },
    { Py_tp_clear, unpacker_clear },
    { Py_tp_dealloc, unpacker_dealloc },
    {
      Py_tp_doc, (void *) PyDoc_STR ("Unpacker(address, /)\n--\n\n"
                                     "Converts the GVariant at an address in steps.")
    },
    { 0 }
  };
  static PyType_Spec spec = {
    .name = "_afork.Unpacker",
    .basicsize = sizeof (Unpacker),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
  };

  return (PyTypeObject *) PyType_FromModuleAndSpec (module, &spec, NULL);
}

PyObject *
_afork_unpack (AForkModule *module,
               GVariant    *value)
{
  Unpacker *self = unpacker_new (module->unpacker_type, value);
  PyObject *result = NULL;

  if (self == NULL)
    return NULL;
  if (run_until (self, G_MAXINT64))
    result = g_steal_pointer (&self->result);
  Py_DECREF (self);
  return result;
}
