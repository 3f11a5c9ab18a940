/** Worker thread: runs a relay and reports ten times a second. It ends when it is terminated. */
import { parentPort, workerData } from 'node:worker_threads';
import { openRelay, type RelayOptions } from './relay.ts';

const relay = await openRelay(workerData as RelayOptions);
parentPort!.postMessage({ port: relay.port });
setInterval(() => parentPort!.postMessage(relay.report()), 100);
