/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "progress.h"

#include "text.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_INTERVAL 50      /* milliseconds: people do not see more frequent changes */
#define DEFAULT_COLUMNS 80
#define SPARE_COLUMNS   3
#define MAX_BAR_COLUMNS 40
#define MIN_TIME        2       /* seconds, before which the rest cannot be estimated */

#define CLEAR_LINE      "\r\033[K"

struct _Progress
{
  guint    n_pictures;
  guint    n_finished;
  guint    n_failed;
  gint64   started;       /* microseconds of the monotonic clock */
  gboolean is_quiet;
  char    *name;          /* of the last picture that was finished */
  guint    redraw_id;     /* 0 if there is no terminal */
  gboolean changed;       /* since it was drawn */
};

/* The last few of these stay free: the terminal may add a ^C, and a line that wraps cannot be
 * cleared. */
static guint
get_columns (void)
{
  struct winsize size;
  guint columns = DEFAULT_COLUMNS;

  if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    columns = size.ws_col;

  return columns - MIN (columns, SPARE_COLUMNS);
}

/* The tip of the bar moves in eighths of a column if the terminal can show that. */
static char *
draw_bar (double fraction,
          guint  columns)
{
  static const char * const tips[] = { " ", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
  gboolean unicode = g_get_charset (NULL);
  guint eighths = fraction * columns * 8;
  GString *bar = g_string_new (NULL);

  for (guint i = 0; i < columns; i++)
    {
      guint filled = CLAMP ((int) (eighths - 8 * i), 0, 8);

      if (unicode)
        g_string_append (bar, filled == 8 ? "█" : tips[filled]);
      else
        g_string_append_c (bar, filled == 8 ? '#' : '.');
    }

  return g_string_free (bar, FALSE);
}

/* Returns the time that is left, if the rest takes as long as what is done. */
static char *
describe_rest (const Progress *self,
               double          seconds)
{
  guint rest = (guint) (seconds / MAX (self->n_finished, 1)
                        * (self->n_pictures - self->n_finished) + 0.5);

  if (seconds < MIN_TIME)
    return g_strdup ("");
  if (rest < 60)
    return g_strdup_printf (", %u s left", rest);

  return g_strdup_printf (", %u:%02u min left", rest / 60, rest % 60);
}

static char *
describe (const Progress *self)
{
  double seconds = (g_get_monotonic_time () - self->started) / (double) G_USEC_PER_SEC;
  g_autofree char *rest = describe_rest (self, seconds);
  g_autofree char *failed = self->n_failed > 0 ? g_strdup_printf (", %u failed", self->n_failed)
                                               : g_strdup ("");

  return g_strdup_printf (" %u/%u%s, %.0f/s%s  ", self->n_finished, self->n_pictures, failed,
                          self->n_finished / MAX (seconds, 0.001), rest);
}

static void
draw (Progress *self)
{
  guint columns = get_columns ();
  guint bar_columns = MIN (columns / 3, MAX_BAR_COLUMNS);
  g_autofree char *bar = draw_bar ((double) self->n_finished / self->n_pictures, bar_columns);
  g_autofree char *numbers = describe (self);
  g_autofree char *text = g_strconcat (bar, numbers, self->name, NULL);
  g_autofree char *line = text_ellipsize (text, columns);

  g_print (CLEAR_LINE "%s", line);
  fflush (stdout);
  self->changed = FALSE;
}

static gboolean
redraw_cb (gpointer user_data)
{
  Progress *self = user_data;

  if (self->changed)
    draw (self);

  return G_SOURCE_CONTINUE;
}

Progress *
progress_new (guint    n_pictures,
              gboolean is_quiet)
{
  Progress *self = g_new0 (Progress, 1);

  self->n_pictures = n_pictures;
  self->started = g_get_monotonic_time ();
  self->is_quiet = is_quiet;
  if (!is_quiet && isatty (STDOUT_FILENO))
    self->redraw_id = g_timeout_add (REDRAW_INTERVAL, redraw_cb, self);

  return self;
}

void
progress_free (Progress *self)
{
  if (self->redraw_id != 0)
    {
      g_print (CLEAR_LINE);
      fflush (stdout);
    }

  g_clear_handle_id (&self->redraw_id, g_source_remove);
  g_free (self->name);
  g_free (self);
}

static void
print_line (const Progress *self,
            const Picture  *picture)
{
  if (picture->outcome == PICTURE_FAILED)
    g_print ("failed %s: %s\n", picture->name, picture->error->message);
  else if (self->is_quiet)
    return;
  else if (picture->outcome == PICTURE_LEFT)
    g_print ("left %s: %s\n", picture->name, picture->error->message);
  else
    g_print ("%s %s\n", picture->outcome == PICTURE_REUSED ? "reused" : "done", picture->name);
}

void
progress_advance (Progress      *self,
                  const Picture *picture)
{
  self->n_finished++;
  self->n_failed += picture->outcome == PICTURE_FAILED;

  if (self->redraw_id == 0)
    {
      print_line (self, picture);
      return;
    }

  g_free (self->name);
  self->name = g_strdup (picture->name);
  self->changed = TRUE;
}
