// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The same extension for GNOME Shell 43 and 44, where it is installed as extension.js.

/* exported init */

const {AFork, Clutter, St} = imports.gi;
const ExtensionUtils = imports.misc.extensionUtils;
const Main = imports.ui.main;
const PanelMenu = imports.ui.panelMenu;

class PrimesExtension {
    constructor({metadata, path, uuid}) {
        this.metadata = metadata;
        this.path = path;
        this.uuid = uuid;
    }

    enable() {
        // A template for this extension alone. Others share that of the runtime.
        const module = `${this.path}/worker.js`;
        this._template = AFork.Process.new_exec(AFork.Runtime.get_gjs()).require(module);
        this._pool = new AFork.Pool({
            process: this._template, function: `${module}:countPrimes`, maxWorkers: 2,
        });

        this._label = new St.Label({text: 'Primes', yAlign: Clutter.ActorAlign.CENTER});
        this._button = new PanelMenu.Button(0, this.metadata.name, true);
        this._button.add_child(this._label);
        this._button.connect('button-press-event', () => {
            this.count(10000000).catch(logError);
        });
        Main.panel.addToStatusArea(this.uuid, this._button);
    }

    // Ends all processes, without waiting for them. Jobs that have not ended fail.
    disable() {
        const [pool, template] = [this._pool, this._template];

        this._button.destroy();
        this._button = this._label = this._pool = this._template = null;
        pool.shutdown_async(AFork.ShutdownMode.ABORT, null)
            .then(() => template.close_async())
            .catch(logError);
    }

    async count(end) {
        const label = this._label;
        label.text = 'Primes …';
        const n = await this._pool.call_async(end);
        // The extension may have been disabled meanwhile.
        if (label === this._label)
            label.text = `${n} primes`;
        return n;
    }
}

function init() {
    return new PrimesExtension(ExtensionUtils.getCurrentExtension());
}
