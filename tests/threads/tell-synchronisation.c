/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Reports the synchronisation of GLib to ThreadSanitizer.
 *
 * The sanitizer sees instrumented code and calls of the C library. GLib is not instrumented, and
 * its locks and counters are futexes and atomic instructions of its own, so everything that they
 * protect would be reported as a race. This library is preloaded: its functions come before those
 * of GLib, which they call, and report which calls synchronise with each other. A function acquires
 * what was released before at the same address: that of the lock, the object or the source.
 *
 * Calls inside of libglib do not come here, but those of libgobject and libgio do. The sanitizer
 * does not see memory accesses of GLib itself.
 *
 * Nothing here is instrumented, and this library links neither the sanitizer nor GLib. In a program
 * that was built without the sanitizer, it has no effect. */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <sanitizer/tsan_interface.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TELL __attribute__ ((visibility ("default")))

#pragma weak __tsan_acquire
#pragma weak __tsan_release
#pragma weak __tsan_mutex_create
#pragma weak __tsan_mutex_destroy
#pragma weak __tsan_mutex_pre_lock
#pragma weak __tsan_mutex_post_lock
#pragma weak __tsan_mutex_pre_unlock
#pragma weak __tsan_mutex_post_unlock

/* From the sanitizer's interface for compilers. */
extern void __tsan_write_range (void *address, unsigned long size) __attribute__ ((weak));

/* Returns the function of that name in GLib, whatever else is loaded. */
static void *
find (const char *library,
      const char *name)
{
  void *handle = dlopen (library, RTLD_LAZY | RTLD_NOLOAD);
  void *function = handle != NULL ? dlsym (handle, name) : NULL;

  if (function == NULL)
    abort ();
  return function;
}

#define REAL_OF(library, function) \
  ({ \
    static void *found; \
    void *now = __atomic_load_n (&found, __ATOMIC_ACQUIRE); \
    if (now == NULL) \
      { \
        now = find (library, #function); \
        __atomic_store_n (&found, now, __ATOMIC_RELEASE); \
      } \
    (__typeof__ (&function)) now; \
  })

#define REAL(function)        REAL_OF ("libglib-2.0.so.0", function)
#define REAL_GOBJECT(function) REAL_OF ("libgobject-2.0.so.0", function)
#define REAL_GIO(function)    REAL_OF ("libgio-2.0.so.0", function)

static void
acquire (gconstpointer address)
{
  if (__tsan_acquire != NULL && address != NULL)
    __tsan_acquire ((void *) address);
}

static void
release (gconstpointer address)
{
  if (__tsan_release != NULL && address != NULL)
    __tsan_release ((void *) address);
}

/* The effect of an atomic read-modify-write. */
static void
pass (gconstpointer address)
{
  release (address);
  acquire (address);
}

/* Mutexes. */

static void
begin_lock (gpointer mutex,
            unsigned flags)
{
  if (__tsan_mutex_pre_lock != NULL)
    __tsan_mutex_pre_lock (mutex, flags);
}

static void
end_lock (gpointer mutex,
          unsigned flags)
{
  if (__tsan_mutex_post_lock != NULL)
    __tsan_mutex_post_lock (mutex, flags, 1);
}

static void
begin_unlock (gpointer mutex,
              unsigned flags)
{
  if (__tsan_mutex_pre_unlock != NULL)
    __tsan_mutex_pre_unlock (mutex, flags);
}

static void
end_unlock (gpointer mutex,
            unsigned flags)
{
  if (__tsan_mutex_post_unlock != NULL)
    __tsan_mutex_post_unlock (mutex, flags);
}

static void
create (gpointer mutex,
        unsigned flags)
{
  if (__tsan_mutex_create != NULL)
    __tsan_mutex_create (mutex, flags);
}

static void
destroy (gpointer mutex)
{
  if (__tsan_mutex_destroy != NULL)
    __tsan_mutex_destroy (mutex, 0);
}

#define DEFINE_LOCK(name, Type, lock, flags) \
  TELL void \
  g_##name##_##lock (Type *mutex) \
  { \
    begin_lock (mutex, flags); \
    REAL (g_##name##_##lock) (mutex); \
    end_lock (mutex, flags); \
  }

#define DEFINE_TRYLOCK(name, Type, trylock, flags) \
  TELL gboolean \
  g_##name##_##trylock (Type *mutex) \
  { \
    gboolean locked; \
\
    begin_lock (mutex, (flags) | __tsan_mutex_try_lock); \
    locked = REAL (g_##name##_##trylock) (mutex); \
    end_lock (mutex, (flags) | (locked ? __tsan_mutex_try_lock : __tsan_mutex_try_lock_failed)); \
    return locked; \
  }

#define DEFINE_UNLOCK(name, Type, unlock, flags) \
  TELL void \
  g_##name##_##unlock (Type *mutex) \
  { \
    begin_unlock (mutex, flags); \
    REAL (g_##name##_##unlock) (mutex); \
    end_unlock (mutex, flags); \
  }

#define DEFINE_MUTEX(name, Type, flags) \
  TELL void \
  g_##name##_init (Type *mutex) \
  { \
    REAL (g_##name##_init) (mutex); \
    create (mutex, (flags) | __tsan_mutex_not_static); \
  } \
\
  TELL void \
  g_##name##_clear (Type *mutex) \
  { \
    destroy (mutex); \
    REAL (g_##name##_clear) (mutex); \
  }

DEFINE_MUTEX (mutex, GMutex, 0)
DEFINE_LOCK (mutex, GMutex, lock, 0)
DEFINE_TRYLOCK (mutex, GMutex, trylock, 0)
DEFINE_UNLOCK (mutex, GMutex, unlock, 0)

DEFINE_MUTEX (rec_mutex, GRecMutex, __tsan_mutex_write_reentrant)
DEFINE_LOCK (rec_mutex, GRecMutex, lock, __tsan_mutex_write_reentrant)
DEFINE_TRYLOCK (rec_mutex, GRecMutex, trylock, __tsan_mutex_write_reentrant)
DEFINE_UNLOCK (rec_mutex, GRecMutex, unlock, 0)

DEFINE_MUTEX (rw_lock, GRWLock, 0)
DEFINE_LOCK (rw_lock, GRWLock, writer_lock, 0)
DEFINE_TRYLOCK (rw_lock, GRWLock, writer_trylock, 0)
DEFINE_UNLOCK (rw_lock, GRWLock, writer_unlock, 0)
DEFINE_LOCK (rw_lock, GRWLock, reader_lock, __tsan_mutex_read_lock)
DEFINE_TRYLOCK (rw_lock, GRWLock, reader_trylock, __tsan_mutex_read_lock)
DEFINE_UNLOCK (rw_lock, GRWLock, reader_unlock, __tsan_mutex_read_lock)

/* A lock of one bit: its address stands for all bits of the word. */

TELL void
(g_bit_lock) (volatile gint *address,
              gint           bit)
{
  REAL (g_bit_lock) (address, bit);
  acquire ((gconstpointer) address);
}

TELL gboolean
(g_bit_trylock) (volatile gint *address,
                 gint           bit)
{
  gboolean locked = REAL (g_bit_trylock) (address, bit);

  if (locked)
    acquire ((gconstpointer) address);
  return locked;
}

TELL void
(g_bit_unlock) (volatile gint *address,
                gint           bit)
{
  release ((gconstpointer) address);
  REAL (g_bit_unlock) (address, bit);
}

TELL void
(g_pointer_bit_lock) (volatile void *address,
                      gint           bit)
{
  REAL (g_pointer_bit_lock) (address, bit);
  acquire ((gconstpointer) address);
}

TELL gboolean
(g_pointer_bit_trylock) (volatile void *address,
                         gint           bit)
{
  gboolean locked = REAL (g_pointer_bit_trylock) (address, bit);

  if (locked)
    acquire ((gconstpointer) address);
  return locked;
}

TELL void
(g_pointer_bit_unlock) (volatile void *address,
                        gint           bit)
{
  release ((gconstpointer) address);
  REAL (g_pointer_bit_unlock) (address, bit);
}

/* Conditions: the wait unlocks the mutex meanwhile, and only this matters. */

TELL void
g_cond_wait (GCond  *cond,
             GMutex *mutex)
{
  begin_unlock (mutex, 0);
  end_unlock (mutex, 0);
  begin_lock (mutex, 0);
  REAL (g_cond_wait) (cond, mutex);
  end_lock (mutex, 0);
}

TELL gboolean
g_cond_wait_until (GCond  *cond,
                   GMutex *mutex,
                   gint64  end_time)
{
  gboolean signalled;

  begin_unlock (mutex, 0);
  end_unlock (mutex, 0);
  begin_lock (mutex, 0);
  signalled = REAL (g_cond_wait_until) (cond, mutex, end_time);
  end_lock (mutex, 0);
  return signalled;
}

/* Things done once. The macros of these names read the word themselves, and the sanitizer sees
 * that. */

TELL gpointer
(g_once_impl) (GOnce       *once,
               GThreadFunc  function,
               gpointer     data)
{
  gpointer result = REAL (g_once_impl) (once, function, data);

  /* The first caller comes here before the others. */
  pass ((gconstpointer) &once->status);
  return result;
}

TELL gboolean
(g_once_init_enter) (volatile void *location)
{
  gboolean first = REAL (g_once_init_enter) (location);

  acquire ((gconstpointer) location);
  return first;
}

TELL void
(g_once_init_leave) (volatile void *location,
                     gsize          result)
{
  release ((gconstpointer) location);
  REAL (g_once_init_leave) (location, result);
}

/* Functions of later versions of GLib. */
#undef g_once_init_enter_pointer
#undef g_once_init_leave_pointer
gboolean g_once_init_enter_pointer (void *location);
void     g_once_init_leave_pointer (void *location, gpointer result);

TELL gboolean
g_once_init_enter_pointer (void *location)
{
  gboolean first = REAL (g_once_init_enter_pointer) (location);

  acquire (location);
  return first;
}

TELL void
g_once_init_leave_pointer (void     *location,
                           gpointer  result)
{
  release (location);
  REAL (g_once_init_leave_pointer) (location, result);
}

/* Reference counts. A thread that drops the last reference acquires what the others have released
 * before they dropped theirs. */

TELL void
(g_atomic_ref_count_inc) (gatomicrefcount *count)
{
  pass (count);
  REAL (g_atomic_ref_count_inc) (count);
}

TELL gboolean
(g_atomic_ref_count_dec) (gatomicrefcount *count)
{
  gboolean last;

  release (count);
  last = REAL (g_atomic_ref_count_dec) (count);
  acquire (count);
  return last;
}

TELL gpointer
(g_atomic_rc_box_acquire) (gpointer block)
{
  pass (block);
  return REAL (g_atomic_rc_box_acquire) (block);
}

/* GLib calls the function that clears a block. It acquires what was released at the address of the
 * block. */
static __thread GDestroyNotify clear_block;

static void
acquire_and_clear (gpointer block)
{
  acquire (block);
  clear_block (block);
}

TELL void
(g_atomic_rc_box_release_full) (gpointer       block,
                                GDestroyNotify clear)
{
  GDestroyNotify outer = clear_block;

  release (block);
  clear_block = clear;
  REAL (g_atomic_rc_box_release_full) (block, acquire_and_clear);
  clear_block = outer;
}

/* Objects. A reference that is not the last one is dropped here, and not by GLib, so that the
 * thread that drops the last one finds all releases: between the check of the count here and that
 * in GLib, other threads may drop references. */

TELL gpointer
(g_object_ref) (gpointer object)
{
  pass (object);
  return REAL_GOBJECT (g_object_ref) (object);
}

TELL void
g_object_unref (gpointer object)
{
  if (object != NULL && __tsan_release != NULL)
    {
      guint *count = (guint *) &((GObject *) object)->ref_count;
      guint now = __atomic_load_n (count, __ATOMIC_SEQ_CST);

      release (object);
      /* Toggle references, which only bindings use, are not reported. */
      while (now > 1)
        if (__atomic_compare_exchange_n (count, &now, now - 1, FALSE, __ATOMIC_SEQ_CST,
                                         __ATOMIC_SEQ_CST))
          return;
      acquire (object);
    }
  REAL_GOBJECT (g_object_unref) (object);
}

TELL void
g_weak_ref_init (GWeakRef *weak,
                 gpointer  object)
{
  pass (object);
  REAL_GOBJECT (g_weak_ref_init) (weak, object);
  release (weak);
}

TELL void
g_weak_ref_set (GWeakRef *weak,
                gpointer  object)
{
  pass (object);
  pass (weak);
  REAL_GOBJECT (g_weak_ref_set) (weak, object);
}

TELL gpointer
g_weak_ref_get (GWeakRef *weak)
{
  gpointer object = REAL_GOBJECT (g_weak_ref_get) (weak);

  acquire (weak);
  acquire (object);
  return object;
}

TELL void
g_weak_ref_clear (GWeakRef *weak)
{
  pass (weak);
  REAL_GOBJECT (g_weak_ref_clear) (weak);
}

/* Classes. The thread that makes the first object of a class initialises the class under a lock.
 * Other threads see this in a counter. */

typedef struct
{
  GClassInitFunc    init_class;
  GInstanceInitFunc init_instance;
} Type;

static GQuark
get_type_quark (void)
{
  return REAL (g_quark_from_static_string) ("tell-synchronisation-type");
}

static void
init_class_and_release (gpointer class,
                        gpointer data)
{
  Type *type = data;

  if (type->init_class != NULL)
    type->init_class (class, NULL);
  release (type);
}

static void
acquire_and_init_instance (GTypeInstance *instance,
                           gpointer       class)
{
  Type *type = REAL_GOBJECT (g_type_get_qdata) (G_TYPE_FROM_INSTANCE (instance),
                                                get_type_quark ());

  acquire (type);
  if (type->init_instance != NULL)
    type->init_instance (instance, class);
}

TELL GType
g_type_register_static_simple (GType              parent,
                               const char        *name,
                               guint              class_size,
                               GClassInitFunc     init_class,
                               guint              instance_size,
                               GInstanceInitFunc  init_instance,
                               GTypeFlags         flags)
{
  GTypeInfo info = { .class_size = (guint16) class_size, .class_init = init_class,
                     .instance_size = (guint16) instance_size, .instance_init = init_instance };
  Type *type = NULL;
  GType registered;

  if (__tsan_acquire != NULL && instance_size > 0)
    {
      type = malloc (sizeof *type);
      *type = (Type) { init_class, init_instance };
      info.class_init = init_class_and_release;
      info.class_data = type;
      info.instance_init = acquire_and_init_instance;
    }
  registered = REAL_GOBJECT (g_type_register_static) (parent, name, &info, flags);
  if (type != NULL)
    REAL_GOBJECT (g_type_set_qdata) (registered, get_type_quark (), type);
  return registered;
}

/* Named data of objects, under a lock of GLib in the list itself. */

TELL gpointer
g_datalist_id_get_data (GData  **list,
                        GQuark   key)
{
  gpointer data = REAL (g_datalist_id_get_data) (list, key);

  acquire (list);
  return data;
}

TELL void
g_datalist_id_set_data_full (GData          **list,
                             GQuark           key,
                             gpointer         data,
                             GDestroyNotify   free_data)
{
  pass (list);
  REAL (g_datalist_id_set_data_full) (list, key, data, free_data);
}

/* Bytes, and the functions that free their data. */

typedef struct
{
  gconstpointer  owner;         /* the GBytes */
  GDestroyNotify free;
  gpointer       data;
} Freeing;

static void
acquire_and_free (gpointer data)
{
  Freeing *freeing = data;

  acquire (freeing);
  acquire (__atomic_load_n (&freeing->owner, __ATOMIC_ACQUIRE));
  freeing->free (freeing->data);
  free (freeing);
}

TELL GBytes *
g_bytes_new_with_free_func (gconstpointer  content,
                            gsize          size,
                            GDestroyNotify free_content,
                            gpointer       data)
{
  Freeing *freeing;
  GBytes *bytes;

  if (free_content == NULL || __tsan_release == NULL)
    return REAL (g_bytes_new_with_free_func) (content, size, free_content, data);

  freeing = malloc (sizeof *freeing);
  *freeing = (Freeing) { NULL, free_content, data };
  release (freeing);
  bytes = REAL (g_bytes_new_with_free_func) (content, size, acquire_and_free, freeing);
  __atomic_store_n (&freeing->owner, bytes, __ATOMIC_RELEASE);
  return bytes;
}

TELL GBytes *
(g_bytes_ref) (GBytes *bytes)
{
  pass (bytes);
  return REAL (g_bytes_ref) (bytes);
}

TELL void
g_bytes_unref (GBytes *bytes)
{
  release (bytes);
  REAL (g_bytes_unref) (bytes);
}

/* A function that takes the data of the bytes frees the bytes in another way. */
TELL gpointer
g_bytes_unref_to_data (GBytes *bytes,
                       gsize  *size)
{
  pass (bytes);
  return REAL (g_bytes_unref_to_data) (bytes, size);
}

TELL GVariant *
(g_variant_ref) (GVariant *value)
{
  pass (value);
  return REAL (g_variant_ref) (value);
}

TELL void
g_variant_unref (GVariant *value)
{
  pass (value);
  REAL (g_variant_unref) (value);
}

/* Queues. */

TELL void
g_async_queue_push (GAsyncQueue *queue,
                    gpointer     data)
{
  release (queue);
  REAL (g_async_queue_push) (queue, data);
}

TELL void
g_async_queue_push_unlocked (GAsyncQueue *queue,
                             gpointer     data)
{
  release (queue);
  REAL (g_async_queue_push_unlocked) (queue, data);
}

TELL void
g_async_queue_push_front (GAsyncQueue *queue,
                          gpointer     data)
{
  release (queue);
  REAL (g_async_queue_push_front) (queue, data);
}

#define DEFINE_POP(pop) \
  TELL gpointer \
  g_async_queue_##pop (GAsyncQueue *queue) \
  { \
    gpointer data = REAL (g_async_queue_##pop) (queue); \
\
    acquire (queue); \
    return data; \
  }

DEFINE_POP (pop)
DEFINE_POP (pop_unlocked)
DEFINE_POP (try_pop)
DEFINE_POP (try_pop_unlocked)

TELL gpointer
g_async_queue_timeout_pop (GAsyncQueue *queue,
                           guint64      timeout)
{
  gpointer data = REAL (g_async_queue_timeout_pop) (queue, timeout);

  acquire (queue);
  return data;
}

TELL void
g_async_queue_lock (GAsyncQueue *queue)
{
  REAL (g_async_queue_lock) (queue);
  acquire (queue);
}

TELL void
g_async_queue_unlock (GAsyncQueue *queue)
{
  release (queue);
  REAL (g_async_queue_unlock) (queue);
}

TELL void
g_async_queue_unref (GAsyncQueue *queue)
{
  pass (queue);
  REAL (g_async_queue_unref) (queue);
}

/* Thread pools. The tasks of GIO have one. */

typedef struct
{
  GFunc    function;
  gpointer data;
} PoolFunction;

static void
acquire_and_work (gpointer item,
                  gpointer data)
{
  PoolFunction *pool = data;

  acquire (pool);
  acquire (item);
  pool->function (item, pool->data);
}

/* The function of the pool is kept until the program exits. */
TELL GThreadPool *
g_thread_pool_new (GFunc      function,
                   gpointer   data,
                   gint       max_threads,
                   gboolean   exclusive,
                   GError   **error)
{
  PoolFunction *pool = malloc (sizeof *pool);

  *pool = (PoolFunction) { function, data };
  release (pool);
  return REAL (g_thread_pool_new) (acquire_and_work, pool, max_threads, exclusive, error);
}

TELL gboolean
g_thread_pool_push (GThreadPool  *pool,
                    gpointer      item,
                    GError      **error)
{
  release (item);
  return REAL (g_thread_pool_push) (pool, item, error);
}

/* Main contexts. One lock of the context protects all of its sources. */

static GMainContext *
get_context (GMainContext *context)
{
  return context != NULL ? context : REAL (g_main_context_default) ();
}

/* The context that this thread iterates: GLib locks it before and after each function that it
 * calls. */
static __thread GMainContext *current;

static GMainContext *
enter (GMainContext *context)
{
  GMainContext *outer = current;

  current = context;
  pass (context);
  return outer;
}

static void
leave (GMainContext *outer)
{
  pass (current);
  current = outer;
}

TELL gboolean
g_main_context_iteration (GMainContext *context,
                          gboolean      may_block)
{
  GMainContext *outer = enter (get_context (context));
  gboolean dispatched = REAL (g_main_context_iteration) (context, may_block);

  leave (outer);
  return dispatched;
}

TELL gboolean
g_main_context_pending (GMainContext *context)
{
  GMainContext *outer = enter (get_context (context));
  gboolean pending = REAL (g_main_context_pending) (context);

  leave (outer);
  return pending;
}

TELL void
g_main_context_wakeup (GMainContext *context)
{
  release (get_context (context));
  REAL (g_main_context_wakeup) (context);
}

TELL gboolean
g_main_context_acquire (GMainContext *context)
{
  gboolean acquired = REAL (g_main_context_acquire) (context);

  acquire (get_context (context));
  return acquired;
}

TELL void
g_main_context_release (GMainContext *context)
{
  release (get_context (context));
  REAL (g_main_context_release) (context);
}

/* These two acquire and release the context. */

TELL void
g_main_context_push_thread_default (GMainContext *context)
{
  REAL (g_main_context_push_thread_default) (context);
  acquire (get_context (context));
}

TELL void
g_main_context_pop_thread_default (GMainContext *context)
{
  release (get_context (context));
  REAL (g_main_context_pop_thread_default) (context);
}

TELL GMainContext *
g_main_context_ref (GMainContext *context)
{
  pass (context);
  return REAL (g_main_context_ref) (context);
}

TELL void
g_main_context_unref (GMainContext *context)
{
  GMainContext *outer = enter (context);

  REAL (g_main_context_unref) (context);
  leave (outer);
}

TELL gboolean
g_main_context_is_owner (GMainContext *context)
{
  gboolean owns = REAL (g_main_context_is_owner) (context);

  acquire (get_context (context));
  return owns;
}

TELL void
g_main_loop_run (GMainLoop *loop)
{
  GMainContext *outer = enter (REAL (g_main_loop_get_context) (loop));

  REAL (g_main_loop_run) (loop);
  leave (outer);
  acquire (loop);
}

TELL void
g_main_loop_quit (GMainLoop *loop)
{
  release (loop);
  REAL (g_main_loop_quit) (loop);
}

TELL gboolean
g_main_loop_is_running (GMainLoop *loop)
{
  gboolean running = REAL (g_main_loop_is_running) (loop);

  acquire (loop);
  return running;
}

/* Sources. Their functions are called without the lock, after one locking and before the next. */

static void
enter_source (gconstpointer source)
{
  acquire (current);
  acquire (source);
}

static void
leave_source (gconstpointer source)
{
  release (source);
  release (current);
}

typedef struct
{
  GSourceFuncs  notified;       /* the data that GLib gets */
  GSourceFuncs *own;
} SourceFunctions;

static SourceFunctions *
get_functions (GSource *source)
{
  return (SourceFunctions *) source->source_funcs;
}

static gboolean
prepare_source (GSource *source,
                gint    *timeout)
{
  gboolean ready;

  enter_source (source);
  ready = get_functions (source)->own->prepare (source, timeout);
  leave_source (source);
  return ready;
}

static gboolean
check_source (GSource *source)
{
  gboolean ready;

  enter_source (source);
  ready = get_functions (source)->own->check (source);
  leave_source (source);
  return ready;
}

static gboolean
dispatch_source (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     data)
{
  gboolean goes_on;

  enter_source (source);
  goes_on = get_functions (source)->own->dispatch (source, callback, data);
  leave_source (source);
  return goes_on;
}

static void
finalize_source (GSource *source)
{
  enter_source (source);
  get_functions (source)->own->finalize (source);
  release (current);
}

/* A library or program has only a few of them, and they are kept. */
TELL GSource *
g_source_new (GSourceFuncs *functions,
              guint         size)
{
  SourceFunctions *notified;

  if (__tsan_acquire == NULL)
    return REAL (g_source_new) (functions, size);

  notified = malloc (sizeof *notified);
  notified->notified = *functions;
  notified->notified.prepare = functions->prepare != NULL ? prepare_source : NULL;
  notified->notified.check = functions->check != NULL ? check_source : NULL;
  notified->notified.dispatch = functions->dispatch != NULL ? dispatch_source : NULL;
  notified->notified.finalize = functions->finalize != NULL ? finalize_source : NULL;
  notified->own = functions;
  return REAL (g_source_new) (&notified->notified, size);
}

typedef struct
{
  int            n_users;
  gpointer       function;
  gpointer       data;
  GDestroyNotify notify;
} Callback;

static void
ref_callback (gpointer data)
{
  Callback *callback = data;

  __atomic_add_fetch (&callback->n_users, 1, __ATOMIC_SEQ_CST);
}

/* Also after each call. */
static void
unref_callback (gpointer data)
{
  Callback *callback = data;

  leave_source (callback);
  if (__atomic_sub_fetch (&callback->n_users, 1, __ATOMIC_SEQ_CST) > 0)
    return;

  enter_source (callback);
  if (callback->notify != NULL)
    callback->notify (callback->data);
  release (current);
  free (callback);
}

/* The function is about to be called. */
static void
get_callback (gpointer     data,
              GSource     *source,
              GSourceFunc *function,
              gpointer    *function_data)
{
  Callback *callback = data;

  enter_source (callback);
  acquire (source);
  *function = (GSourceFunc) callback->function;
  *function_data = callback->data;
}

static GSourceCallbackFuncs callback_functions = { ref_callback, unref_callback, get_callback };

TELL void
(g_source_set_callback) (GSource        *source,
                         GSourceFunc     function,
                         gpointer        data,
                         GDestroyNotify  notify)
{
  Callback *callback;

  if (__tsan_acquire == NULL)
    {
      REAL (g_source_set_callback) (source, function, data, notify);
      return;
    }

  callback = malloc (sizeof *callback);
  *callback = (Callback) { 1, (gpointer) function, data, notify };
  release (callback);
  release (source);
  REAL (g_source_set_callback_indirect) (source, callback, &callback_functions);
}

TELL guint
g_source_attach (GSource      *source,
                 GMainContext *context)
{
  release (source);
  release (get_context (context));
  return REAL (g_source_attach) (source, context);
}

TELL void
g_source_set_ready_time (GSource *source,
                         gint64   ready_time)
{
  release (source);
  REAL (g_source_set_ready_time) (source, ready_time);
}

TELL void
g_source_destroy (GSource *source)
{
  pass (source);
  REAL (g_source_destroy) (source);
}

TELL gboolean
(g_source_is_destroyed) (GSource *source)
{
  gboolean destroyed = REAL (g_source_is_destroyed) (source);

  acquire (source);
  return destroyed;
}

TELL GSource *
g_source_ref (GSource *source)
{
  pass (source);
  return REAL (g_source_ref) (source);
}

TELL void
g_source_unref (GSource *source)
{
  release (source);
  REAL (g_source_unref) (source);
}

/* Functions that make, attach and return a source are made here of the same parts. */

static guint
attach_and_unref (GSource        *source,
                  gint            priority,
                  GSourceFunc     function,
                  gpointer        data,
                  GDestroyNotify  notify)
{
  guint id;

  REAL (g_source_set_priority) (source, priority);
  g_source_set_callback (source, function, data, notify);
  id = g_source_attach (source, NULL);
  g_source_unref (source);
  return id;
}

TELL guint
g_idle_add_full (gint            priority,
                 GSourceFunc     function,
                 gpointer        data,
                 GDestroyNotify  notify)
{
  return attach_and_unref (REAL (g_idle_source_new) (), priority, function, data, notify);
}

TELL guint
(g_idle_add) (GSourceFunc function,
              gpointer    data)
{
  return g_idle_add_full (G_PRIORITY_DEFAULT_IDLE, function, data, NULL);
}

TELL guint
g_timeout_add_full (gint            priority,
                    guint           interval,
                    GSourceFunc     function,
                    gpointer        data,
                    GDestroyNotify  notify)
{
  return attach_and_unref (REAL (g_timeout_source_new) (interval), priority, function, data,
                           notify);
}

TELL guint
(g_timeout_add) (guint       interval,
                 GSourceFunc function,
                 gpointer    data)
{
  return g_timeout_add_full (G_PRIORITY_DEFAULT, interval, function, data, NULL);
}

TELL guint
(g_timeout_add_seconds) (guint       interval,
                         GSourceFunc function,
                         gpointer    data)
{
  return attach_and_unref (REAL (g_timeout_source_new_seconds) (interval), G_PRIORITY_DEFAULT,
                           function, data, NULL);
}

TELL guint
g_unix_fd_add_full (gint              priority,
                    gint              fd,
                    GIOCondition      condition,
                    GUnixFDSourceFunc function,
                    gpointer          data,
                    GDestroyNotify    notify)
{
  return attach_and_unref (REAL (g_unix_fd_source_new) (fd, condition), priority,
                           (GSourceFunc) (void (*) (void)) function, data, notify);
}

TELL guint
g_unix_fd_add (gint              fd,
               GIOCondition      condition,
               GUnixFDSourceFunc function,
               gpointer          data)
{
  return g_unix_fd_add_full (G_PRIORITY_DEFAULT, fd, condition, function, data, NULL);
}

typedef struct
{
  GSourceFunc    function;
  gpointer       data;
  GDestroyNotify notify;
} Invocation;

static gboolean
acquire_and_invoke (gpointer data)
{
  Invocation *invocation = data;

  acquire (invocation);
  return invocation->function (invocation->data);
}

static void
end_invocation (gpointer data)
{
  Invocation *invocation = data;

  acquire (invocation);
  if (invocation->notify != NULL)
    invocation->notify (invocation->data);
  free (invocation);
}

TELL void
g_main_context_invoke_full (GMainContext   *context,
                            gint            priority,
                            GSourceFunc     function,
                            gpointer        data,
                            GDestroyNotify  notify)
{
  Invocation *invocation = malloc (sizeof *invocation);

  *invocation = (Invocation) { function, data, notify };
  release (invocation);
  REAL (g_main_context_invoke_full) (context, priority, acquire_and_invoke, invocation,
                                     end_invocation);
}

TELL void
g_main_context_invoke (GMainContext *context,
                       GSourceFunc   function,
                       gpointer      data)
{
  g_main_context_invoke_full (context, G_PRIORITY_DEFAULT, function, data, NULL);
}

/* A flag that GIO reads with an atomic instruction. */

TELL void
g_cancellable_cancel (GCancellable *cancellable)
{
  release (cancellable);
  REAL_GIO (g_cancellable_cancel) (cancellable);
}

TELL gboolean
g_cancellable_is_cancelled (GCancellable *cancellable)
{
  gboolean cancelled = REAL_GIO (g_cancellable_is_cancelled) (cancellable);

  acquire (cancellable);
  return cancelled;
}

/* Memory. To free it is the last use of it, which the sanitizer does not see in GLib. */

#undef g_free
TELL void
g_free (gpointer memory)
{
  free (memory);
}

#undef g_slice_free1
TELL void
g_slice_free1 (gsize    size,
               gpointer memory)
{
  if (__tsan_write_range != NULL && memory != NULL)
    __tsan_write_range (memory, size);
  REAL (g_slice_free1) (size, memory);
}
