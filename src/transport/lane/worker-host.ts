/** Starts the lane's thread and talks with it. One thread serves every lane of the process. */
import { Worker } from 'node:worker_threads';
import { HawserError } from '../../core/errors.ts';
import type { LaneLink } from './lane-link.ts';
import { type FromThread, ITEM_VALUES, ItemQueue, type StreamItems, type ToThread } from './thread-messages.ts';

export interface ThreadHost {
  readonly queue: ItemQueue;
  /** Sends what is in the queue at the end of this turn of the event loop. */
  flushSoon(): void;
  flush(): void;
  post(message: ToThread, transfer?: ArrayBuffer[]): void;
  /** While anybody holds it, the thread keeps the process alive. */
  hold(): void;
  release(): void;
  newKey(): number;
  add(key: number, link: LaneLink): void;
  remove(key: number): void;
  /** Hears what is told about a lane or a listener that is no lane yet; returns how to stop hearing. */
  hear(key: number, listener: (message: FromThread) => void): () => void;
  recentTrace(lane: number): Promise<readonly string[]>;
  /** It stopped, and every lane with it. */
  dead(): boolean;
}

/** The process's thread, started when it is first asked for, and again should it have died. */
export function laneThread(): ThreadHost {
  if (!shared || shared.dead()) shared = startThread();
  return shared;
}

/** A thread of its own. `laneModule` is the URL of a module that exports `createLane`: the tests have another. */
export function startThread(laneModule: string = LANE_MODULE): ThreadHost & { stop(): Promise<void> } {
  const worker = new Worker(WORKER_FILE, {
    workerData: { laneModule },
    name: 'hawser-lane',
    // Options of the process may be none for a thread (--input-type), and it needs none.
    execArgv: [],
    // What lives there lives for a packet or for the lane: more room would only be filled before it is swept.
    resourceLimits: { maxYoungGenerationSizeMb: 2 },
  });
  const queue = new ItemQueue();
  const links = new Map<number, LaneLink>();
  const hearers = new Map<number, (message: FromThread) => void>();
  const traces = new Map<number, (lines: readonly string[]) => void>();
  let holds = 0;
  let lastKey = 0;
  let lastCall = 0;
  let flushing = false;
  let dead = false;
  worker.unref();

  const post = (message: ToThread, transfer: ArrayBuffer[] = []): void => {
    if (!dead) worker.postMessage(message, transfer);
  };

  function flush(): void {
    flushing = false;
    queue.flush(post);
  }

  function handleItems(items: StreamItems): void {
    for (let i = 0; i < items.length; i += ITEM_VALUES)
      links
        .get(items[i + 1] as number)
        ?.handleItem(items[i] as number, items[i + 2] as number, items[i + 3] as number | Uint8Array);
  }

  function handleDeath(cause: unknown): void {
    if (dead) return;
    dead = true;
    const error = new HawserError('internal', 'The thread that carries lanes stopped.', { cause });
    for (const link of [...links.values()]) link.end('the thread that carries lanes stopped', false);
    for (const hear of [...hearers.values()]) hear({ op: 'listen-failed', listener: 0, code: 'EIO', message: error.message });
    for (const answer of traces.values()) answer([]);
  }

  worker.on('message', (message: FromThread) => {
    if (message.op === 'streams') handleItems(message.items);
    else if (message.op === 'recent') {
      traces.get(message.call)?.(message.lines);
      traces.delete(message.call);
    } else if (message.op === 'fault') process.emitWarning(message.stack, 'LaneFault');
    else if (message.op !== 'ready') {
      const key = 'lane' in message ? message.lane : message.listener;
      hearers.get(key)?.(message);
      links.get(key)?.handleMessage(message);
    }
  });
  worker.on('error', handleDeath);
  worker.on('exit', (code) => handleDeath(new Error(`exit code ${code}`)));

  return {
    queue,
    flush,
    post,
    flushSoon() {
      if (flushing) return;
      flushing = true;
      setImmediate(flush);
    },
    hold() {
      if (holds++ === 0) worker.ref();
    },
    release() {
      if (--holds === 0) worker.unref();
    },
    newKey: () => ++lastKey,
    add: (key, link) => void links.set(key, link),
    remove: (key) => void links.delete(key),
    hear(key, listener) {
      hearers.set(key, listener);
      return () => void hearers.delete(key);
    },
    recentTrace(lane) {
      if (dead) return Promise.resolve([]);
      const call = ++lastCall;
      return new Promise((resolve) => {
        traces.set(call, resolve);
        post({ op: 'recent', lane, call });
      });
    },
    dead: () => dead,
    async stop() {
      await worker.terminate();
    },
  };
}

let shared: ReturnType<typeof startThread> | null = null;

/** Beside this file, under the names that they have there (they are .js in a built package). */
const EXTENSION = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
const WORKER_FILE = new URL(`./worker-main${EXTENSION}`, import.meta.url);
const LANE_MODULE = new URL(`../../core/lane/connection${EXTENSION}`, import.meta.url).href;
