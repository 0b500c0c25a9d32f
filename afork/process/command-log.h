/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

#include "client/client.h"

G_BEGIN_DECLS

/* What a process was told, kept so that another one can be told the same. */
typedef struct _AForkPreparation AForkPreparation;

AForkPreparation *_afork_preparation_new      (void);
AForkPreparation *_afork_preparation_copy     (AForkPreparation  *self);
void              _afork_preparation_free     (AForkPreparation  *self);

/* Keeps FRAME, and a copy of FD unless that is -1. False and errno if the copy fails. */
gboolean          _afork_preparation_add      (AForkPreparation  *self,
                                               const AForkFrame  *frame,
                                               int                fd);
void              _afork_preparation_add_item (AForkPreparation  *self,
                                               GBytes            *bytes);

/* There was something that could not be told, and ERROR is why. */
void              _afork_preparation_fail     (AForkPreparation  *self,
                                               const GError      *error);

/* Tells PEER all of it; makes it fail where that is not all there was. */
void              _afork_preparation_replay   (AForkPreparation  *self,
                                               AForkPeer         *peer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkPreparation, _afork_preparation_free)

G_END_DECLS
