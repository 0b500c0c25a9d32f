# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Whether the gaps between frames are measured as they are, and judged by the rule."""

import shutil
import signal
import sys
import tempfile
import unittest
from pathlib import Path

from frames import FRAME, Display, Failure, Program, Run, find_faults, get_gaps, is_disturbed

RECORDER = sys.argv.pop(1)
LIMIT = 60      # seconds for one test, after which something hangs

# A window that stands still for a quarter of a second in each second, if told so.
WINDOW = """
import sys, time
import gi
gi.require_version("Gtk", "4.0")
from gi.repository import GLib, Gtk

def activate_cb(application):
    window = Gtk.ApplicationWindow(application=application, default_width=200, default_height=100,
                                   child=Gtk.Label(label="text"))
    window.present()
    window.add_tick_callback(lambda *args: window.queue_draw() or True)
    if sys.argv[1] == "halting":
        GLib.timeout_add(750, lambda: time.sleep(0.25) or True)
    elif sys.argv[1] == "stopping":
        GLib.timeout_add(2000, lambda: time.sleep(60))
    elif sys.argv[1] == "exiting":
        GLib.timeout_add(1500, lambda: application.quit())

application = Gtk.Application(application_id="org.example.Window")
application.connect("activate", activate_cb)
application.run()
"""

IDLE = [Run(FRAME, 20, 25, 3600), Run(FRAME, 30, 90, 3600), Run(FRAME, 21, 26, 3600)]
# Medians of 36 and 70 are within 21 + FRAME and 26 + 3 * FRAME.
SMOOTH = [Run(FRAME, 36, 70, 3600), Run(FRAME, 99, 999, 3600), Run(FRAME, 17, 18, 3600)]
ROUGH = Run(FRAME, 50, 120, 3600)
LATE = Run(FRAME, 39, 40, 3600)         # only the p99 is above
RARE = Run(FRAME, 20, 77, 3600)         # only the worst is above


def has_gtk():
    try:
        import gi
        gi.require_version("Gtk", "4.0")
    except (ImportError, ValueError):
        return False
    return True


class RuleTest(unittest.TestCase):
    def test_gaps(self):
        self.assertEqual(get_gaps([1, 2, 3, 5, 9], 1.5, 8), [500, 1000, 2000, 3000])
        self.assertEqual(get_gaps([], 1, 3), [2000])

    def test_run(self):
        run = Run.of_gaps([*range(1, 101), 1000])
        self.assertEqual((run.median, run.p99, run.worst, run.n_frames), (51, 100, 1000, 101))
        self.assertEqual(Run.of_gaps([7]), Run(7, 7, 7, 1))

    def test_smooth(self):
        self.assertEqual(find_faults(IDLE, SMOOTH, [ROUGH, LATE, RARE]), [])

    def test_rough(self):
        for bad in ROUGH, LATE, RARE:
            with self.subTest(bad=bad):
                fault, = find_faults(IDLE, [bad, *SMOOTH[:2]], [ROUGH] * 3)
                self.assertIn("the busy window has", fault)

    def test_control(self):
        self.assertEqual(find_faults(IDLE, SMOOTH, [ROUGH, SMOOTH[0], ROUGH]),
                         ["the control is within the bounds in 1 of 3 runs"])

    def test_idle(self):
        slow = Run(30, 31, 32, 2000)
        self.assertIn("the idle window paints a frame each 30 ms only",
                      find_faults([slow] * 3, [slow] * 3, [ROUGH] * 3))
        self.assertFalse(is_disturbed(IDLE))
        waiting = Run(FRAME, 50, 60, 3000, 5)
        self.assertFalse(is_disturbed([*IDLE, waiting]))
        self.assertTrue(is_disturbed([IDLE[0], waiting, waiting]))


@unittest.skipUnless(shutil.which("Xvfb"), "Xvfb is not installed")
@unittest.skipUnless(has_gtk(), "there is no GTK 4 for Python")
class WindowTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)
        self.addCleanup(signal.alarm, 0)
        self.display = Display(200, 100)
        self.addCleanup(self.display.close)

    def start(self, kind):
        return Program(self.display, RECORDER, [sys.executable, "-c", WINDOW, kind])

    def test_even(self):
        with self.start("even") as program:
            run = program.record(2)
        self.assertGreater(run.n_frames, 20)

    def test_halting(self):
        with self.start("halting") as program:
            run = program.record(2)
        self.assertGreaterEqual(run.worst, 250)

    def test_stopping(self):
        """A window that paints no more has a gap until the end."""
        with self.start("stopping") as program:
            run = program.record(3)
        self.assertGreater(run.worst, 1000)

    def test_exiting(self):
        with self.start("exiting") as program, self.assertRaisesRegex(Failure, "exited with 0"):
            program.record(5)

    def test_no_window(self):
        with Program(self.display, RECORDER, [sys.executable, "-c", "pass"]) as program:
            with self.assertRaisesRegex(Failure, "exited with 0"):
                program.record(1)

    def test_picture(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "picture.png")
            self.assertEqual(self.display.save_picture(path), 1)
            with self.start("even") as program:
                program.record(0.5)
                self.assertGreater(self.display.save_picture(path), 10)
                width, height, rows = self.display.get_picture()
            self.assertEqual(path.read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual((width, height, len(rows), len(rows[0])), (200, 100, 100, 600))


if __name__ == "__main__":
    unittest.main()
