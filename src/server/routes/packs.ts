/** Packs: many small files in one body, in either direction. */
import { requestBody } from '../request-body.ts';
import type { App, RouteContext } from '../route-context.ts';
import { bytesOf, MissingAnswer, MissingBody, NoQuery, PackAnswer, PackQuery, PackReadBody, PackReadQuery } from '../schemas.ts';
import { sendPieces } from '../send-body.ts';
import { nanoseconds } from '../wire-forms.ts';

export const PACK_TYPE = 'application/vnd.hawser.pack';

export function packRoutes(app: App, { engine, limits }: RouteContext): void {
  const tags = ['packs'];

  app.register(async (raw: App) => {
    raw.removeAllContentTypeParsers();
    raw.addContentTypeParser(PACK_TYPE, (_request, _payload, done) => done(null));
    raw.post(
      '/api/v1/packs',
      {
        config: { needs: 'write' },
        schema: { tags, summary: 'Store a pack', consumes: [PACK_TYPE], querystring: PackQuery, response: { 200: PackAnswer } },
      },
      async (request, reply) => {
        const body = requestBody(request.raw, reply.raw, { idleMs: limits.bodyIdleMs });
        const result = await engine.receivePack(request.principal, request.query, body);
        return { stored: result.stored, bytes: result.bytes, failed: [...result.failed] };
      },
    );
  });

  app.post(
    '/api/v1/packs/missing',
    {
      bodyLimit: limits.listJsonBytes,
      config: { needs: 'read' },
      schema: {
        tags,
        summary: 'Which of these are not there',
        querystring: NoQuery,
        body: MissingBody,
        response: { 200: MissingAnswer },
      },
    },
    async ({ principal, body: { entries } }) => {
      const wanted = entries.map(({ mtimeNs, ...rest }) => ({ ...rest, mtimeNs: nanoseconds(mtimeNs) }));
      return { missing: await engine.missingEntries(principal, wanted) };
    },
  );

  app.post(
    '/api/v1/packs/read',
    {
      bodyLimit: limits.listJsonBytes,
      config: { needs: 'read' },
      schema: {
        tags,
        summary: 'These files as a pack',
        querystring: PackReadQuery,
        body: PackReadBody,
        response: { 200: bytesOf(PACK_TYPE) },
      },
    },
    async ({ principal, query, body: { paths } }, reply) => {
      const pieces = engine.readPack(principal, query, paths);
      await sendPieces(reply, { status: 200, headers: { 'content-type': PACK_TYPE } }, pieces, limits.sendIdleMs);
    },
  );
}
