/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The decoder of `pictures` without any work: no picture is ever there, and what waits for it stays
 * until the program ends. */

#include "decoder.h"

AForkPool *
decoder_new_pool (const char *module)
{
  g_autoptr(AForkProcess) template = afork_process_new ();

  return afork_pool_new (template, "work");
}

AForkJob *
decoder_new_job (GFile   *file,
                 int      size,
                 GError **error)
{
  return afork_job_new (NULL);
}

void
decoder_run_async (AForkPool           *pool,
                   AForkJob            *job,
                   GAsyncReadyCallback  callback,
                   gpointer             user_data)
{
}

GdkTexture *
decoder_run_finish (AForkJob      *job,
                    GAsyncResult  *result,
                    GError       **error)
{
  g_assert_not_reached ();
}
