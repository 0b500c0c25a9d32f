/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A module of GIO that records when a GTK program has painted a frame. The program needs no change,
 * whatever its language is: GIO loads all modules in GIO_EXTRA_MODULES.
 *
 * The file FRAME_TIMES is made, and must not be there before. It has numbers of 64 bits: how many
 * frames follow, and for each of them the monotonic time in microseconds. They are written by way
 * of shared memory, so they are there however the program ends.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gio/gio.h>

/* More than an hour of 60 frames a second. */
#define MAX_FRAMES (1 << 18)
#define FILE_SIZE ((1 + MAX_FRAMES) * sizeof (gint64))
#define POLL_INTERVAL 5 /* ms */

static volatile gint64 *frames;
static gpointer first_clock;

/* Of the window that has painted first. */
static gboolean
painted_cb (GSignalInvocationHint *hint G_GNUC_UNUSED,
            guint                  n_values G_GNUC_UNUSED,
            const GValue          *values,
            gpointer               data G_GNUC_UNUSED)
{
  gpointer clock = g_value_get_object (values);

  if (first_clock == NULL)
    first_clock = clock;
  if (clock == first_clock && frames[0] < MAX_FRAMES)
    {
      frames[1 + frames[0]] = g_get_monotonic_time ();
      frames[0]++;
    }
  return TRUE;
}

/* The class is there when the program has opened its display. */
static gboolean
find_class_cb (gpointer data G_GNUC_UNUSED)
{
  GType type = g_type_from_name ("GdkFrameClock");

  if (type == G_TYPE_INVALID || g_type_class_peek (type) == NULL)
    return G_SOURCE_CONTINUE;

  g_signal_add_emission_hook (g_signal_lookup ("after-paint", type), 0, painted_cb, NULL, NULL);
  return G_SOURCE_REMOVE;
}

void
g_io_module_load (GIOModule *module)
{
  const char *path = g_getenv ("FRAME_TIMES");
  gpointer memory;
  int fd;

  /* Children that load the module as well have another program, or the file is there already. */
  if (path == NULL || (fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) == -1)
    return;

  g_unsetenv ("FRAME_TIMES");
  if (ftruncate (fd, FILE_SIZE) == -1)
    g_error ("%s cannot be made as large as needed", path);
  memory = mmap (NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED)
    g_error ("%s cannot be mapped", path);
  close (fd);

  /* GIO would unload it at once. */
  g_type_module_use (G_TYPE_MODULE (module));
  frames = memory;
  g_timeout_add (POLL_INTERVAL, find_class_cb, NULL);
}

void
g_io_module_unload (GIOModule *module G_GNUC_UNUSED)
{
}
