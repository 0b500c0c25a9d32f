# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs benchmark programs against each other, and makes ratios of what they print.

Timings of one program on a busy or virtual machine say little, and next week nothing. What can be
relied on is how two programs compare that ran on the same processor a moment apart. So everything
is pinned to one processor, except for cases that measure how well many are used; a round runs every
case once, and the next runs them in reverse; and a figure is the ratio of two cases within a round,
of which the median over all rounds counts.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import plot
import spread
from progress import Part, Progress
from report import describe_machine, machine_lines, page_section, print_report, print_rows

TIMEOUT = 300  # seconds, for one case in one round
PROCESSORS = os.sched_getaffinity(0)    # those that this program may use, before it is pinned

# How much is done: for figures that can be relied on; for a comparison of two libraries; for all
# suites in five minutes; and as little as shows that every case works, whose numbers mean nothing.
MODES = ('full', 'against', 'quick', 'smoke')
ROUNDS = {'full': 9, 'quick': 6, 'smoke': 1}


class Failure(Exception):
    """A case did not do what it is there for."""


def expand(command, programs):
    """Puts the folder that the cases were built in, PROGRAMS, in the place of `{programs}`."""
    return [argument.replace('{programs}', str(programs)) for argument in command]


@dataclass(frozen=True)
class Requirement:
    """What a case needs from the system beyond what the build needs. `{programs}` in the command
    is the folder that the cases were built in."""

    command: tuple
    missing: str

    def is_met(self, programs):
        try:
            return subprocess.run(expand(self.command, programs), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL).returncode == 0
        except FileNotFoundError:
            return False


@dataclass(frozen=True)
class Case:
    """One program with its arguments, which prints series of numbers; case.h has the format.

    `name` is for the command line, `title` for people; `group` and `kind` are where and as what it
    is drawn. `args` has the arguments for each mode, or None if the case is left out there. `setup`
    has for each mode a command that is run once, before all rounds. A case of `all_processors` is
    not pinned to one.
    `instructions` are the arguments of two runs, of which the second does `operations` more than
    the first, or None if counting instructions would not tell anything.
    """

    name: str
    title: str
    group: str
    kind: str
    program: str
    args: dict
    instructions: tuple = None
    operations: int = 0
    requirement: Requirement = None
    all_processors: bool = False
    setup: dict = None


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


@dataclass(frozen=True)
class Suite:
    """Cases, the figures that come of them, and the panels of their plot.

    `seconds` is what one round usually takes, by mode. `smaller` has pairs of words in titles: what
    a full run has, and what a quick run or a comparison has in its place.
    """

    name: str
    title: str
    cases: list
    figures: list
    panels: list
    seconds: dict
    smaller: tuple = ()

    def left_out(self, mode):
        return [case for case in self.cases if case.args[mode] is None]

    def for_mode(self, mode):
        """The suite with what is run in MODE, under the titles that this has there."""
        def reword(text):
            for full, quick in self.smaller if mode in ('against', 'quick') else ():
                text = text.replace(full, quick)
            return text

        return replace(
            self,
            cases=[replace(case, title=reword(case.title), group=reword(case.group))
                   for case in self.cases if case.args[mode] is not None],
            figures=[replace(figure, title=reword(figure.title)) for figure in self.figures],
            panels=[replace(panel, groups=[reword(group) for group in panel.groups])
                    for panel in self.panels],
        )


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
            count, = series.get('count', [len(series.get('latency-ns', []))])
            measures['per-second'] = count / values[0] * 1e9
        elif name.endswith('-inside-ns'):
            # The mean, since a cost that strikes only now and then counts too.
            measures[name.replace('-ns', '-us')] = statistics.fmean(values) / 1000
        elif name.endswith('-ns') and name != 'latency-ns':
            measures[name.replace('-ns', '-us')] = values[0] / 1000
        elif name not in ('count', 'latency-ns'):
            measures[name] = values[0]
    return measures


def parse_series(text):
    series = {}
    for line in text.splitlines():
        name, *values = line.split()
        series[name] = [int(value) for value in values]
    return series


def use_all_processors():
    os.sched_setaffinity(0, PROCESSORS)


def run_setups(cases, programs, mode, progress):
    """Does what CASES need before all rounds."""
    for command in dict.fromkeys(case.setup[mode] for case in cases if case.setup is not None):
        command = expand(command, programs)
        progress.say('once: ' + ' '.join(command))
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, check=True,
                           preexec_fn=use_all_processors)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Failure(error) from error


def run_case(case, programs, mode, environment=None):
    """Returns the series that CASE has printed, and how many seconds it took."""
    command = [str(programs / case.program), *case.args[mode]]
    began = time.monotonic()
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              text=True, timeout=TIMEOUT, env=environment,
                              preexec_fn=use_all_processors if case.all_processors else None)
    except OSError as error:
        raise Failure(f'{case.name}: {error}') from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f'{case.name}: not done after {TIMEOUT} seconds') from error

    if done.returncode != 0:
        raise Failure(f'{case.name}: ended with status {done.returncode}')
    return parse_series(done.stdout), time.monotonic() - began


def find_missing(cases, programs):
    """What is missing, by the names of the cases that need it."""
    met = {}
    for requirement in {case.requirement for case in cases} - {None}:
        met[requirement] = requirement.is_met(programs)
    return {case.name: case.requirement.missing for case in cases
            if case.requirement is not None and not met[case.requirement]}


@dataclass
class Plan:
    """A suite that is going to be run, in so many rounds; `part` is its part of the progress."""

    suite: Suite
    rounds: int
    missing: dict
    part: Part


def make_plan(suite, mode, rounds, programs):
    suite = suite.for_mode(mode)
    missing = find_missing(suite.cases, programs)
    rows = [case.name for case in suite.cases if case.name not in missing]
    seconds = suite.seconds[mode] * len(rows) / max(1, len(suite.cases))
    return Plan(suite, rounds, missing, Part(suite.name, rows, rounds, seconds))


def run_rounds(plan, programs, mode, progress):
    results = {case.name: Result(case, plan.missing.get(case.name)) for case in plan.suite.cases}
    runnable = [result for result in results.values() if result.skipped is None]
    run_setups([result.case for result in runnable], programs, mode, progress)
    for n in range(plan.rounds):
        for result in runnable if n % 2 == 0 else reversed(runnable):
            case = result.case
            progress.begin_row(plan.part, n, case.name, f'{case.name} ({case.title})')
            series, seconds = run_case(case, programs, mode)
            result.add_round(series)
            progress.end_row(plan.part, case.name, seconds)
    progress.clear()
    return results


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
        described.append({
            'name': figure.name,
            'title': figure.title,
            'unit': figure.unit,
            'smaller-is-better': figure.wants_less(),
            **spread.describe(values),
            'against-1': spread.verdict(values) if figure.peer else '',
            'at-least': figure.at_least,
            'aim': figure.aim,
            'verdict': judge(figure, statistics.median(values)),
        })
    return described


def describe_cases(results):
    described = []
    for result in results.values():
        case = result.case
        entry = {'name': case.name, 'title': case.title, 'group': case.group, 'kind': case.kind,
                 'all-processors': case.all_processors}
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


def build_description(programs):
    """How the programs were built, for the report."""
    try:
        return (programs / 'build.txt').read_text().strip()
    except OSError:
        return ''


def pin(cpu):
    """From now on everything runs on one processor: that, or the last one allowed. Returns it."""
    if cpu is None:
        cpu = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    return cpu


def update_page(page, suite, section):
    """Puts SECTION between the two comments in PAGE that name SUITE."""
    begin, end = f'<!-- begin: {suite} -->\n', f'<!-- end: {suite} -->\n'
    before, found, rest = page.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise Failure(f'{page} has no place for the figures of {suite}')
    page.write_text(before + begin + section + '\n' + end + after)


def run_suite(plan, args, cpu, progress, left_out, json_file=None, svg_file=None):
    results = run_rounds(plan, args.programs, args.mode, progress)
    suite = plan.suite
    report = {
        'title': suite.title,
        'machine': describe_machine(cpu),
        'rounds': plan.rounds,
        'mode': args.mode,
        'smaller': suite.smaller if args.mode == 'quick' else (),
        'left-out': [f'{case.name} ({case.group}: {case.title})' for case in left_out],
        'build': build_description(args.programs),
        'cases': describe_cases(results),
        'figures': describe_figures(suite.figures, results),
    }
    print_report(report)
    if json_file:
        json_file.write_text(json.dumps(report, indent=2) + '\n')
    if svg_file:
        svg_file.write_text(plot.draw(report, machine_lines(report), suite.panels))
    if args.page:
        update_page(args.page, suite.name, page_section(report))


def run_suites(suites, args, files):
    """Runs SUITES. FILES has, by suite, where numbers and plot go. Returns the exit status: 0 if
    every case worked, whatever the timings."""
    cpu = pin(args.cpu)
    rounds = args.rounds or ROUNDS[args.mode]
    plans = [make_plan(suite, args.mode, rounds, args.programs) for suite in suites]
    progress = Progress([plan.part for plan in plans if plan.part.rows])
    progress.introduce()
    try:
        for suite, plan in zip(suites, plans):
            run_suite(plan, args, cpu, progress, suite.left_out(args.mode), *files[suite.name])
    except Failure as failure:
        progress.say(failure)
        return 1
    return 0


def add_options(parser):
    """The options that one suite and all of them have."""
    parser.add_argument('--programs', type=lambda text: Path(text).resolve(), metavar='FOLDER',
                        help='where the cases were built')
    parser.add_argument('--rounds', type=int, metavar='N',
                        help='how often each case is run; by default {full} times, or {quick} in '
                             'a quick run'.format(**ROUNDS))
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument('--quick', dest='mode', action='store_const', const='quick', default='full',
                      help='short rounds, few of them, and without what takes long: all suites '
                           'take about five minutes')
    mode.add_argument('--smoke', dest='mode', action='store_const', const='smoke',
                      help='one tiny round, only to see that every case works')
    parser.add_argument('--cpu', type=int, metavar='N',
                        help='the processor to use; by default the last one allowed')
    parser.add_argument('--page', type=Path, metavar='FILE',
                        help='put the figures into this page of the manual, in the place of those '
                             'that it has of this suite')


def check_options(parser, args):
    if args.rounds is not None and args.rounds < 1:
        parser.error('--rounds is at least 1')
    if args.mode == 'quick' and args.page is not None:
        parser.error('a quick run has too few rounds for a page: leave out --quick or --page')


def main(suite):
    """The command line of one suite."""
    parser = argparse.ArgumentParser(description=suite.title)
    add_options(parser)
    parser.add_argument('--case', action='append', metavar='NAME',
                        help='run only this case; may be given again')
    parser.add_argument('--list', action='store_true', help='list the cases and exit')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all numbers to FILE')
    parser.add_argument('--svg', type=Path, metavar='FILE', help='write a plot to FILE')
    args = parser.parse_args()
    check_options(parser, args)

    if args.list:
        print_rows(('name', 'case'), [(case.name, case.title) for case in suite.cases], (0, 1))
        return 0
    if args.programs is None:
        parser.error('--programs is needed')
    if args.case:
        unknown = set(args.case) - {case.name for case in suite.cases}
        if unknown:
            parser.error('no such case: ' + ', '.join(sorted(unknown)))
        suite = only(suite, args.case)
        if suite.left_out(args.mode):
            parser.error('not in a quick run: '
                         + ', '.join(case.name for case in suite.left_out(args.mode)))
    return run_suites([suite], args, {suite.name: (args.json, args.svg)})


def only(suite, names):
    """SUITE with no other cases than those with NAMES."""
    cases = [case for case in suite.cases if case.name in names]
    seconds = {mode: seconds * len(cases) / len(suite.cases)
               for mode, seconds in suite.seconds.items()}
    return replace(suite, cases=cases, seconds=seconds)
