#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs the tests of confinement where less can be had: as another user, without user namespaces,
and in sandboxes.

environments.py ENVIRONMENT PROGRAM...

Each program must pass in it, or skip what cannot be had. If the environment itself cannot be had
here, the test is skipped.
"""

import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile

SKIPPED = 77
NOBODY = '65534'

# <linux/audit.h>, <linux/seccomp.h> and <linux/bpf_common.h>
AUDIT_ARCH = {'x86_64': 0xc000003e, 'aarch64': 0xc00000b7}
ALLOW, REFUSE = 0x7fff0000, 0x00050000
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06

EPERM, ENOSYS = 1, 38
CLONE_NEWUSER = 0x10000000

# What a sandbox like Flatpak refuses to a program, by the numbers of its system calls: tracing,
# mounting, new namespaces, keys, performance counters, and other means to administer a system.
SYSTEM_CALLS = {
    'x86_64': {
        'refused': [101, 103, 155, 161, 165, 166, 248, 249, 250, 256, 279, 298, 308, 321, 428, 429,
                    430, 431, 432, 433, 442],
        'clone': 56, 'unshare': 272, 'clone3': 435,
    },
    'aarch64': {
        'refused': [39, 40, 41, 51, 116, 117, 217, 218, 219, 238, 239, 241, 268, 280, 428, 429, 430,
                    431, 432, 433, 442],
        'clone': 220, 'unshare': 97, 'clone3': 435,
    },
}


def make_filter():
    """The program for the kernel, as bwrap takes it, or None on another machine."""
    machine = platform.machine()
    if machine not in SYSTEM_CALLS:
        return None

    calls = SYSTEM_CALLS[machine]
    program = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, AUDIT_ARCH[machine]), (RETURN, 0, 0, ALLOW),
               (LOAD, 0, 0, 0)]
    for number in calls['refused']:
        program += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | EPERM)]
    program += [(EQUAL, 0, 1, calls['clone3']), (RETURN, 0, 0, REFUSE | ENOSYS)]
    # The flags are the first argument of both.
    program += [(EQUAL, 1, 0, calls['clone']), (EQUAL, 0, 3, calls['unshare']),
                (LOAD, 0, 0, 16), (ANY_BIT, 0, 1, CLONE_NEWUSER), (RETURN, 0, 0, REFUSE | EPERM),
                (RETURN, 0, 0, ALLOW)]
    return b''.join(struct.pack('=HBBI', *instruction) for instruction in program)


def as_nobody():
    if os.geteuid() != 0:
        return []
    return ['setpriv', '--reuid', NOBODY, '--regid', NOBODY, '--clear-groups']


FORBID = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
BWRAP = ['bwrap', '--dev-bind', '/', '/', '--proc', '/proc', '--unshare-pid', '--unshare-user']


def get_command(environment):
    """The command that runs another one in the environment."""
    if environment == 'ordinary-user':
        return as_nobody()
    if environment == 'no-user-namespaces':
        return [*as_nobody(), 'unshare', '--user', '--map-root-user', 'sh', '-c', FORBID, 'sh']
    if environment == 'bwrap':
        return [*as_nobody(), *BWRAP]
    if environment == 'bwrap-last':
        return [*as_nobody(), *BWRAP, '--disable-userns']
    if environment == 'flatpak':
        return [*as_nobody(), *BWRAP, '--seccomp', '0']
    sys.exit(f'{environment} is not an environment')


def run(command, environment, **options):
    """Runs COMMAND in the environment. bwrap reads the filter from its standard input."""
    stdin = subprocess.DEVNULL
    if environment == 'flatpak':
        reading, writing = os.pipe()
        os.write(writing, make_filter())
        os.close(writing)
        stdin = reading
    try:
        return subprocess.run([*get_command(environment), *command], stdin=stdin, check=False,
                              **options)
    finally:
        if stdin != subprocess.DEVNULL:
            os.close(stdin)


def is_there(environment):
    command = get_command(environment)
    if not command:
        return False
    if environment == 'flatpak' and make_filter() is None:
        return False
    if any(shutil.which(program) is None for program in ('setpriv', 'unshare')
           if program in command) or ('bwrap' in command and shutil.which('bwrap') is None):
        return False
    return run(['true'], environment, stderr=subprocess.DEVNULL).returncode == 0


def is_reachable(environment, programs):
    """Whether the user of the environment can execute the programs, and make files: not if all is
    in the home of another user."""
    check = 'for program; do test -r "$program" || exit 1; done; : > "$TMPDIR/file"'
    return run(['sh', '-c', check, 'sh', *programs, os.environ['AFORK_SERVER']], environment,
               stderr=subprocess.DEVNULL).returncode == 0


def main(environment, *programs):
    if not is_there(environment):
        print(f'{environment} cannot be had here, or is where the other tests run')
        return SKIPPED

    # The folder of the tests may be one in which another user cannot make files.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o1777)
        os.environ['TMPDIR'] = folder
        if not is_reachable(environment, programs):
            print('the user of this environment cannot read the programs')
            return SKIPPED
        return run_all(environment, programs)


def run_all(environment, programs):
    failed = False
    for program in programs:
        command = [program, '--tap']
        if program.endswith('.py'):
            command = [os.environ['AFORK_TEST_PYTHON'], program]
        result = run(command, environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                     errors='replace', text=True)
        lines = result.stdout.splitlines()
        passed = sum(line.startswith('ok ') and '# SKIP' not in line for line in lines)
        skipped = sum(line.startswith('ok ') and '# SKIP' in line for line in lines)
        counts = f'{passed} passed, {skipped} skipped, ' if '--tap' in command else ''
        print(f'{os.path.basename(program)}: {counts}status {result.returncode}')
        if result.returncode != 0:
            failed = True
            print('\n'.join(lines[-20:]))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
