/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "confinement.h"
#include "server-prepare.h"
#include "server-reply.h"
#include "server-run.h"
#include "server-state.h"
#include "title.h"

/* The rest of a file does not come. Returns false. Not async-signal-safe. */
static bool
fail_file (void)
{
  return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_MODULE,
                            "Module “%.255s” could not be copied: not all of it has come",
                            afork_server.receives->name);
}

/* A command has failed. Not async-signal-safe. */
static void __attribute__ ((noreturn))
fail (void)
{
  afork_server_drop_file ();
  afork_server_fail ();
}

/* Does the command FRAME. Returns false and sets the failure if it fails. Not async-signal-safe. */
static bool
execute (const AForkFrame *frame)
{
  if (afork_server.receives != NULL && frame->kind != AFORK_FRAME_FILE_BYTES
      && frame->kind != AFORK_FRAME_FAIL)
    return fail_file ();

  switch (frame->kind)
    {
    case AFORK_FRAME_MODULE_PATH:
      return afork_serve_module_path (frame);
    case AFORK_FRAME_TITLE:
      afork_title_set (frame->string[0]);
      return true;
    case AFORK_FRAME_SETENV:
      return afork_serve_setenv (frame->string[0], frame->string[1]);
    case AFORK_FRAME_UNSETENV:
      return afork_serve_setenv (frame->string[0], NULL);
    case AFORK_FRAME_CHDIR:
      return afork_serve_chdir (frame->string[0]);
    case AFORK_FRAME_MAP_FD:
      return afork_serve_map_fd ((int) frame->number[0]);
    case AFORK_FRAME_REQUIRE:
    case AFORK_FRAME_REQUIRE_FILE:
    case AFORK_FRAME_EVAL:
    case AFORK_FRAME_CALL:
      return afork_serve_module_code (frame);
    case AFORK_FRAME_FILE:
      return afork_serve_file (frame);
    case AFORK_FRAME_FILE_BYTES:
      return afork_serve_file_bytes (frame);
    case AFORK_FRAME_FAIL:
      return afork_serve_fail (frame);
    case AFORK_FRAME_ITEM_BYTES:
      return afork_serve_item_bytes (frame);
    case AFORK_FRAME_ITEM_FDS:
      return afork_serve_item_fds (frame->n_fds);
    case AFORK_FRAME_FORK:
      return afork_serve_fork (frame->number[0], afork_link_take_fd (&afork_server.link));
    case AFORK_FRAME_LOOK_UP:
      afork_server.runtime->look_up (afork_server.runtime_data, frame->string[0]);
      return true;
    case AFORK_FRAME_EXEC:
      return afork_serve_exec (frame);
    case AFORK_FRAME_DEATH_PIPE:
      return afork_serve_death_pipe ();
    case AFORK_FRAME_DETACH:
      return afork_serve_detach ();
    case AFORK_FRAME_IDENTIFY:
      return afork_serve_identify (frame->number[0]);
    case AFORK_FRAME_LIBRARY:
      return afork_serve_library (frame->string[0]);
    case AFORK_FRAME_RESTRICT:
      return afork_serve_restrict (frame);
    case AFORK_FRAME_RUN:
      return afork_serve_run (frame->string[0], frame->string[1]);
    case AFORK_FRAME_RUN_FUNC:
      return afork_serve_run_func (frame);
    case AFORK_FRAME_SIGNAL:
      return afork_serve_signal (frame->number[0], frame->number[1]);
    case AFORK_FRAME_DISOWN:
      return afork_serve_disown (frame->number[0]);
    case AFORK_FRAME_MEASURE:
      return afork_serve_measure (frame->number[0]);
    case AFORK_FRAME_LEAVE:
      afork_server_leave (EXIT_SUCCESS);
    default:
      return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_PROTOCOL,
                                "The caller sent %s, which only servers send",
                                afork_frame_kind_name (frame->kind));
    }
}

/* Waits for commands, and reaps forks meanwhile. Not async-signal-safe. */
static AForkLinkResult
wait_for_commands (void)
{
  bool readable;

  /* If a fork's commands have arrived already, its first reply to them reports it, too. */
  if (afork_server.unreported)
    {
      AForkLinkResult result;

      result = afork_link_receive (&afork_server.link, false, &afork_server.failure);
      if (result != AFORK_LINK_EMPTY)
        return result;
      if (!afork_server_report_fork ())
        return AFORK_LINK_FAILED;
    }

  if (afork_server.children.n_children == 0)
    return afork_link_receive (&afork_server.link, true, &afork_server.failure);

  readable = afork_children_wait (&afork_server.children, afork_server_put_report, NULL);
  afork_link_flush (&afork_server.link);
  if (!afork_server_check_reports ())
    return AFORK_LINK_FAILED;

  return readable ? afork_link_receive (&afork_server.link, false, &afork_server.failure)
                  : AFORK_LINK_EMPTY;
}

void
afork_serve (const AForkServerOptions *options)
{
  AForkFrame hello = {
    .kind = AFORK_FRAME_HELLO,
    .string = { AFORK_WIRE_MAGIC },
    .number = { AFORK_WIRE_VERSION },
  };
  const int ignored[] = AFORK_IGNORED_SIGNALS;
  AForkLinkResult result;
  AForkFrame frame;

  for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
    {
      signal (ignored[i], SIG_IGN);
      afork_server.ignores[i] = true;
    }

  /* A worker may become a server again: see afork_process_new_template(). */
  afork_server.items = (AForkItems) { 0 };
  afork_server.mapped = NULL;
  afork_server.n_mapped = 0;
  afork_server.forked = options->forked;
  afork_server.discards = false;
  afork_server.exec_status = -1;
  afork_server.death_pipe = -1;
  afork_server.own_death_pipe = -1;
  afork_server.reports = -1;
  afork_server.relay = -1;
  afork_server.root = -1;
  afork_server.receives = NULL;
  afork_server.runtime = options->runtime;
  afork_server.runtime_data = options->runtime_data;
  afork_server.fork = options->fork;
  afork_link_init (&afork_server.link, options->socket);
  afork_children_init (&afork_server.children);
  /* Without HELLO, the caller would not understand an ERROR. */
  if (!afork_server_reply (&hello, -1))
    {
      fprintf (stderr, "afork-server: %s\n", afork_server.failure.text);
      afork_server_end (AFORK_EXIT_BASE + AFORK_WIRE_ERROR_SPAWN);
    }

  for (;;)
    {
      result = afork_link_next (&afork_server.link, &frame, &afork_server.failure);
      if (result == AFORK_LINK_OK && !execute (&frame))
        fail ();
      if (result == AFORK_LINK_EMPTY)
        result = wait_for_commands ();

      if (result == AFORK_LINK_END && afork_server.receives != NULL)
        {
          fail_file ();
          result = AFORK_LINK_FAILED;
        }
      if (result == AFORK_LINK_FAILED)
        fail ();
      if (result == AFORK_LINK_END)
        {
          if (afork_server.children.epoll >= 0)
            afork_children_unwatch_socket (&afork_server.children, afork_server.link.socket);
          afork_server_leave (EXIT_SUCCESS);
        }
    }
}
