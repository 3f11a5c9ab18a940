/** Hellos and welcomes on their way through the lanes' thread: the main thread has their keys. */
import type { Us } from '../../core/lane/contract.ts';
import { PeerAddress } from './address.ts';
import { isHello, isWelcome, setHeldUs } from './hello.ts';
import type { HelloRoutes } from './hello-routes.ts';
import type { DatagramPort, OutgoingBatch, ReceivedDatagram } from './port.ts';
import type { FromThread, ToThread } from './thread-messages.ts';

export class HelloGate {
  private readonly listeners: ReadonlyMap<number, DatagramPort>;
  private readonly greetings: ReadonlyMap<number, HelloRoutes>;
  private readonly post: (message: FromThread) => void;
  private readonly answers: { port: DatagramPort; address: PeerAddress; bytes: Uint8Array; arrivedUs: Us }[] = [];
  private tokens = BURST;
  private refilledUs: Us = 0;

  constructor(
    listeners: ReadonlyMap<number, DatagramPort>,
    greetings: ReadonlyMap<number, HelloRoutes>,
    post: (message: FromThread) => void,
  ) {
    this.listeners = listeners;
    this.greetings = greetings;
    this.post = post;
  }

  /** A datagram that is no packet of a lane. */
  handleDatagram(nowUs: Us, datagram: ReceivedDatagram, bytes: Uint8Array, port: DatagramPort): void {
    if (isHello(bytes)) this.handleHello(nowUs, datagram, bytes, port);
    else if (isWelcome(bytes))
      for (const greeting of this.greetings.values()) if (greeting.handleWelcome(datagram, bytes, port)) return;
  }

  answer({ listener, to, bytes, arrivedUs }: Extract<ToThread, { op: 'answer' }>): void {
    const from = this.listeners.get(listener);
    if (from) this.answers.push({ port: from, address: new PeerAddress(to), bytes, arrivedUs });
  }

  transmit(nowUs: Us, batch: OutgoingBatch): void {
    for (const { port, address, bytes, arrivedUs } of this.answers.splice(0)) {
      setHeldUs(bytes, nowUs - arrivedUs);
      (batch.packets[batch.count] as Uint8Array).set(bytes);
      batch.add(port, address, bytes.length);
      if (batch.full) batch.flush();
    }
  }

  /** Whoever floods us with hellos takes this much of the main thread's time, and no more. Lanes that are open do not notice. */
  private handleHello(nowUs: Us, { source, arrivedUs }: ReceivedDatagram, bytes: Uint8Array, port: DatagramPort): void {
    for (const [listener, own] of this.listeners) {
      if (own !== port) continue;
      this.tokens = Math.min(BURST, this.tokens + ((nowUs - this.refilledUs) / 1e6) * HELLOS_PER_SECOND);
      this.refilledUs = nowUs;
      if (this.tokens < 1) return;
      this.tokens--;
      this.post({ op: 'hello', listener, bytes: new Uint8Array(bytes), from: source.words, arrivedUs });
      return;
    }
  }
}

/** Each costs some 50 microseconds where its ticket is forged, and some 300 where it is not. */
const HELLOS_PER_SECOND = 500;
const BURST = 200;
