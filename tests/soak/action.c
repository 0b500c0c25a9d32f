/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Random actions, and what the model is told of them. */

#include "config.h"

#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

#include "test-basics.h"

enum
{
  MAX_SUBJECTS = 40,
  MAX_FDS = 300,                /* the largest number of descriptors among the items of a process */
  MAX_BYTES = 2 * 1024 * 1024,  /* the same */
  N_PROGRAM_TEMPLATES = 3,
  MAX_FORKS = 3,                /* threads of this program at a time */
  MAPPED = 900,                 /* as in modules/recite.c */
};

/* Templates that were forked off this program when it had one thread. */
static Subject *program_templates[N_PROGRAM_TEMPLATES];
static GPtrArray *context_threads;      /* of GThread */
static GPtrArray *forks;                /* of pids: plain forks of this program, which continue */
static rlim_t full_limit;               /* of descriptors */
static guint starving_steps;            /* until there are descriptors again */
static char *hostile_server;
static CallMix *call_mix;               /* of the default main context; or NULL */
static PoolMix *pool_mix;               /* the same */

/* The function of modules/recite.c, which is in this program as well. */
AFORK_WORKER_EXPORT void recite (int socket, const AForkItem *items, size_t n_items);

/* A worker that is a caller with one thread: its processes are forks of itself. */
AFORK_WORKER_EXPORT void nest (int socket, const AForkItem *items, size_t n_items);

static gboolean
run_nested (GError **error)
{
  g_autoptr(AForkProcess) template = afork_process_new_template (error);
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) executed = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GSocketConnection) of_executed = NULL;

  if (template == NULL)
    return FALSE;

  process = afork_process_fork (template);
  executed = afork_process_new_exec (NULL);
  connection = afork_process_run (process, ":recite_until_closed", NULL, error);
  if (connection == NULL)
    return FALSE;
  of_executed = afork_process_exec (executed, STRV ("cat"), NULL, error);
  if (of_executed == NULL)
    return FALSE;

  g_clear_object (&connection);
  g_clear_object (&of_executed);
  return afork_process_wait (process, NULL, error) && afork_process_wait (executed, NULL, error);
}

void
nest (int              socket,
      const AForkItem *items,
      size_t           n_items)
{
  g_autoptr(GError) error = NULL;

  if (run_nested (&error))
    dprintf (socket, "nested");
  else
    dprintf (socket, "%s", error->message);
}

/* Making processes. */

static Subject *
pick (gboolean (*suits) (Subject *self))
{
  guint first = subjects->len > 0 ? chance_below (subjects->len) : 0;

  for (guint i = 0; i < subjects->len; i++)
    {
      Subject *self = g_ptr_array_index (subjects, (first + i) % subjects->len);

      if (suits (self))
        return self;
    }

  return NULL;
}

static gboolean
suits_any (Subject *self)
{
  return self->process != NULL;
}

/* A template that may have been replaced at the moment when it was used counts as both. */
static void
make_of_runtime (AForkRuntime *runtime,
                 const char   *origin)
{
  g_autoptr(Subject) before = subject_ref (subject_get_default (runtime));
  AForkProcess *process = afork_process_new_for_runtime (runtime);
  Subject *after = subject_get_default (runtime);
  g_autoptr(Subject) self = subject_new (process, after, origin);

  self->may |= before->fork_may;
  self->fork_may |= before->fork_may;
  self->disturbed |= before->fork_may != 0;
  self->end_may_be_lost |= before != after;
  self->must_fail = self->must_fail && before->forks_must_fail;
  self->forks_must_fail = self->must_fail;
}

static void
make_fork (void)
{
  make_of_runtime (afork_runtime_get_native (), "new");
}

static void
make_fork_of_self (void)
{
  make_of_runtime (afork_runtime_get_self (), "new_for_runtime, of this program");
}

static void
make_executed (void)
{
  gboolean of_self = chance (40);
  AForkRuntime *runtime = of_self ? afork_runtime_get_self () : NULL;
  g_autoptr(Subject) self = NULL;

  self = subject_new (afork_process_new_exec (runtime), NULL,
                      of_self ? "new_exec, of this program" : "new_exec");
  self->is_program = of_self;
}

static void
make_fork_of_fork (void)
{
  Subject *template = pick (subject_is_open);
  g_autoptr(Subject) self = NULL;

  if (template != NULL)
    self = subject_new (afork_process_fork (template->process), template, "fork");
}

static void
make_fork_of_program (void)
{
  Subject *template = program_templates[chance_below (N_PROGRAM_TEMPLATES)];
  g_autoptr(Subject) self = NULL;

  if (template != NULL)
    self = subject_new (afork_process_fork (template->process), template,
                        "fork, of new_template");
}

static void
refuse_template (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(AForkProcess) process = afork_process_new_template (&error);

  g_assert_null (process);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_THREADS);
  tally ("faults", "new_template with two threads");
}

static void run_any (Subject    *self,
                     const char *function,
                     RunKind     run_kind);

/* Programs that are not servers, each with its outcome. */
static void
make_hostile (void)
{
  static const struct { const char *steps[5]; Errors may; } cases[] = {
    { { "raw=5468697320697320746578742e0a", "hang" }, ERROR_BIT (PROTOCOL) },
    { { "hello", "hello", "hang" }, ERROR_BIT (PROTOCOL) },
    { { "version=99", "hang" }, ERROR_BIT (PROTOCOL) },
    { { "ready", "hang" }, ERROR_BIT (PROTOCOL) },
    { { "hello", "cut=3", "ready", "close", "hang" }, ERROR_BIT (SIGNALED) },
    { { "hello", "error=3", "hang" }, ~(Errors) 0 },
    { { "hello", "exit=7" }, ERROR_BIT (EXITED) },
    { { "exit=0" }, ERROR_BIT (SPAWN) },
    { { "hello", "stray=9", "forked", "hang" }, ERROR_BIT (PROTOCOL) },
    { { "hello", "await=run", "raw=ffffffffffffffff", "hang" }, ERROR_BIT (PROTOCOL) },
    { { NULL }, ~(Errors) 0 },
  };
  guint which = chance_below (G_N_ELEMENTS (cases));
  g_autofree char *mutation = g_strdup_printf ("mutate=%u", chance_below (1000000));
  const char *argv[8] = { hostile_server };
  g_autoptr(AForkRuntime) runtime = NULL;
  g_autoptr(Subject) self = NULL;

  for (guint i = 0; i < 5; i++)
    argv[i + 1] = cases[which].steps[i];
  if (argv[1] == NULL)
    {
      argv[1] = mutation;
      argv[2] = "hello";
      argv[3] = "await=run";
      argv[4] = "ready";
    }

  runtime = afork_runtime_new_command ("hostile", argv);
  self = subject_new (afork_process_new_for_runtime (runtime), NULL, "a hostile program");
  self->disturbed = TRUE;
  self->may |= cases[which].may;
  self->must_fail = which != G_N_ELEMENTS (cases) - 1;
  tally ("faults", "hostile program");
  run_any (self, "anything", RUN_KIND_ENDLESS);
}

static void
make_missing (void)
{
  g_autoptr(AForkRuntime) runtime = NULL;
  g_autoptr(Subject) self = NULL;

  runtime = chance (50) ? afork_runtime_new_command ("missing", STRV ("/no/such/program"))
                        : afork_runtime_new_command ("false", STRV ("/bin/false"));
  self = subject_new (afork_process_new_for_runtime (runtime), NULL, "a missing program");
  self->disturbed = TRUE;
  self->may |= ERROR_BIT (SPAWN);
  self->must_fail = TRUE;
  tally ("faults", "missing program");
  run_any (self, "anything", RUN_KIND_ENDING);
}

/* Descriptors that belong to no process. */
static void
take_over_nothing (void)
{
  g_autoptr(Subject) self = NULL;
  gboolean is_socket = chance (50);
  int fds[2] = { -1, -1 };

  if (is_socket)
    {
      if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return;
      close (fds[1]);
    }
  else
    {
      fds[0] = memfd_create ("nothing", MFD_CLOEXEC);
      if (fds[0] < 0)
        return;
    }

  self = subject_new (afork_process_new_from_fd (fds[0]), NULL, "new_from_fd, of nothing");
  self->disturbed = TRUE;
  self->may |= is_socket ? ERROR_BIT (LOST) : ERROR_BIT (FAILED);
  self->must_fail = TRUE;
  self->fork_may = self->may;
  self->forks_must_fail = TRUE;
  tally ("faults", "descriptor of nothing taken over");
}

/* Threads with a main context of their own, which is freed when they end. Nothing goes wrong there,
 * and no operation waits for the processes. */
static gpointer
use_context (gpointer data)
{
  guint what = GPOINTER_TO_UINT (data);
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) executed = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GSocketConnection) of_fork = NULL;
  g_autoptr(GError) error = NULL;

  g_main_context_push_thread_default (context);
  process = afork_process_require (afork_process_new (), "recite");
  fork = afork_process_fork (process);
  executed = afork_process_require (afork_process_new_exec (NULL), "recite");
  if ((what & 1) != 0)
    {
      connection = afork_process_run (process, "recite_until_closed", NULL, &error);
      g_assert_no_error (error);
    }
  if ((what & 2) != 0)
    {
      of_fork = afork_process_run (fork, "recite_until_closed", NULL, &error);
      g_assert_no_error (error);
      g_clear_object (&of_fork);
      g_assert_true (afork_process_wait (fork, NULL, &error));
      g_assert_no_error (error);
    }
  for (guint i = what >> 2; i > 0; i--)
    g_main_context_iteration (context, FALSE);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
make_in_context (void)
{
  if (subjects_are_starved () || context_threads->len >= 4)
    return;

  tally ("processes", "in a thread's own context");
  tally ("processes", "in a thread's own context");
  tally ("processes", "in a thread's own context");
  tally ("faults", "context gone");
  g_ptr_array_add (context_threads,
                   g_thread_new ("context", use_context, GUINT_TO_POINTER (chance_below (40))));
}

/* Calls in such threads. The workers may be idle when the context is freed, and their objects may
 * be freed before or after it. */
static gpointer
call_in_context (gpointer data)
{
  guint what = GPOINTER_TO_UINT (data);
  g_autoptr(GMainContext) context = g_main_context_new ();
  CallMix *mix;

  g_main_context_push_thread_default (context);
  mix = call_mix_new ();
  for (guint step = 0; step < 150; step++)
    {
      chance_begin_step (what, step);
      call_mix_step (mix);
    }
  call_mix_update_outcomes (mix);
  if (what % 3 == 0)
    call_mix_free (mix);
  else if (what % 3 == 1)
    call_mix_drop (mix);
  g_main_context_pop_thread_default (context);
  g_clear_pointer (&context, g_main_context_unref);
  if (what % 3 == 2)
    call_mix_drop (mix);
  return NULL;
}

static void
make_calls_in_context (void)
{
  if (subjects_are_starved () || context_threads->len >= 4)
    return;

  tally ("processes", "in a thread's own context, for calls");
  g_ptr_array_add (context_threads,
                   g_thread_new ("calls", call_in_context,
                                 GUINT_TO_POINTER (chance_below (1000000))));
}

static void
step_calls (void)
{
  if (call_mix == NULL)
    {
      call_mix = call_mix_new ();
      call_mix_starve (call_mix, subjects_are_starved ());
    }
  for (guint i = chance_below (10); i > 0; i--)
    call_mix_step (call_mix);
}

static void
step_pools (void)
{
  if (pool_mix == NULL)
    {
      pool_mix = pool_mix_new ();
      if (subjects_are_starved ())
        pool_mix_starve (pool_mix);
    }
  for (guint i = chance_below (10); i > 0; i--)
    pool_mix_step (pool_mix);
}

/* Pools of a thread that has a main context of its own. */
static gpointer
run_jobs_in_context (gpointer data)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  PoolMix *mix;

  g_main_context_push_thread_default (context);
  mix = pool_mix_new ();
  for (guint step = 0; step < 150; step++)
    {
      chance_begin_step (GPOINTER_TO_UINT (data), step);
      pool_mix_step (mix);
    }
  pool_mix_free (mix);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
make_pools_in_context (void)
{
  if (subjects_are_starved () || context_threads->len >= 4)
    return;

  tally ("processes", "in a thread's own context, for jobs");
  g_ptr_array_add (context_threads,
                   g_thread_new ("jobs", run_jobs_in_context,
                                 GUINT_TO_POINTER (chance_below (1000000))));
}

/* Plain forks of this program. */

/* In a fork, every operation on a process of the parent fails. */
static void
use_lost (Subject *self)
{
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GError) error = NULL;

  if (self->process == NULL)
    return;

  if (chance (30))
    afork_process_send_arg (self->process, "for nobody");
  if (chance (50))
    {
      g_assert_false (afork_process_wait (self->process, NULL, &error));
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
      g_clear_error (&error);
    }
  if (chance (50))
    {
      g_assert_null (afork_process_run (self->process, "recite", NULL, &error));
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
      g_clear_error (&error);
    }
  if (chance (30))
    {
      fork = afork_process_fork (self->process);
      g_assert_null (afork_process_run (fork, "recite", NULL, &error));
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
    }
  if (chance (30))
    afork_process_send_signal (self->process, SIGKILL);
  if (chance (30))
    afork_process_force_exit (self->process);
  if (chance (40))
    {
      subject_let_go_on (self);
      g_clear_object (&self->process);
    }
}

static void
use_all_lost (void)
{
  g_autoptr(GPtrArray) all = NULL;

  all = g_ptr_array_copy (subjects, (GCopyFunc) subject_ref, NULL);
  g_ptr_array_set_free_func (all, (GDestroyNotify) subject_unref);
  for (guint i = 0; i < all->len; i++)
    use_lost (g_ptr_array_index (all, i));
  for (guint i = 0; i < N_PROGRAM_TEMPLATES; i++)
    use_lost (program_templates[i]);
  if (call_mix != NULL)
    call_mix_use_lost (call_mix);
  if (pool_mix != NULL)
    pool_mix_use_lost (pool_mix);
}

/* Pending operations fail, and new ones use templates of the fork. */
G_GNUC_NORETURN static void
be_fork (void)
{
  watchdog_begin ("the end of a fork of this program");
  subjects_starve (TRUE);
  if (call_mix != NULL)
    call_mix_lose (call_mix);
  if (pool_mix != NULL)
    pool_mix_starve (pool_mix);
  if (chance (70))
    use_all_lost ();
  for (guint i = chance_below (40); i > 0; i--)
    g_main_context_iteration (NULL, FALSE);
  if (chance (70))
    use_context (GUINT_TO_POINTER (chance_below (40)));
  if (chance (50))
    call_in_context (GUINT_TO_POINTER (chance_below (1000000)));
  g_usleep (chance_below (G_USEC_PER_SEC));
  if (chance (30))
    use_all_lost ();
  _exit (0);
}

static void
await_fork (gpointer data)
{
  int status;

  while (waitpid (GPOINTER_TO_INT (data), &status, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  g_assert_cmpint (status, ==, 0);
}

/* The thread continues meanwhile. No thread may use the locks of GLib now, because they must be
 * free in the fork. */
static void
fork_and_go_on (void)
{
  pid_t pid;

  action_update_outcomes ();
  subjects_update_outcomes ();
  pid = fork ();
  if (pid == 0)
    be_fork ();
  if (pid < 0)
    return;

  tally ("faults", "plain fork of this program, which goes on");
  g_ptr_array_add (forks, GINT_TO_POINTER (pid));
}

/* It has a copy of the threads' objects, and the fork exits at once. */
static void
fork_and_exit (void)
{
  pid_t pid = fork ();
  int status;

  if (pid == 0)
    _exit (7);
  if (pid < 0)
    return;

  tally ("faults", "plain fork of this program, which exits");
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, W_EXITCODE (7, 0));
}

static void
fork_program (void)
{
  if (forks->len >= MAX_FORKS)
    g_ptr_array_remove_index (forks, 0);
  if (subjects_are_starved () || chance (40))
    fork_and_exit ();
  else
    fork_and_go_on ();
}

/* Preparing them. */

static void
give_bytes (Subject *self,
            gsize    size)
{
  guint8 *data = g_malloc (size);
  g_autoptr(GBytes) bytes = NULL;
  gsize total = size;

  for (guint i = 0; i < self->items->len; i++)
    total += g_bytes_get_size (g_ptr_array_index (self->items, i));
  memset (data, 'a' + (int) chance_below (26), size);
  bytes = g_bytes_new_take (data, size);
  if (total > MAX_BYTES)
    return;

  g_ptr_array_add (self->items, g_bytes_ref (bytes));
  afork_process_send_bytes (self->process, bytes);
}

static void
give_arg (Subject *self)
{
  g_autofree char *arg = g_strdup_printf ("argument %u ", chance_below (1000));

  g_ptr_array_add (self->items, g_bytes_new (arg, strlen (arg)));
  afork_process_send_arg (self->process, arg);
}

/* A file with a text; -1 if there is no descriptor for it. */
static int
make_file (GBytes **content)
{
  g_autofree char *text = g_strdup_printf ("<%u>", chance_below (1000));
  int fd = memfd_create ("soak", MFD_CLOEXEC);

  if (fd < 0)
    return -1;

  g_assert_cmpint (write (fd, text, strlen (text)), ==, (gssize) strlen (text));
  *content = g_bytes_new (text, strlen (text));
  return fd;
}

static void
give_fds (Subject *self,
          guint    n_fds)
{
  g_autoptr(GBytes) content = NULL;
  int fd;

  if (self->n_fds + n_fds > MAX_FDS || (fd = make_file (&content)) < 0)
    return;

  for (guint i = 0; i < n_fds; i++)
    {
      g_ptr_array_add (self->items, g_bytes_ref (content));
      afork_process_send_fd (self->process, fd);
    }
  self->n_fds += n_fds;
  close (fd);
}

static void
give_mapped (Subject *self)
{
  g_autoptr(GBytes) content = NULL;
  int fd = make_file (&content);

  if (fd < 0)
    return;

  g_clear_pointer (&self->mapped, g_bytes_unref);
  self->mapped = g_steal_pointer (&content);
  afork_process_map_fd (self->process, fd, MAPPED);
  close (fd);
}

static void
give_variable (Subject *self)
{
  g_free (self->variable);
  self->variable = chance (80) ? g_strdup_printf ("value %u", chance_below (1000)) : NULL;
  afork_process_setenv (self->process, "AFORK_RECITED", self->variable);
}

static void
give_folder (Subject *self)
{
  g_free (self->folder);
  self->folder = g_strdup (chance (50) ? "/" : "/proc");
  afork_process_chdir (self->process, self->folder);
}

static void
give_recite (Subject *self)
{
  if (self->is_program || self->has_recite)
    return;

  self->has_recite = TRUE;
  afork_process_require (self->process, "recite");
}

static void
give_note (Subject *self)
{
  g_autofree char *note = g_strdup_printf ("note %u;", chance_below (1000));

  give_recite (self);
  if (self->notes->len > 1000)
    return;

  g_string_append (self->notes, note);
  afork_process_call (self->process, "recite_note", STRV (note));
}

static void
prepare_any (void)
{
  Subject *self = pick (subject_is_open);

  if (self == NULL)
    return;

  tally ("calls", "prepare");
  switch (chance_below (14))
    {
    case 0:
    case 1:
      give_recite (self);
      break;
    case 2:
    case 3:
      give_arg (self);
      break;
    case 4:
      give_bytes (self, chance_below (3000));
      break;
    case 5:
      give_bytes (self, chance_below (400000));
      break;
    case 6:
      give_fds (self, 1 + chance_below (3));
      break;
    case 7:
      give_fds (self, 1 + chance_below (MAX_FDS));
      break;
    case 8:
      give_mapped (self);
      break;
    case 9:
      give_variable (self);
      break;
    case 10:
      give_folder (self);
      break;
    case 11:
      give_note (self);
      break;
    case 12:
      afork_process_set_die_with_parent (self->process, TRUE);
      break;
    default:
      self->has_forks = TRUE;
      afork_process_set_spare (self->process, chance_below (3));
      break;
    }
}

static void
give_faults (Subject *self)
{
  if (self->has_faults)
    return;

  self->has_faults = TRUE;
  afork_process_require (self->process, "faults");
}

static void
call_fault (Subject    *self,
            const char *function,
            const char *arg,
            Errors      errors)
{
  give_faults (self);
  afork_process_call (self->process, function, STRV (arg));
  subject_spoil (self, errors);
}

/* Sends the process a command that fails. */
static void
spoil_any (void)
{
  static char long_text[1024 * 1024 + 1];
  Subject *self = pick (subject_is_open);
  const char *fault;

  if (self == NULL)
    return;

  switch (chance_below (11))
    {
    case 0:
      fault = "missing module";
      afork_process_require (self->process, "no-such-module");
      subject_spoil (self, ERROR_BIT (MODULE));
      break;
    case 1:
      fault = "module that cannot be loaded";
      afork_process_require (self->process, "undefined");
      subject_spoil (self, ERROR_BIT (MODULE));
      break;
    case 2:
      fault = "called function exits";
      call_fault (self, "call_exit", "3", ERROR_BIT (EXITED));
      break;
    case 3:
      fault = "called function crashes";
      call_fault (self, "call_signal", chance (50) ? "11" : "6", ERROR_BIT (SIGNALED));
      break;
    case 4:
      fault = "called function writes to the command socket";
      call_fault (self, "call_garbage", "", ERROR_BIT (PROTOCOL));
      break;
    case 5:
      fault = "called function hangs";
      call_fault (self, "call_hang", "", ERRORS_KILLED);
      self->hangs = TRUE;
      break;
    case 6:
      fault = "called function leaves a thread";
      give_faults (self);
      afork_process_call (self->process, "call_thread", STRV ("thread"));
      self->may |= ERROR_BIT (THREADS);
      self->fork_may |= ERROR_BIT (THREADS);
      self->forks_must_fail = TRUE;
      break;
    case 7:
      fault = "missing folder";
      afork_process_chdir (self->process, "/no/such/folder");
      subject_spoil (self, ERROR_BIT (FAILED));
      break;
    case 8:
      fault = "code";
      afork_process_eval (self->process, "1 + 1", NULL);
      subject_spoil (self, ERROR_BIT (NOT_SUPPORTED) | ERROR_BIT (EVAL));
      break;
    case 9:
      fault = "missing called function";
      afork_process_call (self->process, "no_such_function", NULL);
      subject_spoil (self, ERROR_BIT (FUNCTION));
      break;
    default:
      fault = "command that is too long";
      memset (long_text, 'x', sizeof long_text - 1);
      afork_process_setenv (self->process, "AFORK_RECITED", long_text);
      subject_spoil (self, ERROR_BIT (FAILED));
      subject_disturb (self, ERROR_BIT (FAILED) | ERRORS_KILLED);
      break;
    }
  tally ("faults", fault);
}

/* Running them. */

static void
finish_run (Subject           *self,
            const char        *operation,
            AForkProcess      *process,
            GSocketConnection *connection,
            const GError      *error)
{
  /* No other caller could kill it any more. */
  if (connection != NULL && self->run_kind == RUN_KIND_ENDLESS && self->process == NULL)
    {
      self->disturbed = TRUE;
      afork_process_force_exit (process);
    }

  subject_ran (self, operation, connection, error);
}

static void
run_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      data)
{
  AForkProcess *process = AFORK_PROCESS (object);
  g_autoptr(Subject) self = data;
  g_autoptr(GError) error = NULL;
  GSocketConnection *connection = afork_process_run_finish (process, result, &error);

  g_assert_true ((connection == NULL) == (error != NULL));
  finish_run (self, "run", process, connection, error);
}

static void
run_func_cb (GObject      *object,
             GAsyncResult *result,
             gpointer      data)
{
  AForkProcess *process = AFORK_PROCESS (object);
  g_autoptr(Subject) self = data;
  g_autoptr(GError) error = NULL;
  GSocketConnection *connection = afork_process_run_func_finish (process, result, &error);

  g_assert_true ((connection == NULL) == (error != NULL));
  finish_run (self, "run_func", process, connection, error);
}

static void
exec_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  AForkProcess *process = AFORK_PROCESS (object);
  g_autoptr(Subject) self = data;
  g_autoptr(GError) error = NULL;
  GSocketConnection *connection = afork_process_exec_finish (process, result, &error);

  g_assert_true ((connection == NULL) == (error != NULL));
  finish_run (self, "exec", process, connection, error);
}

static void
begin_run (Subject *self,
           RunKind  run_kind)
{
  self->run_kind = run_kind;
  self->run_pending = TRUE;
  if (run_kind == RUN_KIND_RECITE && self->recital == NULL)
    subject_expect_recital (self);
  if (run_kind == RUN_KIND_UNTIL_CLOSED)
    self->wait_status = 0;
}

/* Whether a blocking call returns if nothing else is done meanwhile. */
static gboolean
may_block (Subject *self)
{
  return chance (15) && !subject_is_held_up (self) && !subjects_are_starved ();
}

static void
run_any (Subject    *self,
         const char *function,
         RunKind     run_kind)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  gboolean blocks = may_block (self) && !g_str_equal (function, "anything");

  begin_run (self, run_kind);
  if (!blocks)
    {
      afork_process_run_async (self->process, function, self->run_cancellable, run_cb,
                               subject_ref (self));
      return;
    }

  watchdog_begin ("a blocking run");
  connection = afork_process_run (self->process, function, NULL, &error);
  watchdog_end ();
  finish_run (self, "run, blocking", self->process, g_steal_pointer (&connection), error);
}

static void
run_recite (Subject *self)
{
  if (chance (90))
    give_recite (self);
  if (!self->has_recite && !self->is_program)
    {
      self->must_fail = TRUE;
      self->may |= ERROR_BIT (FUNCTION);
      tally ("faults", "missing function");
    }
  run_any (self, "recite", RUN_KIND_RECITE);
}

static void
run_func (Subject *self)
{
  if (!self->is_program)
    {
      self->must_fail = TRUE;
      self->may |= ERROR_BIT (FUNCTION);
      tally ("faults", "function of another program");
    }
  begin_run (self, RUN_KIND_RECITE);
  afork_process_run_func_async (self->process, recite, self->run_cancellable, run_func_cb,
                                subject_ref (self));
}

static void
run_nest (Subject *self)
{
  if (!self->is_program || self->fork_may != 0)
    return;

  self->recital = g_bytes_new_static ("nested", strlen ("nested"));
  run_any (self, ":nest", RUN_KIND_RECITE);
}

static void
run_end (Subject *self)
{
  static const int ends[] = { 0, 1, 7, 255, -SIGSEGV, -SIGABRT, -SIGKILL };
  int end = ends[chance_below (G_N_ELEMENTS (ends))];
  g_autofree char *text = g_strdup_printf ("%d", end);

  give_recite (self);
  afork_process_setenv (self->process, "AFORK_RECITED_END", text);
  self->wait_status = end >= 0 ? W_EXITCODE (end, 0) : -end;
  if (end < 0)
    tally ("faults", "worker crashes");
  run_any (self, "recite_end", RUN_KIND_ENDING);
}

static void
exec_any (Subject *self)
{
  static const struct { const char *argv[4]; RunKind run_kind; int status; } cases[] = {
    { { "true" }, RUN_KIND_ENDING, 0 },
    { { "sh", "-c", "exit 9" }, RUN_KIND_ENDING, W_EXITCODE (9, 0) },
    { { "cat" }, RUN_KIND_UNTIL_CLOSED, 0 },
    { { "sleep", "1000" }, RUN_KIND_ENDLESS, -1 },
    { { "printf", "recited" }, RUN_KIND_RECITE, 0 },
    { { "no-such-program" }, RUN_KIND_ENDING, -1 },
  };
  guint which = chance_below (G_N_ELEMENTS (cases));
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  gboolean blocks = may_block (self);

  if (cases[which].run_kind == RUN_KIND_RECITE)
    self->recital = g_bytes_new_static ("recited", strlen ("recited"));
  self->wait_status = cases[which].status;
  if (which == G_N_ELEMENTS (cases) - 1)
    {
      self->is_missing = TRUE;
      self->may |= ERROR_BIT (SPAWN);
      tally ("faults", "missing program executed");
    }

  begin_run (self, cases[which].run_kind);
  if (!blocks)
    {
      afork_process_exec_async (self->process, cases[which].argv, self->run_cancellable, exec_cb,
                                subject_ref (self));
      return;
    }

  watchdog_begin ("a blocking exec");
  connection = afork_process_exec (self->process, cases[which].argv, NULL, &error);
  watchdog_end ();
  finish_run (self, "exec, blocking", self->process, g_steal_pointer (&connection), error);
}

/* Takes FD. */
static void
take_over (Subject *self,
           int      fd)
{
  g_autoptr(Subject) other = NULL;

  if (fd < 0)
    return;
  if (chance (20))
    {
      tally ("faults", "detached and given up");
      close (fd);
      return;
    }

  other = subject_new (afork_process_new_from_fd (fd), NULL, "new_from_fd");
  other->taken_from = subject_ref (self);
  other->may |= self->may;
  other->fork_may |= self->fork_may;
  other->must_fail = self->must_fail;
  other->forks_must_fail = self->forks_must_fail;
  other->disturbed |= self->disturbed;
  other->end_may_be_lost = TRUE;
  subject_inherit (other, self);
}

static void
detach_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  AForkProcess *process = AFORK_PROCESS (object);
  g_autoptr(Subject) self = data;
  g_autoptr(GError) error = NULL;
  int fd = afork_process_detach_finish (process, result, &error);

  g_assert_true ((fd < 0) == (error != NULL));
  subject_ran (self, "detach", NULL, error);
  take_over (self, fd);
}

static void
detach_any (Subject *self)
{
  gboolean blocks = may_block (self);
  g_autoptr(GError) error = NULL;
  int fd;

  begin_run (self, RUN_KIND_DETACH);
  if (!blocks)
    {
      afork_process_detach_async (self->process, self->run_cancellable, detach_cb,
                                  subject_ref (self));
      return;
    }

  watchdog_begin ("a blocking detach");
  fd = afork_process_detach (self->process, NULL, &error);
  watchdog_end ();
  subject_ran (self, "detach, blocking", NULL, error);
  take_over (self, fd);
}

static void
hand_over_any (void)
{
  Subject *picked = pick (subject_is_open);
  g_autoptr(Subject) self = NULL;

  if (picked == NULL)
    return;

  self = subject_ref (picked);
  switch (chance_below (12))
    {
    case 0:
    case 1:
    case 2:
      run_recite (self);
      break;
    case 3:
      run_func (self);
      break;
    case 4:
      run_nest (self);
      break;
    case 5:
      give_recite (self);
      run_any (self, "recite_until_closed", RUN_KIND_UNTIL_CLOSED);
      break;
    case 6:
      give_recite (self);
      run_any (self, "recite_nothing", RUN_KIND_ENDLESS);
      break;
    case 7:
    case 8:
      run_end (self);
      break;
    case 9:
    case 10:
      exec_any (self);
      break;
    default:
      detach_any (self);
      break;
    }
}

/* Outcomes. */

static gboolean
suits_wait (Subject *self)
{
  return self->process != NULL && self->n_waits < 3;
}

/* A process that was not entered has failed. It exits as well, but not before its forks, which stay
 * until this program has released them. */
static gboolean
suits_blocking_wait (Subject *self)
{
  gboolean ends = self->run_kind == RUN_KIND_ENDING
    || (self->run_kind == RUN_KIND_UNTIL_CLOSED && self->connection == NULL);

  return self->process != NULL && ends && !self->run_pending
    && (self->entered || !self->has_forks) && !subject_is_held_up (self);
}

static void
wait_any (void)
{
  Subject *self = pick (suits_wait);

  if (self != NULL)
    subject_wait (self);
}

static void
block_any (void)
{
  Subject *self = pick (suits_blocking_wait);
  g_autoptr(Subject) kept = NULL;
  g_autoptr(GError) error = NULL;

  if (self == NULL || subjects_are_starved ())
    return;

  kept = subject_ref (self);
  watchdog_begin ("a blocking wait");
  afork_process_wait (self->process, NULL, &error);
  watchdog_end ();
  subject_waited (self, "wait, blocking", self->process, error);
}

static gboolean
suits_cancel (Subject *self)
{
  return self->run_pending || self->n_waits > 0;
}

static void
cancel_any (void)
{
  Subject *self = pick (suits_cancel);

  if (self == NULL)
    return;

  if (self->n_waits > 0 && chance (50))
    {
      g_cancellable_cancel (self->wait_cancellable);
      tally ("faults", "wait cancelled");
    }
  else if (self->run_pending)
    {
      subject_disturb (self, ERRORS_KILLED | ERROR_CANCELLED);
      g_cancellable_cancel (self->run_cancellable);
      tally ("faults", "run cancelled");
    }
}

static gboolean
suits_close (Subject *self)
{
  return self->connection != NULL && !self->is_reciting;
}

static void
close_any (void)
{
  Subject *self = pick (suits_close);

  if (self != NULL)
    subject_close (self);
}

static void
signal_any (void)
{
  static const int signals[] = { SIGTERM, SIGUSR1, SIGHUP };
  Subject *self = pick (suits_any);

  if (self == NULL)
    return;

  subject_disturb (self, ERRORS_KILLED);
  afork_process_send_signal (self->process, signals[chance_below (G_N_ELEMENTS (signals))]);
  tally ("faults", "signalled");
}

static void
stop_any (void)
{
  Subject *self = pick (suits_any);

  if (self != NULL)
    subject_stop (self);
}

static void
kill_any (void)
{
  Subject *self = pick (suits_any);

  if (self != NULL)
    subject_kill (self);
}

static void
kill_default (void)
{
  gboolean is_native = chance (70);
  Subject *self = subject_get_default (is_native ? afork_runtime_get_native ()
                                                 : afork_runtime_get_self ());

  tally ("faults", "runtime's template disturbed");
  if (chance (30))
    subject_stop (self);
  else
    subject_kill (self);
}

static void
drop_any (void)
{
  Subject *self = pick (suits_any);

  if (self != NULL)
    subject_drop (self, chance (30));
}

/* For some steps there are few descriptors. */

static int
get_highest_fd (void)
{
  int highest = 2;

  for (int fd = 0; fd < 4096; fd++)
    if (fcntl (fd, F_GETFD) >= 0)
      highest = fd;
  return highest;
}

static void
set_limit (rlim_t n_fds)
{
  struct rlimit limit;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  limit.rlim_cur = n_fds;
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
}

static void
starve (void)
{
  action_update_outcomes ();
  subjects_starve (TRUE);
  if (call_mix != NULL)
    call_mix_starve (call_mix, TRUE);
  if (pool_mix != NULL)
    pool_mix_starve (pool_mix);
  starving_steps = 1 + chance_below (30);
  set_limit ((rlim_t) get_highest_fd () + 1 + chance_below (6));
  tally ("faults", "descriptors run out");
}

/* Processes that were executed meanwhile have the limit, too. */
static void
feed (void)
{
  set_limit (full_limit);
  subject_forget_defaults ();
  subjects_starve (FALSE);
  if (call_mix != NULL)
    call_mix_starve (call_mix, FALSE);
}

/* All actions. */

static void
iterate (void)
{
  for (guint i = chance_below (8); i > 0; i--)
    g_main_context_iteration (NULL, FALSE);
}

static const struct
{
  guint   weight;
  void  (*act) (void);
} actions[] = {
  { 10, make_fork },
  { 4, make_executed },
  { 6, make_fork_of_self },
  { 14, make_fork_of_fork },
  { 6, make_fork_of_program },
  { 1, refuse_template },
  { 2, make_hostile },
  { 1, make_missing },
  { 1, take_over_nothing },
  { 1, make_in_context },
  { 1, make_calls_in_context },
  { 1, fork_program },
  { 1, make_pools_in_context },
  { 40, step_calls },
  { 40, step_pools },
  { 30, prepare_any },
  { 4, spoil_any },
  { 40, hand_over_any },
  { 10, wait_any },
  { 2, block_any },
  { 5, cancel_any },
  { 12, close_any },
  { 2, signal_any },
  { 2, stop_any },
  { 4, kill_any },
  { 1, kill_default },
  { 12, drop_any },
  { 1, starve },
  { 40, iterate },
};

void
action_take (void)
{
  guint total = 0, what;

  if (subjects_are_starved () && starving_steps-- == 0)
    feed ();
  while (subjects->len > MAX_SUBJECTS)
    {
      g_autoptr(Subject) self = NULL;

      self = subject_ref (g_ptr_array_index (subjects, chance_below (subjects->len)));
      subject_let_go (self);
      subject_drop (self, FALSE);
      g_main_context_iteration (NULL, FALSE);
    }

  for (guint i = 0; i < G_N_ELEMENTS (actions); i++)
    total += actions[i].weight;
  what = chance_below (total);
  for (guint i = 0; i < G_N_ELEMENTS (actions); i++)
    {
      if (what < actions[i].weight)
        {
          actions[i].act ();
          break;
        }
      what -= actions[i].weight;
    }
  if (chance (50))
    iterate ();
}

void
action_update_outcomes (void)
{
  for (guint i = 0; i < context_threads->len; i++)
    g_thread_join (g_ptr_array_index (context_threads, i));
  g_ptr_array_set_size (context_threads, 0);
  if (subjects_are_starved ())
    feed ();
}

void
action_end_round (void)
{
  g_ptr_array_set_size (forks, 0);
  if (call_mix != NULL)
    call_mix_update_outcomes (call_mix);
  g_clear_pointer (&call_mix, call_mix_free);
  g_clear_pointer (&pool_mix, pool_mix_free);
}

void
action_describe (void)
{
  if (call_mix != NULL)
    call_mix_describe (call_mix);
  if (pool_mix != NULL)
    pool_mix_describe (pool_mix);
}

/* The program has one thread until it returns. */
void
action_begin (void)
{
  struct rlimit limit;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  full_limit = MIN (limit.rlim_max, 4096);
  set_limit (full_limit);
  hostile_server = g_test_build_filename (G_TEST_BUILT, "hostile-server", NULL);

  for (guint i = 0; i < N_PROGRAM_TEMPLATES; i++)
    {
      g_autoptr(GError) error = NULL;
      AForkProcess *process = afork_process_new_template (&error);

      g_assert_no_error (error);
      program_templates[i] = subject_new (process, NULL, "new_template");
      program_templates[i]->is_program = TRUE;
      g_ptr_array_remove (subjects, program_templates[i]);
    }

  context_threads = g_ptr_array_new ();
  forks = g_ptr_array_new_with_free_func (await_fork);
}

void
action_end (void)
{
  action_update_outcomes ();
  for (guint i = 0; i < N_PROGRAM_TEMPLATES; i++)
    {
      g_clear_object (&program_templates[i]->process);
      g_clear_pointer (&program_templates[i], subject_unref);
    }
  g_clear_pointer (&context_threads, g_ptr_array_unref);
  g_clear_pointer (&forks, g_ptr_array_unref);
  g_clear_pointer (&hostile_server, g_free);
}
