/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-map.h"

#include "afork-enum-types.h"
#include "afork-error.h"
#include "afork-job-private.h"
#include "afork-pool-private.h"
#include "base/i18n.h"
#include "base/task.h"
#include "base/turn.h"
#include "pool/map-items.h"

/* The states of the map.
 *
 *     OPEN ── the pool accepts no more jobs ──> STOPPED
 *      │                                           │
 *      └── it is closed, or its context is gone ───┴──> CLOSED
 *
 * A map that cannot run jobs is CLOSED from the beginning. `failure` has the reason for STOPPED and
 * CLOSED.
 */
typedef enum
{
  AFORK_MAP_STATE_OPEN,
  AFORK_MAP_STATE_STOPPED,      /* no more items are begun */
  AFORK_MAP_STATE_CLOSED,       /* there are no items any more */
} AForkMapState;

/* What works for the map in the main context of the pool. Another thread may drop the map, so this
 * is not part of the object. It holds no reference to the object, whose tasks do. */
typedef struct
{
  gatomicrefcount ref_count;
  GObject        *map;          /* valid while there are tasks */
  AForkContext   *context;      /* of the pool */
  AForkPool      *pool;         /* NULL once it is closed */
  AForkPoolFeeder feeder;
  AForkMapItems  *items;        /* NULL once it is closed */
  gboolean        is_ordered;
  guint           look_ahead;   /* or 0 */
  AForkMapState   state;
  GError         *failure;      /* or NULL */
  gboolean        is_watching;  /* the main context; the watch has a reference */
  GQueue          tasks;        /* of GTask: see _afork_task_queue_push() */
  gint64          blocking_end; /* when the last blocking call has returned, in microseconds */
} Core;

struct _AForkMap
{
  GObject       parent_instance;
  AForkPool    *pool;
  GVariant     *items;          /* or NULL */
  GListModel   *jobs;           /* or NULL */
  AForkMapFlags flags;
  Core         *core;
};

enum
{
  /* By default, so many times the jobs that the workers can have. */
  DEFAULT_LOOK_AHEAD = 4,
  /* How long after a blocking call, in microseconds, the next one need not serve the pool. */
  UNSERVED_TIME = 1000,
};

/**
 * AForkMap:
 *
 * The results of a function for many items.
 *
 * A map has a pool run one job for each item. [method@AFork.Map.next_async] returns these jobs when
 * they have ended, one at a time:
 *
 * ```c
 * g_autoptr(AForkMap) map = afork_pool_map (pool, paths, AFORK_MAP_ORDERED);
 * g_autoptr(GError) error = NULL;
 * AForkJob *job;
 *
 * while ((job = afork_map_next (map, NULL, &error)) != NULL)
 *   {
 *     if (afork_job_get_error (job) == NULL)
 *       show (afork_job_get_index (job), afork_job_get_result (job));
 *     g_object_unref (job);
 *   }
 * ```
 *
 * If an item fails, [property@AFork.Job:error] of its job says why, and the map goes on. The items
 * are the elements of an array, or the jobs of a [iface@Gio.ListModel], which may change meanwhile.
 * A map has few jobs at a time, so it needs little memory for any number of items: see
 * [property@AFork.Map:look-ahead].
 *
 * The map begins with the first items when the main context is iterated. If the map is closed or
 * its last reference is dropped, jobs that the workers have not begun are cancelled. Jobs that were
 * begun go on, but their results are dropped. See [the page](pool.html#many-items).
 *
 * A map belongs to the same main context as its pool. The last reference may be dropped in any
 * thread.
 *
 * Since: 0.1
 */
enum
{
  PROP_0,
  PROP_FLAGS,
  PROP_ITEMS,
  PROP_JOBS,
  PROP_LOOK_AHEAD,
  PROP_POOL,
  N_PROPS
};
static GParamSpec *props[N_PROPS];

G_DEFINE_FINAL_TYPE (AForkMap, afork_map, G_TYPE_OBJECT)

/* The core. */

static Core *
core_ref (Core *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/* The core is closed, so nothing is left that belongs to a main context. */
static void
core_unref (Core *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  _afork_context_unref (self->context);
  g_clear_error (&self->failure);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Core, core_unref)

static const char *
get_state_name (AForkMapState state)
{
  static const char *const names[] = {
    [AFORK_MAP_STATE_OPEN] = "open",
    [AFORK_MAP_STATE_STOPPED] = "stopped",
    [AFORK_MAP_STATE_CLOSED] = "closed",
  };

  return names[state];
}

/* Takes ERROR, the reason. */
static void
set_state (Core          *self,
           AForkMapState  state,
           GError        *error)
{
  g_assert (state > self->state);

  g_debug ("Map: was %s, is %s: %s", get_state_name (self->state), get_state_name (state),
           error->message);
  self->state = state;
  g_clear_error (&self->failure);
  self->failure = error;
}

static void
request_feed (Core *self)
{
  if (self->state < AFORK_MAP_STATE_CLOSED)
    _afork_pool_request_feed (self->pool, &self->feeder);
}

static void
items_changed_cb (gpointer data)
{
  request_feed (data);
}

/* The job of an item that is dropped is not watched any more. A job that the program has removed
 * from its list is cancelled. If the map is closed, a job that was begun goes on. */
static void
item_dropped_cb (AForkMapItem *item,
                 gpointer      data)
{
  Core *self = data;

  _afork_job_watch_end (item->job, NULL, NULL);
  if (self->state < AFORK_MAP_STATE_CLOSED
      || afork_job_get_state (item->job) < AFORK_JOB_STATE_RUNNING)
    afork_job_cancel (item->job);
}

static const AForkMapItemsFuncs items_funcs = {
  .changed = items_changed_cb,
  .dropped = item_dropped_cb,
};

/* Items that are forgotten: of a map with many jobs, in more than one turn. */
typedef struct
{
  Core          *core;          /* a reference */
  AForkMapItems *items;         /* or NULL */
} Clearing;

static void
clearing_free (gpointer data)
{
  Clearing *self = data;

  g_clear_pointer (&self->items, _afork_map_items_free);
  core_unref (self->core);
  g_free (self);
}

static void clear_some_cb (gpointer data);

/* Takes ITEMS. If the main context is freed, the rest is forgotten at once. */
static void
clear_later (Core          *self,
             AForkMapItems *items)
{
  GMainContext *main = _afork_context_peek (self->context);
  Clearing *clearing = g_new0 (Clearing, 1);

  clearing->core = core_ref (self);
  clearing->items = items;
  if (main != NULL)
    _afork_waiter_run_later (main, clear_some_cb, clearing, clearing_free);
  else
    clearing_free (clearing);
}

/* Takes ITEMS. */
static void
clear_some (Core          *self,
            AForkMapItems *items)
{
  AForkTurn turn;
  const gboolean has_time = _afork_turn_begin (&turn, NULL);
  const gboolean is_all = _afork_map_items_clear (items, &turn);

  if (has_time)
    _afork_turn_end (&turn, NULL, NULL, FALSE);
  if (is_all)
    _afork_map_items_free (items);
  else
    clear_later (self, items);
}

static void
clear_some_cb (gpointer data)
{
  Clearing *self = data;

  clear_some (self->core, g_steal_pointer (&self->items));
}

static void context_gone_cb (gpointer data);

/* Closes the map because of ERROR, which is taken. */
static void
close_core (Core   *self,
            GError *error)
{
  g_autoptr(AForkPool) pool = g_steal_pointer (&self->pool);

  if (self->state == AFORK_MAP_STATE_CLOSED)
    {
      g_error_free (error);
      return;
    }

  set_state (self, AFORK_MAP_STATE_CLOSED, error);
  _afork_pool_remove_feeder (pool, &self->feeder);
  clear_some (self, g_steal_pointer (&self->items));
  _afork_task_queue_fail_later (&self->tasks, self->map, g_error_copy (error));
  if (self->is_watching && _afork_context_unwatch (self->context, context_gone_cb, self))
    core_unref (self);
}

/* The main context of the pool is gone, or the pool never had one. The tasks were made in other
 * contexts. */
static void
context_gone_cb (gpointer data)
{
  g_autoptr(Core) self = data;
  g_autoptr(GError) error = NULL;

  _afork_pool_accepts (self->pool, &error);
  if (error == NULL)
    error = g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED,
                                 _("The main context of the pool is gone"));

  self->is_watching = FALSE;
  _afork_task_queue_fail (&self->tasks, error);
  close_core (self, g_steal_pointer (&error));
}

static void
release_cb (gpointer data)
{
  g_autoptr(Core) self = data;

  close_core (self, g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED,
                                         _("The map was disposed of")));
}

/* Beginning items. */

static guint
get_window (Core *self)
{
  return self->look_ahead > 0 ? self->look_ahead
                              : _afork_pool_get_look_ahead (self->pool, DEFAULT_LOOK_AHEAD);
}

/* In an ordered map, only items that come before the next one count. Otherwise, an item that was
 * inserted before items that have ended could never be begun. */
static gboolean
is_in_window (Core *self)
{
  const guint n = self->is_ordered ? _afork_map_items_count_before (self->items)
                                   : _afork_map_items_count_untaken (self->items);

  return n < get_window (self);
}

static void
job_ended_cb (gpointer data)
{
  AForkMapItem *item = data;
  Core *self = item->owner;

  if (self->state == AFORK_MAP_STATE_CLOSED)
    return;

  _afork_map_items_end (self->items, item);
  request_feed (self);
}

/* Returns why the job of ITEM cannot be run, or NULL. */
static GError *
find_obstacle (const AForkMapItem *item)
{
  if (item->job == NULL)
    return g_error_new (G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        _("The list contains an object of the type “%s”, which is no AForkJob"),
                        item->object != NULL ? G_OBJECT_TYPE_NAME (item->object) : "NULL");
  if (afork_job_get_state (item->job) != AFORK_JOB_STATE_NEW)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED, _("The job was run already"));

  return NULL;
}

/* Gives ITEM a job that has failed with ERROR, in place of what the list contains. */
static void
end_item (Core         *self,
          AForkMapItem *item,
          const GError *error)
{
  g_autoptr(AForkJob) old = g_steal_pointer (&item->job);

  item->job = afork_job_new (old != NULL ? afork_job_get_args (old) : NULL);
  _afork_job_set_end (item->job, NULL, error);
  _afork_map_items_end (self->items, item);
}

/* Begins the next item if it can be begun now. Returns false if not. */
static gboolean
begin_one (Core *self)
{
  g_autoptr(GError) error = NULL;
  AForkMapItem *item;

  if (self->state != AFORK_MAP_STATE_OPEN || !_afork_map_items_has_waiting (self->items)
      || !is_in_window (self))
    return FALSE;

  if (!_afork_pool_accepts (self->pool, &error))
    {
      if (error == NULL)
        {
          _afork_pool_wait_for_room (self->pool, &self->feeder);
          return FALSE;
        }
      set_state (self, AFORK_MAP_STATE_STOPPED, g_steal_pointer (&error));
      return TRUE;
    }

  item = _afork_map_items_begin (self->items);
  error = find_obstacle (item);
  if (error != NULL)
    {
      end_item (self, item, error);
      return TRUE;
    }

  _afork_job_watch_end (item->job, job_ended_cb, item);
  _afork_pool_run (self->pool, item->job);
  return TRUE;
}

/* Returning jobs. */

/* What the next call returns. */
typedef enum
{
  NEXT_UNKNOWN,                 /* it has to wait */
  NEXT_JOB,
  NEXT_END,
  NEXT_FAILURE,
} Next;

/* Sets *ITEM to the item of the job. */
static Next
find_next (Core          *self,
           AForkMapItem **item)
{
  const gboolean is_stopped = self->state == AFORK_MAP_STATE_STOPPED;

  *item = self->is_ordered ? _afork_map_items_peek_first (self->items, is_stopped)
                           : _afork_map_items_peek_ended (self->items);
  if (*item != NULL)
    return NEXT_JOB;
  if (_afork_map_items_count_untaken (self->items) > 0)
    return NEXT_UNKNOWN;
  if (!_afork_map_items_has_waiting (self->items))
    return NEXT_END;

  return is_stopped ? NEXT_FAILURE : NEXT_UNKNOWN;
}

/* Returns the oldest task if its result is known. Returns false if not. The callback of the program
 * may do anything. */
static gboolean
return_one (Core *self)
{
  AForkMapItem *item;
  const Next next = self->tasks.length > 0 ? find_next (self, &item) : NEXT_UNKNOWN;
  g_autoptr(GTask) task = NULL;

  if (next == NEXT_UNKNOWN)
    return FALSE;

  /* A handler of the job may already wait for the next one. */
  task = _afork_task_queue_pop (&self->tasks);
  if (next == NEXT_JOB)
    g_task_return_pointer (task, _afork_map_items_take (self->items, item), g_object_unref);
  else if (next == NEXT_END)
    g_task_return_pointer (task, NULL, NULL);
  else
    g_task_return_error (task, g_error_copy (self->failure));
  return TRUE;
}

/* Begins and returns items until nothing is left to be done now, or until TURN is over. Returns
 * true if nothing is left. */
static gboolean
go_on (Core      *self,
       AForkTurn *turn)
{
  while (self->state < AFORK_MAP_STATE_CLOSED)
    {
      if (!_afork_map_items_update (self->items, turn))
        return FALSE;
      if (!begin_one (self) && !return_one (self))
        return TRUE;
      if (!_afork_turn_goes_on (turn))
        return FALSE;
    }

  return TRUE;
}

static void
feed_cb (gpointer data)
{
  g_autoptr(Core) self = core_ref (data);
  AForkTurn turn;

  if (!_afork_turn_begin (&turn, NULL))
    {
      request_feed (self);
      return;
    }

  if (!go_on (self, &turn))
    request_feed (self);
  _afork_turn_end (&turn, NULL, NULL, FALSE);
}

/* The object. */

static Core *
core_new (AForkMap *map)
{
  Core *self = g_new0 (Core, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->map = G_OBJECT (map);
  self->feeder.link.data = &self->feeder;
  self->feeder.feed = feed_cb;
  self->feeder.data = self;
  self->is_ordered = (map->flags & AFORK_MAP_UNORDERED) == 0;
  self->context = map->pool != NULL ? _afork_context_ref (_afork_pool_get_context (map->pool))
                                    : _afork_context_ref_nowhere ();
  g_queue_init (&self->tasks);
  return self;
}

/* Returns why the map cannot run jobs, or NULL. */
static GError *
find_mistake (AForkMap *self)
{
  if (self->pool == NULL)
    return g_error_new_literal (G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, _("A map needs a pool"));
  if ((self->items == NULL) == (self->jobs == NULL))
    return g_error_new_literal (G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                                _("A map needs an array of items or a list of jobs"));
  if (self->items != NULL && !g_variant_is_of_type (self->items, G_VARIANT_TYPE_ARRAY))
    return g_error_new (G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        _("The items of a map have the type “%s”, which is not an array"),
                        g_variant_get_type_string (self->items));
  if (self->items != NULL && g_variant_n_children (self->items) >= G_MAXUINT)
    return g_error_new (G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        _("An array of %zu items is too long for a map"),
                        g_variant_n_children (self->items));

  return NULL;
}

static void
afork_map_constructed (GObject *object)
{
  AForkMap *self = AFORK_MAP (object);
  g_autoptr(AForkHold) hold = NULL;
  GError *error = find_mistake (self);
  Core *core = core_new (self);

  G_OBJECT_CLASS (afork_map_parent_class)->constructed (object);
  self->core = core;
  if (error == NULL)
    hold = _afork_pool_hold (self->pool, &error);
  if (error != NULL)
    {
      set_state (core, AFORK_MAP_STATE_CLOSED, error);
      return;
    }

  core->pool = g_object_ref (self->pool);
  core->items = _afork_map_items_new (self->items, self->jobs, &items_funcs, core);
  core->is_watching = _afork_context_watch (core->context, context_gone_cb, core_ref (core));
  if (core->is_watching)
    request_feed (core);
  else
    context_gone_cb (core);
}

static void
afork_map_dispose (GObject *object)
{
  AForkMap *self = AFORK_MAP (object);

  _afork_context_run (self->core->context, release_cb, core_ref (self->core));
  G_OBJECT_CLASS (afork_map_parent_class)->dispose (object);
}

static void
afork_map_finalize (GObject *object)
{
  AForkMap *self = AFORK_MAP (object);

  core_unref (self->core);
  g_clear_object (&self->pool);
  g_clear_object (&self->jobs);
  g_clear_pointer (&self->items, g_variant_unref);
  G_OBJECT_CLASS (afork_map_parent_class)->finalize (object);
}

static void
afork_map_get_property (GObject    *object,
                        guint       id,
                        GValue     *value,
                        GParamSpec *pspec)
{
  AForkMap *self = AFORK_MAP (object);

  switch (id)
    {
    case PROP_FLAGS:
      g_value_set_flags (value, self->flags);
      break;
    case PROP_ITEMS:
      g_value_set_variant (value, self->items);
      break;
    case PROP_JOBS:
      g_value_set_object (value, self->jobs);
      break;
    case PROP_LOOK_AHEAD:
      g_value_set_uint (value, self->core->look_ahead);
      break;
    case PROP_POOL:
      g_value_set_object (value, self->pool);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
afork_map_set_property (GObject      *object,
                        guint         id,
                        const GValue *value,
                        GParamSpec   *pspec)
{
  AForkMap *self = AFORK_MAP (object);

  switch (id)
    {
    case PROP_FLAGS:
      self->flags = g_value_get_flags (value);
      break;
    case PROP_ITEMS:
      self->items = g_value_dup_variant (value);
      break;
    case PROP_JOBS:
      self->jobs = g_value_dup_object (value);
      break;
    case PROP_LOOK_AHEAD:
      afork_map_set_look_ahead (self, g_value_get_uint (value));
      break;
    case PROP_POOL:
      self->pool = g_value_dup_object (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
afork_map_class_init (AForkMapClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = afork_map_constructed;
  object_class->dispose = afork_map_dispose;
  object_class->finalize = afork_map_finalize;
  object_class->get_property = afork_map_get_property;
  object_class->set_property = afork_map_set_property;

  /**
   * AForkMap:flags:
   *
   * The order in which jobs are returned.
   *
   * Since: 0.1
   */
  props[PROP_FLAGS] =
    g_param_spec_flags ("flags", NULL, NULL,
                        AFORK_TYPE_MAP_FLAGS, AFORK_MAP_ORDERED,
                        G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkMap:items:
   *
   * The array of items, or `NULL` if there is a list of jobs.
   *
   * Since: 0.1
   */
  props[PROP_ITEMS] =
    g_param_spec_variant ("items", NULL, NULL,
                          G_VARIANT_TYPE_ANY, NULL,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkMap:jobs:
   *
   * The list of jobs, or `NULL` if there is an array of items.
   *
   * Since: 0.1
   */
  props[PROP_JOBS] =
    g_param_spec_object ("jobs", NULL, NULL,
                         G_TYPE_LIST_MODEL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkMap:look-ahead: (getter get_look_ahead) (setter set_look_ahead)
   *
   * How many jobs the map gives to the pool before they are returned. Jobs that have ended count
   * until [method@AFork.Map.next_async] returns them. So this limits the memory of results, and
   * how many jobs of the map wait in the pool.
   *
   * The default, 0, stands for four times as many jobs as the workers can have:
   * [property@AFork.Pool:max-workers] times [property@AFork.Pool:load] times 4, or if the pool has
   * several templates, as many workers as these may have together. A higher number
   * keeps the workers busy if results are returned in order and some jobs take much longer than
   * others. With `G_MAXUINT`, all jobs are given to the pool, even if they are not awaited.
   *
   * Since: 0.1
   */
  props[PROP_LOOK_AHEAD] =
    g_param_spec_uint ("look-ahead", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkMap:pool:
   *
   * The pool that runs the jobs.
   *
   * Since: 0.1
   */
  props[PROP_POOL] =
    g_param_spec_object ("pool", NULL, NULL,
                         AFORK_TYPE_POOL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
afork_map_init (AForkMap *self)
{
}

/**
 * afork_pool_map:
 * @self: a pool
 * @items: an array; a floating one is taken
 * @flags: the order in which jobs are returned
 *
 * Has the pool run a job for each element of an array. The element is the argument of the job. If
 * the elements are variants (`av`), the argument is the value in the variant, so that items can
 * have different types. [property@AFork.Job:index] is the index of the element.
 *
 * If @items is not an array, or has more than 4294967294 elements, each
 * [method@AFork.Map.next_async] fails with `G_IO_ERROR_INVALID_ARGUMENT`.
 *
 * Returns: (transfer full): a map
 *
 * Since: 0.1
 */
AForkMap *
afork_pool_map (AForkPool     *self,
                GVariant      *items,
                AForkMapFlags  flags)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);
  g_return_val_if_fail (items != NULL, NULL);

  return g_object_new (AFORK_TYPE_MAP, "pool", self, "items", items, "flags", flags, NULL);
}

/**
 * afork_pool_map_jobs:
 * @self: a pool
 * @jobs: a list of [class@AFork.Job] objects that were not run
 * @flags: the order in which jobs are returned
 *
 * Has the pool run each job of a list. The list may change at any time:
 *
 * - A job that is inserted is run. The jobs that were not run yet are run in the order of the list.
 * - A job that is removed is not run, or is cancelled if it has not ended.
 *   [method@AFork.Map.next_async] does not return it.
 * - A job that is removed and inserted again, before the main context is iterated, has moved. It is
 *   run only once.
 *
 * With `AFORK_MAP_ORDERED`, the first job in the list that was not returned is returned next, even
 * if jobs behind it were returned already. If all jobs in the list were returned, `NULL` is
 * returned. If jobs are inserted later, they are returned by later calls.
 *
 * If the list contains an object that is no job, or a job that was run already, a job takes its
 * place that has failed with `G_IO_ERROR_INVALID_ARGUMENT` or `AFORK_ERROR_CLOSED`, and has the
 * same position.
 *
 * The map keeps a reference to each job that it has run, as long as the job is in the list.
 *
 * Returns: (transfer full): a map
 *
 * Since: 0.1
 */
AForkMap *
afork_pool_map_jobs (AForkPool     *self,
                     GListModel    *jobs,
                     AForkMapFlags  flags)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);
  g_return_val_if_fail (G_IS_LIST_MODEL (jobs), NULL);

  return g_object_new (AFORK_TYPE_MAP, "pool", self, "jobs", jobs, "flags", flags, NULL);
}

/* Returns why the map cannot be used, or NULL. Sets *HOLD if this thread may use the map. */
static GError *
find_refusal (AForkMap   *self,
              AForkHold **hold)
{
  GError *error = NULL;

  if (self->pool != NULL)
    {
      *hold = _afork_pool_hold (self->pool, &error);
      if (*hold == NULL)
        return error;
    }

  return self->core->state == AFORK_MAP_STATE_CLOSED ? g_error_copy (self->core->failure) : NULL;
}

/**
 * afork_map_next_async:
 * @self: a map
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call with the job
 * @user_data: data for @callback
 *
 * Returns the next job when it has ended. Several of these calls may be made at a time: each
 * returns another job, in the order of the calls.
 *
 * Cancelling only ends this call. The job is then returned by the next one.
 *
 * Since: 0.1
 */
void
afork_map_next_async (AForkMap            *self,
                      GCancellable        *cancellable,
                      GAsyncReadyCallback  callback,
                      gpointer             user_data)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GTask) task = NULL;
  GError *error;

  g_return_if_fail (AFORK_IS_MAP (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, afork_map_next_async);
  g_task_set_name (task, "[afork] map next");
  error = find_refusal (self, &hold);
  if (error != NULL)
    {
      g_task_return_error (task, error);
      return;
    }

  /* If the call is cancelled when it has its job, it returns the job. */
  g_task_set_check_cancellable (task, FALSE);
  if (g_cancellable_is_cancelled (cancellable))
    {
      _afork_task_return_cancelled (task);
      return;
    }

  _afork_task_queue_push (&self->core->tasks, task);
  request_feed (self->core);
}

/**
 * afork_map_next_finish:
 * @self: a map
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Returns the next job, which has ended: it has either an [property@AFork.Job:error] or a
 * [property@AFork.Job:result]. [property@AFork.Job:index] says which item it belongs to. Returns
 * `NULL` without an error if all jobs were returned.
 *
 * @error is only set if no job can be returned:
 *
 * - `G_IO_ERROR_INVALID_ARGUMENT` if the items of the map are not an array
 * - `AFORK_ERROR_CLOSED` if the pool was shut down before it has accepted all jobs. The jobs that
 *   it had accepted are returned before.
 * - `AFORK_ERROR_CLOSED` if the map was closed or disposed of, or its main context is gone
 * - `AFORK_ERROR_FAILED` if another thread uses the main context of the pool
 * - `G_IO_ERROR_CANCELLED` if the call was cancelled
 *
 * Returns: (transfer full) (nullable): a job, or `NULL`
 *
 * Since: 0.1
 */
AForkJob *
afork_map_next_finish (AForkMap      *self,
                       GAsyncResult  *result,
                       GError       **error)
{
  g_return_val_if_fail (AFORK_IS_MAP (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_map_next_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/* Takes a job that has ended, without serving the pool, which takes many times as long. But while a
 * program makes only blocking calls, the pool is served only in these, so they do this for a short
 * time only. Returns NULL if the call has to block. */
static AForkJob *
take_ended (Core         *self,
            GCancellable *cancellable)
{
  AForkMapItem *item;

  if (self->tasks.length > 0 || g_cancellable_is_cancelled (cancellable)
      || g_get_monotonic_time () - self->blocking_end >= UNSERVED_TIME
      || !_afork_map_items_is_up_to_date (self->items) || find_next (self, &item) != NEXT_JOB)
    return NULL;

  request_feed (self);
  return _afork_map_items_take (self->items, item);
}

/**
 * afork_map_next:
 * @self: a map
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error, as [method@AFork.Map.next_finish] has it
 *
 * Blocking version of [method@AFork.Map.next_async]. Waits as [method@AFork.Pool.call] does. While
 * it waits, the map goes on with its items.
 *
 * Returns: (transfer full) (nullable): a job, or `NULL`
 *
 * Since: 0.1
 */
AForkJob *
afork_map_next (AForkMap      *self,
                GCancellable  *cancellable,
                GError       **error)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  AForkPoolBlockingCall blocking;
  GError *refusal;
  AForkJob *job;

  g_return_val_if_fail (AFORK_IS_MAP (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  refusal = find_refusal (self, &hold);
  if (refusal != NULL)
    {
      g_propagate_error (error, refusal);
      return NULL;
    }

  job = take_ended (self->core, cancellable);
  if (job != NULL)
    return job;
  if (!_afork_pool_begin_blocking (self->pool, &blocking, error))
    return NULL;

  afork_map_next_async (self, cancellable, _afork_blocking_call_cb, &blocking.base);
  result = _afork_pool_end_blocking (self->pool, &blocking);
  self->core->blocking_end = g_get_monotonic_time ();
  return afork_map_next_finish (self, result, error);
}

/**
 * afork_map_close:
 * @self: a map
 *
 * Ends the map: jobs that workers have not begun are cancelled. Jobs that were begun go on, and are
 * not returned. Calls of [method@AFork.Map.next_async] that wait, and later ones, fail with
 * `AFORK_ERROR_CLOSED`. Dropping the last reference to the map does the same.
 *
 * Since: 0.1
 */
void
afork_map_close (AForkMap *self)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GError) error = NULL;

  g_return_if_fail (AFORK_IS_MAP (self));

  error = find_refusal (self, &hold);
  if (error != NULL)
    {
      g_debug ("A map cannot be closed: %s", error->message);
      return;
    }

  close_core (self->core, g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED,
                                               _("The map was closed")));
}

/**
 * afork_map_get_look_ahead: (get-property look-ahead)
 * @self: a map
 *
 * Gets how many jobs the map gives to the pool before they are returned.
 *
 * Returns: a number of jobs, or 0 for four times as many as the workers can have
 *
 * Since: 0.1
 */
guint
afork_map_get_look_ahead (AForkMap *self)
{
  g_return_val_if_fail (AFORK_IS_MAP (self), 0);

  return self->core->look_ahead;
}

/**
 * afork_map_set_look_ahead: (set-property look-ahead)
 * @self: a map
 * @look_ahead: a number of jobs, or 0 for four times as many as the workers can have
 *
 * Sets how many jobs the map gives to the pool before they are returned. Jobs that the pool has
 * stay there, even if there are more.
 *
 * Since: 0.1
 */
void
afork_map_set_look_ahead (AForkMap *self,
                          guint     look_ahead)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GError) error = NULL;

  g_return_if_fail (AFORK_IS_MAP (self));

  error = find_refusal (self, &hold);
  if (error != NULL)
    {
      g_debug ("A map cannot be changed: %s", error->message);
      return;
    }
  if (self->core->look_ahead == look_ahead)
    return;

  self->core->look_ahead = look_ahead;
  request_feed (self->core);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_LOOK_AHEAD]);
}
