/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Functions that serve calls and do what the caller writes: a script is a string of steps with
 * spaces between them, each a letter and perhaps a number.
 *
 *   eN pN rN  emit an event, report progress, answer: with that number, or for + with the number of
 *             such messages that were sent before
 *   EN PN RN  the same with a large value
 *   x X Y     answer with an error: of GIO, of a domain of this module, of AFork
 *   l         get the cancellable of the call
 *   f         from here on warnings are not fatal
 *   c         wait until the call is cancelled
 *   g         wait until no process has the other end of the first descriptor
 *   G         the same, without doing anything else meanwhile
 *   wN        wait N milliseconds
 *   t         continue in a thread (many calls at a time)
 *   T         continue in a thread that waits as `g` does, instead of here (one at a time)
 *   n         never answer (many calls at a time)
 *   o         write a line to standard error output, with its number
 *   F         make a child that exits, and wait for it
 *   s b       sleep, be busy, for ever
 *   qN kN     exit with that status, be killed by that signal, after a word on standard error
 *             output
 *
 * A script that ends without an answer answers with `()` if one call is served at a time; if many
 * are, it drops the call. */

#include <afork/afork.h>

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LARGE = 200 * 1000 };

typedef struct
{
  AForkCall  *call;
  char      **steps;
  char      **next;
  gboolean    blocks;           /* waits in place */
} Script;

AFORK_WORKER_EXPORT GVariant *script_sequential (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT void      script_concurrent (AForkCall *call, GVariant *args);
AFORK_WORKER_EXPORT gboolean  script_init       (const AForkItem *items, gsize n_items,
                                                 GError **error);
AFORK_WORKER_EXPORT void      script_done       (void);
AFORK_WORKER_EXPORT void      script_done_large (void);
AFORK_WORKER_EXPORT void      script_done_slow  (void);
AFORK_WORKER_EXPORT void      script_done_usage (void);

static GMutex lock;             /* protects numbers that are sent in order */
static guint32 n_sent;
static int report_fd;

static Script *
script_new (AForkCall *call,
            GVariant  *args,
            gboolean   blocks)
{
  Script *self = g_new0 (Script, 1);

  self->call = g_object_ref (call);
  self->steps = g_strsplit (g_variant_get_string (args, NULL), " ", -1);
  self->next = self->steps;
  self->blocks = blocks;
  return self;
}

static void
script_free (Script *self)
{
  g_object_unref (self->call);
  g_strfreev (self->steps);
  g_free (self);
}

static GVariant *
new_value (guint32  number,
           gboolean large)
{
  g_autofree guint8 *bytes = NULL;

  if (!large)
    return g_variant_new_uint32 (number);

  bytes = g_malloc (LARGE);
  memset (bytes, (int) number, LARGE);
  return g_variant_new ("(u@ay)", number,
                        g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, LARGE, 1));
}

static void
send_value (AForkCall  *call,
            const char *step)
{
  gboolean numbered = step[1] == '+';
  GVariant *value;

  if (numbered)
    g_mutex_lock (&lock);
  value = new_value (numbered ? n_sent++ : (guint32) atoi (step + 1), g_ascii_isupper (step[0]));
  switch (g_ascii_tolower (step[0]))
    {
    case 'e':
      afork_worker_emit (value);
      break;
    case 'p':
      afork_call_report (call, value);
      break;
    default:
      afork_call_return_value (call, value, NULL);
    }
  if (numbered)
    g_mutex_unlock (&lock);
}

static GError *
new_error (char kind)
{
  switch (kind)
    {
    case 'x':
      return g_error_new (G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "the worker says no");
    case 'X':
      return g_error_new (g_quark_from_string ("script-error-quark"), 7, "of its own domain");
    default:
      return g_error_new (AFORK_ERROR, AFORK_ERROR_OVERLOADED, "of AFork's domain");
    }
}

static int
get_gate (AForkCall *call)
{
  return g_unix_fd_list_peek_fds (afork_call_get_fds (call), NULL)[0];
}

static void
await_gate (AForkCall *call)
{
  char byte;

  while (read (get_gate (call), &byte, 1) > 0)
    ;
}

/* Steps that are done in place. */
static void
do_step (AForkCall  *call,
         const char *step)
{
  static guint n_lines;
  int number = atoi (step + 1);

  switch (step[0])
    {
    case 'x':
    case 'X':
    case 'Y':
      {
        g_autoptr(GError) error = new_error (step[0]);

        afork_call_return_error (call, error);
        break;
      }
    case 'G':
      await_gate (call);
      break;
    case 'n':
      break;
    case 'l':
      afork_call_get_cancellable (call);
      break;
    case 'f':
      g_log_set_always_fatal (G_LOG_FATAL_MASK);
      break;
    case 'o':
      fprintf (stderr, "line %u\n", ++n_lines);
      break;
    case 'F':
      if (fork () == 0)
        exit (0);
      wait (NULL);
      break;
    case 'q':
      fprintf (stderr, "about to exit\n");
      exit (number);
    case 'k':
      fprintf (stderr, "about to die\n");
      raise (number);
      break;
    case 's':
      for (;;)
        pause ();
    case 'b':
      for (volatile guint n_turns = 0;; n_turns++)
        ;
    default:
      send_value (call, step);
    }
}

static void
await_cancellation (AForkCall *call)
{
  GCancellable *cancellable = afork_call_get_cancellable (call);
  GPollFD entry;

  if (!g_cancellable_make_pollfd (cancellable, &entry))
    abort ();
  g_poll (&entry, 1, -1);
  g_cancellable_release_fd (cancellable);
}

static void go_on (Script *self);

static gpointer
script_thread (gpointer data)
{
  go_on (data);
  return NULL;
}

static gpointer
gated_thread (gpointer data)
{
  Script *self = data;

  await_gate (self->call);
  go_on (self);
  return NULL;
}

static gboolean
go_on_cb (gpointer data)
{
  go_on (data);
  return G_SOURCE_REMOVE;
}

static gboolean
gate_cb (int          fd,
         GIOCondition condition,
         gpointer     data)
{
  go_on (data);
  return G_SOURCE_REMOVE;
}

static void
cancelled_cb (GCancellable *cancellable,
              gpointer      data)
{
  g_idle_add (go_on_cb, data);
}

/* Begins to wait. Returns whether it waits, and the script continues later. */
static gboolean
wait_step (Script     *self,
           const char *step)
{
  switch (step[0])
    {
    case 'w':
      g_timeout_add ((guint) atoi (step + 1), go_on_cb, self);
      return TRUE;
    case 'g':
      g_unix_fd_add (get_gate (self->call), G_IO_HUP, gate_cb, self);
      return TRUE;
    case 'c':
      g_cancellable_connect (afork_call_get_cancellable (self->call), G_CALLBACK (cancelled_cb),
                             self, NULL);
      return TRUE;
    case 't':
      self->blocks = TRUE;
      g_thread_unref (g_thread_new ("script", script_thread, self));
      return TRUE;
    case 'n':
      return TRUE;
    default:
      return FALSE;
    }
}

static gboolean
wait_step_blocking (Script     *self,
                    const char *step)
{
  switch (step[0])
    {
    case 'w':
      g_usleep ((gulong) atoi (step + 1) * 1000);
      return TRUE;
    case 'g':
      await_gate (self->call);
      return TRUE;
    case 'c':
      await_cancellation (self->call);
      return TRUE;
    default:
      return FALSE;
    }
}

/* Does the remaining steps. Frees the script after the last one. */
static void
go_on (Script *self)
{
  while (*self->next != NULL)
    {
      const char *step = *self->next++;

      if (step[0] == '\0' || (self->blocks && wait_step_blocking (self, step)))
        continue;
      if (self->blocks && step[0] == 'T')
        {
          g_thread_unref (g_thread_new ("script", gated_thread, self));
          return;
        }
      if (!self->blocks && wait_step (self, step))
        return;
      do_step (self->call, step);
    }

  script_free (self);
}

GVariant *
script_sequential (AForkCall  *call,
                   GVariant   *args,
                   GError    **error)
{
  go_on (script_new (call, args, TRUE));
  return NULL;
}

void
script_concurrent (AForkCall *call,
                   GVariant  *args)
{
  go_on (script_new (call, args, FALSE));
}

static gboolean
do_init_script (const char  *text,
                GError     **error)
{
  g_auto(GStrv) steps = g_strsplit (text, " ", -1);

  for (guint i = 0; steps[i] != NULL; i++)
    {
      if (g_ascii_tolower (steps[i][0]) == 'x' || steps[i][0] == 'Y')
        {
          g_propagate_error (error, new_error (steps[i][0]));
          return FALSE;
        }
      if (steps[i][0] == 'w')
        g_usleep ((gulong) atoi (steps[i] + 1) * 1000);
      else
        do_step (NULL, steps[i]);
    }

  return TRUE;
}

/* The items are scripts, without a call, and perhaps a descriptor for script_done_usage(). */
gboolean
script_init (const AForkItem  *items,
             gsize             n_items,
             GError          **error)
{
  for (gsize i = 0; i < n_items; i++)
    if (items[i].kind == AFORK_ITEM_FD)
      report_fd = items[i].fd;
    else if (!do_init_script (items[i].data, error))
      return FALSE;

  return TRUE;
}

void
script_done (void)
{
  afork_worker_emit (g_variant_new_string ("done"));
}

/* The report does not fit into the socket. */
void
script_done_large (void)
{
  for (guint i = 0; i < 10; i++)
    do_step (NULL, "E1");
  script_done ();
}

void
script_done_slow (void)
{
  g_usleep (6 * G_USEC_PER_SEC);
  script_done ();
}

/* Writes the CPU time of this process, in microseconds. */
void
script_done_usage (void)
{
  struct rusage usage;

  getrusage (RUSAGE_SELF, &usage);
  dprintf (report_fd, "used %ld\n",
           (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000
           + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}
