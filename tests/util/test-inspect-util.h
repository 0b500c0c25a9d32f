/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a worker finds around it: the module `inspect` looks, and reports as a key file. */

#pragma once

#include "test-util.h"

G_BEGIN_DECLS

/* A report, and the process that made it, which ends with it. */
typedef struct
{
  AForkProcess      *process;
  GSocketConnection *connection;
  GKeyFile          *report;
} Inspection;

/* Runs `inspect` in the process; and ends it. */
void    inspection_begin              (Inspection   *self,
                                       AForkProcess *process);
void    inspection_end                (Inspection   *self);

int     inspection_get_integer        (Inspection   *self,
                                       const char   *group,
                                       const char   *key);
void    inspection_assert_value       (Inspection   *self,
                                       const char   *group,
                                       const char   *key,
                                       const char   *expected);

/* The file at FD in the worker, 0 if there is none; and whether it is close-on-exec there. */
guint64 inspection_get_file           (Inspection   *self,
                                       int           fd,
                                       gboolean     *close_on_exec);
/* Item INDEX is the file that is open here as FD. */
void    inspection_assert_item        (Inspection   *self,
                                       guint         index,
                                       int           fd);
/* There are 0, 1 and 2, the socket, the items, N_OTHERS, and nothing else. */
void    inspection_assert_descriptors (Inspection   *self,
                                       guint         n_others);

/* Inspects a process that has nothing which it was not sent. */
void    assert_clean                  (AForkProcess *process);

/* What PROCESS, a new one, says of itself; NULL if it says nothing. */
char   *get_report                    (AForkProcess *process,
                                       const char   *group,
                                       const char   *key);
void    assert_report                 (AForkProcess *process,
                                       const char   *group,
                                       const char   *key,
                                       const char   *expected);

/* The file that is open here as FD; and a new one. */
guint64 get_inode                     (int           fd);
int     open_file                     (void);

G_END_DECLS
