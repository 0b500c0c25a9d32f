/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "value-type.h"

G_BEGIN_DECLS

/* Finds the values that are inside a serialized value, by the GVariant specification, and checks
 * what is between them. The bytes may come from anywhere: nothing outside of them is read. */

/* A serialized value. It may be inside another one. */
typedef struct
{
  const AForkValueNode *nodes;  /* of the whole type string */
  guint32               type;   /* the index of the node of this value's type */
  guint                 depth;  /* levels of nesting around it */
  const guint8         *data;
  gsize                 size;
} AForkValuePart;

typedef enum
{
  AFORK_VALUE_PART_FOUND,
  AFORK_VALUE_PART_END,         /* there are no more children */
  /* Errors. */
  AFORK_VALUE_PART_NOT_NORMAL,
  AFORK_VALUE_PART_NESTED_TOO_DEEPLY,
  AFORK_VALUE_PART_TYPE_TOO_COMPLEX,
  AFORK_VALUE_PART_NO_MEMORY,
} AForkValuePartResult;

/* A type that was read last. It is kept because the next one is often the same. Zero it before it
 * is used. */
typedef struct
{
  const char     *string;       /* or NULL; not owned */
  gsize           length;
  AForkValueNode *nodes;
  gsize           n_nodes;      /* allocated nodes */
} AForkValueType;

/* Reads a type from STRING, which must stay until the type is forgotten. */
AForkValuePartResult _afork_value_type_read         (AForkValueType       *self,
                                                     const char           *string,
                                                     gsize                 length);
void                 _afork_value_type_forget       (AForkValueType       *self);
/* Frees the nodes. */
void                 _afork_value_type_clear        (AForkValueType       *self);

/* These replace PART by the value in it, and do not check that its size is right if its type has a
 * fixed size. */

/* For a variant. INNER_TYPE is for the type of the value in it. */
AForkValuePartResult _afork_value_part_enter_variant (AForkValuePart      *part,
                                                      AForkValueType      *inner_type);

/* For a maybe that is not empty. */
AForkValuePartResult _afork_value_part_enter_maybe  (AForkValuePart       *part);

/* A container whose children are taken one after the other. */
typedef struct
{
  AForkValuePart part;
  gsize          offset;        /* where the bytes begin that were not taken */
  gsize          end;           /* where the children must end */
  guint          offset_size;   /* the size of a framing offset */
  gsize          next;          /* the next framing offset of an array */
  guint32        member;        /* the node of the next member of a tuple */
} AForkValueContainer;

/* Opens PART, an array, a tuple or an entry of a dictionary. If its type has a fixed size, it has
 * this size. */
AForkValuePartResult _afork_value_container_open    (AForkValueContainer  *self,
                                                     const AForkValuePart *part);

/* Returns how many children there are in all. To be called before the first is taken. */
gsize                _afork_value_container_count   (AForkValueContainer  *self);

/* Sets CHILD to the next value in the container. If its type has a fixed size, it has this size. */
AForkValuePartResult _afork_value_container_next    (AForkValueContainer  *self,
                                                     AForkValuePart       *child);

G_END_DECLS
