/** Uploads: created, filled with blocks in any order, completed. */
import type { UploadStatus } from '../../engine/contract.ts';
import { requestBody } from '../request-body.ts';
import type { App, RouteContext } from '../route-context.ts';
import {
  BlocksAnswer,
  BlocksQuery,
  bytesOf,
  CompleteBody,
  CompletedAnswer,
  DropQuery,
  Empty,
  IdParams,
  NoQuery,
  NotYetAnswer,
  UploadAnswer,
  UploadBody,
  UploadsAnswer,
  UploadsQuery,
} from '../schemas.ts';
import { attributes, entryForm, uploadForm } from '../wire-forms.ts';

const transferOf = ({ transfer }: UploadStatus): string | null => transfer;

export const BLOCKS_TYPE = 'application/vnd.hawser.blocks';
export const DIGESTS_TYPE = 'application/vnd.hawser.digests';

export function uploadRoutes(app: App, { engine, limits }: RouteContext): void {
  const tags = ['uploads'];
  const config = { needs: 'write' } as const;

  app.post(
    '/api/v1/uploads',
    {
      config,
      schema: {
        tags,
        summary: 'Begin one, or go on with an unfinished one',
        querystring: NoQuery,
        body: UploadBody,
        response: { 200: UploadAnswer, 201: UploadAnswer },
      },
    },
    async ({ principal, body }, reply) => {
      const { path, size, transfer, begin, overwrite, digest, id } = body;
      const status = await engine.createUpload(principal, {
        path,
        size,
        ...attributes(body),
        ...(transfer === undefined ? {} : { transfer }),
        ...(begin === undefined ? {} : { begin }),
        ...(overwrite === undefined ? {} : { overwrite }),
        ...(digest === undefined ? {} : { digest }),
        ...(id === undefined ? {} : { id }),
      });
      // A file that is in place already has no upload to point at.
      if (status.state === 'receiving') reply.header('location', `uploads/${status.id}`);
      return reply.code(status.resumed || status.state === 'done' ? 200 : 201).send(uploadForm(status));
    },
  );

  app.get(
    '/api/v1/uploads',
    { config, schema: { tags, summary: 'Unfinished ones', querystring: UploadsQuery, response: { 200: UploadsAnswer } } },
    async ({ principal, query: { limit = 100, after } }) => {
      const uploads = await engine.listUploads(principal, { limit, ...(after === undefined ? {} : { after }) });
      return { uploads: uploads.map(uploadForm), next: uploads.length === limit ? uploads.at(-1)!.id : null };
    },
  );

  app.get(
    '/api/v1/uploads/:id',
    { config, schema: { tags, summary: 'One', params: IdParams, querystring: NoQuery, response: { 200: UploadAnswer } } },
    async ({ principal, params: { id } }) => uploadForm(await engine.getUpload(principal, id)),
  );

  app.get(
    '/api/v1/uploads/:id/blocks',
    {
      config,
      schema: {
        tags,
        summary: 'Digests of the blocks that are safe',
        params: IdParams,
        querystring: NoQuery,
        response: { 200: bytesOf(DIGESTS_TYPE), 202: NotYetAnswer },
      },
    },
    async ({ principal, params: { id } }, reply) => {
      const answer = await engine.uploadDigests(principal, id);
      if (answer.done) return reply.type(DIGESTS_TYPE).send(answer.value as unknown as string);
      return reply.code(202).header('retry-after', '1').send({ hashedBytes: answer.hashedBytes, size: answer.size });
    },
  );

  app.register(async (raw: App) => {
    // The stream itself is the body: fastify does not touch it.
    raw.removeAllContentTypeParsers();
    raw.addContentTypeParser(BLOCKS_TYPE, (_request, _payload, done) => done(null));
    raw.put(
      '/api/v1/uploads/:id/blocks',
      {
        config,
        schema: {
          tags,
          summary: 'Block frames; answered when they are safe',
          consumes: [BLOCKS_TYPE],
          params: IdParams,
          querystring: BlocksQuery,
          response: { 200: BlocksAnswer },
        },
      },
      async (request, reply) => {
        const { principal, params, query } = request;
        const body = requestBody(request.raw, reply.raw, { idleMs: limits.bodyIdleMs });
        const { epoch, whenBegun = false } = query;
        return await engine.receiveBlocks(principal, params.id, epoch, body, body.fail, { whenBegun });
      },
    );
  });

  app.post(
    '/api/v1/uploads/:id/complete',
    {
      config,
      schema: {
        tags,
        summary: 'Verify and publish',
        params: IdParams,
        querystring: NoQuery,
        body: CompleteBody,
        response: { 200: CompletedAnswer, 202: NotYetAnswer },
      },
    },
    async ({ principal, params: { id }, body }, reply) => {
      const { endTransfer = false, ...request } = body;
      // Afterwards the upload is no more.
      const transfer = endTransfer ? await engine.getUpload(principal, id).then(transferOf, () => null) : null;
      const answer = await engine.completeUpload(principal, id, request);
      if (answer.done && transfer !== null) {
        const end = { filesTotal: 1, bytesTotal: request.size, state: 'done' } as const;
        // The file is there, whatever has become of the transfer.
        const ended = await engine.changeTransfer(principal, transfer, end).then(
          () => true,
          () => false,
        );
        return reply.code(200).send({ ...entryForm(answer.value), transferEnded: ended });
      }
      if (answer.done) return reply.code(200).send(entryForm(answer.value));
      return reply.code(202).header('retry-after', '1').send({ hashedBytes: answer.hashedBytes, size: answer.size });
    },
  );

  app.delete(
    '/api/v1/uploads/:id',
    { config, schema: { tags, summary: 'Drop it', params: IdParams, querystring: DropQuery, response: { 204: Empty } } },
    async ({ principal, params: { id }, query: { epoch } }, reply) => {
      await engine.removeUpload(principal, id, epoch);
      return reply.code(204).send(null);
    },
  );
}
