# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Cases whose programs take the options of case.h, as every suite has them."""

from bench import Case, Requirement

SMALL = '10'                    # MB that a caller has resident
LARGE = '2000'
# To touch the memory takes long, on a virtual machine above all.
LARGE_IN = {'full': LARGE, 'against': '100', 'quick': '100', 'smoke': '50'}

# What titles say of it.
SMALLER = (('2 GB', '100 MB'),)

PHOTOGRAPHS = '/usr/share/backgrounds/mate/nature'

PYTHON = Requirement(
    command=('/usr/bin/python3', '-c', 'import concurrent.futures'),
    missing='Python is not installed (Debian has it in python3)',
)
PICTURES = Requirement(
    command=('sh', '-c', f'test -x {{programs}}/make-pictures && test -d {PHOTOGRAPHS}'),
    missing='what thumbnails are made with, or of, is not installed: in Debian, '
            'libgdk-pixbuf-2.0-dev before the build, and mate-backgrounds',
)
THUMBNAILER = Requirement(
    command=('sh', '-c', f'command -v gdk-pixbuf-thumbnailer xargs && {PICTURES.command[2]}'),
    missing='gdk-pixbuf-thumbnailer is not installed (in Debian, libgdk-pixbuf2.0-bin), or '
            + PICTURES.missing,
)


def needs_extension(program):
    """What AFork needs in Python. PROGRAM, with --check, finds out whether it is there."""
    return Requirement(
        command=(f'{{programs}}/{program}', '--check'),
        missing='PyGObject is not installed (Debian has it in python3-gi), or the build is without '
                'introspection or without the Python extension, which needs python3-dev',
    )


def case(name, title, group, kind, program, variant=None, *, count, quick=None, in_flight=1,
         resident=SMALL, inside=False, operations=0, requirement=None, workers=None, load=None,
         all_processors=False, setup=None):
    """COUNT is how often the case does what it measures in a round, QUICK in a round of a quick
    run: an eighth as often unless it is given, or 0 where it takes too long for that. It is also
    too long for a comparison then, where the other cases do half of what they do in a full run.

    OPERATIONS is how many operations instructions are counted of, without those before the first
    and after the last; with 0 they are not counted."""
    def arguments(count, mode, warm_up=None):
        if count == 0:
            return None
        options = [
            f'--count={count}',
            f'--warm-up={max(in_flight, count // 10) if warm_up is None else warm_up}',
            f'--in-flight={in_flight}',
            f'--resident-mb={LARGE_IN[mode] if resident == LARGE else resident}',
        ]
        if workers is not None:
            options.append(f'--workers={workers}')
        if load is not None:
            options.append(f'--load={load}')
        if inside:
            options.append('--inside')
        if variant is not None:
            options.append(variant)
        return tuple(options)

    if quick is None:
        quick = max(3, count // 8)
    few = 2 * in_flight
    return Case(
        name, title, group, kind, program,
        args={
            'full': arguments(count, 'full'),
            'against': arguments(max(3, count // 2) if quick else 0, 'against'),
            'quick': arguments(quick, 'quick'),
            'smoke': arguments(3, 'smoke', 1),
        },
        instructions=(arguments(few, 'smoke', 0), arguments(few + operations, 'smoke', 0)),
        operations=operations,
        requirement=requirement,
        all_processors=all_processors,
        setup=setup,
    )
