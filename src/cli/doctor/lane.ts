/** Does the lane open, and what does it measure? */
import type { Client } from '../../client/contract.ts';
import { formatRate } from '../../core/units.ts';
import { failureOf } from '../failure.ts';
import { laneFacts } from '../progress-line.ts';
import type { Finding } from './reach.ts';

/** `client` uses nothing but the lane. Bounded: 16 MiB in each direction, 15 s in all. */
export async function examineLane(client: Pick<Client, 'probe' | 'info'>): Promise<Finding> {
  const signal = AbortSignal.timeout(MOST_MS);
  try {
    const { sendBytesPerSecond, receiveBytesPerSecond } = await client.probe({ bytes: MOST_BYTES, signal });
    const path = client.info();
    const facts = path.lane ? `; ${laneFacts(path.lane)}` : '';
    const hint = path.laneHint === undefined ? '' : `. ${path.laneHint}`;
    return {
      check: 'lane',
      state: hint === '' ? 'ok' : 'warning',
      text: `${formatRate(sendBytesPerSecond)} up, ${formatRate(receiveBytesPerSecond)} down${facts}${hint}`,
      data: { sendBytesPerSecond, receiveBytesPerSecond, path },
    };
  } catch (error) {
    const { code, message } = failureOf(error);
    const text = signal.aborted ? `opened, and moved too little in ${MOST_MS / 1000} s` : message;
    return { check: 'lane', state: 'warning', text: `${text} HTTPS is used instead.`, data: { code } };
  }
}

const MOST_BYTES = 16 * 1024 * 1024;
const MOST_MS = 15_000;
