import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createWeatherLink, type Fate, type Weather, weatherLimit } from './weather.ts';

const weather: Weather = { lossShare: 0, delayMs: 100, bitsPerSecond: 8_000_000, queueMs: 10, seed: 1 };
/** With headers it is 1000 bytes, which take 1 ms at 8 Mbit/s. */
const BYTES = 972;

describe('a link with weather', () => {
  it('delays by the time on the link and the way', () => {
    const link = createWeatherLink(weather);
    assert.deepEqual(link.take(0, BYTES), { arrivesMs: 101 });
    assert.deepEqual(link.take(0, BYTES), { arrivesMs: 102 });
    assert.deepEqual(link.take(50, BYTES), { arrivesMs: 151 });
  });

  it('passes no more than its rate, in order, and drops what the queue cannot hold', () => {
    const link = createWeatherLink(weather);
    const fates: Fate[] = [];
    // Twice the rate, for a second.
    for (let i = 0; i < 2000; i++) fates.push(link.take(i / 2, BYTES));
    const arrivals = fates.filter((fate) => typeof fate === 'object').map(({ arrivesMs }) => arrivesMs);
    assert.ok(arrivals.length >= 1000 && arrivals.length <= 1012, `${arrivals.length} of 2000 arrived`);
    assert.equal(fates.filter((fate) => fate === 'dropped').length, 2000 - arrivals.length);
    for (const [i, ms] of arrivals.entries()) if (i > 0) assert.ok(ms - arrivals[i - 1]! >= 1 - 1e-9);
    for (const [i, fate] of fates.entries()) {
      if (typeof fate === 'object') assert.ok(fate.arrivesMs - i / 2 <= 100 + 10 + 2, `it waited ${fate.arrivesMs - i / 2} ms`);
    }
  });

  it('loses its share, and lost datagrams take their time on the link', () => {
    const seed = 20261121;
    const link = createWeatherLink({ ...weather, lossShare: 0.3, queueMs: Number.POSITIVE_INFINITY, seed });
    const fates = Array.from({ length: 10_000 }, () => link.take(0, BYTES));
    const lost = fates.filter((fate) => fate === 'lost').length;
    assert.ok(lost > 2800 && lost < 3200, `seed ${seed}: ${lost} of 10 000 are lost`);
    const last = fates.findLastIndex((fate) => typeof fate === 'object');
    assert.deepEqual(fates[last], { arrivesMs: last + 1 + 100 });
  });

  it('is the same for the same seed, and another for another', () => {
    const lossesOf = (seed: number) => {
      const link = createWeatherLink({ ...weather, lossShare: 0.5, queueMs: Number.POSITIVE_INFINITY, seed });
      return Array.from({ length: 100 }, () => (link.take(0, 1) === 'lost' ? '.' : '#')).join('');
    };
    assert.equal(lossesOf(7), lossesOf(7));
    assert.notEqual(lossesOf(7), lossesOf(8));
  });

  it('can carry what is left of its rate by headers and loss', () => {
    assert.equal(weatherLimit({ bitsPerSecond: 8000, lossShare: 0.5 }, 800, 1000), 400);
  });
});
