#!/usr/bin/env node
// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Peer: piscina, the pool of threads for Node. Called as a case in C is (case.h), with the variants
// of pool-afork.c `echo` and `spin`. This file is also what its threads load.
//
// A thread of Node cannot ask for its own processor time, so a job of a millisecond is a number of
// iterations, measured before.

'use strict';

const { availableParallelism } = require('os');
const { isMainThread } = require('worker_threads');
const { parseArgs } = require('util');

const SPIN_NS = 1e6;
const WARM_UP_ITERATIONS = 2e7;

function iterate(n) {
  let sum = 0;
  for (let i = 0; i < n; i++)
    sum = (sum + i * 7) | 0;
  return sum;
}

function timeIterations(n) {
  const start = process.hrtime.bigint();
  iterate(n);
  return Number(process.hrtime.bigint() - start);
}

function countIterations() {
  timeIterations(WARM_UP_ITERATIONS);       // until it is compiled
  const times = [1, 2, 3, 4, 5].map(() => timeIterations(WARM_UP_ITERATIONS));
  return Math.round(WARM_UP_ITERATIONS * SPIN_NS / Math.min(...times));
}

async function runJobs(pool, job, count, inFlight) {
  const latencies = [];
  let begun = 0;
  const start = process.hrtime.bigint();
  async function work() {
    while (begun < count) {
      begun++;
      const began = process.hrtime.bigint();
      const result = await pool.run(job);
      if (result.data.length !== 64)
        throw new Error('a wrong result');
      latencies.push(process.hrtime.bigint() - began);
    }
  }
  await Promise.all(Array.from({ length: inFlight }, work));
  return [process.hrtime.bigint() - start, latencies];
}

async function main() {
  const { Piscina } = require('piscina');
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'count': { type: 'string', default: '100' },
      'warm-up': { type: 'string', default: '10' },
      'in-flight': { type: 'string', default: '1' },
      'workers': { type: 'string', default: '1' },
      'load': { type: 'string', default: '1' },
      'resident-mb': { type: 'string', default: '0' },
    },
  });
  const number = name => Number(values[name]);
  const spins = positionals[0] === 'spin';
  const job = { data: Buffer.alloc(64, 0x5a), n: spins ? countIterations() : 0 };
  const pool = new Piscina({
    filename: __filename,
    minThreads: number('workers'),
    maxThreads: number('workers'),
    concurrentTasksPerWorker: number('load'),
  });

  await runJobs(pool, job, number('warm-up'), number('in-flight'));
  const [elapsed, latencies] = await runJobs(pool, job, number('count'), number('in-flight'));
  console.log('elapsed-ns', elapsed.toString());
  console.log('latency-ns', latencies.join(' '));
  if (spins) {
    const atOnce = Math.min(number('workers'), availableParallelism());
    const percent = Math.floor(number('count') * SPIN_NS * 100 / atOnce / Number(elapsed));
    console.log('efficiency-percent', Math.max(1, percent));
  }
  await pool.destroy();
}

if (isMainThread) {
  main();
} else {
  module.exports = ({ data, n }) => {
    iterate(n);
    return { data };
  };
}
