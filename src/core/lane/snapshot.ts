/** What a lane says of itself: for people (`doctor`, `--verbose`), for counters, for traces. */
import type { BlocksIn } from './blocks-in.ts';
import type { BlocksOut } from './blocks-out.ts';
import type { LaneSnapshot, PathSnapshot, Us } from './contract.ts';
import type { Path } from './path.ts';
import type { StreamsIn } from './streams-in.ts';
import type { StreamsOut } from './streams-out.ts';

export interface SnapshotSources {
  readonly paths: readonly Path[];
  readonly blocksIn: BlocksIn;
  readonly blocksOut: BlocksOut;
  readonly streamsIn: StreamsIn;
  readonly streamsOut: StreamsOut;
  readonly capBytesPerSecond: number;
}

export function snapshotOf(nowUs: Us, sources: SnapshotSources): LaneSnapshot {
  const { paths, blocksIn, blocksOut, streamsIn, streamsOut } = sources;
  return {
    paths: paths.map((path) => pathSnapshot(nowUs, path, paths)),
    streams: streamsIn.size,
    unacknowledgedBytes: blocksOut.unacknowledgedBytes + streamsOut.queuedBytes,
    receivedBytes: paths.reduce((sum, path) => sum + path.receivedBytes, 0),
    deliveredBytes: streamsIn.deliveredBytes,
    blocks: { sent: blocksOut.next, received: blocksIn.completed, decodedWithRepair: blocksIn.decodedWithRepair },
    symbols: {
      source: blocksOut.sourceSent,
      again: blocksOut.sentAgain,
      repair: blocksOut.repairSent,
      useless: blocksOut.useless,
    },
    limitedBy: limitedBy(nowUs, sources),
  };
}

function limitedBy(nowUs: Us, { paths, blocksOut, streamsOut, capBytesPerSecond }: SnapshotSources): LaneSnapshot['limitedBy'] {
  if (blocksOut.next >= blocksOut.credit || streamsOut.blocked) return 'receiver';
  if (!streamsOut.hasWork && blocksOut.unsentSymbols === 0) return 'application';
  const rate = paths.reduce((sum, path) => sum + path.controller.rateBytesPerSecond(nowUs), 0);
  if (rate >= 0.95 * capBytesPerSecond) return 'cap';
  return paths.some((path) => path.controller.mode === 'compete') ? 'competitor' : 'path';
}

function pathSnapshot(nowUs: Us, path: Path, paths: readonly Path[]): PathSnapshot {
  const { controller } = path;
  const limit = controller.capacityBytesPerSecond * (1 - Math.min(0.9, controller.lossRate));
  return {
    id: path.id,
    // One that had to step in works like any other.
    state: path.state === 'standby' && paths.every((other) => other.isOut) ? 'active' : path.state,
    rateBytesPerSecond: controller.rateBytesPerSecond(nowUs),
    goodputBytesPerSecond: controller.goodputBytesPerSecond,
    lossRate: controller.recentLoss,
    randomLossRate: controller.lossRate,
    lossBurst: controller.lossBurst,
    rttUs: controller.srttUs,
    minRttUs: controller.minRttUs,
    queueUs: controller.queueUs,
    jitterUs: controller.jitterUs,
    sentPackets: path.sentPackets,
    sentBytes: path.sentBytes,
    receivedPackets: path.receivedPackets,
    receivedBytes: path.receivedBytes,
    arrivalBytesPerSecond: path.arrivals.rate.bytesPerSecond(nowUs),
    arrivalPeakBytesPerSecond: path.arrivals.rate.peakBytesPerSecond,
    // The numbers that a sender leaves out on purpose are no losses.
    arrivalLossRate: Math.max(0, path.arrivals.lossRate - SKIPPED_SHARE),
    lostPackets: path.lostPackets,
    mode: controller.mode,
    efficiency: limit > 0 ? Math.min(1, controller.goodputBytesPerSecond / limit) : 0,
  };
}

/** Of the packet numbers; see Path.handleSent. */
const SKIPPED_SHARE = 1 / 1000;
