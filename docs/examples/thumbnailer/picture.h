/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>
#include <sys/stat.h>

typedef enum
{
  PICTURE_WAITING,
  PICTURE_DONE,
  PICTURE_REUSED,
  PICTURE_FAILED,
  PICTURE_LEFT        /* for later, because it changes */
} PictureOutcome;

/* A picture that was found, and its result. */
typedef struct
{
  char           *name;       /* for messages: below the directory that the user has given */
  char           *path;       /* absolute */
  char           *uri;
  int             priority;   /* pictures with a higher one come first */
  guint64         size;       /* in bytes; this and mtime are known once it was opened */
  gint64          mtime;      /* in seconds since the epoch */
  PictureOutcome  outcome;
  char           *thumbnail;  /* the path of the largest, once there is one */
  GError         *error;      /* when it failed or is left for later */
} Picture;

Picture *picture_new  (const char  *filename);
void     picture_free (Picture     *self);

/* Returns a descriptor, which is the caller's, or -1. */
int      picture_open (Picture     *self,
                       GError     **error);

/* Whether the file behind FD is not as it was when the picture was opened. */
gboolean picture_has_changed (const Picture *self,
                              int            fd);

/* Returns what a file that is not a regular one is, with an article. */
const char *picture_describe_kind (mode_t mode);

/* These take the error. */
void     picture_fail (Picture     *self,
                       GError      *error);
void     picture_leave (Picture    *self,
                        GError     *error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Picture, picture_free)
