/** One seed, one case: a network with everything that goes wrong on networks, gaps and new addresses too, two machines, and streams both ways. */
import { CheckedPair } from './checked-pair.ts';
import type { HostOptions, LinkOptions } from './network.ts';
import { seededRandom } from './scheduler.ts';

/** Begun, and run until the last of its streams was opened. */
export function randomCase(seed: number): CheckedPair {
  const random = seededRandom(seed * 7919);
  const pick = (from: number, to: number): number => from * (to / from) ** random();
  const maybe = (share: number): boolean => random() < share;
  const link = (): Partial<LinkOptions> => ({
    bitsPerSecond: pick(2e6, 200e6),
    delayUs: pick(500, 150_000),
    queueUs: pick(5_000, 300_000),
    lossRate: maybe(0.3) ? 0 : random() * 0.6,
    lossBurst: maybe(0.7) ? 1 : pick(1, 8),
    jitterUs: maybe(0.5) ? 0 : pick(100, 20_000),
    reorderRate: maybe(0.5) ? 0 : random() * 0.2,
    reorderUs: pick(500, 60_000),
    duplicateRate: maybe(0.5) ? 0 : random() * 0.3,
    codel: maybe(0.2),
    mtuBytes: maybe(0.3) ? 1345 : 1500,
  });
  const host = (): Partial<HostOptions> => ({
    clockOffsetUs: random() * 2 ** 40,
    clockSkewPpm: random() * 100 - 50,
    receiveBatchUs: maybe(0.5) ? 0 : pick(50, 5000),
    timerLateUs: maybe(0.5) ? 0 : pick(50, 15_000),
    stallEveryUs: maybe(0.3) ? 500_000 : 0,
    stallUs: 100_000,
  });
  const paths = Array.from({ length: maybe(0.3) ? 2 : 1 }, () => ({ up: link(), down: link() }));
  const checked = new CheckedPair({ seed, paths, client: host(), server: host() });
  const { net } = checked.pair;
  const streams = 1 + Math.floor(random() * 12);
  for (let i = 0; i < streams; i++) {
    const up = maybe(0.2) ? 0 : Math.floor(pick(1, 2_000_000));
    const down = maybe(0.2) ? 0 : Math.floor(pick(1, 2_000_000));
    const dies = maybe(0.15);
    const side = maybe(0.5) ? 'client' : 'server';
    const diesUs = pick(1000, 1_000_000);
    net.after(random() * 500_000, () => {
      const id = checked.exchange(up, down);
      if (dies) net.after(diesUs, () => checked.reset(side, id));
    });
  }
  const { client, server } = checked.pair;
  const gap = (): void => {
    const link = (maybe(0.5) ? client : server).out[Math.floor(random() * paths.length)]!;
    link.options.up = false;
    net.after(pick(20_000, 1_500_000), () => {
      link.options.up = true;
      net.after(pick(200_000, 5_000_000), gap);
    });
  };
  if (maybe(0.25)) net.after(random() * 1e6, gap);
  const move = (): void => {
    client.address++;
    if (client.address < 4) net.after(pick(100_000, 3_000_000), move);
  };
  if (maybe(0.2)) net.after(random() * 1e6, move);
  checked.pair.run(500_000);
  const check = (): void => {
    checked.checkAccounts();
    net.after(250_000, check);
  };
  check();
  return checked;
}
