/**
 * The body of a message read from the socket straight into the reader's own memory. Node's way costs three copies, an allocation
 * and an event for every few KiB, which at full speed is most of what a receiver does.
 *
 * How: a socket can read into memory that it is given (net.Socket's `onread`), which Node offers only where a socket is made; here
 * it is set on a socket that is in use. The HTTP parser sees nothing of the body, and is told at its end how many bytes to skip,
 * so that all around the body stays Node's. Only for HTTP/1.1 bodies of known length on real sockets. Where anything of this is
 * missing, as it may be in another version of Node, nothing is touched and the body comes the usual way. A stream of a lane is asked
 * for its bytes openly (`divert`).
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** A socket that hands over what comes before it becomes part of its own stream (lane-socket.ts). */
export interface DivertibleSocket {
  /** `take` returns how many of the bytes it took; they are valid during the call only. The rest comes the usual way. */
  divert(take: (bytes: Uint8Array) => number): void;
}

/** As the engine's ByteSink. */
export interface BodySink {
  /** Where the next bytes are to go: never empty. Asked again after each `take`. */
  room(): Uint8Array;
  /** So many bytes are at the start of what `room` gave last. A promise asks to wait; what is on its way may still come. */
  take(bytes: number): Promise<void> | undefined;
}

export interface DirectBody {
  /** The sink is being waited for. */
  readonly waits: boolean;
  /** Resolves after `handleEnd`, when the sink has what it waited for; rejects with what the sink threw, or with what `fail` was given. */
  readonly done: Promise<void>;
  /** Begins, with pieces of the body that were read before. */
  start(pieces: readonly Uint8Array[]): void;
  /** The message has ended. */
  handleEnd(): void;
  /** What has not come yet comes the usual way: the message is paused, and has it. */
  fail(error: unknown): void;
}

/**
 * Null when the body has to be read the usual way. When all of it has come the message ends as usual ('end'), and it fails as usual
 * ('error', 'close') when the connection breaks before. `hadBytes`: of the body, read from the message before.
 */
export function readDirectly(message: IncomingMessage, sink: BodySink, hadBytes: number): DirectBody | null {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let waits = 0;
  let ended = false;
  let over = false;
  const diversion = divert(message, { room: () => sink.room(), take }, hadBytes);
  if (!diversion) return null;

  function take(bytes: number): void {
    if (over) return;
    try {
      const wait = sink.take(bytes);
      if (!wait) return;
      waits++;
      diversion!.pause();
      wait.then(handleReady, fail);
    } catch (error) {
      fail(error);
    }
  }

  function handleReady(): void {
    waits--;
    if (waits > 0 || over) return;
    if (ended) settle();
    else diversion!.resume();
  }

  function settle(): void {
    over = true;
    resolve();
  }

  function fail(error: unknown): void {
    if (over) return;
    over = true;
    diversion!.release();
    reject(error);
  }

  return {
    get waits() {
      return waits > 0;
    },
    done: promise,
    start: diversion.start,
    handleEnd() {
      ended = true;
      if (waits === 0 && !over) settle();
    },
    fail,
  };
}

interface DirectSink {
  room(): Uint8Array;
  /** Must not throw. Comes also after `pause`, for what was on its way. */
  take(bytes: number): void;
}

interface Diversion {
  start(pieces: readonly Uint8Array[]): void;
  pause(): void;
  resume(): void;
  /** Nothing more happens when all has come. */
  release(): void;
}

function divert(message: IncomingMessage, sink: DirectSink, hadBytes: number): Diversion | null {
  const socket = message.socket as InnerSocket;
  const { parser } = socket;
  const bodyBytes = message.headers['transfer-encoding'] === undefined ? Number(message.headers['content-length'] ?? 0) : 0;
  if (message.complete || !(bodyBytes > hadBytes + message.readableLength)) return null;
  const slot = bodySlot(parser);
  if (!parser || slot === null || parser.incoming !== message) return null;
  const tap = taps.get(socket) ?? openTap(socket);
  if (tap === null || tap.reader !== null) return null;

  let left = bodyBytes - hadBytes;
  /** Of the body, not seen by the parser. */
  let unseen = 0;
  let room: Uint8Array = NOTHING;
  let paused = false;

  const reader: Reader = {
    room() {
      // Nothing may come by the other way once memory is lent to the socket.
      drainMessage();
      return tap.reader === reader ? nextRoom() : null;
    },
    handleBytes(memory, bytes) {
      // What the message had before comes first.
      drainMessage();
      const leftBefore = left;
      if (memory === room) advance(bytes);
      else copy(memory.subarray(0, bytes));
      if (left === 0 && tap.reader === reader) finish();
      return leftBefore - left;
    },
  };

  function nextRoom(): Uint8Array {
    room = sink.room();
    if (room.length > left) room = room.subarray(0, left);
    return room;
  }

  function advance(bytes: number): void {
    left -= bytes;
    unseen += bytes;
    sink.take(bytes);
  }

  /** For what came into other memory. */
  function copy(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length && left > 0 && tap!.reader === reader; ) {
      const target = nextRoom();
      const part = bytes.subarray(at, at + target.length);
      target.set(part);
      at += part.length;
      advance(part.length);
    }
  }

  function finish(): void {
    tap!.reader = null;
    message.off('data', handleSeen);
    skip(socket, parser!, slot!, unseen);
    if (paused) socket.resume();
  }

  /** Returns what was not wanted any more. */
  function takePiece(piece: Uint8Array): Uint8Array {
    let rest = piece;
    while (rest.length > 0 && tap!.reader === reader) {
      const target = sink.room();
      const part = rest.subarray(0, target.length);
      target.set(part);
      rest = rest.subarray(part.length);
      sink.take(part.length);
    }
    return rest;
  }

  /** Came through the parser: before the diversion, or with the head of the message. */
  function handleSeen(piece: Uint8Array): void {
    left -= piece.length;
    const rest = takePiece(piece);
    if (rest.length > 0) message.unshift(rest);
    else if (left === 0 && tap!.reader === reader) finish();
  }

  function drainMessage(): void {
    while (message.readableLength > 0 && tap!.reader === reader) if (message.read() === null) return;
  }

  tap.reader = reader;
  return {
    start(pieces) {
      for (const piece of pieces) takePiece(piece);
      if (tap.reader !== reader) return;
      message.on('data', handleSeen);
      drainMessage();
      // Flowing, or it would never say that it has ended.
      if (!message.readableFlowing) message.resume();
    },
    pause() {
      if (tap.reader !== reader || paused) return;
      paused = true;
      socket.pause();
    },
    resume() {
      if (tap.reader !== reader || !paused) return;
      paused = false;
      socket.resume();
    },
    release() {
      if (tap.reader !== reader) return;
      message.pause();
      finish();
    },
  };
}

interface Reader {
  /** Memory for the next read from the socket; null when the body is whole. */
  room(): Uint8Array | null;
  /** Returns how many of the bytes were the body's. */
  handleBytes(memory: Uint8Array, bytes: number): number;
}

/** What a socket is told once, and then for as long as it lives. */
interface Tap {
  reader: Reader | null;
}

interface Parser {
  incoming?: IncomingMessage | null;
  [slot: number]: unknown;
}

interface InnerSocket extends Socket {
  readonly parser?: Parser | null;
  readonly _handle?: { useUserBuffer?(memory: Uint8Array): void } | null;
  [setting: symbol]: unknown;
}

function openTap(socket: InnerSocket & Partial<DivertibleSocket>): Tap | null {
  const tap: Tap = { reader: null };
  if (socket.divert) {
    socket.divert((bytes) => tap.reader?.handleBytes(bytes, bytes.length) ?? 0);
    taps.set(socket, tap);
    return tap;
  }
  const [memory, callback, next] = ['kBuffer', 'kBufferCb', 'kBufferGen'].map((name) =>
    Object.getOwnPropertySymbols(socket).find((symbol) => symbol.description === name),
  );
  const handle = socket._handle;
  if (!memory || !callback || !next || typeof handle?.useUserBuffer !== 'function' || socket[memory]) return null;
  // Somebody who listens for 'data' makes Node's server take the bytes through the socket; else they go from the handle to the parser.
  const listener = () => undefined;
  socket.on('data', listener);
  socket.off('data', listener);
  socket[memory] = SPARE;
  socket[callback] = (bytes: number, from: Uint8Array): boolean => {
    const taken = tap.reader?.handleBytes(from, bytes) ?? 0;
    // What is not a body, as Node would have handed it on.
    return taken === bytes || socket.push(Buffer.from(from.subarray(taken, bytes)));
  };
  socket[next] = () => tap.reader?.room() ?? SPARE;
  handle.useUserBuffer(SPARE);
  taps.set(socket, tap);
  return tap;
}

/** The parser counts bytes of the body that it has not seen. While it does, it has nobody to give them to. */
function skip(socket: InnerSocket, parser: Parser, slot: number, bytes: number): void {
  if (socket.destroyed || socket.parser !== parser) return;
  const onBody = parser[slot];
  parser[slot] = undefined;
  try {
    for (let left = bytes; left > 0; left -= SPARE.length) socket.emit('data', SPARE.subarray(0, Math.min(left, SPARE.length)));
  } finally {
    parser[slot] = onBody;
  }
}

/** Where a parser keeps whom to give pieces of a body to. */
function bodySlot(parser: Parser | null | undefined): number | null {
  for (let slot = 0; parser && slot < MOST_SLOTS; slot++) {
    const listener = parser[slot];
    if (typeof listener === 'function' && listener.name === 'parserOnBody') return slot;
  }
  return null;
}

const taps = new WeakMap<Socket, Tap>();
/** For what is no body. One for all: what is in it is copied before anybody else reads. */
const SPARE = Buffer.allocUnsafeSlow(64 * 1024);
const NOTHING = new Uint8Array(0);
const MOST_SLOTS = 16;
