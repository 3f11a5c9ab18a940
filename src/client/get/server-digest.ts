/** What the server knows of a file's bytes: the digest of the whole, and those of its blocks. */
import { HawserError } from '../../core/errors.ts';
import { bytesEqual, DIGEST_BYTES, isDigestHex } from '../../core/hex.ts';
import { decodeDigestRecords } from '../../core/wire/digest-records.ts';
import { blake3 } from '../../engine/blake3.ts';
import type { FileInfo } from '../../engine/contract.ts';
import { sleepMs } from '../retry.ts';
import type { RemoteFile } from './fetch-blocks.ts';
import type { Session } from './session.ts';

export interface ServerDigest {
  /** Hex BLAKE3 of this version of the file; waits while the server reads it. `changed` when it is another file now. */
  get(): Promise<string>;
}

/** Asks once at the start where the digest is not known, so that a server that has to read the file does so meanwhile. */
export function askDigest(session: Session, path: string, info: FileInfo): ServerDigest {
  const known = info.digest;
  if (known !== null) return { get: async () => known };
  const first = ask(session, path, info);
  first.catch(() => undefined);
  return {
    get: async () => {
      let digest = await first;
      for (let waitMs = 50; digest === null; waitMs = Math.min(2000, waitMs * 2)) {
        digest = await ask(session, path, info);
        if (digest === null) await sleepMs(waitMs, session.signal);
      }
      return digest;
    },
  };
}

async function ask(session: Session, path: string, info: FileInfo): Promise<string | null> {
  const answer = await session.call((signal) => session.api.digest(path, { signal }));
  if (!answer.done) return null;
  if (answer.value.version !== info.version) {
    throw new HawserError('changed', `"${path}" changed while it was fetched.`, { value: path });
  }
  if (!isDigestHex(answer.value.digest)) {
    throw new HawserError('protocol_error', `The server gave no digest for "${path}".`, { value: path });
  }
  return answer.value.digest;
}

/** Fills `into` from `position` of what is here; returns how many bytes were there. */
export type ReadLocal = (position: number, into: Uint8Array) => Promise<number>;

/**
 * Calls `onBlock` for each block below `localBytes`, in order: is what is here equal to what the server has? While the blocks
 * of one answer are hashed here, the server prepares the next.
 */
export async function compareBlocks(
  session: Session,
  file: RemoteFile,
  localBytes: number,
  read: ReadLocal,
  onBlock: (start: number, end: number, equal: boolean) => void,
): Promise<void> {
  const blocks = Math.ceil(Math.min(file.size, localBytes) / file.blockBytes);
  const perAnswer = Math.max(1, Math.min(MAX_ANSWER_BLOCKS, Math.floor(MAX_ANSWER_BYTES / file.blockBytes)));
  const buffer = Buffer.allocUnsafeSlow(file.blockBytes);
  let answer = blocks > 0 ? askBlocks(session, file, 0, perAnswer) : null;
  for (let first = 0; first < blocks && answer; first += perAnswer) {
    const digests: Uint8Array = await answer;
    answer = first + perAnswer < blocks ? askBlocks(session, file, first + perAnswer, perAnswer) : null;
    answer?.catch(() => undefined);
    for (let index = first; index < Math.min(blocks, first + perAnswer); index++) {
      session.throwIfEnded();
      const start = index * file.blockBytes;
      const end = Math.min(file.size, start + file.blockBytes);
      const theirs = digests.subarray((index - first) * DIGEST_BYTES, (index - first + 1) * DIGEST_BYTES);
      const got = await readFully(read, start, buffer.subarray(0, end - start));
      onBlock(start, end, got === end - start && bytesEqual(blake3(buffer.subarray(0, got)), theirs));
    }
  }
}

async function askBlocks(session: Session, file: RemoteFile, first: number, count: number): Promise<Uint8Array> {
  const query = { blockBytes: file.blockBytes, version: file.version, first, count };
  const expected = Math.min(count, Math.ceil(file.size / file.blockBytes) - first);
  return await session.call(async (signal) => {
    const runs = decodeDigestRecords(await session.api.fileDigests(file.path, query, { signal }));
    const run = runs[0];
    if (runs.length !== 1 || run === undefined || run.first !== first || run.digests.length !== expected * DIGEST_BYTES) {
      throw new HawserError('protocol_error', `The server's block digests of "${file.path}" are not those that were asked for.`, {
        value: file.path,
      });
    }
    session.headway.moved();
    return run.digests;
  });
}

async function readFully(read: ReadLocal, position: number, into: Uint8Array): Promise<number> {
  let got = 0;
  while (got < into.length) {
    const bytes = await read(position + got, into.subarray(got));
    if (bytes === 0) break;
    got += bytes;
  }
  return got;
}

/** What the server reads for one answer stays well below the time that an answer may take. */
const MAX_ANSWER_BYTES = 256 << 20;
const MAX_ANSWER_BLOCKS = 4096;
