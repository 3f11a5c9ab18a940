/**
 * Memory for the contents of small files, shared with the threads that store them and used again: fresh memory costs a page
 * fault each 4 KiB, which is about what copying into it does.
 */
export interface Slabs {
  /** `bytes` long, with whatever the last user left in it. */
  take(): Uint8Array;
  give(slab: Uint8Array): void;
}

/** `keep`: how many stay allocated while idle. */
export function createSlabs(bytes: number, keep: number): Slabs {
  const idle: Uint8Array[] = [];
  return {
    take: () => idle.pop() ?? new Uint8Array(new SharedArrayBuffer(bytes)),
    give: (slab) => {
      if (idle.length < keep) idle.push(slab);
    },
  };
}
