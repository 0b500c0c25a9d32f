/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Main contexts of threads: several at the same time, and ones that are freed while there is work
 * left. */

#include "config.h"

#include "test-util.h"

#include <signal.h>

static AForkProcess *
new_with_module (AForkProcess *process)
{
  return afork_process_require (process, "lifecycle");
}

/* Work in a context of a thread, which has its own templates. */
static AForkProcess *
use_context (void)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  AForkProcess *template = afork_runtime_get_template (runtime);

  new_with_module (template);
  for (int i = 0; i < 10; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new ();
      g_autoptr(AForkProcess) fork = afork_process_fork (process);
      g_autoptr(GSocketConnection) connection = run_process_ok (process, "until_closed");
      g_autoptr(GSocketConnection) of_fork = run_process_ok (fork, "until_closed");

      finish_process (process, connection);
      finish_process (fork, of_fork);
    }
  g_assert_true (afork_runtime_get_template (runtime) == template);
  return template;
}

typedef struct
{
  gboolean      tidy;           /* gives up its template before the context is freed */
  AForkProcess *template;       /* for comparison */
} ContextUser;

static gpointer
run_in_context (gpointer data)
{
  ContextUser *self = data;
  g_autoptr(GMainContext) context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  self->template = use_context ();
  if (self->tidy)
    {
      afork_runtime_set_template (afork_runtime_get_native (), NULL);
      while (g_main_context_pending (context))
        g_main_context_iteration (context, FALSE);
    }
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_contexts_at_once (void)
{
  ContextUser users[4];
  GThread *threads[G_N_ELEMENTS (users)];
  AForkProcess *template;
  Census census;

  census_begin (&census);
  for (guint i = 0; i < G_N_ELEMENTS (users); i++)
    {
      users[i].tidy = i % 2 == 0;
      threads[i] = g_thread_new ("user", run_in_context, &users[i]);
    }

  template = use_context ();
  for (guint i = 0; i < G_N_ELEMENTS (users); i++)
    {
      g_thread_join (threads[i]);
      g_assert_true (users[i].template != template);
    }
  census_end (&census);
}

/* Contexts that are made and freed, perhaps at the same address. */
static void
test_contexts_in_a_row (void)
{
  Census census;

  census_begin (&census);
  for (int i = is_instrumented () ? 6 : 20; i > 0; i--)
    {
      ContextUser user = { .tidy = i % 3 == 0 };

      run_in_context (&user);
    }
  census_end (&census);
}

enum { N_DROPPED_EARLY = 6 };

static gpointer
begin_in_context (gpointer data)
{
  AForkProcess **processes = data;
  g_autoptr(GMainContext) context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  processes[0] = new_with_module (afork_process_new ());
  processes[1] = new_with_module (afork_process_new_exec (NULL));
  processes[2] = afork_process_fork (processes[1]);
  afork_process_send_arg (processes[2], "for nobody");
  processes[3] = new_with_module (afork_process_new ());
  g_object_unref (run_process_ok (processes[3], "until_closed"));
  processes[4] = new_with_module (afork_process_new_exec (NULL));
  g_object_unref (run_process_ok (processes[4], "forever"));
  processes[5] = new_with_module (afork_process_new ());
  g_object_unref (run_process_ok (processes[5], "forever"));
  g_main_context_pop_thread_default (context);
  return NULL;
}

/* The context is freed while there is still work in it. (An operation that has not returned would
 * keep it, as every GTask does.) */
static void
test_contexts_dropped_at_random (void)
{
  Census census;

  census_begin (&census);
  for (int i = 0; i < 10; i++)
    {
      AForkProcess *processes[N_DROPPED_EARLY];

      g_thread_join (g_thread_new ("beginner", begin_in_context, processes));
      for (gsize j = 0; j < G_N_ELEMENTS (processes); j++)
        {
          g_autoptr(GError) error = NULL;

          /* No events are reported for them any more, but they can be signalled. The exit of the
           * process whose connection was closed may have been reported before. */
          g_assert_cmpint (afork_process_get_state (processes[j]), ==, AFORK_PROCESS_STATE_EXITED);
          if (!afork_process_wait (processes[j], NULL, &error))
            g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
          else
            g_assert_cmpuint (j, ==, 3);
          afork_process_force_exit (processes[j]);
          g_object_unref (processes[j]);
        }
    }
  census_end (&census);
}

/* A new context often has the address of an old one. A template that the program had set for the
 * old one, and a template that had been prepared there, must not be used in the new one. */
static void
test_contexts_mistaken (void)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  Census census;

  census_begin (&census);
  for (int i = 0; i < 10; i++)
    {
      g_autoptr(GMainContext) context = g_main_context_new ();
      g_autoptr(AForkProcess) unprepared = NULL;
      g_autoptr(AForkProcess) given = NULL;
      AForkProcess *template;

      g_main_context_push_thread_default (context);
      unprepared = afork_process_new ();
      expect_run_error (unprepared, "until_closed", AFORK_ERROR, AFORK_ERROR_FUNCTION,
                        "no module has been loaded");
      template = afork_runtime_get_template (runtime);
      new_with_module (template);
      if (i % 2 == 0)
        {
          given = afork_process_new ();
          afork_runtime_set_template (runtime, given);
          template = given;
        }
      afork_process_force_exit (template);
      await_end (template);
      g_main_context_pop_thread_default (context);
    }
  census_end (&census);
}

/* Contexts are freed at any moment, whatever happens in them, while the default one is iterated: it
 * then watches the processes that are left. */

typedef struct
{
  guint32 seed;
  int     n_left;               /* number of threads; atomic */
} Droppers;

static void
drop_at_random (GRand *random)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) executed = NULL;
  AForkProcess *forks[4];

  g_main_context_push_thread_default (context);
  process = new_with_module (afork_process_new ());
  executed = new_with_module (afork_process_new_exec (NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (forks); i++)
    {
      forks[i] = afork_process_fork (i % 2 == 0 ? process : executed);
      if (g_rand_boolean (random))
        g_object_unref (run_process_ok (forks[i], "until_closed"));
      else if (g_rand_boolean (random))
        afork_process_send_signal (forks[i], SIGTERM);
    }
  for (int i = g_rand_int_range (random, 0, 10); i > 0; i--)
    g_main_context_iteration (context, FALSE);
  if (g_rand_boolean (random))
    afork_process_force_exit (executed);
  g_main_context_pop_thread_default (context);
  g_clear_pointer (&context, g_main_context_unref);

  for (gsize i = 0; i < G_N_ELEMENTS (forks); i++)
    g_object_unref (forks[i]);
}

static gpointer
drop_often (gpointer data)
{
  Droppers *self = data;
  guint32 seed = self->seed + (guint) g_atomic_int_get (&self->n_left);
  g_autoptr(GRand) random = g_rand_new_with_seed (seed);

  for (int i = is_instrumented () ? 5 : 30; i > 0; i--)
    drop_at_random (random);
  g_atomic_int_add (&self->n_left, -1);
  g_main_context_wakeup (NULL);
  return NULL;
}

static void
test_contexts_destroyed (void)
{
  Droppers droppers = { .seed = (guint32) g_test_rand_int () };
  GThread *threads[4];
  Census census;

  census_begin (&census);
  g_atomic_int_set (&droppers.n_left, G_N_ELEMENTS (threads));
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("dropper", drop_often, &droppers);
  while (g_atomic_int_get (&droppers.n_left) > 0)
    g_main_context_iteration (NULL, TRUE);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  census_end (&census);
}

/* One thread drops the last references while another one frees the context. */

enum { N_DROPPED = 5 };

typedef struct
{
  gpointer objects[N_DROPPED];
  int      n_ready;             /* number of threads; atomic */
  guint32  seed;
} Drop;

/* Both threads continue at about the same time, one a little later than the other. */
static void
meet (Drop  *self,
      GRand *random)
{
  volatile int delay = g_rand_int_range (random, 0, 20000);

  g_atomic_int_inc (&self->n_ready);
  while (g_atomic_int_get (&self->n_ready) < 2)
    ;
  while (delay-- > 0)
    ;
}

static gpointer
drop_objects (gpointer data)
{
  Drop *self = data;
  g_autoptr(GRand) random = g_rand_new_with_seed (self->seed + 1);

  meet (self, random);
  for (gsize i = 0; i < G_N_ELEMENTS (self->objects); i++)
    g_clear_object (&self->objects[i]);
  return NULL;
}

/* The thread that drops the context gives up its template. */
static AForkRuntime *
new_runtime (void)
{
  g_auto(GStrv) argv = afork_runtime_dup_argv (afork_runtime_get_native ());

  return g_object_new (AFORK_TYPE_RUNTIME,
                       "argv", argv,
                       "can-fork", TRUE,
                       "can-pass-fds", TRUE,
                       NULL);
}

static gpointer
let_context_go (gpointer data)
{
  Drop *self = data;
  g_autoptr(GRand) random = g_rand_new_with_seed (self->seed);
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) serving = NULL;
  g_autoptr(GVariant) answer = NULL;
  AForkProcess *template;
  GThread *dropper;

  g_main_context_push_thread_default (context);
  template = afork_process_new_exec (NULL);
  self->objects[0] = template;
  self->objects[1] = new_with_module (afork_process_fork (template));
  self->objects[2] = new_runtime ();
  self->objects[3] = afork_process_new_for_runtime (self->objects[2]);
  serving = afork_process_require (afork_process_fork (template), "calls");
  self->objects[4] = afork_rpc_new (serving, "calls_echo");
  if (g_rand_boolean (random))
    answer = afork_rpc_call (self->objects[4], NULL, NULL, NULL);
  if (g_rand_boolean (random))
    afork_process_set_spare (template, 1);
  if (g_rand_boolean (random))
    g_object_unref (run_process_ok (self->objects[1], "until_closed"));
  for (int i = g_rand_int_range (random, 0, 5); i > 0; i--)
    g_main_context_iteration (context, FALSE);
  g_main_context_pop_thread_default (context);

  dropper = g_thread_new ("dropper", drop_objects, self);
  meet (self, random);
  g_clear_pointer (&context, g_main_context_unref);
  g_thread_join (dropper);
  return NULL;
}

static void
test_contexts_dropped (void)
{
  /* What is left of a context that has gone keeps its descriptors until the default context is
   * iterated, as the census does. */
  for (int i = is_instrumented () ? 2 : 10; i > 0; i--)
    {
      Census census;

      census_begin (&census);
      for (int j = 0; j < 25; j++)
        {
          Drop drop = { .seed = (guint32) g_test_rand_int () };

          g_thread_join (g_thread_new ("owner", let_context_go, &drop));
        }
      census_end (&census);
    }
}

/* One thread drops the last references to runtimes while another one frees the context, which takes
 * the templates from the runtimes. The templates refer to the runtimes from then on. */

enum { N_RUNTIMES = 50 };

typedef struct
{
  AForkRuntime *runtimes[N_RUNTIMES];
  Drop          drop;
} RuntimeDrop;

static gpointer
drop_runtimes (gpointer data)
{
  RuntimeDrop *self = data;
  g_autoptr(GRand) random = g_rand_new_with_seed (self->drop.seed + 1);

  meet (&self->drop, random);
  for (gsize i = 0; i < N_RUNTIMES; i++)
    g_clear_object (&self->runtimes[i]);
  return NULL;
}

static gpointer
let_templates_go (gpointer data)
{
  static const char *const argv[] = { "never-executed", NULL };
  RuntimeDrop *self = data;
  g_autoptr(GRand) random = g_rand_new_with_seed (self->drop.seed);
  g_autoptr(GMainContext) context = g_main_context_new ();
  AForkProcess *kept[N_RUNTIMES] = { NULL };
  GThread *dropper;

  g_main_context_push_thread_default (context);
  for (gsize i = 0; i < N_RUNTIMES; i++)
    {
      AForkProcess *template;

      self->runtimes[i] = afork_runtime_new_command ("dropped", argv);
      template = afork_runtime_get_template (self->runtimes[i]);
      if (i % 3 == 0)
        kept[i] = g_object_ref (template);
    }
  g_main_context_pop_thread_default (context);

  dropper = g_thread_new ("dropper", drop_runtimes, self);
  meet (&self->drop, random);
  g_clear_pointer (&context, g_main_context_unref);
  g_thread_join (dropper);
  for (gsize i = 0; i < N_RUNTIMES; i++)
    if (kept[i] != NULL)
      {
        g_assert_cmpstr (afork_runtime_get_name (afork_process_get_runtime (kept[i])), ==,
                         "dropped");
        g_object_unref (kept[i]);
      }
  return NULL;
}

static void
test_contexts_runtimes (void)
{
  Census census;

  census_begin (&census);
  for (int i = is_instrumented () ? 40 : 200; i > 0; i--)
    {
      RuntimeDrop drop = { .drop.seed = (guint32) g_test_rand_int () };

      g_thread_join (g_thread_new ("owner", let_templates_go, &drop));
    }
  census_end (&census);
}

/* One thread drops the last references to a pool and what belongs to it, while another one iterates
 * the context and frees it. */

enum { POOL, QUEUE, MAP, LIST, N_POOL_OBJECTS };

typedef struct
{
  gpointer objects[N_POOL_OBJECTS];
  Drop     drop;
} PoolDrop;

static gpointer
drop_pool (gpointer data)
{
  PoolDrop *self = data;
  g_autoptr(GRand) random = g_rand_new_with_seed (self->drop.seed + 1);

  meet (&self->drop, random);
  for (gsize i = 0; i < N_POOL_OBJECTS; i++)
    g_clear_object (&self->objects[i]);
  return NULL;
}

static AForkPool *
new_pool (GRand *random)
{
  g_autoptr(AForkProcess) template = new_with_module (afork_process_new_exec (NULL));
  AForkPool *pool = afork_pool_new (afork_process_require (template, "calls"), "calls_echo");

  g_object_set (pool,
                "max-workers", 2,
                "min-idle", g_rand_int_range (random, 0, 3),
                NULL);
  return pool;
}

static gpointer
let_pool_go (gpointer data)
{
  PoolDrop *self = data;
  g_autoptr(GRand) random = g_rand_new_with_seed (self->drop.seed);
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(GVariant) items = g_variant_ref_sink (g_variant_new_parsed ("@av [<1>, <2>, <3>]"));
  const gboolean iterates = g_rand_boolean (random);
  GThread *dropper;

  g_main_context_push_thread_default (context);
  self->objects[POOL] = new_pool (random);
  if (g_rand_boolean (random))
    self->objects[LIST] = afork_pool_get_workers (self->objects[POOL]);
  if (g_rand_boolean (random))
    {
      g_autoptr(GError) error = NULL;
      G_GNUC_UNUSED g_autoptr(GVariant) answer = afork_pool_call (self->objects[POOL], NULL, NULL,
                                                                  &error);

      g_assert_no_error (error);
    }
  for (int i = g_rand_int_range (random, 0, 5); i > 0; i--)
    g_main_context_iteration (context, FALSE);

  /* Jobs that the pool has keep the context, and it gets none of these. */
  if (!iterates)
    {
      self->objects[MAP] = afork_pool_map (self->objects[POOL], items, AFORK_MAP_ORDERED);
      self->objects[QUEUE] = afork_call_queue_new (self->objects[POOL]);
      g_main_context_pop_thread_default (context);
      afork_call_queue_add (self->objects[QUEUE], 1, NULL);
    }

  dropper = g_thread_new ("dropper", drop_pool, self);
  meet (&self->drop, random);
  if (iterates)
    {
      for (int i = g_rand_int_range (random, 0, 20); i > 0; i--)
        g_main_context_iteration (context, FALSE);
      g_main_context_pop_thread_default (context);
    }
  g_clear_pointer (&context, g_main_context_unref);
  g_thread_join (dropper);
  return NULL;
}

static void
test_contexts_pools (void)
{
  Census census;

  census_begin (&census);
  for (int i = is_instrumented () ? 10 : 20; i > 0; i--)
    {
      PoolDrop drop = { .drop.seed = (guint32) g_test_rand_int () };

      g_thread_join (g_thread_new ("owner", let_pool_go, &drop));
    }
  census_end (&census);
}

/* A context is freed. Handlers that are called for this use other processes of the context, some of
 * which are not lost yet. */

enum { N_LOST = 4 };

static void
use_others_cb (AForkProcess  *process,
               int            wait_status,
               AForkProcess **others)
{
  for (guint i = 0; i < N_LOST; i++)
    {
      g_autoptr(AForkProcess) fork = NULL;
      g_autoptr(GError) error = NULL;

      afork_process_send_arg (others[i], "for nobody");
      afork_process_set_spare (others[i], afork_process_get_spare (others[i]) + 1);
      fork = afork_process_fork (others[i]);
      afork_process_send_signal (others[i], SIGCONT);
      g_assert_false (afork_process_wait (fork, NULL, &error));
      afork_process_force_exit (others[(i + 1) % N_LOST]);
    }
}

static gpointer
lose_context (gpointer data)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  AForkProcess *processes[N_LOST];

  g_main_context_push_thread_default (context);
  for (guint i = 0; i < N_LOST; i++)
    {
      processes[i] = new_with_module (i % 2 == 0 ? afork_process_new_exec (NULL)
                                                 : afork_process_new ());
      afork_process_set_spare (processes[i], i % 2);
      g_signal_connect (processes[i], "exited", G_CALLBACK (use_others_cb), processes);
    }
  await_state (processes[0], AFORK_PROCESS_STATE_PREPARING);
  g_main_context_pop_thread_default (context);
  g_clear_pointer (&context, g_main_context_unref);

  for (guint i = 0; i < N_LOST; i++)
    g_object_unref (processes[i]);
  return NULL;
}

static void
test_contexts_handlers (void)
{
  Census census;

  census_begin (&census);
  for (int i = 0; i < 20; i++)
    g_thread_join (g_thread_new ("loser", lose_context, NULL));
  census_end (&census);
}

/* A template that has forks is dropped, and its context is freed soon after. */

static AForkProcess *
make_fork (GRand        *random,
           AForkProcess *template,
           GPtrArray    *objects)
{
  AForkProcess *fork = afork_process_fork (template);
  g_autoptr(GVariant) answer = NULL;
  AForkRpc *rpc;

  switch (g_rand_int_range (random, 0, 5))
    {
    case 0:
      break;
    case 1:
      g_ptr_array_add (objects, run_process_ok (fork, "until_closed"));
      break;
    case 2:
      g_object_unref (run_process_ok (fork, "until_closed"));
      break;
    default:
      rpc = afork_rpc_new (afork_process_require (fork, "calls"), "calls_echo");
      g_ptr_array_add (objects, rpc);
      if (g_rand_boolean (random))
        answer = afork_rpc_call (rpc, NULL, NULL, NULL);
      break;
    }

  return fork;
}

static gpointer
drop_template (gpointer data)
{
  g_autoptr(GRand) random = g_rand_new_with_seed (GPOINTER_TO_UINT (data));
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(GPtrArray) objects = g_ptr_array_new_with_free_func (g_object_unref);
  AForkProcess *template;

  g_main_context_push_thread_default (context);
  template = new_with_module (g_rand_boolean (random) ? afork_process_new_exec (NULL)
                                                      : afork_process_new ());
  for (int i = g_rand_int_range (random, 1, 4); i > 0; i--)
    g_ptr_array_add (objects, make_fork (random, template, objects));
  if (g_rand_boolean (random))
    afork_process_set_spare (template, 1);
  for (int i = g_rand_int_range (random, 0, 4); i > 0; i--)
    g_main_context_iteration (context, FALSE);
  if (g_rand_boolean (random))
    g_ptr_array_set_size (objects, g_rand_int_range (random, 0, (int) objects->len));
  g_object_unref (template);
  for (int i = g_rand_int_range (random, -2, 3); i > 0; i--)
    g_main_context_iteration (context, FALSE);
  if (g_rand_boolean (random))
    g_ptr_array_set_size (objects, 0);
  g_main_context_pop_thread_default (context);
  g_clear_pointer (&context, g_main_context_unref);
  return NULL;
}

static void
test_contexts_template (void)
{
  for (int i = is_instrumented () ? 20 : 100; i > 0; i--)
    {
      const guint32 seed = (guint32) g_test_rand_int ();
      Census census;

      census_begin (&census);
      g_thread_join (g_thread_new ("dropper", drop_template, GUINT_TO_POINTER (seed)));
      census_end (&census);
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/contexts/at-once", test_contexts_at_once);
  g_test_add_func ("/contexts/in-a-row", test_contexts_in_a_row);
  g_test_add_func ("/contexts/dropped-at-random", test_contexts_dropped_at_random);
  g_test_add_func ("/contexts/destroyed", test_contexts_destroyed);
  g_test_add_func ("/contexts/dropped", test_contexts_dropped);
  g_test_add_func ("/contexts/runtimes", test_contexts_runtimes);
  g_test_add_func ("/contexts/pools", test_contexts_pools);
  g_test_add_func ("/contexts/handlers", test_contexts_handlers);
  g_test_add_func ("/contexts/mistaken", test_contexts_mistaken);

  g_test_add_func ("/contexts/template", test_contexts_template);

  return g_test_run ();
}
