/**
 * One file needs little to be known before its upload is opened: its transfer begins with it, in the same round trip in which
 * everything else is asked.
 */
import type { Api } from '../api-contract.ts';
import { chooseUploadId } from '../chosen-ids.ts';
import type { TransferOptions } from '../contract.ts';
import { withRetry } from '../retry.ts';
import { checkBlockBytes } from './block-bytes.ts';
import type { DigestCache } from './digest-cache.ts';
import { type Head, mayHaveHead, sendHead } from './head.ts';
import type { Stop } from './job.ts';
import { openSourceFile, type SourceState } from './source-file.ts';
import type { Source } from './sources.ts';
import { type Status, uploadRequest } from './upload.ts';

export interface EarlyUpload {
  /** Id of its transfer. */
  readonly transfer: string;
  /** The upload, for whoever would open the same one; null: it was another, or has been taken. */
  take(path: string, state: SourceState, digest: string | undefined): Taken | null;
  /** Frees what the server holds, if nobody took it. */
  drop(): Promise<void>;
}

interface Taken {
  readonly status: Status;
  /** Blocks that are on their way to it. */
  readonly head: Head | null;
}

/** Larger files never go into packs. */
export const EARLY_BYTES = 1024 * 1024;
/** What is not dropped by then expires by itself. */
const LONGEST_DROP_MS = 2000;

/**
 * Null when it could not be opened: whoever opens it anew is told why, and deals with it. Rejects when the put is stopped.
 */
export async function openEarly(
  api: Api,
  stop: Stop,
  cache: DigestCache,
  source: Source,
  path: string,
  options: TransferOptions,
  begin: { source: string; destination: string },
): Promise<EarlyUpload | null> {
  const { signal } = stop.controller;
  let opened: { state: SourceState; digest: string | undefined; status: Status };
  let head: Head | null = null;
  try {
    const state = stateOf(source, options);
    const digest = await cache.get(state.key);
    const { priority = 'normal' } = options;
    const id = chooseUploadId();
    const request = { ...uploadRequest(path, state, digest, options), begin: { ...begin, priority }, id };
    const opening = withRetry(() => api.createUpload(request, { signal }), stop.retry);
    if (mayHaveHead(api, state.size, digest, options))
      head = sendHead(api, id, source, state.size, options.follow ?? false, signal);
    opened = { state, digest, status: checkBlockBytes(await opening) };
  } catch (error) {
    await head?.drop();
    if (signal.aborted) throw error;
    return null;
  }
  const { state, digest, status } = opened;
  const { transfer } = status;
  if (head && (!head.fits(status) || transfer === null)) {
    await head.drop();
    head = null;
  }
  if (transfer === null) return null;
  let taken = false;
  return {
    transfer,
    take(wanted, now, known) {
      if (taken || wanted !== path || now.key !== state.key || known !== digest) return null;
      taken = true;
      return { status, head };
    },
    async drop() {
      if (taken || status.state === 'done') return;
      taken = true;
      await head?.drop();
      // Also when the put was stopped.
      const signal = AbortSignal.timeout(LONGEST_DROP_MS);
      await api.removeUpload(status.id, { epoch: status.epoch, signal }).catch(() => undefined);
    },
  };
}

function stateOf({ local }: Source, { follow = false }: TransferOptions): SourceState {
  const file = openSourceFile(local, follow);
  try {
    return file.state();
  } finally {
    file.close();
  }
}
