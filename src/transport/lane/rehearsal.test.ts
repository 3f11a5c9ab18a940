import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createLane } from '../../core/lane/connection.ts';
import { CONTENT_BYTES, rehearse } from './rehearsal.ts';

it('brings all bytes from one lane in memory to the other', () => {
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
  assert.equal(rehearse(createLane, random), CONTENT_BYTES);
});
