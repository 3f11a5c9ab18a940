/** The system calls for sockets that Node does not offer, on Linux. Structures and numbers are those of 64-bit little-endian Linux. */
import { getSystemErrorName } from 'node:util';
import type { PeerAddress } from './address.ts';
import { type Native, NativeMemory, native } from './native.ts';

export interface LinuxSockets {
  /** A UDP socket that does not block, bound to an address. Throws the system's error. */
  open(address: PeerAddress): number;
  close(fd: number): void;
  /** False: the system does not know the option. */
  setOption(fd: number, level: number, name: number, value: number): boolean;
  getOption(fd: number, level: number, name: number): number;
  /** A TCP socket that does not block and sends and receives by one interface only; null: not allowed. */
  openTcp(family: 4 | 6, device: string): number | null;
  /** Sends and receives by one interface only. False: not allowed. */
  bindToDevice(fd: number, name: string): boolean;
  /** The port that the socket is bound to. */
  port(fd: number): number;
  /** sendmmsg(2) and recvmmsg(2): messages done, or the negative error number. */
  sendMany(fd: number, messages: bigint, count: number): number;
  receiveMany(fd: number, messages: bigint, count: number, flags: number): number;
  /** Nanoseconds of UTC, by their last 2^53: for differences. */
  wallNs(): number;
  /** ppoll(2): the number of descriptors that are ready; 0 when the time was up. */
  poll(descriptors: bigint, count: number, timeout: bigint): number;
  /** Becomes readable when this thread's event loop has something to do. */
  eventLoopFd(): number;
}

export function linuxSockets(): LinuxSockets | null {
  if (loaded === undefined) loaded = load();
  return loaded;
}

/** Waits for sockets, for this thread's event loop and for the time, to the microsecond where Node's timers have milliseconds. */
export class NativePoller {
  private readonly sockets: LinuxSockets;
  private readonly memory = new NativeMemory(TIMEOUT + 16);
  private readonly descriptors = this.memory.pointer(0);
  private readonly timeout = this.memory.pointer(TIMEOUT);
  private count = 0;

  constructor(sockets: LinuxSockets) {
    this.sockets = sockets;
    this.add(sockets.eventLoopFd());
  }

  add(fd: number): void {
    if (this.count === MOST_DESCRIPTORS) throw new RangeError('Too many sockets to wait for.');
    this.memory.i32[2 * this.count] = fd;
    this.memory.i32[2 * this.count + 1] = POLLIN;
    this.count++;
  }

  remove(fd: number): void {
    const { i32 } = this.memory;
    for (let i = 1; i < this.count; i++) {
      if (i32[2 * i] !== fd) continue;
      this.count--;
      i32[2 * i] = i32[2 * this.count] as number;
      return;
    }
  }

  /**
   * Returns early when there is something to do. `socketsToo` false: datagrams may wait for the time. True: it was neither time
   * nor a socket, only this thread's event loop that has something.
   */
  wait(timeoutUs: number, socketsToo: boolean): boolean {
    const us = Math.max(0, Math.min(timeoutUs, LONGEST_WAIT_US));
    this.memory.setWord(TIMEOUT, Math.floor(us / 1e6));
    this.memory.setWord(TIMEOUT + 8, Math.floor((us % 1e6) * 1000));
    const ready = this.sockets.poll(this.descriptors, socketsToo ? this.count : 1, this.timeout);
    return ready === 1 && (this.memory.u16[REVENTS >> 1] as number) !== 0;
  }
}

let loaded: LinuxSockets | null | undefined;

function load(): LinuxSockets | null {
  const ffi = process.platform === 'linux' ? native() : null;
  if (ffi === null) return null;
  try {
    return bind(ffi);
  } catch {
    return null;
  }
}

function bind(ffi: Native): LinuxSockets {
  const errnoAddress = ffi.callForPointer('__errno_location', [])();
  const socket = ffi.call('socket', ['i32', 'i32', 'i32']);
  const bindTo = ffi.call('bind', ['i32', 'pointer', 'u32']);
  const close = ffi.call('close', ['i32']);
  const setsockopt = ffi.call('setsockopt', ['i32', 'i32', 'i32', 'pointer', 'u32']);
  const getsockopt = ffi.call('getsockopt', ['i32', 'i32', 'i32', 'pointer', 'pointer']);
  const getsockname = ffi.call('getsockname', ['i32', 'pointer', 'pointer']);
  const sendmmsg = ffi.call('sendmmsg', ['i32', 'pointer', 'u32', 'i32']);
  const recvmmsg = ffi.call('recvmmsg', ['i32', 'pointer', 'u32', 'i32', 'pointer']);
  const clockGettime = ffi.call('clock_gettime', ['i32', 'pointer']);
  const ppoll = ffi.call('ppoll', ['pointer', 'u32', 'pointer', 'pointer']);
  const backendFd = ffi.call('uv_backend_fd', ['pointer']);
  const memory = new NativeMemory(256);
  const [value, length, clock] = [memory.pointer(0), memory.pointer(8), memory.pointer(16)];
  const address = memory.pointer(64);
  const orError = (result: number): number => (result < 0 ? -ffi.readInt32(errnoAddress) : result);

  const setOption = (fd: number, level: number, name: number, to: number): boolean => {
    memory.i32[0] = to;
    return setsockopt(fd, level, name, value, 4) === 0;
  };
  const bindToDevice = (fd: number, name: string): boolean => {
    const bytes = new TextEncoder().encode(name).subarray(0, 15);
    memory.bytes.fill(0, 64, 80);
    memory.bytes.set(bytes, 64);
    return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, address, bytes.length) === 0;
  };
  const check = (result: number, call: string): number => {
    const code = orError(result);
    if (code >= 0) return code;
    const name = getSystemErrorName(code);
    throw Object.assign(new Error(`${call} ${name}`), { code: name, errno: code, syscall: call });
  };

  return {
    open({ words, family }) {
      const fd = check(
        socket(family === 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP),
        'socket',
      );
      try {
        memory.u32.set(words, 16);
        check(bindTo(fd, address, words.length * 4), 'bind');
      } catch (error) {
        close(fd);
        throw error;
      }
      return fd;
    },
    close: (fd) => void close(fd),
    setOption,
    getOption(fd, level, name) {
      memory.i32[0] = 0;
      memory.u32[2] = 4;
      return getsockopt(fd, level, name, value, length) === 0 ? (memory.i32[0] as number) : 0;
    },
    openTcp(family, device) {
      const fd = socket(family === 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
      if (fd < 0) return null;
      if (bindToDevice(fd, device)) return fd;
      close(fd);
      return null;
    },
    bindToDevice,
    port(fd) {
      memory.u32[2] = 28;
      check(getsockname(fd, address, length), 'getsockname');
      return ((memory.bytes[66] as number) << 8) | (memory.bytes[67] as number);
    },
    sendMany: (fd, messages, count) => orError(sendmmsg(fd, messages, count, 0)),
    receiveMany: (fd, messages, count, flags) => orError(recvmmsg(fd, messages, count, MSG_DONTWAIT | flags, 0n)),
    wallNs() {
      clockGettime(CLOCK_REALTIME, clock);
      return ((memory.u32[4] as number) % SECONDS_KEPT) * 1e9 + (memory.u32[6] as number);
    },
    poll: (descriptors, count, timeout) => ppoll(descriptors, count, timeout, 0n),
    eventLoopFd: () => backendFd(ffi.eventLoop()),
  };
}

/** Of wall seconds: the rest in nanoseconds stays an exact double. */
export const SECONDS_KEPT = 1 << 22;
export const MSG_ERRQUEUE = 0x2000;
export const SOL_SOCKET = 1;
const SO_BINDTODEVICE = 25;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const MSG_DONTWAIT = 0x40;
const CLOCK_REALTIME = 0;
const POLLIN = 1;
/** Of the first struct pollfd, which is the event loop's: descriptor 0, events 4, what happened 6. */
const REVENTS = 6;
const MOST_DESCRIPTORS = 512;
const TIMEOUT = MOST_DESCRIPTORS * 8;
/** Against mistakes: nobody waits for longer without looking around. */
const LONGEST_WAIT_US = 1e6;
