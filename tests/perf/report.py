# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Says what a run of benchmarks found: as text, and as a section of a page of the manual."""

import ctypes
import datetime
import math
import os
import platform
import textwrap
from pathlib import Path


def processor_model():
    for line in Path('/proc/cpuinfo').read_text().splitlines():
        name, _, value = line.partition(':')
        if name.strip() in ('model name', 'Model', 'cpu model'):
            return value.strip()
    return platform.machine()


def glib_version():
    try:
        glib = ctypes.CDLL('libglib-2.0.so.0')
    except OSError:
        return 'unknown'
    return '.'.join(str(ctypes.c_uint.in_dll(glib, f'glib_{part}_version').value)
                    for part in ('major', 'minor', 'micro'))


def describe_machine(cpu):
    return {
        'kernel': f'{platform.system()} {platform.release()} {platform.machine()}',
        'processor': processor_model(),
        'processors': os.cpu_count(),
        'pinned-to': cpu,
        'real-time': os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR),
        'virtual': 'hypervisor' in Path('/proc/cpuinfo').read_text(),
        'glib': glib_version(),
        'page-kib': os.sysconf('SC_PAGE_SIZE') // 1024,
        'libc': ' '.join(platform.libc_ver()),
        'date': datetime.date.today().isoformat(),
    }


def processor_line(machine):
    virtual = ' (virtual)' if machine['virtual'] else ''
    return (f"{machine['processor']}{virtual}, {machine['processors']} processors, of which "
            f"number {machine['pinned-to']} is used; {machine['kernel']}; "
            f"GLib {machine['glib']}, {machine['libc']}; {machine['date']}")


def machine_lines(report):
    machine = report['machine']
    lines = [
        processor_line(machine),
        f"{report['rounds']} rounds, cases interleaved, medians of the rounds; "
        f"{machine['page-kib']} KiB pages",
    ]
    if any(case['all-processors'] for case in report['cases']):
        lines[1] += '; rows of “all processors” use all of them'
    if machine['real-time']:
        lines[1] += '; at real-time priority'
    if report['build']:
        lines[1] += f"; built as {report['build']}"
    if report['mode'] == 'smoke':
        lines.append('A smoke test, to see that it works: the numbers mean nothing.')
    elif report['mode'] == 'quick':
        lines.append('; '.join(['A quick run, with short rounds', *(
            f'{quick} instead of {full}' for full, quick in report['smaller'])]) + '.')
    if report['left-out']:
        lines.append('Left out: ' + ', '.join(report['left-out']) + '.')
    return lines


def number(value):
    """Three digits, or as many as there are before the point."""
    if value is None:
        return ''
    if value == 0:
        return '0'
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f'{value:.{digits}f}'


def print_rows(header, rows, left):
    """Prints columns, those with their numbers in LEFT to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        cells = [cell.ljust(width) if column in left else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths))]
        print('  '.join(cells).rstrip())


def print_report(report):
    print(f"\n{report['title']}\n")
    for line in machine_lines(report):
        print(textwrap.fill(line, 100))

    rows, skipped = [], []
    for case in report['cases']:
        if 'skipped' in case:
            skipped.append(f"{case['name']} was skipped: {case['skipped']}")
            continue
        medians = case['medians']
        extra = ', '.join(f"{name} {number(value)}" for name, value in medians.items()
                          if name != 'per-second')
        rows.append((case['title'], case['name'], number(medians.get('per-second')),
                     number(case.get('p50-us')), number(case.get('p99-us')), extra))
    print()
    print_rows(('case', 'name', '/s', 'p50 us', 'p99 us', 'other'), rows, (0, 1, 5))
    for line in skipped:
        print(line)

    if report['figures']:
        print()
        print_figures(report)


def print_figures(report):
    """A full run is held against what is aimed at. A quick one says where it cannot tell."""
    if report['mode'] == 'quick':
        rows = [(*figure_cells(figure), figure['against-1']) for figure in report['figures']]
        print_rows(('figure', 'median', 'rounds', ''), rows, (0, 3))
        return

    rows = []
    for figure in report['figures']:
        bounds = [f"{number(figure[key])} {figure['unit']}" if figure[key] is not None else ''
                  for key in ('at-least', 'aim')]
        if figure['smaller-is-better'] and figure['at-least'] is not None:
            bounds[0] = 'at most ' + bounds[0]
        rows.append((*figure_cells(figure), *bounds, figure['verdict']))
    print_rows(('figure', 'median', 'rounds', 'at least', 'aim', ''), rows, (0, 5))


def figure_cells(figure):
    return (figure['title'], f"{number(figure['value'])} {figure['unit']}",
            f"{number(figure['lowest'])} .. {number(figure['highest'])}")


def figure_row(figure):
    """FIGURE as a row of the table in the manual."""
    cells = [figure['title'], f"{number(figure['value'])} {figure['unit']}",
             f"{number(figure['lowest'])} to {number(figure['highest'])}"]
    return '| ' + ' | '.join(cells) + ' |'


def case_row(case):
    medians = case['medians']
    cells = [f"{case['group']}: {case['title']}", number(medians.get('per-second')),
             number(case.get('p50-us')), number(case.get('p99-us')),
             number(medians.get('life-inside-us'))]
    return '| ' + ' | '.join(cells) + ' |'


def page_section(report):
    """The figures of REPORT, and below them its cases, as the manual has them."""
    timed = [case for case in report['cases'] if case.get('p50-us')]
    return '\n'.join([
        textwrap.fill('; '.join(machine_lines(report)) + '.', 100),
        '',
        '| figure | median | rounds |',
        '|---|---|---|',
        *(figure_row(figure) for figure in report['figures']),
        *(['', '| case | /s | p50 µs | p99 µs | caller’s µs |', '|---|---|---|---|---|']
          if timed else []),
        *(case_row(case) for case in timed),
    ])


def update_page(page, suite, section):
    """Puts SECTION between the two comments in PAGE that name SUITE."""
    begin, end = f'<!-- begin: {suite} -->\n', f'<!-- end: {suite} -->\n'
    before, found, rest = page.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise Failure(f'{page} has no place for the figures of {suite}')
    page.write_text(before + begin + section + '\n' + end + after)
