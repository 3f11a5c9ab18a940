/** File contents: GET and HEAD with conditions and ranges, as bytes or as block frames; PUT, the plain way. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { HawserError } from '../../core/errors.ts';
import { MAX_BLOCK_BYTES, MIN_BLOCK_BYTES } from '../../core/transfer/block-size.ts';
import { BLOCK_HEADER_BYTES } from '../../core/wire/block-frames.ts';
import type { FileInfo, OpenedFile } from '../../engine/contract.ts';
import { etagMatches, judge, type Verdict } from '../conditional.ts';
import { digestHeaders, expectedDigests } from '../digest-fields.ts';
import { requestBody } from '../request-body.ts';
import type { App, RouteContext } from '../route-context.ts';
import type { Static } from '../schema-types.ts';
import { bytesOf, Empty, EntryAnswer, FilePutQuery, FileQuery, PathParams } from '../schemas.ts';
import { sendPieces } from '../send-body.ts';
import { remotePath } from '../url-paths.ts';
import { entryForm } from '../wire-forms.ts';
import { BLOCKS_TYPE } from './uploads.ts';

export function fileRoutes(app: App, { engine, limits, now }: RouteContext): void {
  const tags = ['files'];
  const config = { needs: 'read' } as const;
  const answers = { 200: bytesOf(BYTES_TYPE, BLOCKS_TYPE), 206: bytesOf(BYTES_TYPE, BLOCKS_TYPE), 304: Empty };

  app.head(
    '/api/v1/files/*',
    {
      config,
      schema: {
        tags,
        summary: 'Headers of the content',
        params: PathParams,
        querystring: FileQuery,
        response: { 200: Empty, 304: Empty },
      },
    },
    async (request, reply) => {
      const { version } = request.query;
      const info = await engine.stat(request.principal, remotePath(request), { follow: true });
      if (info.kind !== 'file') throw isFolder(info.path);
      if (version !== undefined && version !== info.version) throw changed(info.path);
      const verdict = judgeRequest(request, info);
      if (verdict.kind === 'failed') throw changed(info.path);
      const headers = representation(request, info, now());
      // Hijacked, because fastify would count an empty body as the content's length.
      reply.hijack();
      if (verdict.kind === 'unmodified') return void reply.raw.writeHead(304, withoutContent(headers)).end();
      const size = wantsFrames(request) ? framedBytes(info.size, request.query.blockBytes!) : info.size;
      reply.raw.writeHead(200, { ...headers, 'content-length': String(size) }).end();
    },
  );

  app.get(
    '/api/v1/files/*',
    { config, schema: { tags, summary: 'The content', params: PathParams, querystring: FileQuery, response: answers } },
    async (request, reply) => {
      const { transfer, version } = request.query;
      const file = await engine.open(request.principal, remotePath(request), {
        ...(transfer === undefined ? {} : { transfer }),
        ...(version === undefined ? {} : { version }),
      });
      try {
        await sendFile(request, reply, file);
      } finally {
        await file.close();
      }
    },
  );

  async function sendFile(request: FileRequest, reply: FastifyReply, file: OpenedFile): Promise<void> {
    const { info } = file;
    const verdict = judgeRequest(request, info);
    if (verdict.kind === 'failed') throw changed(info.path);
    if (verdict.kind === 'unsatisfiable') {
      reply.header('content-range', `bytes */${info.size}`);
      throw new HawserError(
        'range_invalid',
        `The range ${request.headers.range} lies outside the ${info.size} bytes of "${info.path}".`,
        {
          value: request.headers.range ?? '',
        },
      );
    }
    const headers = representation(request, info, now());
    if (verdict.kind === 'unmodified') {
      reply.hijack();
      reply.raw.writeHead(304, withoutContent(headers)).end();
      return;
    }
    const [start, end] = verdict.kind === 'part' ? [verdict.start, verdict.end] : [0, info.size];
    if (verdict.kind === 'part') headers['content-range'] = `bytes ${start}-${end - 1}/${info.size}`;
    const { blockBytes } = request.query;
    const framed = wantsFrames(request) && blockBytes !== undefined;
    headers['content-length'] = String(framed ? framedBytes(end - start, blockBytes) : end - start);
    const pieces = framed ? file.frames(start, end, blockBytes) : file.read(start, end);
    await sendPieces(reply, { status: verdict.kind === 'part' ? 206 : 200, headers }, pieces, limits.sendIdleMs);
  }

  app.register(async (raw: App) => {
    // Whatever its media type, the body is the content.
    raw.removeAllContentTypeParsers();
    raw.addContentTypeParser('*', (_request, _payload, done) => done(null));
    raw.put(
      '/api/v1/files/*',
      {
        config: { needs: 'write' },
        schema: {
          tags,
          summary: 'Store the body as a file',
          consumes: [BYTES_TYPE],
          params: PathParams,
          querystring: FilePutQuery,
          response: { 200: EntryAnswer, 201: EntryAnswer },
        },
      },
      async (request, reply) => {
        const { principal, headers, query } = request;
        const path = remotePath(request);
        if (headers['content-range'] !== undefined) {
          throw new HawserError('request_invalid', 'A part of a file cannot be put: send the whole file, or use uploads.');
        }
        const expected = expectedDigests(headers);
        const onlyNew = await checkPutConditions(request, path);
        const length = headers['content-length'];
        const body = requestBody(request.raw, reply.raw, { idleMs: limits.bodyIdleMs });
        const { info, created } = await engine
          .putFile(
            principal,
            { path, size: length === undefined ? null : Number(length), ...query, ...(onlyNew ? { overwrite: 'never' } : {}) },
            body,
            expected,
          )
          .catch((error) => {
            // Somebody was faster: the same answer as when the name had been taken all along.
            throw onlyNew && error instanceof HawserError && error.code === 'exists' ? taken(path) : error;
          });
        if (info.etag !== null) reply.header('etag', info.etag);
        return reply.code(created ? 201 : 200).send(entryForm(info));
      },
    );
  });

  /** RFC 9110 section 13.2: true when the file must be new. */
  async function checkPutConditions(request: FastifyRequest, path: string): Promise<boolean> {
    const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = request.headers;
    if (ifMatch === undefined && ifNoneMatch === undefined) return false;
    const there = await engine.stat(request.principal, path, { follow: true }).catch((error) => {
      if (error instanceof HawserError && error.code === 'not_found') return null;
      throw error;
    });
    if (ifMatch !== undefined && !(there && etagMatches(ifMatch, there.etag ?? '', 'strong'))) throw changed(path);
    if (ifNoneMatch !== undefined && there && etagMatches(ifNoneMatch, there.etag ?? '', 'weak')) throw taken(path);
    return ifNoneMatch?.trim() === '*';
  }
}

type FileRequest = FastifyRequest<{ Querystring: Static<typeof FileQuery> }>;

function judgeRequest(request: FastifyRequest, info: FileInfo): Verdict {
  const file = { etag: info.etag ?? '', mtimeMs: Number(info.mtimeNs / 1_000_000n), size: info.size };
  return judge(request.method === 'HEAD' ? 'HEAD' : 'GET', request.headers, file);
}

function representation(request: FileRequest, info: FileInfo, nowMs: number): Record<string, string> {
  const framed = wantsFrames(request);
  const headers: Record<string, string> = {
    'content-type': framed ? BLOCKS_TYPE : BYTES_TYPE,
    'accept-ranges': 'bytes',
    'cache-control': 'private, no-cache',
    'content-disposition': 'attachment',
    'x-content-type-options': 'nosniff',
    vary: 'Accept, Authorization',
    'hawser-size': String(info.size),
    'hawser-version': info.version,
  };
  if (info.etag !== null) headers.etag = info.etag;
  // Not later than now (RFC 9110 section 8.8.2.1), and only what a date can say.
  const modifiedMs = Math.min(Number(info.mtimeNs / 1_000_000n), nowMs);
  if (modifiedMs >= 0) headers['last-modified'] = new Date(modifiedMs).toUTCString();
  if (info.digest !== null) Object.assign(headers, framed ? { 'hawser-digest': info.digest } : digestHeaders(info.digest));
  return headers;
}

function withoutContent({ 'content-type': _type, 'content-disposition': _disposition, ...headers }: Record<string, string>) {
  return headers;
}

function wantsFrames(request: FileRequest): boolean {
  if (request.headers.accept?.includes(BLOCKS_TYPE) !== true) return false;
  const { blockBytes } = request.query;
  if (
    blockBytes !== undefined &&
    blockBytes >= MIN_BLOCK_BYTES &&
    blockBytes <= MAX_BLOCK_BYTES &&
    Number.isInteger(Math.log2(blockBytes))
  ) {
    return true;
  }
  throw new HawserError(
    'request_invalid',
    `Block frames need ?blockBytes, a power of two from ${MIN_BLOCK_BYTES} to ${MAX_BLOCK_BYTES}.`,
    {
      value: blockBytes ?? '',
    },
  );
}

function framedBytes(bytes: number, blockBytes: number): number {
  return bytes + Math.ceil(bytes / blockBytes) * BLOCK_HEADER_BYTES;
}

function isFolder(path: string): HawserError {
  return new HawserError('is_folder', `"${path}" is a folder: list it with /api/v1/folders.`, { value: path });
}

function changed(path: string): HawserError {
  return new HawserError('changed', `"${path}" is not the version that was asked for: look at it again.`, { value: path });
}

function taken(path: string): HawserError {
  return new HawserError('precondition_failed', `"${path}" is there already, and If-None-Match says that it must not be.`, {
    value: path,
  });
}

const BYTES_TYPE = 'application/octet-stream';
