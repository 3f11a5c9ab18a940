/** The lane's thread: sockets, lanes, and what the main thread tells them and hears of them. */
import { performance } from 'node:perf_hooks';
import type { createLane } from '../../core/lane/connection.ts';
import { DATA_PACKET_BYTES, type LaneEvent, type LaneSnapshot, type Us } from '../../core/lane/contract.ts';
import { newHeader, readHeader } from '../../core/lane/wire.ts';
import { PeerAddress } from './address.ts';
import { ClientRoutes } from './client-routes.ts';
import { ConnectionIds } from './connection-ids.ts';
import { DrivenLane, rememberedRate } from './driven-lane.ts';
import { HelloGate } from './hello-gate.ts';
import { HelloRoutes } from './hello-routes.ts';
import { linuxSockets, NativePoller } from './linux-sockets.ts';
import { BULK_DATAGRAM_BYTES, type DatagramPort, OutgoingBatch, openPort, type ReceivedDatagram } from './port.ts';
import { createProtection } from './protection.ts';
import { rehearse } from './rehearsal.ts';
import { keepStallTrace } from './stall-trace.ts';
import { StreamRelay } from './stream-relay.ts';
import { createThreadLoop, type StepResult } from './thread-loop.ts';
import type { FromThread, LaneParameters, ToThread } from './thread-messages.ts';
import { createTrace } from './trace.ts';

export interface LaneThreadOptions {
  readonly createLane: typeof createLane;
  readonly post: (message: FromThread, transfer?: ArrayBuffer[]) => void;
  /** Uniform 32-bit numbers. */
  readonly random: () => number;
}

export interface LaneThread {
  handle(message: ToThread): void;
}

export function createLaneThread({ createLane, post, random }: LaneThreadOptions): LaneThread {
  const nowUs = (): Us => performance.now() * 1000;
  const sockets = linuxSockets();
  const poller = sockets ? new NativePoller(sockets) : null;
  const ids = new ConnectionIds<DrivenLane>();
  const lanes = new Map<number, DrivenLane>();
  const listeners = new Map<number, DatagramPort>();
  const greetings = new Map<number, HelloRoutes>();
  const routes = new Map<number, ClientRoutes>();
  const ports = new Set<DatagramPort>();
  const batch = new OutgoingBatch();
  const header = newHeader();
  const relay = new StreamRelay(lanes, post, fail);
  const farewells: FromThread[] = [];
  const result: StepResult = { wakeUs: Infinity, bulkIn: 0, bulkOut: 0, mostGatherUs: Infinity };
  const loop = createThreadLoop({ nowUs, poller, step });
  /** The port whose datagrams are being handled. */
  let receiving: DatagramPort | null = null;
  let stepUs: Us = 0;
  let rehearsed = false;

  const gate = new HelloGate(listeners, greetings, post);

  const environment = {
    nowUs,
    openPort: usePort,
    closePort,
    post,
    wake: () => loop.wake(),
  };

  async function usePort(options: {
    host: string;
    port: number;
    device?: string;
    hearsRefusals: boolean;
    segmentation: boolean;
    onError: (code: string, address: PeerAddress | null) => void;
  }): Promise<DatagramPort> {
    const port = await openPort({ ...options, nowUs, onReadable: () => loop.wake() });
    ports.add(port);
    if (port.fd >= 0) poller?.add(port.fd);
    loop.setActive(ports.size > 0);
    return port;
  }

  function closePort(port: DatagramPort): void {
    ports.delete(port);
    if (port.fd >= 0) poller?.remove(port.fd);
    port.close();
    loop.setActive(ports.size > 0);
  }

  function makeLane(key: number, role: 'client' | 'server', parameters: LaneParameters): DrivenLane {
    const { laneId, suite, secret, clientRandom, maxPaths, policy, idleMs, traceFile, stallFolder = null } = parameters;
    const startedUs = nowUs();
    const protection = createProtection({ role, suite, secret, clientRandom });
    secret.fill(0);
    const trace = createTrace({ laneId, role, file: traceFile, startedUs });
    const lane = createLane({
      nowUs: startedUs,
      role,
      policy,
      ...optional('capBytesPerSecond', parameters.capBytesPerSecond),
      ...optional('redundant', parameters.redundant),
      ...optional('receiveWindowBytes', parameters.receiveWindowBytes),
      ...optional('streamWindowBytes', parameters.streamWindowBytes),
      ...optional('maxStreams', parameters.maxStreams),
      wallClockUs: Date.now() * 1000,
      random,
      trace: (event) => trace.add(nowUs(), event),
      copy: copyShared,
    });
    const idleUs = (idleMs ?? IDLE_MS) * 1000;
    const driven = new DrivenLane({
      key,
      laneId,
      role,
      lane,
      protection,
      maxPaths,
      ids,
      trace,
      stallFolder,
      idleUs,
      nowUs: startedUs,
    });
    lanes.set(key, driven);
    return driven;
  }

  function step(atUs: Us, lagUs: Us): StepResult {
    stepUs = atUs;
    result.bulkIn = 0;
    result.wakeUs = result.mostGatherUs = Infinity;
    for (const port of ports) {
      receiving = port;
      port.receive(MOST_RECEIVED, handleDatagram);
    }
    const now = nowUs();
    for (const driven of lanes.values()) {
      try {
        result.wakeUs = Math.min(result.wakeUs, drive(driven, now, lagUs));
      } catch (error) {
        fail(driven, error);
      }
    }
    for (const greeting of greetings.values()) result.wakeUs = Math.min(result.wakeUs, greeting.transmit(now, batch));
    gate.transmit(now, batch);
    batch.flush();
    result.bulkOut = batch.takeBulk();
    // What came before a farewell is told before it.
    result.wakeUs = Math.min(result.wakeUs, relay.flush(now, farewells.length > 0));
    // Whoever waits for this may end the process, so that the last word to the peer goes first.
    for (const farewell of farewells.splice(0)) post(farewell);
    return result;
  }

  /** One lane's share of a step; returns when it is due next. */
  function drive(driven: DrivenLane, now: Us, lagUs: Us): Us {
    if (lagUs > 0) driven.handleLag(now, lagUs);
    driven.handleTimer(now);
    // Before sending: what was received may free room for what waits, and what it carried is wanted soon.
    pollEvents(driven);
    const sent = driven.transmit(now, batch, MOST_SENT);
    pollEvents(driven);
    housekeep(driven, now);
    result.mostGatherUs = Math.min(result.mostGatherUs, driven.mostGatherUs(now));
    const wakeUs = sent === MOST_SENT ? now : Math.min(driven.nextWakeUs(now), now + LONGEST_SLEEP_US);
    const done = driven.closed && (wakeUs > now + LONGEST_SLEEP_US / 2 || now > driven.heardUs + driven.idleUs);
    if (!done) return wakeUs;
    finish(driven);
    return Infinity;
  }

  /** A lane's defect ends that lane, not those of others. */
  function fail(driven: DrivenLane, error: unknown): void {
    if (!lanes.has(driven.key)) return;
    const fault = error instanceof Error ? error : new Error(String(error));
    post({ op: 'fault', lane: driven.key, stack: fault.stack ?? fault.message });
    if (!driven.closed)
      farewells.push({ op: 'closed', lane: driven.key, reason: `a defect in Hawser (${fault.message})`, byPeer: false });
    driven.closed = true;
    finish(driven);
    loop.wake();
  }

  function handleDatagram(datagram: ReceivedDatagram): void {
    const { memory, at, bytes } = datagram;
    if (bytes >= BULK_DATAGRAM_BYTES) result.bulkIn++;
    const datagramBytes = memory.bytes.subarray(at, at + bytes);
    if (!readHeader(datagramBytes, header)) {
      gate.handleDatagram(stepUs, datagram, datagramBytes, receiving as DatagramPort);
      return;
    }
    const entry = ids.find(header.idHigh, header.idLow);
    // Nothing is answered to what is not known: who asks learns nothing, and nobody can be made to send to a third.
    if (!entry) return;
    const { owner, pathId } = entry;
    try {
      handlePacket(owner, pathId, datagram, receiving as DatagramPort);
    } catch (error) {
      fail(owner, error);
    }
  }

  function handlePacket(owner: DrivenLane, pathId: number, datagram: ReceivedDatagram, port: DatagramPort): void {
    const first = !owner.heard;
    if (!owner.handleDatagram(stepUs, header, pathId, datagram, port)) return;
    // A way that lets only small packets through is none.
    if (header.kind === 'data' || datagram.bytes >= DATA_PACKET_BYTES) routes.get(owner.key)?.handleAnswer(pathId, port);
    if (first && owner.role === 'server') tellAddress(owner, pathId);
  }

  function pollEvents(driven: DrivenLane): void {
    for (let event = driven.pollEvent(); event !== null; event = driven.pollEvent()) handleEvent(driven, event);
  }

  function handleEvent(driven: DrivenLane, event: LaneEvent): void {
    if (event.type === 'moved') tellAddress(driven, event.pathId);
    else if (event.type === 'path') {
      const { pathId, state } = event;
      const address = driven.paths.get(pathId)?.address;
      post({ op: 'path', lane: driven.key, pathId, state, host: address?.host ?? '', port: address?.port ?? 0 });
      driven.snapshotAtUs = 0;
      if (driven.opened || driven.role === 'server') return;
      driven.opened = true;
      // Whoever hears that it is open looks at once whether it is of use.
      housekeep(driven, nowUs());
      post({ op: 'opened', lane: driven.key });
    } else if (event.type === 'closed')
      farewells.push({ op: 'closed', lane: driven.key, reason: event.reason, byPeer: event.byPeer });
    else relay.handleEvent(driven, event);
  }

  function tellAddress(driven: DrivenLane, pathId: number): void {
    const address = driven.paths.get(pathId)?.address;
    if (address) post({ op: 'address', lane: driven.key, pathId, host: address.host, port: address.port });
  }

  function housekeep(driven: DrivenLane, now: Us): void {
    // A lane that was granted and is not used keeps a place from others.
    const idleUs = driven.heard ? driven.idleUs : Math.min(driven.idleUs, UNUSED_US);
    if (!driven.closed && now - driven.heardUs > idleUs) driven.lane.close(now, 'nothing was heard for too long');
    if (now < driven.snapshotAtUs || driven.closed) return;
    driven.snapshotAtUs = now + SNAPSHOT_US;
    driven.trace.flush();
    const port = driven.paths.values().next().value?.port;
    const snapshot = driven.lane.snapshot(now);
    if (now >= driven.figuresAtUs) {
      driven.figuresAtUs = now + FIGURES_US;
      trace(driven, now, 'lane:figures', snapshot);
    }
    if (driven.stalls.handle(now, snapshot)) keepTrace(driven, now, snapshot);
    post({
      op: 'snapshot',
      lane: driven.key,
      snapshot,
      figures: {
        receivedDatagrams: driven.receivedDatagrams,
        sentDatagrams: driven.sentDatagrams,
        forgedPackets: driven.forgedPackets,
        replayedPackets: driven.replayedPackets,
        sendErrors: { ...driven.sendErrors },
        lagUs: driven.worstLagUs(now),
        method: port?.method ?? '',
        hint: port?.hint ?? null,
      },
    });
  }

  function trace(driven: DrivenLane, now: Us, name: string, snapshot: LaneSnapshot): void {
    driven.trace.add(now, { name, data: { ...snapshot, lagUs: driven.worstLagUs(now) } });
  }

  function keepTrace(driven: DrivenLane, now: Us, snapshot: LaneSnapshot): void {
    const { key, role, laneId, stallFolder: folder } = driven;
    trace(driven, now, 'lane:stalled', snapshot);
    if (folder === null) return;
    const file = keepStallTrace({ folder, laneId, role, nowMs: Date.now(), events: driven.trace.recent(now) });
    if (file !== null) post({ op: 'stalled', lane: key, file });
  }

  function finish(driven: DrivenLane): void {
    batch.flush();
    lanes.delete(driven.key);
    driven.free();
    routes.get(driven.key)?.close();
    routes.delete(driven.key);
  }

  async function listen({ listener, host, port, segmentation }: Extract<ToThread, { op: 'listen' }>): Promise<void> {
    try {
      const onError = (code: string, address: PeerAddress | null): void => noteServerError(code, address);
      const opened = await usePort({ host, port, segmentation, hearsRefusals: false, onError });
      listeners.set(listener, opened);
      post({ op: 'listening', listener, port: opened.port, hint: opened.hint, method: opened.method });
    } catch (error) {
      const { code = 'EIO', message } = error as NodeJS.ErrnoException;
      post({ op: 'listen-failed', listener, code, message });
    }
  }

  function noteServerError(code: string, address: PeerAddress | null): void {
    for (const driven of lanes.values())
      for (const path of driven.paths.values()) if (address && path.address.equals(address)) driven.noteSendError(code);
  }

  function handle(message: ToThread): void {
    switch (message.op) {
      case 'listen':
        void listen(message);
        break;
      case 'unlisten': {
        const port = listeners.get(message.listener);
        listeners.delete(message.listener);
        if (port) closePort(port);
        break;
      }
      case 'accept': {
        const { provenAddress } = message;
        const driven = makeLane(message.lane, 'server', message.parameters);
        if (provenAddress) driven.provenAddress = new PeerAddress(provenAddress);
        driven.remembered = rememberedRate(message);
        break;
      }
      case 'answer':
        gate.answer(message);
        break;
      case 'greet':
        greetings.set(message.lane, new HelloRoutes(message, environment));
        if ((message.expectedRttMs ?? 0) >= FAR_MS && !rehearsed) setTimeout(rehearseOnce, HELLO_LEAVES_MS);
        break;
      case 'open':
        open(message);
        break;
      case 'streams':
        relay.handleItems(message.items);
        break;
      default: {
        const driven = lanes.get(message.lane);
        if (driven) command(driven, message);
        else if (message.op === 'close') {
          greetings.get(message.lane)?.close();
          greetings.delete(message.lane);
        } else if (message.op === 'recent') post({ op: 'recent', call: message.call, lines: [] });
      }
    }
    loop.wake();
  }

  /** Behind a round trip that is longer than this takes, and not after packets have gone. */
  function rehearseOnce(): void {
    if (rehearsed || lanes.size > 0) return;
    rehearsed = true;
    try {
      rehearse(createLane, random);
    } catch {
      // A defect shows in the real lane, which it ends alone.
    }
  }

  function open(message: Extract<ToThread, { op: 'open' }>): void {
    const greeted = message.answer === null ? null : (greetings.get(message.lane)?.take(message.answer) ?? null);
    greetings.delete(message.lane);
    const driven = makeLane(message.lane, 'client', message.parameters);
    routes.set(message.lane, new ClientRoutes(driven, message, environment, greeted));
  }

  function command(driven: DrivenLane, message: Extract<ToThread, { op: 'close' | 'ping' | 'policy' | 'cap' | 'recent' }>): void {
    if (message.op === 'close') driven.lane.close(nowUs(), message.reason);
    else if (message.op === 'ping') driven.lane.ping(nowUs());
    else if (message.op === 'policy') driven.lane.setPolicy(message.policy);
    else if (message.op === 'cap') driven.lane.setCap(message.bytesPerSecond);
    else post({ op: 'recent', call: message.call, lines: driven.trace.recent(nowUs()) });
  }

  return { handle };
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: V });
}

/** By memmove(3): what the main thread wrote is shared memory, which TypedArray.set copies word by word, 0.3 µs a packet. */
function copyShared(to: Uint8Array, at: number, bytes: Uint8Array, from: number, end: number): void {
  Buffer.prototype.copy.call(bytes, to, at, from, end);
}

const IDLE_MS = 120_000;
const UNUSED_US = 20e6;
const FAR_MS = 50;
const HELLO_LEAVES_MS = 4;
/** Of one port in one step, and of one lane: then others have their turn. */
const MOST_RECEIVED = 1024;
const MOST_SENT = 512;
const LONGEST_SLEEP_US = 1e6;
const SNAPSHOT_US = 250_000;
/** In the trace. */
const FIGURES_US = 1e6;
