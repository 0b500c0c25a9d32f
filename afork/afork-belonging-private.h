/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What the library has open in this process for the program's sake: descriptors, and sources in
 * its main contexts. A template that is forked off the program has copies of them all. They mean
 * nothing there, and would keep sockets from ending that end here. */
typedef struct
{
  GList    link;                /* its data is the owner, or NULL while it is not kept */
  void   (*forget) (gpointer owner);
} AForkBelonging;

/* Keeps SELF, a part of OWNER, until _afork_belonging_end(). FORGET gives up the copy in a fork:
 * it closes descriptors and destroys sources, and sends nothing and calls nobody. It may end other
 * belongings. To be called in any thread, as is the other. */
void _afork_belonging_begin      (AForkBelonging *self,
                                  void          (*forget) (gpointer owner),
                                  gpointer        owner);
void _afork_belonging_end        (AForkBelonging *self);

/* Whether anything is kept. */
gboolean _afork_belonging_is_any (void);

/* In a fork of the program, which has one thread: gives up all of them. */
void _afork_belonging_forget_all (void);

G_END_DECLS
