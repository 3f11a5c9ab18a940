import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect as connectHttp2, constants, createServer as createHttp2 } from 'node:http2';
import { type AddressInfo, connect } from 'node:net';
import { describe, it } from 'node:test';
import { readWhole, requestBody } from './request-body.ts';

const code = (expected: string) => (error: unknown) => (error as { code?: string }).code === expected;

describe('a request body', () => {
  it('is not whole when an HTTP/2 stream was reset before anybody read it', async (t) => {
    const read = Promise.withResolvers<Buffer>();
    const server = createHttp2((request, response) => {
      // Read only after the reset has arrived: the request then says that it ended.
      request.once('aborted', () => {
        setImmediate(() => {
          const pair = [request, response] as unknown as [IncomingMessage, ServerResponse];
          read.resolve(readWhole(requestBody(...pair, { idleMs: 5000 })));
        });
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    t.after(() => server.close());
    const session = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    t.after(() => session.destroy());
    const stream = session.request({ ':method': 'PUT', ':path': '/', 'content-length': 100_000 });
    stream.on('error', () => undefined);
    stream.write(Buffer.alloc(5000), () => stream.close(constants.NGHTTP2_CANCEL));
    await assert.rejects(read.promise, code('body_incomplete'));
  });

  it('hands out what had arrived before it says that the connection broke', async (t) => {
    const outcome = Promise.withResolvers<{ bytes: number; error: unknown }>();
    const server = createServer(async (request, response) => {
      let bytes = 0;
      try {
        for await (const piece of requestBody(request, response, { idleMs: 5000 })) {
          bytes += piece.length;
          // The connection breaks while the reader is busy with its first piece.
          socket.destroy();
          await new Promise((resolve) => request.once('close', resolve));
        }
        outcome.resolve({ bytes, error: null });
      } catch (error) {
        outcome.resolve({ bytes, error });
      }
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    t.after(() => server.close());
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n0123456789');
    const { bytes, error } = await outcome.promise;
    assert.equal(bytes, 10);
    assert.ok(code('body_incomplete')(error));
  });
});
