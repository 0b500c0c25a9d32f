#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The same requests to the thumbnail service and to tumbler, each on a bus of its own.

compare-with-tumbler.py SERVICE THUMBNAILER-TESTS TUMBLERD

For each request, both send Started, then Ready and Error in any grouping, and Finished last. The
sets of pictures, flavors and error codes are equal. A file that is cut short is left out: tumbler
makes a thumbnail of what is there, and the service says what is wrong.
"""

import os
import sys
import time

SERVICE, TUMBLERD = (os.path.realpath(sys.argv[i]) for i in (1, 3))
sys.path[:0] = [sys.argv[2]]

import tap
from bus import Bus
from pictures import gif_of_two_frames, jpeg, png

tap.TIMEOUT = 900
N_REQUESTS = 5000
FLAVORS = ("normal", "large", "x-large", "xx-large", "strange")


def run_both(scenario):
    """What comes of @scenario with each of them, by the names of the files."""
    results = []
    for command in (SERVICE, TUMBLERD):
        with Bus(command, is_others=command != SERVICE) as bus:
            begun = time.monotonic()
            results.append(scenario(bus, Client(), command == SERVICE))
            print(f"# {os.path.basename(command)}: {time.monotonic() - begun:.1f} s", flush=True)
    return results


def both(scenario):
    """Both have the same results."""
    ours, theirs = run_both(scenario)
    assert ours == theirs, (ours, theirs)


def name(uri):
    return uri.rsplit("/", 1)[-1]


def outcome(bus, request, flavor):
    request.check_order()
    made = {name(uri) for uri in request.ready() if bus.thumbnail(uri, flavor).exists()}
    assert made == set(map(name, request.ready()))
    return made, {name(uri): code for uri, code in request.errors().items()}


def outcome_of_all(bus, requests, is_ours):
    """The same for many requests for one picture each: which thumbnails there are.

    When many pictures are ready at a time, tumbler puts those of several requests into one signal,
    which may come after the end of its request, and leaves some pictures and signals out. So only
    its thumbnails can be looked at."""
    expected = set()
    for request in requests:
        if is_ours:
            uri, = request.uris
            request.check_order()
            assert len(request.ready()) + len(request.errors()) == 1
            assert bus.thumbnail(uri).exists() == (uri in request.ready())
        expected |= set(map(name, request.uris))
    return {file for file in expected if bus.thumbnail((bus.folder / file).as_uri()).exists()}


def add_all(bus):
    """Pictures and what is none, with their types."""
    files = [("a.png", png(300, 200), "image/png"), ("b.jpg", jpeg([[100, 150]] * 20),
             "image/jpeg"), ("c.gif", gif_of_two_frames(), "image/gif"),
             ("broken.png", b"no picture", "image/png"), ("empty.png", b"", "image/png"),
             ("text.txt", b"text", "text/plain"), ("x.unknown", b"text", "application/x-unknown")]
    uris = {bus.add(file, data): mime_type for file, data, mime_type in files}
    uris[(bus.folder / "missing.png").as_uri()] = "image/png"
    uris["http://example.invalid/elsewhere.png"] = "image/png"
    return uris | {"nonsense": "image/png"}


def test_each_flavor():
    def scenario(bus, client, is_ours):
        uris = add_all(bus)
        outcomes = []
        for flavor in FLAVORS:
            request = client.queue(list(uris), list(uris.values()), flavor)
            client.wait(request)
            outcomes.append((flavor, outcome(bus, request, flavor)))
        return outcomes
    both(scenario)


def test_thumbnail_of_a_thumbnail():
    def scenario(bus, client, is_ours):
        uri = bus.add("a.png", png(300, 200))
        client.wait(client.queue([uri], ["image/png"]))
        request = client.queue([bus.thumbnail(uri).as_uri()], ["image/png"])
        client.wait(request)
        request.check_order()
        return list(request.errors().values())
    both(scenario)


def test_empty_requests():
    def scenario(bus, client, is_ours):
        requests = [client.queue([], []), client.queue([bus.add("a.png", png(30, 20))], [])]
        client.wait(*requests)
        return [request.names() for request in requests]
    both(scenario)


def test_many_requests():
    """5,000 requests, 20 of them for broken files, and clients that leave with theirs."""
    def scenario(bus, client, is_ours):
        good = bus.folder / "first.png"
        bus.add(good.name, png(200, 150))
        for number in range(3):
            lost = Client()
            uris = []
            for i in range(100):
                path = bus.folder / f"lost-{number}-{i}.png"
                os.link(good, path)
                uris.append(path.as_uri())
            lost.queue(uris, ["image/png"] * len(uris))
            lost.vanish()

        requests = []
        for i in range(N_REQUESTS):
            path = bus.folder / f"{i:04}.png"
            if i % (N_REQUESTS // 20) == 0:
                path.write_bytes(b"no picture %d" % i)
            else:
                os.link(good, path)
            requests.append(client.queue([path.as_uri()], ["image/png"]))
        client.wait(*requests, patience=None if is_ours else 20)
        return outcome_of_all(bus, requests, is_ours)

    ours, theirs = run_both(scenario)
    assert len(ours) == N_REQUESTS - 20, len(ours)
    print(f"# thumbnails that tumbler left out: {len(ours - theirs)}")
    assert theirs <= ours and len(theirs) > len(ours) / 2, theirs - ours


try:
    from client import Client
except ImportError as error:
    print(f"1..0 # SKIP {error}")
else:
    if os.path.exists(TUMBLERD):
        tap.main(globals())
    print("1..0 # SKIP tumbler is not installed")
