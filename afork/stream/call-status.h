/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

/* The result of sending or receiving on the socket of calls. */
typedef enum
{
  AFORK_CALL_STREAM_OK,
  AFORK_CALL_STREAM_WOULD_BLOCK,
  AFORK_CALL_STREAM_BUSY,           /* the function has to be called again to go on */
  AFORK_CALL_STREAM_LATER,          /* it would block, and poll() does not report when to go on */
  AFORK_CALL_STREAM_END,            /* the other side sends no more, or reads no more */
  AFORK_CALL_STREAM_FAILED,
} AForkCallStreamStatus;

/* The time after which to try again with AFORK_CALL_STREAM_LATER, in microseconds. */
enum { AFORK_CALL_STREAM_RETRY_TIME = 10 * 1000 };
