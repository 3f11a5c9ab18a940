import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import test from 'node:test';
import { createSecureContext, TLSSocket } from 'node:tls';
import { selfSigned } from '../../test/self-signed.ts';
import { lookAtCertificate } from './certificate.ts';

test('a certificate is seen though the first connections hang and are closed', async (context) => {
  const certificate = selfSigned();
  const secureContext = createSecureContext(certificate);
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    // As where what the server says is lost; the second is one that a server has given up.
    if (sockets.length === 2) socket.destroy();
    else if (sockets.length > 2) new TLSSocket(socket, { isServer: true, secureContext }).on('error', () => undefined);
  });
  context.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const seen = await lookAtCertificate(`https://127.0.0.1:${(server.address() as AddressInfo).port}`);
  assert.equal(seen.fingerprint, certificate.fingerprint.replaceAll(':', '').toLowerCase());
  assert.ok(sockets.length >= 3);
});
