/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

/* What comes of sending or receiving on the socket over which calls go. */
typedef enum
{
  AFORK_CALL_STREAM_OK,
  AFORK_CALL_STREAM_WOULD_BLOCK,
  AFORK_CALL_STREAM_BUSY,           /* there is more to do before it can be told what comes of it */
  AFORK_CALL_STREAM_LATER,          /* it would block, and poll() cannot tell for how long */
  AFORK_CALL_STREAM_END,            /* the other side sends no more, or takes no more */
  AFORK_CALL_STREAM_FAILED,
} AForkCallStreamStatus;

/* With AFORK_CALL_STREAM_LATER it is to be tried again after this, in microseconds. */
enum { AFORK_CALL_STREAM_RETRY_TIME = 10 * 1000 };
