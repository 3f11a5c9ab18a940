/** What a connection has been given and the other machine does not have yet: in Node, in the lane's thread, in the kernel. */
import type { Socket } from 'node:net';
import { type Native, NativeMemory, native } from './lane/native.ts';

/** Above the kernel. Node keeps this number for its own timeouts; without it a write counts until all of it has left. */
export function bytesAboveKernel(socket: Socket): number {
  return socket.writableLength + (handleOf(socket)?.writeQueueSize ?? 0);
}

/** As far as this machine knows: of a TCP connection all that is not acknowledged (Linux), of a lane what has not been sent. */
export function waitingBytes(socket: Socket): number {
  const { queuedBytes } = socket as { queuedBytes?: number };
  return bytesAboveKernel(socket) + (queuedBytes ?? bytesInKernel(handleOf(socket)?.fd ?? -1));
}

function handleOf(socket: Socket): Handle | null {
  const handle = (socket as unknown as { _handle?: (Handle & { readonly _parent?: Handle }) | null })._handle;
  return handle?._parent ?? handle ?? null;
}

interface Handle {
  readonly writeQueueSize?: number;
  readonly fd?: number;
}

function bytesInKernel(fd: number): number {
  if (fd < 0 || process.platform !== 'linux') return 0;
  asking ??= createAsking(native());
  return asking(fd);
}

/** By TCP_INFO of tcp(7), as linux/tcp.h lays it out. */
function createAsking(ffi: Native | null): (fd: number) => number {
  if (!ffi) return () => 0;
  const getsockopt = ffi.call('getsockopt', ['i32', 'i32', 'i32', 'pointer', 'pointer']);
  const memory = new NativeMemory(INFO_BYTES + 8);
  const at = (offset: number): number => memory.u32[offset / 4] as number;
  return (fd) => {
    memory.u32[INFO_BYTES / 4] = INFO_BYTES;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, memory.pointer(0), memory.pointer(INFO_BYTES)) !== 0) return 0;
    const isKnown = at(INFO_BYTES) >= NOT_SENT_BYTES + 4;
    return isKnown ? at(NOT_SENT_BYTES) + at(UNACKNOWLEDGED_SEGMENTS) * at(SEGMENT_BYTES) : 0;
  };
}

let asking: ((fd: number) => number) | undefined;

const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const INFO_BYTES = 256;
const SEGMENT_BYTES = 16;
const UNACKNOWLEDGED_SEGMENTS = 24;
const NOT_SENT_BYTES = 144;
