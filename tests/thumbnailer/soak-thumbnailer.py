#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Leaves the thumbnailer alone with a large folder, and disturbs it, for AFORK_SOAK_SECONDS.

soak-thumbnailer.py THUMBNAILER [--files N] [--seconds S] [--seed N] [--samples FOLDER]
                    [--sanitized]

It makes a folder of files of all kinds, good and bad, and has the thumbnailer work on it again and
again. Meanwhile it kills workers and templates, sends signals to the program and fills the disk, at
random. After each run, no process, no temporary file and no wrong note may be left, and the memory
of the program may not have grown. --samples adds links to the files of a folder, about which
nothing is known.
"""

import argparse
import ctypes
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pictures import (PNG_SIGNATURE, Png, gif_of_two_frames, jpeg, png, png_header,
                      png_of_absurd_size)

PR_SET_CHILD_SUBREAPER = 36
PER_FOLDER = 1000
FILES_PER_SECOND = 28   # in an hour, a hundred thousand
SAMPLE_TIME = 0.1       # seconds between two looks at the processes
SETTLE_TIME = 2         # until the pictures of the folder have been found
END_TIME = 20           # seconds for all processes to exit
GROWTH = 6 << 20        # bytes by which the program may grow, whatever the number of files
GROWTH_PER_FILE = 400   # for the result of a picture, which is kept for the summary
DISK_SIZE = 2 << 30
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)


# The folder

def make_png(rng):
    size = 2 ** rng.uniform(2, 9)
    color = [rng.randrange(256) for _ in range(3)]
    return png(int(size), max(1, int(size * rng.uniform(0.3, 2))), color)


def make_jpeg(rng):
    n = rng.randrange(1, 20)
    grays = [[rng.randrange(256) for _ in range(n)] for _ in range(rng.randrange(1, 20))]
    return jpeg(grays, rng.choice([None, 1, 3, 6, 8]))


def make_noise(rng):
    return PNG_SIGNATURE + rng.randbytes(rng.randrange(1, 5000))


def cut(rng, data):
    return data[:rng.randrange(1, len(data) // 2)]


# What becomes of a file, how many of a thousand files are of this kind, its ending, its bytes.
KINDS = [
    ("good", 600, "png", make_png),
    ("good", 200, "jpg", make_jpeg),
    ("good", 40, "gif", lambda rng: gif_of_two_frames()),
    ("good", 20, "png", lambda rng: make_png(rng)[:-12]),
    ("bad", 30, "png", lambda rng: b""),
    ("bad", 40, "jpg", lambda rng: cut(rng, make_jpeg(rng)[:200])),
    ("bad", 40, "png", lambda rng: png_header(64, 64) + rng.randbytes(100)),
    ("bad", 20, "png", make_noise),
    ("bad", 9, "gif", lambda rng: b"GIF89a" + rng.randbytes(50)),
    ("bad", 1, "png", lambda rng: png_of_absurd_size()),
]


def make_others(folder):
    """What is no picture, although it is named so."""
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "fifo.png")
    (folder / "dangling.png").symlink_to("nowhere")
    (folder / "circle.png").symlink_to("circle.png")
    (folder / "text.txt").write_text("no picture")


def make_folder(root, n_files, rng, samples):
    """Returns the files that are pictures, and those that are not, though they are named so."""
    files = {"good": [], "bad": []}
    outcomes, weights, endings, makers = zip(*[(kind[0], *kind[1:]) for kind in KINDS])
    kinds = list(zip(outcomes, endings, makers))
    for number in range(n_files):
        folder = root / f"{number // PER_FOLDER:04}"
        if number % PER_FOLDER == 0:
            folder.mkdir()
            make_others(folder)
        outcome, ending, make = rng.choices(kinds, weights)[0]
        path = folder / f"{number:06} ä\u00a0#{outcome}.{ending}"
        path.write_bytes(make(rng))
        # It is not being written any more.
        os.utime(path, (1_000_000_000 + number,) * 2)
        files[outcome].append(path)
    if samples is not None:
        (root / "samples").symlink_to(samples.resolve())
    return files["good"], files["bad"]


# Processes

def children(pid):
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return list(map(int, text.split()))


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def title(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def resident(pid):
    try:
        fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def n_fds(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def time_out(number, frame):
    left = {child: title(child) for child in descendants(os.getpid())}
    raise TimeoutError(f"processes are left: {left}")


def wait_for_all_children():
    """Of this process, and what it has inherited from those that exited."""
    signal.alarm(END_TIME)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    finally:
        signal.alarm(0)


# One run

class Soak:
    def __init__(self, arguments, rng, home):
        self.arguments = arguments
        self.rng = rng
        self.pictures = home / "pictures"
        self.store = home / "disk" / "thumbnails"
        self.disk = home / "disk"
        self.filler = self.disk / "filler"
        self.env = dict(os.environ, HOME=str(home), XDG_CACHE_HOME=str(home / "cache"))
        self.counts = {}
        self.most = {"memory": 0, "growth": 0, "descriptors": 0, "processes": 0}
        self.pictures.mkdir()
        self.disk.mkdir()
        self.good, self.bad = make_folder(self.pictures, arguments.files, rng, arguments.samples)
        self.bad_names = set(map(self.name, self.bad))
        self.good_names = set(map(self.name, self.good))
        self.mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "none", self.disk],
            check=False, stderr=subprocess.DEVNULL).returncode == 0

    def close(self):
        if self.mounted:
            subprocess.run(["umount", self.disk], check=True)

    @staticmethod
    def name(path):
        return hashlib.md5(path.as_uri().encode()).hexdigest() + ".png"

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def command(self):
        options = ["--quiet", "--output", str(self.store), "--timeout", "10", "-j2"]
        if self.rng.random() < 0.3:
            options.append("--fresh")
        if self.rng.random() < 0.3:
            options.append("--size=normal,large")
        if self.rng.random() < 0.3:
            options.append("--retry")
        if self.arguments.sanitized:
            options.append("--unconfined")
        return [self.arguments.thumbnailer, *options, str(self.pictures)]

    def measure(self, pid, settled):
        memory = resident(pid)
        self.most["memory"] = max(self.most["memory"], memory)
        self.most["descriptors"] = max(self.most["descriptors"], n_fds(pid))
        self.most["processes"] = max(self.most["processes"], len(descendants(pid)))
        if settled is not None and memory > 0:
            growth = memory - settled
            self.most["growth"] = max(self.most["growth"], growth)
            # The address sanitizer keeps what was freed.
            if self.arguments.sanitized:
                return memory
            allowed = GROWTH + GROWTH_PER_FILE * self.arguments.files
            assert growth < allowed, f"the program has grown by {growth >> 10} KiB"
        return memory

    def kill_one(self, pid):
        """A worker, the template, or one of the two processes that the template is confined by."""
        found = descendants(pid)
        if found:
            number = self.rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
            send(self.rng.choice(found), number)
            self.count(f"kill {signal.Signals(number).name}")

    def fill_disk(self):
        with open(self.filler, "wb") as filler:
            try:
                os.posix_fallocate(filler.fileno(), 0, 2 * DISK_SIZE)
            except OSError:
                pass
            block = bytes(1 << 20)
            try:
                while True:
                    filler.write(block)
            except OSError:
                block = b"\0"
            try:
                while filler.raw.write(bytes(512)) > 0:
                    pass
            except OSError:
                pass
        self.count("full disk")

    def disturb(self, process):
        """Returns the signal that the program was sent, or None."""
        choice = self.rng.random()
        if choice < 0.8:
            self.kill_one(process.pid)
        elif choice < 0.9 and self.mounted:
            self.fill_disk()
        elif choice > 0.95:
            number = self.rng.choice(STOPS)
            send(process.pid, number)
            self.count(signal.Signals(number).name)
            return number
        return None

    def run(self, end):
        """Until the program exits, which is asked to at @end."""
        log = tempfile.TemporaryFile()
        process = subprocess.Popen(self.command(), env=self.env, stdout=log, stderr=log)
        started, settled, stopped = time.monotonic(), None, None
        next_time = started + self.rng.uniform(1, 5)
        while process.poll() is None:
            now = time.monotonic()
            memory = self.measure(process.pid, settled)
            if settled is None and now > started + SETTLE_TIME + self.arguments.files / 5000:
                settled = memory
            if stopped is None and now > end:
                stopped = signal.SIGTERM
                send(process.pid, stopped)
            elif stopped is None and now > next_time:
                stopped = self.disturb(process)
                next_time = now + self.rng.uniform(0.5, 5)
            try:
                process.wait(SAMPLE_TIME)
            except subprocess.TimeoutExpired:
                pass
        self.check(process.returncode, stopped, log)

    def check(self, status, stopped, log):
        expected = [1] if stopped is None else [1, 128 + stopped, -stopped]
        log.seek(0)
        text = log.read().decode(errors="replace")
        assert status in expected, (status, stopped, text[-3000:])
        self.count("runs")
        wait_for_all_children()
        self.check_files()
        if self.filler.exists():
            self.filler.unlink()
        elif stopped is None:
            lacking = self.good_names - set(self.names("normal"))
            assert not lacking, f"good pictures without a thumbnail: {lacking}"
            self.count("complete runs")
            shutil.rmtree(self.store)

    def names(self, folder):
        try:
            return os.listdir(self.store / folder)
        except FileNotFoundError:
            return []

    def check_files(self):
        for folder in "normal", "large":
            names = self.names(folder)
            hidden = [name for name in names if name.startswith(".")]
            assert not hidden, hidden
            wrong = self.bad_names.intersection(names)
            assert not wrong, f"thumbnails of what is no picture: {wrong}"
            self.counts[folder] = len(names)
        notes = {name: folder for folder in self.names("fail")
                 for name in self.names(f"fail/{folder}")}
        wrong = {name: Png((self.store / "fail" / folder / name).read_bytes()).texts
                 for name, folder in notes.items() if name in self.good_names}
        assert not wrong, f"notes about good pictures: {wrong}"
        self.counts["notes"] = len(notes)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("thumbnailer")
    parser.add_argument("--files", type=int)
    parser.add_argument("--seconds", type=float,
                        default=float(os.environ.get("AFORK_SOAK_SECONDS", 10)))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--sanitized", action="store_true")
    arguments = parser.parse_args()
    if arguments.files is None:
        arguments.files = int(FILES_PER_SECOND * arguments.seconds)
    return arguments


def main():
    arguments = parse()
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 32)
    print(f"# --seed {seed}", flush=True)
    signal.signal(signal.SIGALRM, time_out)
    # A shell has programs in the background ignore it, until they have a handler.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="thumbnailer-soak-") as home:
        soak = Soak(arguments, random.Random(seed), Path(os.path.realpath(home)))
        try:
            end = time.monotonic() + arguments.seconds
            while time.monotonic() < end:
                soak.run(end)
                if arguments.seconds > 60:
                    print("#", round(end - time.monotonic()), soak.counts, soak.most, flush=True)
        finally:
            soak.close()
    print("#", soak.counts)
    print("#", {key: value >> 20 if key in ("memory", "growth") else value
                for key, value in soak.most.items()}, "(memory in MiB)")
    print("ok 1 - left alone\n1..1")


if __name__ == "__main__":
    sys.exit(main())
