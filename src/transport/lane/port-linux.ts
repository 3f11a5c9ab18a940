/**
 * A UDP socket by sendmmsg(2) and recvmmsg(2). Datagrams of one size to one address go through the network stack as one
 * (UDP_SEGMENT, UDP_GRO: udp(7)), and arrival times are the kernel's (SO_TIMESTAMPNS: socket(7)), so that a thread that was
 * busy does not take its own lateness for a queue in the network.
 */
import { getSystemErrorName } from 'node:util';
import type { Us } from '../../core/lane/contract.ts';
import { PeerAddress, peerAddress } from './address.ts';
import { type LinuxSockets, linuxSockets, MSG_ERRQUEUE, SECONDS_KEPT, SOL_SOCKET } from './linux-sockets.ts';
import { NativeMemory } from './native.ts';
import {
  bufferHint,
  type DatagramPort,
  iovecStart,
  type OutgoingBatch,
  type PortOptions,
  type ReceivedDatagram,
  WANTED_RECEIVE_BYTES,
  WANTED_SEND_BYTES,
} from './port.ts';

/** Null where these calls cannot be made. Throws the system's error when the address cannot be had. */
export function openLinuxPort(options: PortOptions): DatagramPort | null {
  const sockets = linuxSockets();
  return sockets === null ? null : new LinuxPort(sockets, options);
}

class LinuxPort implements DatagramPort {
  readonly port: number;
  readonly family: 4 | 6;
  readonly method = 'mmsg';
  readonly hint: string | null;
  readonly fd: number;
  private readonly sockets: LinuxSockets;
  private readonly options: PortOptions;
  private readonly incoming = new NativeMemory(RECEIVE_BYTES);
  private readonly outgoing = new NativeMemory(SEND_MESSAGES * SEND_MESSAGE_BYTES);
  private readonly incomingPointer = this.incoming.pointer(0);
  private readonly datagram: ReceivedDatagram;
  private readonly recent: (PeerAddress | undefined)[] = new Array(RECENT_SOURCES);
  /** Batch slots of the messages that are being sent: message i has slots firstSlot[i] to firstSlot[i + 1]. */
  private readonly firstSlot = new Uint16Array(SEND_MESSAGES + 1);
  private segments: boolean;
  private drainedUs: Us;
  /** When the last look found none. */
  private noErrorsUs: Us = Number.NEGATIVE_INFINITY;

  constructor(sockets: LinuxSockets, options: PortOptions) {
    const address = peerAddress(options.host, options.port);
    this.sockets = sockets;
    this.options = options;
    this.family = address.family;
    this.fd = sockets.open(address);
    this.port = sockets.port(this.fd);
    this.hint = this.setBuffers();
    const { fd } = this;
    sockets.setOption(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    if (options.device !== undefined) sockets.bindToDevice(fd, options.device);
    const segmentation = options.segmentation !== false;
    // An option that can be set to nothing is one that the kernel knows.
    this.segments = segmentation && sockets.setOption(fd, SOL_UDP, UDP_SEGMENT, 0);
    if (segmentation) sockets.setOption(fd, SOL_UDP, UDP_GRO, 1);
    if (options.hearsRefusals) {
      if (this.family === 6) sockets.setOption(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
      else sockets.setOption(fd, IPPROTO_IP, IP_RECVERR, 1);
    }
    // Its first call takes its time, which would pass for the time that a datagram waited.
    sockets.wallNs();
    this.drainedUs = options.nowUs();
    this.datagram = { memory: this.incoming, at: 0, bytes: 0, source: address, arrivedUs: 0 };
    for (let i = 0; i < RECEIVE_MESSAGES; i++) this.layOutReceive(i);
  }

  receive(limit: number, handle: (datagram: ReceivedDatagram) => void): number {
    const { incoming, datagram } = this;
    let handled = 0;
    while (handled < limit) {
      const count = this.sockets.receiveMany(this.fd, this.incomingPointer, RECEIVE_MESSAGES, 0);
      // The call reports what was said about an earlier datagram once, and the next receives again.
      if (count < 0 && this.findErrors(count)) continue;
      if (count <= 0) break;
      const beforeUs = this.options.nowUs();
      const wallNs = this.sockets.wallNs();
      const nowUs = this.options.nowUs();
      // The wall clock was read somewhere between.
      const readUs = (beforeUs + nowUs) / 2;
      for (let i = 0; i < count; i++) {
        const header = i * MESSAGE_BYTES;
        const bytes = incoming.u32[(header + 56) >> 2] as number;
        this.readControl(i, header);
        datagram.arrivedUs = this.arrivalUs(readUs, wallNs);
        datagram.source = this.sourceOf(i);
        const segment = this.segmentBytes > 0 ? this.segmentBytes : bytes;
        const start = BUFFERS + i * BUFFER_BYTES;
        for (let at = 0; at < bytes; at += segment) {
          datagram.at = start + at;
          datagram.bytes = Math.min(segment, bytes - at);
          handle(datagram);
          handled++;
        }
        this.resetReceive(i);
      }
      if (count < RECEIVE_MESSAGES) {
        this.drainedUs = nowUs;
        break;
      }
    }
    return handled;
  }

  send(batch: OutgoingBatch, from: number, to: number): void {
    let slot = from;
    while (slot < to) {
      let messages = 0;
      while (slot < to && messages < SEND_MESSAGES) {
        const end = this.segments ? this.runEnd(batch, slot, to) : slot + 1;
        this.firstSlot[messages] = slot;
        this.writeMessage(batch, messages++, slot, end);
        slot = end;
      }
      this.firstSlot[messages] = slot;
      this.sendMessages(batch, messages);
    }
  }

  close(): void {
    this.sockets.close(this.fd);
  }

  /** Slots that can go as one: the same address, the same size, but for the last, which may be smaller. */
  private runEnd(batch: OutgoingBatch, from: number, to: number): number {
    const size = batch.bytes[from] as number;
    const address = batch.addresses[from];
    const most = Math.min(to, from + Math.min(MOST_SEGMENTS, Math.floor(MOST_SEGMENTED_BYTES / size)));
    let end = from + 1;
    while (end < most && batch.addresses[end] === address) {
      const bytes = batch.bytes[end] as number;
      if (bytes > size) break;
      end++;
      if (bytes < size) break;
    }
    return end;
  }

  private writeMessage(batch: OutgoingBatch, index: number, from: number, to: number): void {
    const { outgoing } = this;
    const header = index * MESSAGE_BYTES;
    const extra = SEND_MESSAGES * MESSAGE_BYTES + index * SEND_EXTRA_BYTES;
    const { words } = batch.addresses[from] as PeerAddress;
    for (let i = 0; i < words.length; i++) outgoing.u32[(extra >> 2) + i] = words[i] as number;
    outgoing.setPointer(header, extra);
    outgoing.u32[(header + 8) >> 2] = words.length * 4;
    outgoing.setPointer(header + 16, iovecStart(from), batch.memory);
    outgoing.setWord(header + 24, to - from);
    const segmented = to - from > 1;
    outgoing.setPointer(header + 32, extra + 32);
    outgoing.setWord(header + 40, segmented ? CONTROL_SEGMENT_BYTES : 0);
    if (!segmented) return;
    outgoing.setWord(extra + 32, CONTROL_HEAD_BYTES + 2);
    outgoing.i32[(extra + 40) >> 2] = SOL_UDP;
    outgoing.i32[(extra + 44) >> 2] = UDP_SEGMENT;
    outgoing.u16[(extra + 48) >> 1] = batch.bytes[from] as number;
  }

  private sendMessages(batch: OutgoingBatch, count: number): void {
    let done = 0;
    let waits = 0;
    while (done < count) {
      const sent = this.sockets.sendMany(this.fd, this.outgoing.pointer(done * MESSAGE_BYTES), count - done);
      if (sent > 0) {
        done += sent;
        continue;
      }
      const code = sent < 0 ? getSystemErrorName(sent) : 'EIO';
      // What was said about an earlier datagram comes instead of sending this one.
      if (code === 'EINTR' || this.readErrors() > 0) continue;
      if ((code === 'EAGAIN' || code === 'ENOBUFS') && waits++ < MOST_WAITS) {
        this.waitUntilWritable();
        continue;
      }
      this.handleSendError(batch, done, code);
      done++;
    }
  }

  /** One message could not be sent. If it was several datagrams in one, they are tried one by one. */
  private handleSendError(batch: OutgoingBatch, message: number, code: string): void {
    const from = this.firstSlot[message] as number;
    const to = this.firstSlot[message + 1] as number;
    if (to - from === 1) {
      this.options.onError(code, batch.addresses[from] ?? null);
      return;
    }
    // Written over a message that is done with; those behind it are still needed.
    let failed = false;
    for (let slot = from; slot < to; slot++) {
      this.writeMessage(batch, message, slot, slot + 1);
      const sent = this.sockets.sendMany(this.fd, this.outgoing.pointer(message * MESSAGE_BYTES), 1);
      if (sent > 0) continue;
      failed = true;
      this.options.onError(sent < 0 ? getSystemErrorName(sent) : 'EIO', batch.addresses[slot] ?? null);
    }
    // This interface cannot do it at all (no checksum offload, IPsec): EIO or EINVAL for what goes singly.
    if (!failed) this.segments = false;
  }

  private waitUntilWritable(): void {
    const { outgoing, sockets, fd } = this;
    const at = SEND_MESSAGES * SEND_MESSAGE_BYTES - 32;
    outgoing.i32[at >> 2] = fd;
    outgoing.i32[(at + 4) >> 2] = POLLOUT;
    outgoing.setWord(at + 8, 0);
    outgoing.setWord(at + 16, WRITABLE_WAIT_NS);
    sockets.poll(outgoing.pointer(at), 1, outgoing.pointer(at + 8));
  }

  /** Some of what is said is not reported by the call, and would keep the socket readable: it is looked for now and then. */
  private findErrors(code: number): boolean {
    const nowUs = this.options.nowUs();
    if (code === -EAGAIN && nowUs < this.noErrorsUs + ERRORS_EVERY_US) return false;
    const found = this.readErrors() > 0;
    this.noErrorsUs = found ? Number.NEGATIVE_INFINITY : nowUs;
    return found;
  }

  /** What others said about datagrams that were sent (IP_RECVERR: ip(7)). They must be read, or the socket stays readable. */
  private readErrors(): number {
    if (this.options.hearsRefusals !== true) return 0;
    const words = NAMES >> 2;
    for (let read = 0; ; read++) {
      const count = this.sockets.receiveMany(this.fd, this.incomingPointer, 1, MSG_ERRQUEUE);
      if (count <= 0) return read;
      const code = this.readControl(0, 0);
      const to = new PeerAddress(this.incoming.u32.slice(words, words + (this.family === 6 ? 7 : 4)));
      if (code > 0) this.options.onError(getSystemErrorName(-code), to);
      this.resetReceive(0);
    }
  }

  private segmentBytes = 0;
  private stampNs = 0;

  /** Reads a message's control data into the fields above; returns the error number of sock_extended_err, if there is one. */
  private readControl(index: number, header: number): number {
    const { incoming } = this;
    let at = CONTROLS + index * CONTROL_BYTES;
    const end = at + Math.min(CONTROL_BYTES, incoming.u32[(header + 40) >> 2] as number);
    let code = 0;
    this.segmentBytes = 0;
    this.stampNs = -1;
    while (at + CONTROL_HEAD_BYTES <= end) {
      const length = incoming.u32[at >> 2] as number;
      if (length < CONTROL_HEAD_BYTES) break;
      const level = incoming.i32[(at + 8) >> 2];
      const type = incoming.i32[(at + 12) >> 2];
      const data = at + CONTROL_HEAD_BYTES;
      if (level === SOL_UDP && type === UDP_GRO) this.segmentBytes = incoming.i32[data >> 2] as number;
      else if (level === SOL_SOCKET && type === SO_TIMESTAMPNS)
        this.stampNs = ((incoming.u32[data >> 2] as number) % SECONDS_KEPT) * 1e9 + (incoming.u32[(data + 8) >> 2] as number);
      else if ((level === IPPROTO_IP && type === IP_RECVERR) || (level === IPPROTO_IPV6 && type === IPV6_RECVERR))
        code = incoming.i32[data >> 2] as number;
      at += (length + 7) & ~7;
    }
    return code;
  }

  /** The wall clock may jump, so only the time that it says the datagram waited is believed, and no more than can be. */
  private arrivalUs(nowUs: Us, wallNs: number): Us {
    if (this.stampNs < 0) return nowUs;
    let waitedNs = wallNs - this.stampNs;
    if (waitedNs < 0) waitedNs += SECONDS_KEPT * 1e9;
    const arrivedUs = nowUs - waitedNs / 1000;
    return arrivedUs < this.drainedUs ? this.drainedUs : Math.min(arrivedUs, nowUs);
  }

  /** An object for the message's source: the one from before, when it is one of the last few. */
  private sourceOf(index: number): PeerAddress {
    const { u32 } = this.incoming;
    const at = (NAMES + index * NAME_BYTES) >> 2;
    const isV6 = this.family === 6;
    const slot = ((u32[at] as number) >>> 16) ^ (u32[at + (isV6 ? 5 : 1)] as number);
    const place = (slot ^ (slot >>> 8) ^ (slot >>> 24)) & (RECENT_SOURCES - 1);
    const known = this.recent[place];
    if (known && known.words[0] === u32[at] && sameHost(known.words, u32, at, isV6)) return known;
    const fresh = new PeerAddress(u32.slice(at, at + (isV6 ? 7 : 4)));
    this.recent[place] = fresh;
    return fresh;
  }

  private layOutReceive(index: number): void {
    const { incoming } = this;
    const header = index * MESSAGE_BYTES;
    const iovec = IOVECS + index * 16;
    incoming.setPointer(header, NAMES + index * NAME_BYTES);
    incoming.setPointer(header + 16, iovec);
    incoming.setWord(header + 24, 1);
    incoming.setPointer(header + 32, CONTROLS + index * CONTROL_BYTES);
    incoming.setPointer(iovec, BUFFERS + index * BUFFER_BYTES);
    incoming.setWord(iovec + 8, BUFFER_BYTES);
    this.resetReceive(index);
  }

  /** The call writes the lengths that it used over those that it had. */
  private resetReceive(index: number): void {
    const header = index * MESSAGE_BYTES;
    this.incoming.u32[(header + 8) >> 2] = NAME_BYTES;
    this.incoming.setWord(header + 40, CONTROL_BYTES);
  }

  private setBuffers(): string | null {
    const { sockets, fd } = this;
    // The forced ones pass the system's limits, for an administrator.
    if (!sockets.setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, WANTED_RECEIVE_BYTES))
      sockets.setOption(fd, SOL_SOCKET, SO_RCVBUF, WANTED_RECEIVE_BYTES);
    if (!sockets.setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, WANTED_SEND_BYTES))
      sockets.setOption(fd, SOL_SOCKET, SO_SNDBUF, WANTED_SEND_BYTES);
    // Linux tells twice of what it gives: the rest is for its own accounts.
    return bufferHint(sockets.getOption(fd, SOL_SOCKET, SO_RCVBUF) / 2, sockets.getOption(fd, SOL_SOCKET, SO_SNDBUF) / 2);
  }
}

function sameHost(words: Uint32Array, u32: Uint32Array, at: number, isV6: boolean): boolean {
  if (!isV6) return words[1] === u32[at + 1];
  for (let i = 2; i < 7; i++) if (words[i] !== u32[at + i]) return false;
  return true;
}

const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const SOL_UDP = 17;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_TIMESTAMPNS = 35;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;
const IP_RECVERR = 11;
const IPV6_RECVERR = 25;
const POLLOUT = 4;
const EAGAIN = 11;
const ERRORS_EVERY_US = 10_000;
/** Kernels before 6.9 take no more. */
const MOST_SEGMENTS = 64;
/** An IP packet's 65535 bytes less its headers, IPv6's with a little room. */
const MOST_SEGMENTED_BYTES = 65_400;
const WRITABLE_WAIT_NS = 1e6;
const MOST_WAITS = 3;
const RECENT_SOURCES = 256;

/** struct mmsghdr: name 0, its length 8, iovec 16, their number 24, control 32, its length 40, flags 48, bytes received 56. */
const MESSAGE_BYTES = 64;
const CONTROL_HEAD_BYTES = 16;
const CONTROL_SEGMENT_BYTES = 24;
const SEND_MESSAGES = 64;
/** Address 32, control 32. */
const SEND_EXTRA_BYTES = 64;
const SEND_MESSAGE_BYTES = MESSAGE_BYTES + SEND_EXTRA_BYTES + 8;
const RECEIVE_MESSAGES = 32;
const NAME_BYTES = 28;
const CONTROL_BYTES = 128;
/** A whole segmented piece. */
const BUFFER_BYTES = 1 << 16;
const IOVECS = RECEIVE_MESSAGES * MESSAGE_BYTES;
const NAMES = IOVECS + RECEIVE_MESSAGES * 16;
const CONTROLS = NAMES + RECEIVE_MESSAGES * 32;
const BUFFERS = 1 << 14;
const RECEIVE_BYTES = BUFFERS + RECEIVE_MESSAGES * BUFFER_BYTES;
