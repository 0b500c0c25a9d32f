# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Windows under Xvfb: their frames and pictures of them. tests/README.md has the rule."""

import contextlib
import ctypes
import os
import signal
import statistics
import struct
import subprocess
import tempfile
import time
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

FRAME = 1000 / 60           # milliseconds: GTK paints 60 frames a second under Xvfb
EXTRA_P99 = 1 * FRAME       # by which a p99 may exceed that of the idle window
EXTRA_WORST = 3 * FRAME
MAX_DELAY = 2               # per cent
SETTLE = 1.0                # seconds after the first frame that do not count

START_LIMIT = 60            # seconds until the first frame
EXIT_LIMIT = 10             # seconds until a program exits after SIGTERM
PR_SET_PDEATHSIG = 1


class Failure(Exception):
    """Why nothing could be measured."""


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Display:
    """An Xvfb. `with` ends it."""

    def __init__(self, width=1024, height=768):
        self._folder = tempfile.TemporaryDirectory(prefix="afork-display-")
        reader, writer = os.pipe()
        try:
            self._server = subprocess.Popen(
                ["Xvfb", "-displayfd", str(writer), "-fbdir", self._folder.name,
                 "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"],
                pass_fds=[writer], stderr=subprocess.DEVNULL, preexec_fn=_die_with_parent)
        finally:
            os.close(writer)
        with open(reader) as file:
            number = file.readline().strip()
        if not number:
            raise Failure("Xvfb does not start")
        self.name = f":{number}"

    def get_environ(self):
        """The environment of a program that is to open its windows here, and to be left alone by
        the session of the user."""
        environ = {name: value for name, value in os.environ.items()
                   if name not in ("WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS")}
        # Drawing by OpenGL would use all processors here, without a graphics card.
        return environ | {"DISPLAY": self.name, "GDK_BACKEND": "x11", "GSK_RENDERER": "cairo",
                          "GTK_A11Y": "none", "GSETTINGS_BACKEND": "memory",
                          "GTK_THEME": "Adwaita"}

    def get_picture(self):
        """Width, height, and the bytes of the rows of the screen: red, green and blue."""
        data = Path(self._folder.name, "Xvfb_screen0").read_bytes()
        header = struct.unpack(">20I", data[:80])
        header_size, width, height, row_size, n_colors = (header[i] for i in (0, 4, 5, 12, 19))
        start = header_size + 12 * n_colors
        rows = []
        for y in range(height):
            pixels = data[start + y * row_size:start + y * row_size + width * 4]
            row = bytearray(width * 3)
            row[0::3], row[1::3], row[2::3] = pixels[2::4], pixels[1::4], pixels[0::4]
            rows.append(bytes(row))
        return width, height, rows

    def save_picture(self, path):
        """Writes a PNG file of the screen. Returns the number of its colours."""
        width, height, rows = self.get_picture()

        def chunk(name, data):
            return (struct.pack(">I", len(data)) + name + data
                    + struct.pack(">I", zlib.crc32(name + data)))

        Path(path).write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
            + chunk(b"IEND", b""))
        return len({row[i:i + 3] for row in set(rows) for i in range(0, len(row), 3)})

    def close(self):
        self._server.terminate()
        self._server.wait()
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


class Program:
    """A program with a window, whose frames are recorded. `with` ends it."""

    def __init__(self, display, recorder, command, environ={}):
        """RECORDER is the path of libframe-times.so."""
        self._command = command
        self._folder = tempfile.TemporaryDirectory(prefix="afork-frames-")
        self._path = Path(self._folder.name, "times")
        self.process = subprocess.Popen(
            command, env=display.get_environ() | environ
            | {"GIO_EXTRA_MODULES": str(Path(recorder).parent), "FRAME_TIMES": str(self._path)},
            stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent)

    def get_times(self):
        """When a frame was painted, each in seconds of the monotonic time."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        if len(data) < 8:
            return []
        n_frames, = struct.unpack_from("=q", data)
        return [time / 1e6 for time in struct.unpack_from(f"={n_frames}q", data, 8)]

    def wait_until(self, has_come, limit=START_LIMIT):
        """Waits while the program runs. Fails if it ends."""
        end = time.monotonic() + limit
        while not has_come():
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = self.process.wait(0.05)
                raise Failure(f"{' '.join(map(str, self._command))} exited with {status}")
            if time.monotonic() > end:
                raise Failure(f"{' '.join(map(str, self._command))} paints nothing")

    def _get_delay(self):
        """How long the main thread has waited for a processor, in seconds."""
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[1]) / 1e9

    def _wait_for_time(self, end):
        self.wait_until(lambda: time.monotonic() >= end, end - time.monotonic() + START_LIMIT)

    def record(self, seconds):
        """What counts of the gaps between frames of so many seconds, from a second after the first
        frame."""
        self.wait_until(self.get_times)
        start = self.get_times()[0] + SETTLE
        self._wait_for_time(start)
        delay = self._get_delay()
        self._wait_for_time(start + seconds)
        end = time.monotonic()
        return Run.of_gaps(get_gaps(self.get_times(), start, end),
                           (self._get_delay() - delay) / (end - start) * 100)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(EXIT_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


def get_gaps(times, start, end):
    """The gaps, in milliseconds. If no frame follows, the time until the end is one, too."""
    inside = [start] + [time for time in times if start < time < end] + [end]
    return [(after - before) * 1000 for before, after in zip(inside, inside[1:])]


@dataclass
class Run:
    """What counts of the gaps of one run, in milliseconds; and how much of the time the main thread
    of the program was ready to run and had no processor, per cent."""
    median: float
    p99: float
    worst: float
    n_frames: int
    delay: float = 0

    @classmethod
    def of_gaps(cls, gaps, delay=0):
        gaps = sorted(gaps)
        return cls(statistics.median(gaps), gaps[-(-len(gaps) * 99 // 100) - 1], gaps[-1],
                   len(gaps), delay)


def get_medians(runs):
    return Run(*(statistics.median(getattr(run, field.name) for run in runs)
                 for field in fields(Run)))


def is_smooth(run, idle):
    """Whether the gaps are within the bound, as compared with those of an idle window."""
    return (run.p99 <= idle.p99 + EXTRA_P99 and run.worst <= idle.worst + EXTRA_WORST)


def find_faults(idle, busy, control):
    """What is wrong with lists of runs, as sentences: nothing, if the window stays as smooth as an
    idle one while it is busy, and the measurement shows in each run of the control that it does
    not."""
    base = get_medians(idle)
    middle = get_medians(busy)
    faults = []
    if base.median > 1.5 * FRAME:
        faults.append(f"the idle window paints a frame each {base.median:.0f} ms only")
    if not is_smooth(middle, base):
        faults.append(f"the busy window has p99 {middle.p99:.1f} ms and worst {middle.worst:.1f} "
                      f"ms, and the bounds are {base.p99 + EXTRA_P99:.1f} and "
                      f"{base.worst + EXTRA_WORST:.1f}")
    smooth = sum(is_smooth(run, base) for run in control)
    if smooth:
        faults.append(f"the control is within the bounds in {smooth} of {len(control)} runs")
    return faults


def is_disturbed(idle):
    """Whether other programs keep even an idle window waiting, so that a comparison is useless."""
    return get_medians(idle).delay > MAX_DELAY
