/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-call.h"

G_BEGIN_DECLS

/* How a service calls the functions of its worker. In C, a function that was found is a pointer to
 * it. Another language may have anything in its place, which these functions understand. */
typedef struct
{
  GVariant *(*call)              (gpointer          data,
                                  gpointer          function,
                                  AForkCall        *call,
                                  GVariant         *args,
                                  GError          **error);
  void      (*call_concurrently) (gpointer          data,
                                  gpointer          function,
                                  AForkCall        *call,
                                  GVariant         *args);
  gboolean  (*init)              (gpointer          data,
                                  gpointer          function,
                                  const AForkItem  *items,
                                  gsize             n_items,
                                  GError          **error);
  void      (*done)              (gpointer          data,
                                  gpointer          function);
  /* Iterates the default main context until LOOP is quit. */
  void      (*run_loop)          (gpointer          data,
                                  GMainLoop        *loop);
} AForkCallFunctions;

/* Sets how functions are called in this process, before it serves calls. DATA is passed to
 * FUNCTIONS. Without this, they are functions in C. */
void                      _afork_call_functions_set (const AForkCallFunctions  *functions,
                                                     gpointer                   data);
/* Returns these functions, and sets *DATA. */
const AForkCallFunctions *_afork_call_functions_get (gpointer                  *data);

G_END_DECLS
