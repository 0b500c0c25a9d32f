/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Functions that serve calls, for the tests of AForkRpc. */

#include <afork/afork.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

AFORK_WORKER_EXPORT GVariant *calls_echo      (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT GVariant *calls_do        (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT void      calls_later     (AForkCall *call, GVariant *args);
AFORK_WORKER_EXPORT gboolean  calls_init      (const AForkItem *items, gsize n_items,
                                               GError **error);
AFORK_WORKER_EXPORT gboolean  calls_init_fail (const AForkItem *items, gsize n_items,
                                               GError **error);
AFORK_WORKER_EXPORT gboolean  calls_init_no_threads (const AForkItem *items, gsize n_items,
                                                     GError **error);
AFORK_WORKER_EXPORT void      calls_done      (void);

/* The arguments of the init-function. */
static GString *greeting;

GVariant *
calls_echo (AForkCall  *call,
            GVariant   *args,
            GError    **error)
{
  return g_variant_ref (args);
}

/* Sleeps until the call is cancelled, and sends that. */
static GVariant *
await_cancellation (AForkCall *call)
{
  GCancellable *cancellable = afork_call_get_cancellable (call);
  GPollFD entry;

  if (g_cancellable_make_pollfd (cancellable, &entry))
    {
      g_poll (&entry, 1, -1);
      g_cancellable_release_fd (cancellable);
    }

  afork_worker_emit (g_variant_new_string ("noticed"));
  return NULL;
}

static GVariant *
return_fds (AForkCall *call)
{
  g_autoptr(GUnixFDList) list = g_unix_fd_list_new ();
  int fds[2];

  if (pipe (fds) < 0)
    abort ();
  if (write (fds[1], "from the worker", 15) != 15)
    abort ();
  g_unix_fd_list_append (list, fds[0], NULL);
  close (fds[0]);
  close (fds[1]);
  afork_call_return_value (call, g_variant_new ("(h)", 0), list);
  return NULL;
}

/* Reads a byte from each descriptor. */
static GVariant *
read_fds (AForkCall *call)
{
  g_autoptr(GString) text = g_string_new (NULL);
  const int *fds;
  int n_fds;

  fds = g_unix_fd_list_peek_fds (afork_call_get_fds (call), &n_fds);
  for (int i = 0; i < n_fds; i++)
    {
      char byte;

      if (pread (fds[i], &byte, 1, i) == 1)
        g_string_append_c (text, byte);
    }

  return g_variant_new_string (text->str);
}

static GVariant *
reverse_blobs (AForkCall *call)
{
  gsize n_blobs, total = 0;
  GBytes **blobs = afork_call_get_blobs (call, &n_blobs);

  for (gsize i = n_blobs; i > 0; i--)
    {
      total += g_bytes_get_size (blobs[i - 1]);
      afork_call_add_result_blob (call, blobs[i - 1]);
    }

  return g_variant_new_uint64 (total);
}

/* Does what the first string says, with the number. */
GVariant *
calls_do (AForkCall  *call,
          GVariant   *args,
          GError    **error)
{
  const char *what;
  guint32 number;

  g_variant_get (args, "(&su)", &what, &number);
  if (g_str_equal (what, "report"))
    {
      for (guint32 i = 0; i < number; i++)
        {
          afork_call_report (call, g_variant_new_uint32 (i));
          afork_worker_emit (g_variant_new_uint32 (i));
        }
      return g_variant_new_uint32 (number);
    }
  if (g_str_equal (what, "error"))
    {
      g_set_error (error, G_IO_ERROR, (int) number, "the worker says no");
      return NULL;
    }
  if (g_str_equal (what, "own-error"))
    {
      g_set_error (error, g_quark_from_string ("calls-error-quark"), 7, "of a strange domain");
      return NULL;
    }
  if (g_str_equal (what, "greeting"))
    return g_variant_new_string (greeting != NULL ? greeting->str : "none");
  if (g_str_equal (what, "exit"))
    {
      fprintf (stderr, "about to exit\n");
      exit ((int) number);
    }
  if (g_str_equal (what, "signal"))
    {
      fprintf (stderr, "first line\nabout to die\n");
      raise ((int) number);
    }
  if (g_str_equal (what, "twice"))
    {
      afork_call_return_value (call, g_variant_new_uint32 (1), NULL);
      g_log_set_always_fatal (G_LOG_FATAL_MASK);
      return g_variant_new_uint32 (2);
    }
  if (g_str_equal (what, "unit"))
    return NULL;
  if (g_str_equal (what, "wait"))
    return await_cancellation (call);
  if (g_str_equal (what, "stuck"))
    for (;;)
      pause ();
  if (g_str_equal (what, "fds"))
    return return_fds (call);
  if (g_str_equal (what, "read-fds"))
    return read_fds (call);
  if (g_str_equal (what, "reverse-blobs"))
    return reverse_blobs (call);
  if (g_str_equal (what, "bytes"))
    {
      g_autofree guint8 *bytes = g_malloc (number);

      memset (bytes, 'x', number);
      return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, number, 1);
    }
  if (g_str_equal (what, "close"))
    {
      /* The worker has no socket besides its own and the standard descriptors. */
      for (int fd = 3; fd < 64; fd++)
        close (fd);
      for (;;)
        pause ();
    }
  if (g_str_equal (what, "pid"))
    return g_variant_new_uint32 ((guint32) getpid ());

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "unknown: %s", what);
  return NULL;
}

static gboolean
answer_cb (gpointer data)
{
  g_autoptr(AForkCall) call = data;

  afork_call_return_value (call, g_object_get_data (G_OBJECT (call), "value"), NULL);
  return G_SOURCE_REMOVE;
}

static gpointer
answer_thread (gpointer data)
{
  answer_cb (data);
  return NULL;
}

static void
cancelled_cb (GCancellable *cancellable,
              gpointer      data)
{
  g_autoptr(GError) error = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "noticed");

  afork_worker_emit (g_variant_new_string ("noticed"));
  afork_call_return_error (data, error);
  g_object_unref (data);
}

/* (what, milliseconds). */
void
calls_later (AForkCall *call,
             GVariant  *args)
{
  const char *what;
  guint32 number;

  g_variant_get (args, "(&su)", &what, &number);
  g_object_set_data_full (G_OBJECT (call), "value",
                          g_variant_ref_sink (g_variant_new_uint32 (number)),
                          (GDestroyNotify) g_variant_unref);
  if (g_str_equal (what, "after"))
    g_timeout_add (number, answer_cb, g_object_ref (call));
  else if (g_str_equal (what, "thread"))
    g_thread_unref (g_thread_new ("answer", answer_thread, g_object_ref (call)));
  else if (g_str_equal (what, "now"))
    afork_call_return_value (call, g_variant_new_uint32 (number), NULL);
  else if (g_str_equal (what, "never"))
    g_object_ref (call);
  else if (g_str_equal (what, "drop"))
    return;
  else if (g_str_equal (what, "wait"))
    g_cancellable_connect (afork_call_get_cancellable (call), G_CALLBACK (cancelled_cb),
                           g_object_ref (call), NULL);
  else if (g_str_equal (what, "report"))
    {
      for (guint32 i = 0; i < number; i++)
        afork_call_report (call, g_variant_new_uint32 (i));
      afork_call_return_value (call, g_variant_new_uint32 (number), NULL);
    }
  else if (g_str_equal (what, "bytes"))
    {
      g_autofree guint8 *bytes = g_malloc0 (number);

      afork_call_return_value (call, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, number,
                                                                1), NULL);
    }
  else if (g_str_equal (what, "exit"))
    exit ((int) number);
}

gboolean
calls_init (const AForkItem  *items,
            gsize             n_items,
            GError          **error)
{
  greeting = g_string_new (NULL);
  for (gsize i = 0; i < n_items; i++)
    if (items[i].kind == AFORK_ITEM_BYTES)
      g_string_append_len (greeting, items[i].data, (gssize) items[i].size);

  afork_worker_emit (g_variant_new_string ("init"));
  return TRUE;
}

gboolean
calls_init_fail (const AForkItem  *items,
                 gsize             n_items,
                 GError          **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "the data are not there");
  return FALSE;
}

/* From now on, starting a thread fails with the error that is the first item. */
gboolean
calls_init_no_threads (const AForkItem  *items,
                       gsize             n_items,
                       GError          **error)
{
  const guint32 number = (guint32) atoi (items[0].data);
  struct sock_filter filter[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | number),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = { G_N_ELEMENTS (filter), filter };

  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
      && syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0)
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "No system calls can be refused here");
  return FALSE;
}

void
calls_done (void)
{
  afork_worker_emit (g_variant_new_string ("done"));
}
