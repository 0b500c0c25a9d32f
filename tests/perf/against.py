# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Compares two builds of the library. The programs are those of this build, and each runs with the
one library and, a moment later, with the other: the dynamic linker is told where the library is,
and the library where its server is. What is compared is the ratio of both within a round."""

import json
import os
import shutil
import subprocess
import tempfile
import textwrap
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import spread
from bench import (Failure, build_description, find_missing, measures_of, pin, run_case,
                   run_setups)
from progress import Part, Progress
from report import describe_machine, number, print_rows, processor_line

LIBRARY = 'libafork-1.so.0'
LEAST_ROUNDS, MOST_ROUNDS = 6, 15
LONG = 3                # seconds; what takes longer is run in LEAST_ROUNDS only
MINUTES = {'against': 13, 'quick': 3, 'smoke': 0}

# What makes the same code faster or slower, of what meson can be told.
OPTIONS = ('buildtype', 'optimization', 'debug', 'b_lto', 'b_ndebug', 'b_pgo', 'b_sanitize',
           'c_args')


@dataclass(frozen=True)
class Library:
    """One of the two. `folder` has links to it and to its server, whose paths are as long as those
    of the other: the size of the environment alone can make a program faster or slower."""

    title: str
    build: Path
    folder: Path

    def environment(self):
        return {**os.environ,
                'LD_LIBRARY_PATH': ':'.join([str(self.folder / 'library'),
                                             *filter(None, [os.environ.get('LD_LIBRARY_PATH')])]),
                'AFORK_LIBRARY_FOLDER': str(self.folder / 'library'),
                'AFORK_SERVER': str(self.folder / 'afork-server')}

    def source(self):
        information = json.loads((self.build / 'meson-info/meson-info.json').read_text())
        return Path(information['directories']['source'])

    def options(self):
        options = json.loads((self.build / 'meson-info/intro-buildoptions.json').read_text())
        return {option['name']: option['value'] for option in options
                if option['name'] in OPTIONS}

    def describe(self):
        """Which commit it is of."""
        def git(*arguments):
            command = ['git', '-c', 'safe.directory=*', '-C', self.source(), *arguments]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  text=True)
            return done.stdout.strip() if done.returncode == 0 else ''

        try:
            commit = git('log', '-1', '--format=%h %s')
            changed = git('status', '--porcelain', '--untracked-files=no')
            where = self.source()
        except (OSError, ValueError, KeyError):
            return str(self.build)
        return f'{where}' + (f', {commit}' if commit else '') + (
            ', with changes' if changed else '')


def find_library(title, build, folder):
    """The library that was built in BUILD. Makes FOLDER, for links to it."""
    if not (build / 'afork' / LIBRARY).exists():
        raise Failure(f'{build}/afork has no {LIBRARY}: it is no folder that AFork was built in')
    servers = [path for path in sorted((build / 'afork').glob('**/afork-server'))
               if path.is_file() and os.access(path, os.X_OK)]
    if not servers:
        raise Failure(f'{build}/afork has no afork-server')

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / 'library').symlink_to(build / 'afork')
    (folder / 'afork-server').symlink_to(servers[0])
    return Library(title, build, folder)


def check_loading(library, program):
    """A program that has the path of a library built in would be measured twice with the same."""
    done = subprocess.run([program], stdout=subprocess.PIPE, text=True,
                          env={**library.environment(), 'LD_TRACE_LOADED_OBJECTS': '1'})
    if str(library.folder / 'library' / LIBRARY) not in done.stdout:
        raise Failure(f'{program} does not load {library.build}/afork/{LIBRARY}:\n{done.stdout}')


def differences(libraries):
    """What the libraries were built with that is not the same."""
    try:
        ours, theirs = (library.options() for library in libraries)
    except (OSError, ValueError, KeyError):
        return ''
    return ', '.join(f'{name} {ours.get(name)} and {theirs.get(name)}' for name in OPTIONS
                     if ours.get(name) != theirs.get(name))


@dataclass
class Row:
    """A case that is run with both libraries."""

    suite: str
    case: object
    seconds: list = field(default_factory=list)
    measures: tuple = field(default_factory=lambda: ({}, {}))   # values by name, for each library
    instructions: list = None
    failed: str = None

    @property
    def name(self):
        return f'{self.suite}/{self.case.name}'

    @property
    def title(self):
        return f'{self.case.group}: {self.case.title}'

    def is_control(self):
        return self.case.kind != 'ours'

    def shown_measures(self):
        """Cases that measure the time inside read the clock too often for a rate."""
        inside = any(name.endswith('-inside-us') for name in self.measures[0])
        return [name for name in self.measures[0] if not (inside and name == 'per-second')]

    def ratios(self, measure):
        return [this / other for this, other in zip(*(side[measure] for side in self.measures))]


def choose_rows(suites, mode, programs):
    """All cases that use the library and, of each suite, one that does not: it must come out as the
    same."""
    rows = []
    for suite in suites:
        cases = suite.for_mode(mode).cases
        missing = find_missing(cases, programs)
        cases = [case for case in cases if case.name not in missing]
        controls = [case for case in cases if case.kind == 'limit'][:1]
        rows += [Row(suite.name, case) for case in cases
                 if case.kind == 'ours' or case in controls]
    return rows


def runs_of(row, rounds):
    long = row.seconds and row.seconds[0] > 2 * LONG
    return min(rounds, LEAST_ROUNDS) if long else rounds


def runs_in(row, n_round, rounds):
    """Whether ROW is run in that round: its runs are spread evenly, beginning with the first."""
    runs = runs_of(row, rounds)
    return n_round == 0 or n_round * runs // rounds > (n_round - 1) * runs // rounds


def choose_rounds(rows, seconds):
    """How many rounds fit into so many SECONDS after the first one, counting that."""
    for rounds in range(MOST_ROUNDS, LEAST_ROUNDS, -1):
        if sum((runs_of(row, rounds) - 1) * row.seconds[0] for row in rows) <= seconds:
            return rounds
    return LEAST_ROUNDS


def run_row(row, programs, mode, libraries):
    """Runs ROW with both, first with the one that was second the last time."""
    order = (0, 1) if len(row.seconds) % 2 == 0 else (1, 0)
    found, seconds = [None, None], 0
    for side in order:
        try:
            series, taken = run_case(row.case, programs, mode, libraries[side].environment())
        except Failure as failure:
            if side == 0:
                raise
            row.failed = str(failure)
            return
        found[side] = measures_of(series)
        seconds += taken
    row.seconds.append(seconds)
    for measures, values in zip(row.measures, found):
        for name, value in values.items():
            measures.setdefault(name, []).append(value)


def run_rounds(rows, args, mode, libraries, part, progress, deadline):
    """Returns how many rounds it were."""
    n_round, rounds = 0, args.rounds or part.rounds
    run_setups([row.case for row in rows], args.programs, mode, progress)
    while n_round < rounds:
        for row in rows if n_round % 2 == 0 else rows[::-1]:
            if row.failed or not runs_in(row, n_round, rounds):
                continue
            progress.begin_row(part, n_round, row.name, f'{row.name} ({row.case.title})')
            run_row(row, args.programs, mode, libraries)
            if row.failed:
                part.runs[row.name] = 0
            else:
                progress.end_row(part, row.name, row.seconds[-1])
        n_round += 1
        if n_round == 1:
            running = [row for row in rows if not row.failed]
            if not args.rounds and mode != 'smoke':
                rounds = part.rounds = choose_rounds(running, deadline - time.monotonic())
            part.runs.update((row.name, runs_of(row, rounds)) for row in running)
    progress.clear()
    return rounds


# Instructions

def count_run(row, arguments, programs, library, folder):
    """How many instructions the calling process needs for one run, by callgrind."""
    command = ['valgrind', '--quiet', '--tool=callgrind', '--trace-children=no',
               f'--callgrind-out-file={folder}/%p', programs / row.case.program, *arguments]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, env=library.environment()) as process:
        errors = process.communicate()[1]
    if process.returncode != 0:
        raise Failure(f'{row.name}: ended with status {process.returncode} in valgrind: {errors}')
    for line in (Path(folder) / str(process.pid)).read_text().splitlines():
        if line.startswith('summary:'):
            return int(line.split()[1])
    raise Failure(f'{row.name}: callgrind has counted nothing')


def count_operation(row, programs, library):
    """How many instructions the calling process needs for one operation. What a program does only
    once, such as loading libraries, is in both runs, and so not in their difference."""
    with tempfile.TemporaryDirectory() as folder:
        few, more = (count_run(row, arguments, programs, library, folder)
                     for arguments in row.case.instructions)
    return (more - few) / row.case.operations


def count_rows(rows, args, libraries, part, progress):
    for row in rows:
        progress.begin_row(part, 0, row.name, f'{row.name} ({row.case.title})')
        began = time.monotonic()
        try:
            row.instructions = [count_operation(row, args.programs, library)
                                for library in libraries]
        except Failure as failure:
            progress.say(failure)
        progress.end_row(part, row.name, time.monotonic() - began)
    progress.clear()


# What was found

def describe_row(row):
    described = []
    for measure in row.shown_measures():
        ratios = row.ratios(measure)
        described.append({
            'measure': measure,
            'this': spread.describe(row.measures[0][measure]),
            'other': spread.describe(row.measures[1][measure]),
            'ratio': spread.describe(ratios),
            'likely': spread.likely_range(ratios),
            'verdict': spread.verdict(ratios, more_is_better=measure == 'per-second'),
            'rounds': [side[measure] for side in row.measures],
        })
    return {
        'suite': row.suite,
        'name': row.case.name,
        'title': row.title,
        'control': row.is_control(),
        'failed': row.failed,
        'measures': described,
        'instructions': row.instructions,
    }


def measure_title(name):
    return {'per-second': '/s'}.get(name, name)


def print_ratios(rows):
    table = []
    for row in rows:
        title = f"{row['suite']}/{row['name']}"
        for measure in row['measures']:
            ratio, likely = measure['ratio'], measure['likely']
            table.append((
                title,
                measure_title(measure['measure']) + (', control' if row['control'] else ''),
                number(measure['other']['value']),
                number(measure['this']['value']),
                f"{ratio['value']:.3f}",
                f"{ratio['lowest']:.3f} .. {ratio['highest']:.3f}",
                f'{likely[0]:.3f} .. {likely[1]:.3f}' if likely else '',
                str(len(measure['rounds'][0])),
                measure['verdict'],
            ))
            title = ''
    print_rows(('row', 'what', 'other', 'this', 'this/other', 'all rounds', 'likely', 'rounds', ''),
               table, (0, 1, 8))


def print_instructions(rows):
    table = []
    for row in rows:
        if row['instructions']:
            this, other = row['instructions']
            table.append((f"{row['suite']}/{row['name']}", f'{other:,.0f}', f'{this:,.0f}',
                          f'{this / other:.3f}'))
    if table:
        print('\nInstructions of the calling process for each operation, by callgrind, once:\n')
        print_rows(('row', 'other', 'this', 'this/other'), table, (0,))


def print_summary(rows):
    verdicts = [measure['verdict'] for row in rows for measure in row['measures']
                if not row['control']]
    counts = [(sum(verdict.startswith(word) for verdict in verdicts), word)
              for word in ('better', 'worse', 'the same', 'too few rounds to tell')]
    print('\n' + textwrap.fill(
        f'Of {len(verdicts)} lines, ' + ', '.join(f'{count} {word}' for count, word in counts)
        + '. A line says “better” or “worse” if all of the likely range of this/other is on one '
        'side of 1. The likely range has the true median 19 times of 20, so about one line of 20 '
        'says so by chance: run a row again that surprises. “The same within 3 %” means that the '
        'range has 1 in it and goes no further than that. A control has nothing of AFork, and is '
        'to be the same.', 100))


def print_report(report):
    print(f"\n{report['title']}\n")
    for side in ('this', 'other'):
        print(f'{side + ":":7}{report[side]}')
    print('\n' + textwrap.fill(report['machine-line'], 100))
    for remark in report['remarks']:
        print(textwrap.fill(remark, 100))
    if report['differences']:
        print(textwrap.fill('They were not built in the same way: ' + report['differences'], 100))
    print()
    print_ratios(report['rows'])
    for row in report['rows']:
        if row['failed']:
            print(f"not compared, because it does not work with the other library: {row['failed']}")
    print_instructions(report['rows'])
    if report['not-counted']:
        print(f"\nInstructions were not counted: {report['not-counted']}")
    print_summary(report['rows'])


def remarks(suites, mode):
    """In what the cases are not those of a full run."""
    smaller = sorted({f'{quick} instead of {full}' for suite in suites
                      for full, quick in (suite.smaller if mode != 'smoke' else ())})
    left_out = [f'{suite.name}/{case.name}' for suite in suites for case in suite.left_out(mode)
                if case.kind == 'ours']
    return smaller + ([f'left out, for they take long: {", ".join(left_out)}'] if left_out else [])


def compare(suites, args, results):
    """Compares the library of this build with that in the folder that args.against names. Puts all
    numbers, and links to the libraries, into the folder RESULTS."""
    cpu = pin(args.cpu)
    this_build = args.programs.parent.parent
    libraries = [
        find_library('this', this_build, results / 'against/this'),
        find_library('other', args.against.resolve(), results / 'against/that'),
    ]
    mode = 'against' if args.mode == 'full' else args.mode
    rows = choose_rows(suites, mode, args.programs)
    for library in libraries:
        check_loading(library, args.programs / 'create-afork')

    minutes = MINUTES[mode] if args.minutes is None else args.minutes
    deadline = time.monotonic() + minutes * 60
    counted = [row for row in rows if row.case.operations > 0 and not row.is_control()]
    not_counted = ''
    if mode != 'against' and not args.count:
        counted, not_counted = [], 'not in a quick run'
    elif shutil.which('valgrind') is None:
        counted, not_counted = [], 'valgrind is not installed'

    usual = sum(suite.seconds[mode] for suite in suites)
    rounds = args.rounds or (1 if mode == 'smoke' else max(
        LEAST_ROUNDS, min(MOST_ROUNDS, int(minutes * 60 // max(1, usual)))))
    timing = Part('comparing', [row.name for row in rows], rounds, usual)
    counting = Part('counting instructions', [row.name for row in counted], 1, 5 * len(counted))
    progress = Progress([part for part in (counting, timing) if part.rows])
    progress.introduce()
    count_rows(counted, args, libraries, counting, progress)
    rounds = run_rounds(rows, args, mode, libraries, timing, progress, deadline)

    machine = describe_machine(cpu)
    build = build_description(args.programs)
    report = {
        'title': 'This library and another one, with the same programs in the same rounds',
        'this': libraries[0].describe(),
        'other': libraries[1].describe(),
        'machine': machine,
        'remarks': remarks(suites, mode),
        'machine-line': f'{processor_line(machine)}; {rounds} rounds, in each of which every row '
                        f'is run with both, which take turns to be first'
                        + (f'; built as {build}' if build else ''),
        'differences': differences(libraries),
        'not-counted': not_counted,
        'rounds': rounds,
        'rows': [describe_row(row) for row in rows],
    }
    print_report(report)
    (results / 'against.json').write_text(json.dumps(report, indent=2) + '\n')
