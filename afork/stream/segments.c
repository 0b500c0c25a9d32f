/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "segments.h"

#include <string.h>
#include <sys/mman.h>

#include "base/atfork.h"
#include "base/fd.h"
#include "base/memory.h"
#include "blob-memory.h"
#include "protocol-error.h"

enum
{
  FIXED_SIZE_SEALS = F_SEAL_SHRINK | F_SEAL_GROW,
  /* No process can write by the descriptor, or punch holes. */
  SEGMENT_SEALS = FIXED_SIZE_SEALS | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL,
  BLOB_SEALS = FIXED_SIZE_SEALS | F_SEAL_WRITE,
  /* A segment is not used for a blob if it is more than so many times as large. */
  MAX_WASTE = 4,
  /* How many bytes are allocated and copied at a time. */
  MAX_PART = 1024 * 1024,
};

/* The sender. */

typedef enum
{
  SEGMENT_STATE_FILLING,        /* a blob is being copied to it; it may be new, and not announced */
  SEGMENT_STATE_SENT,           /* it has a blob, until the receiver gives it back */
  SEGMENT_STATE_IDLE,
} SegmentState;

typedef struct
{
  guint32       number;
  guint8       *data;           /* NULL if it could not be mapped */
  gsize         capacity;
  SegmentState  state;
  guint64       idle_since;     /* how many segments had become idle before */
} Segment;

struct _AForkSegmentPool
{
  AForkMutex lock;
  GPtrArray *segments;          /* of Segment */
  gsize      n_bytes;
  gsize      n_idle_bytes;
  guint64    n_released;
  guint32    last_number;
  GArray    *ended;             /* of guint32: segments to be announced as ended */
  gint       n_ended;           /* atomic: the length of `ended` */

  /* The blob that is being copied. Only the sending thread uses these. */
  GBytes    *blob;              /* or NULL */
  Segment   *filling;           /* the segment for it */
  int        fd;                /* of that, if it is new; or -1 */
  gsize      n_filled;          /* bytes of it that are done */
};

static void
segment_free (gpointer data)
{
  Segment *segment = data;

  if (segment->data != NULL)
    _afork_memory_unmap (segment->data, segment->capacity);
  g_free (segment);
}

AForkSegmentPool *
_afork_segment_pool_new (void)
{
  AForkSegmentPool *self = g_new0 (AForkSegmentPool, 1);

  self->segments = g_ptr_array_new_with_free_func (segment_free);
  self->ended = g_array_new (FALSE, FALSE, sizeof (guint32));
  self->fd = -1;
  return self;
}

void
_afork_segment_pool_free (AForkSegmentPool *self)
{
  g_ptr_array_unref (self->segments);
  g_array_unref (self->ended);
  _afork_fd_clear (&self->fd);
  g_clear_pointer (&self->blob, g_bytes_unref);
  g_free (self);
}

/* Returns the size of a segment for SIZE bytes. There are four sizes between a power of two and the
 * next, so that at most a fifth of a segment is wasted. */
static gsize
get_capacity (gsize size)
{
  gsize page_size = (gsize) sysconf (_SC_PAGESIZE);
  gsize step = page_size;

  while (step * 8 <= size)
    step *= 2;
  return (size + step - 1) / step * step;
}

/* Returns the segment that has been idle for longest, or NULL. */
static Segment *
find_stale (AForkSegmentPool *self)
{
  Segment *found = NULL;

  for (guint i = 0; i < self->segments->len; i++)
    {
      Segment *segment = g_ptr_array_index (self->segments, i);

      if (segment->state == SEGMENT_STATE_IDLE
          && (found == NULL || segment->idle_since < found->idle_since))
        found = segment;
    }

  return found;
}

/* Returns the smallest idle segment that has room for SIZE bytes and does not waste too many, or
 * NULL. Of several, returns the one that became idle last. */
static Segment *
find_fitting (AForkSegmentPool *self,
              gsize             size)
{
  Segment *found = NULL;

  for (guint i = 0; i < self->segments->len; i++)
    {
      Segment *segment = g_ptr_array_index (self->segments, i);

      if (segment->state != SEGMENT_STATE_IDLE
          || segment->capacity < size || segment->capacity / MAX_WASTE > size)
        continue;
      if (found == NULL || segment->capacity < found->capacity
          || (segment->capacity == found->capacity && segment->idle_since > found->idle_since))
        found = segment;
    }

  return found;
}

static void
end_idle (AForkSegmentPool *self,
          Segment          *segment)
{
  g_array_append_val (self->ended, segment->number);
  g_atomic_int_inc (&self->n_ended);
  self->n_idle_bytes -= segment->capacity;
  self->n_bytes -= segment->capacity;
  g_ptr_array_remove_fast (self->segments, segment);
}

/* Ends idle segments until there is room for one of CAPACITY bytes. */
static gboolean
make_room (AForkSegmentPool *self,
           gsize             capacity)
{
  if (capacity > AFORK_SEGMENTS_MAX_BYTES)
    return FALSE;

  while (self->segments->len == AFORK_SEGMENTS_MAX
         || self->n_bytes > AFORK_SEGMENTS_MAX_BYTES - capacity)
    {
      Segment *stale = find_stale (self);

      if (stale == NULL)
        return FALSE;
      end_idle (self, stale);
    }

  return TRUE;
}

static gboolean
has_number (AForkSegmentPool *self,
            guint32           number)
{
  for (guint i = 0; i < self->segments->len; i++)
    if (((Segment *) g_ptr_array_index (self->segments, i))->number == number)
      return TRUE;

  return FALSE;
}

/* Returns a number that is neither in use, nor one that stands for no segment. Call it with the
 * mutex locked. */
static guint32
new_number (AForkSegmentPool *self)
{
  do
    self->last_number++;
  while (self->last_number == 0 || self->last_number == G_MAXUINT32
         || has_number (self, self->last_number));

  return self->last_number;
}

/* Filling. A segment gets all its pages before it is sent, so that no process is killed for lack of
 * pages when it uses the segment later. */

/* Makes a segment that has no pages yet. Returns NULL if there can be none. Only the sending thread
 * adds segments. Call it with the mutex locked. */
static Segment *
add_segment (AForkSegmentPool *self,
             gsize             capacity,
             int              *fd)
{
  g_auto(AForkFd) made = -1;
  Segment *segment;
  void *data;

  if (!make_room (self, capacity))
    return NULL;

  made = _afork_blob_memory_new ();
  if (made < 0)
    return NULL;

  data = mmap (NULL, capacity, PROT_READ | PROT_WRITE, MAP_SHARED, made, 0);
  if (data == MAP_FAILED)
    return NULL;

  segment = g_new0 (Segment, 1);
  segment->number = new_number (self);
  segment->data = data;
  segment->capacity = capacity;
  g_ptr_array_add (self->segments, segment);
  self->n_bytes += capacity;
  *fd = g_steal_fd (&made);
  return segment;
}

/* Finds or makes a segment for BLOB. Returns false if there can be none. */
static gboolean
begin_fill (AForkSegmentPool *self,
            GBytes           *blob)
{
  const gsize size = g_bytes_get_size (blob);

  _afork_mutex_lock (&self->lock);
  self->filling = find_fitting (self, size);
  if (self->filling != NULL)
    self->n_idle_bytes -= self->filling->capacity;
  else
    self->filling = add_segment (self, get_capacity (size), &self->fd);
  if (self->filling != NULL)
    self->filling->state = SEGMENT_STATE_FILLING;
  _afork_mutex_unlock (&self->lock);
  if (self->filling == NULL)
    return FALSE;

  self->blob = g_bytes_ref (blob);
  self->n_filled = 0;
  return TRUE;
}

/* Allocates the next pages of a new segment, about SIZE bytes, and returns their size, or 0 if that
 * fails. */
static gsize
allocate_pages (AForkSegmentPool *self,
                gsize             size)
{
  const gsize page_size = (gsize) sysconf (_SC_PAGESIZE);
  const gsize n_left = self->filling->capacity - self->n_filled;

  size = MIN (size, n_left);
  size = MIN ((size + page_size - 1) / page_size * page_size, n_left);
  if (!_afork_blob_memory_reserve (self->fd, self->n_filled, size))
    return 0;

#ifdef MADV_POPULATE_WRITE
  /* Faster than a page fault for each page, which follows where the kernel does not know this. */
  madvise (self->filling->data + self->n_filled, size, MADV_POPULATE_WRITE);
#endif
  return size;
}

/* Copies about SIZE more bytes. Returns how many bytes of the segment have been done, or 0 if that
 * fails. */
static gsize
fill_part (AForkSegmentPool *self,
           gsize             size)
{
  gsize blob_size;
  const guint8 *bytes = g_bytes_get_data (self->blob, &blob_size);
  const gsize n_left = blob_size - MIN (blob_size, self->n_filled);

  size = self->fd >= 0 ? allocate_pages (self, size) : MIN (size, n_left);
  if (n_left > 0)
    memcpy (self->filling->data + self->n_filled, bytes + self->n_filled, MIN (size, n_left));
  self->n_filled += size;
  return size;
}

static gboolean
is_filled (AForkSegmentPool *self)
{
  return self->n_filled >= (self->fd >= 0 ? self->filling->capacity
                                          : g_bytes_get_size (self->blob));
}

/* Makes a new segment one that the receiver accepts. */
static gboolean
seal (AForkSegmentPool *self)
{
  return _afork_blob_memory_is_complete (self->fd, self->filling->capacity)
    && fcntl (self->fd, F_ADD_SEALS, SEGMENT_SEALS) == 0;
}

/* Call it with the mutex locked. */
static void
set_idle (AForkSegmentPool *self,
          Segment          *segment)
{
  segment->state = SEGMENT_STATE_IDLE;
  segment->idle_since = self->n_released++;
  self->n_idle_bytes += segment->capacity;
  while (self->n_idle_bytes > AFORK_SEGMENTS_MAX_IDLE_BYTES)
    end_idle (self, find_stale (self));
}

void
_afork_segment_pool_drop_fill (AForkSegmentPool *self)
{
  g_autoptr(GBytes) blob = g_steal_pointer (&self->blob);

  if (blob == NULL)
    return;

  _afork_mutex_lock (&self->lock);
  if (self->fd < 0)
    set_idle (self, self->filling);
  else
    {
      self->n_bytes -= self->filling->capacity;
      g_ptr_array_remove_fast (self->segments, self->filling);
    }
  _afork_mutex_unlock (&self->lock);
  self->filling = NULL;
  _afork_fd_clear (&self->fd);
}

/* The blob is copied. Returns the number of its segment, or 0 if that cannot be used. */
static guint32
end_fill (AForkSegmentPool *self,
          int              *fd,
          gsize            *capacity)
{
  g_autoptr(GBytes) blob = NULL;
  Segment *segment = self->filling;

  if (self->fd >= 0 && !seal (self))
    {
      _afork_segment_pool_drop_fill (self);
      return 0;
    }

  blob = g_steal_pointer (&self->blob);
  self->filling = NULL;
  *fd = g_steal_fd (&self->fd);
  *capacity = segment->capacity;
  _afork_mutex_lock (&self->lock);
  segment->state = SEGMENT_STATE_SENT;
  _afork_mutex_unlock (&self->lock);
  return segment->number;
}

gboolean
_afork_segment_pool_fill (AForkSegmentPool *self,
                          GBytes           *blob,
                          gsize            *n_bytes,
                          guint32          *number,
                          int              *fd,
                          gsize            *capacity)
{
  *number = 0;
  *fd = -1;
  if (self->blob != blob)
    _afork_segment_pool_drop_fill (self);
  if (self->blob == NULL && !begin_fill (self, blob))
    return TRUE;

  while (!is_filled (self))
    {
      gsize size;

      if (*n_bytes == 0)
        return FALSE;

      size = fill_part (self, MIN (*n_bytes, (gsize) MAX_PART));
      if (size == 0)
        {
          _afork_segment_pool_drop_fill (self);
          return TRUE;
        }
      *n_bytes -= MIN (*n_bytes, size);
    }

  *number = end_fill (self, fd, capacity);
  return TRUE;
}

/* Returns the segment NUMBER that was sent, or NULL. Call it with the mutex locked. */
static Segment *
find_sent (AForkSegmentPool *self,
           guint32           number)
{
  for (guint i = 0; i < self->segments->len; i++)
    {
      Segment *segment = g_ptr_array_index (self->segments, i);

      if (segment->number == number && segment->state == SEGMENT_STATE_SENT)
        return segment;
    }

  return NULL;
}

gboolean
_afork_segment_pool_give_back (AForkSegmentPool *self,
                               guint32           number)
{
  Segment *segment;

  _afork_mutex_lock (&self->lock);
  segment = find_sent (self, number);
  if (segment != NULL)
    set_idle (self, segment);
  _afork_mutex_unlock (&self->lock);
  return segment != NULL;
}

gboolean
_afork_segment_pool_release (AForkSegmentPool  *self,
                             guint32            number,
                             GError           **error)
{
  return _afork_segment_pool_give_back (self, number)
    || _afork_protocol_error_set (error, "a segment is given back that is not in use");
}

/* Takes the first of NUMBERS, and counts *N_NUMBERS down. Returns 0 if there is none. */
static guint32
take_number (GArray *numbers,
             gint   *n_numbers)
{
  guint32 number;

  if (numbers->len == 0)
    return 0;

  number = g_array_index (numbers, guint32, 0);
  g_array_remove_index (numbers, 0);
  g_atomic_int_add (n_numbers, -1);
  return number;
}

guint32
_afork_segment_pool_take_ended (AForkSegmentPool *self)
{
  guint32 number;

  _afork_mutex_lock (&self->lock);
  number = take_number (self->ended, &self->n_ended);
  _afork_mutex_unlock (&self->lock);
  return number;
}

guint
_afork_segment_pool_count_ended (AForkSegmentPool *self)
{
  return (guint) g_atomic_int_get (&self->n_ended);
}

/* The receiver. */

typedef enum
{
  USE_NONE,
  USE_BLOB,                     /* there are references to the blob in it */
  USE_RELEASED,                 /* not in use, but not given back to the sender yet */
} Use;

typedef struct
{
  AForkSegmentTable *table;
  guint32            number;
  void              *data;
  gsize              capacity;
  Use                use;
  gsize              size;      /* of the blob, while in use */
  guint64            n_faults;  /* see _afork_blob_memory_drop_copies() */
} Mapped;

struct _AForkSegmentTable
{
  gatomicrefcount   ref_count;  /* the owner and each blob in use have a reference */
  AForkMutex        lock;
  gboolean          is_broken;  /* this is a fork of the program, and the table may be inconsistent;
                                 * then it is neither used nor freed */
  gboolean          freed;      /* by its owner */
  GHashTable       *mapped;     /* number → Mapped */
  gsize             n_bytes;
  GArray           *released;   /* of guint32: segments to be given back */
  gint              n_released; /* atomic: the length of `released` */
  AForkContext     *context;    /* to be woken, or NULL */
  void            (*wake) (gpointer data);
  gpointer          wake_data;
};

static void
lock_table (AForkSegmentTable *self)
{
  if (!_afork_mutex_lock_intact (&self->lock))
    self->is_broken = TRUE;
}

static void
mapped_free (gpointer data)
{
  Mapped *mapped = data;

  _afork_memory_unmap (mapped->data, mapped->capacity);
  g_free (mapped);
}

AForkSegmentTable *
_afork_segment_table_new (void)
{
  AForkSegmentTable *self = g_new0 (AForkSegmentTable, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->mapped = g_hash_table_new_full (NULL, NULL, NULL, mapped_free);
  self->released = g_array_new (FALSE, FALSE, sizeof (guint32));
  return self;
}

static void
table_unref (AForkSegmentTable *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count) || self->is_broken)
    return;

  g_hash_table_unref (self->mapped);
  g_array_unref (self->released);
  g_free (self);
}

static gboolean
is_unused (gpointer key,
           gpointer value,
           gpointer data)
{
  return ((Mapped *) value)->use != USE_BLOB;
}

void
_afork_segment_table_free (AForkSegmentTable *self)
{
  lock_table (self);
  self->freed = TRUE;
  if (!self->is_broken)
    g_hash_table_foreach_remove (self->mapped, is_unused, NULL);
  g_clear_pointer (&self->context, _afork_context_unref);
  self->wake = NULL;
  _afork_mutex_unlock (&self->lock);

  table_unref (self);
}

void
_afork_segment_table_set_wake (AForkSegmentTable  *self,
                               AForkContext       *context,
                               void              (*wake) (gpointer data),
                               gpointer            data)
{
  g_autoptr(AForkContext) old = NULL;

  lock_table (self);
  old = g_steal_pointer (&self->context);
  self->context = context != NULL ? _afork_context_ref (context) : NULL;
  self->wake = wake;
  self->wake_data = data;
  _afork_mutex_unlock (&self->lock);
}

gboolean
_afork_segment_table_add (AForkSegmentTable  *self,
                          guint32             number,
                          guint64             size,
                          int                 fd,
                          GError            **error)
{
  gpointer key = GUINT_TO_POINTER (number);
  Mapped *mapped;
  void *data;

  /* Only the receiving thread adds and ends segments. */
  if (number == 0 || number == G_MAXUINT32 || g_hash_table_contains (self->mapped, key))
    return _afork_protocol_error_set (error, "a segment has a number that cannot be");
  if (g_hash_table_size (self->mapped) == AFORK_SEGMENTS_MAX)
    return _afork_protocol_error_set (error, "there are too many segments");
  if (size == 0 || size > AFORK_SEGMENT_MAX_BLOB)
    return _afork_protocol_error_set (error, "a segment has a size that cannot be");
  if (size > AFORK_SEGMENTS_MAX_BYTES - self->n_bytes)
    return _afork_protocol_error_set (error, "the segments are too large");
  if (!_afork_blob_memory_check (fd, size, SEGMENT_SEALS, error))
    return FALSE;

  data = _afork_blob_memory_map (fd, size, error);
  if (data == NULL)
    return FALSE;

  mapped = g_new0 (Mapped, 1);
  mapped->table = self;
  mapped->number = number;
  mapped->data = data;
  mapped->capacity = (gsize) size;
  lock_table (self);
  g_hash_table_insert (self->mapped, key, mapped);
  self->n_bytes += mapped->capacity;
  _afork_mutex_unlock (&self->lock);
  return TRUE;
}

gboolean
_afork_segment_table_end (AForkSegmentTable  *self,
                          guint32             number,
                          GError            **error)
{
  gpointer key = GUINT_TO_POINTER (number);
  gboolean is_idle;
  Mapped *mapped;

  lock_table (self);
  mapped = g_hash_table_lookup (self->mapped, key);
  is_idle = mapped != NULL && mapped->use == USE_NONE;
  if (is_idle)
    {
      self->n_bytes -= mapped->capacity;
      g_hash_table_remove (self->mapped, key);
    }
  _afork_mutex_unlock (&self->lock);

  return is_idle || _afork_protocol_error_set (error, "a segment ends that is not idle");
}

/* The last reference to a blob was dropped. If the pages that this process has written to cannot be
 * dropped, the segment is never given back, because they would hide a part of the next blob. */
static void
blob_freed (gpointer data)
{
  Mapped *mapped = data;
  AForkSegmentTable *table = mapped->table;
  g_autoptr(AForkContext) context = NULL;
  void (*wake) (gpointer data) = NULL;
  gpointer wake_data = NULL;
  gboolean is_reusable;

  is_reusable = _afork_blob_memory_drop_copies (mapped->data, mapped->size,
                                                &mapped->n_faults);

  lock_table (table);
  if (table->is_broken)
    is_reusable = FALSE;
  else if (table->freed)
    g_hash_table_remove (table->mapped, GUINT_TO_POINTER (mapped->number));
  else if (is_reusable)
    {
      mapped->use = USE_RELEASED;
      g_array_append_val (table->released, mapped->number);
      g_atomic_int_inc (&table->n_released);
      context = table->context != NULL ? _afork_context_ref (table->context) : NULL;
      wake = table->wake;
      wake_data = table->wake_data;
    }
  _afork_mutex_unlock (&table->lock);

  if (context != NULL)
    _afork_context_wake (context);
  if (wake != NULL)
    wake (wake_data);
  table_unref (table);
}

GBytes *
_afork_segment_table_get (AForkSegmentTable  *self,
                          guint32             number,
                          guint64             size,
                          GError            **error)
{
  gboolean is_right;
  Mapped *mapped;

  lock_table (self);
  mapped = g_hash_table_lookup (self->mapped, GUINT_TO_POINTER (number));
  is_right = mapped != NULL && mapped->use == USE_NONE && size > 0 && size <= mapped->capacity;
  if (is_right)
    {
      mapped->use = USE_BLOB;
      mapped->size = (gsize) size;
    }
  _afork_mutex_unlock (&self->lock);
  if (!is_right)
    {
      _afork_protocol_error_set (error, "a blob is in no segment that is its own");
      return NULL;
    }

  g_atomic_ref_count_inc (&self->ref_count);
  return g_bytes_new_with_free_func (mapped->data, (gsize) size, blob_freed, mapped);
}

guint32
_afork_segment_table_take_released (AForkSegmentTable *self)
{
  guint32 number;

  lock_table (self);
  number = take_number (self->released, &self->n_released);
  if (number != 0)
    ((Mapped *) g_hash_table_lookup (self->mapped, GUINT_TO_POINTER (number)))->use = USE_NONE;
  _afork_mutex_unlock (&self->lock);
  return number;
}

guint
_afork_segment_table_count_released (AForkSegmentTable *self)
{
  return (guint) g_atomic_int_get (&self->n_released);
}

/* Sealed blobs. */

int
_afork_sealed_blob_new (GBytes *blob)
{
  g_auto(AForkFd) fd = _afork_blob_memory_new ();
  gsize size;
  gconstpointer data = g_bytes_get_data (blob, &size);

  /* write() is faster than a mapping, which takes a page fault for each page. */
  if (fd < 0 || !_afork_blob_memory_write (fd, data, size)
      || fcntl (fd, F_ADD_SEALS, BLOB_SEALS | F_SEAL_SEAL) < 0)
    return -1;
  return g_steal_fd (&fd);
}

typedef struct
{
  void  *data;
  gsize  size;
} Sealed;

static void
sealed_free (gpointer data)
{
  Sealed *sealed = data;

  _afork_memory_unmap (sealed->data, sealed->size);
  g_free (sealed);
}

GBytes *
_afork_sealed_blob_map (int       fd,
                        guint64   size,
                        GError  **error)
{
  Sealed *sealed;
  void *data;

  if (size == 0 || size > AFORK_SEALED_MAX_BLOB)
    {
      _afork_protocol_error_set (error, "a sealed blob has a size that cannot be");
      return NULL;
    }
  if (!_afork_blob_memory_check (fd, size, BLOB_SEALS, error))
    return NULL;

  data = _afork_blob_memory_map (fd, size, error);
  if (data == NULL)
    return NULL;

  sealed = g_new (Sealed, 1);
  *sealed = (Sealed) { data, (gsize) size };
  return g_bytes_new_with_free_func (data, (gsize) size, sealed_free, sealed);
}
