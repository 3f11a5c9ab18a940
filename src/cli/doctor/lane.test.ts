import assert from 'node:assert/strict';
import { it } from 'node:test';
import { HawserError } from '../../core/errors.ts';
import { examineLane } from './lane.ts';

const path = { transport: 'lane', remote: 'host:1', httpVersion: '1.1', rttMs: 20 };
const rates = { rttMs: { min: 1, median: 1, samples: 1 }, sendBytesPerSecond: 5e6, receiveBytesPerSecond: 6e6 };

it('tells both speeds of the lane', async () => {
  const finding = await examineLane({ probe: async () => rates, info: () => path });
  assert.equal(finding.state, 'ok');
  assert.match(finding.text, /5\.0 MB\/s up, 6\.0 MB\/s down/);
});

it('says why there is none, and that HTTPS does it', async () => {
  const refused = new HawserError('lane_unreachable', 'host:1 gave no answer over UDP within 5.0 s.');
  const finding = await examineLane({ probe: () => Promise.reject(refused), info: () => path });
  assert.equal(finding.state, 'warning');
  assert.match(finding.text, /no answer over UDP.*HTTPS is used instead/);
});

it('says what the sockets here lack for a fast lane', async () => {
  const laneHint = 'The system gives a UDP socket buffers of 0.2 MiB; as root: sysctl -w net.core.rmem_max=4194304';
  const finding = await examineLane({ probe: async () => rates, info: () => ({ ...path, laneHint }) });
  assert.equal(finding.state, 'warning');
  assert.match(finding.text, /6\.0 MB\/s down\. The system gives.*sysctl -w net\.core\.rmem_max=4194304$/);
});
