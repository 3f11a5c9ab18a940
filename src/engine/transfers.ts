/**
 * Transfers: what people see, pause and cancel. Each data request passes `admit` and then `check` for every piece it moves,
 * so that a pause or a cancel takes hold within one piece, on whatever protocol the bytes come.
 */
import { HawserError } from '../core/errors.ts';
import { PriorityGovernor } from '../core/scheduling/priority.ts';
import type { MetaStore, TransferRecord, TransferState } from '../store/meta/contract.ts';
import { type Clock, type RandomBytes, randomId } from './clock.ts';
import type { Principal, TransferChange, TransferRequest } from './contract.ts';
import { owns, permit } from './permission.ts';

/** What is held of a transfer while somebody moves its bytes or waits for its state. */
export interface Live {
  record: TransferRecord;
  /** Data requests and waiters that hold it. */
  holders: number;
  readonly waiters: Set<() => void>;
}

export type Transfers = ReturnType<typeof createTransfers>;

export function createTransfers(context: {
  meta: MetaStore;
  clock: Clock;
  random: RandomBytes;
  /** Frees what a cancelled transfer staged. */
  onCancelled: (id: string) => Promise<void>;
}) {
  const { meta, clock, random } = context;
  const live = new Map<string, Live>();
  const governor = new PriorityGovernor();

  function remember(record: TransferRecord): TransferRecord {
    const entry = live.get(record.id);
    if (entry) {
      const changed = entry.record.state !== record.state;
      entry.record = record;
      if (changed) for (const wake of [...entry.waiters]) wake();
    }
    return record;
  }

  async function load(who: Principal, id: string): Promise<TransferRecord> {
    const record = await meta.getTransfer(id);
    // Somebody else's transfer looks like none at all: identifiers are not to be guessed at.
    if (!record || !owns(who, record.owner)) throw unknown(id);
    return record;
  }

  async function setState(
    who: Principal,
    id: string,
    from: readonly TransferState[],
    to: TransferState,
  ): Promise<TransferRecord> {
    const record = await load(who, id);
    if (record.state === to) return record;
    if (!from.includes(record.state)) {
      throw new HawserError('transfer_ended', `The transfer ${id} is already ${record.state}: it cannot become ${to} any more.`, {
        value: id,
      });
    }
    const now = clock.now();
    const ended = to === 'cancelled' ? { endedMs: now } : {};
    const changed = await meta.updateTransfer(id, { state: to, updatedMs: now, ...ended });
    if (!changed) throw unknown(id);
    return remember(changed);
  }

  return {
    async create(who: Principal, request: TransferRequest): Promise<TransferRecord> {
      permit(who, request.kind === 'upload' ? 'write' : 'read');
      const now = clock.now();
      const anew = (): string => `t-${randomId(random, 10)}`;
      const record: TransferRecord = {
        id: request.id === undefined ? anew() : `t-${request.id}`,
        kind: request.kind,
        state: 'active',
        priority: request.priority ?? 'normal',
        owner: who.id,
        source: request.source,
        destination: request.destination,
        filesTotal: request.filesTotal ?? null,
        bytesTotal: request.bytesTotal ?? null,
        filesDone: 0,
        bytesDone: 0,
        createdMs: now,
        updatedMs: now,
        endedMs: null,
        error: null,
      };
      try {
        await meta.addTransfer(record);
        return record;
      } catch (error) {
        // Another one of that id is there: this one, if the answer to the first request was lost or is late.
        const there = request.id === undefined ? null : await meta.getTransfer(record.id);
        if (!there) throw error;
        if (isSame(there, record)) return there;
        const other = { ...record, id: anew() };
        await meta.addTransfer(other);
        return other;
      }
    },

    get: load,

    async wait(who: Principal, id: string, state: TransferState, waitMs: number, signal?: AbortSignal): Promise<TransferRecord> {
      const entry = await holdFresh(who, id);
      try {
        if (entry.record.state !== state || waitMs <= 0 || signal?.aborted) return entry.record;
        await new Promise<void>((resolve) => {
          const wake = () => {
            entry.waiters.delete(wake);
            signal?.removeEventListener('abort', wake);
            cancel();
            resolve();
          };
          const cancel = clock.after(waitMs, wake);
          entry.waiters.add(wake);
          signal?.addEventListener('abort', wake);
        });
      } finally {
        release(entry);
      }
      return await load(who, id);
    },

    async list(
      who: Principal,
      options: { limit: number; state?: TransferState; before?: { createdMs: number; id: string } },
    ): Promise<TransferRecord[]> {
      permit(who, 'read');
      return await meta.listTransfers(owns(who, '') ? options : { ...options, owner: who.id });
    },

    async change(who: Principal, id: string, change: TransferChange): Promise<TransferRecord> {
      const record = await load(who, id);
      if (record.state !== 'active' && record.state !== 'paused') {
        if (change.state === record.state) return record;
        if (record.state === 'cancelled') check({ record });
        throw new HawserError(
          'transfer_ended',
          `The transfer ${id} is already ${record.state}: nothing about it changes any more.`,
          { value: id },
        );
      }
      if (record.kind === 'upload' && (change.filesDone !== undefined || change.bytesDone !== undefined)) {
        throw new HawserError(
          'request_invalid',
          `The progress of the upload ${id} is counted here: leave filesDone and bytesDone out.`,
          { value: id },
        );
      }
      const now = clock.now();
      const ended = change.state ? { endedMs: now } : {};
      const changed = await meta.updateTransfer(id, { ...change, ...ended, updatedMs: now });
      if (!changed) throw unknown(id);
      return remember(changed);
    },

    pause: (who: Principal, id: string) => setState(who, id, ['active'], 'paused'),
    resume: (who: Principal, id: string) => setState(who, id, ['paused'], 'active'),

    async cancel(who: Principal, id: string): Promise<TransferRecord> {
      const mark = () => setState(who, id, ['active', 'paused'], 'cancelled');
      try {
        const record = await mark();
        await context.onCancelled(id);
        return record;
      } catch (error) {
        if (!(error instanceof HawserError) || error.code !== 'no_space') throw error;
        // A full disk does not even take the word "cancelled": what was staged goes first.
        await context.onCancelled(id);
        return await mark();
      }
    },

    /** Opens the gate for one data request, or throws. `null`: a request that names no transfer. */
    async admit(who: Principal, id: string | undefined): Promise<Live | null> {
      if (id === undefined) return null;
      const entry = await holdFresh(who, id);
      try {
        check(entry);
        return entry;
      } catch (error) {
        release(entry);
        throw error;
      }
    },

    check(entry: Live | null): void {
      if (entry) check(entry);
    },

    release(entry: Live | null): void {
      if (entry) release(entry);
    },

    /** Counts what has become safe. */
    async count(id: string | null, add: { addFiles?: number; addBytes?: number }): Promise<void> {
      if (id === null) return;
      const changed = await meta.updateTransfer(id, { ...add, updatedMs: clock.now() });
      if (changed) remember(changed);
    },

    /** An upload goes on under another transfer: the one that it belonged to has ended. */
    async handOver(from: string, to: string): Promise<void> {
      const record = await meta.getTransfer(from);
      if (record?.state !== 'active') return;
      const now = clock.now();
      const changed = await meta.updateTransfer(from, {
        state: 'failed',
        error: `It went on as ${to}.`,
        endedMs: now,
        updatedMs: now,
      });
      if (changed) remember(changed);
    },

    /** Transfers that nothing has moved for since `beforeMs` are over. */
    async abandon(beforeMs: number): Promise<void> {
      for (const state of ['active', 'paused'] as const) {
        const found = await meta.listTransfers({ limit: 1000, state });
        for (const record of found.filter(({ id, updatedMs }) => updatedMs < beforeMs && !live.has(id))) {
          const now = clock.now();
          await meta.updateTransfer(record.id, { state: 'failed', error: 'It was abandoned.', endedMs: now, updatedMs: now });
        }
      }
    },

    /** Lets more important transfers go first: resolves when these bytes may be dealt with; undefined when that is at once. */
    pace(entry: Live | null, bytes: number): Promise<void> | undefined {
      if (!entry) return undefined;
      const { id, priority } = entry.record;
      governor.handleBytes(clock.now(), id, priority, bytes);
      const waitMs = governor.waitMs(clock.now(), id, priority);
      return waitMs > 0 ? giveWay(entry, waitMs) : undefined;
    },
  };

  async function giveWay(entry: Live, firstMs: number): Promise<void> {
    const { id, priority } = entry.record;
    for (let waitMs = firstMs; waitMs > 0; waitMs = governor.waitMs(clock.now(), id, priority)) {
      await clock.sleep(waitMs);
      check(entry);
    }
  }

  /** Held first and read again after: a change that came in between the two would otherwise reach nobody. */
  async function holdFresh(who: Principal, id: string): Promise<Live> {
    const entry = hold(await load(who, id));
    try {
      remember(await load(who, id));
      return entry;
    } catch (error) {
      release(entry);
      throw error;
    }
  }

  function hold(record: TransferRecord): Live {
    let entry = live.get(record.id);
    if (!entry) {
      entry = { record, holders: 0, waiters: new Set() };
      live.set(record.id, entry);
    }
    entry.holders++;
    return entry;
  }

  function release(entry: Live): void {
    if (--entry.holders === 0) live.delete(entry.record.id);
  }
}

/** Of names that are no text what is stored shows it. */
function isSame(there: TransferRecord, { owner, kind, source, destination }: TransferRecord): boolean {
  const isTheirs = there.owner === owner && there.kind === kind;
  return isTheirs && there.source === source.toWellFormed() && there.destination === destination.toWellFormed();
}

function check(entry: { record: TransferRecord }): void {
  const { id, state } = entry.record;
  if (state === 'active') return;
  if (state === 'paused') {
    throw new HawserError('transfer_paused', `The transfer ${id} is paused: resume it with "hawser resume ${id}".`, {
      value: id,
    });
  }
  if (state === 'cancelled') {
    throw new HawserError('transfer_cancelled', `The transfer ${id} was cancelled: start it again to send it after all.`, {
      value: id,
    });
  }
  throw new HawserError('transfer_ended', `The transfer ${id} is already ${state}: start a new one.`, { value: id });
}

function unknown(id: string): HawserError {
  return new HawserError('transfer_not_found', `There is no transfer "${id}": "hawser status" lists those there are.`, {
    value: id,
  });
}
