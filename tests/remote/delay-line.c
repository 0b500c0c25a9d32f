/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "delay-line.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum
{
  MAX_PACKET = 2048,
  MAX_QUEUED = 8192,    /* packets in one direction; further ones are lost, as in a real network */
};

typedef struct
{
  gint64 due;           /* monotonic, in microseconds */
  gsize  size;
  guint8 bytes[MAX_PACKET];
} Packet;

/* One direction. */
typedef struct
{
  int    from;
  int    to;
  GQueue packets;
} Direction;

static gboolean
set_up (const char *name,
        const char *address)
{
  struct ifreq request = { { { 0 } } };
  struct sockaddr_in *socket_address = (struct sockaddr_in *) &request.ifr_addr;
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  gboolean done;

  g_strlcpy (request.ifr_name, name, sizeof request.ifr_name);
  socket_address->sin_family = AF_INET;
  inet_pton (AF_INET, address, &socket_address->sin_addr);
  done = ioctl (fd, SIOCSIFADDR, &request) == 0;
  inet_pton (AF_INET, "255.255.255.0", &socket_address->sin_addr);
  done = done && ioctl (fd, SIOCSIFNETMASK, &request) == 0
    && ioctl (fd, SIOCGIFFLAGS, &request) == 0;
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  done = done && ioctl (fd, SIOCSIFFLAGS, &request) == 0;
  close (fd);
  return done;
}

/* Makes a network for this process, with the loopback interface and one device. Returns the other
 * end of that, or -1 and sets errno. */
static int
enter_network (const char *address)
{
  struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
  int fd;

  if (unshare (CLONE_NEWNET) < 0)
    return -1;

  fd = open ("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0)
    return -1;

  g_strlcpy (request.ifr_name, "afork0", sizeof request.ifr_name);
  if (ioctl (fd, TUNSETIFF, &request) < 0 || !set_up ("lo", "127.0.0.1")
      || !set_up ("afork0", address))
    {
      const int saved_errno = errno;

      close (fd);
      errno = saved_errno;
      return -1;
    }

  return fd;
}

/* Takes what has come, and passes on what is due. Returns the time of the next, or G_MAXINT64. */
static gint64
serve (Direction *self,
       gint64     delay)
{
  const gint64 now = g_get_monotonic_time ();
  Packet *packet;

  for (;;)
    {
      guint8 bytes[MAX_PACKET];
      gssize size = read (self->from, bytes, sizeof bytes);

      if (size <= 0)
        break;
      if (self->packets.length >= MAX_QUEUED)
        continue;
      packet = g_new (Packet, 1);
      packet->due = now + delay;
      packet->size = (gsize) size;
      memcpy (packet->bytes, bytes, (gsize) size);
      g_queue_push_tail (&self->packets, packet);
    }

  while ((packet = g_queue_peek_head (&self->packets)) != NULL && packet->due <= now)
    {
      if (write (self->to, packet->bytes, packet->size) < 0 && errno == EAGAIN)
        break;
      g_free (g_queue_pop_head (&self->packets));
    }

  return packet != NULL ? packet->due : G_MAXINT64;
}

G_NORETURN static void
run (int    near,
     int    far,
     gint64 delay)
{
  Direction out = { near, far, G_QUEUE_INIT }, back = { far, near, G_QUEUE_INIT };

  for (;;)
    {
      struct pollfd polls[] = { { near, POLLIN, 0 }, { far, POLLIN, 0 } };
      gint64 due = serve (&out, delay);
      gint64 left;

      due = MIN (due, serve (&back, delay));
      left = due - g_get_monotonic_time ();
      if (due == G_MAXINT64)
        poll (polls, 2, -1);
      else if (left > 0)
        ppoll (polls, 2, &(struct timespec) { .tv_nsec = 1000 * MIN (left, 999999) }, NULL);
    }
}

char *
delay_line_start (DelayLine *self,
                  guint      ms)
{
  const GPid parent = getpid ();
  int near, far;

  far = enter_network (DELAY_LINE_FAR);
  if (far < 0)
    return g_strdup_printf ("a network cannot be made here: %s", g_strerror (errno));

  self->far_network = open ("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  near = enter_network (DELAY_LINE_NEAR);
  if (self->far_network < 0 || near < 0)
    return g_strdup_printf ("a second network cannot be made here: %s", g_strerror (errno));

  self->pid = fork ();
  if (self->pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () == parent)
        run (near, far, (gint64) ms * 1000);
      _exit (1);
    }

  close (near);
  close (far);
  return self->pid < 0 ? g_strdup ("no process can be forked here") : NULL;
}
