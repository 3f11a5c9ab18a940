/**
 * Takes bytes and counts them: sink.ts tcp|https|quic HOST. Prints {"port":N}, then {"bytes":N} (all so far) every 50 ms in which
 * some came. A program of its own, so that it can run on an emulated host.
 */
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { createSelfSigned } from '../../src/server/certificate.ts';
import { loadQuic } from './quic.ts';

const [kind, host = '127.0.0.1'] = process.argv.slice(2);
let [bytes, told] = [0, 0];
const count = (piece: Uint8Array) => {
  bytes += piece.length;
};
setInterval(() => {
  if (bytes === told) return;
  told = bytes;
  print({ bytes });
}, 50);
print({ port: await listen() });

async function listen(): Promise<number> {
  const { key, cert } = createSelfSigned();
  if (kind === 'quic') {
    const { createQuicServer } = await loadQuic();
    // The default of 2 MB a stream would be what is measured.
    const windows = { initialMaxData: 64 << 20, initialMaxStreamDataBidiLocal: 64 << 20 };
    const server = createQuicServer({ key, cert, alpn: ['bench'], ...windows });
    server.on('error', (error) => console.error(error));
    server.on('session', (session) => {
      session.on('error', () => undefined);
      session.on('stream', (stream) => {
        stream.on('data', count);
        stream.on('error', () => undefined);
        // The answer tells the client that everything has arrived.
        stream.on('end', () => stream.end('done'));
      });
    });
    return (await server.listen(0, host)).port;
  }
  const server =
    kind === 'https'
      ? createHttpsServer({ key, cert }, (request, response) => {
          request.on('data', count).on('end', () => response.end('done\n'));
        })
      : createTcpServer((socket) => {
          socket.on('data', count).on('error', () => undefined);
        });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as AddressInfo).port;
}

function print(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
