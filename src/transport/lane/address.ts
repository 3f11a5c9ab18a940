/** A peer's address: an IP address and a port, comparable at the price of a few words. */
import { isIP, SocketAddress } from 'node:net';
import { networkInterfaces } from 'node:os';

/** `words` is a struct sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes) as Linux has it, in 32-bit words. */
export class PeerAddress {
  readonly words: Uint32Array;

  constructor(words: Uint32Array) {
    this.words = words;
  }

  get family(): 4 | 6 {
    return ((this.words[0] as number) & 0xffff) === AF_INET6 ? 6 : 4;
  }

  get port(): number {
    const bytes = (this.words[0] as number) >>> 16;
    return ((bytes & 0xff) << 8) | (bytes >>> 8);
  }

  /** As text. An IPv4 address that reached an IPv6 socket is shown as what it is. */
  get host(): string {
    const bytes = new Uint8Array(this.words.buffer, this.words.byteOffset, this.words.byteLength);
    if (this.family === 4) return bytes.subarray(4, 8).join('.');
    const address = bytes.subarray(8, 24);
    if (address.subarray(0, 10).every((byte) => byte === 0) && address[10] === 0xff && address[11] === 0xff)
      return address.subarray(12).join('.');
    const groups = Array.from({ length: 8 }, (_, i) =>
      (((address[2 * i] as number) << 8) | (address[2 * i + 1] as number)).toString(16),
    );
    const scope = this.words[6] as number;
    const text = new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
    return scope === 0 ? text : `${text}%${scope}`;
  }

  /** The part that says which machine it is, not which port. */
  sameHost(other: PeerAddress): boolean {
    return sameWords(this.words, other.words, 1);
  }

  equals(other: PeerAddress): boolean {
    return sameWords(this.words, other.words, 0);
  }
}

/** `host` is an IP address, not a name. Throws RangeError otherwise. */
export function peerAddress(host: string, port: number): PeerAddress {
  const [ip = '', zone] = host.split('%');
  const family = isIP(ip);
  if (family === 0) throw new RangeError(`"${host}" is no IP address.`);
  const words = new Uint32Array(family === 4 ? 4 : 7);
  const bytes = new Uint8Array(words.buffer);
  words[0] = (family === 4 ? AF_INET : AF_INET6) | ((((port & 0xff) << 8) | (port >>> 8)) << 16);
  if (family === 4) bytes.set(ip.split('.').map(Number), 4);
  else {
    bytes.set(ipv6Bytes(ip), 8);
    words[6] = zone === undefined ? 0 : scopeOf(zone);
  }
  return new PeerAddress(words);
}

function ipv6Bytes(ip: string): number[] {
  const [head = '', tail] = ip.split('::');
  const before = groupBytes(head);
  if (tail === undefined) return before;
  const after = groupBytes(tail);
  return [...before, ...new Array<number>(16 - before.length - after.length).fill(0), ...after];
}

function groupBytes(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >>> 8, value & 0xff];
  });
}

function scopeOf(zone: string): number {
  if (/^\d+$/.test(zone)) return Number(zone);
  return networkInterfaces()[zone]?.find((entry) => entry.family === 'IPv6')?.scopeid ?? 0;
}

/** The flow label (word 1 of IPv6) is no part of an address. */
function sameWords(a: Uint32Array, b: Uint32Array, from: 0 | 1): boolean {
  if (a.length !== b.length) return false;
  if (from === 0 && a[0] !== b[0]) return false;
  if (a.length === 4) return a[1] === b[1];
  return a[2] === b[2] && a[3] === b[3] && a[4] === b[4] && a[5] === b[5] && a[6] === b[6];
}

const AF_INET = 2;
/** Linux's number. Addresses are made and compared by this program only, except on Linux. */
const AF_INET6 = 10;
