/** Names: entries, folders, moves, removals, and the digests of what is there. */
import type { App, RouteContext } from '../route-context.ts';
import {
  bytesOf,
  Empty,
  EntryAnswer,
  EntryQuery,
  FileBlocksQuery,
  FolderAnswer,
  FolderBody,
  FolderQuery,
  MoveBody,
  NoQuery,
  NotYetAnswer,
  PathParams,
  RemoveQuery,
  VerifyAnswer,
  VerifyBody,
} from '../schemas.ts';
import { remotePath } from '../url-paths.ts';
import { attributes, entryForm } from '../wire-forms.ts';
import { DIGESTS_TYPE } from './uploads.ts';

export function nameRoutes(app: App, { engine }: RouteContext): void {
  const read = { needs: 'read' } as const;
  const write = { needs: 'write' } as const;

  app.get(
    '/api/v1/entries/*',
    {
      config: read,
      schema: {
        tags: ['entries'],
        summary: 'What is there',
        params: PathParams,
        querystring: EntryQuery,
        response: { 200: EntryAnswer },
      },
    },
    async (request) =>
      entryForm(await engine.stat(request.principal, remotePath(request), { follow: request.query.follow ?? false })),
  );

  app.delete(
    '/api/v1/entries/*',
    {
      config: write,
      schema: { tags: ['entries'], summary: 'Remove it', params: PathParams, querystring: RemoveQuery, response: { 204: Empty } },
    },
    async (request, reply) => {
      await engine.remove(request.principal, remotePath(request), { recursive: request.query.recursive ?? false });
      return reply.code(204).send(null);
    },
  );

  app.post(
    '/api/v1/move',
    {
      config: write,
      schema: { tags: ['entries'], summary: 'Rename', querystring: NoQuery, body: MoveBody, response: { 200: EntryAnswer } },
    },
    async ({ principal, body: { from, to, overwrite = 'never' } }) =>
      entryForm(await engine.move(principal, from, to, overwrite)),
  );

  app.get(
    '/api/v1/folders/*',
    {
      config: read,
      schema: {
        tags: ['folders'],
        summary: 'List, in order',
        params: PathParams,
        querystring: FolderQuery,
        response: { 200: FolderAnswer },
      },
    },
    async (request) => {
      const { limit = 1000, after, recursive = false } = request.query;
      const path = remotePath(request);
      const options = { limit, recursive, ...(after === undefined ? {} : { after }) };
      const { entries, more } = await engine.list(request.principal, path, options);
      return { entries: entries.map(entryForm), next: more ? (entries.at(-1)?.path ?? null) : null };
    },
  );

  app.put(
    '/api/v1/folders/*',
    {
      config: write,
      schema: {
        tags: ['folders'],
        summary: 'Make it and its parents',
        params: PathParams,
        querystring: NoQuery,
        body: FolderBody,
        response: { 200: EntryAnswer, 201: EntryAnswer },
      },
    },
    async (request, reply) => {
      const { info, created } = await engine.makeFolder(request.principal, remotePath(request), attributes(request.body ?? {}));
      return reply.code(created ? 201 : 200).send(entryForm(info));
    },
  );

  app.get(
    '/api/v1/blocks/*',
    {
      config: read,
      schema: {
        tags: ['files'],
        summary: 'Digests of its blocks',
        params: PathParams,
        querystring: FileBlocksQuery,
        response: { 200: bytesOf(DIGESTS_TYPE) },
      },
    },
    async (request, reply) => {
      const { blockBytes, version, first = 0, count = 4096 } = request.query;
      const records = await engine.fileDigests(request.principal, remotePath(request), {
        blockBytes,
        first,
        count,
        ...(version === undefined ? {} : { version }),
      });
      return reply.type(DIGESTS_TYPE).send(records as unknown as string);
    },
  );

  app.get(
    '/api/v1/digests/*',
    {
      config: read,
      schema: {
        tags: ['files'],
        summary: 'Entry with its digest',
        params: PathParams,
        querystring: NoQuery,
        response: { 200: EntryAnswer, 202: NotYetAnswer },
      },
    },
    async (request, reply) => {
      const answer = await engine.digest(request.principal, remotePath(request));
      if (answer.done) return reply.code(200).send(entryForm(answer.value));
      return reply.code(202).header('retry-after', '1').send({ hashedBytes: answer.hashedBytes, size: answer.size });
    },
  );

  app.post(
    '/api/v1/verify',
    {
      config: read,
      schema: {
        tags: ['files'],
        summary: 'Read every byte again',
        querystring: NoQuery,
        body: VerifyBody,
        response: { 200: VerifyAnswer, 202: NotYetAnswer },
      },
    },
    async ({ principal, body: { path, digest } }, reply) => {
      const answer = await engine.verify(principal, path, digest ?? null);
      if (answer.done) return reply.code(200).send(answer.value);
      return reply.code(202).header('retry-after', '1').send({ hashedBytes: answer.hashedBytes, size: answer.size });
    },
  );
}
