/**
 * A server of the first version, as a client meets it: a proxy in front of today's that takes away what came later. What the first
 * version did not know it refused: fields, queries, routes, running digests.
 */
import { request as ask, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { BLOCK_HEADER_BYTES, decodeBlockHeader } from '../../src/core/wire/block-frames.ts';
import { selfSigned } from '../self-signed.ts';

export interface OlderServer {
  readonly port: number;
  readonly fingerprint: string;
  /** What it refused of what the client asked, as "POST /api/v1/transfers id". */
  readonly refused: readonly string[];
  close(): void;
}

/** In front of a server in the clear. */
export async function startOlderServer(port: number): Promise<OlderServer> {
  const refused: string[] = [];
  const { cert, key, fingerprint } = selfSigned();
  const server = createServer({ cert, key }, (request, response) => {
    answer(port, request, response, (what) => refused.push(`${request.method} ${routeOf(request)} ${what}`)).catch(() =>
      response.destroy(),
    );
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    fingerprint,
    refused,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function answer(
  port: number,
  request: IncomingMessage,
  response: ServerResponse,
  onRefused: (what: string) => void,
): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const body = Buffer.concat(pieces);
  const wrong = whatIsUnknown(request, body);
  if (wrong !== null) {
    onRefused(wrong.what);
    const detail = `The request has ${wrong.what}, which this server does not know.`;
    const problem = { title: 'No', status: wrong.status, code: wrong.code, detail, retry: false };
    response.writeHead(wrong.status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem));
    return;
  }
  const { method, url: path, headers } = request;
  const forwarded = ask({ host: '127.0.0.1', port, method, path, headers, agent: false });
  forwarded.on('error', () => response.destroy()).end(body);
  forwarded.on('response', async (given: IncomingMessage) => {
    if (routeOf(request) !== '/api/v1/capabilities') {
      response.writeHead(given.statusCode ?? 500, given.headers);
      given.on('error', () => response.destroy()).pipe(response);
      return;
    }
    let text = '';
    for await (const piece of given) text += String(piece);
    const capabilities = { ...JSON.parse(text), features: FEATURES, transports: [{ name: 'https' }] };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(capabilities));
  });
}

/** Null: nothing. */
function whatIsUnknown(request: IncomingMessage, body: Buffer): { status: number; code: string; what: string } | null {
  const route = routeOf(request);
  if (route.startsWith('/api/v1/lanes')) return { status: 404, code: 'route_not_found', what: 'a route' };
  const unknown = (names: Iterable<string>, known: readonly string[]) => [...names].find((name) => !known.includes(name));
  const fields = BODY_FIELDS[`${request.method} ${route}`];
  const field = fields && unknown(Object.keys(JSON.parse(body.toString())), fields);
  if (field !== undefined) return { status: 400, code: 'request_invalid', what: field };
  if (request.method !== 'PUT' || route !== '/api/v1/uploads/ID/blocks') return null;
  const query = unknown(new URL(request.url ?? '', 'http://here').searchParams.keys(), ['epoch']);
  if (query !== undefined) return { status: 400, code: 'request_invalid', what: query };
  try {
    for (let at = 0; at < body.length; ) at += BLOCK_HEADER_BYTES + decodeBlockHeader(body.subarray(at), MOST_BLOCK_BYTES).length;
    return null;
  } catch {
    return { status: 400, code: 'frame_invalid', what: 'a running digest' };
  }
}

/** Without the query, and with ID for the name of an upload. */
function routeOf({ url = '' }: IncomingMessage): string {
  return url.replace(/\?.*$/, '').replace(/^(\/api\/v1\/uploads\/)[^/]+/, '$1ID');
}

const MOST_BLOCK_BYTES = 4 << 20;
const FEATURES = ['uploads', 'downloads', 'packs', 'dedup', 'blocks', 'verify', 'transfers', 'probe', 'tokens'];
const BODY_FIELDS: Readonly<Record<string, readonly string[]>> = {
  'POST /api/v1/transfers': ['kind', 'source', 'destination', 'priority', 'filesTotal', 'bytesTotal'],
  'POST /api/v1/uploads': ['path', 'size', 'mode', 'mtimeNs', 'transfer', 'overwrite', 'digest', 'makeParents'],
  'POST /api/v1/uploads/ID/complete': ['epoch', 'size', 'digest'],
};
