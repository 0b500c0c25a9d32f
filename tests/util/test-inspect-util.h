/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a worker has: the module `inspect` looks, and reports it as a key file. */

#pragma once

#include "test-util.h"

G_BEGIN_DECLS

/* A report, and the process that made it. */
typedef struct
{
  AForkProcess      *process;
  GSocketConnection *connection;
  GKeyFile          *report;
} Inspection;

/* Runs `inspect` in the process and reads the report; ends the process. */
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

/* The number of the file that is open as FD in the worker, 0 if none is; and whether it is
 * close-on-exec. */
guint64 inspection_get_file           (Inspection   *self,
                                       int           fd,
                                       gboolean     *close_on_exec);
/* Item INDEX must be the file that is open as FD in this program. */
void    inspection_assert_item        (Inspection   *self,
                                       guint         index,
                                       int           fd);
/* The worker must have 0, 1 and 2, the socket, the items, N_OTHERS more descriptors, and no other
 * ones. */
void    inspection_assert_descriptors (Inspection   *self,
                                       guint         n_others);

/* Inspects a process, which must have only what it was sent. */
void    assert_clean                  (AForkProcess *process);

/* What PROCESS, which is new, reports; NULL if it reports no such key. */
char   *get_report                    (AForkProcess *process,
                                       const char   *group,
                                       const char   *key);
void    assert_report                 (AForkProcess *process,
                                       const char   *group,
                                       const char   *key,
                                       const char   *expected);

/* The number of the file that is open as FD in this program; and a new file. */
guint64 get_inode                     (int           fd);
int     open_file                     (void);

G_END_DECLS
