/**
 * Sends bytes to a sink as fast as they go: source.ts quic HOST PORT BYTES, source.ts tcp HOST PORT SECONDS. Ends when the sink
 * has everything, or when the time is up. A program of its own, so that it can run on an emulated host.
 */
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { loadQuic } from './quic.ts';

const [kind, host = '127.0.0.1', port = '0', amount = '0'] = process.argv.slice(2);
const piece = randomFillSync(Buffer.allocUnsafe(64 << 10));

if (kind === 'quic') {
  const { connectQuicAsync } = await loadQuic();
  const session = await connectQuicAsync(`${host}:${port}`, { rejectUnauthorized: false, alpn: ['bench'] });
  const stream = session.openStream();
  const answered = once(stream, 'data');
  await send(stream, Number(amount), () => false);
  stream.end();
  await answered;
  session.close();
  process.exit(0);
} else {
  const socket = connect({ host, port: Number(port), noDelay: true });
  socket.on('error', () => process.exit(1));
  await once(socket, 'connect');
  const endMs = performance.now() + Number(amount) * 1000;
  setTimeout(() => process.exit(0), Number(amount) * 1000);
  await send(socket, Number.POSITIVE_INFINITY, () => performance.now() > endMs);
}

async function send(stream: NodeJS.WritableStream, bytes: number, enough: () => boolean): Promise<void> {
  for (let left = bytes; left > 0 && !enough(); left -= piece.length) {
    if (!stream.write(left < piece.length ? piece.subarray(0, left) : piece)) await once(stream, 'drain');
  }
}
