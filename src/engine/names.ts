/** Names: look, list, make folders, move, remove. Digests move along with the files they belong to. */
import { HawserError } from '../core/errors.ts';
import { isWithin, parsePath } from '../core/path.ts';
import type { FileStore } from '../store/files/contract.ts';
import type { MetaStore } from '../store/meta/contract.ts';
import type { FileInfo, Principal } from './contract.ts';
import { fileInfo } from './file-info.ts';
import type { InFlight } from './in-flight.ts';
import { permit } from './permission.ts';

export function createNames({ files, meta, inFlight }: { files: FileStore; meta: MetaStore; inFlight: InFlight }) {
  return {
    async stat(who: Principal, raw: string, options: { follow?: boolean } = {}): Promise<FileInfo> {
      permit(who, 'read');
      const path = parsePath(raw);
      return fileInfo(await files.stat(path, options), await meta.getFile(path));
    },

    async list(
      who: Principal,
      raw: string,
      options: { limit: number; after?: string; recursive?: boolean },
    ): Promise<{ entries: FileInfo[]; more: boolean }> {
      permit(who, 'read');
      const after = options.after === undefined ? {} : { after: parsePath(options.after) };
      const { entries, more } = await files.list(parsePath(raw), { ...options, ...after });
      const records = await meta.getFiles(entries.filter(({ kind }) => kind === 'file').map(({ path }) => path));
      return { entries: entries.map((entry) => fileInfo(entry, records.get(entry.path))), more };
    },

    async makeFolder(
      who: Principal,
      raw: string,
      attributes: { mode?: number; mtimeNs?: bigint },
    ): Promise<{ info: FileInfo; created: boolean }> {
      permit(who, 'write');
      inFlight.checkOpen();
      const path = parsePath(raw);
      const there = await files.stat(path).catch(() => null);
      return { info: fileInfo(await files.makeFolder(path, attributes), null), created: there === null };
    },

    async move(who: Principal, rawFrom: string, rawTo: string, overwrite: 'always' | 'never'): Promise<FileInfo> {
      permit(who, 'write');
      inFlight.checkOpen();
      const from = parsePath(rawFrom);
      const to = parsePath(rawTo);
      if (from === '/' || to === '/')
        throw new HawserError('request_invalid', 'The root folder cannot be moved or replaced.', { value: '/' });
      const before = await files.stat(from);
      if (from === to) return fileInfo(before, await meta.getFile(from));
      if (isWithin(to, from)) {
        throw new HawserError('request_invalid', `"${from}" cannot be moved into itself ("${to}"): name a place outside it.`, {
          value: to,
        });
      }
      const record = await meta.getFile(from);
      const entry = await files.move(from, to, overwrite);
      await meta.moveFiles(from, to);
      // Somebody else's publish may have come in between: then these are not the bytes that the record is about.
      const same = entry.size === before.size && entry.mtimeNs === before.mtimeNs;
      if (record?.version !== before.version || !same) return fileInfo(entry, null);
      // A rename changes what the version is made of (the inode's change time) and not one byte.
      const moved = { ...record, path: to, version: entry.version };
      await meta.recordFiles([moved]);
      return fileInfo(entry, moved);
    },

    async remove(who: Principal, raw: string, options: { recursive: boolean }): Promise<void> {
      permit(who, 'write');
      inFlight.checkOpen();
      const path = parsePath(raw);
      if (path === '/')
        throw new HawserError('request_invalid', 'The root folder cannot be removed: name what is in it.', { value: '/' });
      await files.remove(path, options);
      await meta.removeFiles(path);
    },
  };
}
