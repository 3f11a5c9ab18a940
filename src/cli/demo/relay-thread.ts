/** The relay in a thread of its own: what stalls the demo (files, hashes, drawing) is not to look like weather. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Relay, RelayOptions, RelayReport } from './relay.ts';

/** The report is at most a tenth of a second old. */
export async function startRelayThread(options: Omit<RelayOptions, 'nowMs'>): Promise<Relay> {
  const worker = new Worker(WORKER_FILE, { workerData: options, name: 'hawser-demo-relay' });
  const [{ port }] = (await once(worker, 'message')) as [{ port: number }];
  let report: RelayReport = { up: NOTHING, down: NOTHING, recent: '' };
  worker.on('message', (next: RelayReport) => {
    report = next;
  });
  // A relay that died is a link that died; the transfer says so.
  worker.on('error', () => undefined);
  return {
    port,
    report: () => report,
    async close() {
      await worker.terminate();
    },
  };
}

const NOTHING = { packets: 0, bytes: 0, lost: 0, dropped: 0 };
const WORKER_FILE = new URL(`./relay-worker${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`, import.meta.url);
