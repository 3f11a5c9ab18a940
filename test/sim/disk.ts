/**
 * A disk as bad as disks may be: until a write is synced, a power cut may keep it, lose it, or keep some of it. Only what the
 * engine's uploads use is there.
 */
import { HawserError } from '../../src/core/errors.ts';
import type { Entry, FileStore, PublishOptions, StagingFile } from '../../src/store/files/contract.ts';
import type { World } from './world.ts';

interface Write {
  readonly position: number;
  readonly bytes: Uint8Array;
  returned: boolean;
}

class StagedFile {
  /** What survives whatever happens. */
  durable = new Uint8Array(0);
  /** What a read sees now. */
  current = new Uint8Array(0);
  dirty: Write[] = [];
}

export interface DiskOptions {
  /** The canary: `sync` returns at once and does its work later, as if blocks were recorded before they are synced. */
  readonly syncsLate?: boolean;
}

export class SimDisk {
  readonly staged = new Map<string, StagedFile>();
  readonly published = new Map<string, { bytes: Uint8Array; entry: Entry }>();
  readonly #world: World;
  readonly #options: DiskOptions;
  #versions = 0;
  /** Publishes that have begun and not returned: a power cut decides whether they took place. */
  readonly #publishing = new Set<() => void>();

  constructor(world: World, options: DiskOptions = {}) {
    this.#world = world;
    this.#options = options;
  }

  /** The power goes out and comes back. */
  crash(): void {
    const { random } = this.#world;
    for (const take of this.#publishing) if (random() < 0.5) take();
    this.#publishing.clear();
    for (const file of this.staged.values()) {
      for (const { position, bytes } of file.dirty) {
        const fate = random();
        if (fate < 0.4) continue;
        const kept = fate < 0.7 ? bytes : bytes.subarray(0, Math.floor(random() * bytes.length));
        file.durable = overlay(file.durable, position, kept);
      }
      file.dirty = [];
      file.current = file.durable.slice();
    }
  }

  /** The contract, for an engine that starts now. */
  store(): FileStore {
    const refuse = () => Promise.reject(new Error('not part of this simulation'));
    return {
      createStaging: async (id) => {
        await this.#world.step('create staging');
        const file = new StagedFile();
        this.staged.set(id, file);
        return this.#handle(id, file);
      },
      openStaging: async (id) => {
        await this.#world.step('open staging');
        const file = this.staged.get(id);
        if (!file) throw new HawserError('not_found', `no staging ${id}`);
        return this.#handle(id, file);
      },
      removeStaging: async (id) => {
        await this.#world.step('remove staging');
        this.staged.delete(id);
      },
      listStaging: async () => [...this.staged.keys()],
      copyToStaging: async (path, id) => {
        await this.#world.step('copy');
        const source = this.published.get(path);
        if (!source) throw new HawserError('not_found', `no ${path}`);
        const file = new StagedFile();
        file.current = source.bytes.slice();
        file.dirty.push({ position: 0, bytes: source.bytes.slice(), returned: true });
        this.staged.set(id, file);
        return this.#handle(id, file);
      },
      stat: async (path) => {
        await this.#world.step('stat');
        const found = this.published.get(path);
        if (!found) throw new HawserError('not_found', `no ${path}`);
        return found.entry;
      },
      putMany: refuse,
      getMany: refuse,
      list: refuse,
      openRead: refuse,
      makeFolder: refuse,
      move: refuse,
      remove: refuse,
      freeBytes: async () => null,
      close: async () => undefined,
    };
  }

  #handle(id: string, file: StagedFile): StagingFile {
    return {
      id,
      write: async (position, bytes) => {
        const write: Write = { position, bytes: new Uint8Array(bytes), returned: false };
        file.dirty.push(write);
        await this.#world.step('write');
        file.current = overlay(file.current, position, write.bytes);
        write.returned = true;
      },
      read: async (position, into) => {
        await this.#world.step('read');
        const part = file.current.subarray(position, position + into.length);
        into.set(part);
        return part.length;
      },
      sync: async () => {
        const covered = file.dirty.filter(({ returned }) => returned);
        const settle = () => {
          for (const { position, bytes } of covered) file.durable = overlay(file.durable, position, bytes);
          file.dirty = file.dirty.filter((write) => !covered.includes(write));
        };
        if (this.#options.syncsLate) {
          void this.#world.step('late sync').then(settle);
          return;
        }
        await this.#world.step('sync');
        settle();
      },
      publish: async (path, size, options) => {
        const take = () => this.#publish(id, file, path, size, options);
        this.#publishing.add(take);
        await this.#world.step('publish');
        this.#publishing.delete(take);
        return take();
      },
      close: async () => undefined,
    };
  }

  #publish(id: string, file: StagedFile, path: string, size: number, options: PublishOptions): Entry {
    const bytes = file.current.slice(0, size);
    const version = `v${++this.#versions}`;
    const entry: Entry = { path, kind: 'file', size, mode: options.mode ?? 0o644, mtimeNs: options.mtimeNs ?? 0n, version };
    this.published.set(path, { bytes, entry });
    this.staged.delete(id);
    return entry;
  }
}

function overlay(under: Uint8Array<ArrayBuffer>, position: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = Math.max(under.length, position + bytes.length);
  const merged = length > under.length ? new Uint8Array(length) : under;
  if (merged !== under) merged.set(under);
  merged.set(bytes, position);
  return merged;
}
