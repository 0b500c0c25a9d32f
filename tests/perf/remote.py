#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The benchmark of other hosts: workers and calls over ssh, compared with those of this machine and
with sessions of ssh over one connection; and how many round trips they take where one takes 40 ms.
README.md says more."""

import sys

from bench import Figure, Requirement, Suite, main
from cases import case
from plot import Panel

IN_FLIGHT = 64

SSH = Requirement(
    command=('{programs}/round-trip', '--count=1', '--warm-up=0', 'near:trip'),
    missing='ssh or sshd is not installed (Debian has them in openssh-client and openssh-server)',
)
NETWORKS = Requirement(
    command=('{programs}/round-trip', '--count=1', '--warm-up=0', 'far:trip'),
    missing='ssh or sshd is not installed, or two networks cannot be made here, which needs root '
            'and /dev/net/tun',
)

WORKERS = 'workers, one at a time'
MANY_WORKERS = 'workers, 8 in flight'
CALLS = '64 bytes, one at a time'
MANY_CALLS = '64 bytes, 64 in flight'
FAR_WORKERS = 'a host 40 ms away, all processors: workers, one at a time'
FAR_CALLS = 'a host 40 ms away, all processors: 64 bytes, 64 in flight'

# Debian's sshd allows ten sessions at a time for a connection.
CASES = [
    case('worker', 'AFork: here', WORKERS, 'limit', 'create-afork', 'new', count=400),
    case('worker-ssh', 'AFork: over ssh', WORKERS, 'ours', 'create-afork', 'near:new', count=200,
         requirement=SSH),
    case('session', 'ssh, over a connection that is there', WORKERS, 'peer', 'remote-ssh',
         'near:session', count=20, requirement=SSH),
    case('worker-8', 'AFork: here', MANY_WORKERS, 'limit', 'create-afork', 'new', count=400,
         in_flight=8),
    case('worker-ssh-8', 'AFork: over ssh', MANY_WORKERS, 'ours', 'create-afork', 'near:new',
         count=200, in_flight=8, requirement=SSH),
    case('session-8', 'ssh, over a connection that is there', MANY_WORKERS, 'peer', 'remote-ssh',
         'near:session', count=24, in_flight=8, requirement=SSH),

    case('call', 'AFork: here', CALLS, 'limit', 'call-afork', 'echo', count=6000),
    case('call-ssh', 'AFork: over ssh', CALLS, 'ours', 'call-afork', 'near:echo', count=2000,
         requirement=SSH),
    case('cat', 'ssh host cat', CALLS, 'peer', 'remote-ssh', 'near:cat', count=2000,
         requirement=SSH),
    case('relayed', 'ssh host cat, with two relays', CALLS, 'limit', 'remote-ssh', 'near:relayed',
         count=2000, requirement=SSH),
    case('call-ssh-64', 'AFork: over ssh', MANY_CALLS, 'ours', 'call-afork', 'near:echo',
         count=20000, in_flight=IN_FLIGHT, requirement=SSH),

    # Two hosts have more than one processor: here, only round trips count.
    case('trip-far', 'a connection that is refused', FAR_WORKERS, 'limit', 'round-trip',
         'far:trip', count=30, requirement=NETWORKS, all_processors=True),
    case('worker-far', 'AFork: over ssh', FAR_WORKERS, 'ours', 'create-afork', 'far:new', count=30,
         requirement=NETWORKS, all_processors=True),
    case('session-far', 'ssh, over a connection that is there', FAR_WORKERS, 'peer', 'remote-ssh',
         'far:session', count=6, requirement=NETWORKS, all_processors=True),
    case('call-far', 'AFork: over ssh', FAR_CALLS, 'ours', 'call-afork', 'far:echo',
         count=50 * IN_FLIGHT, in_flight=IN_FLIGHT, requirement=NETWORKS, all_processors=True),
]

FIGURES = [
    Figure('worker-here', 'workers/s over ssh, against those of this machine', 'per-second',
           'worker-ssh', 'worker', 1 / 2.5, 1 / 2),
    Figure('worker-here-8', '… 8 in flight', 'per-second', 'worker-ssh-8', 'worker-8', 1 / 2.5,
           1 / 2),
    Figure('worker-session', 'workers/s over ssh, against sessions over a connection that is there',
           'per-second', 'worker-ssh', 'session', 6, 10),
    Figure('worker-session-8', '… 8 in flight', 'per-second', 'worker-ssh-8', 'session-8', 6, 10),
    Figure('call-cat', 'calls/s over ssh, one at a time, against ssh host cat', 'per-second',
           'call-ssh', 'cat', 1 / 1.3, 1),
    Figure('call-relayed', '… with two relays', 'per-second', 'call-ssh', 'relayed', 1 / 1.3, 1),
    Figure('worker-far', 'workers/s at 40 ms, one at a time, against round trips/s', 'per-second',
           'worker-far', 'trip-far', 1 / 2, 1),
    Figure('worker-session-far', '… against sessions over a connection that is there',
           'per-second', 'worker-far', 'session-far'),
    Figure('call-far', 'calls/s at 40 ms, 64 in flight, against round trips/s', 'per-second',
           'call-far', 'trip-far', 0.9 * IN_FLIGHT, IN_FLIGHT),
]

PANELS = [
    Panel('Created and ended, processes a second', 'per-second', [WORKERS, MANY_WORKERS]),
    Panel('Calls a second', 'per-second', [CALLS, MANY_CALLS]),
    Panel('A host 40 ms away, workers and round trips a second', 'per-second', [FAR_WORKERS]),
]

SUITE = Suite('remote', 'The cost of workers on other hosts', CASES, FIGURES, PANELS,
              seconds={'full': 35, 'against': 20, 'quick': 15, 'smoke': 12})

if __name__ == '__main__':
    sys.exit(main(SUITE))
