/**
 * `put`: sends files, folders or a stream. The walk runs ahead; small files go in packs, larger ones as uploads whose blocks share
 * the streams; folders come once more at the end, so that their mode and mtime stay as they are.
 */
import { HawserError } from '../core/errors.ts';
import { joinPath, parsePath } from '../core/path.ts';
import type { FileInfo } from '../engine/contract.ts';
import type { PathInfo } from '../transport/contract.ts';
import type { Api } from './api-contract.ts';
import { chooseTransferId } from './chosen-ids.ts';
import type { Capabilities, PutSource, TransferOptions, TransferSummary } from './contract.ts';
import { openNewName } from './new-names.ts';
import { isNextDoor } from './next-door.ts';
import { readAhead } from './put/batches.ts';
import { createBufferPool } from './put/buffers.ts';
import { defaultStateFolder, openDigestCache } from './put/digest-cache.ts';
import { dispatch, folderEnds, foundBelow } from './put/dispatch.ts';
import { EARLY_BYTES, type EarlyUpload, openEarly } from './put/early-upload.ts';
import { compileExclude } from './put/exclude.ts';
import { createFlow } from './put/flow.ts';
import { createJob, createStop, type Job, type Stop } from './put/job.ts';
import { createPacks, type PackLimits } from './put/packs.ts';
import { PIECE_BUFFER_BYTES } from './put/source-file.ts';
import { absoluteSource, describeSources, readSource, type Source, targetsOf } from './put/sources.ts';
import { uploadStream } from './put/stream.ts';
import { createStreams, type Streams } from './put/streams.ts';
import { type RetryOptions, withRetry } from './retry.ts';
import { createPool } from './slots.ts';

/** How retries wait, for tests that have no time. */
export type Timing = Pick<RetryOptions, 'random' | 'sleep'>;

/**
 * Sends `sources` to `destination`: into it when that is a folder or ends with a slash or when there are several, else as it. A
 * stream ("-" is standard input) needs the whole new name. What stopped half-way goes on where it was.
 *
 * Resolves with what became of each file; rejects when nothing could be sent any more, when the only file failed, and with
 * `interrupted` when the signal aborts, after which the same call goes on from there.
 */
export async function runPut(
  api: Api,
  sources: readonly PutSource[],
  destination: string,
  options: TransferOptions,
  timing: Timing = {},
): Promise<TransferSummary> {
  const remote = parsePath(destination);
  const stream = streamOf(sources);
  const stop = createStop(options, timing);
  try {
    if (stream) return await putStream(api, stop, stream, destination, remote, options);
    const local = sources.map((source) => readSource(source as string, sources.length === 1));
    return await putFiles(api, stop, local, destination, remote, options);
  } catch (error) {
    // Whatever is still on its way, in a put that failed in one place, ends here.
    stop.stop(error);
    throw error;
  } finally {
    stop.release();
  }
}

async function putFiles(
  api: Api,
  stop: Stop,
  sources: readonly Source[],
  destination: string,
  remote: string,
  options: TransferOptions,
): Promise<TransferSummary> {
  const only = sources.length === 1 ? sources[0]! : null;
  const inside = only && only.name !== '' ? joinPath(remote, only.name) : null;
  const walking = { follow: options.follow ?? false, exclude: compileExclude(options.exclude ?? []) };
  const allFiles = sources.every(({ file }) => file);
  const stateFolder = options.stateFolder ?? defaultStateFolder();
  const cache = openDigestCache(stateFolder);
  const newName = openNewName(stateFolder, ['put', api.transport.info().remote, ...sources.map(absoluteSource), remote]);
  const request = {
    source: describeSources(sources),
    destination,
    filesTotal: allFiles ? sources.length : null,
    bytesTotal: allFiles ? sources.reduce((sum, { file }) => sum + file!.size, 0) : null,
  };
  const isAlone = only?.file && only.file.size > EARLY_BYTES && only.name !== '';
  // Unless there turns out to be a folder of that name.
  const likely = inside !== null && (destination.endsWith('/') || remote === '/') ? inside : remote;
  const earlier = isAlone
    ? asking(openEarly(api, stop, cache, only, likely, options, { source: request.source, destination }))
    : Promise.resolve(null);
  const opening = open(api, stop, options, request, earlier);
  // All that has to be known is asked in one round trip.
  const asked = asking(
    Promise.all([
      withRetry(() => api.capabilities({ signal: stop.controller.signal }), stop.retry),
      look(api, stop, remote),
      inside === null ? null : look(api, stop, inside),
    ]),
  );
  const { job, flow, streams } = await opening;
  const early = await earlier;
  const summary = await conclude(job, stop, only !== null && only.file !== null, async () => {
    try {
      return await work();
    } finally {
      await early?.drop();
    }
  });
  if (summary.filesFailed === 0) newName.end();
  return summary;

  async function work(): Promise<string[]> {
    const [capabilities, there, below] = await asked;
    const intoFolder = destination.endsWith('/') || sources.length > 1;
    const targets = targetsOf(sources, remote, { intoFolder, there, begunAsNewName: newName.begun });
    if (only?.isFolder && there === null && targets[0] === remote) newName.begin();
    const before = only === null || targets[0] === remote ? there : below;
    const packs = createPacks(job, streams, flow, packLimits(capabilities, api.transport.info()));
    const uploads = createPool(() => (isFar(api.transport.info()) ? FAR_OPEN_UPLOADS : NEAR_OPEN_UPLOADS));
    const takesRunning = capabilities.features.includes('running-digests');
    const inOrder = () => takesRunning && flow.streams === 1 && isNextDoor(api.transport.info());
    const context = { job, streams, cache, early, inOrder, pool: createBufferPool(PIECE_BUFFER_BYTES, MOST_PIECES) };
    const walk = readAhead(job, foundBelow(sources, targets, walking), {
      ask: job.preserve && mayBePresent(only, before),
      announce: !allFiles,
    });
    const ends = folderEnds(job, packs, uploads);
    try {
      await dispatch({ ...context, packs, uploads, ends }, walk);
      await ends.finish();
    } catch (error) {
      job.stop(error);
      throw error;
    } finally {
      // Also after a failure: when this returns, nothing reads files or sends any more.
      await Promise.all([walk.stop(), uploads.drained(), packs.drained()]);
      await cache.save();
    }
    return targets;
  }
}

async function putStream(
  api: Api,
  stop: Stop,
  stream: AsyncIterable<Uint8Array>,
  destination: string,
  remote: string,
  options: TransferOptions,
): Promise<TransferSummary> {
  const needsName = () =>
    new HawserError('usage', `"${destination}" is a folder: give the stream a name in it, as in "${joinPath(remote, 'name')}".`, {
      value: destination,
    });
  if (destination.endsWith('/')) throw needsName();
  const opening = open(api, stop, options, { source: '-', destination, filesTotal: 1, bytesTotal: null });
  const asked = asking(look(api, stop, remote));
  const { job, streams } = await opening;
  return await conclude(job, stop, true, async () => {
    if ((await asked)?.kind === 'folder') throw needsName();
    job.meter.expect(1, 0);
    await uploadStream(job, streams, stream, remote);
    return [remote];
  });
}

/** False when asking the server what it has would be a round trip for nothing. */
function mayBePresent(only: Source | null, before: FileInfo | null): boolean {
  if (before === null) return false;
  return !only?.file || (before.size === only.file.size && before.mtimeNs === only.file.mtimeNs);
}

interface Opened {
  readonly job: Job;
  readonly flow: ReturnType<typeof createFlow>;
  readonly streams: Streams;
}

/** Somebody will wait for it, but perhaps only after it has failed. */
function asking<T>(answer: Promise<T>): Promise<T> {
  answer.catch(() => undefined);
  return answer;
}

async function open(
  api: Api,
  stop: Stop,
  options: TransferOptions,
  request: { source: string; destination: string; filesTotal: number | null; bytesTotal: number | null },
  earlier: Promise<EarlyUpload | null> = Promise.resolve(null),
): Promise<Opened> {
  const { signal } = stop.controller;
  const { priority = 'normal' } = options;
  const early = await earlier;
  const begun = { kind: 'upload', priority, ...request, id: chooseTransferId() } as const;
  const begin = () => withRetry(() => api.createTransfer(begun, { signal }), stop.retry);
  const id = early?.transfer ?? (await begin()).id;
  const flow = createFlow(options, () => api.transport.info());
  const job = createJob(api, id, options, stop, flow, request.filesTotal === 1);
  const { source, destination } = request;
  options.onEvent?.({ type: 'start', transfer: id, kind: 'upload', source, destination });
  job.meter.start();
  return { job, flow, streams: createStreams(job, flow) };
}

/** What is at the path, links followed; null when nothing is. */
async function look(api: Api, stop: Stop, path: string): Promise<FileInfo | null> {
  try {
    return await withRetry(() => api.stat(path, { follow: true, signal: stop.controller.signal }), stop.retry);
  } catch (error) {
    if (error instanceof HawserError && MISSING.has(error.code)) return null;
    throw error;
  }
}

/** Tells the server and whoever listens how it went. `single`: the one file's failure is the failure of the put. */
async function conclude(job: Job, stop: Stop, single: boolean, work: () => Promise<string[]>): Promise<TransferSummary> {
  const { transfer, meter, outcomes, options } = job;
  let targets: string[] = [];
  let failure: { error: unknown } | null = null;
  try {
    targets = await work();
    job.throwIfStopped();
    if (single && outcomes.filesFailed > 0) failure = { error: outcomes.firstError };
  } catch (error) {
    failure = { error: job.signal.aborted ? stop.error : error };
  }
  meter.stop();
  const interrupted = failure?.error instanceof HawserError && failure.error.code === 'interrupted';
  if (!interrupted && !(job.ended && !failure)) await tellEnd(job, failure?.error);
  if (failure) throw failure.error;
  const summary = outcomes.summary(transfer, targets);
  options.onEvent?.({ type: 'done', summary });
  return summary;
}

/** The files are there, or are not, whether the server hears of it or not. */
async function tellEnd({ api, transfer, meter, outcomes }: Job, error: unknown): Promise<void> {
  const failed = outcomes.filesFailed;
  const sentence = error instanceof Error ? error.message : `${failed} ${failed === 1 ? 'file' : 'files'} did not arrive.`;
  const end = error || failed > 0 ? { state: 'failed' as const, error: sentence.slice(0, 1000) } : { state: 'done' as const };
  // What the server had before is no part of what it counts.
  const filesTotal = meter.filesTotal - outcomes.filesPresent;
  const bytesTotal = Math.max(0, meter.bytesTotal - outcomes.bytesPresent);
  const signal = AbortSignal.timeout(error ? GOODBYE_MS : LAST_WORD_MS);
  await api.changeTransfer(transfer, { filesTotal, bytesTotal, ...end }, { signal }).catch(() => undefined);
}

function packLimits(capabilities: Capabilities, path: PathInfo): PackLimits {
  // Far away a request of its own costs more than its bytes.
  const wanted = Math.min(capabilities.smallFileBytes, isFar(path) ? FAR_FILE_BYTES : NEAR_FILE_BYTES);
  const room = capabilities.packBytes - PACK_SPARE_BYTES;
  // A pack that is all but full takes one more file. Where there is no room for any, packs only carry folders and links, one each.
  const fileBytes = room > 0 ? Math.min(wanted, Math.floor(room / 2)) : -1;
  return {
    packBytes: Math.max(1, Math.min(PACK_BYTES, room - fileBytes)),
    packEntries: Math.min(isNextDoor(path) ? NEXT_DOOR_ENTRIES : PACK_ENTRIES, capabilities.packEntries),
    fileBytes,
  };
}

function isFar({ rttMs }: PathInfo): boolean {
  return rttMs !== null && rttMs > FAR_MS;
}

function streamOf(sources: readonly PutSource[]): AsyncIterable<Uint8Array> | null {
  const streams = sources.filter((source) => source === '-' || typeof source !== 'string');
  if (sources.length === 0) throw new HawserError('usage', 'There is nothing to send: name at least one file or folder.');
  if (streams.length === 0) return null;
  if (sources.length > 1) throw new HawserError('usage', 'A stream is sent alone: give it a command of its own.');
  return streams[0] === '-' ? process.stdin : (streams[0] as AsyncIterable<Uint8Array>);
}

const MISSING = new Set(['not_found', 'not_folder']);
const PACK_BYTES = 4 * 1024 * 1024;
const PACK_ENTRIES = 1024;
/** As many as a server stores together: with more the other end would wait, for the first pack at the start, for the last at the end. */
const NEXT_DOOR_ENTRIES = 512;
/** The header and path of the last file. */
const PACK_SPARE_BYTES = 16 * 1024;
const NEAR_FILE_BYTES = 256 * 1024;
const FAR_FILE_BYTES = 1024 * 1024;
const FAR_MS = 50;
/** Each waits for its own round trips while the others send. */
const NEAR_OPEN_UPLOADS = 8;
const FAR_OPEN_UPLOADS = 16;
/** Memory for what is read and not yet sent: two for each stream, one for each file that is hashed. */
const MOST_PIECES = 32;
const LAST_WORD_MS = 20_000;
/** Whoever was told of a failure does not want to wait long. */
const GOODBYE_MS = 2000;
