/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A program that calls fork() itself, after which both processes go on. The parent notices nothing.
 * In the child, all objects that were there before are lost. */

#include "config.h"

#include "test-hostile-util.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined (__has_include)
# if __has_include (<valgrind/valgrind.h>)
#  include <valgrind/valgrind.h>
# endif
#endif

static AForkRpc *
new_echo_rpc (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("calls");

  return afork_rpc_new (process, "calls_echo");
}

static void
check_call (AForkRpc *rpc)
{
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  answer = afork_rpc_call (rpc, g_variant_new ("(s)", "hello"), NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (answer), ==, "(s)");
}

/* The child leaks the memory of the parent: valgrind must look for leaks in the parent only. */
static void
accept_leaks (void)
{
#ifdef VALGRIND_CLO_CHANGE
  VALGRIND_CLO_CHANGE ("--leak-check=no");
#endif
}

/* Runs FUNC in a child, which must exit. */
static void
run_in_child (void   (*func) (gpointer data),
              gpointer data)
{
  pid_t child = fork ();
  int status;

  if (child == 0)
    {
      accept_leaks ();
      /* A child that hangs is ended. */
      alarm (120);
      func (data);
      _exit (0);
    }

  g_assert_cmpint (child, >, 0);
  while (waitpid (child, &status, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  g_assert_cmpint (status, ==, 0);
}

/* The objects of the parent when it forks: processes in all states, and calls. */
typedef struct
{
  AForkProcess      *prepared;
  AForkProcess      *running;
  AForkProcess      *executed;
  GSocketConnection *connection;
  AForkRpc          *rpc;
} Parent;

static void
parent_begin (Parent *self)
{
  self->prepared = new_module_process ("lifecycle");
  self->running = new_module_process ("lifecycle");
  self->connection = run_process_ok (self->running, "until_closed");
  self->executed = afork_process_require (afork_process_new_exec (NULL), "lifecycle");
  afork_process_set_spare (self->executed, 1);
  self->rpc = new_echo_rpc ();
  check_call (self->rpc);
}

/* Nothing has happened to any of them. */
static void
parent_end (Parent *self)
{
  g_autoptr(GSocketConnection) of_prepared = run_process_ok (self->prepared, "until_closed");
  g_autoptr(GSocketConnection) of_executed = run_process_ok (self->executed, "until_closed");
  g_autoptr(GError) error = NULL;

  check_call (self->rpc);
  g_assert_true (afork_rpc_close (self->rpc, NULL, &error));
  g_assert_no_error (error);
  finish_process (self->prepared, of_prepared);
  finish_process (self->executed, of_executed);
  g_assert_cmpint (afork_process_get_state (self->running), ==, AFORK_PROCESS_STATE_RUNNING);
  finish_process (self->running, self->connection);
  g_clear_object (&self->connection);
  g_clear_object (&self->prepared);
  g_clear_object (&self->running);
  g_clear_object (&self->executed);
  g_clear_object (&self->rpc);
}

/* The next use of an object from before fails. */

static void
expect_lost (GError **error)
{
  g_assert_error (*error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_assert_true (g_pattern_match_simple ("*fork()*", (*error)->message));
  g_clear_error (error);
}

static void
expect_lost_process (AForkProcess *process)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (afork_process_run (process, "until_closed", NULL, &error));
  expect_lost (&error);
  g_assert_false (afork_process_wait (process, NULL, &error));
  expect_lost (&error);
  g_assert_cmpint (afork_process_detach (process, NULL, &error), ==, -1);
  expect_lost (&error);
}

static void
use_lost (gpointer data)
{
  Parent *parent = data;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GError) error = NULL;

  expect_lost_process (parent->prepared);
  expect_lost_process (parent->running);
  expect_lost_process (parent->executed);
  fork = afork_process_fork (parent->executed);
  g_assert_null (afork_process_run (fork, "until_closed", NULL, &error));
  expect_lost (&error);
  answer = afork_rpc_call (parent->rpc, NULL, NULL, &error);
  g_assert_null (answer);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
}

static void
test_lost (void)
{
  Parent parent;

  parent_begin (&parent);
  run_in_child (use_lost, &parent);
  parent_end (&parent);
}

/* The child kills and drops its copies, and iterates the main context. */

static void
drop_lost (gpointer data)
{
  Parent *parent = data;

  afork_process_send_arg (parent->prepared, "for nobody");
  afork_process_send_signal (parent->running, SIGKILL);
  afork_process_force_exit (parent->prepared);
  afork_process_force_exit (parent->running);
  afork_process_force_exit (parent->executed);
  for (int i = 0; i < 100; i++)
    g_main_context_iteration (NULL, FALSE);
  g_object_unref (parent->prepared);
  g_object_unref (parent->running);
  g_object_unref (parent->executed);
  g_object_unref (parent->rpc);
  for (int i = 0; i < 100; i++)
    g_main_context_iteration (NULL, FALSE);
}

static void
test_dropped (void)
{
  Parent parent;

  parent_begin (&parent);
  run_in_child (drop_lost, &parent);
  parent_end (&parent);
}

/* The child starts again, with its own templates. */

static void
begin_afresh (gpointer data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  AForkProcess *template = afork_runtime_get_template (runtime);
  Parent parent;

  g_assert_true (template != data);
  for (int i = 0; i < 3; i++)
    {
      parent_begin (&parent);
      parent_end (&parent);
    }
  afork_runtime_set_template (runtime, NULL);
}

static void
test_afresh (void)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  Parent parent;

  parent_begin (&parent);
  run_in_child (begin_afresh, afork_runtime_get_template (runtime));
  parent_end (&parent);
}

/* A grandchild works like a child. */
static void
fork_again (gpointer data)
{
  Parent parent;

  use_lost (data);
  parent_begin (&parent);
  run_in_child (use_lost, &parent);
  run_in_child (begin_afresh, NULL);
  parent_end (&parent);
  afork_runtime_set_template (afork_runtime_get_native (), NULL);
}

static void
test_again (void)
{
  Parent parent;

  parent_begin (&parent);
  run_in_child (fork_again, &parent);
  parent_end (&parent);
}

/* Operations that were begun before return in both: in the parent as usual, and in the child with
 * an error. */

typedef struct
{
  AForkProcess *process;
  GAsyncResult *run;
  GAsyncResult *wait;
} Pending;

static void
await_lost (gpointer data)
{
  Pending *pending = data;
  g_autoptr(GError) error = NULL;

  await_result (&pending->run);
  g_assert_null (afork_process_run_finish (pending->process, pending->run, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_clear_error (&error);
  await_result (&pending->wait);
  g_assert_false (afork_process_wait_finish (pending->process, pending->wait, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
}

static void
test_pending (void)
{
  Pending pending = { .process = new_module_process ("lifecycle") };
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_run_async (pending.process, "done", NULL, store_result_cb, &pending.run);
  afork_process_wait_async (pending.process, NULL, store_result_cb, &pending.wait);
  run_in_child (await_lost, &pending);

  await_result (&pending.run);
  connection = afork_process_run_finish (pending.process, pending.run, &error);
  g_assert_no_error (error);
  await_result (&pending.wait);
  g_assert_true (afork_process_wait_finish (pending.process, pending.wait, &error));
  assert_exit_status (pending.process, 0);
  g_object_unref (pending.process);
  g_object_unref (pending.run);
  g_object_unref (pending.wait);
}

static void
write_own (gpointer data)
{
  g_assert_cmpint (write (GPOINTER_TO_INT (data), "x", 1), ==, 1);
}

/* The same for calls that the worker has, for calls that wait, and for calls with a time limit. */

typedef struct
{
  AForkRpc     *rpc;
  GAsyncResult *results[3];
} Calls;

static void
await_lost_calls (gpointer data)
{
  Calls *calls = data;
  g_autoptr(GAsyncResult) closed = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (calls->results); i++)
    {
      await_result (&calls->results[i]);
      answer = i < 2 ? afork_rpc_call_finish (calls->rpc, calls->results[i], &error)
                     : afork_rpc_run_job_finish (calls->rpc, calls->results[i], &error);
      g_assert_null (answer);
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
      g_clear_error (&error);
    }

  afork_rpc_close_async (calls->rpc, NULL, store_result_cb, &closed);
  await_result (&closed);
  g_assert_false (afork_rpc_close_finish (calls->rpc, closed, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
}

/* The child uses the object first. */
static void
use_lost_calls (gpointer data)
{
  Calls *calls = data;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  answer = afork_rpc_call (calls->rpc, NULL, NULL, &error);
  g_assert_null (answer);
  expect_lost (&error);
  await_lost_calls (data);
}

static void
test_pending_calls (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(AForkJob) job = afork_job_new (do_args ("wait", 0));
  Calls calls = { .rpc = rpc };

  g_variant_unref (call (rpc, do_args ("unit", 0), NULL));
  afork_rpc_set_max_in_flight (rpc, 1);
  begin_call (rpc, "wait", 0, cancellable, &calls.results[0]);
  begin_call (rpc, "wait", 0, cancellable, &calls.results[1]);
  afork_job_set_timeout (job, 100000);
  afork_rpc_run_job_async (rpc, job, cancellable, store_result_cb, &calls.results[2]);
  run_in_child (await_lost_calls, &calls);
  run_in_child (use_lost_calls, &calls);
  for (int i = 0; i < 10; i++)
    g_main_context_iteration (NULL, FALSE);
  run_in_child (await_lost_calls, &calls);

  g_cancellable_cancel (cancellable);
  for (gsize i = 0; i < G_N_ELEMENTS (calls.results); i++)
    {
      g_autoptr(GError) error = NULL;

      await_result (&calls.results[i]);
      g_assert_null (i < 2 ? afork_rpc_call_finish (rpc, calls.results[i], &error)
                           : afork_rpc_run_job_finish (rpc, calls.results[i], &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_object (&calls.results[i]);
    }
  close_rpc (rpc);
}

/* A handler forks the program while a blocking call waits. The call goes on in the parent, and in
 * the child it fails. */

typedef struct
{
  pid_t child;                  /* 0 in the child; -1 before */
} Fork;

static void
fork_cb (GObject *object,
         gpointer unused,
         Fork    *self)
{
  if (self->child >= 0)
    return;

  self->child = fork ();
  if (self->child == 0)
    {
      alarm (120);
      /* The turn of the source is over then, and the next one does the rest. */
      g_usleep (20 * 1000);
    }
}

static void
end_fork (Fork *self)
{
  int status;

  if (self->child == 0)
    _exit (0);
  g_assert_cmpint (self->child, >, 0);
  g_assert_cmpint (waitpid (self->child, &status, 0), ==, self->child);
  g_assert_cmpint (status, ==, 0);
}

static void
test_in_handler_of_call (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;
  Fork fork = { -1 };

  g_signal_connect (rpc, "event", G_CALLBACK (fork_cb), &fork);
  answer = afork_rpc_call (rpc, do_args ("report", 100), NULL, &error);
  if (fork.child == 0)
    {
      g_assert_null (answer);
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
    }
  else
    {
      g_assert_no_error (error);
      assert_uint32 (answer, 100);
    }
  end_fork (&fork);
  g_signal_handlers_disconnect_by_data (rpc, &fork);
  close_rpc (rpc);
}

static void
test_in_handler_of_run (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("lifecycle");
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  Fork fork = { -1 };

  g_signal_connect (process, "notify::state", G_CALLBACK (fork_cb), &fork);
  connection = afork_process_run (process, "until_closed", NULL, &error);
  if (fork.child != 0)
    g_assert_no_error (error);
  else if (connection == NULL)
    g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  end_fork (&fork);
  g_signal_handlers_disconnect_by_data (process, &fork);
  finish_process (process, connection);
}

/* All descriptors of the library are dead in the child, whatever they are used for. */

/* Returns a name of the file of FD: that of an inode or of a main context. NULL if FD is closed. */
static char *
identify (int fd)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autofree char *info_path = g_strdup_printf ("/proc/self/fdinfo/%d", fd);
  g_autofree char *link = g_file_read_link (path, NULL);
  g_autofree char *info = NULL;
  struct stat status;
  const char *id;

  if (link == NULL || fstat (fd, &status) < 0)
    return NULL;
  /* All eventfds have the same inode. */
  if (strstr (link, "[eventfd]") != NULL && g_file_get_contents (info_path, &info, NULL, NULL)
      && (id = strstr (info, "eventfd-id:")) != NULL)
    return g_strndup (id, strcspn (id, "\n"));
  if (strstr (link, "[pidfd]") != NULL && g_file_get_contents (info_path, &info, NULL, NULL))
    return g_strdup_printf ("pidfd of %s", strstr (info, "Pid:"));

  return g_strdup_printf ("%s, inode %" G_GUINT64_FORMAT, link, (guint64) status.st_ino);
}

/* The files of all descriptors below some number, by number. */
static GPtrArray *
identify_all (void)
{
  GPtrArray *all = g_ptr_array_new_with_free_func (g_free);

  for (int fd = 0; fd < 1000; fd++)
    g_ptr_array_add (all, identify (fd));
  return all;
}

typedef struct
{
  GPtrArray *before;            /* the library was used */
  GPtrArray *all;
} Descriptors;

static void
check_descriptors (gpointer data)
{
  Descriptors *self = data;
  guint n_renewed = 0;

  for (int fd = 0; fd < 1000; fd++)
    {
      const char *before = self->before->pdata[fd];
      const char *parent = self->all->pdata[fd];
      g_autofree char *here = identify (fd);

      /* The main context for blocking calls, which may have existed before. */
      if (here != NULL && parent != NULL && g_str_has_prefix (parent, "eventfd-id")
          && g_str_has_prefix (here, "eventfd-id") && g_strcmp0 (here, parent) != 0)
        {
          n_renewed++;
          continue;
        }
      if (parent == NULL || g_strcmp0 (before, parent) == 0)
        g_assert_cmpstr (here, ==, parent);
      else if (g_strcmp0 (here, parent) == 0)
        g_error ("Descriptor %d of the child is the parent's: %s", fd, here);
    }

  g_assert_cmpuint (n_renewed, ==, self->before == self->all ? 0 : 1);
}

static gboolean
has_link (const char *text)
{
  g_autoptr(GPtrArray) all = identify_all ();

  for (int fd = 0; fd < 1000; fd++)
    if (all->pdata[fd] != NULL && strstr (all->pdata[fd], text) != NULL)
      return TRUE;
  return FALSE;
}

static void
test_descriptors (void)
{
  static char bytes[100 * 1000];
  GMainContext *context = g_main_context_default ();
  Descriptors descriptors = { .before = identify_all () };
  g_autoptr(GBytes) blob = g_bytes_new_static (bytes, sizeof bytes);
  g_autoptr(AForkProcess) detached = new_module_process ("lifecycle");
  g_autoptr(AForkProcess) hostile = new_hostile_process ();
  g_autoptr(AForkRpc) sender = new_rpc ("calls_do");
  g_autoptr(AForkJob) job = afork_job_new (do_args ("reverse-blobs", 0));
  g_autoptr(AForkRpc) receiver = NULL;
  g_autoptr(GAsyncResult) detach = NULL;
  g_autoptr(GAsyncResult) sent = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;
  Parent parent;
  int fd;

  if (skip_under_valgrind ("valgrind has descriptors of its own"))
    {
      g_ptr_array_unref (descriptors.before);
      return;
    }

  /* Descriptors that a worker sends before a value that never comes. */
  step (hostile, "m4096");
  step (hostile, "d1");
  step_frame (hostile, FRAME (FDS, .n_fds = 1));
  receiver = new_hostile_rpc (hostile);
  while (!has_link ("memfd:"))
    g_main_context_iteration (context, TRUE);

  parent_begin (&parent);
  afork_process_send_fd (parent.prepared, 0);
  afork_process_detach_async (detached, NULL, store_result_cb, &detach);
  await_result (&detach);
  /* A second call, with which the outbox is sent, and a blob in memory that is not sent yet. */
  g_variant_unref (call (sender, do_args ("unit", 0), NULL));
  g_variant_unref (call (sender, do_args ("unit", 0), NULL));
  afork_job_add_blob (job, blob);
  afork_rpc_run_job_async (sender, job, NULL, store_result_cb, &sent);
  g_assert_true (has_link ("afork-outbox"));
  g_assert_true (has_link ("afork-blob"));

  descriptors.all = identify_all ();
  run_in_child (check_descriptors, &descriptors);

  /* The descriptors of the parent are as they were. */
  check_descriptors (&(Descriptors) { descriptors.all, descriptors.all });
  await_result (&sent);
  answer = afork_rpc_run_job_finish (sender, sent, &error);
  g_assert_no_error (error);
  fd = afork_process_detach_finish (detached, detach, &error);
  g_assert_no_error (error);
  run_in_child (write_own, GINT_TO_POINTER (fd));
  close (fd);
  await_end (detached);
  close_rpc (sender);
  afork_process_force_exit (hostile);
  close_rpc_error (receiver, AFORK_ERROR_SIGNALED);
  parent_end (&parent);
  g_ptr_array_unref (descriptors.before);
  g_ptr_array_unref (descriptors.all);
}

/* The child keeps the program's own descriptors, even if one of them has the number of a connection
 * that the program has closed. */

static void
test_own_descriptors (void)
{
  Parent parent;
  g_autoptr(AForkProcess) process = new_module_process ("lifecycle");
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "until_closed");
  GSocket *socket = g_socket_connection_get_socket (connection);
  int fds[2];
  char byte;
  int ours;
  int fd;

  parent_begin (&parent);
  fd = g_socket_get_fd (socket);
  g_assert_true (g_socket_close (socket, NULL));
  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
  ours = fds[0] == fd ? 0 : 1;
  if (fds[ours] != fd)
    {
      g_assert_cmpint (dup2 (fds[ours], fd), ==, fd);
      close (fds[ours]);
      fds[ours] = fd;
    }
  run_in_child (write_own, GINT_TO_POINTER (fd));
  g_assert_cmpint (read (fds[1 - ours], &byte, 1), ==, 1);
  parent_end (&parent);
  close (fds[0]);
  close (fds[1]);
  await_end (process);
}

/* Other threads have main contexts, processes and a blocking call at that moment. They are in no
 * function of GLib or of the C library, whose locks would stay locked in the child. */

typedef struct
{
  int              end;         /* atomic */
  pthread_rwlock_t lock;        /* for reading: a thread is in such a function */
} Users;

static void
users_init (Users *self)
{
  pthread_rwlockattr_t attributes;

  self->end = FALSE;
  pthread_rwlockattr_init (&attributes);
  /* Or the threads would never let this one have the lock. */
  pthread_rwlockattr_setkind_np (&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init (&self->lock, &attributes);
  pthread_rwlockattr_destroy (&attributes);
}

/* A moment at which the program may be forked. */
static void
users_pause (Users *self)
{
  pthread_rwlock_unlock (&self->lock);
  pthread_rwlock_rdlock (&self->lock);
}

static void
pause_cb (AForkProcess *process,
          int           wait_status,
          gpointer      data)
{
  users_pause (data);
}

static void
use_once (Users *self)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  g_main_context_push_thread_default (context);
  process = new_module_process ("lifecycle");
  g_signal_connect (process, "exited", G_CALLBACK (pause_cb), self);
  users_pause (self);
  connection = afork_process_run (process, "done", NULL, &error);
  g_assert_no_error (error);
  users_pause (self);
  g_assert_true (afork_process_wait (process, NULL, &error));
  g_main_context_pop_thread_default (context);
}

static gpointer
use_library (gpointer data)
{
  Users *self = data;

  pthread_rwlock_rdlock (&self->lock);
  while (!g_atomic_int_get (&self->end))
    {
      use_once (self);
      users_pause (self);
    }
  pthread_rwlock_unlock (&self->lock);

  return NULL;
}

static void
begin_in_own_context (gpointer data)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  g_main_context_push_thread_default (context);
  process = new_module_process ("lifecycle");
  connection = afork_process_run (process, "done", NULL, &error);
  g_assert_no_error (error);
  g_assert_true (afork_process_wait (process, NULL, &error));
  g_main_context_pop_thread_default (context);
}

static void
test_threads (void)
{
  GThread *threads[2];
  Users users;

  if (skip_under_valgrind ("Under valgrind, vfork() copies the locks that other threads hold"))
    return;
#ifdef __SANITIZE_ADDRESS__
  g_test_skip ("The allocator of the address sanitizer has locks that fork() does not release");
  return;
#endif

  users_init (&users);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("user", use_library, &users);
  for (int i = is_instrumented () ? 3 : 20; i > 0; i--)
    {
      pthread_rwlock_wrlock (&users.lock);
      run_in_child (begin_in_own_context, NULL);
      pthread_rwlock_unlock (&users.lock);
    }
  g_atomic_int_set (&users.end, TRUE);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  pthread_rwlock_destroy (&users.lock);
}

/* A child only sleeps, and the parent exits: so do its workers. The parent is this program,
 * executed again, which prints the pids of the child and of the workers. */

#define CALLER_ARGUMENT "--plain-fork-caller"

G_GNUC_NORETURN static void
be_caller (void)
{
  Parent parent;
  pid_t child;

  parent_begin (&parent);
  child = fork ();
  if (child == 0)
    {
      close (STDOUT_FILENO);
      for (;;)
        pause ();
    }

  await_state (parent.prepared, AFORK_PROCESS_STATE_PREPARING);
  await_state (parent.executed, AFORK_PROCESS_STATE_PREPARING);
  g_print ("%d %d %d %d %d\n", (int) child,
           (int) afork_process_get_pid (parent.prepared),
           (int) afork_process_get_pid (parent.running),
           (int) afork_process_get_pid (parent.executed),
           (int) afork_process_get_pid (afork_rpc_get_process (parent.rpc)));
  _exit (0);
}

static void
await_pid_end (int pid)
{
  int pidfd = (int) syscall (SYS_pidfd_open, pid, 0);
  struct pollfd end = { .fd = pidfd, .events = POLLIN };

  if (pidfd < 0)
    {
      g_assert_cmpint (errno, ==, ESRCH);
      return;
    }

  g_assert_cmpint (poll (&end, 1, -1), ==, 1);
  close (pidfd);
}

static void
test_sleeping (void)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  const char * const argv[] = { program, CALLER_ARGUMENT, NULL };
  g_autoptr(GSubprocess) caller = NULL;
  g_autofree char *output = NULL;
  g_autoptr(GError) error = NULL;
  int child, pids[4];

  if (skip_under_valgrind ("There is no pidfd_open() under valgrind"))
    return;

  caller = g_subprocess_newv (argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (caller, NULL, NULL, &output, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (sscanf (output, "%d %d %d %d %d", &child, &pids[0], &pids[1], &pids[2],
                           &pids[3]), ==, 5);

  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    {
      g_assert_cmpint (pids[i], >, 0);
      await_pid_end (pids[i]);
    }
  g_assert_no_errno (kill (child, SIGKILL));
}

int
main (int    argc,
      char **argv)
{
  if (argc > 1 && g_str_equal (argv[1], CALLER_ARGUMENT))
    be_caller ();

  g_test_init (&argc, &argv, NULL);

  add_test ("/plain-fork/lost", test_lost);
  add_test ("/plain-fork/dropped", test_dropped);
  add_test ("/plain-fork/afresh", test_afresh);
  add_test ("/plain-fork/again", test_again);
  add_test ("/plain-fork/pending", test_pending);
  add_test ("/plain-fork/pending-calls", test_pending_calls);
  add_test ("/plain-fork/in-handler/call", test_in_handler_of_call);
  add_test ("/plain-fork/in-handler/run", test_in_handler_of_run);
  add_test ("/plain-fork/descriptors", test_descriptors);
  add_test ("/plain-fork/own-descriptors", test_own_descriptors);
  add_test ("/plain-fork/threads", test_threads);
  add_test ("/plain-fork/sleeping", test_sleeping);

  return g_test_run ();
}
