/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Functions that serve jobs, for the tests of AForkPool. */

#include <afork/afork.h>

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

AFORK_WORKER_EXPORT GVariant *pool_do        (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT GVariant *pool_batch     (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT void      pool_later     (AForkCall *call, GVariant *args);
AFORK_WORKER_EXPORT GVariant *pool_script    (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT gboolean  pool_init_script (const AForkItem *items, gsize n_items,
                                                GError **error);
AFORK_WORKER_EXPORT gboolean  pool_init_fail (const AForkItem *items, gsize n_items,
                                              GError **error);
AFORK_WORKER_EXPORT gboolean  pool_init_exit (const AForkItem *items, gsize n_items,
                                              GError **error);
AFORK_WORKER_EXPORT gboolean  pool_init_trap (const AForkItem *items, gsize n_items,
                                              GError **error);
AFORK_WORKER_EXPORT gboolean  pool_init_kind (const AForkItem *items, gsize n_items,
                                              GError **error);
AFORK_WORKER_EXPORT gboolean  pool_init_few_fds (const AForkItem *items, gsize n_items,
                                                 GError **error);
AFORK_WORKER_EXPORT gboolean  pool_init_little_memory (const AForkItem *items, gsize n_items,
                                                       GError **error);
AFORK_WORKER_EXPORT void      pool_done_slow (void);
AFORK_WORKER_EXPORT void      pool_prepare   (int argc, const char * const *argv);

/* Sanitizers handle some signals, and exit. */
static void
end_by_signal (int number)
{
  signal (number, SIG_DFL);
  raise (number);
}

/* The number that the template has got in its environment. */
static guint32
get_kind (void)
{
  const char *kind = g_getenv ("KIND");

  return kind != NULL ? (guint32) g_ascii_strtoull (kind, NULL, 10) : 0;
}

static int
get_fd (AForkCall *call)
{
  return g_unix_fd_list_peek_fds (afork_call_get_fds (call), NULL)[0];
}

/* Waits until nobody has the other end of the job's descriptor. */
static void
await_gate (AForkCall *call)
{
  char byte;

  while (read (get_fd (call), &byte, 1) > 0)
    ;
}

static void
await_cancellation (AForkCall *call)
{
  GCancellable *cancellable = afork_call_get_cancellable (call);
  GPollFD entry;

  if (g_cancellable_make_pollfd (cancellable, &entry))
    {
      g_poll (&entry, 1, -1);
      g_cancellable_release_fd (cancellable);
    }
}

static void
ignore_cb (int number)
{
}

/* Waits until SIGTERM comes. A later one has no effect. */
static void
await_sigterm (void)
{
  sigset_t set, old;

  signal (SIGTERM, ignore_cb);
  sigemptyset (&set);
  sigaddset (&set, SIGTERM);
  sigprocmask (SIG_BLOCK, &set, &old);
  afork_worker_emit (g_variant_new_string ("waits"));
  sigsuspend (&old);
  sigprocmask (SIG_SETMASK, &old, NULL);
}

/* Uses so many MiB of memory until the worker exits. */
static void
grow (guint32 n_mib)
{
  static guint8 *memory;
  const gsize size = (gsize) n_mib << 20;

  memory = g_realloc (memory, size);
  memset (memory, 1, size);
}

/* Takes so many microseconds, and returns the pid and when that was. */
static GVariant *
take_time (guint32 usec)
{
  const gint64 begun = g_get_monotonic_time ();

  g_usleep (usec);
  return g_variant_new ("(uxx)", (guint32) getpid (), begun, g_get_monotonic_time ());
}

/* Does what the string says, with the number. The answer is the pid of the worker. */
GVariant *
pool_do (AForkCall  *call,
         GVariant   *args,
         GError    **error)
{
  const char *what;
  guint32 number;
  char byte;

  g_variant_get (args, "(&su)", &what, &number);
  if (g_str_equal (what, "echo"))
    return g_variant_new_uint32 (number);
  if (g_str_equal (what, "time"))
    return take_time (number);
  if (g_str_equal (what, "kind"))
    return g_variant_new_uint32 (get_kind ());
  if (g_str_equal (what, "sleep"))
    g_usleep (number * 1000);
  else if (g_str_equal (what, "emit"))
    afork_worker_emit (g_variant_new_uint32 (number));
  else if (g_str_equal (what, "error"))
    g_set_error (error, G_IO_ERROR, (int) number, "the worker says no");
  else if (g_str_equal (what, "exit"))
    _exit ((int) number);
  else if (g_str_equal (what, "signal"))
    end_by_signal ((int) number);
  else if (g_str_equal (what, "grow"))
    grow (number);
  else if (g_str_equal (what, "gate"))
    await_gate (call);
  else if (g_str_equal (what, "gate-kind"))
    {
      await_gate (call);
      return g_variant_new_uint32 (get_kind ());
    }
  else if (g_str_equal (what, "wait"))
    await_cancellation (call);
  else if (g_str_equal (what, "trap") && read (get_fd (call), &byte, 1) == 1)
    raise (SIGKILL);
  else if (g_str_equal (what, "until-sigterm"))
    await_sigterm ();
  else if (g_str_equal (what, "hard"))
    signal (SIGTERM, SIG_IGN);
  else if (g_str_equal (what, "retire"))
    {
      afork_worker_retire ();
      afork_worker_retire ();
    }

  if (g_str_equal (what, "hard") || g_str_equal (what, "stuck")
      || (g_str_equal (what, "stuck-once") && read (get_fd (call), &byte, 1) == 1))
    {
      afork_worker_emit (g_variant_new_string ("stuck"));
      for (;;)
        pause ();
    }
  return *error == NULL ? g_variant_new_uint32 ((guint32) getpid ()) : NULL;
}

/* Does what each element of the array says, for a call queue with batches. */
GVariant *
pool_batch (AForkCall  *call,
            GVariant   *args,
            GError    **error)
{
  const gsize n_args = g_variant_n_children (args);
  g_auto(GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("av"));
  gboolean gives_back = FALSE;

  for (gsize i = 0; i < n_args && !gives_back; i++)
    {
      g_autoptr(GVariant) arg = NULL;
      const char *what;
      guint32 number;

      g_variant_get_child (args, i, "v", &arg);
      g_variant_get (arg, "(&su)", &what, &number);
      if (g_str_equal (what, "omit"))
        continue;
      if (g_str_equal (what, "exit"))
        _exit ((int) number);
      gives_back = g_str_equal (what, "give-back");
      if (gives_back)
        {
          afork_call_report (call, g_variant_new ("(avx)", &builder, (gint64) (n_args - i - 1)));
          g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
        }
      g_variant_builder_add (&builder, "v", g_variant_new_uint32 (number));
    }
  return g_variant_builder_end (&builder);
}

/* The descriptor from which pool_script() reads. */
static int script_fd = -1;

gboolean
pool_init_script (const AForkItem  *items,
                  gsize             n_items,
                  GError          **error)
{
  script_fd = items[0].fd;
  return TRUE;
}

/* Reads the next byte of the script. Returns 0 if there are no more, or the call was cancelled. */
static char
read_command (AForkCall *call)
{
  GCancellable *cancellable = afork_call_get_cancellable (call);
  GPollFD entries[2] = { { .fd = script_fd, .events = G_IO_IN } };
  char command = 0;

  if (!g_cancellable_make_pollfd (cancellable, &entries[1]))
    return 0;

  g_poll (entries, 2, -1);
  g_cancellable_release_fd (cancellable);
  if (entries[1].revents != 0 || read (script_fd, &command, 1) != 1)
    return 0;

  return command;
}

/* Emits the arguments as an event, and then does what it reads from a descriptor that all workers
 * share. */
GVariant *
pool_script (AForkCall  *call,
             GVariant   *args,
             GError    **error)
{
  guint32 n_reports = 0;
  char command;

  afork_worker_emit (args);
  while ((command = read_command (call)) != 0)
    switch (command)
      {
      case 'p':                 /* reports progress */
        afork_call_report (call, g_variant_new_uint32 (n_reports++));
        break;
      case 'v':                 /* emits an event */
        afork_worker_emit (g_variant_new_string ("v"));
        break;
      case 'b':                 /* adds a blob to the result */
        {
          g_autoptr(GBytes) blob = g_bytes_new ("blob", 4);

          afork_call_add_result_blob (call, blob);
          break;
        }
      case 'B':                 /* adds a large one, of zeros */
        {
          const gsize size = 3 * 1024 * 1024 + 5;
          g_autoptr(GBytes) blob = g_bytes_new_take (g_malloc0 (size), size);

          afork_call_add_result_blob (call, blob);
          break;
        }
      case 'e':                 /* fails */
        g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY, "the worker says no");
        return NULL;
      case 'k':                 /* crashes */
        end_by_signal (SIGKILL);
        break;
      default:                  /* returns */
        return g_variant_new_uint32 ((guint32) getpid ());
      }

  return g_variant_new_uint32 (0);
}

static gboolean
answer_cb (gpointer data)
{
  afork_call_return_value (data, g_variant_new_uint32 ((guint32) getpid ()), NULL);
  g_object_unref (data);
  return G_SOURCE_REMOVE;
}

/* How many jobs of the kind "most" run now, and how many ran at a time since none did. */
static guint32 n_running;
static guint32 most_running;

static gboolean
answer_most_cb (int          fd,
                GIOCondition condition,
                gpointer     data)
{
  const guint32 most = most_running;

  if (--n_running == 0)
    most_running = 0;
  afork_call_return_value (data, g_variant_new_uint32 (most), NULL);
  g_object_unref (data);
  return G_SOURCE_REMOVE;
}

static void
cancelled_cb (GCancellable *cancellable,
              gpointer      data)
{
  answer_cb (data);
}

void
pool_later (AForkCall *call,
            GVariant  *args)
{
  const char *what;
  guint32 number;

  g_variant_get (args, "(&su)", &what, &number);
  if (g_str_equal (what, "after"))
    g_timeout_add (number, answer_cb, g_object_ref (call));
  else if (g_str_equal (what, "most"))
    {
      n_running++;
      most_running = MAX (most_running, n_running);
      g_unix_fd_add (get_fd (call), G_IO_IN | G_IO_HUP, answer_most_cb, g_object_ref (call));
    }
  else if (g_str_equal (what, "never"))
    {
      g_object_ref (call);
      afork_worker_emit (g_variant_new_string ("stuck"));
    }
  else if (g_str_equal (what, "wait"))
    g_cancellable_connect (afork_call_get_cancellable (call), G_CALLBACK (cancelled_cb),
                           g_object_ref (call), NULL);
  else if (g_str_equal (what, "signal"))
    end_by_signal ((int) number);
  else
    answer_cb (g_object_ref (call));
}

gboolean
pool_init_fail (const AForkItem  *items,
                gsize             n_items,
                GError          **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "the data are not there");
  return FALSE;
}

gboolean
pool_init_exit (const AForkItem  *items,
                gsize             n_items,
                GError          **error)
{
  _exit (7);
}

/* Exits if there is a byte in the first item, a descriptor. */
gboolean
pool_init_trap (const AForkItem  *items,
                gsize             n_items,
                GError          **error)
{
  char byte;

  if (read (items[0].fd, &byte, 1) == 1)
    raise (SIGKILL);
  return TRUE;
}

static void
kill_template_cb (const char *text)
{
  kill (getppid (), SIGKILL);
}

/* Allows only 32 descriptors. A worker that receives more than that reports a fault, and exits
 * before it has begun with the job. If the template is of kind 1, the template is killed then. */
gboolean
pool_init_few_fds (const AForkItem  *items,
                   gsize             n_items,
                   GError          **error)
{
  const struct rlimit limit = { 32, 32 };

  if (get_kind () == 1)
    g_set_printerr_handler (kill_template_cb);
  return setrlimit (RLIMIT_NOFILE, &limit) == 0;
}

/* Allows only 4 MiB of memory more than the worker has now. */
gboolean
pool_init_little_memory (const AForkItem  *items,
                         gsize             n_items,
                         GError          **error)
{
  g_autofree char *text = NULL;
  struct rlimit limit;

  if (!g_file_get_contents ("/proc/self/statm", &text, NULL, error))
    return FALSE;

  limit.rlim_cur = g_ascii_strtoull (text, NULL, 10) * (rlim_t) sysconf (_SC_PAGESIZE) + (4 << 20);
  limit.rlim_max = limit.rlim_cur;
  return setrlimit (RLIMIT_AS, &limit) == 0;
}

void
pool_done_slow (void)
{
  afork_worker_emit (g_variant_new_string ("done"));
  for (;;)
    pause ();
}

/* Fails if the template is of kind 0. */
gboolean
pool_init_kind (const AForkItem  *items,
                gsize             n_items,
                GError          **error)
{
  if (get_kind () != 0)
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "nothing is there");
  return FALSE;
}

/* Prepares a template: makes the first file longer by a byte. If the second file is there, then
 * crashes, or hangs if that file is not empty. */
void
pool_prepare (int                argc,
              const char * const *argv)
{
  const int fd = open (argv[0], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  struct stat status;

  if (write (fd, "x", 1) != 1)
    _exit (1);
  close (fd);
  if (stat (argv[1], &status) < 0)
    return;
  if (status.st_size == 0)
    end_by_signal (SIGSEGV);
  for (;;)
    pause ();
}
