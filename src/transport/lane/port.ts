/**
 * UDP sockets as the lane's thread uses them: many datagrams at once, in and out of memory that the AEAD works in. On Linux by
 * system calls for many datagrams (port-linux.ts), elsewhere by node:dgram (port-dgram.ts).
 */
import { HEADER_BYTES, type Us } from '../../core/lane/contract.ts';
import type { PeerAddress } from './address.ts';
import { NativeMemory } from './native.ts';
import { openDgramPort } from './port-dgram.ts';
import { openLinuxPort } from './port-linux.ts';

export interface DatagramPort {
  readonly port: number;
  readonly family: 4 | 6;
  /** How datagrams get to the system: for people and for measurements. */
  readonly method: 'mmsg' | 'dgram';
  /** What the system's buffers lack, in a sentence with what to do about it; null: they are large enough. */
  readonly hint: string | null;
  /** To be waited for by a NativePoller; -1: `onReadable` says when there is something. */
  readonly fd: number;
  /** Hands over what has arrived, at most `limit` datagrams or a few more; returns how many. The datagram is valid during the call. */
  receive(limit: number, handle: (datagram: ReceivedDatagram) => void): number;
  /** Sends datagrams `from` to `to` of the batch. Errors are told before it returns, or later through `onError`. */
  send(batch: OutgoingBatch, from: number, to: number): void;
  close(): void;
}

export interface ReceivedDatagram {
  memory: NativeMemory;
  at: number;
  bytes: number;
  source: PeerAddress;
  /** When it reached this machine, as well as can be told. */
  arrivedUs: Us;
}

export interface PortOptions {
  /** IP address of an interface, or a wildcard. */
  readonly host: string;
  /** 0: the system chooses. */
  readonly port: number;
  /** Name of the interface to send by, whatever the routing table says; as far as the system allows. */
  readonly device?: string;
  readonly nowUs: () => Us;
  /** Something may be there to receive; only when `fd` is -1. */
  readonly onReadable: () => void;
  /** A datagram to `address` could not be sent, or its receiver said so: EMSGSIZE, ENETUNREACH, EPERM, ECONNREFUSED, … */
  readonly onError: (code: string, address: PeerAddress | null) => void;
  /** Listen to what routers and hosts answer (ICMP). For clients: a server would have to listen to forgeries all day. */
  readonly hearsRefusals?: boolean;
  /** Default true: many datagrams in one piece through the system's network stack, where it can (UDP_SEGMENT, UDP_GRO). */
  readonly segmentation?: boolean;
}

/** Rejects with the system's error (EADDRINUSE, EADDRNOTAVAIL, EACCES, …). */
export async function openPort(options: PortOptions): Promise<DatagramPort> {
  return openLinuxPort(options) ?? (await openDgramPort(options));
}

/** Datagrams that are about to be sent, in slots of one memory. */
export class OutgoingBatch {
  readonly memory = new NativeMemory(IOVECS + SLOTS * IOVEC_BYTES);
  /** Where a slot's plaintext goes. */
  readonly plain: readonly Uint8Array[];
  /** Where the slot's packet begins, with its header. */
  readonly packets: readonly Uint8Array[];
  readonly bytes = new Uint32Array(SLOTS);
  readonly ports: (DatagramPort | null)[] = new Array(SLOTS).fill(null);
  readonly addresses: (PeerAddress | null)[] = new Array(SLOTS).fill(null);
  count = 0;
  private bulk = 0;

  constructor() {
    this.packets = Array.from({ length: SLOTS }, (_, slot) => {
      this.memory.setPointer(iovecStart(slot), slotStart(slot));
      return this.memory.bytes.subarray(slotStart(slot), slotStart(slot) + SLOT_BYTES);
    });
    this.plain = this.packets.map((packet) => packet.subarray(HEADER_BYTES));
  }

  get full(): boolean {
    return this.count === SLOTS;
  }

  /** Takes the next slot, which holds a sealed packet. */
  add(port: DatagramPort, address: PeerAddress, bytes: number): void {
    const slot = this.count++;
    this.ports[slot] = port;
    this.addresses[slot] = address;
    this.bytes[slot] = bytes;
    if (bytes >= BULK_DATAGRAM_BYTES) this.bulk++;
    this.memory.setWord(iovecStart(slot) + 8, bytes);
  }

  /** The packet that was added last, to another address as well. */
  repeat(port: DatagramPort, address: PeerAddress): void {
    const slot = this.count;
    const bytes = this.bytes[slot - 1] as number;
    this.memory.bytes.copyWithin(slotStart(slot), slotStart(slot - 1), slotStart(slot - 1) + bytes);
    this.add(port, address, bytes);
  }

  /** Large datagrams since this was asked last. */
  takeBulk(): number {
    const { bulk } = this;
    this.bulk = 0;
    return bulk;
  }

  /** Sends all. */
  flush(): void {
    let from = 0;
    while (from < this.count) {
      const port = this.ports[from] as DatagramPort;
      let to = from + 1;
      while (to < this.count && this.ports[to] === port) to++;
      port.send(this, from, to);
      from = to;
    }
    this.ports.fill(null, 0, this.count);
    this.addresses.fill(null, 0, this.count);
    this.count = 0;
  }
}

export const slotStart = (slot: number): number => slot * SLOT_BYTES;
/** Offset of a slot's struct iovec in the batch's memory. */
export const iovecStart = (slot: number): number => IOVECS + slot * IOVEC_BYTES;

/** Says what to change when the system gives smaller buffers than were asked for. */
export function bufferHint(received: number, sent: number): string | null {
  const short: string[] = [];
  if (received < WANTED_RECEIVE_BYTES) short.push(`net.core.rmem_max=${WANTED_RECEIVE_BYTES}`);
  if (sent < WANTED_SEND_BYTES) short.push(`net.core.wmem_max=${WANTED_SEND_BYTES}`);
  if (short.length === 0) return null;
  const have = `${mebibytes(received)} to receive and ${mebibytes(sent)} to send`;
  const cure =
    process.platform === 'linux' ? `sysctl -w ${short.join(' ')}` : 'raise the largest socket buffer (kern.ipc.maxsockbuf)';
  return `The system gives a UDP socket buffers of ${have}, which a fast link overruns; as root: ${cure}`;
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** 30 ms at 1 Gbit/s. */
export const WANTED_RECEIVE_BYTES = 4 << 20;
export const WANTED_SEND_BYTES = 4 << 20;
/** Part of a transfer, rather than a request or control. */
export const BULK_DATAGRAM_BYTES = 1200;
const SLOT_BYTES = 1536;
/** A millisecond at 3 Gbit/s. */
const SLOTS = 256;
const IOVECS = SLOTS * SLOT_BYTES;
const IOVEC_BYTES = 16;
