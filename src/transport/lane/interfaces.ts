/** Which network interfaces of this machine a lane uses at once. */
import { networkInterfaces } from 'node:os';
import { HawserError } from '../../core/errors.ts';

export interface LocalAddress {
  readonly address: string;
  /** Of the interface. */
  readonly name: string;
}

/**
 * An address for each interface that is named; with names that begin with "!", one for each that is not named. Throws usage
 * when there is no such interface, or none is left.
 */
export function choosePaths(names: readonly string[], interfaces = networkInterfaces()): LocalAddress[] {
  const wanted = names.filter((name) => !name.startsWith('!'));
  const unwanted = new Set(names.filter((name) => name.startsWith('!')).map((name) => name.slice(1)));
  const all = Object.keys(interfaces);
  for (const name of [...wanted, ...unwanted]) {
    if (!all.includes(name))
      throw new HawserError('request_invalid', `There is no network interface "${name}" here: there is ${all.join(', ')}.`, {
        value: name,
      });
  }
  const chosen = (wanted.length > 0 ? [...new Set(wanted)] : all).filter((name) => !unwanted.has(name));
  const addresses: LocalAddress[] = [];
  for (const name of chosen) {
    const usable = (interfaces[name] ?? []).filter(
      ({ internal, scopeid, family }) => (wanted.length > 0 || !internal) && !(family === 'IPv6' && (scopeid ?? 0) !== 0),
    );
    const best = usable.find(({ family }) => family === 'IPv4') ?? usable[0];
    if (best) addresses.push({ address: best.address, name });
  }
  if (addresses.length === 0)
    throw new HawserError('request_invalid', `None of the network interfaces "${names.join(', ')}" has an address.`, {
      value: names.join(','),
    });
  return addresses;
}
