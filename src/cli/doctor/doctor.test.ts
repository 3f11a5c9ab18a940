import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseTcpCounters, retransmitShare } from './machine.ts';
import { type Measurements, verdict } from './verdict.ts';

const good: Measurements = {
  rttMinMs: 5,
  rttMedianMs: 6,
  sendBytesPerSecond: 10e6,
  receiveBytesPerSecond: 12e6,
  retransmitShare: 0,
  hashBytesPerSecond: 5e9,
  diskBytesPerSecond: 500e6,
  hasLane: true,
};
const first = (change: Partial<Measurements>) => verdict({ ...good, ...change })[0] ?? '';

describe('what the doctor concludes', () => {
  it('names the network when nothing else stands out', () => assert.match(first({}), /10\.0 MB\/s up and 12\.0 MB\/s down/));
  it('names the disk', () => assert.match(first({ diskBytesPerSecond: 5e6 }), /disk .* limits downloads/));
  it('does not blame a disk that takes what comes down', () =>
    assert.match(first({ sendBytesPerSecond: 200e6, receiveBytesPerSecond: 100e6, diskBytesPerSecond: 150e6 }), /Nothing/));
  it('sends whoever has no lane on a lossy link to the UDP port', () => {
    const lossy = { retransmitShare: 0.02, rttMinMs: 40 };
    assert.match(first({ ...lossy, hasLane: false }), /open the UDP port/);
    assert.doesNotMatch(first(lossy), /UDP/);
  });
  it('names the processor', () => assert.match(first({ hashBytesPerSecond: 5e6 }), /processor limits/));
  it('names loss, as an estimate', () => assert.match(first({ retransmitShare: 0.02, rttMinMs: 40 }), /estimated 2\.0 %/));
  it('does not call loss what a local network resends', () =>
    assert.match(first({ retransmitShare: 0.02, rttMinMs: 1 }), /Nothing/));
  it('names a long way', () => assert.match(first({ rttMinMs: 600, rttMedianMs: 610 }), /long \(600 ms\)/));
  it('names a full queue', () => assert.match(first({ rttMinMs: 20, rttMedianMs: 200 }), /swings between 20 and 200 ms/));
});

describe('the estimate of loss', () => {
  const snmp = (sent: number, again: number) =>
    `Ip: A B\nIp: 1 2\nTcp: RtoAlgorithm InSegs OutSegs RetransSegs InErrs\nTcp: 1 77 ${sent} ${again} 0\nUdp: X\nUdp: 1\n`;

  it('reads what Linux counts', () => {
    assert.deepEqual(parseTcpCounters(snmp(1000, 7)), { sent: 1000, retransmitted: 7 });
    for (const text of ['', 'Tcp: OutSegs\n', 'Tcp: OutSegs RetransSegs\nTcp: x y\n']) assert.equal(parseTcpCounters(text), null);
  });

  it('is a share between 0 and 1, or unknown', () => {
    const counters = (sent: number, retransmitted: number) => ({ sent, retransmitted });
    assert.equal(retransmitShare(counters(0, 0), counters(980, 20)), 0.02);
    assert.equal(retransmitShare(counters(0, 0), counters(99, 1)), null);
    assert.equal(retransmitShare(counters(5, 5), counters(500, 0)), null);
    assert.equal(retransmitShare(null, counters(1, 1)), null);
  });
});
