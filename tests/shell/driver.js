// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// An extension that the test asks about the inside of GNOME Shell, over D-Bus. It is code of an
// extension of either form: test-shell.py puts a few lines before and after it.

const {Clutter, Gio, GLib} = imports.gi;

const INTERFACE = `
<node>
  <interface name="org.afork.Driver">
    <method name="Run">
      <arg type="s" name="uuid" direction="in"/>
      <arg type="u" name="n-jobs" direction="in"/>
      <arg type="u" name="size" direction="in"/>
      <arg type="as" name="results" direction="out"/>
      <arg type="u" name="n-frames" direction="out"/>
    </method>
    <method name="Begin">
      <arg type="s" name="uuid" direction="in"/>
      <arg type="u" name="n-jobs" direction="in"/>
      <arg type="u" name="size" direction="in"/>
    </method>
    <method name="Results">
      <arg type="as" name="results" direction="out"/>
    </method>
    <method name="CountSources">
      <arg type="u" name="n-sources" direction="out"/>
    </method>
  </interface>
</node>`;

class Driver {
    constructor(lookup, global) {
        this._lookup = lookup;
        this._global = global;
        this._object = Gio.DBusExportedObject.wrapJSObject(INTERFACE, this);
        this._object.export(Gio.DBus.session, '/org/afork/Driver');
        this._results = [];
    }

    destroy() {
        this._object.unexport();
    }

    _count(uuid, size) {
        return this._lookup(uuid).stateObj.count(size)
            .then(n => `${n}`, error => `${error.message}`);
    }

    // Runs jobs while something on the screen changes with each frame.
    async RunAsync([uuid, nJobs, size], invocation) {
        const stage = this._global.stage;
        const id = stage.connect('after-paint', () => {
            nFrames++;
            stage.queue_redraw();
        });
        let nFrames = 0;

        stage.queue_redraw();
        const jobs = Array.from({length: nJobs}, () => this._count(uuid, size));
        const results = await Promise.all(jobs);
        stage.disconnect(id);
        invocation.return_value(new GLib.Variant('(asu)', [results, nFrames]));
    }

    Begin(uuid, nJobs, size) {
        for (let i = 0; i < nJobs; i++)
            this._count(uuid, size).then(result => this._results.push(result));
    }

    Results() {
        return this._results.splice(0);
    }

    // Those of the default context, to which numbers are given in a row.
    CountSources() {
        const context = GLib.MainContext.default();
        const last = GLib.idle_add(GLib.PRIORITY_LOW, () => GLib.SOURCE_REMOVE);
        let n = 0;

        GLib.source_remove(last);
        for (let id = 1; id < last; id++)
            n += context.find_source_by_id(id) !== null;
        return n;
    }
}
