/** The links on which the lane is measured, and what each can carry at most. */
import type { Link } from '../netlab.ts';

export interface Case {
  readonly id: string;
  readonly title: string;
  readonly links: readonly Link[];
  /** When half of the bytes have arrived, this link (from 1) drops everything from then on. */
  readonly dies?: number;
  /** Share of the limit that is wanted of the middle 80 %, and of 100 MB with start and tail. */
  readonly goals: { readonly steady: number | null; readonly completion: number | null };
}

/** 100 Mbit/s with 200 ms of queue, and loss in both directions, unless said otherwise. */
function link(rttMs: number, loss: number, more: Partial<Link> = {}): Link {
  return { rate: 100, delay: rttMs / 2, loss, queue: 200, ...more };
}

const GOALS = { steady: 0.98, completion: 0.9 };
const TWO = [link(40, 2, { rate: 50 }), link(200, 10, { rate: 50 })];

export const CASES: readonly Case[] = [
  { id: '20-0', title: '20 ms, no loss', links: [link(20, 0)], goals: GOALS },
  { id: '100-0', title: '100 ms, no loss', links: [link(100, 0)], goals: GOALS },
  { id: '100-2', title: '100 ms, 2 %', links: [link(100, 2)], goals: GOALS },
  { id: '200-10', title: '200 ms, 10 %', links: [link(200, 10)], goals: GOALS },
  { id: '200-30', title: '200 ms, 30 %', links: [link(200, 30)], goals: GOALS },
  { id: '600-1', title: '600 ms, 1 %, 20 Mbit/s', links: [link(600, 1, { rate: 20 })], goals: { ...GOALS, completion: null } },
  {
    id: '200-10-b4',
    title: '200 ms, 10 % in bursts of 4',
    links: [link(200, 10, { burst: 4 })],
    goals: { ...GOALS, steady: 0.96 },
  },
  {
    id: '200-10-b16',
    title: '200 ms, 10 % in bursts of 16',
    links: [link(200, 10, { burst: 16 })],
    goals: { ...GOALS, steady: 0.85 },
  },
  {
    id: '200-30-b16',
    title: '200 ms, 30 % in bursts of 16',
    links: [link(200, 30, { burst: 16 })],
    goals: { ...GOALS, steady: 0.85 },
  },
  {
    id: '500mbit',
    title: '200 ms, 2 %, 500 Mbit/s',
    links: [link(200, 2, { rate: 500 })],
    goals: { ...GOALS, completion: null },
  },
  {
    id: 'two',
    title: 'two links: 50 Mbit/s 40 ms 2 % and 50 Mbit/s 200 ms 10 %',
    links: TWO,
    goals: { steady: 0.95, completion: null },
  },
  {
    id: 'two-far-dies',
    title: 'the same, the 200 ms link dies half-way',
    links: TWO,
    dies: 2,
    goals: { steady: null, completion: null },
  },
  {
    id: 'two-near-dies',
    title: 'the same, the 40 ms link (with the TLS connection) dies half-way',
    links: TWO,
    dies: 1,
    goals: { steady: null, completion: null },
  },
];

/** Those of a comma-separated list; a part of an id is enough ("two" means all three). `Skip` would hide a typo, so it throws. */
export function chooseCases(only: string | undefined): readonly Case[] {
  if (only === undefined) return CASES;
  const wanted = only.split(',');
  const unknown = wanted.find((name) => !CASES.some(({ id }) => id.startsWith(name)));
  if (unknown !== undefined) throw new Error(`--only "${unknown}": there are ${CASES.map(({ id }) => id).join(', ')}.`);
  return CASES.filter(({ id }) =>
    wanted.some((name) => (CASES.some((one) => one.id === name) ? id === name : id.startsWith(name))),
  );
}

/** Most content a second over one link, in bytes: full packets of 1345 bytes carry 1280, and what is lost took link time too. */
export function linkLimit({ rate, loss = 0, ab }: Link): number {
  return (((ab?.rate ?? rate) * 1e6) / 8) * PAYLOAD_SHARE * (1 - (ab?.loss ?? loss) / 100);
}

/** Over all links of a case. */
export function caseLimit({ links }: Case): number {
  return links.reduce((sum, one) => sum + linkLimit(one), 0);
}

/**
 * Least time for so many bytes, in ms: sending at the limit from the first instant, and the way there of the last byte. Of two
 * links the nearer one carries the last byte; when one dies half-way, the other carries the second half alone.
 */
export function limitMs(one: Case, bytes: number): number {
  const left = one.links.filter((_, i) => i + 1 !== one.dies);
  const delayMs = Math.min(...left.map(({ delay, ab }) => ab?.delay ?? delay));
  const leftLimit = left.reduce((sum, each) => sum + linkLimit(each), 0);
  const seconds = one.dies === undefined ? bytes / caseLimit(one) : bytes / 2 / caseLimit(one) + bytes / 2 / leftLimit;
  return seconds * 1000 + delayMs;
}

const PAYLOAD_SHARE = 1280 / 1345;
