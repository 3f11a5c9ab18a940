/** A client's sockets while it asks for a lane by a hello: it goes out by every route, again and again, until one brings an answer. */
import type { Us } from '../../core/lane/contract.ts';
import { type PeerAddress, peerAddress } from './address.ts';
import type { RouteEnvironment } from './client-routes.ts';
import { attemptOf, HELLO_BYTES, heldUs, isFor, setAttempt } from './hello.ts';
import type { DatagramPort, OutgoingBatch, ReceivedDatagram } from './port.ts';
import type { Route, ToThread } from './thread-messages.ts';

export interface Answered {
  readonly route: Route;
  readonly port: DatagramPort;
  /** Where the answer came from, and the lane goes to. */
  readonly address: PeerAddress;
  readonly rttUs: Us;
}

interface OpenRoute {
  readonly route: Route;
  readonly port: DatagramPort;
  readonly address: PeerAddress;
  /** Told of errors from now on. */
  onError: (code: string) => void;
}

export class HelloRoutes {
  readonly lane: number;
  private readonly hello: Uint8Array;
  private readonly routes: readonly Route[];
  private readonly environment: RouteEnvironment;
  private readonly open: OpenRoute[] = [];
  private readonly failures = new Map<Route, string>();
  private readonly answers: Answered[] = [];
  private readonly sentUs = new Float64Array(256);
  private attempts = 0;
  private nextUs: Us;
  private closed = false;

  constructor(message: Extract<ToThread, { op: 'greet' }>, environment: RouteEnvironment) {
    this.lane = message.lane;
    this.hello = message.hello;
    this.routes = message.routes;
    this.environment = environment;
    this.nextUs = environment.nowUs();
    for (const route of message.routes) void this.begin(route, message.segmentation);
  }

  /** Sends what is due; returns when it is wanted next. */
  transmit(nowUs: Us, batch: OutgoingBatch): Us {
    if (this.closed || this.open.length === 0) return Infinity;
    if (nowUs < this.nextUs) return this.nextUs;
    setAttempt(this.hello, this.attempts);
    this.sentUs[this.attempts & 0xff] = nowUs;
    for (const { port, address } of this.open) this.put(batch, port, address);
    this.attempts++;
    this.nextUs = nowUs + helloWaitUs(this.attempts);
    return this.nextUs;
  }

  /** A datagram that looks like a welcome. False: it is not for this hello. Whether it is authentic, its keys will tell. */
  handleWelcome(datagram: ReceivedDatagram, bytes: Uint8Array, port: DatagramPort): boolean {
    const from = this.open.find((one) => one.port === port);
    if (this.closed || !from || !isFor(bytes, this.hello)) return false;
    if (this.answers.length >= MOST_ANSWERS) return true;
    const sinceUs = datagram.arrivedUs - (this.sentUs[attemptOf(bytes)] as number);
    // What the server says is a hint: it can make the way seem shorter, but not too short to be one.
    const rttUs = Math.max(1, sinceUs / 4, sinceUs - heldUs(bytes));
    this.answers.push({ route: from.route, port, address: datagram.source, rttUs });
    const { environment, lane } = this;
    environment.post({ op: 'welcome', lane, answer: this.answers.length - 1, bytes: new Uint8Array(bytes), rttMs: rttUs / 1000 });
    return true;
  }

  /** The answer that was authentic; the other routes stay open for whoever takes them over. */
  take(answer: number): { answered: Answered; others: readonly OpenRoute[] } | null {
    const answered = this.answers[answer];
    if (this.closed || !answered) return null;
    this.closed = true;
    return { answered, others: this.open };
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const { port } of this.open) this.environment.closePort(port);
  }

  private put(batch: OutgoingBatch, port: DatagramPort, address: PeerAddress): void {
    (batch.packets[batch.count] as Uint8Array).set(this.hello);
    batch.add(port, address, HELLO_BYTES);
    if (batch.full) batch.flush();
  }

  private async begin(route: Route, segmentation: boolean): Promise<void> {
    const { environment } = this;
    const onError = (code: string): void => this.handleError(route, code);
    const { local: host, device } = route;
    try {
      const options = { host, port: 0, ...(device === null ? {} : { device }), hearsRefusals: true, segmentation };
      const opened: { one?: OpenRoute } = {};
      const port = await environment.openPort({ ...options, onError: (code) => (opened.one?.onError ?? onError)(code) });
      opened.one = { route, port, address: peerAddress(route.host, route.port), onError };
      if (this.closed) environment.closePort(port);
      else this.open.push(opened.one);
    } catch (error) {
      onError((error as NodeJS.ErrnoException).code ?? 'EIO');
    }
    environment.wake();
  }

  private handleError(route: Route, code: string): void {
    if (this.closed || this.failures.has(route)) return;
    this.failures.set(route, code);
    if (this.failures.size === this.routes.length)
      this.environment.post({ op: 'open-failed', lane: this.lane, codes: [...this.failures.values()] });
  }
}

/** The first answer that comes is the server's, unless somebody forges some. */
const MOST_ANSWERS = 8;
/**
 * A hello costs as much as a packet, and a lost one as much as a round trip. After those that a short way needs they come close
 * together for a second, for bursts of losses that are counted in packets only end when some are sent: no more than a lane sends
 * when it knows nothing.
 */
function helloWaitUs(attempts: number): Us {
  if (attempts < FEW_ATTEMPTS) return 10_000 * attempts;
  return attempts < OFTEN_ATTEMPTS ? 15_000 : 50_000;
}

const FEW_ATTEMPTS = 6;
const OFTEN_ATTEMPTS = 80;
