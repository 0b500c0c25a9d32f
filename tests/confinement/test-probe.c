/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* afork-server --probe: its form, and what it says if something is refused. */

#include "config.h"

#include "test-refuse-util.h"
#include "test-util.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>

#ifndef SYS_landlock_create_ruleset
# define SYS_landlock_create_ruleset 444
#endif

static const char * const names[] = {
  "rlimits", "priority", "no-new-privs", "seccomp", "seccomp-supervisor", "landlock",
  "user-namespace", "mount-namespace", "root-directory", "pid-namespace", "ipc-namespace",
  "network-namespace", "uts-namespace", "last-user-namespace", "no-capabilities",
};

/* Returns the lines of the probe, which has the documented form. */
static GStrv
probe (void)
{
  g_auto(GStrv) server = afork_runtime_dup_argv (afork_runtime_get_native ());
  const char * const argv[] = { server[0], "--probe", NULL };
  g_autofree char *output = NULL;
  g_autofree char *messages = NULL;
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) lines = NULL;
  int status;

  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &output, &messages,
                &status, &error);
  g_assert_no_error (error);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpstr (messages, ==, "");

  lines = g_strsplit (output, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, G_N_ELEMENTS (names) + 1);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_auto(GStrv) words = g_strsplit (lines[i], " ", 3);

      g_assert_cmpstr (words[0], ==, names[i]);
      g_assert_true (g_str_equal (words[1], "yes") || g_str_equal (words[1], "no"));
      /* There is always a reason. */
      if (g_str_equal (words[1], "no"))
        g_assert_cmpstr (words[2], !=, NULL);
    }
  return g_steal_pointer (&lines);
}

/* Returns the line of NAME, without the name. */
static const char *
find_line (const char * const *lines,
           const char         *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (names[i], name))
      return lines[i] + strlen (name) + 1;

  g_assert_not_reached ();
}

static void
test_form (void)
{
  g_auto(GStrv) lines = probe ();

  for (guint i = 0; lines[i] != NULL; i++)
    g_test_message ("%s", lines[i]);
  /* These need nothing. */
  g_assert_true (g_str_has_prefix (find_line ((const char * const *) lines, "rlimits"), "yes"));
}

/* The API gives the same. */

static void
check_value (GVariant *value)
{
  g_auto(GStrv) lines = probe ();

  g_assert_true (g_variant_is_of_type (value, G_VARIANT_TYPE_VARDICT));
  g_assert_cmpuint (g_variant_n_children (value), ==, G_N_ELEMENTS (names));
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *line = NULL;
      const char *details;
      gboolean had;

      g_assert_true (g_variant_lookup (value, names[i], "(b&s)", &had, &details));
      line = g_strdup_printf ("%s %s%s%s", names[i], had ? "yes" : "no",
                              details[0] != '\0' ? " " : "", details);
      g_assert_cmpstr (line, ==, lines[i]);
    }
}

static void
test_async (void)
{
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  afork_sandbox_probe_async (NULL, store_result_cb, &result);
  await_result (&result);
  value = afork_sandbox_probe_finish (result, &error);
  g_assert_no_error (error);
  check_value (value);
}

static void
test_blocking (void)
{
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  value = afork_sandbox_probe (NULL, &error);
  g_assert_no_error (error);
  check_value (value);
}

static void
test_cancelled (void)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  afork_sandbox_probe_async (cancellable, store_result_cb, &result);
  g_cancellable_cancel (cancellable);
  await_result (&result);
  g_assert_null (afork_sandbox_probe_finish (result, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
check_refused (gconstpointer data)
{
  const Refusal *refusal = data;
  g_auto(GStrv) before = probe ();
  g_auto(GStrv) after = NULL;
  const char * const *now;
  const char *line;

  refuse (refusal);
  after = probe ();
  now = (const char * const *) after;
  line = find_line (now, refusal->call->name);
  g_assert_true (g_str_has_prefix (line, "no "));
  if (g_str_has_prefix (find_line ((const char * const *) before, refusal->call->name), "yes"))
    g_assert_nonnull (strstr (line, g_strerror (refusal->error)));

  /* All others are as before, unless they are in the same namespace. */
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (strstr (names[i], "namespace") == NULL && strstr (names[i], "seccomp") == NULL
        && !g_str_equal (names[i], refusal->call->name)
        && !g_str_equal (names[i], "root-directory") && !g_str_equal (names[i], "no-capabilities"))
      g_assert_cmpstr (before[i], ==, after[i]);
}

static void
test_refused (gconstpointer data)
{
  run_apart (check_refused, data);
}

static const RefusedCall refused[] = {
  { "landlock", SYS_landlock_create_ruleset, ANY_ARGUMENT, 0, 0 },
  { "user-namespace", SYS_unshare, ANY_ARGUMENT, 0, 0 },
  { "mount-namespace", SYS_unshare, 0, CLONE_NEWNS, 0 },
  { "ipc-namespace", SYS_unshare, 0, CLONE_NEWIPC, 0 },
  { "network-namespace", SYS_unshare, 0, CLONE_NEWNET, 0 },
  { "uts-namespace", SYS_unshare, 0, CLONE_NEWUTS, 0 },
  { "root-directory", SYS_pivot_root, ANY_ARGUMENT, 0, 0 },
};

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/probe/form", test_form);
  add_test ("/probe/api/async", test_async);
  add_test ("/probe/api/blocking", test_blocking);
  add_test ("/probe/api/cancelled", test_cancelled);
  add_refusals ("/probe/refused", refused, G_N_ELEMENTS (refused), test_refused);
  return g_test_run ();
}
