/** What the thread that holds every lane of this process does. */
import { randomFillSync } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import type { createLane } from '../../core/lane/connection.ts';
import { createLaneThread } from './thread.ts';
import type { FromThread, ToThread } from './thread-messages.ts';

if (!parentPort) throw new Error('This file is run by worker-main.ts in a thread.');
const main = parentPort;
const { laneModule } = workerData as { laneModule: string };
const lane = (await import(laneModule)) as { createLane: typeof createLane };

const numbers = new Uint32Array(256);
let used = numbers.length;
function random(): number {
  if (used === numbers.length) {
    randomFillSync(numbers);
    used = 0;
  }
  return numbers[used++] as number;
}

const post = (message: FromThread, transfer: ArrayBuffer[] = []): void => main.postMessage(message, transfer);
const thread = createLaneThread({ createLane: lane.createLane, post, random });
main.on('message', (message: ToThread) => thread.handle(message));
post({ op: 'ready' });
