/**
 * The requests in flight, shared by all files that are being sent: as many as the flow says, each carrying a run of blocks of the
 * first file that has some to send. Many files of a few megabytes and one of a terabyte fill the link the same way.
 */

import { createTries } from '../retry.ts';
import { createSlots, type Slots } from '../slots.ts';
import type { Flow } from './flow.ts';
import type { Job } from './job.ts';

/** A file with blocks to send. */
export interface Outgoing {
  /** False when there is nothing to send just now. */
  readonly ready: boolean;
  /** The next run of blocks, of about `bytes` or less, when ready. */
  take(bytes: number, streams: number): Chunk;
}

export interface Chunk {
  readonly bytes: number;
  /**
   * Resolves when the bytes are safe, or when what went wrong is the file's own matter; rejects with what may be tried again.
   * `onSent` is called when all of them have left and only the answer is missing.
   */
  send(onSent: () => void): Promise<void>;
  /** Sending has been tried for long enough: the file fails with this. */
  abandon(error: unknown): void;
}

export interface Streams {
  /** One for each request with content, chunk or pack. */
  readonly slots: Slots;
  add(outgoing: Outgoing): void;
  remove(outgoing: Outgoing): void;
  /** Some file has more to send. */
  wake(): void;
}

export function createStreams(job: Job, flow: Flow): Streams {
  const files = new Set<Outgoing>();
  const slots = createSlots(() => job.options.parallel ?? Math.max(flow.requests, flow.packs));
  let running = 0;
  /** Of those, the ones that have sent all and wait for the answer: the link is free for another. */
  let waiting = 0;

  function nextReady(): Outgoing | null {
    for (const file of files) if (file.ready) return file;
    return null;
  }

  function wake(): void {
    slots.handleLimit();
    while (running - waiting < flow.streams && running < flow.requests && !job.signal.aborted && nextReady()) {
      running++;
      void run();
    }
  }

  async function run(): Promise<void> {
    let tries = createTries(job.retry);
    for (;;) {
      const release = await slots.acquire();
      // Fewer streams may be wanted by now, or others may have taken all there was.
      const file = running - waiting > flow.streams || job.signal.aborted ? null : nextReady();
      if (!file) {
        running--;
        release();
        return;
      }
      const chunk = file.take(flow.chunkBytes, flow.streams);
      let sent = false;
      const handleSent = () => {
        if (sent) return;
        sent = true;
        waiting++;
        wake();
      };
      const handleAnswer = () => {
        if (sent) waiting--;
      };
      try {
        const startedMs = performance.now();
        await chunk.send(handleSent).finally(handleAnswer);
        flow.handleSent(chunk.bytes, startedMs);
        release();
        wake();
      } catch (error) {
        release();
        flow.handleFailure(error);
        try {
          await tries.failed(error);
        } catch (last) {
          chunk.abandon(last);
          tries = createTries(job.retry);
        }
      }
    }
  }

  return {
    slots,
    add(outgoing) {
      files.add(outgoing);
      wake();
    },
    remove: (outgoing) => files.delete(outgoing),
    wake,
  };
}
