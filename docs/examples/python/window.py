#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A window that goes on animating while 200 jobs run. It has a button for jobs in workers and one
for the same jobs in threads. `window.py workers` and `window.py threads` press it again and again.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import gi

gi.require_version("AFork", "1")
gi.require_version("Gdk", "4.0")
gi.require_version("Graphene", "1.0")
gi.require_version("Gtk", "4.0")
from gi.repository import AFork, Gdk, GLib, Graphene, Gtk

from primes import count_primes

N_JOBS = 200
STEP = 30000
N_PROCESSORS = len(os.sched_getaffinity(0))


class Spinner(Gtk.Widget):
    """A bar that turns once in two seconds."""

    def __init__(self) -> None:
        super().__init__(vexpand=True)
        self.bar = Graphene.Rect().init(-80, -8, 160, 16)
        self.color = Gdk.RGBA()
        self.color.parse("#3584e4")
        self.angle = 0.0
        self.add_tick_callback(self.tick_cb)

    def tick_cb(self, widget: Gtk.Widget, clock: Gdk.FrameClock) -> bool:
        self.angle = clock.get_frame_time() / 2e6 % 1 * 360
        self.queue_draw()
        return GLib.SOURCE_CONTINUE

    def do_snapshot(self, snapshot: Gtk.Snapshot) -> None:
        snapshot.translate(Graphene.Point().init(self.get_width() / 2, self.get_height() / 2))
        snapshot.rotate(self.angle)
        snapshot.append_color(self.color, self.bar)


class Window(Gtk.ApplicationWindow):
    def __init__(self, application: Gtk.Application, pool: AFork.Pool, repeated: str) -> None:
        super().__init__(application=application, title="Primes", default_width=400,
                         default_height=320)
        self.pool = pool
        self.threads = ThreadPoolExecutor(N_PROCESSORS)
        self.repeated = repeated
        self.progress = Gtk.ProgressBar(show_text=True, text="idle")
        self.buttons = {"workers": Gtk.Button(label=f"{N_JOBS} jobs in workers"),
                        "threads": Gtk.Button(label=f"{N_JOBS} jobs in threads")}
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=12, margin_top=12,
                      margin_bottom=12, margin_start=12, margin_end=12)
        for child in Spinner(), self.progress, *self.buttons.values():
            box.append(child)
        self.set_child(box)
        self.buttons["workers"].connect("clicked", lambda _: AFork.spawn(self.run_in_workers()))
        self.buttons["threads"].connect("clicked", lambda _: self.run_in_threads())
        if repeated:
            GLib.timeout_add(1500, self.repeat)

    def repeat(self) -> bool:
        self.buttons[self.repeated].emit("clicked")
        return GLib.SOURCE_REMOVE

    def begin(self) -> None:
        self.found = 0
        self.done = 0
        for button in self.buttons.values():
            button.set_sensitive(False)

    def add(self, found: int) -> bool:
        self.found += found
        self.done += 1
        self.progress.set_fraction(self.done / N_JOBS)
        self.progress.set_text(f"{self.done} of {N_JOBS} jobs: {self.found} primes")
        if self.done == N_JOBS:
            for button in self.buttons.values():
                button.set_sensitive(True)
            if self.repeated:
                self.repeat()
        return GLib.SOURCE_REMOVE

    async def run_in_workers(self) -> None:
        self.begin()
        items = [(i * STEP, (i + 1) * STEP) for i in range(N_JOBS)]
        async for job in self.pool.map(items, AFork.MapFlags.UNORDERED):
            self.add(job.unpack())

    def run_in_threads(self) -> None:
        self.begin()
        for i in range(N_JOBS):
            future = self.threads.submit(count_primes, i * STEP, (i + 1) * STEP)
            future.add_done_callback(lambda future: GLib.idle_add(self.add, future.result()))


def activate_cb(application: Gtk.Application) -> None:
    process = AFork.Process.new().require("primes").restrict(AFork.Sandbox(nice=10))
    pool = AFork.Pool.new(process, "primes:count")
    pool.set_max_workers(N_PROCESSORS)
    Window(application, pool, "".join(sys.argv[1:])).present()


application = Gtk.Application(application_id="org.example.Primes")
application.connect("activate", activate_cb)
application.run()
