/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "client/client.h"

G_BEGIN_DECLS

/* Forks of a template that are made in advance. They are made when the template has been idle for a
 * while, so that they do not slow down processes that were just started. A fork that fails is
 * replaced in the same way, with a longer delay after each failure. */
#define AFORK_TYPE_SPARE_FORKS (_afork_spare_forks_get_type ())
G_DECLARE_FINAL_TYPE (AForkSpareForks, _afork_spare_forks, AFORK, SPARE_FORKS, GObject)

/* For forks of TEMPLATE, which are made and taken in its main context. The initial number is 0. */
AForkSpareForks *_afork_spare_forks_new        (AForkClient     *template);
/* Releases the forks that were not taken. */
void             _afork_spare_forks_free       (AForkSpareForks *self);

/* Sets how many forks are kept ready. */
void             _afork_spare_forks_set_number (AForkSpareForks *self,
                                                guint            number);

/* The template has got a command, so the forks that exist are out of date. */
void             _afork_spare_forks_discard    (AForkSpareForks *self);

/* Releases the forks, to save memory. The next ones are made when a fork was wanted. */
void             _afork_spare_forks_trim       (AForkSpareForks *self);

/* Returns the oldest fork, or NULL. Delays new forks, because the template is about to be used. */
AForkClient     *_afork_spare_forks_take       (AForkSpareForks *self);

G_END_DECLS
