/** A lane as the main thread sees it: its streams as sockets, its state as the thread told it last. */
import { EventEmitter } from 'node:events';
import { performance } from 'node:perf_hooks';
import type { LanePolicy, LaneSnapshot, PathState } from '../../core/lane/contract.ts';
import { LaneSocket, type SocketLane } from './lane-socket.ts';
import type { FromThread, LaneFigures } from './thread-messages.ts';
import {
  ABANDON,
  CONSUMED,
  DATA,
  END,
  ENDED,
  FREE,
  OPEN,
  RECYCLE,
  RECYCLED_BYTES,
  RESET,
  SENT,
  STREAM,
  WAS_RESET,
  WRITE,
} from './thread-messages.ts';
import type { ThreadHost } from './worker-host.ts';

export interface LanePathInfo {
  readonly state: PathState;
  /** The peer's address on this path. */
  readonly host: string;
  readonly port: number;
}

export interface LaneLinkEvents {
  /** Once: nothing more will come. */
  closed: [reason: string, byPeer: boolean];
  path: [pathId: number, info: LanePathInfo];
  /** Nothing was answered for two seconds; the trace of what came before is in a file. Only with `stallFolder`. */
  stalled: [file: string];
}

export class LaneLink extends EventEmitter<LaneLinkEvents> {
  readonly laneId: string;
  readonly paths = new Map<number, LanePathInfo>();
  /** A client's: what tells its paths from each other, for people. */
  readonly pathNames: string[] = [];
  /** Of the greeting, until packets have told more; null: there was none. */
  greetedRttMs: number | null = null;
  closed = false;
  private readonly host: ThreadHost;
  private readonly key: number;
  private readonly role: 'client' | 'server';
  private readonly sockets = new Map<number, LaneSocket>();
  /** Those with bytes in the thread, as they came there; of the overtaken nothing was sent when it was a later one's turn. */
  private readonly turns = new Map<LaneSocket, 'waits' | 'overtaken'>();
  private readonly spare: SharedArrayBuffer[] = [];
  private readonly socketLane: SocketLane;
  private readonly onStream: ((socket: LaneSocket) => void) | null;
  private nextStream: number;
  private last: LaneSnapshot | null = null;
  private lastFigures: LaneFigures | null = null;
  private heardMs = performance.now();
  private remote: { host: string; port: number } | null = null;

  /** `onStream` takes the streams that the peer opens; without it they are given up. */
  constructor(
    host: ThreadHost,
    key: number,
    options: { laneId: string; role: 'client' | 'server'; onStream?: (socket: LaneSocket) => void },
  ) {
    super();
    this.host = host;
    this.key = key;
    this.laneId = options.laneId;
    this.role = options.role;
    this.nextStream = options.role === 'client' ? 0 : 1;
    this.onStream = options.onStream ?? null;
    const { queue } = host;
    const add = (operation: number, stream: number, value: number): void => {
      if (!this.closed) queue.add(operation, key, stream, value);
      host.flushSoon();
    };
    const link = this;
    this.socketLane = {
      write(socket, bytes) {
        if (!link.closed) queue.addBytes(WRITE, key, socket.streamId, bytes);
        if (!link.turns.has(socket)) link.turns.set(socket, 'waits');
        host.flushSoon();
      },
      end: (stream) => add(END, stream, 0),
      reset: (stream) => add(RESET, stream, 0),
      abandon: (stream) => add(ABANDON, stream, 0),
      consumed: (stream, bytes) => add(CONSUMED, stream, bytes),
      memory: (bytes) => link.memory(bytes),
      room: (socket) => link.room(socket),
      recycle(bytes) {
        // What is small is not worth the way back.
        if (!link.closed && bytes.buffer.byteLength >= RECYCLED_BYTES)
          queue.addBytes(RECYCLE, key, 0, new Uint8Array(bytes.buffer));
      },
      forget(socket) {
        link.sockets.delete(socket.streamId);
        link.turns.delete(socket);
      },
      hold: () => host.hold(),
      release: () => host.release(),
      get remoteAddress() {
        return link.remote?.host;
      },
      get remotePort() {
        return link.remote?.port;
      },
    };
  }

  /** A new stream. It costs no round trip; what is written goes out with the next packets. */
  connect(): LaneSocket {
    const stream = this.nextStream;
    this.nextStream += 2;
    const socket = new LaneSocket(this.socketLane, stream, { allowHalfOpen: false });
    if (this.closed) socket.handleReset('The lane is closed.');
    else {
      this.host.queue.add(OPEN, this.key, stream, 0);
      this.sockets.set(stream, socket);
      this.host.flushSoon();
    }
    return socket;
  }

  /** As it was some quarter of a second ago; null: the lane is younger. */
  stats(): LaneSnapshot | null {
    return this.last;
  }

  /** What the driver counts. */
  figures(): LaneFigures | null {
    return this.lastFigures;
  }

  /** For how long nothing authentic has come, to a quarter of a second. An idle lane is greeted by its peer every 15 s. */
  get silentMs(): number {
    return performance.now() - this.heardMs;
  }

  /** The peer's current address. */
  get remoteAddress(): string | undefined {
    return this.remote?.host;
  }

  /** Asks the peer for a sign of life; without one after several, paths are `failed`. */
  ping(): void {
    this.host.post({ op: 'ping', lane: this.key });
  }

  setPolicy(policy: LanePolicy): void {
    this.host.post({ op: 'policy', lane: this.key, policy });
  }

  /** Most bytes a second on the wire; Infinity: no cap. */
  setCap(bytesPerSecond: number): void {
    this.host.post({ op: 'cap', lane: this.key, bytesPerSecond });
  }

  /** The last 30 s of the lane's trace, a JSON text for each event. */
  recentTrace(): Promise<readonly string[]> {
    return this.host.recentTrace(this.key);
  }

  /** Ends every stream and the lane. Resolves when the peer was sent word of it; a process that ends sooner takes the thread along. */
  close(reason = 'closed'): Promise<void> {
    if (this.closed) return Promise.resolve();
    // What was written a moment ago goes first.
    this.host.flush();
    this.host.post({ op: 'close', lane: this.key, reason });
    this.host.hold();
    return new Promise((resolve) => {
      this.once('closed', () => {
        this.host.release();
        resolve();
      });
    });
  }

  /** The host's: something about this lane. */
  handleMessage(message: FromThread): void {
    switch (message.op) {
      case 'address': {
        const { pathId, host, port } = message;
        const known = this.paths.get(pathId);
        if (known) this.paths.set(pathId, { ...known, host, port });
        this.remote = { host, port };
        break;
      }
      case 'path': {
        const { pathId, state, host, port } = message;
        const info = { state, host, port };
        this.paths.set(pathId, info);
        if (state === 'active' || this.remote === null) this.remote = { host, port };
        this.emit('path', pathId, info);
        break;
      }
      case 'snapshot':
        if (message.figures.receivedDatagrams !== this.lastFigures?.receivedDatagrams) this.heardMs = performance.now();
        this.last = message.snapshot;
        this.lastFigures = message.figures;
        break;
      case 'stalled':
        this.emit('stalled', message.file);
        break;
      case 'closed':
        this.end(message.reason, message.byPeer);
    }
  }

  handleItem(operation: number, stream: number, value: number | Uint8Array): void {
    if (operation === STREAM) {
      this.accept(stream);
      return;
    }
    if (operation === FREE) {
      if (this.spare.length < MOST_SPARE) this.spare.push((value as Uint8Array<SharedArrayBuffer>).buffer);
      return;
    }
    const socket = this.sockets.get(stream);
    if (!socket) return;
    if (operation === DATA) socket.handleData(value as Uint8Array);
    else if (operation === SENT) this.handleSent(socket, value as number);
    else if (operation === ENDED) socket.handleEnd();
    else if (operation === WAS_RESET) socket.handleReset();
  }

  /** The lane is no more. */
  end(reason: string, byPeer: boolean): void {
    if (this.closed) return;
    this.closed = true;
    for (const socket of [...this.sockets.values()]) socket.handleReset(`The lane is closed: ${reason}.`);
    this.host.remove(this.key);
    this.emit('closed', reason, byPeer);
  }

  /**
   * Memory that went to the thread before. It is shared, though only one of the two uses it at a time: V8 takes what is transferred
   * for new memory whenever it comes back, and looks through the whole heap after every 32 MiB of it.
   */
  private memory(bytes: number): Uint8Array {
    if (bytes < RECYCLED_BYTES) return new Uint8Array(bytes);
    return new Uint8Array(this.spare.pop() ?? new SharedArrayBuffer(SLAB_BYTES), 0, Math.min(bytes, SLAB_BYTES));
  }

  /**
   * The thread sends streams one after another. All of them together wait there for so long that it never waits for this one, and not
   * for longer: what is there is memory. One that others overtake waits for its reader's credit, and does not keep them from their turn.
   */
  private room(socket: LaneSocket): number {
    let all = 0;
    let first: LaneSocket | null = null;
    for (const [each, state] of this.turns) {
      if (state === 'overtaken') continue;
      first ??= each;
      all += each.queuedBytes;
    }
    const rate = this.last?.paths.reduce((sum, { rateBytesPerSecond }) => sum + rateBytesPerSecond, 0) ?? 0;
    const left = socket === first ? Infinity : Math.max(ALL_AHEAD_BYTES, rate * AHEAD_SECONDS) - all;
    const { queuedBytes } = socket;
    return Math.max(0, LEAST_AHEAD_BYTES - queuedBytes, Math.min(MOST_AHEAD_BYTES - queuedBytes, left));
  }

  private handleSent(socket: LaneSocket, bytes: number): void {
    socket.handleSent(bytes);
    for (const other of bytes > SHORT_BYTES ? this.turns.keys() : []) {
      if (other === socket) break;
      this.turns.set(other, 'overtaken');
    }
    if (socket.queuedBytes === 0) this.turns.delete(socket);
    else this.turns.set(socket, 'waits');
    for (const other of [...this.turns.keys()]) other.handleRoom();
    for (const other of this.sockets.values()) other.handleRoom();
  }

  private accept(stream: number): void {
    if (!this.onStream) {
      this.socketLane.reset(stream);
      return;
    }
    const socket = new LaneSocket(this.socketLane, stream, { allowHalfOpen: this.role === 'server' });
    this.sockets.set(stream, socket);
    this.onStream(socket);
  }
}

/** Of one size, so that each fits all: what is given up waits for the next look through the heap, and nothing hastens that. */
const SLAB_BYTES = 256 * 1024;
/** As much as streams that are overtaken may wait with: 16 MiB. */
const MOST_SPARE = 64;
/** So few may be a request or an answer, which goes before others in any case (streams-out.ts). */
const SHORT_BYTES = 4096;
/** What the lane carries while a busy machine keeps the main thread from its turn. */
const AHEAD_SECONDS = 0.25;
const ALL_AHEAD_BYTES = 4 << 20;
const MOST_AHEAD_BYTES = 1 << 20;
/** Whoever has a turn is not without bytes when it comes. */
const LEAST_AHEAD_BYTES = 256 * 1024;
