/** One row of the tables of hostile input. */
import type { RawAnswer } from './hostile-client.ts';

export interface HostileCase {
  readonly name: string;
  readonly status: number;
  /** Of the problem document; null when there is none. */
  readonly code: string | null;
  readonly send: () => string | Uint8Array;
  /** What else must hold of the answer. */
  readonly also?: (answer: RawAnswer) => void;
}

export function hostile(
  name: string,
  status: number,
  code: string | null,
  send: HostileCase['send'],
  also?: HostileCase['also'],
): HostileCase {
  return { name, status, code, send, ...(also ? { also } : {}) };
}
