/** Probes: bytes that mean nothing, in either direction, to measure a path. */
import { HawserError } from '../../core/errors.ts';
import { requestBody } from '../request-body.ts';
import type { App, RouteContext } from '../route-context.ts';
import { bytesOf, NoQuery, ProbeAnswer, ProbeQuery } from '../schemas.ts';
import { sendPieces } from '../send-body.ts';

export function probeRoutes(app: App, { limits, now, random }: RouteContext): void {
  const tags = ['probe'];
  const config = { needs: 'read' } as const;
  let noise: Uint8Array | null = null;

  app.get(
    '/api/v1/probe',
    { config, schema: { tags, summary: 'Receive noise', querystring: ProbeQuery, response: { 200: bytesOf(BYTES_TYPE) } } },
    async ({ query: { bytes } }, reply) => {
      if (bytes > limits.probeBytes) throw tooMuch(bytes, limits.probeBytes);
      noise ??= random(NOISE_BYTES);
      const headers = { 'content-type': BYTES_TYPE, 'content-length': String(bytes), 'cache-control': 'no-store' };
      await sendPieces(reply, { status: 200, headers }, repeat(noise, bytes), limits.sendIdleMs);
    },
  );

  app.register(async (raw: App) => {
    raw.removeAllContentTypeParsers();
    raw.addContentTypeParser('*', (_request, _payload, done) => done(null));
    raw.post(
      '/api/v1/probe',
      {
        config,
        schema: { tags, summary: 'Send noise', consumes: [BYTES_TYPE], querystring: NoQuery, response: { 200: ProbeAnswer } },
      },
      async (request, reply) => {
        const startMs = now();
        let bytes = 0;
        const body = requestBody(request.raw, reply.raw, { idleMs: limits.bodyIdleMs, maxBytes: limits.probeBytes });
        for await (const piece of body) bytes += piece.length;
        return { bytes, ms: now() - startMs };
      },
    );
  });
}

async function* repeat(noise: Uint8Array, bytes: number): AsyncGenerator<Uint8Array, void, undefined> {
  for (let left = bytes; left > 0; left -= noise.length) yield left < noise.length ? noise.subarray(0, left) : noise;
}

function tooMuch(bytes: number, most: number): HawserError {
  return new HawserError('request_invalid', `A probe of ${bytes} bytes is too large: ask for at most ${most}.`, { value: bytes });
}

const BYTES_TYPE = 'application/octet-stream';
/** Longer than the window of the compressors that sit in VPNs and modems. */
const NOISE_BYTES = 1 << 20;
