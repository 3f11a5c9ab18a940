/**
 * The rule of adaptive.ts against modelled links, in virtual time and with seeds. What is asked of it is relative: in every
 * scenario the same model is run with each fixed number of streams, and the adaptive run must reach 95 % of the best of them
 * once it has had time to look.
 *
 * HAWSER_SEED=n replays one seed; HAWSER_SIM_PRINT=1 prints the figures that docs/design/adaptive.md quotes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Adaptive } from './adaptive.ts';

/** A modelled path at one moment. Rates in bytes a second. */
interface Link {
  readonly rttMs: number;
  /** What all streams share. May depend on how many are busy (a CPU, a disk). */
  readonly total: (streams: number) => number;
  /** What one stream reaches at most, by loss or by its window. */
  readonly perStream: number;
  /** Probability that a request fails, whatever the number of streams. */
  readonly failure?: number;
  /** More requests in flight than this are refused as busy. */
  readonly busyAbove?: number;
  readonly down?: boolean;
}

interface Scenario {
  readonly name: string;
  readonly seconds: number;
  /** Judged from here on. */
  readonly fromSeconds: number;
  readonly link: (second: number) => Link;
  readonly least?: number;
  readonly check?: (run: Run) => void;
}

interface Run {
  /** Bytes a second that became safe in the judged time. */
  readonly goodput: number;
  /** Number of streams that was wanted, on the average of the judged time, and its extremes. */
  readonly meanStreams: number;
  readonly mostStreams: number;
  readonly leastStreams: number;
  readonly chunkBytes: number;
  readonly trace: readonly string[];
}

const MBIT = 1_000_000 / 8;

/** Goodput of one TCP connection under random loss: Mathis et al. 1997, MSS/RTT * 1.22/sqrt(p). */
const mathis = (rttMs: number, loss: number) => ((1460 * 1000) / rttMs) * (1.22 / Math.sqrt(loss));

const scenarios: Scenario[] = [
  {
    name: 'loss-limited: 2 % loss, 80 ms, 1 Gbit/s: goodput is proportional to the streams',
    seconds: 180,
    fromSeconds: 40,
    link: () => ({ rttMs: 80, total: () => 1000 * MBIT, perStream: mathis(80, 0.02) }),
    check: (run) => assert.ok(run.meanStreams >= 14.5, `holds ${run.meanStreams} streams`),
  },
  {
    name: 'loss-limited up to a knee: 0.1 % loss, 60 ms, 50 Mbit/s',
    seconds: 180,
    fromSeconds: 40,
    link: () => ({ rttMs: 60, total: () => 50 * MBIT, perStream: mathis(60, 0.001) }),
  },
  {
    name: 'clean 100 Mbit/s, 100 ms, with slow start',
    seconds: 120,
    fromSeconds: 20,
    link: () => ({ rttMs: 100, total: () => 100 * MBIT, perStream: 1000 * MBIT }),
  },
  {
    name: 'satellite: 600 ms, 20 Mbit/s, windows of 1 MiB',
    seconds: 400,
    fromSeconds: 120,
    link: () => ({ rttMs: 600, total: () => 20 * MBIT, perStream: (1024 * 1024) / 0.6 }),
  },
  {
    name: 'loopback limited by the CPU: more than 2 streams bring nothing',
    seconds: 60,
    fromSeconds: 5,
    link: () => ({ rttMs: 0.1, total: (n) => (400e6 * Math.min(n, 2)) / 2, perStream: 1e9 }),
    check: (run) => {
      assert.ok(run.mostStreams <= 4, `climbed to ${run.mostStreams}`);
      assert.ok(run.leastStreams >= 2, `fell to ${run.leastStreams}`);
    },
  },
  {
    name: 'server that thrashes: goodput falls by 8 % with each stream beyond 6',
    seconds: 240,
    fromSeconds: 60,
    link: () => ({ rttMs: 20, total: (n) => 20e6 * Math.min(n, 6) * 0.92 ** Math.max(0, n - 6), perStream: 1e9 }),
  },
  {
    name: 'the link changes: 100, then 20, then 200 Mbit/s',
    seconds: 240,
    fromSeconds: 20,
    link: (s) => ({ rttMs: 50, total: () => (s < 80 ? 100 : s < 160 ? 20 : 200) * MBIT, perStream: 1000 * MBIT }),
  },
  {
    name: 'loss begins after a minute: few streams were enough, then many are needed',
    seconds: 240,
    fromSeconds: 110,
    link: (s) => ({ rttMs: 60, total: () => 100 * MBIT, perStream: s < 60 ? 1000 * MBIT : mathis(60, 0.01) }),
  },
  {
    name: 'a link that swings between 20 and 100 Mbit/s every 37 s',
    seconds: 240,
    fromSeconds: 20,
    link: (s) => ({ rttMs: 50, total: () => (60 + 40 * Math.sin((s * 2 * Math.PI) / 37)) * MBIT, perStream: 1000 * MBIT }),
  },
  {
    name: 'other traffic takes up to a fifth of the link: its changes are not taken for the work of more streams',
    seconds: 300,
    fromSeconds: 20,
    link: (s) => ({ rttMs: 3, total: () => (200 - 40 * othersAt(s)) * MBIT, perStream: 1000 * MBIT }),
    check: (run) => assert.ok(run.meanStreams <= 4, `holds ${run.meanStreams} streams`),
  },
  {
    name: 'one request in fifty is reset, 1 % loss',
    seconds: 180,
    fromSeconds: 45,
    link: () => ({ rttMs: 60, total: () => 1000 * MBIT, perStream: mathis(60, 0.01), failure: 0.02 }),
  },
  {
    name: 'an outage of 20 s every 80 s, 2 % loss',
    seconds: 320,
    fromSeconds: 60,
    link: (s) => ({ rttMs: 80, total: () => 1000 * MBIT, perStream: mathis(80, 0.02), down: s % 80 >= 40 && s % 80 < 60 }),
    least: 0.9,
  },
  {
    name: 'a server that takes 6 requests at once and refuses more',
    seconds: 300,
    fromSeconds: 90,
    link: () => ({ rttMs: 60, total: () => 1000 * MBIT, perStream: mathis(60, 0.01), busyAbove: 6 }),
    least: 0.9,
  },
];

/** 0 to 1, another value every 7 s. */
function othersAt(second: number): number {
  return mulberry32(Math.floor(second / 7))();
}

const seeds = process.env.HAWSER_SEED === undefined ? [1, 2] : [Number(process.env.HAWSER_SEED)];

for (const scenario of scenarios) {
  for (const seed of seeds) {
    test(`${scenario.name} (seed ${seed})`, () => {
      const fixed = [1, 2, 4, 6, 8, 16].map((streams) => ({ streams, ...simulate(scenario, seed, streams) }));
      const best = fixed.reduce((a, b) => (b.goodput > a.goodput ? b : a));
      const run = simulate(scenario, seed, null);
      const share = run.goodput / best.goodput;
      const figures =
        `${(run.goodput / 1e6).toFixed(2)} MB/s with ${run.meanStreams.toFixed(1)} streams (${run.leastStreams} to ${run.mostStreams}), ` +
        `chunks ${run.chunkBytes >> 10} KiB; best fixed: ${(best.goodput / 1e6).toFixed(2)} MB/s with ${best.streams}; ${(share * 100).toFixed(1)} %`;
      if (process.env.HAWSER_SIM_PRINT !== undefined) console.log(`${scenario.name} | seed ${seed} | ${figures}`);
      const least = scenario.least ?? 0.95;
      assert.ok(share >= least, `seed ${seed}: ${figures}\n${run.trace.join('\n')}`);
      scenario.check?.(run);
    });
  }
}

/** One connection: idle until a request is due, then waiting, then moving bytes, then waiting for the answer. */
interface Stream {
  rate: number;
  noise: number;
  /** Its part of a shared link, new for each request: without it all streams would end and rest at the same moment. */
  weight: number;
  request: { startedMs: number; bytes: number; left: number; movesAtMs: number; doneAtMs: number } | null;
  restMs: number;
}

/**
 * Fluid model in steps of 1/10 RTT (1 to 10 ms): streams share the link below their own limit, double their rate each RTT
 * from ten segments on, and wander by some per cent as real ones do. An answer takes one RTT.
 */
function simulate(scenario: Scenario, seed: number, fixedStreams: number | null): Run {
  const random = mulberry32(seed * 7919 + (fixedStreams ?? 0));
  // The link's own weather is the same in every run of a seed, so that runs can be compared.
  const weather = mulberry32(seed);
  const adaptive = new Adaptive(fixedStreams === null ? {} : { fixedStreams });
  const streams: Stream[] = [];
  const trace: string[] = [];
  let common = 1;
  let safe = 0;
  let wanted = 0;
  let wantedMs = 0;
  let most = 0;
  let least = Number.POSITIVE_INFINITY;
  let lastWhy = '';
  adaptive.handleRtt(scenario.link(0).rttMs);
  const stepMs = Math.min(10, Math.max(1, scenario.link(0).rttMs / 10));
  for (let nowMs = 0; nowMs < scenario.seconds * 1000; nowMs += stepMs) {
    const link = scenario.link(nowMs / 1000);
    const judged = nowMs >= scenario.fromSeconds * 1000;
    while (streams.length < adaptive.streams) {
      streams.push({ rate: (14_600 * 1000) / Math.max(1, link.rttMs), noise: 1, weight: 1, request: null, restMs: 0 });
    }
    let busy = streams.reduce((count, stream) => count + (stream.request === null ? 0 : 1), 0);
    for (const stream of streams) {
      if (busy >= adaptive.streams) break;
      if (stream.request !== null || nowMs < stream.restMs) continue;
      busy++;
      const bytes = adaptive.chunkBytes;
      stream.weight = 0.7 + 0.6 * random();
      stream.request = { startedMs: nowMs, bytes, left: bytes, movesAtMs: nowMs, doneAtMs: Number.POSITIVE_INFINITY };
      if (link.busyAbove !== undefined && busy > link.busyAbove) {
        adaptive.handleFailure(nowMs, 'server');
        stream.request = null;
        stream.restMs = nowMs + 1000;
        busy--;
      }
    }
    common += (1 - common) * 0.02 + (weather() - 0.5) * 0.01;
    const moving = streams.filter((stream) => stream.request !== null && stream.request.left > 0);
    let total = link.down ? 0 : link.total(busy) * common;
    // Shares by weight below each one's own limit: those that are limited most come first and leave the rest to the others.
    const limited = moving
      .map((stream) => {
        stream.noise += (1 - stream.noise) * 0.05 + (random() - 0.5) * 0.08;
        stream.rate = Math.min(stream.rate * 2 ** (stepMs / Math.max(1, link.rttMs)), link.perStream * stream.noise);
        return stream;
      })
      .sort((a, b) => a.rate / a.weight - b.rate / b.weight);
    let weights = limited.reduce((sum, stream) => sum + stream.weight, 0);
    for (const stream of limited) {
      const share = Math.min(stream.rate, (total * stream.weight) / weights);
      total -= share;
      weights -= stream.weight;
      const request = stream.request!;
      request.left -= (share * stepMs) / 1000;
      if (request.left <= 0) request.doneAtMs = nowMs + stepMs + link.rttMs;
    }
    for (const stream of streams) {
      const request = stream.request;
      if (request === null) continue;
      if (link.down && nowMs - request.startedMs > 5000) {
        adaptive.handleFailure(nowMs, 'network');
        stream.request = null;
        stream.rate = (14_600 * 1000) / link.rttMs;
        stream.restMs = nowMs + random() * 4000;
      } else if (request.doneAtMs <= nowMs) {
        stream.request = null;
        if (random() < (link.failure ?? 0)) {
          adaptive.handleFailure(nowMs, 'network');
          stream.rate = (14_600 * 1000) / link.rttMs;
          stream.restMs = nowMs + random() * 200;
          continue;
        }
        if (judged) safe += request.bytes;
        adaptive.handleChunkDone({ nowMs, startedMs: request.startedMs, bytes: request.bytes });
      }
    }
    if (fixedStreams === null && adaptive.why !== lastWhy) {
      const reason = adaptive.why.replace(/, chunks.*/, '');
      if (!lastWhy.startsWith(reason)) trace.push(`${(nowMs / 1000).toFixed(1)} s: ${reason}`);
      lastWhy = adaptive.why;
    }
    if (judged) {
      wanted += adaptive.streams * stepMs;
      wantedMs += stepMs;
      most = Math.max(most, adaptive.streams);
      least = Math.min(least, adaptive.streams);
    }
  }
  return {
    goodput: safe / (scenario.seconds - scenario.fromSeconds),
    meanStreams: wanted / wantedMs,
    mostStreams: most,
    leastStreams: least,
    chunkBytes: adaptive.chunkBytes,
    trace,
  };
}

/** Small seeded generator, numbers in [0, 1) (Tommy Ettinger's mulberry32, public domain). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
