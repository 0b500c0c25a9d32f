# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Draws a benchmark's report as SVG: dots on logarithmic axes, for what is compared is ratios."""

import math
import textwrap
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 920
MARGIN = 28
LABELS = 292       # where the axes begin
VALUES = 158       # what is to the right of them
ROW = 22
COLORS = {'ours': '#1a5fb4', 'peer': '#77767b', 'limit': '#c88800'}
LEGEND = {'ours': 'AFork', 'peer': 'peers', 'limit': 'limits: they do less'}
INK, FAINT, GRID = '#241f31', '#5e5c64', '#deddda'


@dataclass(frozen=True)
class Panel:
    """One measure of all cases of some groups."""

    title: str
    measure: str
    groups: list
    smaller_is_better: bool = False


class Canvas:
    def __init__(self):
        self.parts = []

    def text(self, x, y, text, *, size=12, anchor='start', color=INK, weight='normal'):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" '
                          f'text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>')

    def line(self, x1, y1, x2, y2, *, color=GRID, width=1.0, dash=None):
        dashes = f' stroke-dasharray="{dash}"' if dash else ''
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          f'stroke="{color}" stroke-width="{width}"{dashes}/>')

    def dot(self, x, y, color, radius=4.5):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{color}"/>')

    def svg(self, height):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
                f'width="{WIDTH}" height="{height:.0f}" font-family="Cantarell, sans-serif">\n'
                f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>\n'
                + '\n'.join(self.parts) + '\n</svg>\n')


class LogAxis:
    def __init__(self, values, ticks_of):
        self.ticks = ticks_of(min(values), max(values))
        self.low, self.high = math.log(self.ticks[0]), math.log(self.ticks[-1])

    def x(self, value):
        share = (math.log(value) - self.low) / (self.high - self.low)
        return LABELS + share * (WIDTH - MARGIN - VALUES - LABELS)

    def draw(self, canvas, top, bottom):
        for tick in self.ticks:
            canvas.line(self.x(tick), top, self.x(tick), bottom)
            canvas.text(self.x(tick), bottom + 15, f'{tick:,g}'.replace(',', '\u202f'), size=11,
                        anchor='middle', color=FAINT)


def decades(low, high):
    first = math.floor(math.log10(low))
    last = max(math.ceil(math.log10(high)), first + 1)
    return [10.0 ** n for n in range(first, last + 1)]


def rounded(value):
    if value >= 100:
        return f'{value:,.0f}'.replace(',', '\u202f')
    return f'{value:.3g}'


def draw_dot(canvas, axis, y, low, value, high, color):
    canvas.line(LABELS - 8, y, axis.x(low), y, color=color, width=0.7, dash='1 3')
    canvas.line(axis.x(low), y, axis.x(high), y, color=color, width=2.5)
    canvas.dot(axis.x(value), y, color)


def draw_panel(canvas, y, panel, cases):
    """Draws PANEL from Y on, and returns where it ends."""
    groups = [[case for case in cases
               if case['group'] == name and panel.measure in case.get('rounds', {})]
              for name in panel.groups]
    shown = [case for group in groups for case in group]
    if not shown:
        return y

    canvas.text(MARGIN, y, panel.title, size=15, weight='bold')
    y += 14
    axis = LogAxis([value for case in shown for value in case['rounds'][panel.measure]], decades)
    axis.draw(canvas, y, y + sum(bool(group) + len(group) for group in groups) * ROW)

    for name, group in zip(panel.groups, groups):
        if not group:
            continue
        canvas.text(MARGIN, y + 16, name, color=FAINT)
        y += ROW
        for case in sorted(group, key=lambda case: case['medians'][panel.measure],
                           reverse=not panel.smaller_is_better):
            values = case['rounds'][panel.measure]
            value = case['medians'][panel.measure]
            color = COLORS[case['kind']]
            canvas.text(LABELS - 14, y + 15, case['title'], anchor='end')
            draw_dot(canvas, axis, y + 11, min(values), value, max(values), color)
            canvas.text(WIDTH - MARGIN, y + 15, rounded(value), anchor='end', color=color,
                        weight='bold')
            y += ROW
    return y + 52


def draw_legend(canvas, y):
    x = MARGIN
    for kind, text in LEGEND.items():
        canvas.dot(x + 5, y - 4, COLORS[kind])
        canvas.text(x + 16, y, text)
        x += 40 + 6.5 * len(text)
    canvas.text(x, y, 'dot: median; line: lowest to highest round', color=FAINT)


def draw(report, lines, panels):
    """Returns the SVG of REPORT, headed by LINES, with PANELS."""
    canvas = Canvas()
    y = 44
    canvas.text(MARGIN, y, report['title'], size=22, weight='bold')
    for line in lines:
        for part in textwrap.wrap(line, 125):
            y += 17
            canvas.text(MARGIN, y, part, color=FAINT)
    y += 30
    draw_legend(canvas, y)
    y += 44
    for panel in panels:
        y = draw_panel(canvas, y, panel, report['cases'])
    return canvas.svg(y - 10)
