/**
 * What all parts of one fetch share: its transfer on the server, the requests, the pace, and the count of what arrived and what
 * did not.
 */
import { HawserError } from '../../core/errors.ts';
import { TokenBucket } from '../../core/scheduling/token-bucket.ts';
import type { Api } from '../api-contract.ts';
import { chooseTransferId } from '../chosen-ids.ts';
import type { TransferOptions, TransferSummary } from '../contract.ts';
import { createMeter, type Meter } from '../progress.ts';
import { type DigestCache, defaultStateFolder, openDigestCache } from '../put/digest-cache.ts';
import { type Headway, sleepMs } from '../retry.ts';
import { type Call, type Calls, createCalls } from './calls.ts';
import { createFlow, type Flow } from './flow.ts';
import { createOutcomes, type Outcomes } from './outcomes.ts';
import { startReporter } from './reporter.ts';

export interface Session extends Pick<Outcomes, 'fileDone' | 'fileSkipped' | 'fileFailed'> {
  readonly api: Api;
  readonly options: TransferOptions;
  /** Id of the transfer on the server. */
  readonly transfer: string;
  readonly call: Call;
  readonly meter: Meter;
  readonly headway: Headway;
  readonly flow: Flow;
  /** Aborted when the user stops, and when something ended the whole fetch. */
  readonly signal: AbortSignal;
  /** Digests of local files, as far as they are known. */
  readonly digests: DigestCache;
  /** A small file's content is at most so long, as the server says. */
  readonly smallFileBytes: number;
  /** Counts bytes that came from the network; resolves when more may be read: at once, as undefined, where no rate is set. */
  received(bytes: number): Promise<void> | undefined;
  notice(code: string, message: string): void;
  /** Ends the whole fetch. The first error is the one that counts. */
  end(error: unknown): void;
  throwIfEnded(): void;
  /** Throws why the first file failed, if one did. */
  throwIfFailed(): void;
  /** Tells the server and whoever listens how it went; throws what ended the fetch. */
  finish(targets: readonly string[]): Promise<TransferSummary>;
}

export interface SessionRequest<T> {
  readonly source: string;
  readonly destination: string;
  /** What else is to be asked in the first round trip. */
  readonly first: (call: Call) => Promise<T>;
}

/** Opens the transfer. Rejects when that, or what `first` asks for, fails. */
export async function openSession<T>(
  api: Api,
  options: TransferOptions,
  request: SessionRequest<T>,
): Promise<{ session: Session; first: T }> {
  const calls = createCalls(options);
  const { source, destination } = request;
  const { priority = 'normal' } = options;
  const begun = { kind: 'download', source, destination, priority, filesTotal: null, bytesTotal: null } as const;
  const id = chooseTransferId();
  const opening = calls.call((signal) => api.createTransfer({ ...begun, id }, { signal }));
  const asked = Promise.all([calls.call((signal) => api.capabilities({ signal })), request.first(calls.call)]);
  asked.catch(() => undefined);
  const { id: transfer } = await opening.catch((error: unknown) => {
    calls.end(error);
    calls.release();
    throw error;
  });
  const session = createSession(api, options, calls, transfer);
  options.onEvent?.({ type: 'start', transfer, kind: 'download', source, destination });
  session.meter.start();
  try {
    const [capabilities, first] = await asked;
    return { session: { ...session, smallFileBytes: Math.min(capabilities.smallFileBytes, MAX_SMALL_FILE_BYTES) }, first };
  } catch (error) {
    session.end(error);
    await session.finish([]);
    throw error;
  }
}

/** True when the error is about one file, and the others may go on. */
export function isAboutOneFile(error: unknown): error is HawserError {
  return error instanceof HawserError && (ONE_FILE.has(error.facts.class) || ONE_FILE_CODES.has(error.code));
}

function createSession(api: Api, options: TransferOptions, calls: Calls, transfer: string): Session {
  calls.handleTransfer(api, transfer);
  const flow = createFlow(options, () => api.transport.info());
  const meter = createMeter({
    transfer,
    path: () => api.transport.info(),
    flow: () => ({ streams: flow.streams, chunkBytes: flow.chunkBytes }),
    emit: options.onEvent,
  });
  const outcomes = createOutcomes(options, meter);
  const digests = openDigestCache(options.stateFolder ?? defaultStateFolder());
  const rate = options.limitRateBytesPerSecond;
  const bucket = rate === undefined ? null : new TokenBucket({ rateBytesPerSecond: rate });
  const reporter = startReporter(api, transfer, meter, { handlePause: calls.handlePause, handleEnd: calls.end });
  let bytesReceived = 0;

  const throwIfEnded = () => {
    if (calls.ended) throw calls.ended.error;
  };
  const { fileDone, fileSkipped, fileFailed } = outcomes;
  return {
    fileDone,
    fileSkipped,
    fileFailed,
    api,
    options,
    transfer,
    call: calls.call,
    meter,
    headway: calls.headway,
    flow,
    signal: calls.signal,
    digests,
    smallFileBytes: 0,
    received: (bytes) => {
      bytesReceived += bytes;
      const waitMs = bucket?.take(performance.now(), bytes) ?? 0;
      return waitMs >= MIN_WAIT_MS ? sleepMs(waitMs, calls.signal) : undefined;
    },
    notice: (code, message) => options.onEvent?.({ type: 'notice', code, message }),
    end: calls.end,
    throwIfEnded,
    throwIfFailed: () => {
      if (outcomes.firstFailure) throw outcomes.firstFailure;
    },
    finish: async (targets) => {
      calls.release();
      meter.stop();
      const failed = outcomes.filesFailed > 0 ? `${outcomes.filesFailed} files did not arrive.` : null;
      await Promise.all([reporter.close(calls.ended ? sentenceOf(calls.ended.error) : failed), digests.save()]);
      throwIfEnded();
      const summary = outcomes.summary(transfer, bytesReceived, targets);
      options.onEvent?.({ type: 'done', summary });
      return summary;
    },
  };
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const ONE_FILE = new Set(['request', 'checksum', 'source-changed']);
/** The server's disk may fail in one place and not in another. */
const ONE_FILE_CODES = new Set(['io_error', 'internal']);
/** Shorter waits cost more in timers than they are worth: the debt stays and is waited for with the next. */
const MIN_WAIT_MS = 4;
/** Whatever the server claims. */
const MAX_SMALL_FILE_BYTES = 16 << 20;
