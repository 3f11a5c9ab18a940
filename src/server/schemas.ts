/**
 * The wire forms of docs/protocol/http.md as schemas: what comes in is checked against them, and the OpenAPI page is made of
 * them. Requests are strict (an unknown field is refused, because it is likely a misspelt one); answers may grow.
 */
import { type Schema, Type } from './schema-types.ts';

const strict = { additionalProperties: false } as const;
const nullable = <S extends Schema>(schema: S) => Type.Union([schema, Type.Null()]);
const oneOf = <const T extends string[]>(...values: T) => Type.Enum(values);

export const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Time = Type.String({ description: 'RFC 3339, UTC, milliseconds.' });
const Path = Type.String({
  minLength: 1,
  maxLength: 8192,
  description: 'Remote path; bytes that are not UTF-8 as U+DC80 to U+DCFF.',
});
const Digest = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'BLAKE3, lower-case hex.' });
const Nanoseconds = Type.String({ pattern: '^-?[0-9]{1,19}$', description: 'Nanoseconds since 1970, decimal.' });
const Mode = Type.Integer({ minimum: 0, maximum: 0o7777, description: 'Permission bits; set-id bits are dropped.' });
const Id = Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' });
const Role = oneOf('read', 'write', 'admin');
const Priority = oneOf('critical', 'high', 'normal');
const TransferState = oneOf('active', 'paused', 'cancelled', 'done', 'failed');
const Overwrite = oneOf('always', 'newer', 'never');
const Words = Type.String({ maxLength: 4096 });
const Limit = Type.Integer({ minimum: 1, maximum: 10_000 });
const BlockBytes = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const Version = Type.String({ minLength: 1, maxLength: 256 });

export const NoQuery = Type.Object({}, strict);
export const IdParams = Type.Object({ id: Id }, strict);
/** The router sees a placeholder (url-paths.ts); the page shows it as {path}. */
export const PathParams = Type.Object({ '*': Type.String({ description: 'Remote path, percent-encoded byte by byte.' }) });

export const Problem = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String({ description: 'Stable; docs/codes.md lists them.' }),
  detail: Type.String(),
  value: Type.Optional(Type.Union([Type.String(), Type.Number()])),
  retry: Type.Boolean(),
});

export const Empty = Type.Null({ description: 'No body.' });

export const CapabilitiesAnswer = Type.Object({
  product: Type.Literal('hawser'),
  version: Type.String(),
  protocols: Type.Array(Type.Integer()),
  features: Type.Array(Type.String()),
  transports: Type.Array(Type.Object({ name: Type.String() })),
  digests: Type.Array(Type.String()),
  blockBytes: Type.Object({ min: Count, max: Count }),
  chunkBytes: Type.Object({ min: Count, max: Count }),
  packBytes: Count,
  packEntries: Count,
  smallFileBytes: Count,
  serverTime: Time,
});
export const WhoamiAnswer = Type.Object({ id: Type.String(), name: Type.String(), role: Role });
export const HealthAnswer = Type.Object({ status: oneOf('ready', 'stopping'), version: Type.String() });

export const TransferAnswer = Type.Object({
  id: Type.String(),
  kind: oneOf('upload', 'download'),
  state: TransferState,
  priority: Priority,
  owner: Type.String(),
  source: Type.String(),
  destination: Type.String(),
  filesTotal: nullable(Count),
  bytesTotal: nullable(Count),
  filesDone: Count,
  bytesDone: Count,
  created: Time,
  updated: Time,
  ended: nullable(Time),
  error: nullable(Type.String()),
});
export const TransferBody = Type.Object(
  {
    kind: oneOf('upload', 'download'),
    source: Words,
    destination: Words,
    priority: Type.Optional(Priority),
    filesTotal: Type.Optional(nullable(Count)),
    bytesTotal: Type.Optional(nullable(Count)),
    id: Type.Optional(Type.String({ pattern: '^[a-z2-7]{10}$' })),
  },
  strict,
);
export const TransferChangeBody = Type.Object(
  {
    filesTotal: Type.Optional(nullable(Count)),
    bytesTotal: Type.Optional(nullable(Count)),
    filesDone: Type.Optional(Count),
    bytesDone: Type.Optional(Count),
    state: Type.Optional(oneOf('done', 'failed')),
    error: Type.Optional(nullable(Words)),
  },
  strict,
);
export const TransfersQuery = Type.Object(
  { limit: Type.Optional(Limit), state: Type.Optional(TransferState), before: Type.Optional(Type.String({ maxLength: 128 })) },
  strict,
);
export const TransfersAnswer = Type.Object({ transfers: Type.Array(TransferAnswer), next: nullable(Type.String()) });
export const TransferWaitQuery = Type.Object(
  { waitMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 30_000 })), state: Type.Optional(TransferState) },
  strict,
);

export const UploadBody = Type.Object(
  {
    path: Path,
    size: nullable(Count),
    mode: Type.Optional(Mode),
    mtimeNs: Type.Optional(Nanoseconds),
    transfer: Type.Optional(Id),
    /** Instead of `transfer`: begins one for this file alone, and saves a round trip. */
    begin: Type.Optional(Type.Object({ source: Words, destination: Words, priority: Type.Optional(Priority) }, strict)),
    overwrite: Type.Optional(Overwrite),
    digest: Type.Optional(Digest),
    /** For a new upload, so that blocks can be sent to it in the same round trip. Another one is given when it is taken. */
    id: Type.Optional(Type.String({ pattern: '^[a-z2-7]{20}$' })),
    makeParents: Type.Optional(Type.Literal(true)),
  },
  strict,
);
export const UploadAnswer = Type.Object({
  id: Type.String(),
  path: Path,
  size: nullable(Count),
  blockBytes: Count,
  epoch: Count,
  state: oneOf('receiving', 'done'),
  transfer: nullable(Type.String()),
  safeBytes: Count,
  safe: Type.Array(Type.Array(Count, { minItems: 2, maxItems: 2 })),
  digest: nullable(Digest),
  deduplicated: Type.Boolean(),
  resumed: Type.Boolean(),
  created: Time,
  expires: Time,
});
export const UploadsQuery = Type.Object({ limit: Type.Optional(Limit), after: Type.Optional(Id) }, strict);
export const UploadsAnswer = Type.Object({ uploads: Type.Array(UploadAnswer), next: nullable(Type.String()) });
/** `whenBegun`: an upload that is not there yet is waited for. */
export const BlocksQuery = Type.Object({ epoch: Count, whenBegun: Type.Optional(Type.Boolean()) }, strict);
export const DropQuery = Type.Object({ epoch: Type.Optional(Count) }, strict);
export const BlocksAnswer = Type.Object({ accepted: Count, safeBytes: Count });
export const CompleteBody = Type.Object(
  {
    epoch: Count,
    size: Count,
    digest: Digest,
    /** Blocks that are still on their way are waited for, as long as they come: the last of them and this may travel together. */
    whenThere: Type.Optional(Type.Boolean()),
    /** It was all of its transfer, which ends well with it; the answer then says transferEnded. */
    endTransfer: Type.Optional(Type.Boolean()),
  },
  strict,
);

export const EntryAnswer = Type.Object({
  path: Path,
  kind: oneOf('file', 'folder', 'link'),
  size: Count,
  mode: Type.Integer(),
  mtimeNs: Nanoseconds,
  mtime: Time,
  version: Type.String(),
  digest: nullable(Digest),
  etag: nullable(Type.String()),
  target: Type.Optional(Type.String()),
});
export const CompletedAnswer = Type.Intersect([EntryAnswer, Type.Object({ transferEnded: Type.Optional(Type.Boolean()) })]);
export const NotYetAnswer = Type.Object({ hashedBytes: Count, size: Count }, { description: 'Still at it: ask again.' });

export const PackQuery = Type.Object({ transfer: Type.Optional(Id), overwrite: Type.Optional(Overwrite) }, strict);
export const PackAnswer = Type.Object({
  stored: Count,
  bytes: Count,
  failed: Type.Array(Type.Object({ index: Count, path: Type.String(), code: Type.String(), detail: Type.String() })),
});
export const MissingBody = Type.Object(
  {
    entries: Type.Array(Type.Object({ path: Path, size: Count, mtimeNs: Nanoseconds, digest: Type.Optional(Digest) }, strict), {
      maxItems: 65_536,
    }),
  },
  strict,
);
export const MissingAnswer = Type.Object({ missing: Type.Array(Count) });
export const PackReadQuery = Type.Object({ transfer: Type.Optional(Id) }, strict);
export const PackReadBody = Type.Object({ paths: Type.Array(Path, { maxItems: 65_536 }) }, strict);

export const FileQuery = Type.Object(
  { transfer: Type.Optional(Id), version: Type.Optional(Version), blockBytes: Type.Optional(BlockBytes) },
  strict,
);
export const FilePutQuery = Type.Object({ transfer: Type.Optional(Id) }, strict);
export const FileBlocksQuery = Type.Object(
  {
    blockBytes: BlockBytes,
    version: Type.Optional(Version),
    first: Type.Optional(Count),
    count: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_536 })),
  },
  strict,
);
export const EntryQuery = Type.Object({ follow: Type.Optional(Type.Boolean()) }, strict);
export const RemoveQuery = Type.Object({ recursive: Type.Optional(Type.Boolean()) }, strict);
export const VerifyBody = Type.Object({ path: Path, digest: Type.Optional(Digest) }, strict);
export const VerifyAnswer = Type.Object({
  path: Path,
  size: Count,
  digest: Digest,
  recorded: nullable(Digest),
  expected: nullable(Digest),
  matches: Type.Boolean(),
});
export const FolderQuery = Type.Object(
  { recursive: Type.Optional(Type.Boolean()), limit: Type.Optional(Limit), after: Type.Optional(Path) },
  strict,
);
export const FolderAnswer = Type.Object({ entries: Type.Array(EntryAnswer), next: nullable(Path) });
export const FolderBody = nullable(Type.Object({ mode: Type.Optional(Mode), mtimeNs: Type.Optional(Nanoseconds) }, strict));
export const MoveBody = Type.Object({ from: Path, to: Path, overwrite: Type.Optional(oneOf('always', 'never')) }, strict);

export const ProbeQuery = Type.Object({ bytes: Count }, strict);
export const ProbeAnswer = Type.Object({ bytes: Count, ms: Type.Number() });

export const TokenBody = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 200 }),
    role: Role,
    expiresSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 * 365 * 86_400 })),
  },
  strict,
);
const tokenFields = { id: Type.String(), name: Type.String(), role: Role, created: Time, expires: nullable(Time) };
export const TokenAnswer = Type.Object(tokenFields);
export const NewTokenAnswer = Type.Object({ ...tokenFields, token: Type.String() });
export const TokensAnswer = Type.Object({ tokens: Type.Array(TokenAnswer) });

/** A body or an answer that is not JSON, for the page. */
export const bytesOf = (...mediaTypes: string[]) => ({
  description: 'Bytes.',
  content: Object.fromEntries(mediaTypes.map((type) => [type, { schema: Type.String({ format: 'binary' }) }])),
});

const LanePolicyName = oneOf('fair', 'background', 'high', 'fixed');
const LaneSuiteName = oneOf('aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305');
const Hex32 = Type.String({ pattern: '^[0-9a-f]{64}$', description: '32 bytes, lower-case hex.' });

const laneWishes = {
  /** In the client's order of preference; the first is taken. */
  suites: Type.Optional(Type.Array(LaneSuiteName, { minItems: 1, maxItems: 3 })),
  policy: Type.Optional(LanePolicyName),
  bytesPerSecond: Type.Optional(Type.Integer({ minimum: 1000, maximum: 12_500_000_000 })),
  /** Both ends shall send so that the loss of a path delays nothing. */
  redundant: Type.Optional(Type.Boolean()),
  paths: Type.Optional(Type.Integer({ minimum: 1, maximum: 8 })),
  received: Type.Optional(
    Type.Object(
      {
        bytesPerSecond: Type.Integer({ minimum: 1000, maximum: 12_500_000_000 }),
        rttUs: Type.Integer({ minimum: 1, maximum: 60_000_000 }),
      },
      {
        ...strict,
        description: 'What the client received at, on the wire, when it last had a lane to here, and the round trip then.',
      },
    ),
  ),
};
export const LaneBody = Type.Object({ clientRandom: Hex32, ...laneWishes }, strict);

/** What a hello says (docs/protocol/lane.md). */
export const LaneHello = Type.Object(laneWishes, strict);

const LaneEndpointList = Type.Array(Type.Object({ host: nullable(Type.String()), port: Type.Integer() }));

const ticketFields = {
  ticket: Type.String({ description: 'For the server alone, base64url.' }),
  secret: Hex32,
  expires: Time,
  takes: Type.Array(Type.String(), { description: 'What a request for a lane may have, beside what it always could.' }),
};
export const LaneTicketAnswer = Type.Object({ ...ticketFields, endpoints: LaneEndpointList });

export const LaneAnswer = Type.Object({
  id: Id,
  suite: LaneSuiteName,
  secret: Hex32,
  policy: LanePolicyName,
  paths: Type.Integer(),
  endpoints: LaneEndpointList,
  /** To open the next one over UDP. */
  ticket: Type.Object(ticketFields),
});

export const LanesAnswer = Type.Object({
  lanes: Type.Array(
    Type.Object({
      id: Id,
      owner: Type.String(),
      peer: Type.String(),
      opened: Time,
      policy: LanePolicyName,
      limitedBy: nullable(Type.String()),
      unacknowledgedBytes: Count,
      receivedBytes: Count,
      lagUs: Count,
      symbols: Type.Unknown(),
      paths: Type.Array(Type.Unknown()),
    }),
  ),
});
