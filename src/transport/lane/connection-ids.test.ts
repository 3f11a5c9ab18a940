import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConnectionIds } from './connection-ids.ts';

describe('connection ids', () => {
  it('are told apart when they share a half', () => {
    const ids = new ConnectionIds<string>();
    ids.add(1, 2, 'a', 0);
    ids.add(1, 3, 'b', 1);
    ids.add(2, 2, 'c', 2);
    assert.deepEqual([ids.find(1, 2)?.owner, ids.find(1, 3)?.owner, ids.find(2, 2)?.owner], ['a', 'b', 'c']);
    assert.equal(ids.find(1, 3)?.pathId, 1);
    assert.equal(ids.find(2, 3), null);
    assert.equal(ids.find(3, 2), null);
  });

  it('that are removed leave those that share a half', () => {
    const ids = new ConnectionIds<string>();
    for (const low of [1, 2, 3]) ids.add(9, low, `lane ${low}`, 0);
    ids.remove(9, 2);
    assert.equal(ids.find(9, 2), null);
    assert.deepEqual([ids.find(9, 1)?.owner, ids.find(9, 3)?.owner], ['lane 1', 'lane 3']);
    ids.remove(9, 1);
    ids.remove(9, 3);
    assert.equal(ids.find(9, 3), null);
  });
});
