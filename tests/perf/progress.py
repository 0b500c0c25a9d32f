# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Says on stderr what a run of benchmarks is doing, and how long the rest of it will take: on a
terminal in one line that is rewritten, elsewhere in a line for each row."""

import os
import sys
from dataclasses import dataclass, field


@dataclass
class Part:
    """Rows that are run in rounds. `seconds` is what a round of all of them usually takes, and is
    believed until a row has been run. `runs` has the number of runs of a row, by its name, where
    that is not the number of rounds."""

    name: str
    rows: list
    rounds: int
    seconds: float
    runs: dict = field(default_factory=dict)


def duration(seconds):
    """In words, no more exact than an estimate is."""
    if seconds < 60:
        return f'{max(5, round(seconds / 5) * 5)} s'
    if seconds < 180:
        return f'{int(seconds) // 60} min {int(seconds) % 60 // 10 * 10} s'
    return f'{round(seconds / 60)} min'


class Estimate:
    """How long what is left of some parts will take, from how long their rows took so far."""

    def __init__(self, parts):
        self.parts = parts
        self.taken = {}         # by part and row: how long each of its runs took

    def add(self, part, row, seconds):
        self.taken.setdefault((part.name, row), []).append(seconds)

    def usual(self, part):
        return part.seconds / len(part.rows)

    def slowness(self):
        """How many times as long as usual everything took so far."""
        usual = sum(self.usual(part) * len(self.taken.get((part.name, row), []))
                    for part in self.parts for row in part.rows)
        return sum(map(sum, self.taken.values())) / usual if usual > 0 else 1

    def left(self):
        slowness = self.slowness()
        seconds = 0
        for part in self.parts:
            for row in part.rows:
                taken = self.taken.get((part.name, row), [])
                each = sum(taken) / len(taken) if taken else self.usual(part) * slowness
                seconds += each * max(0, part.runs.get(row, part.rounds) - len(taken))
        return seconds


class Progress:
    def __init__(self, parts, stream=None):
        self.estimate = Estimate(parts)
        self.stream = sys.stderr if stream is None else stream
        self.on_terminal = self.stream.isatty()

    def say(self, text):
        """Says something that stays."""
        self.clear()
        print(text, file=self.stream, flush=True)

    def introduce(self):
        parts = self.estimate.parts
        each = ', '.join(f'{part.name} ({len(part.rows)} rows, {part.rounds} rounds)'
                         for part in parts)
        self.say(f'{each}: about {duration(self.estimate.left())}')

    def begin_row(self, part, n_round, row, title):
        """N_ROUND and the number of ROW in its part are counted from 0 and shown from 1."""
        text = (f'{part.name}: round {n_round + 1} of {part.rounds}, '
                f'about {duration(self.estimate.left())} left: '
                f'row {part.rows.index(row) + 1} of {len(part.rows)}, {title}')
        if not self.on_terminal:
            self.say(text)
            return

        width = os.get_terminal_size(self.stream.fileno()).columns or 80
        if len(text) >= width:
            text = text[:width - 2] + '…'
        print(f'\r\033[K{text}', end='', file=self.stream, flush=True)

    def end_row(self, part, row, seconds):
        self.estimate.add(part, row, seconds)

    def clear(self):
        if self.on_terminal:
            print('\r\033[K', end='', file=self.stream, flush=True)
