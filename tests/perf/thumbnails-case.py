#!/usr/bin/python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Thumbnails of the first pictures of a set that make-pictures has made. Called as a case in C is
(case.h). The variant is WAY:SET[:WHAT].

WAY is how they are made: `fresh`, `reused` or `unconfined` by afork-thumbnailer, `xargs` and
`bwrap` by gdk-pixbuf-thumbnailer for each picture, `threads` and `executor` by gdk-pixbuf in a pool
of Python, and `fork` by gdk-pixbuf in a child of thumbnail-fork for each.

WHAT is `make`; `large`, the same of 256 pixels and not 128; `again`, when all thumbnails are there
already; `sizes`, several sizes in one run; `each-size`, the same sizes in several runs; or
`memory`. With --check, it only finds out whether afork-thumbnailer can be used, and with
--check-python, gdk-pixbuf in Python.

The time is that of all pictures, with the start of the program. The processor time is that of a
picture, in all processes together."""

import argparse
import ctypes
import os
import resource
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
THUMBNAILER = FOLDER.parents[1] / 'docs/examples/thumbnailer/afork-thumbnailer'
PIXELS = {'normal': 128, 'large': 256, 'x-large': 512}
OPTIONS = {'fresh': ['--fresh'], 'reused': [], 'unconfined': ['--unconfined']}
PR_SET_CHILD_SUBREAPER = 36
SAMPLE_TIME = 0.005     # seconds between two looks at the memory of processes


def load_gdk_pixbuf():
    import gi
    gi.require_version('GdkPixbuf', '2.0')
    from gi.repository import GdkPixbuf
    return GdkPixbuf


def make_thumbnail(picture, thumbnail, pixels):
    """As gdk-pixbuf-thumbnailer does it."""
    GdkPixbuf = load_gdk_pixbuf()
    pixbuf = GdkPixbuf.Pixbuf.new_from_file_at_scale(str(picture), pixels, pixels, True)
    pixbuf = pixbuf.apply_embedded_orientation()
    keys = {'tEXt::Thumb::URI': picture.as_uri(),
            'tEXt::Thumb::MTime': str(int(picture.stat().st_mtime))}
    pixbuf.savev(str(thumbnail), 'png', list(keys), list(keys.values()))


def run_pool(kind, pairs_file, n_workers, pixels):
    """Called in a process of its own, whose processor time is counted."""
    lines = Path(pairs_file).read_text().splitlines()
    pairs = [tuple(map(Path, line.split('\t'))) for line in lines]
    load_gdk_pixbuf()   # once, for all processes
    make_pool = {'threads': ThreadPoolExecutor, 'executor': ProcessPoolExecutor}[kind]
    with make_pool(n_workers) as pool:
        for future in [pool.submit(make_thumbnail, *pair, pixels) for pair in pairs]:
            future.result()


# Memory

def get_children(pid):
    try:
        return [int(child) for task in Path(f'/proc/{pid}/task').iterdir()
                for child in (task / 'children').read_text().split()]
    except OSError:
        return []


def get_descendants(pid):
    found = []
    for child in get_children(pid):
        found += [child, *get_descendants(child)]
    return found


def get_kib(pid, name, prefix):
    """The sum of the lines of a file of /proc that begin with PREFIX, or 0 if PID has exited."""
    try:
        lines = Path(f'/proc/{pid}/{name}').read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(prefix))


class MemoryWatch(threading.Thread):
    """Looks at the processes again and again, and keeps the largest sizes."""

    def __init__(self, pid):
        super().__init__()
        self.pid = pid
        self.caller = self.worker = 0
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(SAMPLE_TIME):
            self.caller = max(self.caller, get_kib(self.pid, 'status', 'VmHWM:'))
            for pid in get_descendants(self.pid):
                self.worker = max(self.worker, get_kib(pid, 'smaps_rollup', 'Private_'))


def wait_for_orphans():
    """For processes whose parents have exited before them: their time counts, too."""
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass


def run(command, input=None, memory=False):
    """Returns the series of memory."""
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.DEVNULL)
    watch = MemoryWatch(process.pid)
    if memory:
        watch.start()
    process.communicate(input)
    if memory:
        watch.ended.set()
        watch.join()
    if process.returncode != 0:
        sys.exit(f'{command[0]} exited with status {process.returncode}')
    wait_for_orphans()
    return {name: kib for name, kib in
            {'caller-kib': watch.caller, 'worker-kib': watch.worker}.items() if kib > 0}


# Ways to make them

class Maker:
    def __init__(self, way, folder, output, n_workers):
        self.way = way
        self.folder = folder
        self.output = output
        self.n_workers = n_workers

    def make(self, sizes, memory=False):
        if self.way in OPTIONS:
            return run([THUMBNAILER, '--quiet', *OPTIONS[self.way], f'--jobs={self.n_workers}',
                        f'--size={",".join(sizes)}', '--output', self.output, self.folder],
                       memory=memory)
        size, = sizes
        (self.output / size).mkdir(parents=True, exist_ok=True)
        pairs = [(path, self.output / size / f'{path.name}.png')
                 for path in sorted(self.folder.iterdir())]
        if self.way in ('xargs', 'bwrap'):
            return self.make_with_xargs(pairs, PIXELS[size], memory)
        listed = self.output / 'pairs'
        listed.write_text(''.join(f'{picture}\t{thumbnail}\n' for picture, thumbnail in pairs))
        if self.way == 'fork':
            return run([FOLDER / 'thumbnail-fork', listed, self.n_workers, PIXELS[size]],
                       memory=memory)
        return run([sys.executable, '-B', __file__, '--pool', self.way, '--pairs', listed,
                    '--workers', self.n_workers, '--pixels', PIXELS[size]], memory=memory)

    def make_with_xargs(self, pairs, pixels, memory):
        sandbox = []
        if self.way == 'bwrap':
            sandbox = ['bwrap', '--unshare-all', '--die-with-parent', '--ro-bind', '/', '/',
                       '--bind', self.output, self.output]
        return run(['xargs', '-0', '-P', self.n_workers, '-n', '2', *sandbox,
                    'gdk-pixbuf-thumbnailer', '-s', pixels],
                   ''.join(f'{name}\0' for pair in pairs for name in pair), memory)

    def check(self, sizes):
        n_pictures = len(list(self.folder.iterdir()))
        for size in sizes:
            n_made = len(list((self.output / size).glob('*.png')))
            if n_made != n_pictures:
                sys.exit(f'{self.way}: {n_made} thumbnails of {n_pictures} pictures')


class ProcessorTime:
    """Of the processes that this one starts, and of theirs.

    The kernel counts it. If it refuses, which it may do for ordinary users, the usage of resources
    is taken. This lacks workers that are killed with their PID namespace: the kernel reaps these,
    and passes their time on to no other process."""

    SYSCALLS = {'x86_64': 298, 'aarch64': 241}      # perf_event_open
    TYPE_SOFTWARE = 1
    TASK_CLOCK = 1
    INHERIT = 2

    def __init__(self):
        number = self.SYSCALLS.get(os.uname().machine)
        attributes = struct.pack('=IIQ24xQ16x', self.TYPE_SOFTWARE, 64, self.TASK_CLOCK,
                                 self.INHERIT)
        self.fd = -1
        if number is not None:
            self.fd = ctypes.CDLL(None).syscall(number, attributes, 0, -1, -1, 0)

    def get(self):
        """In nanoseconds."""
        if self.fd >= 0:
            return struct.unpack('Q', os.read(self.fd, 8))[0] - time.thread_time_ns()
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return int((usage.ru_utime + usage.ru_stime) * 1e9)


def link_pictures(name, count, folder):
    folder.mkdir()
    for number in range(count):
        os.link(FOLDER / name / f'{number:05}', folder / f'{number:05}')


def measure(way, name, what, count, n_workers):
    with tempfile.TemporaryDirectory(prefix='thumbnails-', dir=FOLDER) as scratch:
        folder, output = Path(scratch) / 'in', Path(scratch) / 'out'
        link_pictures(name, count, folder)
        maker = Maker(way, folder, output, n_workers)
        sizes = {'sizes': list(PIXELS), 'each-size': list(PIXELS),
                 'large': ['large']}.get(what, ['normal'])
        if what == 'again':
            maker.make(sizes)
        clock = ProcessorTime()
        begun = clock.get()
        start = time.monotonic_ns()
        if what == 'each-size':
            for size in sizes:
                maker.make([size])
            series = {}
        else:
            series = maker.make(sizes, memory=what == 'memory')
        elapsed = time.monotonic_ns() - start
        processor = clock.get() - begun
        maker.check(sizes)
    if what == 'memory':
        return series
    return {'elapsed-ns': elapsed, 'count': count, 'processor-ns': processor // count}


# What is needed

def make_png():
    def chunk(kind, data):
        return (struct.pack('>I', len(data)) + kind + data
                + struct.pack('>I', zlib.crc32(kind + data)))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 1, 1, 8, 0, 0, 0, 0))
            + chunk(b'IDAT', zlib.compress(b'\0\0')) + chunk(b'IEND', b''))


def check_thumbnailer():
    """Whether it is there, and can confine its workers."""
    with tempfile.TemporaryDirectory() as scratch:
        picture = Path(scratch) / 'a.png'
        picture.write_bytes(make_png())
        run([THUMBNAILER, '--quiet', '--output', scratch, picture])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=int, default=100)
    parser.add_argument('--warm-up', type=int, default=10)
    parser.add_argument('--workers', type=int, default=1)
    parser.add_argument('--check', action='store_true')
    parser.add_argument('--check-python', action='store_true')
    parser.add_argument('--pool')
    parser.add_argument('--pairs')
    parser.add_argument('--pixels', type=int)
    parser.add_argument('variant', nargs='?')
    args, _ = parser.parse_known_args()
    if args.check:
        check_thumbnailer()
    elif args.check_python:
        load_gdk_pixbuf()
    elif args.pool:
        run_pool(args.pool, args.pairs, args.workers, args.pixels)
    else:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        way, name, *what = args.variant.split(':')
        what = what[0] if what else 'make'
        if args.warm_up > 0:
            measure(way, name, 'make', args.warm_up, args.workers)
        for series, value in measure(way, name, what, args.count, args.workers).items():
            print(series, value)


if __name__ == '__main__':
    main()
