/** The demo's picture: from what is known to lines of text. Pure, so that every width can be tested. */
import { formatBytes, formatDuration, formatRate } from '../../core/units.ts';
import { cellsOf, shorten } from '../printable.ts';

export interface DemoState {
  /** What the link is, as a sentence. */
  readonly link: string;
  readonly phase: 'opening' | 'sending' | 'verifying';
  readonly elapsedMs: number;
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /** Content that this link can carry at most. */
  readonly limitBytesPerSecond: number;
  /** Bytes a second that came out of the link, oldest first, one a tick. */
  readonly rates: readonly number[];
  /** Part of the packets lost in each tick. */
  readonly losses: readonly number[];
  /** Round trips in ms, one a tick; empty until one is known. */
  readonly rttsMs: readonly number[];
  /** What the lane says of itself; null until it is open, or when it is not used. */
  readonly lane: {
    readonly goodputBytesPerSecond: number;
    readonly lossShare: number;
    /** Of all symbols sent. */
    readonly repairShare: number;
    readonly againShare: number;
    readonly queueMs: number;
  } | null;
  /** "lane" or "https": what carries it. */
  readonly transport: string;
  /** The newest packets: '#' on its way, '.' lost, '!' dropped by a full queue. */
  readonly packets: string;
}

export interface DrawingOptions {
  readonly columns: number;
  readonly colour: boolean;
  /** False where the terminal has ASCII only. */
  readonly unicode: boolean;
}

/** The picture, always of the same number of lines, none wider than `columns` - 1. */
export function drawDemo(state: DemoState, { columns, colour, unicode }: DrawingOptions): string[] {
  const room = Math.max(columns - 1, 1);
  const sparkCells = Math.max(Math.min(SPARK_CELLS, room - LABEL_CELLS - 1), 0);
  const paint = (text: string, code: number) => (colour && text !== '' ? `\x1b[${code}m${text}\x1b[39m` : text);
  const line = (label: string, values: readonly number[], most: number, facts: string, code: number): string => {
    const spark = sparkline(values, most, sparkCells, unicode);
    const text = shorten(`  ${facts}`, Math.max(room - LABEL_CELLS - sparkCells, 0));
    return `${fit(label, Math.min(LABEL_CELLS, room))}${paint(spark, code)}${text}`;
  };
  const { lane } = state;
  const limit = state.limitBytesPerSecond;
  const speed = lane?.goodputBytesPerSecond ?? state.rates.at(-1) ?? 0;
  const symbols = lane === null ? '' : `, sent again ${percent(lane.againShare)}, repair ${percent(lane.repairShare)}`;
  const rtt = state.rttsMs.at(-1);
  return [
    shorten(` ${state.link}`, room),
    progress(state, room, unicode, (text) => paint(text, GREEN)),
    line(' rate', state.rates, limit * 1.1, `${formatRate(speed)}, ${percent(speed / limit)} of what this link can carry`, CYAN),
    line(' loss', state.losses, 0.6, `${percent(lane?.lossShare ?? state.losses.at(-1) ?? 0)} lost${symbols}`, RED),
    line(
      ' rtt',
      state.rttsMs,
      Math.max(...state.rttsMs, 1) * 1.1,
      rtt === undefined
        ? 'not known yet'
        : `${wholeMs(rtt)} ms${lane === null ? '' : `, ${wholeMs(lane.queueMs)} ms of it queue`}`,
      YELLOW,
    ),
    ...packetLines(state.packets, room, unicode, (text) => paint(text, RED)),
  ];
}

/** One line for a log: no colour, no cursor. */
export function plainDemoLine(state: DemoState): string {
  const { lane, bytesDone, bytesTotal, limitBytesPerSecond: limit } = state;
  const rtt = state.rttsMs.at(-1);
  return [
    `${formatDuration(state.elapsedMs)}:`,
    state.phase === 'sending'
      ? `${Math.floor((bytesDone / Math.max(bytesTotal, 1)) * 100)}%, ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}`
      : PHASES[state.phase],
    ...(lane === null
      ? []
      : [
          `${formatRate(lane.goodputBytesPerSecond)} (${percent(lane.goodputBytesPerSecond / limit)} of the link)`,
          `${percent(lane.lossShare)} lost`,
          `repair ${percent(lane.repairShare)}`,
        ]),
    ...(rtt === undefined ? [] : [`rtt ${rtt.toFixed(0)} ms`]),
    `by ${state.transport}`,
  ].join('  ');
}

/** The newest `cells` values as bars of eight heights, `most` and above the highest; older cells are blank. */
export function sparkline(values: readonly number[], most: number, cells: number, unicode: boolean): string {
  const bars = unicode ? BARS : ASCII_BARS;
  const shown = cells <= 0 ? [] : values.slice(-cells);
  const text = shown.map((value) => {
    const height = most > 0 && value > 0 ? Math.ceil((Math.min(value, most) / most) * (bars.length - 1)) : 0;
    return bars[height] ?? bars[0];
  });
  return text.join('').padStart(Math.max(cells, 0));
}

/** Moves back over what was drawn before, so that the picture stays where it is. */
export function createCanvas(write: (text: string) => void) {
  let drawn = 0;
  return {
    draw(lines: readonly string[]): void {
      const up = drawn > 0 ? `\x1b[${drawn}A` : '';
      write(`${up}\r${lines.map((text) => `${text}\x1b[K\n`).join('')}`);
      drawn = lines.length;
    },
    /** What is written from now on comes below the picture. */
    end(): void {
      drawn = 0;
    },
  };
}

function progress(state: DemoState, room: number, unicode: boolean, paint: (text: string) => string): string {
  const share = state.bytesTotal > 0 ? Math.min(state.bytesDone / state.bytesTotal, 1) : 0;
  const facts =
    state.phase === 'sending'
      ? `${String(Math.floor(share * 100)).padStart(3)}%  ${formatBytes(state.bytesDone)} of ${formatBytes(state.bytesTotal)}  ${formatDuration(state.elapsedMs)}  ${state.transport}`
      : PHASES[state.phase];
  const cells = Math.min(room - LABEL_CELLS - cellsOf(facts) - 2, SPARK_CELLS);
  if (cells < 4) return fit(` ${facts}`, room).trimEnd();
  const filled = Math.floor(share * cells);
  const [full, empty] = unicode ? ['█', '░'] : ['#', '-'];
  return `${fit(' file', LABEL_CELLS)}${paint(full!.repeat(filled))}${empty!.repeat(cells - filled)}  ${facts}`;
}

/** As they come off the sender: what the weather lets through, and what it takes. */
function packetLines(packets: string, room: number, unicode: boolean, paint: (text: string) => string): string[] {
  const cells = Math.max(Math.min(room - LABEL_CELLS, PACKET_CELLS), 0);
  const newest = packets.slice(-cells * PACKET_ROWS || packets.length).padEnd(cells * PACKET_ROWS);
  return Array.from({ length: PACKET_ROWS }, (_, row) => {
    const text = [...newest.slice(row * cells, (row + 1) * cells)]
      .map((sign) =>
        sign === '#' ? (unicode ? '▪' : '#') : sign === ' ' ? ' ' : paint(sign === '.' ? (unicode ? '·' : '.') : '!'),
      )
      .join('');
    return `${fit(row === 0 ? ' packets' : '', Math.min(LABEL_CELLS, room))}${text}`;
  });
}

function fit(text: string, cells: number): string {
  return shorten(text, cells).padEnd(cells);
}

const wholeMs = (ms: number): string => (Number.isFinite(ms) ? ms.toFixed(0) : '?');

function percent(share: number): string {
  const of100 = share * 100;
  return Number.isFinite(of100) ? `${of100.toFixed(share > 0 && share < 0.0995 ? 1 : 0)}%` : '?';
}

const PHASES = {
  opening: 'opening the lane …',
  sending: 'sending',
  verifying: 'the server reads it again and compares …',
} as const;
const BARS = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII_BARS = [' ', '.', ':', '-', '=', '+', '*', '%', '#'];
const LABEL_CELLS = 10;
const SPARK_CELLS = 40;
const PACKET_CELLS = 80;
const PACKET_ROWS = 2;
const [RED, GREEN, YELLOW, CYAN] = [31, 32, 33, 36];
