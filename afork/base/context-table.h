/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-process.h"

G_BEGIN_DECLS

/* The templates of a runtime, one for each main context. All threads may use it; each sees the
 * template of its own thread-default context. */
typedef struct _AForkTemplates AForkTemplates;

typedef struct
{
  AForkProcess *process;        /* NULL if there is none */
  gboolean      given;          /* by the program, and so not to be replaced */
  guint         generation;     /* of the runtime's properties, with which it was started */
} AForkTemplate;

AForkTemplates *_afork_templates_new   (void);
void            _afork_templates_free  (AForkTemplates      *self);

/* Gives up those of all contexts. */
void            _afork_templates_clear (AForkTemplates      *self);

/* Gets the template, whose process is referenced. */
AForkTemplate   _afork_templates_get   (AForkTemplates      *self);
/* Replaces it. */
void            _afork_templates_set   (AForkTemplates      *self,
                                        const AForkTemplate *template);

G_END_DECLS
