/** Networks by name: how long a transfer may take there, in virtual time, how long the queue may get, and what may be wasted. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { CheckedPair } from './checked-pair.ts';
import type { HostOptions, LinkOptions } from './network.ts';

interface Profile {
  readonly up: Partial<LinkOptions>;
  readonly down?: Partial<LinkOptions>;
  readonly host?: Partial<HostOptions>;
  readonly upload?: number;
  readonly download?: number;
  /** Every so many microseconds the link is gone for so many, and then of another length. */
  readonly handover?: readonly [everyUs: number, outageUs: number];
  /** To the last byte, start included. */
  readonly withinS: number;
  /** At the sender's link, in 95 of 100 looks after the start. */
  readonly queueMs: number;
  /** Share of symbols that were of no use. Default 0.03. */
  readonly useless?: number;
}

const PROFILES: Record<string, Profile> = {
  'a satellite, 20 Mbit/s and 600 ms': {
    up: { bitsPerSecond: 20e6, delayUs: 300_000, queueUs: 300_000, lossRate: 0.01 },
    upload: 20e6,
    withinS: 13,
    queueMs: 60,
  },
  'LTE with a second of buffer, jitter and handovers': {
    up: { bitsPerSecond: 30e6, delayUs: 25_000, queueUs: 1e6, jitterUs: 10_000, lossRate: 0.002 },
    download: 30e6,
    handover: [5e6, 300_000],
    withinS: 11.5,
    queueMs: 60,
  },
  'Wi-Fi with losses in runs and a late event loop': {
    up: { bitsPerSecond: 50e6, delayUs: 5_000, queueUs: 100_000, jitterUs: 5_000, lossRate: 0.05, lossBurst: 4 },
    host: { receiveBatchUs: 1000, timerLateUs: 1000 },
    upload: 30e6,
    withinS: 7,
    queueMs: 40,
  },
  'another continent, a third lost': {
    up: { bitsPerSecond: 100e6, delayUs: 100_000, queueUs: 100_000, lossRate: 0.3 },
    download: 40e6,
    withinS: 7.5,
    queueMs: 60,
  },
  'a policer of 20 Mbit/s on a link of 100': {
    up: { bitsPerSecond: 100e6, delayUs: 30_000, queueUs: 100_000, policer: { bitsPerSecond: 20e6, burstBytes: 64_000 } },
    upload: 20e6,
    withinS: 11.5,
    queueMs: 20,
  },
  'two seconds of buffer, which stay empty': {
    up: { bitsPerSecond: 20e6, delayUs: 20_000, queueUs: 2e6 },
    upload: 20e6,
    withinS: 9.5,
    queueMs: 50,
  },
  'a download with 1 Mbit/s for what goes back': {
    up: { bitsPerSecond: 1e6, delayUs: 20_000, queueUs: 200_000 },
    down: { bitsPerSecond: 50e6, delayUs: 20_000, queueUs: 100_000, lossRate: 0.01 },
    download: 30e6,
    withinS: 6.5,
    queueMs: 50,
  },
  'an upload at 1 Mbit/s': {
    up: { bitsPerSecond: 1e6, delayUs: 20_000, queueUs: 500_000 },
    down: { bitsPerSecond: 50e6, delayUs: 20_000 },
    upload: 1e6,
    withinS: 10,
    queueMs: 150,
  },
};

for (const [name, profile] of Object.entries(PROFILES)) {
  test(name, () => {
    for (const seed of [1, 2]) {
      const { up, down, host, upload = 1000, download = 1000, withinS, queueMs, useless = 0.03 } = profile;
      const checked = new CheckedPair({
        seed,
        paths: [down ? { up, down } : { up }],
        ...(host ? { client: host, server: host } : {}),
      });
      handOver(checked, profile);
      const sender = checked.pair[upload > download ? 'client' : 'server'];
      const receiver = checked.pair[upload > download ? 'server' : 'client'];
      const queuesMs = sample(checked, () => sender.out[0]!.queueUs / 1000);
      checked.exchange(upload, download);
      checked.finish(withinS * 1e6);
      const p95 = queuesMs.sort((a, b) => a - b)[Math.floor(queuesMs.length * 0.95)] as number;
      assert.ok(p95 <= queueMs, `seed ${seed}: a queue of ${p95} ms`);
      const { duplicates } = (receiver.lane as unknown as { blocksIn: { duplicates: number } }).blocksIn;
      const { source } = sender.lane.snapshot(sender.host.clockUs).symbols;
      assert.ok(duplicates <= useless * source, `seed ${seed}: ${duplicates} of ${source} for nothing`);
    }
  });
}

function handOver(checked: CheckedPair, { up, handover }: Profile): void {
  if (!handover) return;
  const { client, server, net } = checked.pair;
  const links = [client.out[0]!, server.out[0]!];
  const [everyUs, outageUs] = handover;
  const go = (): void => {
    for (const { options } of links) {
      options.up = false;
      options.delayUs = (up.delayUs as number) + net.random() * 20_000;
    }
    net.after(outageUs, () => {
      for (const { options } of links) options.up = true;
      net.after(everyUs, go);
    });
  };
  net.after(everyUs / 2, go);
}

/** Fifty times a second, once the start is over: on a slow link a round trip of the first rate is a long queue. */
function sample(checked: CheckedPair, read: () => number): number[] {
  const values: number[] = [];
  const { net } = checked.pair;
  const look = (): void => {
    values.push(read());
    net.after(20_000, look);
  };
  net.after(3e6, look);
  return values;
}
