/** A bounded number of things at once, first come, first served; the bound may change while they run. */

export interface Slots {
  /** Resolves with how to give the slot back; rejects when the signal aborts. */
  acquire(): Promise<() => void>;
  /** Call when the bound may have risen. */
  handleLimit(): void;
}

export function createSlots(limit: () => number): Slots {
  let taken = 0;
  const queue: (() => void)[] = [];

  const admit = () => {
    while (taken < limit() && queue.length > 0) {
      taken++;
      queue.shift()!();
    }
  };

  const release = () => {
    taken--;
    admit();
  };

  return {
    acquire: () =>
      new Promise((resolve) => {
        queue.push(() => resolve(once(release)));
        admit();
      }),
    handleLimit: admit,
  };
}

export interface Pool {
  /** Resolves when the task was started. A task must not reject: what goes wrong in it is its own to report. */
  add(task: () => Promise<void>): Promise<void>;
  /** Resolves when all tasks have ended. */
  drained(): Promise<void>;
}

export function createPool(limit: () => number): Pool {
  const slots = createSlots(limit);
  const running = new Set<Promise<void>>();
  return {
    add: async (task) => {
      const release = await slots.acquire();
      const run = task().finally(() => {
        running.delete(run);
        release();
      });
      running.add(run);
    },
    drained: async () => {
      while (running.size > 0) await Promise.all(running);
    },
  };
}

function once(run: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    run();
  };
}
