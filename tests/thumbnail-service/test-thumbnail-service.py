#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The thumbnail service, on a session bus of its own that starts it.

test-thumbnail-service.py SERVICE THUMBNAILER-TESTS
"""

import os
import resource
import signal
import subprocess
import sys
import tempfile

SERVICE = os.path.realpath(sys.argv[1])
sys.path[:0] = [sys.argv[2]]

import tap
from bus import Bus
from pictures import gif_of_two_frames, jpeg, png

class Watch:
    """Whether the service has the name."""

    def __init__(self, client):
        self.owner = None
        Gio.bus_watch_name_on_connection(client.bus, client_module.PREFIX + "Thumbnailer1",
                                         Gio.BusNameWatcherFlags.NONE, self._appeared,
                                         self._vanished)

    def _appeared(self, bus, name, owner):
        self.owner = owner

    def _vanished(self, bus, name):
        self.owner = ""

    def wait(self, there):
        while self.owner is None or bool(self.owner) != there:
            GLib.MainContext.default().iteration(True)


def queue_types(client, uris, type="image/png", **options):
    return client.queue(uris, [type] * len(uris), **options)


def pid_of_service(client):
    pid, = client.bus.call_sync("org.freedesktop.DBus", "/org/freedesktop/DBus",
                                "org.freedesktop.DBus", "GetConnectionUnixProcessID",
                                GLib.Variant("(s)", (client_module.PREFIX + "Thumbnailer1",)),
                                None, Gio.DBusCallFlags.NONE, -1).unpack()
    return pid


def test_good_pictures():
    with Bus(SERVICE) as bus:
        client = Client()
        uris = [bus.add("a.png", png(300, 200)), bus.add("b.jpg", jpeg([[100, 150]] * 20)),
                bus.add("c.gif", gif_of_two_frames())]
        for flavor in ("normal", "large", "x-large", "xx-large"):
            request = client.queue(uris, ["image/png", "image/jpeg", "image/gif"], flavor)
            client.wait(request)
            request.check_order()
            assert request.ready() == set(uris) and not request.errors(), request.signals
            assert all(bus.thumbnail(uri, flavor).exists() for uri in uris)


def test_what_cannot_be_made():
    """The codes are those of tumbler."""
    with Bus(SERVICE) as bus:
        client = Client()
        good = bus.add("good.png", png(300, 200))
        expected = {
            bus.add("broken.png", b"no picture"): ("image/png", 8),
            (bus.folder / "missing.png").as_uri(): ("image/png", 8),
            bus.add("text.txt", b"text"): ("text/plain", 0),
            "http://example.invalid/a.png": ("image/png", 8),
            "nonsense": ("image/png", 8),
            bus.folder.as_uri(): ("inode/directory", 0),
        }
        request = client.queue([good, *expected],
                               ["image/png", *(type for type, _ in expected.values())])
        client.wait(request)
        request.check_order()
        assert request.ready() == {good}
        assert request.errors() == {uri: code for uri, (_, code) in expected.items()}, \
            request.errors()

        request = queue_types(client, [bus.thumbnail(good).as_uri()])
        client.wait(request)
        assert set(request.errors().values()) == {3}

        request = queue_types(client, [good], flavor="strange")
        client.wait(request)
        request.check_order()
        assert request.errors() == {good: 5}


def test_empty_and_uneven_requests():
    with Bus(SERVICE) as bus:
        client = Client()
        for uris, types in (([], []), ([bus.add("a.png", png(30, 20))], [])):
            request = client.queue(uris, types)
            client.wait(request)
            assert request.names() == ["Started", "Finished"]


def test_supported():
    with Bus(SERVICE) as bus:
        client = Client()
        # This call starts the service.
        schemes, types = client.call("Thumbnailer1", "GetSupported", None)
        assert len(schemes) == len(types) and set(schemes) == {"file"}
        assert {"image/png", "image/jpeg", "image/gif"} <= set(types), types
        assert client.call("Thumbnailer1", "GetFlavors", None) == (
            ["normal", "large", "x-large", "xx-large"],)
        assert "default" in client.call("Thumbnailer1", "GetSchedulers", None)[0]
        try:
            client.call("Manager1", "Register", GLib.Variant("(ss)", ("file", "image/png")))
            raise AssertionError("a specialized thumbnailer is accepted")
        except GLib.Error as error:
            assert error.matches(Gio.dbus_error_quark(), Gio.DBusError.NOT_SUPPORTED), error


def test_dequeue():
    """What is left of a request that is dequeued is not made, and another client cannot do it."""
    with Bus(SERVICE) as bus:
        client, other = Client(), Client()
        uris = [bus.add(f"{i}.png", png(400, 300)) for i in range(300)]
        request = queue_types(client, uris, scheduler="background")
        other.dequeue(request)
        client.wait(request, until=lambda request: request.ready())
        client.dequeue(request)
        client.wait(request)
        request.check_order()
        assert len(request.ready()) < len(uris)

        first = queue_types(client, uris, flavor="large")
        second = queue_types(client, uris[:3], flavor="large", unqueue=first.handle)
        client.wait(first, second)
        assert len(first.ready()) < len(uris) and second.ready() == set(uris[:3])


def test_client_that_vanishes():
    """Its requests go, and those of others do not."""
    with Bus(SERVICE) as bus:
        client, lost = Client(), Client()
        uris = [bus.add(f"{i}.png", png(400, 300)) for i in range(300)]
        request = queue_types(lost, uris)
        lost.wait(request, until=lambda request: request.ready())
        lost.vanish()
        mine = queue_types(client, uris[-5:], flavor="large")
        client.wait(mine)
        assert mine.ready() == set(uris[-5:])
        assert len(list((bus.cache / "normal").iterdir())) < len(uris)


def test_cache():
    with Bus(SERVICE) as bus:
        client = Client()
        old, other = bus.add("old.png", png(300, 200)), bus.add("other.png", png(300, 200))
        client.wait(queue_types(client, [old, other]), queue_types(client, [old], flavor="large"))

        new = bus.add("new.png", png(300, 200))
        client.call("Cache1", "Move", GLib.Variant("(asas)", ([old], [new])))
        assert not bus.thumbnail(old).exists() and not bus.thumbnail(old, "large").exists()
        while not (bus.thumbnail(new).exists() and bus.thumbnail(new, "large").exists()):
            client.wait(queue_types(client, [other]))
        assert not bus.thumbnail(new, "x-large").exists()

        client.call("Cache1", "Delete", GLib.Variant("(as)", ([new],)))
        assert not bus.thumbnail(new).exists() and bus.thumbnail(other).exists()

        since = int(os.stat(bus.folder / "other.png").st_mtime) + 10
        client.call("Cache1", "Cleanup", GLib.Variant("(asu)", (["file:///elsewhere"], since)))
        assert bus.thumbnail(other).exists()
        client.call("Cache1", "Cleanup", GLib.Variant("(asu)", ([bus.folder.as_uri()], 0)))
        assert bus.thumbnail(other).exists()
        client.call("Cache1", "Cleanup", GLib.Variant("(asu)", ([bus.folder.as_uri()], since)))
        assert not bus.thumbnail(other).exists()


def test_idle_service_exits():
    """And the bus starts another one when it is needed."""
    with Bus(SERVICE, "--idle", "0") as bus:
        client = Client()
        uri = bus.add("a.png", png(300, 200))
        watch = Watch(client)
        client.wait(queue_types(client, [uri]))
        watch.wait(there=False)
        request = queue_types(client, [uri], flavor="large")
        client.wait(request)
        assert request.ready() == {uri}


def test_service_that_is_killed():
    """The next request starts another one."""
    with Bus(SERVICE) as bus:
        client = Client()
        uri = bus.add("a.png", png(300, 200))
        client.wait(queue_types(client, [uri]))
        watch = Watch(client)
        watch.wait(there=True)
        os.kill(pid_of_service(client), signal.SIGKILL)
        watch.wait(there=False)
        request = queue_types(client, [uri], flavor="large")
        client.wait(request)
        assert request.ready() == {uri}


def test_few_descriptors():
    """Fewer pictures are open at a time, also if the limit is lowered while the service runs."""
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(folder, "service")
        with open(script, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nulimit -n 32\nexec "{SERVICE}"\n')
        os.chmod(script, 0o755)
        for command, limit in (script, None), (SERVICE, 32):
            with Bus(command) as bus:
                client = Client()
                uris = [bus.add(f"{i}.png", png(300, 200)) for i in range(60)]
                client.wait(queue_types(client, uris[:1]))
                if limit is not None:
                    resource.prlimit(pid_of_service(client), resource.RLIMIT_NOFILE, (limit, limit))
                request = queue_types(client, uris, flavor="large")
                client.wait(request)
                request.check_order()
                assert request.ready() == set(uris), (command, request.messages())


def test_help_that_cannot_be_written():
    for target, status in (os.devnull, 0), ("/dev/full", 1):
        with open(target, "w", encoding="ascii") as output:
            run = subprocess.run([SERVICE, "--help"], stdout=output, stderr=subprocess.PIPE,
                                 text=True, check=False)
        assert run.returncode == status, (target, run)
        assert bool(run.stderr) == bool(status), (target, run)


try:
    import client as client_module
    from client import Client, Gio, GLib
except ImportError as error:
    print(f"1..0 # SKIP {error}")
else:
    tap.main(globals())
