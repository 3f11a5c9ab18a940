/** A UDP socket by node:dgram: works everywhere, one call for each datagram. */
import { createSocket, type RemoteInfo } from 'node:dgram';

import { isIPv6 } from 'node:net';
import type { Us } from '../../core/lane/contract.ts';
import { type PeerAddress, peerAddress } from './address.ts';
import { NativeMemory } from './native.ts';
import { bufferHint, type DatagramPort, type PortOptions, slotStart, WANTED_RECEIVE_BYTES, WANTED_SEND_BYTES } from './port.ts';

export function openDgramPort(options: PortOptions): Promise<DatagramPort> {
  const { host, port, nowUs, onReadable, onError } = options;
  const family = isIPv6(host) ? 6 : 4;
  const socket = createSocket({ type: family === 6 ? 'udp6' : 'udp4', lookup: literal as never });
  const waiting: { bytes: Buffer; from: RemoteInfo; arrivedUs: Us }[] = [];
  const memory = new NativeMemory(LARGEST_DATAGRAM_BYTES);
  const sources = new Map<string, PeerAddress>();
  const toAddress = ({ address, port }: { address: string; port: number }): PeerAddress => {
    const key = `${address} ${port}`;
    let known = sources.get(key);
    if (!known) {
      known = peerAddress(address, port);
      // Forged sources must not fill memory.
      if (sources.size >= MOST_SOURCES) sources.clear();
      sources.set(key, known);
    }
    return known;
  };
  const afterSend = (error: (Error & { code?: string; address?: string; port?: number }) | null): void => {
    if (!error) return;
    const { address, port } = error;
    onError(error.code ?? 'EIO', address && port ? toAddress({ address, port }) : null);
  };
  socket.on('message', (bytes, from) => {
    if (waiting.length >= MOST_WAITING || bytes.length > LARGEST_DATAGRAM_BYTES) return;
    waiting.push({ bytes, from, arrivedUs: nowUs() });
    onReadable();
  });

  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.off('error', reject);
      socket.on('error', (error: NodeJS.ErrnoException) => onError(error.code ?? 'EIO', null));
      const hint = setBuffers(socket);
      resolve({
        port: socket.address().port,
        family,
        method: 'dgram',
        hint,
        fd: -1,
        receive(limit, handle) {
          const batch = waiting.splice(0, limit);
          for (const { bytes, from, arrivedUs } of batch) {
            memory.bytes.set(bytes, 0);
            handle({ memory, at: 0, bytes: bytes.length, source: toAddress(from), arrivedUs });
          }
          return batch.length;
        },
        send(batch, from, to) {
          for (let slot = from; slot < to; slot++) {
            const address = batch.addresses[slot] as PeerAddress;
            const start = slotStart(slot);
            // The socket may keep it after this call, and the slot is used again.
            const bytes = Buffer.from(batch.memory.bytes.subarray(start, start + (batch.bytes[slot] as number)));
            const { host } = address;
            // An IPv6 socket knows IPv4 addresses only as mapped ones (RFC 4291 section 2.5.5.2).
            const known = family === 6 && !host.includes(':') ? `::ffff:${host}` : host;
            socket.send(bytes, 0, bytes.length, address.port, known, afterSend);
          }
        },
        close() {
          waiting.length = 0;
          socket.close();
        },
      });
    });
  });
}

function setBuffers(socket: ReturnType<typeof createSocket>): string | null {
  // Some systems refuse what is too much, others give what they can.
  const attempt = (set: () => void): void => {
    try {
      set();
    } catch {}
  };
  attempt(() => socket.setRecvBufferSize(WANTED_RECEIVE_BYTES));
  attempt(() => socket.setSendBufferSize(WANTED_SEND_BYTES));
  // Linux tells twice of what it gives: the rest is for its own accounts.
  const share = process.platform === 'linux' ? 2 : 1;
  return bufferHint(socket.getRecvBufferSize() / share, socket.getSendBufferSize() / share);
}

/** Addresses are never names here, so that nothing has to be looked up. */
function literal(host: string, _options: unknown, done: (error: null, address: string, family: number) => void): void {
  done(null, host, isIPv6(host) ? 6 : 4);
}

const LARGEST_DATAGRAM_BYTES = 2048;
/** 10 MiB. */
const MOST_WAITING = 8192;
const MOST_SOURCES = 1024;
