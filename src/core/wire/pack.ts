/**
 * Packs, `application/vnd.hawser.pack` (docs/protocol/http.md, "Packs"): many small files, folders and links in one body.
 * Written entry by entry; read by an assembler that takes pieces of any size.
 */
import { HawserError } from '../errors.ts';
import { DIGEST_BYTES } from '../hex.ts';
import { MAX_PATH_BYTES, parsePath, pathFromBytes, pathToBytes } from '../path.ts';

export const PACK_HEADER_BYTES = 52;
/** Where in the header the digest lies. */
export const PACK_DIGEST_AT = 20;

export interface PackEntry {
  /** 'error' comes only from a server: `target` then holds "code: sentence". */
  readonly kind: 'file' | 'folder' | 'link' | 'error';
  readonly path: string;
  /** Permission bits; others are dropped on both sides. */
  readonly mode?: number;
  readonly mtimeNs?: bigint;
  readonly target?: string;
  /** BLAKE3 of the content; zeros for what has none. */
  readonly digest: Uint8Array;
  /** Bytes of content that follow; 0 for all but files. */
  readonly size: number;
}

/** Header, path and target of one entry; `size` bytes of content must follow. `path_invalid` when they do not fit. */
export function encodePackEntry(entry: PackEntry): Uint8Array {
  const path = pathToBytes(entry.path);
  const target = pathToBytes(entry.target ?? '');
  if (entry.digest.length !== DIGEST_BYTES) {
    throw new HawserError('internal', `The pack entry for "${entry.path}" has a digest of ${entry.digest.length} bytes.`);
  }
  const bytes = new Uint8Array(PACK_HEADER_BYTES + path.length + target.length);
  encodePackHeader(bytes, 0, entry, path.length, target.length);
  bytes.set(entry.digest, PACK_DIGEST_AT);
  bytes.set(path, PACK_HEADER_BYTES);
  bytes.set(target, PACK_HEADER_BYTES + path.length);
  return bytes;
}

/**
 * The header alone, into `bytes` at `at`, for a writer who has the rest in its place: the digest at PACK_DIGEST_AT of the
 * header, the path and the target behind it. `path_invalid` when they do not fit.
 */
export function encodePackHeader(
  bytes: Uint8Array,
  at: number,
  { kind, mode, mtimeNs, size }: Pick<PackEntry, 'kind' | 'mode' | 'mtimeNs' | 'size'>,
  pathBytes: number,
  targetBytes: number,
): void {
  checkLengths(kind, pathBytes, targetBytes, size, 0xffff_ffff, 'path_invalid');
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, PACK_HEADER_BYTES);
  view.setUint8(0, KINDS.indexOf(kind));
  view.setUint8(1, (mode === undefined ? 0 : HAS_MODE) | (mtimeNs === undefined ? 0 : HAS_MTIME));
  view.setUint16(2, (mode ?? 0) & PERMISSIONS);
  view.setBigInt64(4, mtimeNs ?? 0n);
  view.setUint16(12, pathBytes);
  view.setUint16(14, targetBytes);
  view.setUint32(16, size);
}

/**
 * `content` is valid only until onEntry returns: it is a view of the piece, or of memory that the next entry overwrites.
 * Whoever needs it longer copies it. `entry` and its digest are fresh and may be kept.
 */
export type OnPackEntry = (entry: PackEntry, content: Uint8Array) => void;

/**
 * Takes a pack apart. An entry that lies whole in one piece is handed out where it lies; only one that is split is copied, into
 * memory that is used again. After an error it is spent: the place in the stream is lost.
 */
export class PackAssembler {
  readonly #maxContentBytes: number;
  /** Start of the entry that has begun. */
  #held = new Uint8Array(PACK_HEADER_BYTES);
  #heldBytes = 0;
  /** Length of that entry; of its header while that is not whole. */
  #entryBytes = PACK_HEADER_BYTES;

  constructor(options: { maxContentBytes: number }) {
    this.#maxContentBytes = options.maxContentBytes;
  }

  /** Bytes of the entry that has begun: 0 between entries, which is where a pack may end. */
  get pendingBytes(): number {
    return this.#heldBytes;
  }

  /** Calls `onEntry` for each entry that this piece completes. `frame_invalid`, `path_invalid`, `path_reserved`. */
  push(piece: Uint8Array, onEntry: OnPackEntry): void {
    let at = 0;
    while (at < piece.length) {
      if (this.#heldBytes === 0 && piece.length - at >= PACK_HEADER_BYTES) {
        const length = measurePackEntry(piece, at, this.#maxContentBytes);
        if (piece.length - at >= length) {
          readPackEntry(piece.subarray(at, at + length), onEntry);
          at += length;
          continue;
        }
      }
      at += this.#hold(piece, at);
      if (this.#heldBytes < PACK_HEADER_BYTES) return;
      if (this.#entryBytes === PACK_HEADER_BYTES) {
        // No entry is as short as its header, so this one has not been measured.
        this.#entryBytes = measurePackEntry(this.#held, 0, this.#maxContentBytes);
        this.#reserve(this.#entryBytes);
        continue;
      }
      if (this.#heldBytes < this.#entryBytes) return;
      const whole = this.#held.subarray(0, this.#entryBytes);
      this.#heldBytes = 0;
      this.#entryBytes = PACK_HEADER_BYTES;
      readPackEntry(whole, onEntry);
    }
  }

  /** Keeps what the begun entry still lacks; returns how many bytes that took. */
  #hold(piece: Uint8Array, at: number): number {
    const part = Math.min(this.#entryBytes - this.#heldBytes, piece.length - at);
    this.#held.set(piece.subarray(at, at + part), this.#heldBytes);
    this.#heldBytes += part;
    return part;
  }

  #reserve(bytes: number): void {
    if (this.#held.length >= bytes) return;
    const larger = new Uint8Array(bytes);
    larger.set(this.#held.subarray(0, this.#heldBytes));
    this.#held = larger;
  }
}

/** Length of the whole entry whose header is at `at`. `frame_invalid` when it cannot be right. */
export function measurePackEntry(bytes: Uint8Array, at: number, maxContentBytes: number): number {
  const kind = KINDS[bytes[at]!];
  if (kind === undefined) throw malformed(`has the kind ${bytes[at]}, which does not exist`, bytes[at]!);
  const flags = bytes[at + 1]!;
  if ((flags & ~(HAS_MODE | HAS_MTIME)) !== 0) throw malformed(`has the flags ${flags}, of which some are reserved`, flags);
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, PACK_HEADER_BYTES);
  const pathBytes = view.getUint16(12);
  const targetBytes = view.getUint16(14);
  const size = view.getUint32(16);
  checkLengths(kind, pathBytes, targetBytes, size, maxContentBytes, 'frame_invalid');
  return PACK_HEADER_BYTES + pathBytes + targetBytes + size;
}

/** `bytes` is one whole entry that was measured. `path_invalid`, `path_reserved`, `frame_invalid`. */
export function readPackEntry(bytes: Uint8Array, onEntry: OnPackEntry): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, PACK_HEADER_BYTES);
  const flags = bytes[1]!;
  const pathEnd = PACK_HEADER_BYTES + view.getUint16(12);
  const targetEnd = pathEnd + view.getUint16(14);
  const target = targetEnd === pathEnd ? '' : pathFromBytes(bytes.subarray(pathEnd, targetEnd));
  if (target.includes('\0')) throw malformed('has a target with a NUL character', target);
  const entry: { -readonly [K in keyof PackEntry]: PackEntry[K] } = {
    kind: KINDS[bytes[0]!]!,
    path: parsePath(pathFromBytes(bytes.subarray(PACK_HEADER_BYTES, pathEnd))),
    digest: bytes.slice(PACK_DIGEST_AT, PACK_HEADER_BYTES),
    size: bytes.length - targetEnd,
  };
  if ((flags & HAS_MODE) !== 0) entry.mode = view.getUint16(2) & PERMISSIONS;
  if ((flags & HAS_MTIME) !== 0) entry.mtimeNs = view.getBigInt64(4);
  if (target !== '') entry.target = target;
  onEntry(entry, bytes.subarray(targetEnd));
}

function checkLengths(
  kind: PackEntry['kind'],
  pathBytes: number,
  targetBytes: number,
  size: number,
  maxContentBytes: number,
  code: 'frame_invalid' | 'path_invalid',
): void {
  const problem =
    pathBytes < 1 || pathBytes > MAX_PATH_BYTES
      ? `has a path of ${pathBytes} bytes: 1 to ${MAX_PATH_BYTES} are allowed`
      : (kind === 'link' || kind === 'error') !== targetBytes > 0
        ? `is a ${kind} with a target of ${targetBytes} bytes: links and errors have one, others none`
        : targetBytes > MAX_PATH_BYTES
          ? `has a target of ${targetBytes} bytes: at most ${MAX_PATH_BYTES} are allowed`
          : size > maxContentBytes
            ? `has ${size} bytes of content: at most ${maxContentBytes} are allowed, send it as an upload`
            : size > 0 && kind !== 'file'
              ? `is a ${kind} with ${size} bytes of content: only files have content`
              : null;
  if (problem !== null) throw new HawserError(code, `A pack entry ${problem}.`);
}

function malformed(what: string, value: string | number): HawserError {
  return new HawserError('frame_invalid', `A pack entry ${what}: the pack is damaged, or of a newer protocol.`, { value });
}

const KINDS = ['file', 'folder', 'link', 'error'] as const;
const HAS_MODE = 1;
const HAS_MTIME = 2;
const PERMISSIONS = 0o777;
