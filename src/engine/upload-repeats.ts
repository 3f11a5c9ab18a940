/**
 * A request that begins an upload may come twice: its sender gave up waiting and asked again over another connection, while the first
 * one was only late. Whoever comes second is told what the first was told; a new claim on the upload it is not.
 */
import type { UploadStatus } from './contract.ts';

export type Repeats = ReturnType<typeof createRepeats>;

/** By who asked and the id that he chose for the request. */
export function createRepeats() {
  const answers = new Map<string, UploadStatus>();
  const keyOf = (owner: string, id: string): string => `${owner}\n${id}`;
  return {
    find: (owner: string, id: string): UploadStatus | null => answers.get(keyOf(owner, id)) ?? null,

    note(owner: string, id: string, answer: UploadStatus): void {
      // Where the safe blocks lie is looked up again, and may be long.
      answers.set(keyOf(owner, id), { ...answer, safe: [] });
      for (const oldest of answers.keys()) {
        if (answers.size <= MOST_KEPT) return;
        answers.delete(oldest);
      }
    },
  };
}

const MOST_KEPT = 4096;
