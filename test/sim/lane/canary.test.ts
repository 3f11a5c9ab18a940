/** Machines that are broken on purpose: were they not caught, the other tests would prove nothing. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { BlocksOut } from '../../../src/core/lane/blocks-out.ts';
import { CheckedPair, insides } from './checked-pair.ts';
import type { LaneEnd } from './pair.ts';

const BREAKS: Record<string, { readonly how: (end: LaneEnd) => void; readonly caught: RegExp }> = {
  'a sender that counts a lost symbol as arrived': {
    how: (end) => {
      const { blocksOut } = insides(end);
      blocksOut.handleLost = (id, symbol) => blocksOut.handleAcked(id, symbol, true);
    },
    caught: /not done/,
  },
  'a sender that forgets a loss': {
    how: (end) => {
      insides(end).blocksOut.handleLost = () => undefined;
    },
    caught: /in flight/,
  },
  'a sender that takes an acknowledgement twice': {
    how: (end) => {
      const { blocksOut } = insides(end);
      const handleAcked: BlocksOut['handleAcked'] = blocksOut.handleAcked.bind(blocksOut);
      blocksOut.handleAcked = (id, symbol) => {
        handleAcked(id, symbol, true);
        handleAcked(id, symbol, true);
      };
    },
    caught: /in flight/,
  },
  'a sender that uses a packet number again': {
    how: (end) => {
      const { log } = insides(end).paths[0]!;
      const add = log.add.bind(log);
      let sent = 0;
      log.add = (sentUs, wireBytes) => {
        if (++sent === 100) log.next--;
        return add(sentUs, wireBytes);
      };
    },
    caught: /is used again|in the log/,
  },
  'a receiver that delivers before a block is whole': {
    how: (end) => {
      const { blocksIn } = end.lane as unknown as { blocksIn: { handleSymbol: unknown; place: unknown } };
      const inner = blocksIn as unknown as {
        place: (block: { sources: number; sourceSymbols: number }, symbol: number, bytes: Uint8Array) => boolean;
      };
      const place = inner.place.bind(blocksIn);
      inner.place = (block, symbol, bytes) => {
        const placed = place(block, symbol, bytes);
        if (block.sources === block.sourceSymbols - 1) block.sources++;
        return placed;
      };
    },
    caught: /other bytes|closed/,
  },
  'a receiver that delivers streams out of order': {
    how: (end) => {
      const { streamsIn } = end.lane as unknown as { streamsIn: { handleRecord: unknown } };
      const inner = streamsIn as unknown as {
        handleRecord: (id: number, flags: number, segment: { offset: number; bytes: Uint8Array; exclusive: boolean }) => null;
      };
      inner.handleRecord = (id, _flags, { bytes, exclusive }) => {
        if (bytes.length > 0) (end.lane as unknown as { events: unknown[] }).events.push({ type: 'data', id, bytes, exclusive });
        return null;
      };
    },
    caught: /other bytes|not done/,
  },
};

for (const [name, { how, caught }] of Object.entries(BREAKS)) {
  test(`${name} is caught`, () => {
    const run = (breaks: boolean): CheckedPair => {
      const checked = new CheckedPair({ seed: 1, paths: [{ up: { bitsPerSecond: 20e6, delayUs: 20_000, lossRate: 0.1 } }] });
      if (breaks) how(checked.pair[name.includes('receiver') ? 'server' : 'client']);
      checked.exchange(800_000, 0);
      const { net } = checked.pair;
      const check = (): void => {
        checked.checkAccounts();
        net.after(50_000, check);
      };
      check();
      return checked;
    };
    assert.throws(() => run(true).finish(20e6), caught);
    run(false).finish(20e6);
  });
}
