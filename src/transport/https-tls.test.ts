import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttps } from 'node:https';
import { describe, it } from 'node:test';
import { createServer as createTls } from 'node:tls';
import { selfSigned } from '../../test/self-signed.ts';
import { certificate, listen, open, readAll, refusalOf } from '../../test/transport/https-fixture.ts';
import { createHttpTransport, type HttpTransportOptions } from './https.ts';

describe('requests over TLS', () => {
  const secret = { authorization: 'Bearer hws_secret' };

  /** Records every byte that a client says inside TLS. */
  async function eavesdropper(with_ = certificate) {
    const heard: Buffer[] = [];
    const closed: Promise<unknown>[] = [];
    const server = createTls({ key: with_.key, cert: with_.cert }, (socket) => {
      socket.on('error', () => {});
      socket.on('data', (piece: Buffer) => heard.push(piece));
      closed.push(once(socket, 'close'));
    });
    server.on('tlsClientError', () => {});
    const port = await listen(server);
    return { url: `https://127.0.0.1:${port}`, heard, allClosed: () => Promise.all(closed) };
  }

  async function secure(options: Omit<HttpTransportOptions, 'url'>, with_ = certificate) {
    const reused: boolean[] = [];
    const server = createHttps({ key: with_.key, cert: with_.cert, honorCipherOrder: false }, (_, response) =>
      response.end('in'),
    );
    server.on('secureConnection', (socket) => reused.push(socket.isSessionReused()));
    const transport = open(`https://127.0.0.1:${await listen(server)}`, options);
    const ask = async () => (await readAll(await transport.request({ method: 'GET', target: '/', headers: secret }))).toString();
    return { transport, ask, server, reused };
  }

  it('agrees on TLS 1.3, AES-128 and the hybrid group with another Hawser', async () => {
    const { transport, ask } = await secure({ fingerprint: certificate.fingerprint });
    assert.equal(await ask(), 'in');
    assert.deepEqual(transport.info().tls, {
      version: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      group: 'X25519MLKEM768',
      fingerprint: certificate.fingerprint,
    });
    assert.equal(transport.info().transport, 'https');
  });

  it('accepts the pinned certificate, however its fingerprint is written', async () => {
    const colons = certificate.fingerprint.toUpperCase().replace(/..(?=.)/g, '$&:');
    const { ask } = await secure({ fingerprint: colons });
    assert.equal(await ask(), 'in');
    assert.throws(() => createHttpTransport({ url: 'https://a', fingerprint: 'abc' }), { code: 'request_invalid' });
  });

  it('says nothing to a server whose certificate is not the pinned one', async () => {
    const { url, heard, allClosed } = await eavesdropper();
    const pinned = selfSigned().fingerprint;
    const error = await refusalOf(
      open(url, { fingerprint: pinned }).request({
        method: 'PUT',
        target: '/secret',
        headers: secret,
        body: Buffer.from('body'),
      }),
    );
    assert.equal(error.code, 'certificate_changed');
    assert.ok(error.message.includes(pinned) && error.message.includes(certificate.fingerprint));
    await allClosed();
    assert.equal(Buffer.concat(heard).length, 0);
  });

  it('says nothing to a server that it cannot verify, and tells about hawser login', async () => {
    const { url, heard, allClosed } = await eavesdropper();
    const error = await refusalOf(open(url).request({ method: 'GET', target: '/', headers: secret }));
    assert.equal(error.code, 'certificate_untrusted');
    assert.match(error.message, /hawser login/);
    await allClosed();
    assert.equal(Buffer.concat(heard).length, 0);
  });

  it('accepts what the given authority signed, for its name only', async () => {
    const { ask } = await secure({ caCert: certificate.cert });
    assert.equal(await ask(), 'in');
    const other = selfSigned('elsewhere.example');
    const elsewhere = await secure({ caCert: other.cert }, other);
    const error = await refusalOf(elsewhere.ask());
    assert.equal(error.code, 'certificate_untrusted');
    assert.match(error.message, /another name/);
  });

  it('accepts anything when told to', async () => {
    const { ask } = await secure({ insecure: true });
    assert.equal(await ask(), 'in');
  });

  it('resumes the session on the next connection, and still checks the pin', async () => {
    const { transport, ask, reused, server } = await secure({ fingerprint: certificate.fingerprint });
    await ask();
    server.closeAllConnections();
    await ask();
    assert.deepEqual(reused, [false, true]);
    assert.equal(transport.info().tls?.fingerprint, certificate.fingerprint);
  });

  it('notices a certificate that changes between two connections', async () => {
    const { ask, server } = await secure({ fingerprint: certificate.fingerprint });
    await ask();
    const other = selfSigned();
    server.setSecureContext({ key: other.key, cert: other.cert });
    server.closeAllConnections();
    assert.equal((await refusalOf(ask())).code, 'certificate_changed');
  });
});
