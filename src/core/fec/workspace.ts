/** The memory that coding happens in: a kernel, slots that keep source symbols of blocks, and room for one computation. */
import { createKernel, type Kernel } from './kernel.ts';
import { MAX_SYMBOLS } from './matrix.ts';

/** Room of a slot: two blocks of 103 symbols carry 256 KiB. */
export const SLOT_BYTES = 103 * 1280;
/** Room for the inputs and two outputs of one computation: any block of symbols of 1280 bytes. */
export const SCRATCH_BYTES = (MAX_SYMBOLS + 1) * 1280;

export interface Workspace {
  readonly kernel: Kernel;
  /** Address of SCRATCH_BYTES that nothing is kept in. */
  readonly scratch: number;
  readonly slots: SourceSlots;
}

/** @param slots blocks whose sources are kept; each costs SLOT_BYTES once it is used */
export function createWorkspace(makeKernel: (arenaBytes: number) => Kernel = createKernel, slots = 64): Workspace {
  const scratch = slots * SLOT_BYTES;
  return { kernel: makeKernel(scratch + SCRATCH_BYTES), scratch, slots: new SourceSlots(slots) };
}

/** One for all lanes of a thread: 8.8 MB at most, however many lanes there are. */
export function sharedWorkspace(): Workspace {
  shared ??= createWorkspace();
  return shared;
}

let shared: Workspace | undefined;

/** Which block of which encoder is in which slot. The one not used for longest makes room. */
export class SourceSlots {
  private readonly owners: (Map<number, number> | null)[];
  private readonly keys: Float64Array;
  private readonly lastUses: Float64Array;
  private uses = 0;

  constructor(slots: number) {
    this.owners = new Array(slots).fill(null);
    this.keys = new Float64Array(slots);
    this.lastUses = new Float64Array(slots);
  }

  address(slot: number): number {
    return slot * SLOT_BYTES;
  }

  /** Gives `key` a slot and says so in `owner`; who loses the slot finds it gone from its own map. */
  take(owner: Map<number, number>, key: number): number {
    let slot = 0;
    for (let i = 1; i < this.lastUses.length; i++) {
      if (this.lastUses[i]! < this.lastUses[slot]!) slot = i;
    }
    this.owners[slot]?.delete(this.keys[slot]!);
    this.owners[slot] = owner;
    this.keys[slot] = key;
    owner.set(key, slot);
    this.use(slot);
    return slot;
  }

  use(slot: number): void {
    this.lastUses[slot] = ++this.uses;
  }

  release(slot: number): void {
    this.owners[slot]?.delete(this.keys[slot]!);
    this.owners[slot] = null;
    this.lastUses[slot] = 0;
  }
}
