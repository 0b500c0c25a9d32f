/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "worker.h"

#include <fcntl.h>
#include <gdk-pixbuf/gdk-pixbuf.h>
#include <unistd.h>

#ifdef __GLIBC__
# include <malloc.h>
#endif

#define HEAP_STEP (1024 * 1024)          /* bytes that the heap grows by */
#define HEAP_FREE (16 * 1024 * 1024)     /* free bytes at its end that are not given back */

/* The libraries of a loader stay loaded. Its close warns that it got no picture. */
static void
load_format (GdkPixbufFormat *format)
{
  g_autofree char *name = gdk_pixbuf_format_get_name (format);
  g_autoptr(GdkPixbufLoader) loader = gdk_pixbuf_loader_new_with_type (name, NULL);

  if (loader != NULL)
    gdk_pixbuf_loader_close (loader, NULL);
}

/* Some code is loaded at the first use: that which detects the type of a file, and that which
 * converts texts for a PNG file. */
static void
rehearse (void)
{
  g_autoptr(GdkPixbuf) pixel = gdk_pixbuf_new (GDK_COLORSPACE_RGB, FALSE, 8, 1, 1);
  g_autoptr(GdkPixbufLoader) loader = gdk_pixbuf_loader_new ();
  g_autofree char *png = NULL;
  gsize size;

  gdk_pixbuf_fill (pixel, 0x000000ff);
  if (gdk_pixbuf_save_to_buffer (pixel, &png, &size, "png", NULL, "tEXt::Comment", "none", NULL))
    gdk_pixbuf_loader_write (loader, (const guchar *) png, size, NULL);
  gdk_pixbuf_loader_close (loader, NULL);
}

/* What the decoders have to say is lost from now on. */
static void
be_quiet (void)
{
  int fd = open ("/dev/null", O_WRONLY | O_CLOEXEC);

  if (fd < 0)
    return;

  dup2 (fd, STDERR_FILENO);
  close (fd);
}

/* A picture takes and returns some hundred kilobytes, several times. Without this, the heap grows
 * and shrinks each time, and its pages are zeroed again. */
static void
keep_heap (void)
{
#ifdef __GLIBC__
  mallopt (M_MMAP_THRESHOLD, HEAP_STEP);
  mallopt (M_TOP_PAD, HEAP_STEP);
  mallopt (M_TRIM_THRESHOLD, HEAP_FREE);
#endif
}

void
prepare (int                 argc,
         const char * const *argv)
{
  g_autoptr(GSList) formats = NULL;

  if (argc > 0 && g_str_equal (argv[0], "quiet"))
    be_quiet ();

  keep_heap ();
  formats = gdk_pixbuf_get_formats ();
  for (GSList *l = formats; l != NULL; l = l->next)
    load_format (l->data);

  rehearse ();
}
