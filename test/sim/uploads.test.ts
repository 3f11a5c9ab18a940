import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { simulateUploads } from './uploads.ts';

const SEEDS = Number(process.env.SIM_SEEDS ?? 200);
const FIRST = 1;

describe('uploads against a disk that loses unsynced writes', () => {
  it(`${SEEDS} seeds: recorded blocks are intact, nothing is published before its digest matched, all finish`, async () => {
    let crashes = 0;
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) crashes += (await simulateUploads(seed)).crashes;
    assert.ok(crashes > SEEDS, `only ${crashes} power cuts: the simulation is too kind`);
  });

  it('canary: recording blocks before they are synced is caught', async () => {
    let caught = '';
    for (let seed = FIRST; seed < FIRST + SEEDS && caught === ''; seed++) {
      caught = await simulateUploads(seed, { syncsLate: true }).then(
        () => '',
        (error) => String(error),
      );
    }
    assert.match(caught, /is not intact|not what was sent|nobody sent whole/);
  });
});
