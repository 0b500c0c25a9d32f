#!/usr/bin/gjs -m
// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Fresh workers in JavaScript, one after the other: each is started, answers once, and exits. It is
// called as a case in C is (case.h); the variants are WAY:WHAT, where WAY is `afork`, or `gjs`,
// which executes GJS, and WHAT is `fresh`, `memory` or `start`.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';

import {FOLDER, load, now, parseArguments} from './gjs-binding.js';

const MODULE = GLib.build_filenamev([FOLDER, 'gjs-jobs.js']);
const TICKS = 100;              // of /proc, a second

function readFile(path) {
    return new TextDecoder().decode(GLib.file_get_contents(path)[1]);
}

// The processor time of a process, and of its children that have exited, in seconds.
function getProcessorTime(pid) {
    const fields = readFile(`/proc/${pid}/stat`).split(') ')[1].split(' ');
    return fields.slice(11, 15).reduce((sum, ticks) => sum + parseInt(ticks), 0) / TICKS;
}

function getPrivateKib(pid) {
    return readFile(`/proc/${pid}/smaps_rollup`).split('\n')
        .filter(line => line.startsWith('Private_'))
        .reduce((sum, line) => sum + parseInt(line.split(/ +/)[1]), 0);
}

function checkAnswer(stream) {
    if (stream.read_bytes(64, null).get_size() !== 64)
        throw new Error('a wrong result');
}

class AForkWorkers {
    constructor(AFork) {
        this._template = AFork.Process.new().require(MODULE);
        this._default = AFork.Runtime.get_gjs();
    }

    // A worker that has answered.
    start(name) {
        const process = this._template.fork();
        const connection = process.run(`${MODULE}:${name}`, null);
        checkAnswer(connection.get_input_stream());
        return {process, connection};
    }

    getPid({process}) {
        return process.get_pid();
    }

    end({process, connection}) {
        connection.close(null);
        process.wait(null);
    }

    // All processes that have a part, but this one and the workers.
    getServers() {
        return [this._default.get_template().get_pid(), this._template.get_pid()];
    }
}

class ExecutedWorkers {
    start(name) {
        const process = Gio.Subprocess.new(['/usr/bin/gjs', '-m', MODULE, name],
            Gio.SubprocessFlags.STDIN_PIPE | Gio.SubprocessFlags.STDOUT_PIPE);
        checkAnswer(process.get_stdout_pipe());
        return process;
    }

    getPid(process) {
        return process.get_identifier();
    }

    end(process) {
        process.get_stdin_pipe().close(null);
        process.wait(null);
    }

    getServers() {
        return [];
    }
}

// Returns how long all took and each, in nanoseconds, and their processor time, with that of this
// process and of the servers, in seconds.
function runFresh(workers, count) {
    const getTime = () => ['self', ...workers.getServers()].map(getProcessorTime)
        .reduce((sum, time) => sum + time, 0);
    const latencies = [];
    const before = getTime();
    const start = now();

    for (let i = 0; i < count; i++) {
        const began = now();
        workers.end(workers.start('answer'));
        latencies.push(now() - began);
    }
    return {elapsed: now() - start, latencies, processor: getTime() - before};
}

const options = parseArguments('afork:fresh');
const [way, what] = options.variant.split(':');
const AFork = way === 'afork' ? await load() : null;

const began = now();
const workers = AFork !== null ? new AForkWorkers(AFork) : new ExecutedWorkers();
const worker = workers.start(what === 'memory' ? 'wait' : 'answer');
const first = now() - began;

if (what === 'memory')
    print('worker-kib', getPrivateKib(workers.getPid(worker)));
else if (what === 'start')
    print('first-answer-ns', first);
workers.end(worker);
if (what === 'fresh') {
    runFresh(workers, options['warm-up']);
    const {elapsed, latencies, processor} = runFresh(workers, options.count);
    print('elapsed-ns', elapsed);
    print('latency-ns', latencies.join(' '));
    print('worker-cpu-ns', Math.max(1, Math.round(processor / options.count * 1e9)));
}
