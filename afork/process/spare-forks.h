/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "client/client.h"

G_BEGIN_DECLS

/* Forks of a template that were made before anybody asked for one. They are made when the template
 * has been left alone for a while, so that this takes nothing from what was just started. One that
 * dies, or could not be made, is replaced then, too; but later and later, as long as none of them
 * is of any use. */
#define AFORK_TYPE_SPARE_FORKS (_afork_spare_forks_get_type ())
G_DECLARE_FINAL_TYPE (AForkSpareForks, _afork_spare_forks, AFORK, SPARE_FORKS, GObject)

/* For forks of TEMPLATE, to be made and taken in its main context: at first none. */
AForkSpareForks *_afork_spare_forks_new        (AForkClient     *template);
/* Those that were not taken end. */
void             _afork_spare_forks_free       (AForkSpareForks *self);

/* How many there should be. */
void             _afork_spare_forks_set_number (AForkSpareForks *self,
                                                guint            number);

/* The template was told something: those there are, are no longer what a fork of it would be. */
void             _afork_spare_forks_discard    (AForkSpareForks *self);

/* The one that has waited longest, or NULL. Either way, the template is about to be used. */
AForkClient     *_afork_spare_forks_take       (AForkSpareForks *self);

G_END_DECLS
