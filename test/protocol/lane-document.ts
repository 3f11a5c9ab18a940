/** Where in docs/protocol/lane.md the vectors are. */
import { join } from 'node:path';
import { laneVectors } from './lane-vectors.ts';

export const LANE_DOCUMENT = join(import.meta.dirname, '../../docs/protocol/lane.md');

/** The document with its vectors as they are now. Throws when a mark is missing. */
export function withVectors(document: string): string {
  const from = document.indexOf(BEGIN);
  const to = document.indexOf(END);
  if (from < 0 || to < from) throw new Error(`${LANE_DOCUMENT} has no place for vectors`);
  return `${document.slice(0, from + BEGIN.length)}\n\n${laneVectors()}\n${document.slice(to)}`;
}

const BEGIN = '<!-- vectors: begin -->';
const END = '<!-- vectors: end -->';
