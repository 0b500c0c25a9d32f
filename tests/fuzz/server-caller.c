/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The caller: it sends correct and incorrect frames in any pieces and with any descriptors, and
 * checks what the server sends. */

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <afork/wire/afork-confinement.h>

#include "server-target.h"

#if defined (__aarch64__)
# define NATIVE_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
# define NATIVE_ARCHITECTURE AUDIT_ARCH_X86_64
#endif

Link *
add_link (int  server_end,
          int  callers_end,
          bool is_fork)
{
  Link *link = &world.links[world.n_links++];
  struct stat status;

  if ((fstat) (server_end, &status) < 0)
    die ("fstat: %s", strerror (errno));
  link->fd = callers_end;
  link->other = status.st_ino;
  link->n_due = 0;
  link->n_output = 0;
  link->n_output_fds = 0;
  link->n_signals = 0;
  link->n_measures = 0;
  link->is_damaged = link->lacks_pidfd = false;
  link->is_fork = is_fork;
  link->heard = link->ready = link->gave_up = link->raw = false;
  return link;
}

Link *
find_link (int server_end)
{
  struct stat status;

  if (!is_server_fd (server_end) || (fstat) (server_end, &status) < 0)
    return NULL;
  for (size_t i = 0; i < world.n_links; i++)
    if (world.links[i].other == status.st_ino)
      return &world.links[i];

  return NULL;
}

void
hang_up (Link *link)
{
  drop (&link->fd);
  outbox_clear (&link->outbox);
  link->n_due = 0;
}

void
hang_up_all (void)
{
  for (size_t i = 0; i < world.n_links; i++)
    hang_up (&world.links[i]);
  world.hung_up = true;
}

void
deliver (Link *link)
{
  size_t n_before = link->outbox.n_bytes;

  if (link->fd < 0 || link->n_due == 0)
    return;

  outbox_send (&link->outbox, link->fd, link->n_due);
  link->n_due -= n_before - link->outbox.n_bytes;
}

/* A socket for a fork, or for an exec status. Returns the end for the server, which is closed here
 * with all others. */
static int
make_socket (bool is_fork)
{
  int ends[2];

  if (world.n_links == MAX_LINKS)
    return -1;
  begin_own ();
  if ((socketpair) (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    die ("socketpair: %s", strerror (errno));

  ends[0] = move_own (ends[0]);
  add_link (ends[0], move_own (ends[1]), is_fork);
  return ends[0];
}

/* Descriptors for a frame of KIND that has NUMBER, or for none. */
void
add_fds (Link     *link,
         unsigned  n_fds,
         unsigned  kind,
         uint32_t  number)
{
  const bool is_fork = kind == AFORK_FRAME_FORK;
  /* The first sample has exited, and kills processes that depend on it. */
  const unsigned first = kind == AFORK_FRAME_DEATH_PIPE && number == 0 ? 1 : 0;

  for (unsigned i = 0; i < n_fds; i++)
    {
      int fd = i == 0 && (is_fork || kind == AFORK_FRAME_EXEC) ? make_socket (is_fork) : -1;

      outbox_add_fd (&link->outbox, fd >= 0 ? fd : samples[(first + i) % N_SAMPLES]);
    }
}

void
put_frame (Link *link,
           Step *step)
{
  static const uint8_t kinds[] = {
    AFORK_FRAME_HELLO, AFORK_FRAME_FORKED, AFORK_FRAME_READY, AFORK_FRAME_ERROR,
    AFORK_FRAME_FORK_FAILED, AFORK_FRAME_EXITED, AFORK_FRAME_SIGNALED,
    AFORK_FRAME_NO_PIDFD, AFORK_FRAME_MEASURED,
  };
  uint8_t kind = (uint8_t) (step_take (step) % (AFORK_FRAME_MEASURE + 2));
  uint8_t delta = step_take (step);
  uint32_t number = step_take_number (step);
  AForkFrame frame = { .kind = kind, .number = { number, 0 } };
  unsigned n_fds = 0;

  switch (kind)
    {
    case 0:
    case AFORK_FRAME_MEASURE + 1:
      frame.kind = number % 16 == 15 ? AFORK_FRAME_REMOTE : kinds[number % sizeof kinds];
      frame.string[0] = "";
      break;
    case AFORK_FRAME_ITEM_FDS:
      n_fds = number % AFORK_FRAME_MAX_FDS + 1;
      break;
    case AFORK_FRAME_MAP_FD:
    case AFORK_FRAME_FORK:
    case AFORK_FRAME_EXEC:
    case AFORK_FRAME_DEATH_PIPE:
      n_fds = 1;
      break;
    case AFORK_FRAME_ITEM_BYTES:
      frame.flags = number & (AFORK_FRAME_MORE | AFORK_FRAME_STRING);
      break;
    case AFORK_FRAME_RUN_FUNC:
      if ((number & 1) != 0)
        {
          frame.string[0] = object_id;
          frame.number[0] = (uint32_t) object_offset;
          frame.number[1] = (uint32_t) (object_offset >> 32);
        }
      break;
    case AFORK_FRAME_SIGNAL:
      frame.number[1] = step_take_number (step);
      link->n_signals++;
      break;
    case AFORK_FRAME_MEASURE:
      link->n_measures++;
      break;
    default:
      break;
    }

  frame.n_fds = (uint16_t) n_fds;
  if (link->outbox.n_bytes < MAX_PUT)
    outbox_add_frame (&link->outbox, &frame, step);
  add_fds (link, delta == 7 && n_fds > 0 ? n_fds - 1 : delta == 8 ? n_fds + 1 : n_fds,
           kind, number);
}

/* Adds PATHS, some of a few. */
static void
add_paths (AForkConfinement *confinement,
           Step             *step)
{
  static const char * const names[] = {
    "/", "/nowhere", "/usr", "/dev/null", "/proc/self", "/usr/..",
  };
  static uint8_t bytes[2][256];
  const unsigned access = step_take (step) % 2;
  const uint8_t chosen = step_take (step);
  const char *paths[sizeof names / sizeof names[0] + 1] = { NULL };
  size_t n_paths = 0;

  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if ((chosen & 1u << i) != 0)
      paths[n_paths++] = names[i];
  confinement->has_paths[access] = true;
  confinement->paths[access].bytes = bytes[access];
  confinement->paths[access].n_bytes =
    afork_strings_size (paths, &confinement->paths[access].n_strings);
  afork_strings_write (paths, bytes[access]);
}

/* A filter that allows all, in as many instructions. */
static void
add_filter (AForkConfinement *confinement,
            Step             *step)
{
  static uint8_t instructions[256 * AFORK_INSTRUCTION_SIZE];
  AForkFilter *filter = &confinement->filters[confinement->n_filters];
  const struct sock_filter allow = BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW);

  if (confinement->n_filters == AFORK_MAX_FILTERS)
    return;

  for (size_t i = 0; i < sizeof instructions; i += sizeof allow)
    memcpy (instructions + i, &allow, sizeof allow);
  filter->stage = (AForkStage) (step_take (step) % AFORK_N_STAGES);
  filter->gives = (uint32_t) step_take (step) << 5;
  filter->n_instructions = step_take (step) + 1u;
  /* Sometimes for another machine. */
  filter->architecture = filter->n_instructions == 256 ? 0 : NATIVE_ARCHITECTURE;
  filter->instructions = instructions;
  confinement->n_filters++;
}

/* Adds a RESTRICT: whether it is for best effort, and allows no program; what is wanted; and then
 * parts, each of which is its kind and its arguments. */
void
put_restrict (Link *link,
              Step *step)
{
  AForkConfinement confinement = { .flags = step_take (step) & 3u };
  AForkFrame frame = { .kind = AFORK_FRAME_RESTRICT };
  AForkLimitValue *limit;
  uint8_t *bytes;

  confinement.wanted = step_take (step);
  confinement.wanted |= (uint32_t) (step_take (step) & 0x1f) << 8;
  if ((confinement.flags & AFORK_CONFINEMENT_BEST_EFFORT) != 0)
    world.best_effort = true;
  while (step->n_args > 0)
    switch (step_take (step) % 8)
      {
      case 0:
        limit = &confinement.limits[step_take (step) % AFORK_N_LIMITS];
        limit->set = true;
        limit->soft = step_take (step);
        limit->hard = limit->soft + step_take (step);
        break;
      case 1:
        confinement.nice = step_take (step) % 20;
        break;
      case 2:
        confinement.idle = true;
        break;
      case 3:
        confinement.oom_score = step_take (step) * 3u;
        break;
      case 4:
        add_filter (&confinement, step);
        break;
      case 5:
        add_paths (&confinement, step);
        break;
      case 6:
        confinement.namespaces = step_take (step) & 63;
        break;
      default:
        confinement.missing[step_take (step) % AFORK_N_LAYERS] = AFORK_LAYER_STATE_NOT_BUILT;
        break;
      }

  frame.n_bytes = afork_confinement_size (&confinement);
  frame.bytes = bytes = malloc (frame.n_bytes);
  if (bytes == NULL)
    abort ();
  afork_confinement_write (&confinement, bytes);
  if (link->outbox.n_bytes < MAX_PUT)
    outbox_add_whole_frame (&link->outbox, &frame);
  free (bytes);
}

void
corrupt (Link    *link,
         uint32_t place,
         uint8_t  change)
{
  link->is_damaged = true;
  world.best_effort = true;
  if (link->outbox.n_bytes > 0)
    link->outbox.bytes[link->outbox.n_bytes - 1 - place % link->outbox.n_bytes] ^= change;
}

/* What the server sends. */

static void
check_exited (const AForkFrame *frame)
{
  for (size_t i = 0; i < world.n_children; i++)
    if ((uint32_t) world.children[i].pid == frame->exit.pid)
      {
        Child *child = &world.children[i];

        if (child->state != REAPED || child->reported)
          die ("the end of child %d is reported, which lives or was reported", (int) child->pid);
        child->reported = true;
        return;
      }

  die ("the end of process %u is reported, which is no child", frame->exit.pid);
}

/* Damaged frames may have become commands that were not counted. */
static void
check_signaled (Link             *link,
                const AForkFrame *frame)
{
  const uint32_t result = frame->number[1];

  if (link->n_signals == 0 && !link->is_damaged)
    die ("the server answers a signal that it was not asked for");
  if (link->n_signals > 0)
    link->n_signals--;
  if (result != 0 && result != ESRCH && result != EPERM && result != EINVAL)
    die ("the server answers a signal with %u", result);
}

static void
check_measured (Link             *link,
                const AForkFrame *frame)
{
  if (link->n_measures == 0 && !link->is_damaged)
    die ("the server reports the memory of a fork that it was not asked for");
  if (link->n_measures > 0)
    link->n_measures--;
  if (frame->number[1] != 0 && frame->number[1] != CHILD_KIB)
    die ("the server reports %u KiB of memory", frame->number[1]);
}

static void
check_confined (const AForkFrame *frame)
{
  AForkConfinementReport report;

  if (!afork_confinement_report_parse (frame->bytes, frame->n_bytes, &report))
    die ("the server sends a wrong report of its confinement");
  if (!world.best_effort && (report.wanted & ~afork_confinement_report_had (&report)) != 0)
    die ("the server runs without effects that must be had");
}

static void
check_frame (Link             *link,
             const AForkFrame *frame)
{
  const bool is_report = frame->kind == AFORK_FRAME_EXITED
    || frame->kind == AFORK_FRAME_SIGNALED
    || frame->kind == AFORK_FRAME_MEASURED;

  if (frame->n_fds > link->n_output_fds)
    die ("the server sends %s without its descriptors", afork_frame_kind_name (frame->kind));
  link->n_output_fds -= frame->n_fds;

  if (link->raw)
    die ("the server sends %s where a function has the socket",
         afork_frame_kind_name (frame->kind));
  if (link->gave_up && !is_report)
    die ("the server sends %s when it has given up", afork_frame_kind_name (frame->kind));
  if (!world.notified && frame->kind != AFORK_FRAME_HELLO)
    die ("the server sends %s before HELLO", afork_frame_kind_name (frame->kind));

  switch ((int) frame->kind)
    {
    case AFORK_FRAME_HELLO:
      if (world.notified || strcmp (frame->string[0], AFORK_WIRE_MAGIC) != 0
          || frame->number[0] != AFORK_WIRE_VERSION)
        die ("the server sends HELLO twice, or a wrong one");
      world.notified = true;
      break;
    case AFORK_FRAME_ERROR:
      if (frame->number[0] > AFORK_WIRE_ERROR_SPAWN)
        die ("the server sends an error %u, which there is not", frame->number[0]);
      link->gave_up = true;
      break;
    case AFORK_FRAME_FORKED:
    case AFORK_FRAME_READY:
      if (frame->kind == AFORK_FRAME_READY && world.copy_failed)
        die ("the server sends READY where a descriptor could not be mapped");
      if (frame->kind == AFORK_FRAME_READY && link->is_fork && !link->heard && frame->n_fds == 0
          && !link->lacks_pidfd)
        die ("a fork sends READY first, and no pidfd");
      break;
    case AFORK_FRAME_FORK_FAILED:
      break;
    case AFORK_FRAME_CONFINED:
      check_confined (frame);
      break;
    case AFORK_FRAME_EXITED:
      check_exited (frame);
      break;
    case AFORK_FRAME_SIGNALED:
      check_signaled (link, frame);
      break;
    case AFORK_FRAME_MEASURED:
      check_measured (link, frame);
      break;
    case AFORK_FRAME_NO_PIDFD:
      if (!world.has_no_pidfds)
        die ("the server says that there are no pidfds");
      break;
    default:
      die ("the server sends %s", afork_frame_kind_name (frame->kind));
    }

  link->lacks_pidfd = frame->kind == AFORK_FRAME_NO_PIDFD;
  if (link->lacks_pidfd)
    return;
  link->heard = true;
  link->ready = frame->kind == AFORK_FRAME_READY;
}

static void
count_fds (Link          *link,
           struct msghdr *message)
{
  for (struct cmsghdr *control = CMSG_FIRSTHDR (message);
       control != NULL;
       control = CMSG_NXTHDR (message, control))
    {
      size_t n_fds = (control->cmsg_len - CMSG_LEN (0)) / sizeof (int);

      for (size_t i = 0; i < n_fds; i++)
        {
          int fd;

          memcpy (&fd, CMSG_DATA (control) + i * sizeof fd, sizeof fd);
          (close) (fd);
        }
      link->n_output_fds += n_fds;
    }
}

static bool
read_output (Link *link)
{
  char control[CMSG_SPACE (8 * sizeof (int))];
  struct iovec vector = { link->output + link->n_output, MAX_OUTPUT - link->n_output };
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = control,
    .msg_controllen = sizeof control,
  };
  ssize_t n_bytes = (recvmsg) (link->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

  if (n_bytes <= 0)
    return false;

  count_fds (link, &message);
  link->n_output += (size_t) n_bytes;
  return true;
}

/* Reads what the server has sent, and checks it. */
void
check_output (Link *link)
{
  AForkFrameResult result;
  AForkFrame frame;
  const char *why;
  size_t size, start;

  if (link->fd < 0 || link->raw)
    return;

  while (read_output (link))
    {
      start = 0;
      while ((result = afork_frame_parse (link->output + start, link->n_output - start,
                                          &frame, &size, &why)) == AFORK_FRAME_OK)
        {
          check_frame (link, &frame);
          start += size;
        }
      if (result == AFORK_FRAME_INVALID)
        die ("the server sends nonsense: %s", why);
      link->n_output -= start;
      memmove (link->output, link->output + start, link->n_output);
    }
}
