/**
 * Uploads small objects one after another over a transport that is open already, and prints how long each took:
 * lane-small.ts URL https|lane BYTES COUNT, token and fingerprint in HAWSER_TOKEN and HAWSER_FINGERPRINT. One request each: from
 * its first byte to the answer that says the object is safe. A program of its own, so that it can run on an emulated host.
 */
import { randomFillSync } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { createApi } from '../src/client/api.ts';
import { openLane } from '../src/client/lane.ts';
import type { Transport } from '../src/transport/contract.ts';
import { createHttpTransport } from '../src/transport/https.ts';

const [url = '', kind = 'https', bytesText = '65536', countText = '20'] = process.argv.slice(2);
const { HAWSER_TOKEN: token = '', HAWSER_FINGERPRINT: fingerprint } = process.env;
const authorization = `Bearer ${token}`;
const transport = await openTransport();
const body = randomFillSync(new Uint8Array(Number(bytesText)));

await once('warm-up');
for (let i = 0; i < Number(countText); i++) {
  const startedMs = performance.now();
  await once(String(i));
  process.stdout.write(`${JSON.stringify({ ms: performance.now() - startedMs })}\n`);
}
process.exit(0);

async function once(name: string): Promise<void> {
  randomFillSync(body, 0, 64);
  const target = `/api/v1/files/small-${process.pid}-${name}.bin`;
  const headers = { authorization, 'content-type': 'application/octet-stream' };
  const answer = await transport.request({ method: 'PUT', target, headers, body, contentLength: body.length, stallMs: 60_000 });
  let text = '';
  for await (const piece of answer.body) text += Buffer.from(piece).toString();
  if (answer.status >= 300) throw new Error(`the server answered ${answer.status}: ${text}`);
}

/** The one place that knows how a lane is opened by a program. */
async function openTransport(): Promise<Transport> {
  const https = createHttpTransport({ url, ...(fingerprint ? { fingerprint } : {}) });
  if (kind === 'https') return https;
  const { hostname: host, host: where } = new URL(url);
  return await openLane(createApi(https, { prefix: '', token }), { host, where });
}
