// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// An extension of GNOME Shell 45 or later: a button in the panel, which has workers count prime
// numbers. The shell goes on drawing meanwhile.

import AFork from 'gi://AFork?version=1';
import Clutter from 'gi://Clutter';
import St from 'gi://St';
import * as Main from 'resource:///org/gnome/shell/ui/main.js';
import * as PanelMenu from 'resource:///org/gnome/shell/ui/panelMenu.js';
import {Extension} from 'resource:///org/gnome/shell/extensions/extension.js';

export default class PrimesExtension extends Extension {
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
            this.count(10000000).catch(error => console.error(error));
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
            .catch(error => console.error(error));
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
