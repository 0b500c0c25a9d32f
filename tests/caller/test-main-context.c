/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Main contexts as programs have them: busy ones, loops in callbacks, one for each thread, and ones
 * that change their owner, are never iterated, or are freed. For what happens when a context is
 * freed, see test-contexts.c. */

#include "config.h"

#include "test-util.h"

#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#define STRV(...) ((const char * const []) { __VA_ARGS__, NULL })

static AForkProcess *
new_with_module (AForkProcess *process)
{
  return afork_process_require (process, "lifecycle");
}

/* The outcome of an operation. */
typedef struct
{
  GThread           *thread;    /* the context in which its callback was called */
  guint              n_calls;
  GSocketConnection *connection;
  int                fd;
  GError            *error;
  GFunc              then;      /* called at the end of the callback, or NULL */
  gpointer           data;
} Answer;

static void
answer_clear (Answer *self)
{
  g_clear_object (&self->connection);
  g_clear_error (&self->error);
  if (self->n_calls > 0 && self->fd > 0)
    close (self->fd);
  *self = (Answer) { 0 };
}

static void
answer_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  AForkProcess *process = AFORK_PROCESS (object);
  Answer *self = data;

  g_assert_cmpuint (self->n_calls++, ==, 0);
  self->thread = g_thread_self ();
  if (g_async_result_is_tagged (result, afork_process_run_async))
    self->connection = afork_process_run_finish (process, result, &self->error);
  else if (g_async_result_is_tagged (result, afork_process_run_func_async))
    self->connection = afork_process_run_func_finish (process, result, &self->error);
  else if (g_async_result_is_tagged (result, afork_process_exec_async))
    self->connection = afork_process_exec_finish (process, result, &self->error);
  else if (g_async_result_is_tagged (result, afork_process_detach_async))
    self->fd = afork_process_detach_finish (process, result, &self->error);
  else
    g_assert_true (afork_process_wait_finish (process, result, &self->error)
                   == (self->error == NULL));
  if (self->then != NULL)
    self->then (process, self->data);
}

static void
answer_await (Answer *self)
{
  while (self->n_calls == 0)
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);
}

static void
a_function (int              socket,
            const AForkItem *items,
            size_t           n_items)
{
}

/* Each asynchronous operation, on a process with the module. */

static void
begin_run (AForkProcess *process,
           Answer       *answer)
{
  afork_process_run_async (process, "until_closed", NULL, answer_cb, answer);
}

static void
begin_run_func (AForkProcess *process,
                Answer       *answer)
{
  afork_process_run_func_async (process, a_function, NULL, answer_cb, answer);
}

static void
begin_run_missing (AForkProcess *process,
                   Answer       *answer)
{
  afork_process_run_async (process, "no_such_function", NULL, answer_cb, answer);
}

static void
begin_exec (AForkProcess *process,
            Answer       *answer)
{
  afork_process_exec_async (process, STRV ("true"), NULL, answer_cb, answer);
}

static void
begin_exec_missing (AForkProcess *process,
                    Answer       *answer)
{
  afork_process_exec_async (process, STRV ("no-such-program"), NULL, answer_cb, answer);
}

static void
begin_detach (AForkProcess *process,
              Answer       *answer)
{
  afork_process_detach_async (process, NULL, answer_cb, answer);
}

static void
begin_wait (AForkProcess *process,
            Answer       *answer)
{
  afork_process_wait_async (process, NULL, answer_cb, answer);
  afork_process_force_exit (process);
}

typedef struct
{
  const char *name;
  void      (*begin) (AForkProcess *process,
                      Answer       *answer);
  int         code;             /* the code of the error, or -1 */
} Operation;

static const Operation operations[] = {
  { "run", begin_run, -1 },
  { "run-missing", begin_run_missing, AFORK_ERROR_FUNCTION },
  { "run-func", begin_run_func, AFORK_ERROR_FUNCTION },
  { "exec", begin_exec, -1 },
  { "exec-missing", begin_exec_missing, AFORK_ERROR_SPAWN },
  { "detach", begin_detach, -1 },
  { "wait", begin_wait, -1 },
};

static void
check_answer (const Operation *operation,
              Answer          *answer)
{
  g_assert_cmpuint (answer->n_calls, ==, 1);
  if (operation->code < 0)
    g_assert_no_error (answer->error);
  else
    g_assert_error (answer->error, AFORK_ERROR, operation->code);
}

/* Priorities. */

static gboolean
busy_cb (gpointer data)
{
  guint *n_left = data;

  return --*n_left > 0 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static guint
add_busy (int    priority,
          guint *n_turns)
{
  return g_idle_add_full (priority, busy_cb, n_turns, NULL);
}

/* Among sources of the same priority, and before those of lower priority, all operations
 * complete. */
static void
test_priority_not_above (Census        *census,
                         gconstpointer  data)
{
  static const int priorities[] = { G_PRIORITY_DEFAULT, G_PRIORITY_DEFAULT_IDLE, G_PRIORITY_LOW };
  const Operation *operation = data;

  for (gsize i = 0; i < G_N_ELEMENTS (priorities); i++)
    {
      g_autoptr(AForkProcess) process = new_with_module (afork_process_new ());
      guint n_turns = G_MAXUINT;
      guint busy = add_busy (priorities[i], &n_turns);
      Answer answer = { 0 };

      operation->begin (process, &answer);
      answer_await (&answer);
      check_answer (operation, &answer);
      answer_clear (&answer);
      await_end (process);
      g_source_remove (busy);
    }
}

static void
work_cb (GObject    *object,
         GParamSpec *pspec,
         gpointer    data)
{
  g_usleep (20 * 1000);
}

/* They also complete if handlers take so long that the sources of the library fall behind. */
static void
test_priority_slow_handler (void)
{
  g_autoptr(AForkProcess) process = new_with_module (afork_process_new ());
  guint n_turns = G_MAXUINT;
  guint busy = add_busy (G_PRIORITY_DEFAULT, &n_turns);
  Answer answer = { 0 };

  g_signal_connect (process, "notify", G_CALLBACK (work_cb), NULL);
  begin_run (process, &answer);
  answer_await (&answer);
  g_assert_no_error (answer.error);
  answer_clear (&answer);
  await_end (process);
  g_source_remove (busy);
}

/* Sources of higher priority are dispatched first, and no event is lost. */
static void
test_priority_above (Census        *census,
                     gconstpointer  data)
{
  const Operation *operation = data;
  g_autoptr(AForkProcess) process = new_with_module (afork_process_new ());
  guint n_turns = 1000;
  Answer answer = { 0 };

  add_busy (G_PRIORITY_DEFAULT - 1, &n_turns);
  operation->begin (process, &answer);
  while (n_turns > 0)
    {
      g_main_context_iteration (NULL, TRUE);
      g_assert_cmpuint (answer.n_calls, ==, 0);
    }
  answer_await (&answer);
  check_answer (operation, &answer);
  answer_clear (&answer);
  await_end (process);
}

/* Descriptors become ready while others are handled, so what was sent first may be seen last. */

/* Reports some of the descriptors that are ready, as if the others became ready just afterwards. To
 * a program that is slow, most of them are. */
static int
poll_some (GPollFD *fds,
           guint    n_fds,
           int      timeout)
{
  int n_ready = g_poll (fds, n_fds, timeout);

  if (n_ready <= 0)
    return n_ready;

  g_usleep (3000);
  n_ready = g_poll (fds, n_fds, 0);
  for (guint i = 0; i < n_fds; i++)
    if (fds[i].revents != 0 && n_ready > 1 && g_test_rand_int_range (0, 3) > 0)
      {
        fds[i].revents = 0;
        n_ready--;
      }
  return n_ready;
}

typedef struct
{
  AForkProcess *process;
  Answer        answer;
  guint         n_exited;
} Ordered;

static void
ordered_exited_cb (AForkProcess *process,
                   int           wait_status,
                   Ordered      *self)
{
  self->n_exited++;
}

/* This takes longer than the library's share of one iteration. */
static void
ordered_notify_cb (AForkProcess *process,
                   GParamSpec   *pspec,
                   Ordered      *self)
{
  g_assert_cmpuint (self->n_exited, ==, 0);
  g_usleep (3000);
}

static void
ordered_begin (Ordered         *self,
               AForkProcess    *process,
               const Operation *operation)
{
  *self = (Ordered) { .process = process };
  g_signal_connect (process, "notify", G_CALLBACK (ordered_notify_cb), self);
  g_signal_connect (process, "exited", G_CALLBACK (ordered_exited_cb), self);
  operation->begin (process, &self->answer);
}

static void
ordered_end (Ordered         *self,
             const Operation *operation)
{
  answer_await (&self->answer);
  check_answer (operation, &self->answer);
  answer_clear (&self->answer);
  await_end (self->process);
  g_assert_cmpuint (self->n_exited, ==, 1);
  g_signal_handlers_disconnect_by_data (self->process, self);
  g_clear_object (&self->process);
}

/* Each operation has the same outcome, and "exited" comes last. */
static void
test_order (Census        *census,
            gconstpointer  data)
{
  const guint n_rounds = is_instrumented () ? 5 : 15;
  const Operation *operation = data;
  GPollFunc usual = g_main_context_get_poll_func (NULL);
  g_autoptr(AForkProcess) template = new_with_module (afork_process_new_exec (NULL));
  Ordered all[6];

  g_main_context_set_poll_func (NULL, poll_some);
  for (guint i = 0; i < n_rounds; i++)
    {
      for (guint j = 0; j < G_N_ELEMENTS (all); j++)
        ordered_begin (&all[j],
                       j == 0 ? new_with_module (afork_process_new_exec (NULL))
                              : afork_process_fork (template),
                       operation);
      for (guint j = 0; j < G_N_ELEMENTS (all); j++)
        ordered_end (&all[j], operation);
    }
  g_main_context_set_poll_func (NULL, usual);
}

/* Loops in callbacks, which wait for later events of the same process and of others. */

typedef struct
{
  AForkProcess *process;
  Answer        wait;           /* an operation that was begun before */
  guint         n_exited;
} Nested;

static void
nested_exited_cb (AForkProcess *process,
                  int           wait_status,
                  gpointer      data)
{
  ((Nested *) data)->n_exited++;
}

static void
nested_begin (Nested       *self,
              AForkProcess *process)
{
  *self = (Nested) { .process = process };
  g_signal_connect (process, "exited", G_CALLBACK (nested_exited_cb), self);
  afork_process_wait_async (process, NULL, answer_cb, &self->wait);
}

/* In a callback of PROCESS: all of its later events arrive in a loop. */
static void
await_rest (gpointer process,
            gpointer data)
{
  Nested *self = data;

  afork_process_force_exit (process);
  await_end (process);
  while (self->n_exited == 0)
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);
  answer_await (&self->wait);
}

static void
test_nested_in_answer (Census        *census,
                       gconstpointer  data)
{
  const Operation *operation = data;

  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) template = new_with_module (afork_process_new ());
      g_autoptr(AForkProcess) process = i == 0 ? afork_process_fork (template)
                                               : new_with_module (afork_process_new_exec (NULL));
      g_autoptr(AForkProcess) fork G_GNUC_UNUSED = i == 2 ? afork_process_fork (process) : NULL;
      Nested nested;
      Answer answer = { .then = await_rest, .data = &nested };

      nested_begin (&nested, process);
      operation->begin (process, &answer);
      answer_await (&answer);
      check_answer (operation, &answer);
      g_assert_cmpuint (nested.n_exited, ==, 1);
      answer_clear (&answer);
      answer_clear (&nested.wait);
    }
}

static void
block_for_another (gpointer process,
                   gpointer data)
{
  g_autoptr(AForkProcess) other = afork_process_fork (data);
  g_autoptr(AForkProcess) executed = afork_process_fork (data);
  g_autoptr(AForkProcess) detached = afork_process_fork (data);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  int fd;

  connection = afork_process_run (other, "until_closed", NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&connection);
  g_assert_true (afork_process_wait (other, NULL, &error));
  connection = afork_process_exec (executed, STRV ("true"), NULL, &error);
  g_assert_no_error (error);
  g_assert_true (afork_process_wait (executed, NULL, &error));
  fd = afork_process_detach (detached, NULL, &error);
  g_assert_no_error (error);
  close (fd);
  g_assert_true (afork_process_wait (detached, NULL, &error));
  afork_process_force_exit (process);
  g_assert_true (afork_process_wait (process, NULL, &error));
  g_assert_no_error (error);
}

/* Blocking calls in callbacks: on other processes, and on the process itself. */
static void
test_nested_blocking (Census        *census,
                      gconstpointer  data)
{
  const Operation *operation = data;
  g_autoptr(AForkProcess) template = new_with_module (afork_process_new ());
  g_autoptr(AForkProcess) process = afork_process_fork (template);
  Answer answer = { .then = block_for_another, .data = template };

  operation->begin (process, &answer);
  answer_await (&answer);
  check_answer (operation, &answer);
  answer_clear (&answer);
  await_end (process);
}

/* In a handler: an operation that was begun before returns in a loop there. */
static void
await_answer_cb (AForkProcess *process,
                 GParamSpec   *pspec,
                 Answer       *answer)
{
  if (afork_process_get_state (process) == GPOINTER_TO_UINT (answer->data))
    answer_await (answer);
}

static void
test_nested_in_notify (void)
{
  g_autoptr(AForkProcess) process = new_with_module (afork_process_new ());
  g_autoptr(AForkProcess) known = new_with_module (afork_process_new ());
  g_autoptr(AForkProcess) killed = new_with_module (afork_process_new ());
  Answer run = { .data = GUINT_TO_POINTER (AFORK_PROCESS_STATE_RUNNING) };
  Answer run_known = { .data = GUINT_TO_POINTER (AFORK_PROCESS_STATE_PREPARING) };
  Answer wait = { .data = GUINT_TO_POINTER (AFORK_PROCESS_STATE_EXITED) };

  g_signal_connect (process, "notify::state", G_CALLBACK (await_answer_cb), &run);
  begin_run (process, &run);
  answer_await (&run);
  g_assert_no_error (run.error);

  g_signal_connect (known, "notify::state", G_CALLBACK (await_answer_cb), &run_known);
  begin_run (known, &run_known);
  answer_await (&run_known);
  g_assert_no_error (run_known.error);

  g_signal_connect (killed, "notify::state", G_CALLBACK (await_answer_cb), &wait);
  begin_wait (killed, &wait);
  answer_await (&wait);
  g_assert_no_error (wait.error);

  answer_clear (&run);
  answer_clear (&run_known);
  answer_clear (&wait);
  await_end (process);
  await_end (known);
}

static void
await_wait_cb (AForkProcess *process,
               int           wait_status,
               gpointer      data)
{
  answer_await (data);
}

static void
test_nested_in_exited (void)
{
  g_autoptr(AForkProcess) process = new_with_module (afork_process_new ());
  Answer wait = { 0 };

  g_signal_connect (process, "exited", G_CALLBACK (await_wait_cb), &wait);
  begin_wait (process, &wait);
  await_end (process);
  answer_await (&wait);
  g_assert_no_error (wait.error);
  answer_clear (&wait);
}

static void
await_other_wait (gpointer process,
                  gpointer data)
{
  answer_await (data);
}

/* Several operations wait for the same event. Each waits in its callback for the next one. */
static void
test_nested_waits (void)
{
  g_autoptr(AForkProcess) process = new_with_module (afork_process_new ());
  Answer waits[3] = { { 0 } };

  for (gsize i = 0; i < G_N_ELEMENTS (waits); i++)
    {
      if (i + 1 < G_N_ELEMENTS (waits))
        waits[i] = (Answer) { .then = await_other_wait, .data = &waits[i + 1] };
      afork_process_wait_async (process, NULL, answer_cb, &waits[i]);
    }
  afork_process_force_exit (process);
  for (gsize i = 0; i < G_N_ELEMENTS (waits); i++)
    {
      answer_await (&waits[i]);
      g_assert_no_error (waits[i].error);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (waits); i++)
    answer_clear (&waits[i]);
}

/* A template fails, and each of its forks with it. The first one that is notified waits for the
 * others. */
static void
test_nested_forks (void)
{
  for (guint first = 0; first < 3; first++)
    {
      g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
      AForkProcess *processes[3] = { template };
      Answer answers[3] = { { 0 } };

      afork_process_require (template, "no-such-module");
      for (guint i = 1; i < 3; i++)
        processes[i] = afork_process_fork (template);
      for (guint i = 0; i < 3; i++)
        {
          guint next = (first + i + 1) % 3;

          if (i < 2)
            answers[(first + i) % 3] = (Answer) { .then = await_other_wait,
                                                  .data = &answers[next] };
        }
      for (guint i = 0; i < 3; i++)
        begin_run (processes[i], &answers[i]);
      for (guint i = 0; i < 3; i++)
        {
          answer_await (&answers[i]);
          g_assert_error (answers[i].error, AFORK_ERROR, AFORK_ERROR_MODULE);
        }
      for (guint i = 0; i < 3; i++)
        {
          await_end (processes[i]);
          answer_clear (&answers[i]);
          if (i > 0)
            g_object_unref (processes[i]);
        }
    }
}

static AForkRuntime *
new_missing_runtime (void)
{
  return g_object_new (AFORK_TYPE_RUNTIME,
                       "name", "missing",
                       "argv", STRV ("/no/such/program"),
                       "can-fork", TRUE,
                       "can-pass-fds", TRUE,
                       NULL);
}

/* A process that cannot be started fails in its own context. */
static void
test_failure_reported (void)
{
  g_autoptr(AForkRuntime) runtime = new_missing_runtime ();
  g_autoptr(AForkProcess) process = afork_process_new_exec (runtime);
  g_autoptr(AForkProcess) blocking = afork_process_new_exec (runtime);
  g_autoptr(GError) error = NULL;
  Nested nested;

  /* Under valgrind 3.19 vfork() is fork(), so a program that cannot be executed appears to exit
   * with 127. */
  if (is_under_valgrind ())
    {
      g_test_skip ("Under valgrind, executing does not fail at once");
      return;
    }

  nested_begin (&nested, process);
  answer_await (&nested.wait);
  g_assert_error (nested.wait.error, AFORK_ERROR, AFORK_ERROR_SPAWN);
  g_assert_cmpuint (nested.n_exited, ==, 1);
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_EXITED);
  answer_clear (&nested.wait);

  g_assert_false (afork_process_wait (blocking, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
  g_assert_cmpint (afork_process_get_state (blocking), ==, AFORK_PROCESS_STATE_EXITED);
}

/* One context for each thread. */

static void
test_each_operation (GThread *thread)
{
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    {
      g_autoptr(AForkProcess) process = new_with_module (afork_process_new ());
      Answer answer = { 0 };

      operations[i].begin (process, &answer);
      answer_await (&answer);
      check_answer (&operations[i], &answer);
      g_assert_true (answer.thread == thread);
      if (answer.fd > 0)
        {
          g_autoptr(AForkProcess) taken = afork_process_new_from_fd (g_steal_fd (&answer.fd));
          Answer of_taken = { 0 };

          begin_run (taken, &of_taken);
          answer_await (&of_taken);
          g_assert_no_error (of_taken.error);
          g_assert_true (of_taken.thread == thread);
          answer_clear (&of_taken);
          await_end (taken);
        }
      answer_clear (&answer);
      await_end (process);
    }
}

static gpointer
use_own_context (gpointer data)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  AForkProcess *template;

  g_main_context_push_thread_default (context);
  template = afork_runtime_get_template (afork_runtime_get_native ());
  afork_process_set_die_with_parent (template, TRUE);
  afork_process_set_spare (template, 2);
  test_each_operation (g_thread_self ());
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_threads (void)
{
  GThread *threads[3];

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("user", use_own_context, NULL);
  test_each_operation (g_thread_self ());
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

/* Objects stay in the context in which they were made, whatever the default context of the thread
 * is later. */
static void
test_pushed (void)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) process = NULL;
  Answer answer = { 0 };

  g_main_context_push_thread_default (context);
  process = new_with_module (afork_process_new_exec (NULL));
  begin_run (process, &answer);
  g_main_context_pop_thread_default (context);

  for (guint i = 0; i < 100; i++)
    g_main_context_iteration (NULL, FALSE);
  g_assert_cmpuint (answer.n_calls, ==, 0);

  g_main_context_push_thread_default (context);
  answer_await (&answer);
  g_assert_no_error (answer.error);
  answer_clear (&answer);
  await_end (process);
  afork_runtime_set_template (afork_runtime_get_native (), NULL);
  g_main_context_pop_thread_default (context);
}

/* A context that changes its owner while operations are pending. */

typedef struct
{
  GMainContext *context;
  AForkProcess *processes[G_N_ELEMENTS (operations)];
  Answer        answers[G_N_ELEMENTS (operations)];
} Handed;

static gpointer
begin_all (gpointer data)
{
  Handed *self = data;

  g_main_context_push_thread_default (self->context);
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    {
      self->processes[i] = new_with_module (i % 2 == 0 ? afork_process_new ()
                                                       : afork_process_new_exec (NULL));
      operations[i].begin (self->processes[i], &self->answers[i]);
    }
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

static gpointer
finish_all (gpointer data)
{
  Handed *self = data;

  g_main_context_push_thread_default (self->context);
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    {
      answer_await (&self->answers[i]);
      g_assert_true (self->answers[i].thread == g_thread_self ());
      check_answer (&operations[i], &self->answers[i]);
      answer_clear (&self->answers[i]);
      await_end (self->processes[i]);
    }
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

static void
test_handed_on (void)
{
  Handed handed = { .context = g_main_context_new () };

  g_thread_join (g_thread_new ("beginner", begin_all, &handed));
  g_thread_join (g_thread_new ("finisher", finish_all, &handed));
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    g_object_unref (handed.processes[i]);
  g_main_context_unref (handed.context);
}

/* A pending operation keeps its context, as each GTask does. When the process exits, the operation
 * returns in the thread that iterates the context. */
static gpointer
drop_in_thread (gpointer data)
{
  Handed *self = data;

  begin_all (self);
  g_main_context_unref (self->context);
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    g_object_unref (self->processes[i]);
  return NULL;
}

static void
test_kept_by_operation (void)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  Handed handed = { .context = g_main_context_ref (context) };

  g_thread_join (g_thread_new ("dropper", drop_in_thread, &handed));
  g_main_context_push_thread_default (context);
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    {
      answer_await (&handed.answers[i]);
      check_answer (&operations[i], &handed.answers[i]);
      answer_clear (&handed.answers[i]);
    }
  afork_runtime_set_template (afork_runtime_get_native (), NULL);
  g_main_context_pop_thread_default (context);
}

/* Contexts that are freed while processes are in all other states. */
static gpointer
leave_all (gpointer data)
{
  GPtrArray *left = data;
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) detached = NULL;
  g_autoptr(AForkRuntime) runtime = NULL;
  Answer answer = { 0 };
  AForkProcess *template;

  g_main_context_push_thread_default (context);
  template = new_with_module (afork_process_new_exec (NULL));
  g_ptr_array_add (left, template);
  afork_process_set_spare (template, 1);
  afork_process_set_die_with_parent (template, TRUE);
  g_ptr_array_add (left, afork_process_fork (template));
  g_ptr_array_add (left, afork_process_new ());
  g_object_unref (run_process_ok (g_ptr_array_index (left, 1), "forever"));

  detached = afork_process_fork (template);
  begin_detach (detached, &answer);
  answer_await (&answer);
  g_ptr_array_add (left, afork_process_new_from_fd (g_steal_fd (&answer.fd)));
  answer_clear (&answer);
  g_ptr_array_add (left, g_object_ref (detached));

  /* A process that has failed, and whose failure is not reported yet. */
  runtime = new_missing_runtime ();
  g_ptr_array_add (left, afork_process_new_exec (runtime));
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_gone (void)
{
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr(GPtrArray) left = g_ptr_array_new_with_free_func (g_object_unref);

      g_thread_join (g_thread_new ("leaver", leave_all, left));
      for (guint j = 0; j < left->len; j++)
        {
          AForkProcess *process = g_ptr_array_index (left, j);
          g_autoptr(GError) error = NULL;

          g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_EXITED);
          g_assert_false (afork_process_wait (process, NULL, &error));
          g_assert_true (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_CLOSED)
                         || g_error_matches (error, AFORK_ERROR, AFORK_ERROR_SPAWN));
          afork_process_force_exit (process);
        }
    }
}

/* Objects whose last reference is dropped by another thread. */

enum { N_DROPPED = 200 };

static gpointer
drop_all (gpointer data)
{
  gpointer object;

  while ((object = g_async_queue_pop (data)) != data)
    g_object_unref (object);
  return NULL;
}

/* The context works with them meanwhile: when they start, run and exit. */
static void
test_dropped_elsewhere (void)
{
  g_autoptr(GAsyncQueue) queue = g_async_queue_new ();
  GThread *thread = g_thread_new ("dropper", drop_all, queue);
  g_autoptr(AForkProcess) template = new_with_module (afork_process_new_exec (NULL));
  guint n_processes = is_instrumented () ? N_DROPPED / 10 : N_DROPPED;

  for (guint i = 0; i < n_processes; i++)
    {
      AForkProcess *process = i % 5 == 0 ? new_with_module (afork_process_new_exec (NULL))
                                         : afork_process_fork (template);
      Answer answer = { 0 };

      if (i % 3 == 0)
        afork_process_set_spare (process, 1);
      if (i % 2 == 0)
        {
          begin_run (process, &answer);
          answer_await (&answer);
          g_assert_no_error (answer.error);
          answer_clear (&answer);
        }
      g_async_queue_push (queue, process);
      for (guint j = i % 7; j > 0; j--)
        g_main_context_iteration (NULL, FALSE);
    }
  g_async_queue_push (queue, queue);
  g_thread_join (thread);
}

enum { N_ENDING = 16, N_ROUNDS = 40 };

typedef struct
{
  AForkProcess *processes[N_ENDING];
  int           begun;          /* one of them has exited */
  int           done;           /* all of them are dropped */
} Ending;

static void
begin_cb (AForkProcess *process,
          int           wait_status,
          gpointer      data)
{
  g_atomic_int_set (&((Ending *) data)->begun, TRUE);
}

/* This takes little time. */
static gpointer
drop_when_begun (gpointer data)
{
  Ending *self = data;

  while (!g_atomic_int_get (&self->begun))
    ;
  for (guint i = 0; i < N_ENDING; i++)
    g_object_unref (self->processes[i]);
  g_atomic_int_set (&self->done, TRUE);
  g_main_context_wakeup (NULL);
  return NULL;
}

/* The context receives one exit after the other meanwhile. */
static void
test_dropped_as_they_end (void)
{
  g_autoptr(AForkProcess) template = new_with_module (afork_process_new_exec (NULL));
  guint n_rounds = is_instrumented () ? N_ROUNDS / 10 : N_ROUNDS;

  for (guint i = 0; i < n_rounds; i++)
    {
      Ending ending = { 0 };
      Answer answers[N_ENDING] = { 0 };
      GThread *thread;

      for (guint j = 0; j < N_ENDING; j++)
        {
          ending.processes[j] = afork_process_fork (template);
          begin_run (ending.processes[j], &answers[j]);
        }
      for (guint j = 0; j < N_ENDING; j++)
        {
          answer_await (&answers[j]);
          g_assert_no_error (answers[j].error);
        }

      g_signal_connect (ending.processes[0], "exited", G_CALLBACK (begin_cb), &ending);
      thread = g_thread_new ("dropper", drop_when_begun, &ending);
      for (guint j = 0; j < N_ENDING; j++)
        answer_clear (&answers[j]);
      while (!g_atomic_int_get (&ending.done))
        g_main_context_iteration (NULL, TRUE);
      g_thread_join (thread);
    }
}

/* A main context that is never iterated. */

static gsize
count_heap (void)
{
  struct mallinfo2 info = mallinfo2 ();

  return info.uordblks + info.hblkhd;
}

static void
run_and_drop (guint n_processes)
{
  for (guint i = 0; i < n_processes; i++)
    {
      g_autoptr(AForkProcess) dropped = new_with_module (afork_process_new ());
      g_autoptr(AForkProcess) waited = new_with_module (afork_process_new ());
      g_autoptr(GSocketConnection) connection = NULL;
      g_autoptr(GSocketConnection) of_waited = NULL;
      g_autoptr(GError) error = NULL;

      connection = afork_process_run (dropped, "done", NULL, &error);
      g_assert_no_error (error);
      g_clear_object (&dropped);
      of_waited = afork_process_run (waited, "done", NULL, &error);
      g_assert_no_error (error);
      g_assert_true (afork_process_wait (waited, NULL, &error));
      g_assert_no_error (error);
      assert_exit_status (waited, 0);
    }
}

/* A program may make only blocking calls. Events of other processes that these receive do not pile
 * up. */
static void
test_never_iterated (void)
{
  gsize before, after;

  run_and_drop (100);
  before = count_heap ();
  run_and_drop (100);
  after = count_heap ();
  g_test_message ("%" G_GSIZE_FORMAT " bytes became %" G_GSIZE_FORMAT, before, after);
  if (!is_instrumented ())
    g_assert_cmpuint (after, <, before + 100 * 100);
}

/* A thread without a context of its own, while another thread iterates the default context. */

static gpointer
make_in_default (gpointer data)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  GError **error = data;

  process = afork_process_new ();
  g_assert_nonnull (process);
  connection = afork_process_run (process, "until_closed", NULL, error);
  g_assert_null (connection);
  return NULL;
}

static gboolean
join_cb (gpointer data)
{
  g_autoptr(GError) error = NULL;

  g_test_expect_message ("AFork", G_LOG_LEVEL_CRITICAL, "*another thread uses*");
  g_thread_join (g_thread_new ("intruder", make_in_default, &error));
  g_test_assert_expected_messages ();
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_main_loop_quit (data);
  return G_SOURCE_REMOVE;
}

static void
test_intruder (void)
{
  g_autoptr(GMainLoop) loop = g_main_loop_new (NULL, FALSE);

  g_idle_add (join_cb, loop);
  g_main_loop_run (loop);
}

static gpointer
get_template (gpointer data)
{
  afork_runtime_get_template (afork_runtime_get_native ());
  return NULL;
}

static gboolean
join_getter_cb (gpointer data)
{
  g_test_expect_message ("AFork", G_LOG_LEVEL_CRITICAL, "*another thread uses*");
  g_thread_join (g_thread_new ("intruder", get_template, NULL));
  g_test_assert_expected_messages ();
  g_main_loop_quit (data);
  return G_SOURCE_REMOVE;
}

/* A refused template is not used, and does not prevent another one. */
static void
test_intruder_template (void)
{
  g_autoptr(GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;

  g_idle_add (join_getter_cb, loop);
  g_main_loop_run (loop);
  process = new_with_module (afork_process_new ());
  connection = run_process_ok (process, "until_closed");
  finish_process (process, connection);
}

/* Threads that are refused, whether or not another thread iterates a context. */

static int n_criticals;         /* atomic */

static void
count_critical_cb (const char     *domain,
                   GLogLevelFlags  level,
                   const char     *message,
                   gpointer        data)
{
  g_assert_true (g_pattern_match_simple ("*another thread uses*", message));
  g_atomic_int_inc (&n_criticals);
}

/* g_test_expect_message() cannot expect messages of several threads. */
static void
with_criticals (void   (*test) (void))
{
  GLogLevelFlags fatal = g_log_set_always_fatal (G_LOG_FATAL_MASK);
  guint handler = g_log_set_handler ("AFork", G_LOG_LEVEL_CRITICAL, count_critical_cb, NULL);

  g_atomic_int_set (&n_criticals, 0);
  test ();
  g_log_remove_handler ("AFork", handler);
  g_log_set_always_fatal (fatal);
}

enum { N_WITHOUT = 3, N_TRIES = 50 };

/* A thread that makes processes in the global default context, one after another. */
typedef struct
{
  GAsyncQueue *begun;           /* signals that the thread has made its first process */
  GAsyncQueue *end;             /* tells the thread to end; NULL if it ends by itself */
  guint        n_ok;
  guint        n_refused;
} Without;

static void
try_blocking (Without *self)
{
  g_autoptr(AForkProcess) process = new_with_module (afork_process_new ());
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  connection = afork_process_run (process, "done", NULL, &error);
  if (connection != NULL && afork_process_wait (process, NULL, &error))
    {
      self->n_ok++;
      return;
    }

  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  self->n_refused++;
}

static gpointer
run_without_context (gpointer data)
{
  Without *self = data;

  for (guint i = 0; i < N_TRIES; i++)
    {
      try_blocking (self);
      if (i == 0 && self->begun != NULL)
        g_async_queue_push (self->begun, self);
    }
  if (self->end != NULL)
    g_async_queue_pop (self->end);
  return NULL;
}

static void
begin_without_context (Without *withouts,
                       GThread **threads)
{
  for (guint i = 0; i < N_WITHOUT; i++)
    threads[i] = g_thread_new ("without", run_without_context, &withouts[i]);
}

static void
refuse_when_main_is_home (void)
{
  g_autoptr(AForkProcess) process = new_with_module (afork_process_new ());
  Without withouts[N_WITHOUT] = { 0 };
  GThread *threads[N_WITHOUT];
  g_autoptr(GSocketConnection) connection = NULL;

  begin_without_context (withouts, threads);
  for (guint i = 0; i < N_WITHOUT; i++)
    {
      g_thread_join (threads[i]);
      g_assert_cmpuint (withouts[i].n_refused, ==, N_TRIES);
    }
  /* One critical message for each process. */
  g_assert_cmpint (g_atomic_int_get (&n_criticals), ==, N_WITHOUT * N_TRIES);

  connection = run_process_ok (process, "until_closed");
  finish_process (process, connection);
}

/* No thread iterates the default context, and the first thread has become its home thread. */
static void
refuse_all_but_first (void)
{
  Without withouts[N_WITHOUT] = { 0 };
  GThread *threads[N_WITHOUT];

  withouts[0].begun = g_async_queue_new ();
  withouts[0].end = g_async_queue_new ();
  threads[0] = g_thread_new ("first", run_without_context, &withouts[0]);
  g_async_queue_pop (withouts[0].begun);
  for (guint i = 1; i < N_WITHOUT; i++)
    threads[i] = g_thread_new ("without", run_without_context, &withouts[i]);
  for (guint i = 1; i < N_WITHOUT; i++)
    {
      g_thread_join (threads[i]);
      g_assert_cmpuint (withouts[i].n_refused, ==, N_TRIES);
    }
  g_async_queue_push (withouts[0].end, withouts);
  g_thread_join (threads[0]);
  g_assert_cmpuint (withouts[0].n_ok, ==, N_TRIES);
  g_async_queue_unref (withouts[0].begun);
  g_async_queue_unref (withouts[0].end);

  /* When the thread has ended, it is no longer the home thread. Its template is that of the next
   * one. */
  try_blocking (&withouts[1]);
  g_assert_cmpuint (withouts[1].n_ok, ==, 1);
  afork_runtime_set_template (afork_runtime_get_native (), NULL);
}

/* The thread that comes first becomes the home thread. */
static void
refuse_in_any_order (void)
{
  Without withouts[N_WITHOUT] = { 0 };
  GThread *threads[N_WITHOUT];

  begin_without_context (withouts, threads);
  for (guint i = 0; i < N_WITHOUT; i++)
    {
      g_thread_join (threads[i]);
      g_assert_cmpuint (withouts[i].n_ok + withouts[i].n_refused, ==, N_TRIES);
    }
  afork_runtime_set_template (afork_runtime_get_native (), NULL);
}

static void
test_refused_home (void)
{
  with_criticals (refuse_when_main_is_home);
}

static void
test_refused_first (void)
{
  with_criticals (refuse_all_but_first);
}

static void
test_refused_any (void)
{
  with_criticals (refuse_in_any_order);
}

/* All operations on a process, in a thread that may not use it. */

static void
expect_refusals (AForkProcess *process)
{
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    {
      Answer answer = { 0 };

      if (operations[i].begin == begin_wait)
        afork_process_wait_async (process, NULL, answer_cb, &answer);
      else
        operations[i].begin (process, &answer);
      answer_await (&answer);
      g_assert_error (answer.error, AFORK_ERROR, AFORK_ERROR_FAILED);
      answer_clear (&answer);
    }
}

static void
expect_blocking_refusals (AForkProcess *process)
{
  g_autoptr(GError) run_error = NULL;
  g_autoptr(GError) exec_error = NULL;
  g_autoptr(GError) detach_error = NULL;
  g_autoptr(GError) wait_error = NULL;

  g_assert_null (afork_process_run (process, "done", NULL, &run_error));
  g_assert_error (run_error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_assert_null (afork_process_exec (process, STRV ("true"), NULL, &exec_error));
  g_assert_error (exec_error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_assert_cmpint (afork_process_detach (process, NULL, &detach_error), ==, -1);
  g_assert_error (detach_error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_assert_false (afork_process_wait (process, NULL, &wait_error));
  g_assert_error (wait_error, AFORK_ERROR, AFORK_ERROR_FAILED);
}

static void
expect_warnings (AForkProcess *process)
{
  g_autoptr(AForkSandbox) sandbox = afork_sandbox_new ();
  g_autoptr(GBytes) bytes = g_bytes_new_static ("bytes", 5);
  g_autofree char *large = g_strnfill (100000, 'x');
  g_autoptr(AForkProcess) fork = NULL;

  g_atomic_int_set (&n_criticals, 0);
  afork_process_restrict (process, sandbox);
  afork_process_require (process, "no-such-module");
  afork_process_eval (process, "none", NULL);
  afork_process_call (process, "no_such_function", NULL);
  afork_process_send_arg (process, "item");
  afork_process_send_arg (process, large);
  afork_process_send_bytes (process, bytes);
  afork_process_send_fd (process, 0);
  afork_process_map_fd (process, 0, 0);
  afork_process_setenv (process, "AFORK_TEST_REFUSED", "1");
  afork_process_chdir (process, "/no/such/folder");
  afork_process_set_title (process, "title");
  afork_process_set_die_with_parent (process, TRUE);
  afork_process_set_spare (process, 1);
  afork_process_send_signal (process, SIGKILL);
  afork_process_force_exit (process);
  g_assert_cmpint (g_atomic_int_get (&n_criticals), ==, 16);

  fork = afork_process_fork (process);
  g_assert_cmpint (g_atomic_int_get (&n_criticals), ==, 17);
  g_assert_cmpint (afork_process_get_state (fork), ==, AFORK_PROCESS_STATE_EXITED);
}

static gpointer
use_anothers (gpointer data)
{
  g_autoptr(GMainContext) context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  expect_refusals (data);
  expect_blocking_refusals (data);
  expect_warnings (data);
  g_main_context_pop_thread_default (context);
  return NULL;
}

/* None of these had an effect. */
static void
check_unused (AForkProcess *process)
{
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "until_closed");

  g_assert_false (afork_process_get_die_with_parent (process));
  g_assert_cmpuint (afork_process_get_spare (process), ==, 0);
  finish_process (process, connection);
}

static void
refuse_each (void)
{
  g_autoptr(AForkProcess) process = new_with_module (afork_process_new ());

  g_thread_join (g_thread_new ("user", use_anothers, process));
  check_unused (process);
}

static void
test_refused_each (void)
{
  with_criticals (refuse_each);
}

/* The same for a context that its own thread owns. */
static void
refuse_each_in_pushed (void)
{
  g_autoptr(GMainContext) context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  refuse_each ();
  afork_runtime_set_template (afork_runtime_get_native (), NULL);
  g_main_context_pop_thread_default (context);
}

static void
test_refused_each_in_pushed (void)
{
  with_criticals (refuse_each_in_pushed);
}

/* The same for calls. */

static void
rpc_answer_cb (GObject      *object,
               GAsyncResult *result,
               gpointer      data)
{
  GError **error = data;

  if (g_async_result_is_tagged (result, afork_rpc_close_async))
    g_assert_false (afork_rpc_close_finish (AFORK_RPC (object), result, error));
  else
    g_assert_null (afork_rpc_call_finish (AFORK_RPC (object), result, error));
}

static void
expect_rpc_refusal (GError **error)
{
  while (*error == NULL)
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);
  g_assert_error (*error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_clear_error (error);
}

static gpointer
call_anothers (gpointer data)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkJob) job = afork_job_new (NULL);
  g_autoptr(AForkRpc) refused = NULL;
  g_autoptr(GError) error = NULL;

  g_main_context_push_thread_default (context);
  g_assert_null (afork_rpc_call (data, NULL, NULL, &error));
  expect_rpc_refusal (&error);
  g_assert_null (afork_rpc_run_job (data, job, NULL, &error));
  expect_rpc_refusal (&error);
  g_assert_false (afork_rpc_close (data, NULL, &error));
  expect_rpc_refusal (&error);
  afork_rpc_call_async (data, NULL, NULL, rpc_answer_cb, &error);
  expect_rpc_refusal (&error);
  afork_rpc_close_async (data, NULL, rpc_answer_cb, &error);
  expect_rpc_refusal (&error);

  g_atomic_int_set (&n_criticals, 0);
  afork_rpc_set_max_in_flight (data, 1);
  g_assert_cmpint (g_atomic_int_get (&n_criticals), ==, 1);
  refused = afork_rpc_new (afork_rpc_get_process (data), "calls_echo");
  g_assert_cmpint (g_atomic_int_get (&n_criticals), ==, 2);
  g_assert_null (afork_rpc_call (refused, NULL, NULL, &error));
  expect_rpc_refusal (&error);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static AForkRpc *
new_rpc (void)
{
  g_autoptr(AForkProcess) process = afork_process_require (afork_process_new (), "calls");

  return afork_rpc_new (process, "calls_echo");
}

static void
check_rpc (AForkRpc *rpc)
{
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  answer = afork_rpc_call (rpc, NULL, NULL, &error);
  g_assert_no_error (error);
}

static void
refuse_calls (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ();

  check_rpc (rpc);
  g_thread_join (g_thread_new ("user", call_anothers, rpc));
  check_rpc (rpc);
}

static void
test_refused_calls (void)
{
  with_criticals (refuse_calls);
}

/* The context works with them meanwhile: when they start and end. */
static void
test_calls_dropped_elsewhere (void)
{
  g_autoptr(GAsyncQueue) queue = g_async_queue_new ();
  GThread *thread = g_thread_new ("dropper", drop_all, queue);
  guint n_rpcs = is_instrumented () ? N_DROPPED / 20 : N_DROPPED / 2;

  for (guint i = 0; i < n_rpcs; i++)
    {
      AForkRpc *rpc = new_rpc ();

      if (i % 3 != 0)
        check_rpc (rpc);
      if (i % 3 == 2)
        afork_process_force_exit (afork_rpc_get_process (rpc));
      g_async_queue_push (queue, rpc);
      for (guint j = i % 7; j > 0; j--)
        g_main_context_iteration (NULL, FALSE);
    }
  g_async_queue_push (queue, queue);
  g_thread_join (thread);
}

/* A thread that acquires the default context can use it, even if another thread is its home
 * thread. */

static gpointer
use_acquired (gpointer data)
{
  gpointer *processes = data;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_true (g_main_context_acquire (NULL));
  connection = afork_process_run (processes[0], "done", NULL, &error);
  g_assert_no_error (error);
  g_assert_true (afork_process_wait (processes[0], NULL, &error));
  g_async_queue_push (processes[2], processes);
  g_async_queue_pop (processes[3]);
  g_main_context_release (NULL);
  return NULL;
}

static void
test_acquired (void)
{
  g_autoptr(AForkProcess) handed = new_with_module (afork_process_new ());
  g_autoptr(AForkProcess) process = new_with_module (afork_process_new ());
  g_autoptr(GAsyncQueue) acquired = g_async_queue_new ();
  g_autoptr(GAsyncQueue) end = g_async_queue_new ();
  gpointer data[] = { handed, process, acquired, end };
  GThread *thread = g_thread_new ("user", use_acquired, data);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  g_async_queue_pop (acquired);
  g_assert_null (afork_process_run (process, "until_closed", NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_async_queue_push (end, data);
  g_thread_join (thread);

  connection = run_process_ok (process, "until_closed");
  finish_process (process, connection);
}

/* The thread of a task has a context of its own, and makes blocking calls, while the main loop
 * runs. */

static void
use_task_thread (GTask        *task,
                 gpointer      object,
                 gpointer      data,
                 GCancellable *cancellable)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  Without self = { 0 };

  g_main_context_push_thread_default (context);
  for (guint i = 0; i < N_TRIES; i++)
    try_blocking (&self);
  g_main_context_pop_thread_default (context);
  g_assert_cmpuint (self.n_ok, ==, N_TRIES);
  g_task_return_boolean (task, TRUE);
}

static void
test_task_thread (void)
{
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GTask) task = g_task_new (NULL, NULL, store_result_cb, &result);
  guint n_done = 0;

  /* The thread keeps a descriptor for its blocking calls until it ends. */
  g_thread_pool_set_max_idle_time (10);
  g_task_run_in_thread (task, use_task_thread);
  while (result == NULL)
    {
      g_autoptr(AForkProcess) process = new_with_module (afork_process_new ());
      g_autoptr(GSocketConnection) connection = run_process_ok (process, "until_closed");

      finish_process (process, connection);
      n_done++;
    }
  g_test_message ("%u processes in the main loop meanwhile", n_done);
}

/* If no other thread iterates it, the thread can use it like a context of its own. */
static gpointer
use_default (gpointer data)
{
  test_each_operation (g_thread_self ());
  afork_runtime_set_template (afork_runtime_get_native (), NULL);
  return NULL;
}

static void
test_default_elsewhere (void)
{
  g_thread_join (g_thread_new ("user", use_default, NULL));
}

static void
add_operations (const char  *folder,
                void       (*test) (Census        *census,
                                    gconstpointer  data))
{
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    {
      g_autofree char *path = g_build_path ("/", folder, operations[i].name, NULL);

      add_with_data (path, &operations[i], test);
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_operations ("/main-context/priority/not-above", test_priority_not_above);
  add_operations ("/main-context/priority/above", test_priority_above);
  add_test ("/main-context/priority/slow-handler", test_priority_slow_handler);
  add_operations ("/main-context/order", test_order);
  add_operations ("/main-context/nested/in-answer", test_nested_in_answer);
  add_operations ("/main-context/nested/blocking", test_nested_blocking);
  add_test ("/main-context/nested/in-notify", test_nested_in_notify);
  add_test ("/main-context/nested/in-exited", test_nested_in_exited);
  add_test ("/main-context/nested/waits", test_nested_waits);
  add_test ("/main-context/nested/forks", test_nested_forks);
  add_test ("/main-context/failure-reported", test_failure_reported);
  add_test ("/main-context/threads", test_threads);
  add_test ("/main-context/pushed", test_pushed);
  add_test ("/main-context/handed-on", test_handed_on);
  add_test ("/main-context/kept-by-operation", test_kept_by_operation);
  add_test ("/main-context/gone", test_gone);
  add_test ("/main-context/dropped-elsewhere", test_dropped_elsewhere);
  add_test ("/main-context/dropped-as-they-end", test_dropped_as_they_end);
  add_test ("/main-context/never-iterated", test_never_iterated);
  add_test ("/main-context/intruder", test_intruder);
  add_test ("/main-context/intruder/template", test_intruder_template);
  add_test ("/main-context/default-elsewhere", test_default_elsewhere);
  add_test ("/main-context/refused/home", test_refused_home);
  add_test ("/main-context/refused/first", test_refused_first);
  add_test ("/main-context/refused/any", test_refused_any);
  add_test ("/main-context/refused/each", test_refused_each);
  add_test ("/main-context/refused/each-in-pushed", test_refused_each_in_pushed);
  add_test ("/main-context/refused/calls", test_refused_calls);
  add_test ("/main-context/calls-dropped-elsewhere", test_calls_dropped_elsewhere);
  add_test ("/main-context/acquired", test_acquired);
  add_test ("/main-context/task-thread", test_task_thread);

  return g_test_run ();
}
