/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "call-functions.h"

/* Functions in C. */

static GVariant *
c_call (gpointer    data,
        gpointer    function,
        AForkCall  *call,
        GVariant   *args,
        GError    **error)
{
  return ((AForkCallFunc) function) (call, args, error);
}

static void
c_call_concurrently (gpointer   data,
                     gpointer   function,
                     AForkCall *call,
                     GVariant  *args)
{
  ((AForkConcurrentCallFunc) function) (call, args);
}

static gboolean
c_init (gpointer          data,
        gpointer          function,
        const AForkItem  *items,
        gsize             n_items,
        GError          **error)
{
  return ((AForkCallInitFunc) function) (items, n_items, error);
}

static void
c_done (gpointer data,
        gpointer function)
{
  ((AForkCallDoneFunc) function) ();
}

static void
c_run_loop (gpointer   data,
            GMainLoop *loop)
{
  g_main_loop_run (loop);
}

static const AForkCallFunctions c_functions = {
  .call = c_call,
  .call_concurrently = c_call_concurrently,
  .init = c_init,
  .done = c_done,
  .run_loop = c_run_loop,
};

/* Those of this process. They are set before the process has another thread. */
static const AForkCallFunctions *the_functions = &c_functions;
static gpointer the_data;

void
_afork_call_functions_set (const AForkCallFunctions *functions,
                           gpointer                  data)
{
  the_functions = functions;
  the_data = data;
}

const AForkCallFunctions *
_afork_call_functions_get (gpointer *data)
{
  *data = the_data;
  return the_functions;
}
