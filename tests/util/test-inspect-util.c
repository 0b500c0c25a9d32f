/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "test-inspect-util.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void
inspection_begin (Inspection   *self,
                  AForkProcess *process)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  gsize size;

  self->process = g_object_ref (process);
  self->connection = run_process_ok (process, "inspect");
  self->report = g_key_file_new ();
  text = read_to_end (self->connection, &size);
  g_key_file_load_from_data (self->report, text, size, G_KEY_FILE_NONE, &error);
  g_assert_no_error (error);
}

void
inspection_end (Inspection *self)
{
  finish_process (self->process, self->connection);
  g_object_unref (self->process);
  g_object_unref (self->connection);
  g_key_file_unref (self->report);
}

int
inspection_get_integer (Inspection *self,
                        const char *group,
                        const char *key)
{
  g_autoptr(GError) error = NULL;
  int value = g_key_file_get_integer (self->report, group, key, &error);

  g_assert_no_error (error);
  return value;
}

void
inspection_assert_value (Inspection *self,
                         const char *group,
                         const char *key,
                         const char *expected)
{
  g_autofree char *value = g_key_file_get_value (self->report, group, key, NULL);

  g_assert_cmpstr (value, ==, expected);
}

guint64
inspection_get_file (Inspection *self,
                     int         fd,
                     gboolean   *close_on_exec)
{
  g_autofree char *key = g_strdup_printf ("%d", fd);
  gsize n_strings = 0;
  g_auto(GStrv) strings = NULL;

  strings = g_key_file_get_string_list (self->report, "descriptors", key, &n_strings, NULL);
  if (strings == NULL)
    return 0;

  g_assert_cmpuint (n_strings, ==, 2);
  if (close_on_exec != NULL)
    *close_on_exec = atoi (strings[1]) != 0;
  return g_ascii_strtoull (strings[0], NULL, 10);
}

guint64
get_inode (int fd)
{
  struct stat status;

  g_assert_no_errno (fstat (fd, &status));
  return status.st_ino;
}

void
inspection_assert_item (Inspection *self,
                        guint       index,
                        int         fd)
{
  g_autofree char *key = g_strdup_printf ("%u", index);
  gboolean close_on_exec;

  g_assert_cmpuint (inspection_get_file (self, inspection_get_integer (self, "items", key),
                                         &close_on_exec), ==,
                    get_inode (fd));
  g_assert_true (close_on_exec);
}

void
inspection_assert_descriptors (Inspection *self,
                               guint       n_others)
{
  g_auto(GStrv) descriptors = NULL;
  g_auto(GStrv) items = NULL;
  g_autofree char *all = NULL;
  gboolean close_on_exec;
  gsize n_descriptors, n_items;

  descriptors = g_key_file_get_keys (self->report, "descriptors", &n_descriptors, NULL);
  items = g_key_file_get_keys (self->report, "items", &n_items, NULL);
  all = g_strjoinv (" ", descriptors);
  g_test_message ("Descriptors %s, the socket being %d", all,
                  inspection_get_integer (self, "process", "socket"));

  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    {
      g_assert_cmpuint (inspection_get_file (self, fd, &close_on_exec), !=, 0);
      g_assert_false (close_on_exec);
    }
  g_assert_cmpuint (inspection_get_file (self, inspection_get_integer (self, "process", "socket"),
                                         &close_on_exec), !=, 0);
  g_assert_true (close_on_exec);
  g_assert_cmpuint (n_descriptors, ==, 4 + n_items + n_others);
}

void
assert_clean (AForkProcess *process)
{
  Inspection inspection;

  inspection_begin (&inspection, process);
  inspection_assert_descriptors (&inspection, 0);
  inspection_end (&inspection);
}

int
open_file (void)
{
  int fd = memfd_create ("child", MFD_CLOEXEC);

  g_assert_no_errno (fd);
  return fd;
}

char *
get_report (AForkProcess *process,
            const char   *group,
            const char   *key)
{
  g_autofree char *text = NULL;
  g_autoptr(GKeyFile) report = g_key_file_new ();
  g_autoptr(GError) error = NULL;

  /* A string names a variable to be reported. */
  afork_process_send_arg (process, key);
  afork_process_require (process, "inspect");
  text = run_to_end (process, "inspect");
  g_key_file_load_from_data (report, text, strlen (text), G_KEY_FILE_NONE, &error);
  g_assert_no_error (error);
  return g_key_file_get_value (report, group, key, NULL);
}

void
assert_report (AForkProcess *process,
               const char   *group,
               const char   *key,
               const char   *expected)
{
  g_autofree char *value = get_report (process, group, key);

  g_assert_cmpstr (value, ==, expected);
}
