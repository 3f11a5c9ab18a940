/** Which networks of this machine are used at once: names of interfaces, or addresses, as the user gives them. */
import { isIP } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { HawserError } from '../core/errors.ts';

export interface LocalPath {
  /** As the user named it: an interface, or an address of this machine. */
  readonly name: string;
  /** Interface that packets shall leave by; null: the routing table says. */
  readonly device: string | null;
  /** At most one of each family, IPv4 first. */
  readonly addresses: readonly string[];
  /** It costs by the byte: used only while no other path works. */
  readonly metered: boolean;
}

type Interfaces = NodeJS.Dict<NetworkInterfaceInfo[]>;

/**
 * A path for each interface or address that is named, in that order; with names that begin with "!", one for each interface
 * that is not named. A name may end in ":metered". Throws request_invalid when there is no such interface, or none is left.
 *
 * @example
 * choosePaths(['eth0', 'wwan0:metered']); // two paths, of which the second waits
 * choosePaths(['!wlan0', 'wwan0:metered']); // all interfaces but wlan0; wwan0 waits
 */
export function choosePaths(names: readonly string[], interfaces: Interfaces = networkInterfaces()): LocalPath[] {
  const wishes = names.map(parseName);
  const unwanted = new Set(wishes.filter(({ sign }) => sign === '!').map(({ name }) => name));
  const wanted = wishes.filter(({ sign }) => sign === '');
  const metered = new Set(wanted.filter((wish) => wish.metered).map(({ name }) => name));
  for (const { name } of wishes) if (isIP(ipOf(name)) === 0 && !interfaces[name]) throw noSuch(name, interfaces);
  // Only to be left out or marked: then all others are meant.
  const all = unwanted.size > 0 && wanted.every((wish) => wish.metered);
  const chosen = (all ? Object.keys(interfaces) : [...new Set(wanted.map(({ name }) => name))]).filter(
    (name) => !unwanted.has(name),
  );
  const paths: LocalPath[] = [];
  for (const name of chosen) {
    const device = isIP(ipOf(name)) === 0 ? name : deviceOf(name, interfaces);
    const addresses = addressesOf(name, interfaces, all);
    if (addresses.length > 0) paths.push({ name, device, addresses, metered: metered.has(name) });
  }
  if (paths.length === 0)
    throw new HawserError('request_invalid', `None of the network interfaces "${names.join(', ')}" has an address.`, {
      value: names.join(','),
    });
  return paths;
}

/** The addresses that a path has just now: those of an interface change when its network does. */
export function addressesNow({ name }: LocalPath, interfaces: Interfaces = networkInterfaces()): readonly string[] {
  return addressesOf(name, interfaces, false);
}

function addressesOf(name: string, interfaces: Interfaces, externalOnly: boolean): string[] {
  if (isIP(ipOf(name)) !== 0) return [name];
  // Addresses of the link alone (fe80::) reach nobody behind a router.
  const usable = (interfaces[name] ?? []).filter(
    ({ internal, scopeid, family }) => !(externalOnly && internal) && !(family === 'IPv6' && (scopeid ?? 0) !== 0),
  );
  const first = (wanted: string) => usable.filter(({ family }) => family === wanted).slice(0, 1);
  return [...first('IPv4'), ...first('IPv6')].map(({ address }) => address);
}

/** Null: this machine answers to it all the same (127.0.0.0/8), or the system will say that it does not. */
function deviceOf(address: string, interfaces: Interfaces): string | null {
  for (const [name, entries = []] of Object.entries(interfaces))
    if (entries.some((entry) => entry.address === address)) return name;
  return null;
}

function parseName(text: string): { sign: '' | '!'; name: string; metered: boolean } {
  const sign = text.startsWith('!') ? '!' : '';
  const rest = text.slice(sign.length);
  const metered = sign === '' && rest.endsWith(METERED);
  return { sign, name: metered ? rest.slice(0, -METERED.length) : rest, metered };
}

function noSuch(name: string, interfaces: Interfaces): HawserError {
  const here = Object.keys(interfaces).join(', ');
  return new HawserError('request_invalid', `There is no network interface "${name}" here: there is ${here}.`, { value: name });
}

/** Without the zone of an IPv6 address. */
const ipOf = (name: string): string => name.split('%')[0] ?? '';
const METERED = ':metered';
