#!/usr/bin/env -S gjs -m
// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A window with thumbnails of the pictures in a folder, which workers make while it goes on
// animating: window.js FOLDER. A button makes them once more, and another one makes them without
// workers. `window.js FOLDER workers` and `window.js FOLDER program` press one again and again, and
// `window.js FOLDER idle` presses none.

import AFork from 'gi://AFork';
import Gdk from 'gi://Gdk?version=4.0';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import GObject from 'gi://GObject';
import Gtk from 'gi://Gtk?version=4.0';
import System from 'system';

import {SIZE, make} from './thumbnail.js';

const [FOLDER, REPEATED] = System.programArgs;
const MODULE = import.meta.url.replace(/[^/]*$/, 'thumbnail.js');

function listPictures(folder) {
    const names = Gio.File.new_for_path(folder).enumerate_children('standard::*', 0, null);
    return Array.from(names, info => GLib.build_filenamev([folder, info.get_name()])).sort();
}

function makeTexture({width, height, rowstride, hasAlpha}, bytes) {
    const format = hasAlpha ? Gdk.MemoryFormat.R8G8B8A8 : Gdk.MemoryFormat.R8G8B8;
    return Gdk.MemoryTexture.new(width, height, format, bytes, rowstride);
}

const Window = GObject.registerClass(class Window extends Gtk.ApplicationWindow {
    _init(application, pool) {
        super._init({application, title: 'Thumbnails', default_width: 640, default_height: 480});
        this._pool = pool;
        this._paths = listPictures(FOLDER);
        this._flow = new Gtk.FlowBox({selection_mode: Gtk.SelectionMode.NONE});
        this._status = new Gtk.Label({hexpand: true, xalign: 0});
        this._buttons = {
            workers: Gtk.Button.new_with_label('In workers'),
            program: Gtk.Button.new_with_label('In the program'),
        };
        const bar = new Gtk.Box({spacing: 12});
        for (const widget of [new Gtk.Spinner({spinning: true}), this._status,
            ...Object.values(this._buttons)])
            bar.append(widget);
        const box = new Gtk.Box({
            orientation: Gtk.Orientation.VERTICAL, spacing: 12, margin_top: 12, margin_bottom: 12,
            margin_start: 12, margin_end: 12,
        });
        box.append(bar);
        box.append(new Gtk.ScrolledWindow({child: this._flow, vexpand: true}));
        this.set_child(box);

        this._pictures = this._paths.map(path => {
            const picture = new Gtk.Picture({
                width_request: SIZE, height_request: SIZE, halign: Gtk.Align.CENTER,
                can_shrink: false, tooltip_text: path,
            });
            this._flow.append(picture);
            return picture;
        });
        this._buttons.workers.connect('clicked', () => this._fill(this._fillByWorkers));
        this._buttons.program.connect('clicked', () => this._fill(this._fillByProgram));
    }

    async _fill(fill) {
        for (const button of Object.values(this._buttons))
            button.sensitive = false;
        this._nDone = 0;
        await fill.call(this).catch(logError);
        for (const button of Object.values(this._buttons))
            button.sensitive = true;
        this._buttons[REPEATED]?.emit('clicked');
    }

    async _fillByWorkers() {
        for await (const job of this._pool.map(this._paths, AFork.MapFlags.UNORDERED)) {
            this._show(job.index, () => makeTexture(job.unpack(), job.get_result_blobs()[0]));
        }
    }

    async _fillByProgram() {
        for (const [i, path] of this._paths.entries()) {
            this._show(i, () => {
                let pixels;
                const description = make({addBlob: bytes => (pixels = bytes)}, path);
                return makeTexture(description, pixels);
            });
            await new Promise(resolve => GLib.idle_add(GLib.PRIORITY_DEFAULT_IDLE, resolve));
        }
    }

    // Shows the texture that is made, or why there is none.
    _show(index, makeIt) {
        try {
            this._pictures[index].set_paintable(makeIt());
        } catch (error) {
            this._pictures[index].set_tooltip_text(error.message);
        }
        this._nDone++;
        this._status.label = `${this._nDone} of ${this._paths.length} pictures`;
    }

    begin() {
        GLib.timeout_add(GLib.PRIORITY_DEFAULT, REPEATED === undefined ? 0 : 1500, () => {
            this._buttons[REPEATED ?? 'workers']?.emit('clicked');
            return GLib.SOURCE_REMOVE;
        });
    }
});

const application = new Gtk.Application({application_id: 'org.example.Thumbnails'});
application.connect('activate', () => {
    const process = AFork.Process.new().require(MODULE);
    process.restrict(new AFork.Sandbox({idle_scheduling: true}));
    const pool = AFork.Pool.new(process, `${MODULE}:make`);
    const window = new Window(application, pool);
    window.present();
    window.begin();
});
application.run(null);
