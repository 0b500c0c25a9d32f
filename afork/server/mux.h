/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* One side of a connection that carries many channels: see wire/afork-mux-frame.h. relay.c is the
 * side of the caller, and agent.c the side of the workers. Both have one thread and wait in one
 * place. Nothing here is async-signal-safe. */

#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "failure.h"
#include "wire/afork-mux-frame.h"

enum
{
  /* So much of a frame of a command socket is looked at; the rest is only passed on. It is the size
   * of EXITED. */
  AFORK_MUX_HEAD_SIZE = AFORK_FRAME_HEADER_SIZE + 36,
  AFORK_MUX_MAX_CHANNELS = 16384,
  /* The reports of no process come on the channel. */
  AFORK_MUX_NO_FORKS = 0xffffffff,
};

/* Frames of a command socket that pass by. */
typedef struct
{
  bool     raw;                 /* what follows are not frames of a command socket */
  uint8_t  head[AFORK_MUX_HEAD_SIZE];
  size_t   n_head;
  uint32_t n_rest;              /* bytes of the frame after the head that have not come */
  bool     drops;               /* the rest is not passed on */
  bool     diverts;             /* the rest goes to the source of the channel */
} AForkMuxScanner;

/* A descriptor to be passed on with the byte of a channel that has this offset. */
typedef struct
{
  uint64_t offset;
  int      fd;
} AForkMuxPassedFd;

typedef struct AForkMuxChannel
{
  struct AForkMuxChannel *next;
  uint32_t          id;
  /* The process at the far end is fork `number` of the process whose forks are family `family`.
   * Its own forks are family `forks`. */
  uint32_t          family;
  uint32_t          number;
  uint32_t          forks;
  int               socket;     /* non-blocking; -1 before there is one, and when it was closed */

  /* From the socket to the connection. */
  AForkMuxScanner   in;
  int64_t           credit;     /* bytes that may be sent */
  bool              in_end;     /* END was sent */
  pid_t             sender;     /* of what is scanned, for the agent */
  bool              known;      /* the process has sent its first reply */
  int64_t           opened;     /* by the relay, for a server: when it was asked for; otherwise 0 */
  bool              lacks_pidfd;
  bool              awaits_hello;
  /* A process that sends something in the place of a frame. Until it ends, what it sends is passed
   * on, and the socket is not read. -1 if there is none. */
  int               source;
  pid_t             source_pid; /* for the relay */
  uint8_t          *waiting;    /* what came from the socket after that frame */
  size_t            n_waiting;
  int              *fds;        /* that were received and not taken */
  size_t            n_fds;
  size_t            fds_size;

  /* From the connection to the socket. */
  AForkMuxScanner   out;
  uint8_t          *queue;
  size_t            queue_start;
  size_t            queue_end;
  size_t            queue_size;
  uint64_t          n_written;  /* the offset of the byte at `queue_start` */
  AForkMuxPassedFd *passed;
  size_t            n_passed;
  size_t            passed_size;
  int64_t           allowance;  /* bytes that the other side may send */
  uint32_t          uncredited;       /* bytes for which CREDIT was not sent yet */
  uint32_t          n_own;      /* bytes in the queue that the other side has not sent, so that they
                                 * get no credit */
  bool              out_end;    /* END has come */
  bool              shut;       /* nothing is written any more */

  /* EXITED of the process, while its data is on the way. */
  uint8_t           held[AFORK_MUX_HEAD_SIZE];
  size_t            n_held;
  uint32_t          held_on;    /* the channel that it is for */
  bool              killed;     /* the caller has killed the process: EXITED does not wait */
} AForkMuxChannel;

typedef enum
{
  AFORK_MUX_PASS,
  AFORK_MUX_DROP,
  AFORK_MUX_PASS_RAW,           /* the frame is the last one; what follows is raw */
  AFORK_MUX_DIVERT,             /* the frame goes to the source of the channel */
} AForkMuxAction;

typedef struct AForkMux AForkMux;

/* What the two sides do. HEAD has AFORK_FRAME_HEADER_SIZE bytes or more: all that the scanner
 * keeps of the frame. Functions that return false have set the failure, which ends the
 * connection. */
typedef struct
{
  /* A frame has come from the socket of CHANNEL. The function may change the number of descriptors
   * in HEAD. */
  bool (*command)   (AForkMux        *mux,
                     AForkMuxChannel *channel,
                     uint8_t         *head,
                     size_t           n_head,
                     AForkMuxAction  *action);
  /* A frame is to be written to the socket of CHANNEL. NULL for no look at frames. */
  bool (*reply)     (AForkMux        *mux,
                     AForkMuxChannel *channel,
                     uint8_t         *head,
                     size_t           n_head,
                     AForkMuxAction  *action);
  /* The source of CHANNEL has ended, or is not needed any more, and was closed. Returns whether it
   * has sent all. NULL if channels have none. */
  bool (*source_end) (AForkMux        *mux,
                      AForkMuxChannel *channel);
  /* FRAME has come: HELLO, START, OPEN, or DATA for a channel without a socket. */
  bool (*frame)     (AForkMux            *mux,
                     const AForkMuxFrame *frame);
  /* END has come for channel 0. NULL to do what is done for other channels. */
  void (*root_end)  (AForkMux        *mux);
  /* Whether the data of the process at CHANNEL, which has exited, is on its way or was written, so
   * that EXITED may follow. */
  bool (*is_drained) (AForkMuxChannel *channel);
  /* Puts the FRAME of N_BYTES, an EXITED, where it goes. */
  bool (*put_exited) (AForkMux        *mux,
                      AForkMuxChannel *channel,
                      const uint8_t   *frame,
                      size_t           n_bytes);
} AForkMuxFuncs;

struct AForkMux
{
  const AForkMuxFuncs *funcs;
  void            *data;
  int              input;       /* both are non-blocking, or are read and written only when poll()
                                 * says so */
  int              output;
  bool             is_agent;
  bool             asks_sender; /* sockets report the pid of the sender */

  uint8_t         *received;
  size_t           n_received;
  uint8_t         *sending;
  size_t           sending_start;
  size_t           sending_end;
  size_t           sending_size;
  size_t           last_data;   /* offset in `sending` of the last frame if it is DATA, or
                                 * SIZE_MAX */

  uint32_t         keepalive;   /* milliseconds of silence that end the connection; 0 for none */
  int64_t          last_heard;  /* monotonic, in milliseconds */
  int64_t          last_sent;

  AForkMuxChannel *channels;
  size_t           n_channels;
  uint32_t         last_id;
  size_t           first_polled;  /* a turn begins with another channel than the one before */
  struct pollfd   *polls;
  AForkMuxChannel **polled;
  size_t           n_polls;
  bool             closed;      /* the connection has ended */
  AForkFailure     failure;
};

/* How the connection stands after a turn. */
typedef enum
{
  AFORK_MUX_OPEN_STILL,
  AFORK_MUX_ENDED,              /* the other side has closed it */
  AFORK_MUX_SILENT,             /* nothing was heard for the time of `keepalive` */
  AFORK_MUX_FAILED,             /* the failure says why */
} AForkMuxState;

/* Initializes SELF, with INPUT and OUTPUT made non-blocking where that has no effect on other
 * processes. Returns false and sets the failure if there is no memory. */
bool             afork_mux_init        (AForkMux            *self,
                                        const AForkMuxFuncs *funcs,
                                        void                *data,
                                        int                  input,
                                        int                  output);

/* Allows this process as many descriptors as it may have. Returns the limits of before in OLD, a
 * struct rlimit. */
void             afork_mux_raise_limit (void                *old);

/* Returns the time of CLOCK_MONOTONIC in milliseconds. */
int64_t          afork_mux_now         (void);

/* Waits until something can be done, for TIMEOUT milliseconds at most, or without limit if that is
 * -1; then does it. EXTRA are N_EXTRA more descriptors to wait for; their results are set. */
AForkMuxState    afork_mux_turn        (AForkMux            *self,
                                        struct pollfd       *extra,
                                        size_t               n_extra,
                                        int                  timeout);

/* Handles SIZE bytes as if they had been received. */
bool             afork_mux_receive     (AForkMux            *self,
                                        const uint8_t       *bytes,
                                        size_t               size);

/* Sends what can be sent without waiting. Returns false if the connection has ended. */
bool             afork_mux_flush       (AForkMux            *self);

/* Queues FRAME. Returns false and sets the failure if there is no memory. */
bool             afork_mux_put         (AForkMux            *self,
                                        const AForkMuxFrame *frame);
/* Queues DATA of CHANNEL, unless END was sent. */
bool             afork_mux_put_data    (AForkMux            *self,
                                        AForkMuxChannel     *channel,
                                        const uint8_t       *bytes,
                                        size_t               n_bytes);
/* The same for a frame of a command socket. */
bool             afork_mux_put_frame   (AForkMux            *self,
                                        AForkMuxChannel     *channel,
                                        const AForkFrame    *frame);
bool             afork_mux_put_end     (AForkMux            *self,
                                        AForkMuxChannel     *channel);

AForkMuxChannel *afork_mux_find        (AForkMux            *self,
                                        uint32_t             id);
/* Finds the channel of fork NUMBER of FAMILY. */
AForkMuxChannel *afork_mux_find_fork   (AForkMux            *self,
                                        uint32_t             family,
                                        uint32_t             number);
/* Adds a channel. Takes SOCKET, which is -1 for none yet. Returns NULL and sets the failure if it
 * cannot. */
AForkMuxChannel *afork_mux_add         (AForkMux            *self,
                                        uint32_t             id,
                                        int                  socket);
/* Gives the channel its socket, which it takes. */
bool             afork_mux_set_socket  (AForkMux            *self,
                                        AForkMuxChannel     *channel,
                                        int                  socket);
/* A fork of the process of CHANNEL becomes the worker there, and REPORTS is the channel of the
 * process itself. */
void             afork_mux_follow      (AForkMuxChannel     *channel,
                                        AForkMuxChannel     *reports);

/* Takes the first descriptor that has come from the socket of CHANNEL, or returns -1. */
int              afork_mux_take_fd     (AForkMuxChannel     *channel);

/* Queues bytes for the socket of CHANNEL, and a descriptor that goes with the next byte, which is
 * taken. */
bool             afork_mux_write       (AForkMux            *self,
                                        AForkMuxChannel     *channel,
                                        const uint8_t       *bytes,
                                        size_t               n_bytes);
/* The same for a frame that the other side has not sent. */
bool             afork_mux_write_frame (AForkMux            *self,
                                        AForkMuxChannel     *channel,
                                        const AForkFrame    *frame);
bool             afork_mux_pass_fd     (AForkMux            *self,
                                        AForkMuxChannel     *channel,
                                        int                  fd);
/* Writes what the socket takes without waiting. */
bool             afork_mux_write_queue (AForkMux            *self,
                                        AForkMuxChannel     *channel);

/* EXITED has come from the process whose forks are FAMILY, and goes to CHANNEL. Keeps it until the
 * data of the fork has been written. */
bool             afork_mux_exited      (AForkMux            *self,
                                        uint32_t             family,
                                        AForkMuxChannel     *channel,
                                        const uint8_t       *frame,
                                        size_t               n_bytes);
/* The same for those that had to wait. */
bool             afork_mux_release     (AForkMux            *self,
                                        AForkMuxChannel     *channel);

/* Closes the sockets and frees the channels. */
void             afork_mux_close       (AForkMux            *self);

/* Reads a number of a frame. */
static inline uint32_t
afork_mux_read_u32 (const uint8_t *bytes)
{
  return bytes[0] | (uint32_t) bytes[1] << 8 | (uint32_t) bytes[2] << 16
    | (uint32_t) bytes[3] << 24;
}
