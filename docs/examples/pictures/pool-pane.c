/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "pool-pane.h"

#define INTERVAL       250      /* milliseconds between two looks at the statistics */
#define HANG_TIMEOUT   3000     /* milliseconds */
#define FLOOD_JOBS     2000
#define FLOOD_TIME     5        /* milliseconds for each job */
#define FLOOD_PRIORITY (-1)     /* after all pictures */

typedef enum
{
  ROW_QUEUED,
  ROW_RUNNING,
  ROW_DONE,
  ROW_FAILED,
  ROW_CANCELLED,
  ROW_MEDIAN,
  ROW_P99,
  N_ROWS
} Row;

struct _PoolPane
{
  GtkWidget  parent_instance;
  AForkPool *pool;
  GtkWidget *box;
  GtkWidget *numbers[N_ROWS];
  GtkWidget *event;
  guint      timer_id;
};

G_DEFINE_FINAL_TYPE (PoolPane, pool_pane, GTK_TYPE_WIDGET)

/* Statistics */

static guint64
get_number (GVariant   *stats,
            const char *key)
{
  g_autoptr(GVariant) value = g_variant_lookup_value (stats, key, NULL);

  if (value == NULL)
    return 0;
  return g_variant_is_of_type (value, G_VARIANT_TYPE_UINT32) ? g_variant_get_uint32 (value)
                                                             : g_variant_get_uint64 (value);
}

static void
show_count (PoolPane *self,
            Row       row,
            guint64   count)
{
  g_autofree char *text = g_strdup_printf ("%'" G_GUINT64_FORMAT, count);

  gtk_label_set_text (GTK_LABEL (self->numbers[row]), text);
}

static void
show_time (PoolPane *self,
           Row       row,
           guint64   microseconds)
{
  g_autofree char *text = g_strdup_printf ("%.1f ms", (double) microseconds / 1000);

  gtk_label_set_text (GTK_LABEL (self->numbers[row]), text);
}

static gboolean
look_cb (gpointer user_data)
{
  PoolPane *self = user_data;
  g_autoptr(GVariant) stats = afork_pool_get_stats (self->pool);

  show_count (self, ROW_QUEUED, afork_pool_get_n_queued (self->pool));
  show_count (self, ROW_RUNNING, afork_pool_get_n_running (self->pool));
  show_count (self, ROW_DONE, get_number (stats, "results"));
  show_count (self, ROW_FAILED, get_number (stats, "errors") - get_number (stats, "cancelled"));
  show_count (self, ROW_CANCELLED, get_number (stats, "cancelled"));
  show_time (self, ROW_MEDIAN, get_number (stats, "run-p50"));
  show_time (self, ROW_P99, get_number (stats, "run-p99"));
  return G_SOURCE_CONTINUE;
}

/* Workers. Each row of the list is bound to the properties of its worker. */

static char *
describe_worker (gpointer              instance,
                 int                   pid,
                 AForkPoolWorkerState  state,
                 guint                 calls,
                 guint64               rss,
                 gpointer              data)
{
  static const char *const states[] = {
    [AFORK_POOL_WORKER_STATE_STARTING] = "starting",
    [AFORK_POOL_WORKER_STATE_IDLE] = "idle",
    [AFORK_POOL_WORKER_STATE_BUSY] = "busy",
    [AFORK_POOL_WORKER_STATE_LEAVING] = "leaving",
    [AFORK_POOL_WORKER_STATE_EXITING] = "exiting",
    [AFORK_POOL_WORKER_STATE_EXITED] = "exited",
  };
  g_autofree char *memory = g_format_size (rss);

  return g_strdup_printf ("<b>%d</b>  %s\n<small>%u jobs, %s</small>", pid, states[state], calls,
                          memory);
}

static void
worker_setup_cb (GtkListItemFactory *factory,
                 GtkListItem        *item,
                 gpointer            user_data)
{
  static const char *const names[] = { "pid", "state", "calls", "rss" };
  GtkExpression *values[G_N_ELEMENTS (names)];
  GtkWidget *label = gtk_label_new (NULL);
  GtkExpression *text;

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      GtkExpression *worker =
        gtk_property_expression_new (GTK_TYPE_LIST_ITEM, NULL, "item");

      values[i] = gtk_property_expression_new (AFORK_TYPE_POOL_WORKER, worker, names[i]);
    }
  text = gtk_cclosure_expression_new (G_TYPE_STRING, NULL, G_N_ELEMENTS (values), values,
                                      G_CALLBACK (describe_worker), NULL, NULL);

  gtk_label_set_xalign (GTK_LABEL (label), 0);
  gtk_label_set_use_markup (GTK_LABEL (label), TRUE);
  gtk_expression_bind (text, label, "label", item);
  gtk_list_item_set_child (item, label);
}

static GtkWidget *
new_worker_list (PoolPane *self)
{
  GtkListItemFactory *factory = gtk_signal_list_item_factory_new ();
  GtkSelectionModel *workers =
    GTK_SELECTION_MODEL (gtk_no_selection_new (afork_pool_get_workers (self->pool)));
  GtkWidget *view = gtk_list_view_new (workers, factory);
  GtkWidget *scrolled = gtk_scrolled_window_new ();

  g_signal_connect (factory, "setup", G_CALLBACK (worker_setup_cb), NULL);
  gtk_scrolled_window_set_child (GTK_SCROLLED_WINDOW (scrolled), view);
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (scrolled), GTK_POLICY_NEVER,
                                  GTK_POLICY_AUTOMATIC);
  gtk_widget_set_vexpand (scrolled, TRUE);
  return scrolled;
}

static void
worker_exited_cb (AForkPool    *pool,
                  AForkProcess *process,
                  const GError *error,
                  PoolPane     *self)
{
  if (error != NULL)
    gtk_label_set_text (GTK_LABEL (self->event), error->message);
}

/* Disturbances */

void
pool_pane_kill_worker (PoolPane *self)
{
  g_autoptr(GListModel) workers = afork_pool_get_workers (self->pool);
  g_autoptr(AForkPoolWorker) worker = g_list_model_get_item (workers, 0);

  if (worker != NULL)
    afork_process_force_exit (afork_pool_worker_get_process (worker));
}

static void
hung_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      user_data)
{
  g_autoptr(PoolPane) self = user_data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_pool_run_job_finish (AFORK_POOL (object), result, &error);

  if (value == NULL)
    gtk_label_set_text (GTK_LABEL (self->event), error->message);
}

void
pool_pane_hang_worker (PoolPane *self)
{
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new_int64 (-1));

  afork_job_set_timeout (job, HANG_TIMEOUT);
  afork_pool_run_job_async (self->pool, job, NULL, hung_cb, g_object_ref (self));
}

void
pool_pane_flood_queue (PoolPane *self)
{
  for (guint i = 0; i < FLOOD_JOBS; i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (g_variant_new_int64 (FLOOD_TIME));

      afork_job_set_priority (job, FLOOD_PRIORITY);
      afork_pool_run_job_async (self->pool, job, NULL, NULL, NULL);
    }
}

/* The pane */

static void
pool_pane_dispose (GObject *object)
{
  PoolPane *self = PICTURES_POOL_PANE (object);

  g_clear_handle_id (&self->timer_id, g_source_remove);
  if (self->pool != NULL)
    g_signal_handlers_disconnect_by_data (self->pool, self);
  g_clear_pointer (&self->box, gtk_widget_unparent);
  g_clear_object (&self->pool);
  G_OBJECT_CLASS (pool_pane_parent_class)->dispose (object);
}

static void
pool_pane_class_init (PoolPaneClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = pool_pane_dispose;
  gtk_widget_class_set_layout_manager_type (GTK_WIDGET_CLASS (klass), GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_set_css_name (GTK_WIDGET_CLASS (klass), "poolpane");
}

static void
pool_pane_init (PoolPane *self)
{
}

static void
append_title (PoolPane   *self,
              const char *title)
{
  GtkWidget *label = gtk_label_new (title);

  gtk_label_set_xalign (GTK_LABEL (label), 0);
  gtk_widget_add_css_class (label, "heading");
  gtk_box_append (GTK_BOX (self->box), label);
}

static void
append_numbers (PoolPane *self)
{
  static const char *const names[N_ROWS] = {
    [ROW_QUEUED] = "Waiting",
    [ROW_RUNNING] = "Running",
    [ROW_DONE] = "Done",
    [ROW_FAILED] = "Failed",
    [ROW_CANCELLED] = "Scrolled away",
    [ROW_MEDIAN] = "Half take up to",
    [ROW_P99] = "99 % take up to",
  };
  GtkWidget *grid = gtk_grid_new ();

  for (int i = 0; i < N_ROWS; i++)
    {
      GtkWidget *name = gtk_label_new (names[i]);

      self->numbers[i] = gtk_label_new (NULL);
      gtk_label_set_xalign (GTK_LABEL (name), 0);
      gtk_label_set_xalign (GTK_LABEL (self->numbers[i]), 1);
      gtk_widget_set_hexpand (name, TRUE);
      gtk_widget_add_css_class (name, "dim-label");
      gtk_widget_add_css_class (self->numbers[i], "numeric");
      gtk_grid_attach (GTK_GRID (grid), name, 0, i, 1, 1);
      gtk_grid_attach (GTK_GRID (grid), self->numbers[i], 1, i, 1, 1);
    }
  gtk_grid_set_row_spacing (GTK_GRID (grid), 4);
  gtk_box_append (GTK_BOX (self->box), grid);
}

static void
append_event (PoolPane *self)
{
  self->event = gtk_label_new (NULL);
  gtk_label_set_xalign (GTK_LABEL (self->event), 0);
  gtk_label_set_yalign (GTK_LABEL (self->event), 0);
  gtk_label_set_wrap (GTK_LABEL (self->event), TRUE);
  gtk_label_set_lines (GTK_LABEL (self->event), 4);
  gtk_label_set_ellipsize (GTK_LABEL (self->event), PANGO_ELLIPSIZE_END);
  gtk_label_set_max_width_chars (GTK_LABEL (self->event), 24);
  gtk_widget_set_size_request (self->event, -1, 64);
  gtk_widget_add_css_class (self->event, "caption");
  gtk_box_append (GTK_BOX (self->box), self->event);
}

static void
append_button (PoolPane   *self,
               const char *label,
               void      (*function) (PoolPane *self))
{
  GtkWidget *button = gtk_button_new_with_label (label);

  g_signal_connect_swapped (button, "clicked", G_CALLBACK (function), self);
  gtk_box_append (GTK_BOX (self->box), button);
}

GtkWidget *
pool_pane_new (AForkPool *pool)
{
  PoolPane *self = g_object_new (POOL_PANE_TYPE, NULL);

  self->pool = g_object_ref (pool);
  self->box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 10);
  gtk_widget_set_size_request (self->box, 232, -1);
  gtk_widget_set_parent (self->box, GTK_WIDGET (self));

  append_title (self, "Jobs");
  append_numbers (self);
  append_title (self, "Workers");
  gtk_box_append (GTK_BOX (self->box), new_worker_list (self));
  append_event (self);
  append_button (self, "Kill a Worker", pool_pane_kill_worker);
  append_button (self, "Let a Worker Hang", pool_pane_hang_worker);
  append_button (self, "Flood the Queue", pool_pane_flood_queue);

  g_signal_connect (pool, "worker-exited", G_CALLBACK (worker_exited_cb), self);
  self->timer_id = g_timeout_add (INTERVAL, look_cb, self);
  look_cb (self);
  return GTK_WIDGET (self);
}
