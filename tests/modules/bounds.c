/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Functions that serve calls, for tests of large, slow and many calls. */

#include <afork/afork.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../util/zeros.h"

AFORK_WORKER_EXPORT GVariant *bounds_size  (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT GVariant *bounds_do    (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT void      bounds_later (AForkCall *call, GVariant *args);

/* Descriptors and blobs of the caller that are kept. */
static GPtrArray *kept;

GVariant *
bounds_size (AForkCall  *call,
             GVariant   *args,
             GError    **error)
{
  return g_variant_new_uint64 (g_variant_get_size (args));
}

static GVariant *
new_text_value (gsize size)
{
  g_autofree char *text = g_malloc (size);

  memset (text, 'x', size);
  return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, text, size, 1);
}

/* Variants in variants. */
static GVariant *
new_deep (guint32 depth)
{
  GVariant *value = g_variant_new_byte (7);

  for (guint32 i = 0; i < depth; i++)
    value = g_variant_new_variant (value);
  return value;
}

/* That many descriptors, all of the same file. */
static void
return_fds (AForkCall *call,
            guint32    n_fds,
            gboolean   with_closed)
{
  g_autoptr(GUnixFDList) list = NULL;
  g_autofree int *fds = g_new (int, n_fds);

  for (guint32 i = 0; i < n_fds; i++)
    {
      fds[i] = dup (STDIN_FILENO);
      if (fds[i] < 0)
        abort ();
    }
  if (with_closed)
    close (fds[n_fds - 1]);
  list = g_unix_fd_list_new_from_array (fds, (int) n_fds);
  afork_call_return_value (call, g_variant_new_uint32 (n_fds), list);
  /* The list would close descriptors that belong to other code by now. */
  if (with_closed)
    {
      int n_stolen;
      g_autofree int *stolen = g_unix_fd_list_steal_fds (list, &n_stolen);

      for (int i = 0; i + 1 < n_stolen; i++)
        close (stolen[i]);
    }
}

/* Returns what came, in reverse order. */
static GVariant *
reverse (AForkCall *call)
{
  GUnixFDList *list = afork_call_get_fds (call);
  g_autoptr(GUnixFDList) back = g_unix_fd_list_new ();
  const int *fds = NULL;
  int n_fds = 0;
  gsize n_blobs;
  GBytes **blobs = afork_call_get_blobs (call, &n_blobs);

  if (list != NULL)
    fds = g_unix_fd_list_peek_fds (list, &n_fds);
  for (int i = n_fds; i > 0; i--)
    if (g_unix_fd_list_append (back, fds[i - 1], NULL) < 0)
      abort ();
  for (gsize i = n_blobs; i > 0; i--)
    afork_call_add_result_blob (call, blobs[i - 1]);

  afork_call_return_value (call, g_variant_new ("(iu)", n_fds, (guint32) n_blobs), back);
  return NULL;
}

/* How many segments this process has mapped. */
static GVariant *
count_segments (void)
{
  g_autofree char *maps = NULL;
  guint32 n_segments = 0;

  if (!g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL))
    abort ();
  for (char *at = maps; (at = strstr (at, "memfd:afork-blob")) != NULL; at++)
    n_segments++;
  return g_variant_new_uint32 (n_segments);
}

static void
keep_blobs (AForkCall *call)
{
  gsize n_blobs;
  GBytes **blobs = afork_call_get_blobs (call, &n_blobs);

  if (kept == NULL)
    kept = g_ptr_array_new ();
  for (gsize i = 0; i < n_blobs; i++)
    g_ptr_array_add (kept, g_bytes_ref (blobs[i]));
}

/* The first byte of each blob that was kept. */
static GVariant *
recite_kept (void)
{
  g_autoptr(GString) text = g_string_new (NULL);

  for (guint i = 0; kept != NULL && i < kept->len; i++)
    g_string_append_c (text, *(const char *) g_bytes_get_data (kept->pdata[i], NULL));
  return g_variant_new_string (text->str);
}

/* Sends progress and events of 1000 bytes each, and writes how many into the memory of the
 * caller. */
static GVariant *
flood (AForkCall *call,
       guint32    n_both)
{
  int fd = g_unix_fd_list_peek_fds (afork_call_get_fds (call), NULL)[0];
  guint32 *count = mmap (NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  if (count == MAP_FAILED)
    abort ();
  for (guint32 i = 0; i < n_both; i++)
    {
      afork_call_report (call, g_variant_new ("(u@ay)", i, new_text_value (1000)));
      afork_worker_emit (g_variant_new ("(u@ay)", i, new_text_value (1000)));
      g_atomic_int_set ((gint *) count, (gint) i + 1);
    }

  munmap (count, sizeof *count);
  return new_text_value (16 * 1024 * 1024);
}

/* Waits until the caller has closed the other end of the pipe that it has sent. */
static GVariant *
hold (AForkCall *call)
{
  int fd = g_unix_fd_list_peek_fds (afork_call_get_fds (call), NULL)[0];
  char byte;

  while (read (fd, &byte, 1) > 0)
    ;
  return NULL;
}

static void
write_all (const char *text,
           gsize       size)
{
  while (size > 0)
    {
      gssize n_written = write (STDERR_FILENO, text, size);

      if (n_written < 0)
        _exit (99);
      text += n_written;
      size -= (gsize) n_written;
    }
}

/* Writes without end; after some of it, a byte to BEGUN. */
G_GNUC_NORETURN static void
write_for_ever (int begun)
{
  char byte = 0;

  for (guint i = 0;; i++)
    {
      write_all ("and on\n", 7);
      if (i == 10 && write (begun, &byte, 1) != 1)
        abort ();
    }
}

/* Makes a child that keeps the descriptors of this process, and stays until the caller has closed
 * its end of the pipe. If FLOODS, it writes without end, and has begun when this returns. */
static void
leave_child (AForkCall *call,
             gboolean   floods)
{
  int fd = g_unix_fd_list_peek_fds (afork_call_get_fds (call), NULL)[0];
  int begun[2];
  pid_t pid;
  char byte = 0;

  if (pipe (begun) < 0 || (pid = fork ()) < 0)
    abort ();
  if (pid > 0)
    {
      close (begun[1]);
      if (floods && read (begun[0], &byte, 1) != 1)
        abort ();
      return;
    }

  if (floods)
    write_for_ever (begun[1]);
  while (read (fd, &byte, 1) > 0)
    ;
  _exit (0);
}

static void
write_lines (guint32 n_lines)
{
  for (guint32 i = 0; i < n_lines; i++)
    fprintf (stderr, "line %u\n", i);
}

/* Writes what the first string says, and exits. */
static void
write_and_end (AForkCall  *call,
               const char *what,
               guint32     number)
{
  if (g_str_equal (what, "lines"))
    write_lines (number);
  else if (g_str_equal (what, "line"))
    {
      g_autofree char *line = g_malloc (number);

      memset (line, 'l', number);
      line[0] = '<';
      line[number - 1] = '>';
      write_all (line, number);
    }
  else if (g_str_equal (what, "binary"))
    for (guint32 i = 0; i < number; i++)
      write_all ((const char[]) { (char) i }, 1);
  else if (g_str_equal (what, "child") || g_str_equal (what, "child-floods"))
    {
      write_all ("it has a child\n", 15);
      leave_child (call, g_str_equal (what, "child-floods"));
    }

  _exit (5);
}

/* Does what the first string says, with the number. Does nothing if it begins with an “x”. */
GVariant *
bounds_do (AForkCall  *call,
           GVariant   *args,
           GError    **error)
{
  const char *what;
  guint32 number;

  /* A refused call is only a warning. */
  g_log_set_always_fatal (G_LOG_FATAL_MASK);

  g_variant_get (args, "(&su)", &what, &number);
  if (g_str_equal (what, "value"))
    return new_zeros_value (number);
  if (g_str_equal (what, "deep"))
    return new_deep (number);
  if (g_str_equal (what, "report-deep"))
    afork_call_report (call, new_deep (number));
  else if (g_str_equal (what, "emit-deep"))
    afork_worker_emit (new_deep (number));
  else if (g_str_equal (what, "report-value"))
    afork_call_report (call, new_zeros_value (number));
  else if (g_str_equal (what, "emit-value"))
    afork_worker_emit (new_zeros_value (number));
  else if (g_str_equal (what, "fds"))
    return_fds (call, number, FALSE);
  else if (g_str_equal (what, "closed-fd"))
    return_fds (call, number, TRUE);
  else if (g_str_equal (what, "reverse"))
    return reverse (call);
  else if (g_str_equal (what, "blobs"))
    {
      g_autoptr(GBytes) blob = g_bytes_new_static ("blob", 4);

      for (guint32 i = 0; i < number; i++)
        afork_call_add_result_blob (call, blob);
    }
  else if (g_str_equal (what, "large-blobs"))
    {
      g_autoptr(GBytes) blob = new_zeros (64 * 1024 * 1024);

      for (guint32 i = 0; i < number; i++)
        afork_call_add_result_blob (call, blob);
    }
  else if (g_str_equal (what, "text"))
    {
      g_autofree char *text = g_malloc (number + 1);

      memset (text, 't', number);
      text[number] = '\0';
      g_set_error_literal (error, AFORK_ERROR, AFORK_ERROR_FAILED, text);
      return NULL;
    }
  else if (g_str_equal (what, "keep"))
    keep_blobs (call);
  else if (g_str_equal (what, "kept"))
    return recite_kept ();
  else if (g_str_equal (what, "segments"))
    return count_segments ();
  else if (g_str_equal (what, "flood"))
    return flood (call, number);
  else if (g_str_equal (what, "hold"))
    return hold (call);
  else if (g_str_equal (what, "number"))
    return g_variant_new_uint32 (number);
  else if (g_str_equal (what, "nap"))
    g_usleep (number);
  else if (g_str_equal (what, "write-lines"))
    write_lines (number);
  else if (*what != 'x')
    write_and_end (call, what, number);

  return NULL;
}

static gboolean
reverse_cb (gpointer data)
{
  g_autoptr(AForkCall) call = data;

  reverse (call);
  return G_SOURCE_REMOVE;
}

/* (what, number). */
void
bounds_later (AForkCall *call,
              GVariant  *args)
{
  const char *what;
  guint32 number;

  g_variant_get (args, "(&su)", &what, &number);
  if (g_str_equal (what, "reverse"))
    g_timeout_add (number, reverse_cb, g_object_ref (call));
  else if (g_str_equal (what, "value"))
    afork_call_return_value (call, new_text_value (number), NULL);
  else if (g_str_equal (what, "number"))
    afork_call_return_value (call, g_variant_new_uint32 (number), NULL);
  else if (g_str_equal (what, "never"))
    g_object_ref (call);
}
