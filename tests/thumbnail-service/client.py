# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A client of org.freedesktop.thumbnails.Thumbnailer1, and what it is told of each request."""

import time

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib

PREFIX = "org.freedesktop.thumbnails."
PATHS = "/org/freedesktop/thumbnails/"


class Request:
    """What was asked for, and the signals about it in their order."""

    def __init__(self, uris):
        self.uris = list(uris)
        self.signals = []

    def names(self):
        return [name for name, *_ in self.signals]

    def is_finished(self):
        return "Finished" in self.names()

    def ready(self):
        return {uri for name, value in self.signals if name == "Ready" for uri in value[0]}

    def errors(self):
        """The code for each URI that failed."""
        return {uri: value[1] for name, value in self.signals if name == "Error"
                for uri in value[0]}

    def messages(self):
        return {uri: value[2] for name, value in self.signals if name == "Error"
                for uri in value[0]}

    def check_order(self):
        """Started, then Ready and Error in any grouping, and Finished last, each URI once."""
        names = self.names()
        assert names[0] == "Started" and names[-1] == "Finished", names
        assert names.count("Started") == names.count("Finished") == 1, names
        told = [uri for name, value in self.signals if name in ("Ready", "Error")
                for uri in value[0]]
        assert len(told) == len(set(told)), told
        assert set(told) <= set(self.uris), (told, self.uris)


class Client:
    """A connection of its own to the session bus."""

    def __init__(self):
        address = Gio.dbus_address_get_for_bus_sync(Gio.BusType.SESSION)
        self.bus = Gio.DBusConnection.new_for_address_sync(
            address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
            | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION)
        self.bus.set_exit_on_close(False)
        self._requests = {}
        self._early = {}
        self.bus.signal_subscribe(None, PREFIX + "Thumbnailer1", None, PATHS + "Thumbnailer1",
                                  None, Gio.DBusSignalFlags.NONE, self._on_signal)

    def _on_signal(self, bus, sender, path, interface, name, parameters):
        handle, *value = parameters.unpack()
        signals = (self._requests[handle].signals if handle in self._requests
                   else self._early.setdefault(handle, []))
        signals.append((name, value))

    def call(self, interface, method, args, timeout=60000):
        reply = self.bus.call_sync(PREFIX + interface, PATHS + interface, PREFIX + interface,
                                   method, args, None, Gio.DBusCallFlags.NONE, timeout)
        return reply.unpack()

    def queue(self, uris, mime_types, flavor="normal", scheduler="default", unqueue=0):
        request = Request(uris)
        request.handle, = self.call("Thumbnailer1", "Queue", GLib.Variant(
            "(asasssu)", (uris, mime_types, flavor, scheduler, unqueue)))
        request.signals = self._early.pop(request.handle, [])
        self._requests[request.handle] = request
        return request

    def dequeue(self, request):
        self.call("Thumbnailer1", "Dequeue", GLib.Variant("(u)", (request.handle,)))

    def wait(self, *requests, until=Request.is_finished, patience=None):
        """With PATIENCE, gives up when no signal has come for so many seconds."""
        context = GLib.MainContext.default()
        tick = GLib.timeout_add(1000, lambda: True)
        last, n_signals = time.monotonic(), -1
        while not all(map(until, requests)):
            context.iteration(True)
            if patience is not None and time.monotonic() > last + 1:
                now = sum(len(request.signals) for request in requests)
                if now != n_signals:
                    last, n_signals = time.monotonic(), now
                elif time.monotonic() > last + patience:
                    break
        GLib.source_remove(tick)

    def vanish(self):
        self.bus.close_sync()
