/** Runs the FileStore contract against every store, and tests what only one of them can do. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileStore } from '../../src/store/files/contract.ts';
import { openFileSystemStore } from '../../src/store/files/filesystem.ts';
import { createMemoryStore } from '../../src/store/files/memory.ts';
import { filesContract } from './files.contract.ts';
import { fileSystemTests } from './files-filesystem.ts';
import { memoryTests } from './files-memory.ts';

/** The contract runs in memory where that is a file system; files-filesystem.ts is on disk. Thousands of syncs take their time. */
const FOLDER = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

filesContract('file system', async () => {
  const root = mkdtempSync(join(FOLDER, 'hawser-files-'));
  const stores: FileStore[] = [];
  const open = async (): Promise<FileStore> => {
    stores.push(await openFileSystemStore({ root }));
    return stores.at(-1)!;
  };
  return {
    store: await open(),
    reopen: open,
    async done() {
      for (const store of stores) await store.close();
      rmSync(root, { recursive: true });
    },
  };
});
fileSystemTests();

filesContract('memory', async () => {
  const store = createMemoryStore();
  return { store, reopen: async () => store, done: () => store.close() };
});
memoryTests();
