/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* embedded itself|default CODE: a program that embeds Python, and runs code. Its sys.executable is
 * this program, or what Python finds by default. The program refuses to be executed by itself. */

#include <Python.h>
#include <stdlib.h>
#include <string.h>

#define RUNNING "AFORK_TEST_EMBEDDED"

static int
run (int    argc,
     char **argv)
{
  PyConfig config;
  PyStatus status;
  int result;

  PyConfig_InitPythonConfig (&config);
  config.parse_argv = 0;
  status = strcmp (argv[1], "itself") == 0 ? PyConfig_SetBytesArgv (&config, argc, argv)
                                           : PyStatus_Ok ();
  if (!PyStatus_Exception (status))
    status = Py_InitializeFromConfig (&config);
  PyConfig_Clear (&config);
  if (PyStatus_Exception (status))
    Py_ExitStatusException (status);

  result = PyRun_SimpleString (argv[2]);
  return Py_FinalizeEx () == 0 && result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main (int    argc,
      char **argv)
{
  if (argc != 3 || getenv (RUNNING) != NULL || setenv (RUNNING, "", 1) < 0)
    {
      fprintf (stderr, "%s: must not be executed again\n", argv[0]);
      return EXIT_FAILURE;
    }

  return run (argc, argv);
}
