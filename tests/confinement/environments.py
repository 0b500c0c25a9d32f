#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs the tests of confinement where less can be had: as another user, without user namespaces,
in sandboxes, and where the kernel refuses a single thing.

environments.py ENVIRONMENT PROGRAM...

Each program must pass in it, or skip what cannot be had. If the environment itself cannot be had
here, the test is skipped. `without-NAME` is one in which the system calls of REFUSED are refused,
and the programs find NAME in AFORK_TEST_REFUSED.
"""

import ctypes
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


PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2

# What confinement uses, by the numbers of system calls; the second time with the first argument, if
# only that is refused. Those from 424 on are the same everywhere.
REFUSED = {
    'capabilities': {'x86_64': [126], 'aarch64': [91]},
    'landlock': {'x86_64': [444], 'aarch64': [444]},
    'mount': {'x86_64': [165], 'aarch64': [40]},
    'mount-attributes': {'x86_64': [442], 'aarch64': [442]},
    'mount-trees': {'x86_64': [428, 429], 'aarch64': [428, 429]},
    'namespaces': {'x86_64': [272], 'aarch64': [97]},
    'pivot-root': {'x86_64': [155], 'aarch64': [41]},
    'rlimits': {'x86_64': [160, 302], 'aarch64': [164, 261]},
    'seccomp': {'x86_64': [317, (157, PR_SET_SECCOMP)], 'aarch64': [277, (167, PR_SET_SECCOMP)]},
    'setns': {'x86_64': [308], 'aarch64': [268]},
}


def make_refusal(name):
    """The program for the kernel that refuses what is called NAME, or None on another machine."""
    machine = platform.machine()
    if machine not in AUDIT_ARCH:
        return None

    program = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, AUDIT_ARCH[machine]), (RETURN, 0, 0, ALLOW)]
    for call in REFUSED[name][machine]:
        number, argument = call if isinstance(call, tuple) else (call, None)
        program.append((LOAD, 0, 0, 0))
        if argument is None:
            program += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | EPERM)]
        else:
            program += [(EQUAL, 0, 3, number), (LOAD, 0, 0, 16), (EQUAL, 0, 1, argument),
                        (RETURN, 0, 0, REFUSE | EPERM)]
    program.append((RETURN, 0, 0, ALLOW))
    return b''.join(struct.pack('=HBBI', *instruction) for instruction in program)


def refuse(name, command):
    """Executes the command without what is called NAME."""
    filter_bytes = make_refusal(name)
    libc = ctypes.CDLL(None, use_errno=True)
    instructions = ctypes.create_string_buffer(filter_bytes)
    # struct sock_fprog
    program = ctypes.create_string_buffer(
        struct.pack('@HP', len(filter_bytes) // 8, ctypes.addressof(instructions)))
    zero = ctypes.c_ulong(0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) != 0 \
            or libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(MODE_FILTER), program, zero, zero) != 0:
        sys.exit(f'{name} cannot be refused: {os.strerror(ctypes.get_errno())}')
    os.execvp(command[0], command)


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
    if environment.startswith('without-'):
        return [sys.executable, '-B', os.path.abspath(__file__), '--refuse',
                environment.removeprefix('without-')]
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
    if make_filter() is None and (environment == 'flatpak' or environment.startswith('without-')):
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

    if environment.startswith('without-'):
        os.environ['AFORK_TEST_REFUSED'] = environment.removeprefix('without-')
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
    if sys.argv[1] == '--refuse':
        refuse(sys.argv[2], sys.argv[3:])
    sys.exit(main(*sys.argv[1:]))
