import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { after, describe, it } from 'node:test';
import { type PeerAddress, peerAddress } from './address.ts';
import { linuxSockets, NativePoller } from './linux-sockets.ts';
import { bufferHint, type DatagramPort, OutgoingBatch, type PortOptions } from './port.ts';
import { openDgramPort } from './port-dgram.ts';
import { openLinuxPort } from './port-linux.ts';

const nowUs = (): number => performance.now() * 1000;
const sockets = linuxSockets();
const noCalls = sockets === null && 'the system calls cannot be made here';

interface Opened {
  readonly port: DatagramPort;
  readonly errors: EventEmitter;
  /** Resolves with datagrams as "first byte:length", in order. */
  receive(count: number): Promise<string[]>;
}

const ways: [string, string | false, (options: PortOptions) => Promise<DatagramPort>][] = [
  ['node:dgram', false, openDgramPort],
  ['system calls', noCalls, async (options) => openLinuxPort(options) as DatagramPort],
  [
    'system calls without segmentation',
    noCalls,
    async (options) => openLinuxPort({ ...options, segmentation: false }) as DatagramPort,
  ],
];

for (const [name, skip, open] of ways) {
  describe(`UDP by ${name}`, { skip }, () => {
    const opened: DatagramPort[] = [];
    after(() => {
      for (const port of opened) port.close();
    });

    async function openOne(options: Partial<PortOptions> = {}): Promise<Opened> {
      const events = new EventEmitter();
      const errors = new EventEmitter();
      const port = await open({
        host: '127.0.0.1',
        port: 0,
        nowUs,
        onReadable: () => events.emit('readable'),
        onError: (code, address) => errors.emit('refused', code, address),
        ...options,
      });
      opened.push(port);
      const poller = sockets && port.fd >= 0 ? new NativePoller(sockets) : null;
      poller?.add(port.fd);
      return {
        port,
        errors,
        async receive(count) {
          const got: string[] = [];
          while (got.length < count) {
            const handled = port.receive(64, ({ memory, at, bytes }) => got.push(`${memory.bytes[at]}:${bytes}`));
            if (handled > 0) continue;
            if (poller) poller.wait(1e6, true);
            else await once(events, 'readable');
          }
          return got;
        },
      };
    }

    function fill(batch: OutgoingBatch, from: DatagramPort, to: PeerAddress, sizes: readonly number[]): void {
      for (const bytes of sizes) {
        batch.packets[batch.count]!.fill(batch.count, 0, bytes);
        batch.add(from, to, bytes);
      }
    }

    it('carries datagrams of many sizes, each whole and in order', async () => {
      const [from, to] = [await openOne(), await openOne()];
      const sizes = [
        ...new Array<number>(60).fill(1317),
        400,
        1317,
        1317,
        1318,
        ...new Array<number>(70).fill(1317),
        1,
        30,
        30,
        30,
        29,
        1400,
      ];
      const batch = new OutgoingBatch();
      fill(batch, from.port, peerAddress('127.0.0.1', to.port.port), sizes);
      batch.flush();
      assert.deepEqual(
        await to.receive(sizes.length),
        sizes.map((bytes, i) => `${i}:${bytes}`),
      );
    });

    it('tells where each came from and when', async () => {
      const [a, b, to] = [await openOne(), await openOne(), await openOne()];
      const batch = new OutgoingBatch();
      const address = peerAddress('127.0.0.1', to.port.port);
      // The first call of anything takes its time.
      to.port.receive(1, () => {});
      const startedUs = nowUs();
      for (const from of [a, b, a]) fill(batch, from.port, address, [100]);
      batch.flush();
      const sources: number[] = [];
      const arrivals: number[] = [];
      while (sources.length < 3) {
        to.port.receive(64, ({ source, arrivedUs }) => {
          assert.equal(source.host, '127.0.0.1');
          sources.push(source.port);
          arrivals.push(arrivedUs);
        });
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.deepEqual(sources, [a.port.port, b.port.port, a.port.port]);
      assert.deepEqual(
        arrivals.toSorted((x, y) => x - y),
        arrivals,
      );
      // The clocks are compared to a few microseconds.
      assert.ok(arrivals[0]! >= startedUs - 100 && arrivals[2]! <= nowUs(), `${startedUs} ${arrivals} ${nowUs()}`);
    });

    it('sends to several addresses from one batch', async () => {
      const [from, x, y] = [await openOne(), await openOne(), await openOne()];
      const batch = new OutgoingBatch();
      const addresses = [x, y].map(({ port }) => peerAddress('127.0.0.1', port.port));
      for (let i = 0; i < 8; i++) fill(batch, from.port, addresses[i % 2]!, [500]);
      batch.flush();
      assert.deepEqual(await x.receive(4), ['0:500', '2:500', '4:500', '6:500']);
      assert.deepEqual(await y.receive(4), ['1:500', '3:500', '5:500', '7:500']);
    });

    it('says that a datagram is too large for any network, and sends what is behind it', async () => {
      const [from, to] = [await openOne(), await openOne()];
      const refused = once(from.errors, 'refused');
      const batch = new OutgoingBatch();
      const address = peerAddress('127.0.0.1', to.port.port);
      fill(batch, from.port, address, [10]);
      // A broadcast without leave is refused everywhere.
      fill(batch, from.port, peerAddress('255.255.255.255', 9), [11]);
      fill(batch, from.port, address, [12]);
      batch.flush();
      const [code, where] = await refused;
      assert.match(code, /^E[A-Z]+$/);
      assert.equal(where.host, '255.255.255.255');
      assert.deepEqual(await to.receive(2), ['0:10', '2:12']);
    });

    it('rejects with the code when the address is taken', async () => {
      const first = await openOne();
      await assert.rejects(openOne({ port: first.port.port }), { code: 'EADDRINUSE' });
      await assert.rejects(openOne({ host: '192.0.2.1' }), { code: 'EADDRNOTAVAIL' });
    });
  });
}

describe('UDP by system calls', { skip: noCalls }, () => {
  it('hears that nothing listens, and goes on', { timeout: 10_000 }, async () => {
    const closed = openLinuxPort({ host: '127.0.0.1', port: 0, nowUs, onReadable() {}, onError() {} }) as DatagramPort;
    const address = peerAddress('127.0.0.1', closed.port);
    closed.close();
    const codes: string[] = [];
    const common = { host: '127.0.0.1', port: 0, nowUs, onReadable() {} };
    const from = openLinuxPort({
      ...common,
      hearsRefusals: true,
      onError: (code, to) => codes.push(`${code} ${to?.port}`),
    }) as DatagramPort;
    const to = openLinuxPort({ ...common, onError() {} }) as DatagramPort;
    const batch = new OutgoingBatch();
    batch.add(from, address, 100);
    batch.flush();
    from.receive(10, () => {});
    batch.add(from, address, 100);
    // The refusal of the one before must not cost this one.
    batch.add(from, peerAddress('127.0.0.1', to.port), 100);
    batch.flush();
    let received = 0;
    to.receive(10, () => received++);
    assert.equal(received, 1);
    // What no call reports is looked for now and then.
    while (codes.length < 2) {
      from.receive(10, () => {});
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(codes, [`ECONNREFUSED ${address.port}`, `ECONNREFUSED ${address.port}`]);
    from.close();
    to.close();
  });
});

describe('hint about socket buffers', () => {
  it('names what is too small, and what to set', () => {
    assert.equal(bufferHint(16 << 20, 16 << 20), null);
    const hint = bufferHint(212_992, 16 << 20) as string;
    assert.match(hint, /0\.2 MiB to receive/);
    if (process.platform === 'linux') {
      assert.match(hint, /net\.core\.rmem_max=4194304/);
      assert.doesNotMatch(hint, /wmem/);
    }
  });
});
