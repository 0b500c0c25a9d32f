/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* For tests of confinement: a process that confines itself and tries what must not succeed. */

#pragma once

#include <glib.h>

#include "afork/wire/afork-frame.h"

G_BEGIN_DECLS

/* Runs FUNC with DATA in a fork of this process, which must return, or skip the test by
 * skip_confined(). */
void     run_confined         (GTestDataFunc       func,
                               gconstpointer       data);
G_NORETURN void skip_confined (const char         *why);

/* Fails the test unless RESULT is -1 and errno is ERROR. */
#define assert_refused(result, error) \
  G_STMT_START { \
    const long result_ = (long) (result); \
    const int errno_ = errno; \
    g_assert_cmpint (result_, ==, -1); \
    g_assert_cmpint (errno_, ==, error); \
  } G_STMT_END

/* Makes system call NUMBER fail with ERROR in this process. If ARGUMENT is not negative, only if
 * the lower 32 bits of that argument are VALUE. */
void     refuse_call          (long                number,
                               int                 argument,
                               guint32             value,
                               int                 error);

/* Returns PATHS as in a frame. The memory lasts as long as the process. */
AForkStrings pack_paths       (const char * const *paths);

/* Makes a folder whose name is by TEMPLATE, and which other users can reach: the folder of the
 * tests may be in the home of root. */
char    *make_open_folder     (const char         *template);

/* Directories of a test with the file "file" each. `other` is one that no rule names. */
typedef struct
{
  char *top;                    /* the others are in it */
  char *readable;
  char *writable;
  char *other;
} ConfinedFiles;

/* Makes such a directory in TOP, and returns its path. */
char    *make_directory       (const char         *top,
                               const char         *name);
/* TEMPLATE is that of make_open_folder(). */
void     confined_files_init  (ConfinedFiles      *self,
                               const char         *template);
/* Removes them, with all that is in them. */
void     confined_files_clear (ConfinedFiles      *self);

/* Opens a file in DIRECTORY. expect_open() fails the test if it cannot be opened. */
int      open_in              (const char         *directory,
                               const char         *name,
                               int                 flags);
void     expect_open          (const char         *directory,
                               const char         *name,
                               int                 flags);

/* Makes this process an ordinary user, if it is root. */
void     become_ordinary      (void);

G_END_DECLS
