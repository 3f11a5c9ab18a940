/** Worker thread: does batches of small files with synchronous calls, which cost a third of asynchronous ones. */
import { Buffer } from 'node:buffer';
import { closeSync, constants, openSync, type PathLike } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { getBatch } from './batch-get.ts';
import type { BatchReply, BatchRequest, BatchSetup } from './batch-messages.ts';
import { batchError, MOST_DESCRIPTORS, putBatch } from './batch-put.ts';
import { renameWithoutReplacing, reserveDescriptors } from './native.ts';

const setup = workerData as BatchSetup;
reserve();

parentPort!.on('message', ({ id, request }: { id: number; request: BatchRequest }) => {
  try {
    const answer = perform(request);
    const reply: BatchReply = { id, answer };
    const transfer = typeof answer === 'object' && 'content' in answer ? [answer.content.buffer] : [];
    parentPort!.postMessage(reply, transfer);
  } catch (error) {
    const reply: BatchReply = { id, error: batchError(error, 'a batch of files') };
    parentPort!.postMessage(reply);
  }
});

function perform(request: BatchRequest) {
  switch (request.kind) {
    case 'put':
      return putBatch(setup, request.entries, request.content, request.overwrite);
    case 'get':
      return getBatch(setup, request.paths, request.maxBytes);
    case 'rename':
      return renameWithoutReplacing(asPath(request.from), asPath(request.to));
  }
}

/** A Buffer arrives from the other thread as a plain Uint8Array. */
function asPath(path: string | Uint8Array): PathLike {
  return typeof path === 'string' ? path : Buffer.from(path);
}

/** Every file of a batch stays open until all are synced. Without the room it is only slower. */
function reserve(): void {
  try {
    const staging = openSync(setup.staging, constants.O_RDONLY);
    reserveDescriptors(MOST_DESCRIPTORS, staging);
    closeSync(staging);
  } catch {
    // A batch that wants the folder says what is wrong with it.
  }
}
