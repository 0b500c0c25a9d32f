#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the thumbnailer does with pictures, good and bad, and with workers that misbehave.

test-thumbnailer.py THUMBNAILER HOSTILE-WORKER [--sanitized]
"""

import ctypes
import errno
import gzip
import hashlib
import os
import pty
import re
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import time
from fcntl import LOCK_EX, flock, ioctl
from pathlib import Path

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "util"))

import tap
from pictures import (Png, gif_of_two_frames, jpeg, png, png_chunk, png_of_absurd_size,
                      png_with_profile, swapping_profile)
from sshd import Sshd, Unavailable

THUMBNAILER, HOSTILE_WORKER = (os.path.realpath(path) for path in sys.argv[1:3])
# Sanitizers need more memory and system calls than confined workers have.
SANITIZED = "--sanitized" in sys.argv[3:]
# The time limit, in seconds, of tests with a worker that hangs. A worker may take ten times as long
# by the clock, which is enough for the other pictures on a machine that is busy.
TIME_LIMIT = 3 if SANITIZED else 1
TOO_LONG = f"failed: The worker took longer than {10 * TIME_LIMIT} s"

PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
LANDLOCK_CREATE_RULESET = 444
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2

libc = ctypes.CDLL(None, use_errno=True)


class Room:
    """A home of one's own, a folder of pictures in it, and the thumbnailer."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="thumbnailer-")
        self.home = Path(os.path.realpath(self._folder.name))
        self.pictures = self.home / "pictures"
        self.thumbnails = self.home / "cache" / "thumbnails"
        self.pictures.mkdir()
        self.env = dict(os.environ, HOME=str(self.home), XDG_CACHE_HOME=str(self.home / "cache"),
                        LC_ALL="C.UTF-8")

    def add(self, name, data):
        path = self.pictures / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def command(self, arguments):
        """Workers that misbehave are not confined: most of it would not be possible."""
        unconfined = SANITIZED or HOSTILE_WORKER in arguments
        return [THUMBNAILER, *(["--unconfined"] if unconfined else []),
                *map(str, arguments or [self.pictures])]

    def run(self, *arguments, status=0, **options):
        """Runs the thumbnailer to its end, on the folder of pictures if nothing else is said. A
        @status of None is any."""
        run = subprocess.run(self.command(arguments), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=self.env, text=True, **options)
        assert status in (None, run.returncode), (run.returncode, run.stdout, run.stderr)
        self.check_nothing_is_left()
        return Output(run.stdout, run.stderr)

    def start(self, *arguments, **options):
        return subprocess.Popen(self.command(arguments), stderr=subprocess.PIPE, env=self.env,
                                text=True, **options)

    def thumbnail_path(self, picture, size="normal"):
        digest = hashlib.md5(picture.as_uri().encode()).hexdigest()
        return self.thumbnails / size / f"{digest}.png"

    def failure_path(self, picture):
        folder, = (self.thumbnails / "fail").iterdir()
        return folder / self.thumbnail_path(picture).name

    def thumbnail(self, picture, size="normal"):
        return Png(self.thumbnail_path(picture, size).read_bytes())

    def check_nothing_is_left(self):
        """No half-written file, whatever happened."""
        left = [path for path in self.home.rglob(".*") if path.is_file()]
        assert not left, left


class Output:
    def __init__(self, text, errors):
        self.text = text
        self.errors = errors

    def outcome(self, picture):
        """`done`, `reused`, or `failed: CAUSE`."""
        lines = re.findall(rf"^(done|reused|failed|left) {re.escape(str(picture))}(: .*)?$",
                           self.text, re.M)
        assert len(lines) == 1, (picture, self.text, self.errors)
        return "".join(lines[0])

    def counts(self):
        return tuple(map(int, re.search(r"^(\d+) done, (\d+) reused, (\d+) failed\b", self.text,
                                        re.M).groups()))

    def workers(self):
        """How many there were, and how many of these exited unexpectedly."""
        return tuple(map(int, re.search(r"^(\d+) workers?, of which (\d+) exited unexpectedly$",
                                        self.text, re.M).groups()))


def skip_without_fonts():
    if not any(Path("/usr/share/fonts").rglob("*.*tf")):
        raise tap.Skip("there are no fonts")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def change(picture):
    """Another time of change is all that tells a picture from what it was."""
    times = picture.stat()
    os.utime(picture, (times.st_atime, times.st_mtime + 10))


# Thumbnails

def test_thumbnail(room):
    picture = room.add("blau weiß.png", png(640, 480))
    output = room.run()
    assert output.outcome(picture) == "done"
    assert output.counts() == (1, 0, 0)

    thumbnail = room.thumbnail(picture)
    assert (thumbnail.width, thumbnail.height) == (128, 96)
    assert thumbnail.pixel(64, 48) == (200, 80, 40)

    texts = thumbnail.texts
    assert texts.pop("Software").startswith("afork-thumbnailer-")
    assert texts == {
        "Thumb::URI": picture.as_uri(),
        "Thumb::MTime": str(int(picture.stat().st_mtime)),
        "Thumb::Size": str(picture.stat().st_size),
        "Thumb::Mimetype": "image/png",
        "Thumb::Image::Width": "640",
        "Thumb::Image::Height": "480",
    }


def test_modes(room):
    picture = room.add("a.png", png(10, 10))
    broken = room.add("b.png", b"")
    room.run(status=1)
    for path in room.thumbnail_path(picture), room.failure_path(broken):
        assert mode(path) == 0o600, path
        assert mode(path.parent) == 0o700, path
    assert mode(room.thumbnails) == 0o700


def test_sizes(room):
    picture = room.add("tall.png", png(600, 1200))
    for size, pixels in ("normal", 128), ("large", 256), ("x-large", 512), ("xx-large", 1024):
        room.run("--size", size, room.pictures)
        thumbnail = room.thumbnail(picture, size)
        assert (thumbnail.width, thumbnail.height) == (pixels / 2, pixels), size


def test_several_sizes_at_once(room):
    picture = room.add("tall.png", png(600, 1200))
    room.run("--size", "normal", room.pictures)
    output = room.run("--size", "normal,x-large", "--size", "large", room.pictures)
    assert output.outcome(picture) == "done"
    for size, pixels in ("normal", 128), ("large", 256), ("x-large", 512):
        thumbnail = room.thumbnail(picture, size)
        assert (thumbnail.width, thumbnail.height) == (pixels / 2, pixels), size
    output = room.run("--size", "large,normal", room.pictures)
    assert output.outcome(picture) == "reused"
    assert "There is no size “huge”" in room.run("-s", "large,huge", "x", status=2).errors


def test_sizes_are_rounded(room):
    for (width, height), expected in {(300, 200): (128, 85), (1000, 337): (128, 43),
                                      (1023, 1): (128, 1), (500, 499): (128, 128)}.items():
        picture = room.add(f"{width}.png", png(width, height))
        room.run()
        thumbnail = room.thumbnail(picture)
        assert (thumbnail.width, thumbnail.height) == expected, (width, height)


def test_small_picture_is_not_enlarged(room):
    picture = room.add("icon.png", png(16, 12))
    room.run()
    thumbnail = room.thumbnail(picture)
    assert (thumbnail.width, thumbnail.height) == (16, 12)


def test_narrow_picture(room):
    picture = room.add("line.png", png(4000, 1))
    room.run()
    thumbnail = room.thumbnail(picture)
    assert (thumbnail.width, thumbnail.height) == (128, 1)


def test_gio_calls_thumbnails_valid(room):
    if shutil.which("gio") is None:
        raise tap.Skip("there is no gio")
    for size in "normal", "large":
        picture = room.add(f"ä & {size} %?.png", png(300, 200))
        room.run("--size", size, room.pictures)
        info = subprocess.run(["gio", "info", "-a", "thumbnail::*", str(picture)], env=room.env,
                              stdout=subprocess.PIPE, text=True, check=True).stdout
        assert "thumbnail::is-valid: TRUE" in info, info
        assert f"thumbnail::path: {room.thumbnails}/{size}/" in info, info


def test_orientation(room):
    rows = [[0, 0, 255, 255]] * 2           # black on the left, white on the right
    for orientation, size, black, white in [
        (1, (32, 16), (4, 8), (28, 8)),
        (2, (32, 16), (28, 8), (4, 8)),
        (3, (32, 16), (28, 8), (4, 8)),
        (6, (16, 32), (8, 4), (8, 28)),
        (8, (16, 32), (8, 28), (8, 4)),
    ]:
        picture = room.add(f"{orientation}.jpg", jpeg(rows, orientation))
        room.run()
        thumbnail = room.thumbnail(picture)
        assert (thumbnail.width, thumbnail.height) == size, orientation
        assert thumbnail.texts["Thumb::Image::Width"] == str(size[0]), orientation
        assert max(thumbnail.pixel(*black)) < 40, orientation
        assert min(thumbnail.pixel(*white)) > 215, orientation


def test_color_profile(room):
    picture = room.add("a.png", png_with_profile(300, 200, swapping_profile()))
    spoilt = room.add("b.png", png_with_profile(300, 200, b"no profile"))
    room.run()
    found = room.thumbnail(picture).pixel(10, 10)
    assert max(abs(a - b) for a, b in zip(found, (40, 80, 200))) < 12, found
    assert room.thumbnail(spoilt).pixel(10, 10) == (200, 80, 40)


def test_animation_is_its_first_frame(room):
    picture = room.add("blink.gif", gif_of_two_frames())
    room.run()
    assert room.thumbnail(picture).pixel(0, 0) == (0, 0, 0)


def test_output_folder(room):
    room.thumbnails = room.home / "elsewhere"
    picture = room.add("a.png", png(10, 10))
    room.run("--output", room.thumbnails, room.pictures)
    assert room.thumbnail_path(picture).exists()
    assert not (room.home / "cache").exists()


def test_relative_home(room):
    """It is ignored, as if there was none."""
    picture = room.add("a.png", png(10, 10))
    for home in "relative", "":
        room.env.update(HOME=home, XDG_CONFIG_HOME=home)
        output = room.run("--retry", room.pictures, cwd=room.home)
        assert not output.errors and room.thumbnail_path(picture).exists(), output.errors
        room.env["XDG_CACHE_HOME"] = home
        output = room.run("--output", room.home / f"elsewhere{home}", room.pictures, cwd=room.home)
        assert output.outcome(picture) == "done"
        room.env["XDG_CACHE_HOME"] = str(room.home / "cache")
    assert not (room.home / "relative").exists()


# Finding pictures

def test_what_is_a_picture(room):
    wrong = room.add("png-in-truth.jpg", png(10, 10))
    unnamed = room.add("no-extension", png(10, 10))
    room.add("notes.txt", png(10, 10))
    room.add("program", b"#!/bin/sh\n")
    output = room.run()
    assert output.outcome(wrong) == output.outcome(unnamed) == "done"
    assert output.counts() == (2, 0, 0)
    assert room.thumbnail(wrong).texts["Thumb::Mimetype"] == "image/png"


def test_named_file_is_a_picture(room):
    picture = room.add("picture.txt", png(10, 10))
    assert room.run(picture).outcome(picture) == "done"


def test_folders_are_walked_in_order(room):
    names = ["a/b/c.png", "a/b.png", "a.png", "b.png", "a/b/a.png"]
    for name in names:
        room.add(name, png(10, 10))
    output = room.run("--jobs", 1, room.pictures, "pictures/../pictures", cwd=room.home)
    found = re.findall(r"^done (.*)$", output.text, re.M)
    assert found == [str(room.pictures / name)
                     for name in ("a/b/a.png", "a/b/c.png", "a/b.png", "a.png", "b.png")], found


def test_relative_name(room):
    picture = room.add("a.png", png(10, 10))
    assert room.run("pictures", cwd=room.home).outcome("pictures/a.png") == "done"
    assert room.thumbnail(picture).texts["Thumb::URI"] == picture.as_uri()


def test_links(room):
    picture = room.add("a.png", png(10, 10))
    link = room.pictures / "link.png"
    link.symlink_to("a.png")
    (room.pictures / "up").symlink_to(".")
    output = room.run()
    assert output.outcome(picture) == output.outcome(link) == "done"
    assert output.counts() == (2, 0, 0)


def test_parent_of_a_link(room):
    """It is that of the folder that the link leads to."""
    picture = room.add("real/a.png", png(10, 10))
    (room.pictures / "real" / "sub").mkdir()
    link = room.home / "link"
    link.symlink_to(room.pictures / "real" / "sub")
    named = f"{link}/../a.png"
    assert room.run(named).outcome(named) == "done"
    assert room.thumbnail(picture).texts["Thumb::URI"] == picture.as_uri()
    assert room.run(f"{link}/..").counts() == (0, 1, 0)
    output = room.run("--output", "link/../made", picture, cwd=room.home)
    assert output.outcome(picture) == "done"
    assert (picture.parent / "made" / "normal").exists()


def test_link_to_the_folder_stays_in_the_uri(room):
    """Programs that have come by the link look for this one."""
    room.add("a.png", png(10, 10))
    link = room.home / "link"
    link.symlink_to(room.pictures)
    room.run(link)
    assert room.thumbnail(link / "a.png").texts["Thumb::URI"] == (link / "a.png").as_uri()


def test_thumbnails_are_no_pictures(room):
    room.add("a.png", png(10, 10))
    assert room.run(room.home).counts() == (1, 0, 0)
    assert room.run(room.home, room.thumbnails, room.thumbnails / "normal").counts() == (0, 1, 0)


def test_thumbnails_of_others_are_no_pictures(room):
    """They are when they are given."""
    room.add("a.png", png(10, 10))
    shared = room.add(".sh_thumbnails/normal/b.png", png(10, 10))
    (room.thumbnails / "normal").mkdir(parents=True)
    (room.thumbnails / "normal" / "c.png").write_bytes(png(10, 10))
    output = room.home / "elsewhere"
    assert room.run("--output", output, room.home).counts() == (1, 0, 0)
    assert room.run("--output", output, shared.parent, room.thumbnails).counts() == (2, 0, 0)


def test_thumbnails_beside_their_pictures(room):
    """The folder of pictures may be that of the thumbnails, too."""
    for name in "a.png", "normal/b.png", "other/c.png":
        room.add(name, png(10, 10))
    output = room.run("--output", room.pictures, room.pictures)
    assert output.counts() == (2, 0, 0), output.text
    assert room.run("--output", ".", ".", cwd=room.pictures).counts() == (0, 2, 0)


def test_some_come_first(room):
    for name in "a.png", "b/c.png", "b/d.png", "e.png", "f.png":
        room.add(name, png(10, 10))
    output = room.run("--jobs", 1, "--first", room.pictures / "f.png",
                      "--first", room.pictures / "b", room.pictures)
    found = re.findall(r"^done (.*)$", output.text, re.M)
    assert found == [str(room.pictures / name)
                     for name in ("f.png", "b/c.png", "b/d.png", "a.png", "e.png")], found


# Broken pictures

def drop_capabilities():
    """Run as root, a program may read what its mode forbids; not without these."""
    if os.geteuid() == 0:
        for capability in CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH:
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def test_broken_pictures(room):
    good = room.add("good.png", png(500, 500))
    photo = jpeg([[0, 255] * 8] * 64)
    unknown = "Unrecognized image file format"
    broken = {
        room.add("empty.png", b""): "The file is empty",
        room.add("cut.png", png(500, 500)[:-100]): "The file is cut short",
        room.add("cut.jpg", photo[:-300]): "The file is cut short",
        room.add("cut-at-the-start.jpg", photo[:30]): "The file is cut short",
        room.add("text.png", b"This is not a picture.\n"): unknown,
        room.add("absurd.png", png_of_absurd_size()): "100000 × 100000 pixels are too many",
        room.pictures / "pipe.png": "It is a named pipe, not a file",
        room.pictures / "socket.png": "It is a socket, not a file",
        room.pictures / "nowhere.png": "No such file or directory",
    }
    inside = room.add("folder.png/inside.png", png(10, 10))
    os.mkfifo(room.pictures / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(room.pictures / "socket.png"))
    (room.pictures / "nowhere.png").symlink_to("nothing")

    output = room.run(status=1)
    assert output.outcome(good) == output.outcome(inside) == "done"
    for picture, cause in broken.items():
        assert output.outcome(picture) == f"failed: {cause}"
    assert output.counts() == (2, 0, len(broken))


def test_only_the_end_mark_is_missing(room):
    photo = jpeg([[0, 255] * 8] * 64)
    for name, data in ("a.png", png(500, 500)[:-12]), ("b.jpg", photo[:-2]), \
            ("small.png", png(20, 10)[:-12]), ("c.png", png(500, 500)[:-4]):
        picture = room.add(name, data)
        assert room.run().outcome(picture) == "done", name
    thumbnail = room.thumbnail(room.pictures / "a.png")
    assert {thumbnail.pixel(64, y) for y in range(128)} == {(200, 80, 40)}
    thumbnail = room.thumbnail(room.pictures / "b.jpg")
    # The last rows are as the others, and not filled in.
    assert max(thumbnail.pixel(0, thumbnail.height - 1)) < 60
    assert thumbnail.texts["Thumb::Image::Height"] == "512"


def test_folder_named_like_a_picture(room):
    inside = room.add("folder.png/inside.png", png(10, 10))
    (room.pictures / "link.png").symlink_to("folder.png")
    output = room.run()
    assert output.outcome(inside) == "done"
    assert output.counts() == (1, 0, 0)


def test_format_known_by_its_name_only(room):
    drawing = gzip.compress(b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="32">'
                            b'<rect width="64" height="32" fill="#c85028"/></svg>')
    picture = room.add("drawing.svgz", drawing)
    output = room.run(status=None)
    if output.outcome(picture) == "failed: Unrecognized image file format":
        raise tap.Skip("there is no loader for SVG")
    assert output.outcome(picture) == "done"
    assert room.thumbnail(picture).pixel(10, 10) == (200, 80, 40)


def test_broken_drawing(room):
    """Its loader has errors of its own, which are noted as those of others."""
    picture = room.add("a.svg", b"<svg")
    os.utime(picture, (1, 1))
    outcome = room.run(status=1).outcome(picture)
    if outcome == "failed: Unrecognized image file format":
        raise tap.Skip("there is no loader for SVG")
    assert outcome.startswith("failed: ") and "\ufffd" not in outcome, outcome
    assert room.run(status=1).outcome(picture) == outcome.replace(": ", ": As before: ", 1)


def test_text_in_a_drawing(room):
    """Fonts are all that a confined worker can read."""
    skip_without_fonts()
    n_dark = {}
    for text in ["....", "WWWW"]:
        drawing = room.add("drawing.svg", f"""
            <svg xmlns="http://www.w3.org/2000/svg" width="200" height="50">
              <rect width="200" height="50" fill="white"/>
              <text x="0" y="40" font-size="40" font-family="sans">{text}</text>
            </svg>""".encode())
        output = room.run("--retry", room.pictures, status=None)
        if output.outcome(drawing) == "failed: Unrecognized image file format":
            raise tap.Skip("there is no loader for SVG")
        thumbnail = room.thumbnail(drawing)
        n_dark[text] = sum(max(thumbnail.pixel(x, y)) < 128
                           for x in range(thumbnail.width) for y in range(thumbnail.height))
        room.thumbnail_path(drawing).unlink()
    assert 0 < 4 * n_dark["...."] < n_dark["WWWW"], n_dark


def test_missing_decoder_is_named(room):
    """And not noted, because it may be installed later."""
    heic = room.add("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    output = room.run(status=1)
    if "decoder" not in output.outcome(heic):
        raise tap.Skip("there is a loader for HEIC")
    assert output.outcome(heic) == ("failed: No decoder for HEIC is installed, which the package "
                                    "heif-gdk-pixbuf has")
    assert not room.failure_path(heic).exists()


def test_decoder_that_needs_files_is_named(room):
    """That of XPM makes a temporary file, which a confined worker may not. This is not noted."""
    xpm = room.add("a.xpm",
                   b'/* XPM */\nstatic char *a[] = {\n"1 1 1 1",\n"a c red",\n"a"};\n')
    room.env["G_DEBUG"] = ""    # GdkPixbuf warns that the loader does not say why it failed
    outcome = room.run(status=None).outcome(xpm)
    if outcome in ("done", "failed: Unrecognized image file format"):
        raise tap.Skip("there is no loader for XPM, or it needs no file")
    assert outcome.startswith("failed: The decoder for xpm cannot be used here: "), outcome
    assert not room.failure_path(xpm).exists()


def test_large_text(room):
    """A chunk of sixteen megabytes before the picture takes no time to speak of."""
    whole = png(300, 200)
    text = png_chunk(b"tEXt", b"Comment\0" + b"x" * (16 << 20))
    picture = room.add("a.png", whole[:33] + text + whole[33:])
    output = room.run("--timeout", 5, room.pictures)
    assert output.outcome(picture) == "done"


def test_picture_that_is_still_written(room):
    picture = room.add("a.png", png(500, 500)[:-100])
    process = room.start(stdout=subprocess.PIPE)
    while not process.stdout.closed and process.poll() is None:
        with open(picture, "ab") as file:
            file.write(b"x")
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            pass
    text, errors = process.communicate()
    output = Output(text, errors)
    assert output.outcome(picture) == "left: It is still written", (text, errors)
    assert "0 done, 0 reused, 0 failed, 1 left for later in" in text
    assert process.returncode == 1
    assert not room.failure_path(picture).exists()


def test_unreadable(room):
    good = room.add("good.png", png(10, 10))
    picture = room.add("secret.png", png(10, 10))
    folders = [room.pictures / "secrets", room.pictures / "more secrets"]
    picture.chmod(0)
    if subprocess.run(["test", "-r", picture], preexec_fn=drop_capabilities).returncode == 0:
        raise tap.Skip("nothing is unreadable to this user")

    for folder in folders:
        folder.mkdir(0)
    try:
        output = room.run(status=1, preexec_fn=drop_capabilities)
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert output.outcome(good) == "done"
    for path in picture, *folders:
        assert output.outcome(path) == "failed: Permission denied"
    assert output.text.endswith("\n\nPermission denied (3)\n"), output.text


def test_missing_folder(room):
    good = room.add("good.png", png(10, 10))
    output = room.run(room.home / "no-such-folder", room.pictures, status=1)
    assert output.outcome(room.home / "no-such-folder") == "failed: No such file or directory"
    assert output.outcome(good) == "done"


def test_failures_are_grouped_by_cause(room):
    for name in "a.png", "b.png":
        room.add(name, b"")
    room.add("c.png", b"nothing of the kind")
    output = room.run(status=1)
    assert output.text.endswith("\n\nThe file is empty (2)\n"
                                "\nUnrecognized image file format (1)\n"), output.text
    for name in "a.png", "b.png", "c.png":
        assert output.text.count(name) == 1, output.text
    with_names = run_on_terminal(room, "--retry", room.pictures, status=1)
    assert with_names.endswith("\n\nThe file is empty (2)\n"
                               f"  {room.pictures}/a.png\n"
                               f"  {room.pictures}/b.png\n"
                               "\nUnrecognized image file format (1)\n"
                               f"  {room.pictures}/c.png\n"), with_names


def test_names_are_printed_harmlessly(room):
    room.add("\x1b[2Jbad\nname.png", png(10, 10))
    output = room.run()
    assert "\x1b" not in output.text
    assert output.outcome(room.pictures / "\ufffd[2Jbad\ufffdname.png") == "done"


# What an earlier run has left

def test_thumbnail_is_reused(room):
    picture = room.add("a.png", png(10, 10))
    room.run()
    before = room.thumbnail_path(picture).stat()
    assert room.run().outcome(picture) == "reused"
    after = room.thumbnail_path(picture).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_changed_picture_gets_another_thumbnail(room):
    picture = room.add("a.png", png(10, 10))
    room.run()
    change(picture)
    assert room.run().outcome(picture) == "done"
    assert room.thumbnail(picture).texts["Thumb::MTime"] == str(int(picture.stat().st_mtime))


def test_thumbnail_of_another_picture_is_not_reused(room):
    picture = room.add("a.png", png(10, 10))
    other = room.add("b.png", png(10, 10))
    room.run()
    shutil.copy(room.thumbnail_path(other), room.thumbnail_path(picture))
    output = room.run()
    assert output.outcome(picture) == "done"
    assert output.outcome(other) == "reused"


def test_spoilt_thumbnail_is_not_reused(room):
    picture = room.add("a.png", png(10, 10))
    room.run()
    path = room.thumbnail_path(picture)
    whole = path.read_bytes()
    for size in 0, 4, 20, 40, 60, 100:
        path.write_bytes(whole[:size])
        assert room.run().outcome(picture) == "done", size
    path.unlink()
    os.mkfifo(path)
    assert room.run().outcome(picture) == "done"


def share(room, picture, uri, folder):
    """Moves the thumbnail of @picture to where users share it, as if it were that of @uri."""
    path = room.thumbnail_path(picture)
    data = path.read_bytes()
    path.unlink()
    start = data.index(b"tEXtThumb::URI\0") - 4
    size, = struct.unpack_from(">I", data, start)
    chunk = png_chunk(b"tEXt", b"Thumb::URI\0" + uri.encode())
    shared = folder / ".sh_thumbnails" / "normal" / (hashlib.md5(uri.encode()).hexdigest() + ".png")
    shared.parent.mkdir(parents=True, exist_ok=True)
    shared.write_bytes(data[:start] + chunk + data[start + 12 + size:])
    return shared


def test_shared_thumbnails_are_used(room):
    for uri in "./a%20b.png", "a%20b.png":
        picture = room.add("a b.png", png(10, 10))
        room.run()
        shared = share(room, picture, uri, room.pictures)
        assert room.run().outcome(picture) == "reused", uri
        change(picture)
        assert room.run().outcome(picture) == "done", uri
        shared.unlink()


def test_clean(room):
    stays = room.add("a.png", png(10, 10))
    goes = room.add("b/b.png", png(10, 10))
    broken = room.add("c.png", b"")
    room.run(status=1)
    assert "0 thumbnails of pictures that are gone removed" in room.run("--clean").text
    paths = room.thumbnail_path(goes), room.failure_path(broken)
    shutil.rmtree(goes.parent)
    broken.unlink()
    assert room.run("--clean").text == "2 thumbnails of pictures that are gone removed\n"
    assert not any(path.exists() for path in paths)
    assert room.run("--clean", room.pictures).outcome(stays) == "reused"


def test_absent_medium_is_not_cleaned(room):
    medium = Path(tempfile.mkdtemp(prefix="thumbnailer-medium-"))
    try:
        picture = medium / "dcim" / "a.png"
        picture.parent.mkdir()
        picture.write_bytes(png(10, 10))
        room.run(medium)
    finally:
        shutil.rmtree(medium)
    assert room.run("--clean").text.startswith("0 thumbnails")
    assert room.thumbnail_path(picture).exists()


def test_home_of_another_user_is_not_cleaned(room):
    """The name of a home may begin with that of another one, and a home may be that of all."""
    anna = room.home / "home" / "anna"
    picture = anna / "stick" / "a.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(png(10, 10))
    room.run(anna)
    shutil.rmtree(picture.parent)
    for home in room.home / "home" / "ann", Path("/"):
        if home.name:
            home.mkdir()
        room.env["HOME"] = str(home)
        assert room.run("--clean").text.startswith("0 thumbnails"), home
    room.env["HOME"] = str(anna)
    assert room.run("--clean").text.startswith("1 thumbnail ")


def test_medium_with_a_folder_of_its_own_is_not_cleaned(room):
    """The folder is empty as long as nothing is mounted there."""
    with tempfile.TemporaryDirectory(prefix="thumbnailer-medium-") as medium:
        picture = Path(medium) / "a.png"
        picture.write_bytes(png(10, 10))
        room.run(medium)
        picture.unlink()
        assert room.run("--clean").text.startswith("0 thumbnails")
        (Path(medium) / "b.txt").write_bytes(b"")
        assert room.run("--clean").text.startswith("1 thumbnail ")


def test_long_uri(room):
    folder = room.pictures
    for number in range(16):
        folder = folder / ("ä" * 100)
    picture = room.add(folder.relative_to(room.pictures) / "a.png", png(10, 10))
    assert len(picture.as_uri()) > 9000
    assert room.run().outcome(picture) == "done"
    assert room.run().outcome(picture) == "reused"


def test_failure_is_noted(room):
    picture = room.add("a.png", b"no picture")
    room.run(status=1)
    note = Png(room.failure_path(picture).read_bytes())
    assert (note.width, note.height) == (1, 1)
    assert note.texts["Thumb::URI"] == picture.as_uri()
    assert note.texts["Thumb::MTime"] == str(int(picture.stat().st_mtime))

    output = room.run(status=1)
    assert output.outcome(picture) == "failed: As before: Unrecognized image file format"


def test_failure_is_tried_again(room):
    picture = room.add("a.png", b"no picture")
    cause = "failed: Unrecognized image file format"
    assert room.run(status=1).outcome(picture) == cause
    assert room.run("--retry", room.pictures, status=1).outcome(picture) == cause
    change(picture)
    assert room.run(status=1).outcome(picture) == cause

    room.add("a.png", png(10, 10))
    change(picture)
    assert room.run().outcome(picture) == "done"


def test_failure_is_forgotten(room):
    """A picture that is repaired within the second is another by its size alone."""
    picture = room.add("a.png", b"no picture")
    times = picture.stat()
    room.run(status=1)
    assert room.failure_path(picture).exists()

    room.add("a.png", png(10, 10))
    os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert room.run().outcome(picture) == "done"
    assert not room.failure_path(picture).exists()


def test_failure_to_open_is_not_noted(room):
    picture = room.pictures / "a.png"
    os.mkfifo(picture)
    room.run(status=1)
    assert not room.failure_path(picture).exists()


def limit_file_size(n_bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))


def test_time_limit_is_not_noted(room):
    picture = room.add("a.png", b"hang")
    output = room.run("--module", HOSTILE_WORKER, "--timeout", TIME_LIMIT, room.pictures, status=1)
    assert output.outcome(picture) == TOO_LONG
    assert not room.failure_path(picture).exists()


def confine_hostile(room, order, *options):
    """What becomes of a picture with this order, in a worker that is confined."""
    if SANITIZED:
        raise tap.Skip("sanitizers need more than confined workers have")
    picture = room.add("a.png", order)
    command = [THUMBNAILER, "--module", HOSTILE_WORKER, *options, str(room.pictures)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=room.env,
                         text=True, check=False)
    assert run.returncode == 1, (run.returncode, run.stdout, run.stderr)
    return picture, Output(run.stdout, run.stderr).outcome(picture)


def take_second():
    """Takes a second of processor time. Returns for how long, in seconds."""
    start = time.monotonic()
    end = time.process_time() + 1
    while time.process_time() < end:
        pass
    return time.monotonic() - start


def test_processor_time_is_noted_with_its_limit(room):
    """On a busy machine, the other limit may be reached first. Then nothing is noted."""
    picture, outcome = confine_hostile(room, b"spin", "--timeout", "1")
    if outcome == TOO_LONG:
        assert not room.failure_path(picture).exists()
        if take_second() > 2:
            raise tap.Skip("other programs use the processors")
        picture, outcome = confine_hostile(room, b"spin", "--timeout", "1")
    assert outcome == "failed: The worker needed more than 1 s of processor time"
    note = Png(room.failure_path(picture).read_bytes())
    assert note.texts["X-AFork::CPUTime"] == "1"
    assert room.run("--timeout", 1, room.pictures, status=1).outcome(picture) \
        == "failed: As before: The worker needed more than 1 s of processor time"
    assert room.run("--timeout", 2, room.pictures, status=1).outcome(picture) \
        == "failed: Unrecognized image file format"


def test_memory_is_limited(room):
    """A worker that needs more than all of them may have costs one picture, and is not noted."""
    picture, outcome = confine_hostile(room, b"take memory")
    assert "memory" in outcome, outcome
    assert not room.failure_path(picture).exists()


def test_confined_worker_opens_nothing(room):
    secret = room.add("secret", b"")
    room.env["HOSTILE_SECRET"] = str(secret)
    _, outcome = confine_hostile(room, b"remove secret")
    assert outcome.startswith("failed: "), outcome
    assert secret.exists()


class Instruction(ctypes.Structure):
    """Of a filter of system calls."""
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte),
                ("k", ctypes.c_uint)]


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(Instruction))]


def refuse_paths():
    """As on a system that can confine a process to no paths: without Landlock and namespaces."""
    load, equal, give = 0x20, 0x15, 0x06
    unshare = {"x86_64": 272, "aarch64": 97}[os.uname().machine]
    refused, allowed = 0x00050000 | errno.ENOSYS, 0x7fff0000
    filter_calls((load, 0, 0, 0), (equal, 1, 0, LANDLOCK_CREATE_RULESET),
                 (equal, 0, 1, unshare), (give, 0, 0, refused), (give, 0, 0, allowed))


def refuse_unnamed_files():
    """As on a file system that has none."""
    load, equal, has_bits, give = 0x20, 0x15, 0x45, 0x06
    openat = {"x86_64": 257, "aarch64": 56}[os.uname().machine]
    unnamed = os.O_TMPFILE & ~os.O_DIRECTORY
    refused, allowed = 0x00050000 | errno.EOPNOTSUPP, 0x7fff0000
    third_argument = 16 + 2 * 8
    filter_calls((load, 0, 0, 0), (equal, 0, 3, openat), (load, 0, 0, third_argument),
                 (has_bits, 0, 1, unnamed), (give, 0, 0, refused), (give, 0, 0, allowed))


def skip_without_filters():
    if os.uname().machine not in ("x86_64", "aarch64"):
        raise tap.Skip("system calls cannot be refused here")


def filter_calls(*instructions):
    instructions = (Instruction * len(instructions))(*instructions)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
                      ctypes.byref(Filter(len(instructions), instructions)), 0, 0) == 0


def test_system_that_cannot_confine(room):
    if SANITIZED:
        raise tap.Skip("sanitizers need more than confined workers have")
    skip_without_filters()
    picture = room.add("a.png", png(10, 10))
    output = room.run(status=1, preexec_fn=refuse_paths)
    assert "--unconfined makes thumbnails without protection" in output.outcome(picture)
    assert not room.failure_path(picture).exists()
    output = room.run("--unconfined", room.pictures, preexec_fn=refuse_paths)
    assert output.outcome(picture) == "done"


def test_unconfined(room):
    secret = room.add("secret", b"")
    room.env["HOSTILE_SECRET"] = str(secret)
    room.add("a.png", b"remove secret")
    room.run("--unconfined", "--module", HOSTILE_WORKER, room.pictures, status=1)
    assert not secret.exists()


def test_confined_worker_recognizes_pictures_after_a_while(room):
    """GIO looks at its tables of types again after some seconds, which a confined worker cannot."""
    if SANITIZED:
        raise tap.Skip("sanitizers need more than confined workers have")
    room.env["HOSTILE_WAIT"] = "yes"
    pictures = [room.add(name, data) for name, data in
                (("a.png", png(30, 20)), ("b.jpg", jpeg([[9]])), ("c", gif_of_two_frames()),
                 ("d.png", b"BM" + bytes(10)))]
    run = subprocess.run([THUMBNAILER, "--module", HOSTILE_WORKER, "-j4", *map(str, pictures)],
                         stdout=subprocess.PIPE, env=room.env, text=True, check=False)
    output = Output(run.stdout, "")
    assert [output.outcome(picture) for picture in pictures[:3]] == ["done"] * 3
    assert output.outcome(pictures[3]).startswith("failed: "), run.stdout


def test_full_store_ends_the_run(room):
    for number in range(50):
        room.add(f"{number:02}.png", png(300, 200))
    disk = room.home / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk],
                                           check=False).returncode != 0:
        raise tap.Skip("nothing can be mounted")
    try:
        output = room.run("-j1", "--output", disk, room.pictures, status=1)
    finally:
        subprocess.run(["umount", disk], check=True)
    assert output.errors == (f"afork-thumbnailer: Folder {disk} cannot be used: The output could "
                             "not be written: No space left on device\n"), output.errors
    done, _, failed = output.counts()
    assert failed == 0 and f"{50 - done} not tried" in output.text, output.text


def test_store_that_is_removed_is_made_again(room):
    trap = room.add("trap", b"")
    room.env["HOSTILE_TRAP"] = str(trap)
    for number in range(20):
        room.add(f"{number:02}.png", png(300, 200))
    room.run()
    shutil.rmtree(room.thumbnails / "normal")
    assert room.run("--output", room.thumbnails, room.pictures).counts() == (20, 0, 0)


def test_store_that_is_removed_under_a_worker(room):
    """The thumbnail is made once more, and the folder."""
    add_door_and_key(room)
    room.add("0.png", b"wait")
    later = room.add("1.png", png(30, 20))
    process = room.start("--module", HOSTILE_WORKER, "-j1", room.pictures, stdout=subprocess.PIPE)
    await_worker_at_door(room)
    shutil.rmtree(room.thumbnails)
    use_key(room)
    text, errors = process.communicate()
    assert Output(text, errors).outcome(later) == "done", (text, errors)
    assert room.thumbnail_path(later).exists()


def test_what_killed_programs_left_is_removed(room):
    room.add("a.png", png(10, 10))
    room.run()
    left = room.thumbnails / "normal" / ".0123456789abcdef0123456789abcdef.png.AbC123"
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    other = room.thumbnails / "normal" / "notes.txt"
    other.write_bytes(b"")
    os.utime(other, (1, 1))
    room.run()
    assert not left.exists() and other.exists()


def test_file_size_limit(room):
    picture = room.add("a.png", png(640, 480))
    output = room.run(status=1, preexec_fn=lambda: limit_file_size(50))
    assert output.outcome(picture).startswith(
        "failed: The output could not be written: File too large")
    assert room.run("--retry", room.pictures).outcome(picture) == "done"


# Descriptors

def add_door_and_key(room):
    """For a worker that is ordered to wait: it reports at the door, and goes on with the key."""
    for name in "door", "key":
        os.mkfifo(room.home / name)
        room.env[f"HOSTILE_{name.upper()}"] = str(room.home / name)


def await_worker_at_door(room):
    with open(room.home / "door", encoding="ascii") as guests:
        guests.readline()


def use_key(room):
    (room.home / "key").write_text("")


def limit_files(soft, hard):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


ALL_SIZES = "normal,large,x-large,xx-large"


def test_few_descriptors(room):
    """Fewer pictures are worked on at a time, and fewer are on a sheet."""
    for number in range(40):
        room.add(f"{number}.png", png(30, 20))
    for limit, options in (64, ["-j8"]), (64, ["-j8", "-s", ALL_SIZES]), \
            (32, ["-s", "normal,large"]):
        output = room.run(*options, "--output", room.home / f"{limit}-{len(options)}",
                          room.pictures, preexec_fn=lambda: limit_files(limit, limit))
        assert output.counts() == (40, 0, 0), (limit, output.text, output.errors)
    sheet = room.home / "sheet.png"
    output = room.run("-j1", "--contact-sheet", sheet, room.pictures,
                      preexec_fn=lambda: limit_files(64, 64))
    shown = re.findall(r"sheet(?:-\d)?.png, (\d+) pictures", output.text)
    assert len(shown) > 1 and sum(map(int, shown)) == 40, output.text


def test_soft_limit_of_descriptors_is_raised(room):
    for number in range(40):
        room.add(f"{number}.png", png(30, 20))
    sheet = room.home / "sheet.png"
    output = room.run("-j8", "-s", ALL_SIZES, "--contact-sheet", sheet, room.pictures,
                      preexec_fn=lambda: limit_files(32, 1024))
    assert output.counts() == (40, 0, 0), output.text
    assert f"{sheet}, 40 pictures on " in output.text, output.text


def test_pictures_wait_for_descriptors(room):
    """If there are fewer than there were at the start, no picture is at fault, and no folder."""
    first = room.add("0.png", b"wait")
    for number in range(1, 60):
        room.add(f"{number}.png", png(30, 20))
    add_door_and_key(room)
    process = room.start("--module", HOSTILE_WORKER, "-j1", "-s", "normal,large", room.pictures,
                         stdout=subprocess.PIPE)
    await_worker_at_door(room)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (30, 30))
    use_key(room)
    text, errors = process.communicate()
    output = Output(text, errors)
    assert output.outcome(first) == "failed: The worker did not write a thumbnail"
    assert output.counts() == (59, 0, 1), (text, errors)
    assert not errors, errors


def test_pictures_without_any_descriptor(room):
    """If no other picture is left whose descriptors would be free, waiting would not help."""
    room.add("0.png", b"wait")
    pictures = [room.add(f"{number}.png", png(30, 20)) for number in range(1, 60)]
    add_door_and_key(room)
    process = room.start("--module", HOSTILE_WORKER, "-j1", room.pictures, stdout=subprocess.PIPE)
    await_worker_at_door(room)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (10, 10))
    use_key(room)
    text, errors = process.communicate()
    output = Output(text, errors)
    failed = [picture for picture in pictures
              if output.outcome(picture) == "failed: Too many open files"]
    assert output.counts() == (59 - len(failed), 0, 1 + len(failed)), (text, errors)
    assert 0 < len(failed) < 59, (text, errors)
    assert f"\nToo many open files ({len(failed)})\n" in text, text
    assert not errors, errors


# Workers that misbehave

def run_hostile(room, orders, *options):
    """Good pictures first, between and last, and files that order a worker to misbehave."""
    good = [room.add(f"{number}.png", png(300, 200)) for number in range(len(orders) + 1)]
    bad = {order: room.add(f"{number}-{order}.png", order.encode())
           for number, order in enumerate(orders)}
    output = room.run("--module", HOSTILE_WORKER, *options, room.pictures, status=1)
    for picture in good:
        assert output.outcome(picture) == "done"
    assert output.counts() == (len(good), 0, len(bad))
    return {order: output.outcome(picture) for order, picture in bad.items()}


def test_misbehaving_worker_costs_one_picture(room):
    causes = {
        "crash": "The worker was ended by signal 11 (Segmentation fault)",
        "raise": f"The worker was ended by signal {int(signal.SIGRTMIN)} (Real-time signal 0)",
        "exit": "The worker exited with status 3",
        "say nothing": "The worker exited with status 0",
        "say too much": "The other side does not keep to the protocol: "
                        "a frame is of no known kind",
    }
    outcomes = run_hostile(room, [*causes, "write nonsense"])
    for order, cause in causes.items():
        assert outcomes[order] == (f"failed: The job has ended two workers. The first: {cause}. "
                                   f"The second: {cause}"), outcomes
    assert outcomes["write nonsense"] == "failed: The worker did not write a thumbnail"


def test_many_crashes_in_a_row(room):
    """Workers start without delay all the same."""
    for number in range(12):
        room.add(f"{number}.png", b"crash")
    output = room.run("--module", HOSTILE_WORKER, "--jobs", 1, room.pictures, status=1, timeout=100)
    assert output.counts() == (0, 0, 12)


def test_hanging_worker_costs_one_picture(room):
    outcomes = run_hostile(room, ["hang"], "--timeout", TIME_LIMIT)
    assert outcomes["hang"] == TOO_LONG


def test_template_that_dies_is_replaced(room):
    outcomes = run_hostile(room, ["kill template"], "--jobs", "1")
    assert outcomes["kill template"].startswith("failed: "), outcomes


def test_template_that_hangs_is_replaced(room):
    bed = room.add("bed", b"")
    room.env["HOSTILE_BED"] = str(bed)
    pictures = [room.add(f"{number}.png", png(300, 200)) for number in range(3)]
    output = room.run("--module", HOSTILE_WORKER, "--jobs", 1, "--timeout", 5, room.pictures)
    assert not bed.exists()
    assert output.counts() == (3, 0, 0)


def test_templates_that_all_hang(room):
    room.env["HOSTILE_BED"] = "always"
    adopt_orphans()
    pictures = [room.add(f"{number}.png", png(300, 200)) for number in range(3)]
    output = room.run("--module", HOSTILE_WORKER, "--timeout", 1, room.pictures, status=1)
    for picture in pictures:
        assert output.outcome(picture) == "failed: No worker was ready within 1 s"
        assert not room.failure_path(picture).exists()
    wait_for_all_children()


def test_template_that_does_not_tell_is_replaced(room):
    outcomes = run_hostile(room, ["stop template"], "--jobs", 1, "--timeout", TIME_LIMIT)
    assert outcomes["stop template"] == TOO_LONG


def test_crash_is_noted(room):
    run_hostile(room, ["crash"])
    output = room.run(status=1)
    assert output.outcome(room.pictures / "0-crash.png") \
        .startswith("failed: As before: The job has ended two workers.")


def test_killed_worker_is_not_its_picture_s_fault(room):
    trap = room.add("trap", b"")
    room.env["HOSTILE_TRAP"] = str(trap)
    picture = room.add("a.png", png(300, 200))
    output = room.run("--module", HOSTILE_WORKER, room.pictures)
    assert not trap.exists()
    assert output.outcome(picture) == "done"
    assert output.workers()[1] == 1


def test_workers_are_used_again(room):
    for number in range(4):
        room.add(f"{number}.png", png(10, 10))
    assert room.run("--jobs", 1, room.pictures).workers() == (1, 0)


def test_each_picture_has_a_fresh_worker(room):
    for number in range(4):
        room.add(f"{number}.png", png(10, 10))
    n_workers, n_failed = room.run("--fresh", room.pictures).workers()
    # One more may have been started, and not used.
    assert n_workers >= 4 and n_failed == 0


def test_worker_that_has_grown_is_replaced(room):
    room.add("0.png", b"grow")
    for number in range(1, 40):
        room.add(f"{number}.png", png(1000, 1000))
    output = room.run("--module", HOSTILE_WORKER, "--jobs", 1, "--max-memory", 150, room.pictures,
                      status=1)
    assert output.counts() == (39, 0, 1)
    n_workers, n_failed = output.workers()
    assert n_workers >= 2 and n_failed == 0


def test_missing_module(room):
    picture = room.add("a.png", png(10, 10))
    output = room.run("--module", "no-such-module", room.pictures, status=1)
    assert "no-such-module" in output.outcome(picture)
    assert not room.failure_path(picture).exists()


# What is told of the options

def test_options_are_documented(room):
    options = set(re.findall(r"--[a-z-]+", room.run("--help").text))
    folder = Path(__file__).parents[2] / "docs" / "examples" / "thumbnailer"
    manual = (folder / "afork-thumbnailer.1").read_text(encoding="utf-8").replace("\\-", "-")
    completion = (folder / "afork-thumbnailer.bash").read_text(encoding="utf-8")
    assert len(options) > 10
    assert set(re.findall(r"--[a-z][a-z-]+", manual)) == options
    listed = re.search("options='(.*?)'", completion, re.S).group(1).split()
    assert set(listed) == options


def complete(*words):
    script = Path(__file__).parents[2] / "docs/examples/thumbnailer/afork-thumbnailer.bash"
    run = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _afork_thumbnailer; ' \
        'printf "%s\n" "${COMPREPLY[@]}"'
    return subprocess.run(["bash", "-c", run, "bash", script, "afork-thumbnailer", *words],
                          stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def test_completion(room):
    assert complete("--re") == ["--retry"]
    assert complete("-s", "x") == complete("--size", "=", "x") == ["x-large", "xx-large"]
    assert complete("--jobs", "") == []
    room.add("folder/a.png", b"")
    assert complete("--output", f"{room.pictures}/f") == [f"{room.pictures}/folder"]


# Being stopped

def adopt_orphans():
    """Whatever the thumbnailer leaves behind becomes a child of this process."""
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def wait_for_all_children():
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass


def stop_in_the_middle(room, number, kill=os.kill, order=b"hang", have_names=False):
    """The files have names meanwhile, or may have none if the file system can do so."""
    good = room.add("0.png", png(300, 200))
    stuck = [room.add("1-stuck.png", b"hang"), room.add("2-stuck.png", order)]
    # A signal to all processes may reach these two first. The thumbnailer then goes on until it
    # hears of it, too, and must not be done by then.
    waiting = room.add("3-waiting.png", b"hang")
    door = room.home / "door"
    os.mkfifo(door)
    room.env["HOSTILE_DOOR"] = str(door)

    adopt_orphans()
    process = room.start("--module", HOSTILE_WORKER, "--jobs", 2, room.pictures,
                         stdout=subprocess.PIPE, start_new_session=True,
                         preexec_fn=refuse_unnamed_files if have_names else None)
    with open(door, encoding="ascii") as guests:
        workers = [int(guests.readline()) for _ in stuck]
    assert not have_names or len(list(room.thumbnails.rglob(".*.png.*"))) >= len(stuck)
    kill(process.pid, number)
    output, errors = process.communicate()
    wait_for_all_children()

    assert process.returncode == 128 + number, (process.returncode, output, errors)
    # A sanitizer may have something to say behind it.
    assert errors.startswith("Stopped.\n"), errors
    for pid in workers:
        assert not os.path.exists(f"/proc/{pid}"), pid
    room.check_nothing_is_left()
    assert room.thumbnail(good).width == 128
    for picture in *stuck, waiting:
        assert not room.thumbnail_path(picture).exists()
        assert not room.failure_path(picture).exists()


def test_interrupt(room):
    stop_in_the_middle(room, signal.SIGINT)


def test_interrupt_from_terminal(room):
    """It goes to all processes in the foreground."""
    stop_in_the_middle(room, signal.SIGINT, os.killpg)


def test_interrupt_with_template_that_hangs(room):
    stop_in_the_middle(room, signal.SIGINT, order=b"stop template and hang")


def test_terminate(room):
    stop_in_the_middle(room, signal.SIGTERM)


def test_hang_up(room):
    stop_in_the_middle(room, signal.SIGHUP)


def test_files_with_names(room):
    """On a file system that has none without a name, they are removed all the same."""
    skip_without_filters()
    picture = room.add("a.png", png(300, 200))
    broken = room.add("b.png", b"no picture")
    sheet = room.home / "sheet.png"
    for _ in range(2):
        output = room.run("--retry", "--contact-sheet", sheet, room.pictures, status=1,
                          preexec_fn=refuse_unnamed_files)
        assert output.outcome(picture) in ("done", "reused"), output.text
        assert sheet.exists() and room.failure_path(broken).exists()


def test_interrupt_with_files_that_have_names(room):
    skip_without_filters()
    stop_in_the_middle(room, signal.SIGINT, have_names=True)


def test_hang_up_with_files_that_have_names(room):
    skip_without_filters()
    stop_in_the_middle(room, signal.SIGHUP, have_names=True)


def test_ignored_signals_stay_ignored(room):
    """As with nohup, and in the background of a shell without job control."""
    add_door_and_key(room)
    room.add("0.png", b"wait")
    picture = room.add("1.png", png(10, 10))
    for number in signal.SIGHUP, signal.SIGINT, signal.SIGTERM:
        process = room.start("--module", HOSTILE_WORKER, "--jobs", 1, "--retry", room.pictures,
                             stdout=subprocess.PIPE,
                             preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
        await_worker_at_door(room)
        os.kill(process.pid, number)
        use_key(room)
        output, errors = process.communicate()
        assert process.returncode == 1, (number, process.returncode, output, errors)
        assert "Stopped" not in errors, errors
        assert room.thumbnail_path(picture).exists()


def test_killed_program_leaves_no_file(room):
    picture = room.add("a.png", b"hang")
    door = room.home / "door"
    os.mkfifo(door)
    room.env["HOSTILE_DOOR"] = str(door)
    adopt_orphans()
    process = room.start("--module", HOSTILE_WORKER, "--jobs", 1, room.pictures,
                         stdout=subprocess.PIPE)
    with open(door, encoding="ascii") as guests:
        guests.readline()
    process.kill()
    process.communicate()
    wait_for_all_children()
    room.check_nothing_is_left()


def test_output_that_nobody_reads(room):
    for number in range(50):
        room.add(f"{number:02}.png", png(1000, 1000))
    process = room.start("--jobs", 1, room.pictures, stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    process.communicate()
    assert process.returncode == 128 + signal.SIGPIPE, process.returncode
    room.check_nothing_is_left()
    assert len(list((room.thumbnails / "normal").iterdir())) < 50


def test_output_that_cannot_be_written(room):
    """It is named, and the thumbnails are made."""
    for number in range(3):
        room.add(f"{number}.png", png(10, 10))
    pictures = list(room.pictures.iterdir())

    def check(cause, **options):
        process = room.start("--retry", *pictures, **options)
        errors = process.communicate()[1]
        assert process.returncode == 1, (process.returncode, errors)
        assert errors.endswith(f": The output could not be written: {cause}\n"), errors
        assert all(room.thumbnail(picture).width == 10 for picture in pictures)
        shutil.rmtree(room.thumbnails)

    with open("/dev/full", "w", encoding="ascii") as full:
        check("No space left on device", stdout=full)
    check("Bad file descriptor", preexec_fn=lambda: os.close(1))
    run = subprocess.run(room.command([room.pictures]), env=room.env, check=False,
                         preexec_fn=lambda: os.closerange(0, 3))
    assert run.returncode == 1, run.returncode
    assert all(room.thumbnail(picture).width == 10 for picture in pictures)


def test_help_that_cannot_be_written(room):
    for option in "--help", "-h", "--version":
        assert "afork-thumbnailer" in room.run(option).text, option
        with open("/dev/full", "w", encoding="ascii") as full:
            for cause, options in ("No space left on device", {"stdout": full}), \
                    ("Bad file descriptor", {"preexec_fn": lambda: os.close(1)}):
                process = room.start(option, **options)
                errors = process.communicate()[1]
                assert process.returncode == 1, (option, cause, process.returncode)
                assert errors.endswith(f": The output could not be written: {cause}\n"), errors


def test_no_process_is_left(room):
    room.add("a.png", png(10, 10))
    adopt_orphans()
    room.run()
    wait_for_all_children()


# Workers on other hosts

def with_hosts(function):
    """A test with a server of ssh, which is started for it."""
    def test(room):
        if SANITIZED:
            raise tap.Skip("the workers of the server would need the library of the sanitizer")
        far_home = room.home / "far"
        far_home.mkdir(mode=0o700)
        server_folder = os.path.dirname(os.environ["AFORK_SERVER"])
        try:
            sshd = Sshd(room.home / "ssh", {"PATH": f"{server_folder}:/usr/bin:/bin",
                                            "XDG_CACHE_HOME": far_home})
        except Unavailable as error:
            raise tap.Skip(str(error)) from error
        room.env["PATH"] = sshd.path()
        # The files of the server are no pictures.
        try:
            function(room, sshd, far_home)
        finally:
            sshd.close()
    return test


def read_thumbnails(room):
    """The content of each file that the thumbnailer has made, and removes them."""
    files = {path: path.read_bytes() for path in sorted(room.thumbnails.rglob("*.png"))}
    shutil.rmtree(room.thumbnails)
    return files


@with_hosts
def test_hosts_make_the_same_thumbnails(room, sshd, far_home):
    for i in range(12):
        room.add(f"{i}.png", png(640 + i, 480))
    room.add("photo.jpg", jpeg([[10, 200], [90, 40]]))
    room.add("empty.png", b"")
    room.add("cut.png", png(300, 200)[:500])
    room.add("text.jpg", b"This is no picture.")
    sheet = room.home / "sheet.png"
    arguments = ["--size=normal,x-large", "--contact-sheet", sheet, room.pictures]
    # A recent picture may still be written.
    for path in room.pictures.iterdir():
        os.utime(path, (1, 1))
    here = room.run(*arguments, status=1)
    expected, expected_sheet = read_thumbnails(room), sheet.read_bytes()
    output = room.run("--host=one", "--host", "two", "--jobs=2", *arguments, status=1)
    assert output.counts() == here.counts()
    for picture in room.pictures.iterdir():
        assert output.outcome(picture) == here.outcome(picture), picture
    made = read_thumbnails(room)
    assert made.keys() == expected.keys() and len(made) > 20
    assert all(made[path] == expected[path] for path in made), made.keys()
    assert sheet.read_bytes() == expected_sheet
    # The module was copied, once.
    assert len(list((far_home / "afork-1" / "modules").iterdir())) == 1


@with_hosts
def test_host_that_is_lost(room, sshd, far_home):
    pictures = [room.add(f"{i:03}.png", png(800, 600)) for i in range(60)]
    run = room.start("--host=one", "--host=two", "--jobs=2", room.pictures,
                     stdout=subprocess.PIPE)
    first = run.stdout.readline()
    agents = sshd.find_agents()
    assert agents, first
    os.kill(agents[0], signal.SIGKILL)
    text, errors = run.communicate()
    output = Output(first + text, errors)
    assert run.returncode == 0, (first + text, errors)
    assert output.counts() == (60, 0, 0)
    assert all(room.thumbnail_path(picture).exists() for picture in pictures)


@with_hosts
def test_host_that_is_not_there(room, sshd, far_home):
    picture = room.add("picture.png", png(64, 48))
    # sshd gives no such account, and the other host does all of it.
    output = room.run("--host=nobody-there@one", "--host=two", "--jobs=1", room.pictures)
    assert output.outcome(picture) == "done"
    change(picture)
    output = room.run("-Hnobody-there@one", room.pictures, status=1)
    assert "Permission denied" in output.outcome(picture), output.text
    output = room.run("--host=-oProxyCommand=touch x", room.pictures, status=1)
    assert "destination" in output.outcome(picture), output.text
    # Nothing of this is the fault of the picture.
    assert room.run("--host=two", room.pictures).outcome(picture) == "done"


@with_hosts
def test_host_with_hostile_workers(room, sshd, far_home):
    """They return other files than were wanted, or none, and cost their pictures only."""
    pictures = [room.add(f"{i}.png", png(64, 48)) for i in range(4)]
    bad = {order: room.add(f"{order}.png", order.encode())
           for order in ("crash", "write nonsense", "return nothing")}
    output = room.run("--host=one", "--module", HOSTILE_WORKER, room.pictures, status=1)
    for picture in pictures:
        assert output.outcome(picture) == "done", output.text
    assert "signal 11" in output.outcome(bad["crash"]), output.text
    assert output.outcome(bad["write nonsense"]) == (
        "failed: The worker did not write a thumbnail"), output.text
    assert output.outcome(bad["return nothing"]) == (
        "failed: The worker did not return what it was to make"), output.text


# What the user sees

def test_plain_lines(room):
    room.add("a.png", png(10, 10))
    output = room.run()
    assert "\x1b" not in output.text and "\r" not in output.text
    assert re.fullmatch(rf"done {room.pictures}/a\.png\n"
                        r"1 done, 0 reused, 0 failed in \d+\.\d\d s(, \d+\.\d pictures/s)?\n"
                        r"1 worker, of which 0 exited unexpectedly\n"
                        r"Half of the jobs took up to \d+\.\d ms, nine of ten up to \d+\.\d ms, "
                        r"all up to \d+\.\d ms\n",
                        output.text), output.text


def test_quiet(room):
    room.add("a.png", png(10, 10))
    bad = room.add("b.png", b"")
    output = room.run("--quiet", room.pictures, status=1)
    assert output.text == f"failed {bad}: The file is empty\n"
    assert room.run("-q", "-rj2", room.pictures, status=1).text == output.text


def test_quiet_about_what_is_removed(room):
    picture = room.add("a.png", png(10, 10))
    sheet = room.home / "sheet.png"
    room.run("--contact-sheet", sheet, room.pictures)
    picture.unlink()
    assert room.run("-q", "-C", "-c", sheet, room.pictures).text == ""
    assert not sheet.exists() and not room.thumbnail_path(picture).exists()


def test_value_that_looks_like_an_option(room):
    """What comes behind an option that takes a value is that value."""
    for name in "-rf.png", "-j2.png", "a.png", "--":
        room.add(name, png(10, 10))
    for option in "-f", "--first", "-rf":
        for name in "-rf.png", "-j2.png", "--":
            output = room.run("-j1", option, name, "a.png", cwd=room.pictures)
            assert {output.outcome(name), output.outcome("a.png")} <= {"done", "reused"}, option
            assert sum(output.counts()) == 2, output.text
    output = room.run("-j1", "--first=a.png", "--", "-rf.png", "-j2.png", cwd=room.pictures)
    assert output.counts() == (0, 3, 0), output.text


def test_value_in_a_short_option(room):
    for name in "a.png", "b.png":
        room.add(name, png(10, 10))
    assert room.run("-j1", "-slarge", room.pictures).counts() == (2, 0, 0)
    assert (room.thumbnails / "large").exists()


def test_rate_is_of_pictures_made(room):
    room.add("a.png", b"")
    assert "pictures/s" not in room.run(status=1).text
    for number in range(20):
        room.add(f"{number}.png", png(1500, 1500))
    output = room.run(status=1)
    assert output.counts() == (20, 0, 1)
    found = re.search(r" in (.*) s, (.*) pictures/s$", output.text, re.M)
    seconds, rate = map(float, found.groups())
    # Both are rounded, the rate to a tenth.
    assert abs(20 / rate - seconds) < 0.01 + 20 * 0.05 / rate ** 2, output.text
    assert "pictures/s" not in room.run(status=1).text


def test_no_pictures(room):
    room.add("notes.txt", b"nothing of the kind")
    assert room.run().text == "No pictures were found\n"


def read_terminal(master):
    shown = b""
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:         # the other end is closed
        pass
    return shown.decode()


def run_on_terminal(room, *arguments, columns=300, status=0):
    """What is shown, with the line ends of a file."""
    master, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = room.start(*arguments, stdout=terminal)
    os.close(terminal)
    shown = read_terminal(master)
    os.close(master)
    process.communicate()
    assert process.returncode == status, shown
    return shown.replace("\r\n", "\n")


def test_bar_on_a_terminal(room):
    columns = 60
    for number in range(10):
        room.add(f"{number}-{'x' * 100}.png", png(4000, 4000))
    shown = run_on_terminal(room, "--timeout", 60, room.pictures, columns=columns)

    assert "done " + str(room.pictures) not in shown
    frames = shown.split("\r\x1b[K")
    assert "10 done, 0 reused, 0 failed" in frames[-1], shown
    for frame in frames[:-1]:
        assert len(frame) < columns and "\n" not in frame, frame
    assert any("/10" in frame for frame in frames), shown


def test_contact_sheet(room):
    for number in range(7):
        room.add(f"{number}.png", png(300 + 50 * number, 300))
    room.add("broken.png", b"")
    path = room.home / "sheet.png"
    output = room.run("--contact-sheet", path, room.pictures, status=1)
    sheet = Png(path.read_bytes())
    assert f"{path}, 7 pictures on {sheet.width} × {sheet.height} pixels" in output.text
    assert 128 < sheet.width < 1000 and 128 < sheet.height < 1000
    assert sheet.pixel(2, 2) != (200, 80, 40)
    assert sum(sheet.pixel(x, y) == (200, 80, 40)
               for x in range(sheet.width) for y in range(sheet.height)) \
        > sheet.width * sheet.height / 2


def count_text(sheet, columns):
    """How many pixels are gray, as names are, in some columns of a sheet."""
    return sum(min(sheet.pixel(x, y)) > 90 for x in columns for y in range(sheet.height))


def test_names_on_a_contact_sheet(room):
    skip_without_fonts()
    path = room.home / "sheet.png"
    n_pixels = {}
    for name in ["i.png", "WWWWWW.png", "W" * 200 + ".png", "two\nlines.png", "\udcff.png"]:
        picture = room.add(name, png(300, 300))
        room.run("--contact-sheet", path, room.pictures)
        sheet = Png(path.read_bytes())
        n_pixels[name] = count_text(sheet, range(sheet.width))
        margins = [*range(24), *range(sheet.width - 24, sheet.width)]
        assert count_text(sheet, margins) == 0, name
        picture.unlink()
    assert min(n_pixels.values()) > 0, n_pixels
    assert n_pixels["WWWWWW.png"] > 1.5 * n_pixels["i.png"], n_pixels


def test_contact_sheet_of_one(room):
    room.add("a.png", png(100, 100))
    path = room.home / "sheet.png"
    assert f"{path}, 1 picture on " in room.run("--contact-sheet", path, room.pictures).text


def test_several_contact_sheets(room):
    one = png(40, 30)
    for number in range(450):
        room.add(f"{number}.png", one)
    path = room.home / "sheet.png"
    further = room.home / "sheet-2.png"
    further.write_bytes(one)
    output = room.run("--contact-sheet", path, room.pictures, status=1)
    assert f"{further} could not be written" in output.errors
    assert not output.text and further.read_bytes() == one and not path.exists()
    further.unlink()
    output = room.run("--contact-sheet", path, room.pictures)
    assert f"{path}, 225 pictures on " in output.text
    assert f"{further}, 225 pictures on " in output.text
    assert Png(further.read_bytes()).width > 100


def test_contact_sheet_of_nothing(room):
    path = room.home / "sheet.png"
    output = room.run("--contact-sheet", path, room.pictures)
    assert output.text == "No pictures were found\n"
    assert not path.exists()


def test_contact_sheet_of_earlier_pictures_is_removed(room):
    picture = room.add("a.png", png(10, 10))
    path = room.home / "sheet.png"
    room.run("--contact-sheet", path, room.pictures)
    assert path.exists()
    picture.write_bytes(b"")
    output = room.run("--contact-sheet", path, room.pictures, status=1)
    assert "The contact sheet was removed" in output.text
    assert not path.exists()


def test_contact_sheet_spares_other_files(room):
    """It neither removes nor replaces what this program has not drawn as a sheet."""
    thumbnail = room.thumbnail_path(room.add("a.png", png(10, 10)))
    room.run()
    empty = room.home / "empty"
    empty.mkdir()
    photo = room.home / "photo.png"
    photo.write_bytes(png(20, 20))
    link = room.home / "link.png"
    link.symlink_to("photo.png")
    pipe = room.home / "pipe.png"
    os.mkfifo(pipe)
    dangling = room.home / "dangling.png"
    dangling.symlink_to("nothing.png")
    for path, cause in [
        (photo, "It exists, and is no contact sheet of this program"),
        (link, "It exists, and is no contact sheet of this program"),
        (thumbnail, "It exists, and is no contact sheet of this program"),
        (pipe, "It is a named pipe, not a file"),
        (dangling, "No such file or directory"),
    ]:
        before = path.lstat(), path.exists()
        for folder in empty, room.pictures:
            output = room.run("--contact-sheet", path, folder, status=1)
            assert f": {path} could not be written: {cause}\n" in output.errors
            assert not output.text
            assert path.lstat().st_ino == before[0].st_ino and path.exists() == before[1], path
    assert photo.read_bytes() == png(20, 20)


def test_contact_sheet_spares_what_comes_during_the_run(room):
    photo = room.home / "sheet.png"
    room.env["HOSTILE_PHOTO"] = str(photo)
    room.add("a.png", b"add photo")
    room.add("b.png", png(10, 10))
    output = room.run("--module", HOSTILE_WORKER, "-j1", "--contact-sheet", photo, room.pictures,
                      status=1)
    assert "It exists, and is no contact sheet of this program" in output.errors
    assert photo.read_bytes() == b"photo"


def test_link_to_a_contact_sheet(room):
    picture = room.add("a.png", png(10, 10))
    sheet, link = room.home / "sheet.png", room.home / "link.png"
    room.run("--contact-sheet", sheet, room.pictures)
    assert Png(sheet.read_bytes()).texts["Software"].startswith("afork-thumbnailer-")
    small = Png(sheet.read_bytes()).width
    link.symlink_to("sheet.png")
    room.add("b.png", png(100, 10))
    room.run("--contact-sheet", link, room.pictures)
    assert link.is_symlink() and Png(sheet.read_bytes()).width > small
    for path in room.pictures.iterdir():
        path.unlink()
    assert "The contact sheet was removed" in room.run("--contact-sheet", link,
                                                       room.pictures).text
    assert link.is_symlink() and not sheet.exists()


def test_contact_sheet_with_a_long_name(room):
    """Its temporary name is not longer than a name may be."""
    room.add("a.png", png(10, 10))
    for name in "n" * 246 + ".png", "ä" * 125 + ".png", "nä" * 83 + ".png":
        for _ in range(2):
            room.run("--contact-sheet", room.home / name, room.pictures)
            assert Png((room.home / name).read_bytes()).width > 10
    too_long = room.home / ("n" * 252 + ".png")
    output = room.run("--retry", "--contact-sheet", too_long, room.pictures, status=1)
    assert "File name too long" in output.errors and not output.text, output


def test_what_killed_programs_left_of_a_contact_sheet_is_removed(room):
    room.add("a.png", png(10, 10))
    sheet = room.home / "sheet.png"
    left, others = room.home / ".sheet.png.AbC123", room.home / ".other.png.AbC123"
    for path in left, others:
        path.write_bytes(b"half")
    with open(left, "rb") as file:
        flock(file, LOCK_EX)
        run = subprocess.run(room.command(["--contact-sheet", sheet, room.pictures]), env=room.env,
                             stdout=subprocess.PIPE, check=True)
        assert left.exists(), run.stdout
    run = subprocess.run(room.command(["--contact-sheet", sheet, room.pictures]), env=room.env,
                         stdout=subprocess.PIPE, check=True)
    assert not left.exists() and others.exists() and sheet.exists(), run.stdout


def test_contact_sheet_nowhere(room):
    """It is found out before any work."""
    picture = room.add("a.png", png(10, 10))
    folder = room.home / "folder"
    folder.mkdir()
    for path, cause in [
        (room.home / "no" / "sheet.png", "No such file or directory"),
        (folder, "It is a folder, not a file"),
    ]:
        output = room.run("--contact-sheet", path, room.pictures, status=1)
        assert f"{path} could not be written: {cause}" in output.errors
        assert not output.text
    assert not room.thumbnail_path(picture).exists()


def test_store_that_cannot_be(room):
    room.add("a.png", png(10, 10))
    output = room.run("--output", "/dev/null/thumbnails", room.pictures, status=1)
    assert "/dev/null/thumbnails" in output.errors


def test_wrong_usage(room):
    for arguments in [
        ["--jobs", 1],
        ["--jobs", 0, room.pictures],
        ["--jobs", 100_000, room.pictures],
        ["--jobs", "many", room.pictures],
        ["--size", "huge", room.pictures],
        ["--size", "", room.pictures],
        ["--size", "large,", room.pictures],
        ["--contact-sheet", "", room.pictures],
        ["--output", "", room.pictures],
        ["--first", "", room.pictures],
        [room.pictures, ""],
        ["--timeout", 0, room.pictures],
        ["--max-memory", -1, room.pictures],
        ["--max-memory", 10_000_000, room.pictures],
        ["--no-such-option", room.pictures],
    ]:
        output = room.run(*arguments, status=2)
        assert "--help" in output.errors and not output.text, arguments


tap.main(globals(), lambda: [Room()])
