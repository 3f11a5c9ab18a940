/** What takes longest of a put or get over a lane: its thread. bin/hawser.js calls this before all else. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { laneThread } from '../transport/lane/worker-host.ts';
import { stateFolder } from './folders.ts';

/** Starts the thread where lanes were used before. */
export function startEarlyLane(env: Readonly<Record<string, string | undefined>>): void {
  if (!existsSync(join(stateFolder(env), 'lanes'))) return;
  try {
    laneThread();
  } catch {
    // Whoever needs it says what is wrong with it.
  }
}
