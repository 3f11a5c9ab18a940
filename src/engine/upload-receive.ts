/** Block frames come in: verified, written as they come, safe before they are acknowledged. */
import { HawserError } from '../core/errors.ts';
import { bytesEqual } from '../core/hex.ts';
import { BLOCK_HEADER_BYTES } from '../core/wire/block-frames.ts';
import { BlockReader } from '../core/wire/block-reader.ts';
import { blake3 } from './blake3.ts';
import { createBufferPools } from './buffer-pool.ts';
import type { BlocksAccepted, ByteSource, Principal } from './contract.ts';
import type { OpenUploads, UploadContext } from './open-uploads.ts';
import { permit } from './permission.ts';
import { pour } from './pour.ts';
import type { Begun } from './upload-begun.ts';
import { damagedBlock, type UploadSession } from './upload-session.ts';
import { loadUpload, unknownUpload } from './upload-status.ts';

export function createReceiving(context: UploadContext, open: OpenUploads, begun: Begun) {
  const { meta, inFlight } = context;
  const pools = createBufferPools();
  /** Of all requests, in bytes: handed to the disk and not yet written. */
  let unwritten = 0;

  async function receive(
    who: Principal,
    id: string,
    epoch: number,
    body: ByteSource,
    onInterrupted: (why: HawserError) => void = () => undefined,
    { whenBegun = false }: { whenBegun?: boolean } = {},
  ): Promise<BlocksAccepted> {
    permit(who, 'write');
    inFlight.checkOpen();
    if (whenBegun) await begun.until(id, async () => (await meta.getUpload(id)) !== null);
    const record = await loadUpload(meta, who, id);
    if (record.state !== 'receiving') throw unknownUpload(id);
    const gate = await context.transfers().admit(who, record.transfer ?? undefined);
    let current: UploadSession;
    try {
      current = await open.session(record);
      current.checkEpoch(epoch);
    } catch (error) {
      context.transfers().release(gate);
      throw error;
    }
    const { blockBytes } = current.record;
    const pool = pools(BLOCK_HEADER_BYTES + blockBytes);
    const arrived: { offset: number; digest: Uint8Array; data: Uint8Array; running: boolean }[] = [];
    const reader = new BlockReader({ maxBlockBytes: blockBytes, take: pool.take, takesRunning: true });
    const batches = new Set<Promise<void>>();
    const writing = new Set<Promise<void>>();
    let accepted = 0;
    let failure: unknown;

    const store = async (index: number, digest: Uint8Array | null, data: Uint8Array) => {
      unwritten += data.length;
      try {
        const stored = await current.store(epoch, index, digest, data, () => pool.give(data));
        batches.add(stored.safe);
        accepted += data.length;
      } catch (error) {
        failure ??= error;
      } finally {
        unwritten -= data.length;
      }
    };
    const isFull = () => writing.size * blockBytes > MAX_WRITING_BYTES || unwritten > MAX_UNWRITTEN_BYTES;
    const proceed = () => {
      if (failure) throw failure;
      inFlight.checkOpen();
      // Before the epoch: a cancelled upload has a new one too, and "cancelled" is what the sender is to hear.
      context.transfers().check(gate);
      current.checkEpoch(epoch);
    };
    const request = {
      epoch,
      interrupt: () => {
        try {
          proceed();
        } catch (error) {
          if (error instanceof HawserError) onInterrupted(error);
        }
      },
    };
    current.requests.add(request);

    const handleArrived = async () => {
      for (const { offset, digest, data, running } of arrived.splice(0)) {
        const index = current.checkPlace(offset, data.length);
        if (running) await current.verifyRunning(index, digest, data);
        else if (!bytesEqual(blake3(data), digest)) throw damagedBlock(offset);
        const write = store(index, running ? null : digest, data).finally(() => writing.delete(write));
        writing.add(write);
        await context.transfers().pace(gate, data.length);
      }
      while (isFull() && writing.size > 1) await Promise.race(writing);
    };

    try {
      await pour(body, {
        room: () => reader.room(),
        take(bytes) {
          proceed();
          reader.push(bytes, (offset, digest, data, running) => arrived.push({ offset, digest, data, running }));
          return arrived.length > 0 ? handleArrived() : undefined;
        },
      });
      if (reader.pendingBytes > 0) {
        throw new HawserError(
          'body_incomplete',
          `The body ends inside a block: ${reader.pendingBytes} bytes of it came. Send that block again.`,
        );
      }
    } catch (error) {
      failure ??= error;
    } finally {
      await Promise.all(writing);
      await current.flush();
      current.requests.delete(request);
      context.transfers().release(gate);
    }
    const settled = await Promise.allSettled(batches);
    for (const one of settled) if (one.status === 'rejected') failure ??= one.reason;
    // "Cancelled" goes before "taken over": a cancelled upload has a new epoch too.
    if (epoch !== current.record.epoch) context.transfers().check(gate);
    if (failure) throw failure;
    current.checkEpoch(epoch);
    return { accepted, safeBytes: current.safeBytes() };
  }

  return receive;
}

/** Bytes of blocks that one request may have handed to the disk and not yet written. */
const MAX_WRITING_BYTES = 4 << 20;
/** The same for all requests together: a disk that is slower than the network is not made faster by a longer queue. */
const MAX_UNWRITTEN_BYTES = 16 << 20;
