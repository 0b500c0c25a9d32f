/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-process.h"

G_BEGIN_DECLS

/* The templates of a runtime, one for each main context. All threads may use it; each sees the
 * template of its own thread-default context. */
typedef struct _AForkContextTable AForkContextTable;

typedef struct
{
  AForkProcess *process;        /* NULL if there is none */
  gboolean      given;          /* by the program, and so not to be replaced */
  guint         generation;     /* of the runtime's properties, with which it was started */
} AForkTemplate;

AForkContextTable *_afork_context_table_new   (void);
void               _afork_context_table_free  (AForkContextTable   *self);

/* Gives up those of all contexts. */
void               _afork_context_table_clear (AForkContextTable   *self);

/* Gets the template, whose process is referenced. */
AForkTemplate      _afork_context_table_get   (AForkContextTable   *self);
/* Replaces it. */
void               _afork_context_table_set   (AForkContextTable   *self,
                                               const AForkTemplate *template);

G_END_DECLS
