/** A whole file as one request body, as curl sends it: staged, verified, published, with no way to resume. */
import { createHash } from 'node:crypto';
import { HawserError } from '../core/errors.ts';
import { bytesEqual, toHex } from '../core/hex.ts';
import { parsePath } from '../core/path.ts';
import type { FileStore, StagingFile } from '../store/files/contract.ts';
import type { MetaStore } from '../store/meta/contract.ts';
import { createBlake3 } from './blake3.ts';
import { type RandomBytes, randomId } from './clock.ts';
import type { ByteSource, Engine, FileInfo, Principal, UploadRequest } from './contract.ts';
import { fileInfo, recordOf } from './file-info.ts';
import type { InFlight } from './in-flight.ts';
import { permit } from './permission.ts';
import type { Live, Transfers } from './transfers.ts';

export function createPlainPut(context: {
  files: FileStore;
  meta: MetaStore;
  random: RandomBytes;
  inFlight: InFlight;
  transfers: () => Transfers;
}): Engine['putFile'] {
  const { files, meta, inFlight } = context;

  async function put(
    who: Principal,
    request: UploadRequest,
    body: ByteSource,
    expected: { sha256?: Uint8Array; blake3?: string },
  ): Promise<{ info: FileInfo; created: boolean }> {
    permit(who, 'write');
    inFlight.checkOpen();
    const path = parsePath(request.path);
    if (path === '/') throw new HawserError('is_folder', 'The path "/" is the root folder: name a file in it.', { value: path });
    const there = await files.stat(path).catch(() => null);
    if (there?.kind === 'folder')
      throw new HawserError('is_folder', `"${path}" is a folder: name a file in it.`, { value: path });
    if (there && request.overwrite === 'never') {
      throw new HawserError('exists', `"${path}" is there already, and nothing is to be overwritten.`, { value: path });
    }
    const gate = await context.transfers().admit(who, request.transfer);
    const id = randomId(context.random, 20);
    let staging: StagingFile | null = null;
    try {
      staging = await files.createStaging(id, request.size);
      const { size, digest } = await fill(staging, body, expected, gate);
      if (request.size !== null && size !== request.size) {
        throw new HawserError('body_incomplete', `${size} of ${request.size} bytes came: send all of them again.`, {
          value: size,
        });
      }
      await staging.sync();
      const entry = await staging.publish(path, size, {
        overwrite: request.overwrite ?? 'always',
        ...(request.mode === undefined ? {} : { mode: request.mode }),
        ...(request.mtimeNs === undefined ? {} : { mtimeNs: request.mtimeNs }),
      });
      const record = recordOf(entry, digest, request.mtimeNs);
      await meta.recordFiles([record]);
      await context.transfers().count(gate?.record.id ?? null, { addFiles: 1, addBytes: size });
      return { info: fileInfo(entry, record), created: there === null };
    } catch (error) {
      await staging?.close();
      await files.removeStaging(id);
      throw error;
    } finally {
      context.transfers().release(gate);
    }
  }

  async function fill(
    staging: StagingFile,
    body: ByteSource,
    expected: { sha256?: Uint8Array; blake3?: string },
    gate: Live | null,
  ): Promise<{ size: number; digest: string }> {
    const hash = createBlake3();
    const sha256 = expected.sha256 ? createHash('sha256') : null;
    const gathered = Buffer.allocUnsafeSlow(WRITE_BYTES);
    let filled = 0;
    let size = 0;
    const write = async () => {
      const bytes = gathered.subarray(0, filled);
      hash.update(bytes);
      sha256?.update(bytes);
      await staging.write(size, bytes);
      size += filled;
      filled = 0;
    };
    for await (const piece of body) {
      inFlight.checkOpen();
      context.transfers().check(gate);
      for (let at = 0; at < piece.length; ) {
        const part = piece.subarray(at, at + WRITE_BYTES - filled);
        gathered.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled === WRITE_BYTES) await write();
      }
      await context.transfers().pace(gate, piece.length);
    }
    await write();
    const digest = toHex(hash.digest());
    const wrong =
      (expected.blake3 !== undefined && expected.blake3 !== digest) ||
      (sha256 && expected.sha256 && !bytesEqual(sha256.digest(), expected.sha256));
    if (wrong) {
      throw new HawserError(
        'digest_mismatch',
        `The bytes that arrived have the digest ${digest}, which is not the one announced: send them again.`,
        { value: digest },
      );
    }
    return { size, digest };
  }

  return (...call) => inFlight.track(put(...call));
}

/** Pieces from a socket are small: written together they cost a hundredth of the calls. */
const WRITE_BYTES = 1 << 20;
