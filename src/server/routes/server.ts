/** What the server says of itself: capabilities, health, who the caller is, and the OpenAPI page. */
import { MAX_BLOCK_BYTES, MAX_CHUNK_BYTES, MIN_BLOCK_BYTES } from '../../core/transfer/block-size.ts';
import { PACK_ENTRIES, SMALL_FILE_BYTES } from '../../engine/packs.ts';
import type { App, RouteContext } from '../route-context.ts';
import { Type } from '../schema-types.ts';
import { CapabilitiesAnswer, HealthAnswer, NoQuery, WhoamiAnswer } from '../schemas.ts';

export function serverRoutes(app: App, { version, health, now, lanes, openapi }: RouteContext): void {
  const tags = ['server'];
  const open = { needs: null };

  app.get(
    '/api/v1/capabilities',
    {
      config: open,
      schema: { tags, summary: 'What this server can do', querystring: NoQuery, response: { 200: CapabilitiesAnswer } },
    },
    async () => ({
      product: 'hawser' as const,
      version,
      protocols: [1],
      features: ['uploads', 'downloads', 'packs', 'dedup', 'blocks', 'verify', 'transfers', 'probe', 'tokens', 'running-digests'],
      transports: [{ name: 'https' }, ...(lanes ? [{ name: 'lane' }] : [])],
      digests: ['blake3'],
      blockBytes: { min: MIN_BLOCK_BYTES, max: MAX_BLOCK_BYTES },
      chunkBytes: { min: MIN_BLOCK_BYTES, max: MAX_CHUNK_BYTES },
      packBytes: PACK_BYTES,
      packEntries: PACK_ENTRIES,
      smallFileBytes: SMALL_FILE_BYTES,
      serverTime: new Date(now()).toISOString(),
    }),
  );

  app.get(
    '/api/v1/whoami',
    {
      config: { needs: 'read' },
      schema: { tags, summary: 'Whose token this is', querystring: NoQuery, response: { 200: WhoamiAnswer } },
    },
    async ({ principal: { id, name, role } }) => ({ id, name, role }),
  );

  app.get(
    '/metrics',
    {
      config: { needs: 'read' },
      schema: { tags, summary: 'Counters, as Prometheus reads them', querystring: NoQuery, response: { 200: Type.String() } },
    },
    async (_request, reply) =>
      reply
        .type('text/plain; version=0.0.4')
        .serializer(String)
        .send(lanes?.metrics() ?? ''),
  );

  app.get(
    '/api/v1/openapi.json',
    { config: open, schema: { tags, summary: 'This page', querystring: NoQuery, response: { 200: Type.Unknown() } } },
    async () => await openapi.page(),
  );

  const answer = () => ({ status: health.stopping ? ('stopping' as const) : ('ready' as const), version });
  for (const [url, summary] of [
    ['/health', 'State and version'],
    ['/health/live', 'The process answers'],
  ] as const) {
    app.route({
      method: ['GET', 'HEAD'],
      url,
      config: open,
      schema: { tags, summary, querystring: NoQuery, response: { 200: HealthAnswer } },
      handler: async () => answer(),
    });
  }
  app.route({
    method: ['GET', 'HEAD'],
    url: '/health/ready',
    config: open,
    schema: { tags, summary: 'Takes new work', querystring: NoQuery, response: { 200: HealthAnswer, 503: HealthAnswer } },
    handler: async (_request, reply) => reply.code(health.stopping ? 503 : 200).send(answer()),
  });
}

/** A pack should not be larger: what one request risks on a bad link. */
const PACK_BYTES = 16 << 20;
