import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LaneLink } from './lane-link.ts';
import type { LaneSocket } from './lane-socket.ts';
import { ItemQueue, SENT } from './thread-messages.ts';
import type { ThreadHost } from './worker-host.ts';

const KIBIBYTE = 1024;
const MEBIBYTE = 1 << 20;

/** A lane whose thread takes what is written, and says what the test wants. */
function make(): LaneLink {
  const host: ThreadHost = {
    queue: new ItemQueue(),
    flush() {},
    flushSoon() {},
    post() {},
    hold() {},
    release() {},
    newKey: () => 1,
    add() {},
    remove() {},
    hear: () => () => {},
    recentTrace: async () => [],
    dead: () => false,
  };
  return new LaneLink(host, 1, { laneId: 'test', role: 'client' });
}

/** Streams that each have so much to say. */
async function writers(link: LaneLink, count: number, bytes = 8 * MEBIBYTE): Promise<LaneSocket[]> {
  const sockets = Array.from({ length: count }, () => link.connect());
  for (const socket of sockets) socket.write(Buffer.alloc(bytes));
  await new Promise((resolve) => setImmediate(resolve));
  return sockets;
}

const queued = (sockets: readonly LaneSocket[]): number[] => sockets.map(({ queuedBytes }) => queuedBytes / KIBIBYTE);

describe('what waits in the thread', () => {
  it('is a mebibyte of a stream, four of all, and a little of whoever has a turn later', async () => {
    const sockets = await writers(make(), 8);
    assert.deepEqual(queued(sockets), [1024, 1024, 1024, 1024, 256, 256, 256, 256]);
  });

  it('is made good in whole pieces: whoever has its turn at once, the others when there is room for all', async () => {
    const link = make();
    const sockets = await writers(link, 5);
    const sent = (of: number, kibibytes: number) => link.handleItem(SENT, sockets[of]!.streamId, kibibytes * KIBIBYTE);
    sent(0, 300);
    assert.deepEqual(queued(sockets), [980, 1024, 1024, 1024, 256]);
    sent(0, 980);
    assert.deepEqual(queued(sockets), [256, 1024, 1024, 1024, 1024], 'it was without bytes, and has lost its turn');
    sent(1, 512);
    assert.deepEqual(queued(sockets), [256, 1024, 1024, 1024, 1024]);
  });

  it('does not count of streams that wait for credit while younger ones are sent', async () => {
    const link = make();
    const sockets = await writers(link, 6);
    link.handleItem(SENT, sockets[2]!.streamId, 256 * KIBIBYTE);
    assert.deepEqual(queued(sockets), [1024, 1024, 1024, 1024, 1024, 1024]);
  });

  it('takes its order from when streams had something to send, not from when they were opened', async () => {
    const link = make();
    const [first, second] = await writers(link, 2, 512 * KIBIBYTE);
    link.handleItem(SENT, first!.streamId, 512 * KIBIBYTE);
    first!.write(Buffer.alloc(8 * MEBIBYTE));
    const others = await writers(link, 4);
    link.handleItem(SENT, second!.streamId, 100 * KIBIBYTE);
    assert.deepEqual(queued([first!, ...others]), [1024, 1024, 1024, 512, 256]);
  });
});
