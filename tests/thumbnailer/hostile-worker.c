/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The thumbnailer's own worker module is built into this one, with two functions under other names.
 * Pictures that do not contain an order to misbehave are handled as usual. */
#include "worker.h"

#undef prepare
#undef work

AFORK_WORKER_EXPORT
void      prepare (int                 argc,
                   const char * const *argv);
AFORK_WORKER_EXPORT
GVariant *work    (AForkCall          *call,
                   GVariant           *args,
                   GError            **error);

typedef struct
{
  const char *order;      /* the first bytes of a file with such an order */
  void     (* obey) (int output);
} Misdeed;

/* A sanitizer would report this and exit. */
static void
crash (int output)
{
  signal (SIGSEGV, SIG_DFL);
  raise (SIGSEGV);
}

/* The first signal that the C library leaves to programs has the number 34. */
static void
raise_real_time_signal (int output)
{
  raise (SIGRTMIN);
}

static void
exit_early (int output)
{
  exit (3);
}

/* Leaves its output half written, reports this to the test, and stays. */
static void
hang (int output)
{
  const char *door = getenv ("HOSTILE_DOOR");

  dprintf (output, "half of a thumb");
  if (door != NULL)
    dprintf (open (door, O_WRONLY), "%d\n", (int) getpid ());

  for (;;)
    pause ();
}

static void
say_nothing (int output)
{
  exit (0);
}

/* The socket of calls. */
static int
find_socket (void)
{
  int fd = STDERR_FILENO + 1, domain;
  socklen_t size = sizeof domain;

  while (getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0)
    fd++;
  return fd;
}

static void
say_too_much (int output)
{
  int socket = find_socket ();

  for (;;)
    dprintf (socket, "ok 1 1 and ever so much more besides\n");
}

static void
write_nonsense (int output)
{
  dprintf (output, "no thumbnail");
}

static void
grow (int output)
{
  size_t size = 200 * 1000 * 1000;
  static volatile char *memory;

  memory = malloc (size);
  for (size_t i = 0; i < size; i += 1000)
    memory[i] = 1;
  write_nonsense (output);
}

static void
spin (int output)
{
  for (;;)
    ;
}

/* Ends as GLib does when it gets no memory. */
static void
take_memory (int output)
{
  for (;;)
    memset (g_malloc (100 << 20), 1, 100 << 20);
}

static void
remove_secret (int output)
{
  unlink (getenv ("HOSTILE_SECRET"));
  write_nonsense (output);
}

/* A file that comes where a contact sheet is to be. */
static void
add_photo (int output)
{
  dprintf (open (getenv ("HOSTILE_PHOTO"), O_WRONLY | O_CREAT, 0666), "photo");
  write_nonsense (output);
}

/* Reports to the test that it has begun, and goes on when the test says so. */
static void
wait_for_key (int output)
{
  dprintf (open (getenv ("HOSTILE_DOOR"), O_WRONLY), "%d\n", (int) getpid ());
  close (open (getenv ("HOSTILE_KEY"), O_RDONLY));
  write_nonsense (output);
}

static void
kill_template (int output)
{
  kill (getppid (), SIGKILL);
  raise (SIGSEGV);
}

/* Then no process reports its exit. */
static void
stop_template (int output)
{
  kill (getppid (), SIGSTOP);
  raise (SIGSEGV);
}

static void
stop_template_and_hang (int output)
{
  kill (getppid (), SIGSTOP);
  hang (output);
}

/* To a caller on another host, output is returned. */
static void
return_nonsense (AForkCall *call)
{
  g_autoptr(GBytes) nonsense = g_bytes_new_static ("nonsense", 8);

  afork_call_add_result_blob (call, nonsense);
}

static void
return_nothing (int output)
{
}

static const Misdeed misdeeds[] = {
  { "crash", crash },
  { "grow", grow },
  { "spin", spin },
  { "take memory", take_memory },
  { "remove secret", remove_secret },
  { "add photo", add_photo },
  { "raise", raise_real_time_signal },
  { "exit", exit_early },
  { "hang", hang },
  { "wait", wait_for_key },
  { "say nothing", say_nothing },
  { "say too much", say_too_much },
  { "write nonsense", write_nonsense },
  { "return nothing", return_nothing },
  { "kill template", kill_template },
  { "stop template", stop_template },
  { "stop template and hang", stop_template_and_hang },
};

/* After more than five seconds, GIO looks again whether its tables of types were changed. */
#define GIO_TIME 6      /* seconds */

/* If HOSTILE_BED names a file, the template removes it and hangs. If it is `always`, each template
 * hangs. */
void
prepare (int                 argc,
         const char * const *argv)
{
  const char *bed = getenv ("HOSTILE_BED");

  ordinary_prepare (argc, argv);
  if (bed != NULL && (g_str_equal (bed, "always") || unlink (bed) == 0))
    raise (SIGSTOP);
}

/* Reads the first bytes of a file that has come as a descriptor, or from another host as a blob. */
static void
read_start (AForkCall *call,
            int        index,
            char      *start,
            gsize      size)
{
  GUnixFDList *fds = afork_call_get_fds (call);
  const guint8 *content;
  gsize n_blobs, n_content;
  GBytes **blobs = afork_call_get_blobs (call, &n_blobs);

  if (fds != NULL)
    {
      if (pread (g_unix_fd_list_peek_fds (fds, NULL)[index], start, size, 0) < 0)
        start[0] = '\0';
      return;
    }

  content = g_bytes_get_data (blobs[index], &n_content);
  if (n_content > 0)
    memcpy (start, content, MIN (size, n_content));
}

GVariant *
work (AForkCall  *call,
      GVariant   *args,
      GError    **error)
{
  GUnixFDList *fds = afork_call_get_fds (call);
  g_autoptr(GVariant) value = NULL;
  char start[64] = "";
  const char *trap = getenv ("HOSTILE_TRAP");
  const char *name;
  GVariantIter *outputs;
  int input, output;

  g_variant_get (args, "(&sv)", &name, &value);
  if (!g_str_equal (name, "thumbnail"))
    return ordinary_work (call, args, error);

  if (getenv ("HOSTILE_WAIT") != NULL)
    sleep (GIO_TIME);

  /* A file that is removed by the worker that is killed. */
  if (trap != NULL && unlink (trap) == 0)
    raise (SIGKILL);

  g_variant_get (value, "(h&sa(hu)@a{ss})", &input, NULL, &outputs, NULL);
  if (!g_variant_iter_next (outputs, "(hu)", &output, NULL))
    output = -1;
  g_variant_iter_free (outputs);
  read_start (call, input, start, sizeof start - 1);
  for (size_t i = 0; i < sizeof misdeeds / sizeof *misdeeds; i++)
    if (strcmp (start, misdeeds[i].order) == 0)
      {
        if (fds == NULL && misdeeds[i].obey == write_nonsense)
          return_nonsense (call);
        else
          misdeeds[i].obey (fds != NULL ? g_unix_fd_list_peek_fds (fds, NULL)[output] : -1);
        return g_variant_new ("(ii)", 1, 1);
      }

  return ordinary_work (call, args, error);
}
