/**
 * The server's end of lanes: one UDP port for all of them.
 *
 * @example
 * const listener = await listenLanes({ host: '0.0.0.0', port: 7420, onStream: (laneId, socket) => server.emit('connection', socket) });
 * listener.add({ laneId, suite: 'aes-128-gcm', secret, clientRandom, maxPaths: 4, policy: { kind: 'fair' } });
 */
import { HawserError } from '../../core/errors.ts';
import type { LaneSnapshot } from '../../core/lane/contract.ts';
import { LaneLink } from './lane-link.ts';
import type { LaneSocket } from './lane-socket.ts';
import { parametersOf } from './open.ts';
import type { FromThread, LaneParameters } from './thread-messages.ts';
import { laneThread, type ThreadHost } from './worker-host.ts';

export interface ListenLanesOptions {
  /** IP address to listen on. "::" takes IPv4 as well, where the system does. */
  readonly host: string;
  /** 0: the system chooses. */
  readonly port: number;
  /** Default 256. */
  readonly maxLanes?: number;
  /** Of one `peer`. Default 16. */
  readonly maxLanesPerPeer?: number;
  /** A stream that a client opened. `remoteAddress` is where the client is just now; the socket's own follows it. */
  readonly onStream: (laneId: string, socket: LaneSocket, remoteAddress: string | undefined) => void;
  /**
   * A hello of somebody who has a ticket, or says so, and what to answer; null: nothing. A lane that it opens is added with the
   * same `from`. Default: none is answered.
   */
  readonly onHello?: (hello: Uint8Array, from: HelloSender) => Promise<Uint8Array | null>;
  readonly onClosed?: (laneId: string, reason: string) => void;
  /** Default true: hand many datagrams to the system in one piece, where it can. */
  readonly segmentation?: boolean;
  /** Default: the process's own. */
  readonly thread?: ThreadHost;
}

/** An address, for the thread. */
export type HelloSender = Uint32Array;

export interface ServerLaneParameters extends LaneParameters {
  /** Where the hello came from that asked for it. */
  readonly provenAddress?: HelloSender;
  /** What an earlier lane of the same client reached, this way, and the round trip that it had. */
  readonly cachedBytesPerSecond?: number;
  readonly cachedRttMs?: number;
  /** Who asks, for the limit of lanes of one: an account or an address. Default: no limit but that of all lanes. */
  readonly peer?: string;
}

export interface LaneStats {
  /** The client's current address; undefined before its first packet. */
  readonly peer: string | undefined;
  /** Null: the lane is younger than its first report. */
  readonly snapshot: LaneSnapshot | null;
}

export interface LaneListener {
  readonly port: number;
  /** What the system's socket buffers lack, in a sentence with what to do about it; null: nothing. */
  readonly hint: string | null;
  /** Expects a lane from now on; it is dropped when nothing authentic comes within its `idleMs`. Throws busy: too many lanes. */
  add(parameters: ServerLaneParameters): LaneLink;
  /** Closes a lane; the client is told why. */
  remove(laneId: string, reason?: string): void;
  /** Undefined: there is no such lane. */
  stats(laneId: string): LaneStats | undefined;
  /** Its thread stopped: another must be opened. */
  readonly dead: boolean;
  close(): Promise<void>;
}

/** Resolves when the port is open. Rejects with `usage` when it cannot be had. */
export async function listenLanes(options: ListenLanesOptions): Promise<LaneListener> {
  const { maxLanes = 256, maxLanesPerPeer = 16, onStream, onHello, onClosed, thread: host = laneThread() } = options;
  const listener = host.newKey();
  const lanes = new Map<string, { readonly link: LaneLink; readonly peer: string | undefined }>();
  host.hold();
  let stopHearing: () => void = () => undefined;
  const opened = await new Promise<{ port: number; hint: string | null }>((resolve, reject) => {
    stopHearing = host.hear(listener, (message) => {
      if (message.op === 'listening') resolve(message);
      else if (message.op === 'listen-failed') reject(cannotListen(options, message.code, message.message));
      else if (message.op === 'hello') void handleHello(message);
    });
    host.post({
      op: 'listen',
      listener,
      host: options.host,
      port: options.port,
      segmentation: options.segmentation !== false,
    });
  }).catch((error) => {
    stopHearing();
    host.release();
    throw error;
  });

  async function handleHello({ bytes: hello, from, arrivedUs }: Extract<FromThread, { op: 'hello' }>): Promise<void> {
    const bytes = await onHello?.(hello, from);
    // After the lane itself, which the client will use at once.
    if (bytes) host.post({ op: 'answer', listener, to: from, bytes, arrivedUs });
  }

  let closing: Promise<void> | null = null;
  async function close(): Promise<void> {
    await Promise.all([...lanes.values()].map(({ link }) => link.close('the server is stopping')));
    stopHearing();
    host.post({ op: 'unlisten', listener });
    host.release();
  }

  return {
    port: opened.port,
    hint: opened.hint,
    add(parameters) {
      const { laneId, peer } = parameters;
      const ofPeer = [...lanes.values()].filter((lane) => peer !== undefined && lane.peer === peer).length;
      if (closing || lanes.size >= maxLanes || ofPeer >= maxLanesPerPeer)
        throw new HawserError('busy', `There are ${lanes.size} lanes already, ${ofPeer} of them this client's: use fewer.`, {
          value: laneId,
        });
      const key = host.newKey();
      const link: LaneLink = new LaneLink(host, key, {
        laneId,
        role: 'server',
        onStream: (socket) => onStream(laneId, socket, link.remoteAddress),
      });
      lanes.set(laneId, { link, peer });
      link.once('closed', (reason) => {
        if (lanes.get(laneId)?.link === link) lanes.delete(laneId);
        onClosed?.(laneId, reason);
      });
      host.add(key, link);
      const { provenAddress = null, cachedBytesPerSecond = null, cachedRttMs = null } = parameters;
      host.post({
        op: 'accept',
        lane: key,
        listener,
        parameters: parametersOf(parameters),
        provenAddress,
        cachedBytesPerSecond,
        cachedRttMs,
      });
      return link;
    },
    remove(laneId, reason = 'removed') {
      const lane = lanes.get(laneId);
      // Its place is free from now on, though the thread has yet to hear of it.
      lanes.delete(laneId);
      void lane?.link.close(reason);
    },
    stats(laneId) {
      const link = lanes.get(laneId)?.link;
      return link && { peer: link.remoteAddress, snapshot: link.stats() };
    },
    get dead() {
      return host.dead();
    },
    close: () => (closing ??= close()),
  };
}

function cannotListen({ host, port }: ListenLanesOptions, code: string, message: string): HawserError {
  const why =
    code === 'EADDRINUSE'
      ? 'something else listens there'
      : code === 'EACCES' || code === 'EPERM'
        ? 'permission is denied'
        : code === 'EADDRNOTAVAIL'
          ? 'this machine has no such address'
          : message;
  return new HawserError('usage', `The UDP port ${port} of ${host} cannot be opened: ${why}.`, { value: `${host}:${port}` });
}
