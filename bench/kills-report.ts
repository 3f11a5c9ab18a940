/** What the kills of kills.ts amount to. */
import { mebibytes, median, quantile } from './figures.ts';
import { publish, table } from './report.ts';

export type Kind = 'put' | 'get';
export type Victim = 'client' | 'server';

export interface Kill {
  readonly kind: Kind;
  readonly victim: Victim;
  /** Content that crossed the network since the last kill, or the start, and is not safe. */
  readonly againBytes: number;
  readonly inFlightBytes: number;
  readonly lastSecondBytes: number;
  /** Content had begun to move. */
  readonly moving: boolean;
  /** More than a second's worth was sent, so that the bound says something. */
  readonly bites: boolean;
}

export interface KillsRun {
  readonly files: number;
  /** Of each file, as it was asked for. */
  readonly size: string;
  readonly seed: number;
  readonly tookMs: number;
  readonly failures: readonly string[];
  readonly write: boolean;
}

export function reportKills(kills: readonly Kill[], { files, size, seed, tookMs, failures, write }: KillsRun): void {
  const of = (kind: Kind, victim: Victim) => kills.filter((kill) => kill.kind === kind && kill.victim === victim);
  const groups = (['put', 'get'] as const).flatMap((kind) =>
    (['client', 'server'] as const).map((victim) => [kind, victim] as const),
  );
  const rows = groups.flatMap(([kind, victim]) => {
    const list = of(kind, victim);
    if (list.length === 0) return [];
    const again = list.map(({ againBytes }) => againBytes);
    const biting = list.filter(({ bites }) => bites);
    const worst = Math.max(0, ...biting.map((kill) => kill.againBytes / (kill.inFlightBytes + kill.lastSecondBytes)));
    const share = biting.length === 0 ? '' : worst.toFixed(2);
    return [
      [
        `${kind}, ${victim} killed`,
        String(list.length),
        String(list.filter(({ moving }) => moving).length),
        mebibytes(median(again)),
        mebibytes(quantile(again, 0.95)),
        mebibytes(Math.max(...again)),
        String(biting.length),
        share,
      ],
    ];
  });
  const again = kills.reduce((sum, { againBytes }) => sum + againBytes, 0);
  const body = [
    table(
      [
        '',
        'kills',
        'while content moved',
        'sent again, median',
        '95 %',
        'most',
        'kills after more than 1 s of transfer',
        'most of those, as part of (in flight + last second)',
      ],
      rows,
    ),
    `${kills.length} kills over ${files} files of ${size}, seed ${seed}, ${(tookMs / 1000).toFixed(0)} s. Sent again: ${mebibytes(again)} in all, ${mebibytes(again / Math.max(1, kills.length))} a kill.`,
    failures.length === 0
      ? 'Every digest right, nothing half-visible at any kill, nothing left over, every kill within the bound.'
      : `**${failures.length} checks failed:**\n\n${failures.map((failure) => `- ${failure}`).join('\n')}`,
  ];
  publish({ id: 'kills', title: `${kills.length} random kills`, command: `npm run kills -- --seed ${seed}`, body }, write);
}
