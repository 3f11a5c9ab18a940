/** What the demo knows while it runs, gathered from the transfer's events and the relay's counts into what is drawn. */
import type { TransferEvent } from '../../client/contract.ts';
import type { DemoState } from './drawing.ts';
import type { RelayReport } from './relay.ts';

export interface DemoFacts {
  readonly link: string;
  readonly bytesTotal: number;
  readonly limitBytesPerSecond: number;
}

export interface DemoWatch {
  handleEvent(event: TransferEvent): void;
  /** About ten times a second. */
  handleTick(nowMs: number, report: RelayReport): void;
  verifying(): void;
  state(nowMs: number): DemoState;
  /** Part of the packets towards the server that the weather took, from beginning to end. */
  lossShare(): number;
}

export function createDemoWatch({ link, bytesTotal, limitBytesPerSecond }: DemoFacts, startedMs: number): DemoWatch {
  const samples: { readonly ms: number; readonly report: RelayReport }[] = [];
  const [rates, losses, rttsMs]: [number[], number[], number[]] = [[], [], []];
  let progress: Extract<TransferEvent, { type: 'progress' }> | null = null;
  let phase: DemoState['phase'] = 'opening';

  function laneOf(): DemoState['lane'] {
    const lane = progress?.path.lane;
    if (lane === undefined) return null;
    const { source, again, repair } = lane.symbols;
    const sent = Math.max(1, source + again + repair);
    const [path] = lane.paths;
    return {
      goodputBytesPerSecond: lane.paths.reduce((sum, each) => sum + each.goodputBytesPerSecond, 0),
      lossShare: path?.lossRate ?? 0,
      repairShare: repair / sent,
      againShare: again / sent,
      queueMs: (path?.queueUs ?? 0) / 1000,
    };
  }

  return {
    handleEvent(event) {
      if (event.type !== 'progress') return;
      progress = event;
      if (phase === 'opening' && event.bytesDone > 0) phase = 'sending';
    },
    handleTick(nowMs, report) {
      samples.push({ ms: nowMs, report });
      // The thread's reports come when they come: over a few of them the rate is smooth.
      if (samples.length > WINDOW_TICKS + 1) samples.shift();
      const first = samples[0]!;
      if (first.ms === nowMs) return;
      const passed = report.up.bytes - first.report.up.bytes;
      const lost = report.up.lost - first.report.up.lost;
      const all = lost + report.up.packets - first.report.up.packets;
      if (phase === 'opening' && passed > CONTENT_BYTES) phase = 'sending';
      remember(rates, (passed / (nowMs - first.ms)) * 1000);
      remember(losses, all > 0 ? lost / all : 0);
      const rttUs = progress?.path.lane?.paths[0]?.rttUs;
      if (rttUs !== undefined && rttUs > 0) remember(rttsMs, rttUs / 1000);
    },
    verifying() {
      phase = 'verifying';
    },
    state: (nowMs) => ({
      link,
      phase,
      elapsedMs: nowMs - startedMs,
      bytesDone: progress?.bytesDone ?? 0,
      bytesTotal,
      limitBytesPerSecond,
      rates,
      losses,
      rttsMs,
      lane: laneOf(),
      transport: progress?.path.transport ?? 'lane',
      packets: samples.at(-1)?.report.recent ?? '',
    }),
    lossShare() {
      const { packets = 0, lost = 0 } = samples.at(-1)?.report.up ?? {};
      return packets + lost === 0 ? 0 : lost / (packets + lost);
    },
  };
}

function remember(list: number[], value: number): void {
  list.push(value);
  if (list.length > MOST_VALUES) list.shift();
}

const WINDOW_TICKS = 4;
const MOST_VALUES = 200;
/** More than opening a lane takes: content has begun. */
const CONTENT_BYTES = 20_000;
