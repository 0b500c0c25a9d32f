/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* C code that is compiled in the process. */

#include "config.h"

#include "test-fault-util.h"

#include <glib/gstdio.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

/* afork-server exits with this status if code could not be evaluated. */
enum { EXIT_EVAL = 113 };

/* The largest command. */
enum { MAX_PAYLOAD = 1024 * 1024 };

#define WORKER "#include <afork/worker/afork-worker.h>\n"
#define RUN "(int socket, const AForkItem *items, size_t n_items)"

static AForkProcess *
new_eval (const char *code)
{
  return afork_process_eval (afork_process_new (), code, NULL);
}

static void
assert_says (AForkProcess *process,
             const char   *function,
             const char   *expected)
{
  g_autofree char *text = run_to_end (process, function);

  g_assert_cmpstr (text, ==, expected);
}

static void
assert_code_says (const char *code,
                  const char *expected)
{
  g_autoptr(AForkProcess) process = new_eval (code);

  assert_says (process, "f", expected);
}

/* The function. */

/* The first example of AnyEvent::Fork: a helper that is compiled once, in a template, and run in
 * many forks of it. */
static void
test_helper (Census        *census,
             gconstpointer  data)
{
  static const char code[] =
    WORKER
    "#include <stdio.h>\n"
    "#include <sys/socket.h>\n"
    "#include <unistd.h>\n"
    "\n"
    "static char greeting[100];\n"
    "static pid_t compiled_in;\n"
    "\n"
    "void\n"
    "afork_eval_init (int argc, const char * const *argv)\n"
    "{\n"
    "  compiled_in = getpid ();\n"
    "  snprintf (greeting, sizeof greeting, \"%s, %s\", argv[0], argv[1]);\n"
    "}\n"
    "\n"
    "static void\n"
    "answer (int socket, const char *name)\n"
    "{\n"
    "  dprintf (socket, \"%d %d %s %s\", (int) compiled_in, (int) getpid (), greeting, name);\n"
    "}\n"
    "\n"
    "void\n"
    "helper (int socket, const AForkItem *items, size_t n_items)\n"
    "{\n"
    "  char byte;\n"
    "\n"
    "  answer (socket, items[n_items - 1].data);\n"
    "  shutdown (socket, 1);\n"
    "  while (read (socket, &byte, 1) > 0)\n"
    "    ;\n"
    "}\n";
  enum { N_FORKS = 20 };
  g_autoptr(AForkProcess) template = afork_process_new ();
  AForkProcess *processes[N_FORKS];
  GSocketConnection *connections[N_FORKS];

  afork_process_eval (template, code, STRV ("Good evening", "dear"));
  for (int i = 0; i < N_FORKS; i++)
    {
      g_autofree char *name = g_strdup_printf ("number %d", i);

      processes[i] = afork_process_fork (template);
      afork_process_send_arg (processes[i], name);
      connections[i] = run_process_ok (processes[i], "helper");
    }

  for (int i = 0; i < N_FORKS; i++)
    {
      g_autofree char *text = read_to_end (connections[i], NULL);
      g_autofree char *expected =
        g_strdup_printf ("%d %d Good evening, dear number %d", afork_process_get_pid (template),
                         afork_process_get_pid (processes[i]), i);

      g_assert_cmpstr (text, ==, expected);
      finish_process (processes[i], connections[i]);
      g_object_unref (connections[i]);
      g_object_unref (processes[i]);
    }
}

static const char write_arguments[] =
  WORKER
  "#include <stdio.h>\n"
  "#include <stdlib.h>\n"
  "#include <string.h>\n"
  "static int n_arguments = -1; static size_t n_bytes;\n"
  "void afork_eval_init (int argc, const char * const *argv)\n"
  "{\n"
  "  n_arguments = argc; n_bytes = 0;\n"
  "  for (int i = 0; i < argc; i++) n_bytes += strlen (argv[i]);\n"
  "  if (argv[argc] != NULL) abort ();\n"
  "}\n"
  "void f " RUN " { dprintf (socket, \"%d %zu\", n_arguments, n_bytes); }\n";

static void
test_args (Census        *census,
           gconstpointer  data)
{
  enum { N_ARGUMENTS = 100000 };
  g_autofree const char **arguments = g_new (const char *, N_ARGUMENTS + 1);
  g_autoptr(AForkProcess) none = new_eval (write_arguments);
  g_autoptr(AForkProcess) some = afork_process_new ();
  g_autoptr(AForkProcess) many = afork_process_new ();

  for (int i = 0; i < N_ARGUMENTS; i++)
    arguments[i] = i % 2 == 0 ? "" : "ab";
  arguments[N_ARGUMENTS] = NULL;

  assert_says (none, "f", "0 0");
  afork_process_eval (some, write_arguments, STRV ("", "a b", "\303\244\377"));
  assert_says (some, "f", "3 6");
  afork_process_eval (many, write_arguments, arguments);
  assert_says (many, "f", "100000 100000");
}

/* A problem with an argument is reported as an error. */
static void
test_args_not_taken (Census        *census,
                     gconstpointer  data)
{
  g_autoptr(AForkProcess) first = new_eval (write_arguments);
  g_autoptr(AForkProcess) process = afork_process_new ();

  afork_process_eval (process, "static void afork_eval_init (void) { }", STRV ("one"));
  expect_run_error (process, "f", AFORK_ERROR, AFORK_ERROR_EVAL, "“afork_eval_init”");
  assert_exit_status (process, EXIT_EVAL);

  /* Functions of other code do not count. */
  afork_process_eval (first, "void afork_eval_init (); void *p = afork_eval_init;", STRV ("one"));
  expect_run_error (first, "f", AFORK_ERROR, AFORK_ERROR_EVAL, "“afork_eval_init”");
}

static void
test_nothing (Census        *census,
              gconstpointer  data)
{
  static const char * const codes[] = {
    "", "\n", " ", ";", "/* Empty code. */", "// Nothing.", "#define NOTHING", "int x;", "\r\n\r\n",
    "void abort (void); int main (void) { abort (); }",
  };

  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    {
      g_autoptr(AForkProcess) process = new_eval (codes[i]);

      afork_process_require (process, "echo");
      assert_echoes (process);
    }
}

/* It is a function like any other. */
static void
test_main (Census        *census,
           gconstpointer  data)
{
  g_autoptr(AForkProcess) process =
    new_eval (WORKER
              "#include <stdio.h>\n"
              "void main " RUN " { dprintf (socket, \"main\"); }");

  assert_says (process, "main", "main");
}

/* Code can use the items. As in AnyEvent::Fork's test of this call, the code takes a pipe and
 * writes to it. */
static void
test_items (Census        *census,
            gconstpointer  data)
{
  AForkProcess *process = afork_process_new ();
  char text[4] = "";
  int reading, writing;

  open_pipe (&reading, &writing);
  afork_process_send_fd (process, writing);
  close_fd (&writing);
  afork_process_send_arg (process, "173");
  afork_process_eval (process,
                      WORKER
                      "#include <unistd.h>\n"
                      "void afork_eval_init (int argc, const char * const *argv)\n"
                      "{\n"
                      "  size_t n_items;\n"
                      "  const AForkItem *items = afork_worker_take_items (&n_items);\n"
                      "  if (n_items == 2 && items[0].kind == AFORK_ITEM_FD)\n"
                      "    write (items[0].fd, items[1].data, items[1].size);\n"
                      "}\n", NULL);
  g_object_unref (process);

  await_readable (reading);
  g_assert_cmpint (read (reading, text, sizeof text), ==, 3);
  g_assert_cmpstr (text, ==, "173");
  g_assert_cmpint (read (reading, text, sizeof text), ==, 0);
  close_fd (&reading);
}

/* Only one function is called automatically. */
static void
test_constructor (Census        *census,
                  gconstpointer  data)
{
  assert_code_says (WORKER
                    "#include <stdio.h>\n"
                    "static int number = 1;\n"
                    "__attribute__ ((constructor)) static void construct (void) { number = 2; }\n"
                    "void f " RUN " { dprintf (socket, \"%d\", number); }\n",
                    "1");
}

/* Finding functions. */

#define SAYS(name, text) \
  WORKER "#include <stdio.h>\nvoid " name " " RUN " { dprintf (socket, \"" text "\"); }\n"

static void
test_find_newest (Census        *census,
                  gconstpointer  data)
{
  g_autoptr(AForkProcess) process = new_eval (SAYS ("who", "first") SAYS ("other", "other"));
  g_autoptr(AForkProcess) first = NULL;
  g_autoptr(AForkProcess) second = NULL;
  g_autoptr(AForkProcess) module = NULL;
  g_autoptr(AForkProcess) last = NULL;

  first = afork_process_fork (process);
  afork_process_eval (process, SAYS ("who", "second"), NULL);
  second = afork_process_fork (process);
  afork_process_require (process, "who-a");
  module = afork_process_fork (process);
  afork_process_eval (process, SAYS ("who", "last"), NULL);
  last = afork_process_fork (process);

  assert_says (first, "who", "first");
  assert_says (second, "who", "second");
  assert_says (module, "who", "a 0");
  assert_says (last, "who", "last");
  assert_says (process, "other", "other");
}

/* Code has no module name. */
static void
test_find_in_module (Census        *census,
                     gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkProcess) of_program = NULL;
  g_autoptr(AForkProcess) of_module = NULL;

  afork_process_require (process, "who-a");
  afork_process_eval (process, SAYS ("who", "code") SAYS ("code", "code"), NULL);
  of_program = afork_process_fork (process);
  of_module = afork_process_fork (process);

  expect_run_error (of_program, ":who", AFORK_ERROR, AFORK_ERROR_FUNCTION, "no module “”");
  expect_run_error (of_module, "who-a:code", AFORK_ERROR, AFORK_ERROR_FUNCTION, "“who-a:code”");
  assert_says (process, "who-a:who", "a 0");
}

/* Only functions that the code defines and does not hide. */
static void
test_find_missing (Census        *census,
                   gconstpointer  data)
{
  static const char * const names[] = {
    "hidden", "printf", "later", "no_such_function", "", "who", "_exit", "afork_worker_take_items",
  };
  g_autoptr(AForkProcess) process =
    new_eval (WORKER
              "#include <stdio.h>\n"
              "static void hidden " RUN " { }\n"
              "extern int later __attribute__ ((weak));\n"
              "void f " RUN " { hidden (1, 0, 0); printf (\"%p\", &later); }\n");

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr(AForkProcess) fork = afork_process_fork (process);

      expect_run_error (fork, names[i], AFORK_ERROR, AFORK_ERROR_FUNCTION,
                        "nor in the code that was evaluated");
    }
}

static void
test_call (Census        *census,
           gconstpointer  data)
{
  g_autoptr(AForkProcess) process =
    new_eval (WORKER
              "#include <stdio.h>\n"
              "#include <stdlib.h>\n"
              "static int sum;\n"
              "void add (int argc, const char * const *argv)\n"
              "{ for (int i = 0; i < argc; i++) sum += atoi (argv[i]); }\n"
              "void tell " RUN " { dprintf (socket, \"%d\", sum); }\n");

  afork_process_call (process, "add", STRV ("20", "3"));
  afork_process_call (process, "add", STRV ("400"));
  assert_says (process, "tell", "423");
}

/* What the code can use. */

/* Functions and variables of modules and of earlier code, the newest first. */
static void
test_use_before (Census        *census,
                 gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();

  afork_process_require (process, "who-a");
  afork_process_require (process, "who-b");
  afork_process_eval (process,
                      "void called (); void only_a ();\n"
                      "int number = 3; static int hidden = 7;\n"
                      "int twice (int x) { return 2 * x; }\n"
                      "int *get_hidden (void) { called (0, 0); called (0, 0); return &hidden; }\n"
                      "void *of_a = only_a;\n", NULL);
  afork_process_eval (process, "int twice (int x) { return 20 * x; }\n", NULL);
  afork_process_eval (process,
                      WORKER
                      "#include <stdio.h>\n"
                      "extern int number; int twice (int); int *get_hidden (void);\n"
                      "void who " RUN "; extern AForkRunFunc of_a;\n"
                      "void tell " RUN "\n"
                      "{\n"
                      "  number++;\n"
                      "  ++*get_hidden ();\n"
                      "  dprintf (socket, \"%d %d %d \", number, *get_hidden (), twice (1));\n"
                      "  who (socket, 0, 0);\n"
                      "  dprintf (socket, \" \");\n"
                      "  of_a (socket, 0, 0);\n"
                      "}\n", NULL);
  assert_says (process, "tell", "4 8 20 b 4 only a");
}

/* Code can use what a module is linked with, as the module can. */
static void
test_use_library (Census        *census,
                  gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();

  afork_process_require (process, "adopter");
  afork_process_eval (process,
                      WORKER
                      "#include <stdio.h>\n"
                      "char *g_strdup_printf (const char *format, ...); void g_free (void *);\n"
                      "void f " RUN "\n"
                      "{\n"
                      "  char *text = g_strdup_printf (\"%s %d\", \"GLib\", 2);\n"
                      "  dprintf (socket, \"%s\", text);\n"
                      "  g_free (text);\n"
                      "}\n", NULL);
  assert_says (process, "f", "GLib 2");
}

/* The C library, with its own headers and those of the compiler, and what the compiler adds to
 * code. */
static void
test_use_libc (Census        *census,
               gconstpointer  data)
{
  assert_code_says (WORKER
                    "#include <alloca.h>\n"
                    "#include <errno.h>\n"
                    "#include <fcntl.h>\n"
                    "#include <pthread.h>\n"
                    "#include <setjmp.h>\n"
                    "#include <stdarg.h>\n"
                    "#include <stdbool.h>\n"
                    "#include <stdint.h>\n"
                    "#include <stdio.h>\n"
                    "#include <stdlib.h>\n"
                    "#include <string.h>\n"
                    "#include <sys/stat.h>\n"
                    "static jmp_buf place;\n"
                    "static int compare (const void *a, const void *b)\n"
                    "{ return *(const char *) a - *(const char *) b; }\n"
                    "static double sum (int n, ...)\n"
                    "{\n"
                    "  va_list list; double all = 0;\n"
                    "  va_start (list, n);\n"
                    "  while (n-- > 0) all += va_arg (list, double);\n"
                    "  va_end (list);\n"
                    "  return all;\n"
                    "}\n"
                    "static void *thread (void *data) { *(int *) data = 5; return data; }\n"
                    "static FILE *out;\n"
                    "static void bye (void) { fprintf (out, \"bye\"); fflush (out); }\n"
                    "void f " RUN "\n"
                    "{\n"
                    "  char text[] = \"dbca\", *copy = alloca (8);\n"
                    "  volatile uint64_t big = UINT64_C (1) << 63; volatile double number = big;\n"
                    "  struct stat status; int of_thread = 0; pthread_t id;\n"
                    "  volatile int jumps = 0;\n"
                    "  out = fdopen (socket, \"w\");\n"
                    "  qsort (text, 4, 1, compare);\n"
                    "  strcpy (copy, text);\n"
                    "  errno = 0; open (\"/afork/nowhere\", O_RDONLY);\n"
                    "  fprintf (out, \"%s %d \", copy, errno == ENOENT);\n"
                    "  fprintf (out, \"%g %g %d \", sum (2, 1.5, 2.), number, number == big);\n"
                    "  if (setjmp (place) == 0) { jumps++; longjmp (place, 1); }\n"
                    "  pthread_create (&id, NULL, thread, &of_thread);\n"
                    "  pthread_join (id, NULL);\n"
                    "  fprintf (out, \"%d %d %d \", jumps, of_thread, stat (\"/\", &status));\n"
                    "  fprintf (stderr, \"%s\", \"\");\n"
                    "  atexit (bye);\n"
                    "  exit (0);\n"
                    "}\n",
                    "abcd 1 3.5 9.22337e+18 1 1 5 0 bye");
}

static void
test_use_headers (Census        *census,
                  gconstpointer  data)
{
  static const char * const headers[] = {
    "assert", "ctype", "dirent", "errno", "fcntl", "fenv", "float", "inttypes", "limits",
    "locale", "math", "netdb", "netinet/in", "poll", "pthread", "pwd", "sched", "semaphore",
    "setjmp", "signal", "spawn", "stdalign", "stdarg", "stdbool", "stddef", "stdint", "stdio",
    "stdlib", "stdnoreturn", "string", "sys/epoll", "sys/mman", "sys/resource", "sys/select",
    "sys/socket", "sys/stat", "sys/time", "sys/types", "sys/uio", "sys/un", "sys/wait", "termios",
    "threads", "time", "uchar", "unistd", "wchar", "wctype", "afork/worker/afork-worker",
  };
  g_autoptr(GString) all = g_string_new ("#define _GNU_SOURCE\n");
  g_autoptr(AForkProcess) together = NULL;
  g_autoptr(AForkProcess) template = afork_process_new ();

  afork_process_require (template, "echo");
  for (guint i = 0; i < G_N_ELEMENTS (headers); i++)
    {
      g_autofree char *code = g_strdup_printf ("#include <%s.h>\n", headers[i]);
      g_autoptr(AForkProcess) process = afork_process_fork (template);

      g_string_append (all, code);
      afork_process_eval (process, code, NULL);
      assert_echoes (process);
    }

  together = afork_process_fork (template);
  afork_process_eval (together, all->str, NULL);
  assert_echoes (together);
}

/* Structures have the layout that the compiler of the C library gave them. */
static void
test_use_layout (Census        *census,
                 gconstpointer  data)
{
  g_autofree char *expected = g_strdup_printf ("%zu %zu 5", sizeof (struct epoll_event),
                                               G_STRUCT_OFFSET (struct epoll_event, data));

  assert_code_says (WORKER
                    "#include <stdio.h>\n"
                    "#include <stddef.h>\n"
                    "#include <sys/epoll.h>\n"
                    "struct packed { char c; int i; } __attribute__ ((packed));\n"
                    "void f " RUN "\n"
                    "{ dprintf (socket, \"%zu %zu %zu\", sizeof (struct epoll_event),\n"
                    "           offsetof (struct epoll_event, data), sizeof (struct packed)); }\n",
                    expected);
}

static void
test_use_pragma_library (Census        *census,
                         gconstpointer  data)
{
  assert_code_says (WORKER
                    "#include <math.h>\n"
                    "#include <stdio.h>\n"
                    "#pragma comment (lib, \"m\")\n"
                    "void f " RUN "\n"
                    "{ volatile double x = 2; dprintf (socket, \"%.3f\", pow (x, 0.5)); }\n",
                    "1.414");
}

/* Own headers: relative to the working directory, and by the usual variable of compilers. */
static void
test_use_own_headers (Census        *census,
                      gconstpointer  data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("afork-eval-XXXXXX", &error);
  g_autofree char *path = g_build_filename (folder, "own.h", NULL);
  g_autoptr(AForkProcess) quoted = afork_process_new ();
  g_autoptr(AForkProcess) bracketed = afork_process_new ();

  g_assert_no_error (error);
  g_file_set_contents (path, "#define OWN \"own\"\n", -1, &error);
  g_assert_no_error (error);

  afork_process_chdir (quoted, folder);
  afork_process_eval (quoted, "#include \"own.h\"\n" WORKER "#include <stdio.h>\n"
                      "void f " RUN " { dprintf (socket, OWN); }\n", NULL);
  assert_says (quoted, "f", "own");

  afork_process_setenv (bracketed, "CPATH", folder);
  afork_process_eval (bracketed, "#include <own.h>\n" WORKER "#include <stdio.h>\n"
                      "void f " RUN " { dprintf (socket, OWN); }\n", NULL);
  assert_says (bracketed, "f", "own");

  g_assert_no_errno (g_unlink (path));
  g_assert_no_errno (g_rmdir (folder));
}

/* The other order would not work. */
static void
test_use_after (Census        *census,
                gconstpointer  data)
{
  g_autoptr(AForkProcess) process = new_eval ("void nobody_has_this (void) { }");

  afork_process_require (process, "undefined");
  expect_run_error (process, "f", AFORK_ERROR, AFORK_ERROR_MODULE, "nobody_has_this");
}

/* Errors. */

typedef struct
{
  const char *path;
  const char *code;
  const char *texts[8];         /* in this order */
} Error;

static const Error errors[] = {
  { "syntax", "int x;\nint f (void) { return 1 1; }", { "<string>:2: error: ';' expected" } },
  { "no-code", "code", { "<string>:1: error: " } },
  { "undeclared", "\n\nint f (void) { return nobody; }", { "<string>:3: error: 'nobody'" } },
  { "unterminated-string", "char *x = \"abc;\n", { "missing terminating" } },
  { "unterminated-comment", "/* abc", { "error: unexpected end of file in comment" } },
  { "unterminated-function", "void f (void) {", { "error: " } },
  { "unterminated-if", "#if 1\nint x;", { "error: missing #endif" } },
  { "binary", "\001\002\377\200", { "error: " } },
  { "redefinition", "int f (void) { return 1; }\nint f (void) { return 2; }",
    { "<string>:2: error: redefinition of 'f'" } },
  { "two-mains", "int main () { return 1; }\nint main () { return 2; }",
    { "error: redefinition of 'main'" } },
  { "error-directive", "#error \"It will not do\"",
    { "<string>:1: error: #error", "It will not do" } },
  { "include", "\n#include <afork/no-such-header.h>",
    { "<string>:2: error: include file 'afork/no-such-header.h' not found" } },
  { "library", "#pragma comment (lib, \"afork-no-such-library\")",
    { "error: library 'afork-no-such-library' not found" } },
  { "undefined-symbols", "void one (void), two (void), three (void); extern int four;\n"
    "int f (void) { one (); two (); three (); return four; }",
    { "error: undefined symbol 'one'", "error: undefined symbol 'two'",
      "error: undefined symbol 'three'", "error: undefined symbol 'four'" } },
  { "warnings", "int f (int a) { char *b = a; return g (b); }\n"
    "int h (void) { return i () + j; }",
    { "The code could not be compiled:\n<string>:2: error: 'j' undeclared", "<string>:1: warning: ",
      "<string>:1: warning: implicit declaration of function 'g'",
      "<string>:2: warning: implicit declaration of function 'i'" } },
};

/* The error tells all texts, one behind the other. */
static void
expect_eval_error (AForkProcess       *process,
                   const char * const *texts)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  const char *place;

  connection = run_process (process, "f", &error);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_EVAL);
  g_test_message ("%s", error->message);
  place = error->message;
  for (guint i = 0; texts[i] != NULL; i++)
    {
      place = strstr (place, texts[i]);
      if (place == NULL)
        g_error ("“%s” does not hold “%s”, or not at its place", error->message, texts[i]);
      place += strlen (texts[i]);
    }

  await_end (process);
  assert_exit_status (process, EXIT_EVAL);
}

/* The process fails, but not the process that it was forked from. */
static void
test_error (Census        *census,
            gconstpointer  data)
{
  const Error *self = data;
  g_autoptr(AForkProcess) template = new_eval (SAYS ("f", "before"));
  g_autoptr(AForkProcess) process = afork_process_fork (template);
  g_autoptr(AForkProcess) executed = afork_process_new_exec (NULL);

  afork_process_eval (process, self->code, NULL);
  expect_eval_error (process, self->texts);
  afork_process_eval (executed, self->code, NULL);
  expect_eval_error (executed, self->texts);

  afork_process_eval (template, SAYS ("f", "after"), NULL);
  assert_says (template, "f", "after");
}

/* The error contains as many messages as fit, errors before warnings, and says how many more there
 * are. */
static void
test_error_many (Census        *census,
                 gconstpointer  data)
{
  enum { N_SYMBOLS = 300 };
  g_autoptr(GString) code = g_string_new ("void f (void) {\n");
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  const char *more;
  guint n_reported = 0, n_more;

  for (int i = 0; i < N_SYMBOLS; i++)
    g_string_append_printf (code, "  undefined_%d ();\n", i);
  g_string_append (code, "}\n");
  afork_process_eval (process, code->str, NULL);
  connection = run_process (process, "f", &error);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_EVAL);
  g_test_message ("%s", error->message);

  for (;; n_reported++)
    {
      g_autofree char *line =
        g_strdup_printf ("error: undefined symbol 'undefined_%u'\n", n_reported);

      if (strstr (error->message, line) == NULL)
        break;
    }
  g_assert_cmpuint (n_reported, >, 50);
  g_assert_null (strstr (error->message, "warning"));
  more = strstr (error->message, "\n… and ");
  g_assert_nonnull (more);
  g_assert_cmpint (sscanf (more, "\n… and %u more messages", &n_more), ==, 1);
  g_assert_cmpuint (n_reported + n_more, ==, 2 * N_SYMBOLS);
  await_end (process);
}

/* Commands after a failure are not done. */
static void
test_error_then_more (Census        *census,
                      gconstpointer  data)
{
  AForkProcess *process = afork_process_new ();
  g_autoptr(AForkProcess) fork = NULL;
  char byte;
  int reading, writing;

  open_pipe (&reading, &writing);
  afork_process_map_fd (process, writing, 99);
  close_fd (&writing);
  afork_process_eval (process, "int first = ;", NULL);
  afork_process_eval (process, "long write (int, const void *, unsigned long);\n"
                      "void afork_eval_init () { write (99, \"x\", 1); }", NULL);
  fork = afork_process_fork (process);
  expect_run_error (process, "f", AFORK_ERROR, AFORK_ERROR_EVAL, "<string>:1: error:");
  expect_run_error (fork, "f", AFORK_ERROR, AFORK_ERROR_EVAL, "<string>:1: error:");
  g_object_unref (process);

  await_readable (reading);
  g_assert_cmpint (read (reading, &byte, 1), ==, 0);
  close_fd (&reading);
}

/* If there is no error, warnings are written to the standard error of the process. */
static void
test_warning (Census        *census,
              gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  char text[1000] = "";
  int reading, writing;

  open_pipe (&reading, &writing);
  afork_process_map_fd (process, writing, STDERR_FILENO);
  close_fd (&writing);
  afork_process_eval (process, "void f () { exit (0); }", NULL);
  assert_says (process, "f", "");
  g_assert_cmpint (read (reading, text, sizeof text - 1), >, 0);
  g_assert_cmpstr (text, ==, "<string>:1: warning: implicit declaration of function 'exit'\n");
  close_fd (&reading);
}

/* A file may have no room for them. */
static void
test_warning_no_room (Census        *census,
                      gconstpointer  data)
{
  static const char limit[] =
    "#include <sys/resource.h>\n"
    "void afork_eval_init () { setrlimit (RLIMIT_FSIZE, &(struct rlimit) { 0, 0 }); }\n";
  g_autoptr(AForkProcess) process = afork_process_new ();
  int file = memfd_create ("output", MFD_CLOEXEC);

  g_assert_no_errno (file);
  afork_process_map_fd (process, file, STDERR_FILENO);
  afork_process_eval (process, limit, NULL);
  afork_process_eval (process, "void f () { exit (0); }", NULL);
  assert_says (process, "f", "");
  g_assert_cmpint (lseek (file, 0, SEEK_END), ==, 0);
  close_fd (&file);
}

/* A system may forbid memory that is writable and executable. This process forbids it to itself. */
static void
test_forbidden (Census        *census,
                gconstpointer  data)
{
  static const char forbid[] =
    "#include <stdlib.h>\n"
    "#include <sys/prctl.h>\n"
    "void afork_eval_init () { if (prctl (65 /* PR_SET_MDWE */, 1, 0, 0, 0) < 0) exit (77); }\n";
  g_autoptr(AForkProcess) process = new_eval (forbid);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  int status;

  afork_process_eval (process, "int x;", NULL);
  connection = run_process (process, "f", &error);
  await_end (process);
  if (afork_process_get_exit_status (process, &status) && status == 77)
    {
      g_test_skip ("The kernel is too old to forbid it");
      return;
    }

  assert_error_text (error, AFORK_ERROR, AFORK_ERROR_EVAL,
                     "Executable memory could not be allocated: Permission denied");
  assert_exit_status (process, EXIT_EVAL);
}

/* Code that does not return. A sanitizer would turn the first into an exit. */
static void
test_crash (Census        *census,
            gconstpointer  data)
{
  g_autoptr(AForkProcess) segv =
    new_eval ("#include <signal.h>\n"
              "void afork_eval_init () { signal (SIGSEGV, SIG_DFL); *(volatile int *) 8 = 1; }");
  g_autoptr(AForkProcess) abrt = new_eval ("void abort (); void afork_eval_init () { abort (); }");
  g_autoptr(AForkProcess) exits = new_eval ("void exit (); void afork_eval_init () { exit (3); }");
  g_autoptr(AForkProcess) worker = new_eval ("void abort (); void f () { abort (); }");
  g_autoptr(GSocketConnection) connection = NULL;

  expect_run_error (segv, "f", AFORK_ERROR, AFORK_ERROR_SIGNALED, "signal 11");
  expect_run_error (abrt, "f", AFORK_ERROR, AFORK_ERROR_SIGNALED, "signal 6");
  expect_run_error (exits, "f", AFORK_ERROR, AFORK_ERROR_EXITED, "status 3");

  connection = run_process_ok (worker, "f");
  await_end (worker);
  assert_term_signal (worker, SIGABRT);
}

/* Size. */

/* As large as a command may be. */
static void
test_long_code (Census        *census,
                gconstpointer  data)
{
  g_autoptr(GString) code = g_string_new (WORKER "#include <stdio.h>\n");
  g_autoptr(GString) longer = NULL;
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkProcess) too_long = afork_process_new ();
  g_autofree char *expected = NULL;
  gsize end = MAX_PAYLOAD - 4 - 5 - 200;
  int n_functions;

  for (n_functions = 0; code->len < end; n_functions++)
    g_string_append_printf (code, "static int f%d (int x) { return x + %d; }\n", n_functions,
                            n_functions);
  g_string_append_printf (code, "void f " RUN " { dprintf (socket, \"%%d\", f%d (1)); }\n/*",
                          n_functions - 1);
  while (code->len < MAX_PAYLOAD - 4 - 5 - 2)
    g_string_append_c (code, ' ');
  g_string_append (code, "*/");
  longer = g_string_new (code->str);
  g_string_append_c (longer, '\n');

  expected = g_strdup_printf ("%d", n_functions);
  afork_process_eval (process, code->str, NULL);
  assert_says (process, "f", expected);
  afork_process_eval (too_long, longer->str, NULL);
  expect_run_error (too_long, "f", AFORK_ERROR, AFORK_ERROR_FAILED, "EVAL is longer than");
}

/* The compiler recurses, and overflows its stack or fails. Both are reported. */
static void
test_deep_code (Census        *census,
                gconstpointer  data)
{
  g_autofree char *parentheses = g_strnfill (MAX_PAYLOAD / 2, '(');
  g_autofree char *code = g_strdup_printf ("int x = %s", parentheses);
  g_autoptr(AForkProcess) process =
    new_eval ("#include <signal.h>\nvoid afork_eval_init () { signal (SIGSEGV, SIG_DFL); }");
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_eval (process, code, NULL);
  connection = run_process (process, "f", &error);
  g_assert_null (connection);
  g_test_message ("%s", error->message);
  g_assert_true (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_EVAL)
                 || g_error_matches (error, AFORK_ERROR, AFORK_ERROR_SIGNALED));
  await_end (process);
}

static void
test_long_symbol (Census        *census,
                  gconstpointer  data)
{
  g_autofree char *symbol = g_strnfill (MAX_PAYLOAD / 2, 'x');
  g_autoptr(AForkProcess) process = new_eval (symbol);
  g_autofree char *code = g_strdup_printf ("void %s (); void f () { %s (); }",
                                           symbol + MAX_PAYLOAD / 4, symbol + MAX_PAYLOAD / 4);
  g_autoptr(AForkProcess) undefined = new_eval (code);

  expect_run_error (process, "f", AFORK_ERROR, AFORK_ERROR_EVAL, "error: ");
  expect_run_error (undefined, "f", AFORK_ERROR, AFORK_ERROR_EVAL, "undefined symbol 'xxxx");
}

/* One process evaluates much code. */
static void
test_many_codes (Census        *census,
                 gconstpointer  data)
{
  enum { N_CODES = 200 };
  g_autoptr(AForkProcess) process = new_eval ("int f0 (void) { return 0; }");

  for (int i = 1; i <= N_CODES; i++)
    {
      g_autofree char *code =
        g_strdup_printf ("int f%d (); int f%d () { return f%d () + 1; }", i - 1, i, i - 1);

      afork_process_eval (process, code, NULL);
    }
  afork_process_eval (process, WORKER "#include <stdio.h>\nint f200 (void);\n"
                      "void f " RUN " { dprintf (socket, \"%d\", f200 ()); }", NULL);
  assert_says (process, "f", "200");
}

/* Kinds of processes. */

static const char write_maps[] =
  WORKER
  "#include <fcntl.h>\n"
  "#include <unistd.h>\n"
  "void f " RUN "\n"
  "{\n"
  "  char buffer[4096]; ssize_t size; int file = open (\"/proc/self/maps\", O_RDONLY);\n"
  "  while ((size = read (file, buffer, sizeof buffer)) > 0) write (socket, buffer, size);\n"
  "}\n";

/* The plugin is loaded when it is needed, and not before. */
static void
test_plugin_loaded (Census        *census,
                    gconstpointer  data)
{
  g_autoptr(AForkProcess) process = new_eval (write_maps);
  g_autoptr(AForkProcess) without = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *path = NULL;
  g_autofree char *maps_without = NULL;
  g_autofree char *maps = run_to_end (process, "f");

  g_assert_nonnull (strstr (maps, "/afork-server"));
  g_assert_nonnull (strstr (maps, "/afork-eval.so"));

  afork_process_require (without, "echo");
  connection = run_process_ok (without, "echo");
  path = g_strdup_printf ("/proc/%d/maps", (int) afork_process_get_pid (without));
  g_assert_true (g_file_get_contents (path, &maps_without, NULL, NULL));
  g_assert_nonnull (strstr (maps_without, "/afork-server"));
  g_assert_null (strstr (maps_without, "/afork-eval.so"));
  finish_process (without, connection);
}

/* The compiler leaves no descriptor and no thread. Of the memory of the worker, only compiled code
 * is writable and executable. */
static void
test_plugin_clean (Census        *census,
                   gconstpointer  data)
{
  static const char * const modules[] = { NULL, "int x; void g (void) { }" };
  g_autoptr(AForkProcess) of_maps = new_eval (write_maps);
  g_autofree char *maps = run_to_end (of_maps, "f");
  g_autofree char *descriptors[2] = { NULL };
  guint n_writable_code = 0;

  for (guint i = 0; i < G_N_ELEMENTS (modules); i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new ();
      g_autoptr(GSocketConnection) connection = NULL;
      g_autoptr(GKeyFile) report = g_key_file_new ();
      g_autofree char *text = NULL;
      g_autofree char *threads = NULL;
      g_auto(GStrv) keys = NULL;

      if (modules[i] != NULL)
        afork_process_eval (process, modules[i], NULL);
      afork_process_require (process, "inspect");
      connection = run_process_ok (process, "inspect");
      text = read_to_end (connection, NULL);
      finish_process (process, connection);

      g_assert_true (g_key_file_load_from_data (report, text, (gsize) -1, 0, NULL));
      keys = g_key_file_get_keys (report, "descriptors", NULL, NULL);
      descriptors[i] = g_strjoinv (" ", keys);
      threads = g_key_file_get_string (report, "status", "Threads", NULL);
      g_assert_cmpstr (threads, ==, "1");
    }
  g_assert_cmpstr (descriptors[0], ==, descriptors[1]);
  g_free (descriptors[1]);

  for (const char *place = maps; (place = strstr (place, " rwxp ")) != NULL; place++)
    n_writable_code++;
  g_assert_cmpuint (n_writable_code, ==, 1);
}

/* A plugin that is missing or not a plugin. */
static void
test_plugin_missing (Census        *census,
                     gconstpointer  data)
{
  g_autofree char *no_plugin = g_build_filename (g_getenv ("AFORK_MODULE_PATH"), "echo.so", NULL);
  g_autoptr(AForkProcess) missing = afork_process_new ();
  g_autoptr(AForkProcess) wrong = afork_process_new ();

  afork_process_setenv (missing, "AFORK_EVAL", "/afork/no-such-plugin.so");
  afork_process_eval (missing, "", NULL);
  expect_run_error (missing, "f", AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED,
                    "/afork/no-such-plugin.so: cannot open shared object file");

  afork_process_setenv (wrong, "AFORK_EVAL", no_plugin);
  afork_process_eval (wrong, "", NULL);
  expect_run_error (wrong, "f", AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED,
                    "echo.so: undefined symbol: afork_compiler");
}

/* In the directory that the variable names. */
static void
test_plugin_variable (Census        *census,
                      gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();

  afork_process_setenv (process, "AFORK_EVAL", g_getenv ("AFORK_TEST_EVAL"));
  afork_process_eval (process, SAYS ("f", "by variable"), NULL);
  assert_says (process, "f", "by variable");
}

/* With a runtime that cannot fork, each process evaluates the code. */
static void
test_command (Census        *census,
              gconstpointer  data)
{
  g_auto(GStrv) argv = afork_runtime_dup_argv (afork_runtime_get_native ());
  g_autoptr(AForkRuntime) runtime = afork_runtime_new_command ("command",
                                                               (const char * const *) argv);
  g_autoptr(AForkProcess) template = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) first = NULL;
  g_autoptr(AForkProcess) second = NULL;

  afork_process_eval (template, SAYS ("f", "recorded"), NULL);
  first = afork_process_fork (template);
  second = afork_process_fork (template);
  assert_says (first, "f", "recorded");
  assert_says (second, "f", "recorded");
}

/* Templates of the program. */

AFORK_WORKER_EXPORT int program_number;

int program_number = 173;

static const char write_program_number[] =
  WORKER
  "#include <stdio.h>\n"
  "extern int program_number;\n"
  "static double number = 1.5;\n"
  "static size_t n_taken;\n"
  "void afork_eval_init (int argc, const char * const *argv)\n"
  "{ program_number += argc; afork_worker_take_items (&n_taken); }\n"
  "void f " RUN "\n"
  "{ dprintf (socket, \"%d %d %zu\", program_number, (int) (number * 100), n_taken); }\n";

static void
assert_program_number (AForkProcess *template)
{
  g_autoptr(AForkProcess) process = NULL;

  afork_process_send_arg (template, "taken");
  afork_process_eval (template, write_program_number, STRV ("one", "two"));
  process = afork_process_fork (template);
  assert_says (process, "f", "175 150 1");
  assert_says (template, "f", "175 150 1");
}

static void
test_self (Census        *census,
           gconstpointer  data)
{
  g_autoptr(AForkProcess) template = NULL;

  if (skip_under_valgrind ("valgrind is what would be executed again"))
    return;

  template = afork_process_new_for_runtime (afork_runtime_get_self ());
  assert_program_number (template);
  afork_runtime_set_template (afork_runtime_get_self (), NULL);
}

static void
test_new_template (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(AForkProcess) template = afork_process_new_template (&error);

  g_assert_no_error (error);
  assert_program_number (template);
}

static void
test_early (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(AForkProcess) process = NULL;

  g_assert_true (afork_early (&error));
  g_assert_no_error (error);
  process = afork_process_new ();
  assert_program_number (process);
}

/* A locale with a decimal comma. */
#define LOCALE "de_DE.UTF-8"

/* Numbers are parsed as in C, whatever the locale of the program is. */
static void
test_locale (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(AForkProcess) template = NULL;

  g_assert_nonnull (setlocale (LC_ALL, LOCALE));
  template = afork_process_new_template (&error);
  g_assert_no_error (error);
  assert_program_number (template);
}

typedef struct
{
  void   (*test) (void);
  guint    n_stay;              /* processes that stay until the program exits */
  gboolean needs_locale;
} InProgram;

static gboolean
has_locale (void)
{
  locale_t locale = newlocale (LC_ALL_MASK, LOCALE, (locale_t) 0);

  if (locale != (locale_t) 0)
    freelocale (locale);
  return locale != (locale_t) 0;
}

/* In a process of its own, which has one thread. */
static void
test_in_program (gconstpointer data)
{
  const InProgram *self = data;

  if (skip_under_valgrind ("valgrind has no pidfd_open()"))
    return;
  if (self->needs_locale && !has_locale ())
    {
      g_test_skip ("there is no locale " LOCALE);
      return;
    }
  run_in_program (self->test, self->n_stay);
}

int
main (int    argc,
      char **argv)
{
  static const InProgram new_template = { test_new_template, 0 };
  static const InProgram early = { test_early, 1 };
  static const InProgram locale = { test_locale, 0, TRUE };

  afork_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);

  fault_add ("/eval/plugin/missing", test_plugin_missing);
  if (g_getenv ("AFORK_TEST_EVAL") == NULL)
    {
      g_test_message ("This build has no plugin: there is nothing else to test.");
      return g_test_run ();
    }

  fault_add ("/eval/helper", test_helper);
  fault_add ("/eval/args", test_args);
  fault_add ("/eval/args/not-taken", test_args_not_taken);
  fault_add ("/eval/nothing", test_nothing);
  fault_add ("/eval/main", test_main);
  fault_add ("/eval/constructor", test_constructor);
  fault_add ("/eval/items", test_items);
  fault_add ("/eval/find/newest", test_find_newest);
  fault_add ("/eval/find/in-module", test_find_in_module);
  fault_add ("/eval/find/missing", test_find_missing);
  fault_add ("/eval/call", test_call);
  fault_add ("/eval/use/before", test_use_before);
  fault_add ("/eval/use/library", test_use_library);
  fault_add ("/eval/use/libc", test_use_libc);
  fault_add ("/eval/use/headers", test_use_headers);
  fault_add ("/eval/use/layout", test_use_layout);
  fault_add ("/eval/use/pragma-library", test_use_pragma_library);
  fault_add ("/eval/use/own-headers", test_use_own_headers);
  fault_add ("/eval/use/after", test_use_after);
  for (guint i = 0; i < G_N_ELEMENTS (errors); i++)
    {
      g_autofree char *path = g_strconcat ("/eval/error/", errors[i].path, NULL);

      fault_add_with_data (path, &errors[i], test_error);
    }
  fault_add ("/eval/error/many", test_error_many);
  fault_add ("/eval/error/then-more", test_error_then_more);
  fault_add ("/eval/warning", test_warning);
  fault_add ("/eval/warning-no-room", test_warning_no_room);
  fault_add ("/eval/forbidden", test_forbidden);
  fault_add ("/eval/crash", test_crash);
  fault_add ("/eval/long-code", test_long_code);
  fault_add ("/eval/deep-code", test_deep_code);
  fault_add ("/eval/long-symbol", test_long_symbol);
  fault_add ("/eval/many-codes", test_many_codes);
  fault_add ("/eval/plugin/loaded", test_plugin_loaded);
  fault_add ("/eval/plugin/clean", test_plugin_clean);
  fault_add ("/eval/plugin/variable", test_plugin_variable);
  fault_add ("/eval/command", test_command);
  fault_add ("/eval/self", test_self);
  g_test_add_data_func ("/eval/new-template", &new_template, test_in_program);
  g_test_add_data_func ("/eval/early", &early, test_in_program);
  g_test_add_data_func ("/eval/locale", &locale, test_in_program);

  return g_test_run ();
}
