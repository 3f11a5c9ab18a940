/** What put and get both do when the server is so near that the machines are slower than the way between them. */
import { type FlowPath, leastStreams } from './lane-flow.ts';

/**
 * Next door, one body at a time fills the link, and its blocks arrive in order: neither side reads anything twice, or keeps what came
 * early in memory until its turn.
 */
export function isNextDoor(path: FlowPath): boolean {
  const { rttMs, lane } = path;
  return !lane && leastStreams(path) === 0 && rttMs !== null && rttMs < NEXT_DOOR_MS;
}

/** Less than any wide-area link has, more than a loaded machine takes to answer itself. */
const NEXT_DOOR_MS = 1.5;
