/**
 * Uploads so many bytes as block frames and prints the time: http2-upload.ts URL 1|2 STREAMS BYTES, token in HAWSER_TOKEN. With
 * version 1 each stream is a connection of its own; with version 2 all are on one. A program of its own, so that it can run on
 * an emulated host.
 */
import { randomFillSync } from 'node:crypto';
import { connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2';
import { Agent, request as httpsRequest } from 'node:https';
import { performance } from 'node:perf_hooks';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { encodeBlockHeader } from '../src/core/wire/block-frames.ts';
import { blake3 } from '../src/engine/blake3.ts';

const [url = '', version = '1', streamsText = '1', bytesText = '0'] = process.argv.slice(2);
const [streams, sizeBytes] = [Number(streamsText), Number(bytesText)];
const authorization = `Bearer ${process.env.HAWSER_TOKEN}`;
const path = `/h2-${process.pid}.bin`;

type Send = (method: string, path: string, type: string, body: readonly Uint8Array[]) => Promise<Answer>;
interface Answer {
  readonly status: number;
  readonly body: string;
}

// What is prepared beforehand is no part of the time: another connection begins the upload, and the frames are made.
const prepare = version1(1);
const upload = await prepare
  .send('POST', '/api/v1/uploads', 'application/json', [Buffer.from(JSON.stringify({ path, size: sizeBytes }))])
  .then(ok);
const blockBytes = Number(upload.blockBytes);
const blocks = Math.ceil(sizeBytes / blockBytes);
const content = randomFillSync(Buffer.allocUnsafe(blockBytes));
const bodies = Array.from({ length: streams }, (_, i) => {
  const [first, end] = [Math.floor((blocks * i) / streams), Math.floor((blocks * (i + 1)) / streams)];
  return Array.from({ length: end - first }, (_, k) => frame(first + k)).flat();
});

const started = performance.now();
const { send, close } = version === '2' ? version2() : version1(streams);
const target = `/api/v1/uploads/${upload.id}/blocks?epoch=${upload.epoch}`;
const answers = await Promise.all(bodies.map((body) => send('PUT', target, 'application/vnd.hawser.blocks', body).then(ok)));
const ms = performance.now() - started;
close();
const accepted = answers.reduce((sum, answer) => sum + Number(answer.accepted), 0);
if (accepted !== sizeBytes) throw new Error(`${accepted} bytes were accepted, not ${sizeBytes}`);
await prepare.send('DELETE', `/api/v1/uploads/${upload.id}`, 'application/json', []);
prepare.close();
console.log(JSON.stringify({ ms }));

function frame(index: number): [Uint8Array, Uint8Array] {
  const data = content.subarray(0, Math.min(blockBytes, sizeBytes - index * blockBytes));
  return [encodeBlockHeader(index * blockBytes, data.length, blake3(data)), data];
}

function version1(connections: number): { send: Send; close: () => void } {
  const agent = new Agent({ keepAlive: true, maxSockets: connections, rejectUnauthorized: false });
  const send: Send = (method, to, type, body) =>
    new Promise((resolve, reject) => {
      const headers = headersOf(type, body);
      const request = httpsRequest(new URL(to, url), { method, agent, headers: { ...headers, authorization } }, (response) => {
        text(response).then((answer) => resolve({ status: response.statusCode ?? 0, body: answer }), reject);
      });
      request.once('error', reject);
      Readable.from(body, { objectMode: false }).pipe(request);
    });
  return { send, close: () => agent.destroy() };
}

function version2(): { send: Send; close: () => void } {
  const session = connectHttp2(url, { rejectUnauthorized: false });
  const send: Send = (method, to, type, body) =>
    new Promise((resolve, reject) => {
      const headers: OutgoingHttpHeaders = { ':method': method, ':path': to, ...headersOf(type, body), authorization };
      const stream = session.request(headers);
      let status = 0;
      stream.once('response', (response) => {
        status = Number(response[':status']);
      });
      stream.once('error', reject);
      text(stream).then((answer) => resolve({ status, body: answer }), reject);
      Readable.from(body, { objectMode: false }).pipe(stream);
    });
  session.once('error', (error) => {
    throw error;
  });
  return { send, close: () => session.close() };
}

function headersOf(type: string, body: readonly Uint8Array[]): Record<string, string> {
  const length = body.reduce((sum, piece) => sum + piece.length, 0);
  return length === 0 ? {} : { 'content-type': type, 'content-length': String(length) };
}

function ok({ status, body }: Answer): Record<string, unknown> {
  if (status >= 300) throw new Error(`the server answered ${status}: ${body}`);
  return JSON.parse(body);
}
