/**
 * What a server's JSON has to look like. Total: anything else is `protocol_error` that names the field, so that past this file
 * only valid values exist. Unknown fields are ignored: newer servers say more.
 */
import { HawserError, isErrorCode } from '../core/errors.ts';
import { isDigestHex } from '../core/hex.ts';
import { parsePath } from '../core/path.ts';
import type { BlocksAccepted, FileInfo, PackResult, UploadStatus, VerifyResult } from '../engine/contract.ts';
import type { Role } from '../store/meta/contract.ts';
import { KEY_BYTES, type Suite } from '../transport/lane/keys.ts';
import type { LaneEndpoints, LaneGrant, LaneTicket, LaneWelcome } from './api-contract.ts';
import type { Capabilities, LaneInfo, LanePathInfo, TokenInfo, TransferInfo, UploadInfo } from './contract.ts';

/** Reads one value; `at` names it in errors. */
export type Read<T> = (value: unknown, at: string) => T;

export type Fields = Readonly<Record<string, unknown>>;

export const fields: Read<Fields> = (value, at) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(at, 'an object');
  return value as Fields;
};

export const text: Read<string> = (value, at) => {
  if (typeof value !== 'string') throw wrong(at, 'a text');
  return value;
};

/** Sizes and counts: whole, and exact as a JavaScript number. */
export const count: Read<number> = (value, at) => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw wrong(at, 'a whole number');
  return value;
};

const measure: Read<number> = (value, at) => {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw wrong(at, 'a number');
  return value;
};

const flag: Read<boolean> = (value, at) => {
  if (typeof value !== 'boolean') throw wrong(at, 'true or false');
  return value;
};

const digestHex: Read<string> = (value, at) => {
  if (!isDigestHex(value)) throw wrong(at, 'a digest');
  return value;
};

const nanoseconds: Read<bigint> = (value, at) => {
  if (typeof value !== 'string' || !/^-?\d{1,20}$/.test(value)) throw wrong(at, 'nanoseconds as a decimal text');
  return BigInt(value);
};

const remotePath: Read<string> = (value, at) => {
  try {
    return parsePath(text(value, at));
  } catch {
    throw wrong(at, 'a path');
  }
};

function orNull<T>(read: Read<T>): Read<T | null> {
  return (value, at) => (value === null || value === undefined ? null : read(value, at));
}

export function list<T>(read: Read<T>): Read<T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) throw wrong(at, 'a list');
    return value.map((item, index) => read(item, `${at}[${index}]`));
  };
}

function oneOf<const T extends string>(...allowed: readonly T[]): Read<T> {
  return (value, at) => {
    const found = allowed.find((one) => one === value);
    if (found === undefined) throw wrong(at, `one of ${allowed.join(', ')}`);
    return found;
  };
}

/** One page of a list, with the cursor of the next. */
export function page<T>(name: string, read: Read<T>): Read<{ items: T[]; next: string | null }> {
  return (value, at) => {
    const from = fields(value, at);
    return { items: list(read)(from[name], name), next: orNull(text)(from.next, 'next') };
  };
}

const role = oneOf<Role>('read', 'write', 'admin');

export const identity: Read<{ id: string; name: string; role: Role }> = (value, at) => {
  const from = fields(value, at);
  return { id: text(from.id, 'id'), name: text(from.name, 'name'), role: role(from.role, 'role') };
};

export const health: Read<{ status: string; version: string }> = (value, at) => {
  const from = fields(value, at);
  return { status: text(from.status, 'status'), version: text(from.version, 'version') };
};

/** Throws `unsupported` for a server of another protocol, before it looks at fields that may mean something else there. */
export const capabilities: Read<Capabilities> = (value, at) => {
  const from = fields(value, at);
  const version = text(from.version, 'version');
  const protocols = list(count)(from.protocols, 'protocols');
  if (!protocols.includes(PROTOCOL))
    throw new HawserError(
      'unsupported',
      `The server is Hawser ${version.slice(0, 100)} and speaks protocol ${protocols.join(', ') || 'none'}; this client speaks ` +
        `${PROTOCOL}: use versions of client and server that fit together.`,
      { value: version.slice(0, 100) },
    );
  return {
    version,
    protocols,
    features: list(text)(from.features, 'features'),
    transports: list((item, where) => ({ name: text(fields(item, where).name, where) }))(from.transports, 'transports'),
    digests: list(text)(from.digests, 'digests'),
    blockBytes: bounds(from.blockBytes, 'blockBytes'),
    chunkBytes: bounds(from.chunkBytes, 'chunkBytes'),
    packBytes: count(from.packBytes, 'packBytes'),
    packEntries: count(from.packEntries, 'packEntries'),
    smallFileBytes: count(from.smallFileBytes, 'smallFileBytes'),
    ...(typeof from.serverTime === 'string' ? { serverTime: from.serverTime } : {}),
  };
};

export const laneGrant: Read<LaneGrant> = (value, at) => {
  const from = fields(value, at);
  const secret = laneSecret(from.secret, 'secret');
  const ticket = from.ticket === undefined ? {} : { ticket: ticketOf(from.ticket, 'ticket') };
  return { ...laneTerms(from), secret, endpoints: laneEndpoints(from.endpoints, 'endpoints'), ...ticket };
};

export const laneTicket: Read<LaneTicket & { readonly endpoints: LaneEndpoints }> = (value, at) => ({
  ...ticketOf(value, at),
  endpoints: laneEndpoints(fields(value, at).endpoints, 'endpoints'),
});

/** What a welcome says. Throws what the server refused with, when it did. */
export const laneWelcome: Read<LaneWelcome> = (value, at) => {
  const from = fields(value, at);
  if (from.error !== undefined) {
    const { code, message } = fields(from.error, 'error');
    throw new HawserError(isErrorCode(code) ? code : 'lane_unavailable', text(message, 'error.message'));
  }
  return { ...laneTerms(from), ticket: ticketOf(from.ticket, 'ticket') };
};

function laneTerms(from: Record<string, unknown>): Pick<LaneGrant, 'id' | 'suite' | 'paths'> {
  const suite = (Object.keys(KEY_BYTES) as Suite[]).find((name) => name === from.suite);
  if (!suite) throw wrong('suite', 'a suite that this client knows');
  const paths = count(from.paths, 'paths');
  if (paths < 1 || paths > MOST_ENDPOINTS) throw wrong('paths', 'one to eight');
  return { id: text(from.id, 'id'), suite, paths };
}

const laneEndpoints: Read<LaneEndpoints> = (value, at) => {
  const endpoints = list((item, where) => {
    const { host, port } = fields(item, where);
    return { host: orNull(text)(host, `${where}.host`), port: count(port, `${where}.port`) };
  })(value, at);
  if (endpoints.length === 0 || endpoints.length > MOST_ENDPOINTS) throw wrong(at, 'one to eight addresses');
  return endpoints;
};

const ticketOf: Read<LaneTicket> = (value, at) => {
  const from = fields(value, at);
  const expiresMs = Date.parse(text(from.expires, `${at}.expires`));
  if (Number.isNaN(expiresMs)) throw wrong(`${at}.expires`, 'a time');
  const takesReceived = from.takes !== undefined && list(text)(from.takes, `${at}.takes`).includes('received');
  return { ticket: text(from.ticket, `${at}.ticket`), secret: laneSecret(from.secret, `${at}.secret`), expiresMs, takesReceived };
};

const laneSecret: Read<string> = (value, at) => {
  const secret = text(value, at);
  if (!isDigestHex(secret)) throw wrong(at, '32 bytes in hex');
  return secret;
};

const lanePath: Read<LanePathInfo> = (value, at) => {
  const from = fields(value, at);
  const measured = (name: string): number => measure(from[name], `${at}.${name}`);
  // A server of before this was told says nothing of what it receives.
  const arrived = (name: string): number => (from[name] === undefined ? 0 : measured(name));
  return {
    id: count(from.id, `${at}.id`),
    address: orNull(text)(from.address, `${at}.address`),
    state: text(from.state, `${at}.state`),
    rttMs: measured('rttUs') / 1000,
    sentBytes: measured('sentBytes'),
    sentBytesPerSecond: measured('goodputBytesPerSecond'),
    sentLossRate: measured('lossRate'),
    receivedBytes: arrived('receivedBytes'),
    receivedBytesPerSecond: arrived('arrivalBytesPerSecond'),
    receivedLossRate: arrived('arrivalLossRate'),
  };
};

export const laneInfo: Read<LaneInfo> = (value, at) => {
  const from = fields(value, at);
  return {
    id: text(from.id, 'id'),
    owner: text(from.owner, 'owner'),
    opened: text(from.opened, 'opened'),
    policy: text(from.policy, 'policy'),
    limitedBy: orNull(text)(from.limitedBy, 'limitedBy'),
    paths: list(lanePath)(from.paths, 'paths'),
  };
};

const bounds: Read<{ min: number; max: number }> = (value, at) => {
  const from = fields(value, at);
  return { min: count(from.min, `${at}.min`), max: count(from.max, `${at}.max`) };
};

const transferState = oneOf('active', 'paused', 'cancelled', 'done', 'failed');

export const transfer: Read<TransferInfo> = (value, at) => {
  const from = fields(value, at);
  return {
    id: text(from.id, 'id'),
    kind: oneOf('upload', 'download')(from.kind, 'kind'),
    state: transferState(from.state, 'state'),
    priority: oneOf('critical', 'high', 'normal')(from.priority, 'priority'),
    owner: text(from.owner, 'owner'),
    source: text(from.source, 'source'),
    destination: text(from.destination, 'destination'),
    filesTotal: orNull(count)(from.filesTotal, 'filesTotal'),
    bytesTotal: orNull(count)(from.bytesTotal, 'bytesTotal'),
    filesDone: count(from.filesDone, 'filesDone'),
    bytesDone: count(from.bytesDone, 'bytesDone'),
    created: text(from.created, 'created'),
    updated: text(from.updated, 'updated'),
    ended: orNull(text)(from.ended, 'ended'),
    error: orNull(text)(from.error, 'error'),
  };
};

const safeRange: Read<readonly [number, number]> = (value, at) => {
  const [start, end, ...more] = list(count)(value, at);
  if (start === undefined || end === undefined || more.length > 0 || start >= end) throw wrong(at, 'a range [start, end)');
  return [start, end];
};

export const upload: Read<Omit<UploadStatus, 'createdMs' | 'expiresMs' | 'resumed'>> = (value, at) => {
  const from = fields(value, at);
  return {
    id: text(from.id, 'id'),
    path: remotePath(from.path, 'path'),
    size: orNull(count)(from.size, 'size'),
    blockBytes: count(from.blockBytes, 'blockBytes'),
    epoch: count(from.epoch, 'epoch'),
    state: oneOf('receiving', 'done')(from.state, 'state'),
    transfer: orNull(text)(from.transfer, 'transfer'),
    safeBytes: count(from.safeBytes, 'safeBytes'),
    safe: list(safeRange)(from.safe, 'safe'),
    digest: orNull(digestHex)(from.digest, 'digest'),
    deduplicated: flag(from.deduplicated, 'deduplicated'),
  };
};

export const uploadInfo: Read<UploadInfo> = (value, at) => {
  const from = fields(value, at);
  return {
    id: text(from.id, 'id'),
    path: remotePath(from.path, 'path'),
    size: orNull(count)(from.size, 'size'),
    safeBytes: count(from.safeBytes, 'safeBytes'),
    transfer: orNull(text)(from.transfer, 'transfer'),
    created: text(from.created ?? '', 'created'),
    expires: text(from.expires, 'expires'),
  };
};

export const blocksAccepted: Read<BlocksAccepted> = (value, at) => {
  const from = fields(value, at);
  return { accepted: count(from.accepted, 'accepted'), safeBytes: count(from.safeBytes, 'safeBytes') };
};

export const packResult: Read<PackResult> = (value, at) => {
  const from = fields(value, at);
  const failure: Read<PackResult['failed'][number]> = (item, where) => {
    const one = fields(item, where);
    return {
      index: count(one.index, `${where}.index`),
      path: text(one.path, `${where}.path`),
      code: text(one.code, `${where}.code`),
      detail: text(one.detail, `${where}.detail`),
    };
  };
  return {
    stored: count(from.stored, 'stored'),
    bytes: count(from.bytes, 'bytes'),
    failed: list(failure)(from.failed, 'failed'),
  };
};

/** An entry. `complete` answers with the fields of a file that it knows: the kind is then "file" and the version empty. */
export const fileInfo: Read<FileInfo> = (value, at) => {
  const from = fields(value, at);
  const target = orNull(text)(from.target, 'target');
  return {
    path: remotePath(from.path, 'path'),
    kind: oneOf('file', 'folder', 'link')(from.kind ?? 'file', 'kind'),
    size: count(from.size, 'size'),
    mode: count(from.mode, 'mode') & 0o777,
    mtimeNs: nanoseconds(from.mtimeNs, 'mtimeNs'),
    version: text(from.version ?? '', 'version'),
    digest: orNull(digestHex)(from.digest, 'digest'),
    etag: orNull(text)(from.etag, 'etag'),
    ...(target === null ? {} : { target }),
  };
};

export const completed: Read<FileInfo & { readonly transferEnded?: boolean }> = (value, at) => ({
  ...fileInfo(value, at),
  ...(fields(value, at).transferEnded === true ? { transferEnded: true } : {}),
});

export const verifyResult: Read<VerifyResult> = (value, at) => {
  const from = fields(value, at);
  return {
    path: remotePath(from.path, 'path'),
    size: count(from.size, 'size'),
    digest: digestHex(from.digest, 'digest'),
    recorded: orNull(digestHex)(from.recorded, 'recorded'),
    expected: orNull(digestHex)(from.expected, 'expected'),
    matches: flag(from.matches, 'matches'),
  };
};

export const token: Read<TokenInfo> = (value, at) => {
  const from = fields(value, at);
  return {
    ...identity(from, at),
    created: text(from.created, 'created'),
    expires: orNull(text)(from.expires, 'expires'),
  };
};

export const newToken: Read<TokenInfo & { token: string }> = (value, at) => {
  const from = fields(value, at);
  return { ...token(from, at), token: text(from.token, 'token') };
};

function wrong(at: string, wanted: string): HawserError {
  return new HawserError(
    'protocol_error',
    `The server's answer is not as expected: "${at}" should be ${wanted}. Is it a Hawser server, and of a version that fits?`,
    { value: at },
  );
}

/** The version of docs/protocol/http.md that this client speaks. */
const PROTOCOL = 1;
const MOST_ENDPOINTS = 8;
