/** `get`: remote files and folders to local ones, or one file to a stream. */
import { resolve } from 'node:path';
import { HawserError } from '../core/errors.ts';
import { parsePath } from '../core/path.ts';
import type { Api } from './api-contract.ts';
import type { TransferOptions, TransferSummary } from './contract.ts';
import type { Call } from './get/calls.ts';
import { planTargets, type Source } from './get/destination.ts';
import { joinLocal, showLocal } from './get/local-path.ts';
import { openSession, type Session } from './get/session.ts';
import { streamOut, type Writer } from './get/stream-out.ts';
import { fetchTargets } from './get/tree.ts';
import { type NewName, openNewName } from './new-names.ts';
import { defaultStateFolder } from './put/digest-cache.ts';

/**
 * Fetches `sources` to `destination`: into it when it is a local folder, ends with a slash (made then) or there are several
 * sources; else it is the new name. A writer takes one file in order; it may keep the bytes until its promise resolves.
 * A link that is named as a source is followed; below a folder, links are kept unless `options.follow`.
 *
 * Resolves with what arrived and what did not. Rejects with what ended the whole fetch (interrupted, transfer_cancelled,
 * unreachable, local_no_space …) or, when there is only one file, with what it failed of. What has arrived is kept either way,
 * and the same call goes on from there.
 */
export async function runGet(
  api: Api,
  sources: readonly string[],
  destination: string | Writer,
  options: TransferOptions = {},
): Promise<TransferSummary> {
  if (sources.length === 0) throw new HawserError('usage', 'Nothing to fetch: name at least one remote path.');
  const paths = sources.map(parsePath);
  const { session, first } = await openSession(api, options, {
    source: paths.join(', '),
    destination: typeof destination === 'string' ? destination : '-',
    first: (call) => Promise.all(paths.map((path) => look(api, call, path))),
  });
  const place = typeof destination === 'string' ? resolve(destination) : '-';
  const newName = openNewName(options.stateFolder ?? defaultStateFolder(), ['get', api.transport.info().remote, ...paths, place]);
  let targets: readonly string[] = [];
  try {
    targets =
      typeof destination === 'string'
        ? await toFiles(session, first, destination, newName)
        : await toWriter(session, first, destination);
  } catch (error) {
    session.end(error);
  }
  const summary = await session.finish(targets);
  if (summary.filesFailed === 0) newName.end();
  return summary;
}

async function look(api: Api, call: Call, path: string): Promise<Source> {
  return { path, info: await call((signal) => api.stat(path, { follow: true, signal })) };
}

async function toFiles(session: Session, sources: readonly Source[], destination: string, newName: NewName): Promise<string[]> {
  const targets = planTargets(sources, destination, newName);
  const [only] = sources;
  await fetchTargets(session, targets);
  if (sources.length === 1 && only?.info.kind === 'file') session.throwIfFailed();
  return targets.map(({ trunk, names }) => showLocal(names.reduce<string | Buffer>(joinLocal, trunk)));
}

async function toWriter(session: Session, sources: readonly Source[], writer: Writer): Promise<string[]> {
  const [source] = sources;
  if (!source || sources.length > 1) throw new HawserError('usage', 'A stream takes one file: name just one remote path.');
  if (source.info.kind !== 'file') {
    throw new HawserError('is_folder', `"${source.path}" is a folder: a stream takes a file.`, { value: source.path });
  }
  session.meter.expect(1, source.info.size);
  session.meter.totalsKnown();
  await streamOut(session, source.path, source.info, writer);
  return ['-'];
}
