# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs benchmark programs against each other, and makes ratios of what they print.

Timings of one program on a busy or virtual machine say little, and next week nothing. What can be
relied on is how two programs compare that ran on the same processor a moment apart. So everything
is pinned to one processor; a round runs every case once, and the next runs them in reverse; and a
figure is the ratio of two cases within a round, of which the median over all rounds counts.
"""

import argparse
import ctypes
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import plot

TIMEOUT = 300  # seconds, for one case in one round


class Failure(Exception):
    """A case did not do what it is there for."""


@dataclass(frozen=True)
class Requirement:
    """What a case needs from the system beyond what the build needs. `{programs}` in the command
    is the folder that the cases were built in."""

    command: tuple
    missing: str

    def is_met(self, programs):
        command = [argument.replace('{programs}', str(programs)) for argument in self.command]
        try:
            return subprocess.run(command, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL).returncode == 0
        except FileNotFoundError:
            return False


@dataclass(frozen=True)
class Case:
    """One program with its arguments, which prints series of numbers; case.h has the format.

    `name` is for the command line, `title` for people; `group` and `kind` are where and as what it
    is drawn. `quick_args` stand in place of `args` where only a smoke test is wanted.
    """

    name: str
    title: str
    group: str
    kind: str
    program: str
    args: tuple
    quick_args: tuple
    requirement: Requirement = None


@dataclass(frozen=True)
class Figure:
    """A ratio of one measure of two cases or, without `peer`, the measure itself.

    A ratio is turned so that more is better; a `share` is not, and is of something of which less is
    better, as a time is.
    """

    name: str
    title: str
    measure: str
    case: str
    peer: str = None
    at_least: float = None
    aim: float = None
    unit: str = 'x'
    smaller_is_better: bool = False
    share: bool = False

    def wants_less(self):
        return self.share or (self.smaller_is_better and self.peer is None)


@dataclass
class Result:
    """What a case gave: for each measure one value a round, and all latencies together."""

    case: Case
    skipped: str = None
    measures: dict = field(default_factory=dict)
    latencies: list = field(default_factory=list)

    def add_round(self, series):
        for name, value in measures_of(series).items():
            self.measures.setdefault(name, []).append(value)
        self.latencies += series.get('latency-ns', [])

    def median(self, measure):
        values = self.measures.get(measure)
        return statistics.median(values) if values else None

    def latency_us(self, quantile):
        """The smallest latency that `quantile` of all do not exceed, in microseconds."""
        if not self.latencies:
            return None
        rank = math.ceil(quantile * len(self.latencies))
        return sorted(self.latencies)[rank - 1] / 1000


def measures_of(series):
    """Makes the measures of one round from the series that a case has printed."""
    measures = {}
    for name, values in series.items():
        if name == 'elapsed-ns':
            measures['per-second'] = len(series['latency-ns']) / values[0] * 1e9
        elif name.endswith('-inside-ns'):
            # The mean, since a cost that strikes only now and then counts too.
            measures[name.replace('-ns', '-us')] = statistics.fmean(values) / 1000
        elif name.endswith('-ns') and name != 'latency-ns':
            measures[name.replace('-ns', '-us')] = values[0] / 1000
        elif name != 'latency-ns':
            measures[name] = values[0]
    return measures


def parse_series(text):
    series = {}
    for line in text.splitlines():
        name, *values = line.split()
        series[name] = [int(value) for value in values]
    return series


def run_case(case, programs, quick):
    command = [str(programs / case.program), *(case.quick_args if quick else case.args)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              text=True, timeout=TIMEOUT)
    except OSError as error:
        raise Failure(f'{case.name}: {error}') from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f'{case.name}: not done after {TIMEOUT} seconds') from error

    if done.returncode != 0:
        raise Failure(f'{case.name}: ended with status {done.returncode}')
    return parse_series(done.stdout)


def run_rounds(cases, programs, n_rounds, quick):
    results = {case.name: Result(case) for case in cases}
    for result in results.values():
        requirement = result.case.requirement
        if requirement is not None and not requirement.is_met(programs):
            result.skipped = requirement.missing

    runnable = [result for result in results.values() if result.skipped is None]
    for n in range(n_rounds):
        for result in runnable if n % 2 == 0 else reversed(runnable):
            progress(f'round {n + 1} of {n_rounds}: {result.case.name}')
            result.add_round(run_case(result.case, programs, quick))
    progress('')
    return results


def progress(text):
    if sys.stderr.isatty():
        print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)


def evaluate(figure, results):
    """Returns the figure's value in each round, or None where one of its cases was not run."""
    mine = results.get(figure.case)
    peer = results.get(figure.peer) if figure.peer else None
    if mine is None or mine.skipped or (figure.peer and (peer is None or peer.skipped)):
        return None
    values = mine.measures[figure.measure]
    if peer is None:
        return values
    if figure.smaller_is_better:
        return [theirs / ours for ours, theirs in zip(values, peer.measures[figure.measure])]
    return [ours / theirs for ours, theirs in zip(values, peer.measures[figure.measure])]


def judge(figure, value):
    if figure.at_least is None:
        return ''
    sign = -1 if figure.wants_less() else 1
    if sign * value >= sign * figure.aim:
        return 'aim reached'
    return 'holds' if sign * value >= sign * figure.at_least else 'MISSED'


def describe_figures(figures, results):
    described = []
    for figure in figures:
        values = evaluate(figure, results)
        if values is None:
            continue
        value = statistics.median(values)
        described.append({
            'name': figure.name,
            'title': figure.title,
            'unit': figure.unit,
            'smaller-is-better': figure.wants_less(),
            'value': value,
            'lowest': min(values),
            'highest': max(values),
            'at-least': figure.at_least,
            'aim': figure.aim,
            'verdict': judge(figure, value),
        })
    return described


def describe_cases(results):
    described = []
    for result in results.values():
        case = result.case
        entry = {'name': case.name, 'title': case.title, 'group': case.group, 'kind': case.kind}
        if result.skipped is not None:
            entry['skipped'] = result.skipped
        else:
            entry['rounds'] = result.measures
            entry['medians'] = {name: result.median(name) for name in result.measures}
            if result.latencies:
                entry['p50-us'] = result.latency_us(0.50)
                entry['p99-us'] = result.latency_us(0.99)
        described.append(entry)
    return described


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


def machine_lines(report):
    machine = report['machine']
    virtual = ' (virtual)' if machine['virtual'] else ''
    lines = [
        f"{machine['processor']}{virtual}, {machine['processors']} processors, of which "
        f"number {machine['pinned-to']} is used; {machine['kernel']}; "
        f"GLib {machine['glib']}, {machine['libc']}; {machine['date']}",
        f"{report['rounds']} rounds, cases interleaved, medians of the rounds; "
        f"{machine['page-kib']} KiB pages",
    ]
    if machine['real-time']:
        lines[1] += '; at real-time priority'
    if report['build']:
        lines[1] += f"; built as {report['build']}"
    if report['quick']:
        lines.append('A quick run, to see that it works: the numbers mean nothing.')
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
    print(f"{report['title']}\n")
    for line in machine_lines(report):
        print(line)

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

    rows = []
    for figure in report['figures']:
        bounds = [f"{number(figure[key])} {figure['unit']}" if figure[key] is not None else ''
                  for key in ('at-least', 'aim')]
        if figure['smaller-is-better'] and figure['at-least'] is not None:
            bounds[0] = 'at most ' + bounds[0]
        rows.append((figure['title'], f"{number(figure['value'])} {figure['unit']}",
                     f"{number(figure['lowest'])} .. {number(figure['highest'])}",
                     *bounds, figure['verdict']))
    if rows:
        print()
        print_rows(('figure', 'median', 'rounds', 'at least', 'aim', ''), rows, (0, 5))


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


def parse_arguments(title):
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument('--programs', type=lambda text: Path(text).resolve(), metavar='FOLDER',
                        help='where the cases were built')
    parser.add_argument('--rounds', type=int, metavar='N',
                        help='how often each case is run; by default 9 times')
    parser.add_argument('--quick', action='store_true',
                        help='one small round, only to see that every case works')
    parser.add_argument('--case', action='append', metavar='NAME',
                        help='run only this case; may be given again')
    parser.add_argument('--list', action='store_true', help='list the cases and exit')
    parser.add_argument('--cpu', type=int, metavar='N',
                        help='the processor to use; by default the last one allowed')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all numbers to FILE')
    parser.add_argument('--svg', type=Path, metavar='FILE', help='write a plot to FILE')
    parser.add_argument('--page', type=Path, metavar='FILE',
                        help='put the figures into this page of the manual, in the place of those '
                             'that it has of this suite')
    parser.add_argument('--build', default='', metavar='TEXT',
                        help='how the programs were built, for the report')
    args = parser.parse_args()

    if args.rounds is not None and args.rounds < 1:
        parser.error('--rounds is at least 1')
    if args.programs is None and not args.list:
        parser.error('--programs is needed')
    return parser, args


def main(suite, title, cases, figures, panels):
    """The command line of SUITE. Returns the exit status: 0 if every case worked, whatever the
    timings."""
    parser, args = parse_arguments(title)
    if args.list:
        print_rows(('name', 'case'), [(case.name, case.title) for case in cases], (0, 1))
        return 0

    if args.case:
        unknown = set(args.case) - {case.name for case in cases}
        if unknown:
            parser.error('no such case: ' + ', '.join(sorted(unknown)))
        cases = [case for case in cases if case.name in args.case]

    cpu = args.cpu if args.cpu is not None else max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    rounds = args.rounds or (1 if args.quick else 9)
    try:
        results = run_rounds(cases, args.programs, rounds, args.quick)
    except Failure as failure:
        progress('')
        print(failure, file=sys.stderr)
        return 1

    report = {
        'title': title,
        'machine': describe_machine(cpu),
        'rounds': rounds,
        'quick': args.quick,
        'build': args.build,
        'cases': describe_cases(results),
        'figures': describe_figures(figures, results),
    }
    print_report(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + '\n')
    if args.svg:
        args.svg.write_text(plot.draw(report, machine_lines(report), panels))
    if args.page:
        try:
            update_page(args.page, suite, page_section(report))
        except Failure as failure:
            print(failure, file=sys.stderr)
            return 1
    return 0
