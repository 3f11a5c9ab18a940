import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { laneLines } from './lane-text.ts';
import { lane, lanePath } from './test-command-line.ts';

describe('the paths of lanes', () => {
  it('are aligned, and of each lane the direction is shown in which it carries more', () => {
    const down = lane({ id: 'bbbbbbbbbb', paths: [lanePath({ sentBytes: 9_000_000, receivedBytes: 10, state: 'degraded' })] });
    assert.deepEqual(laneLines([lane(), down], 200), [
      'LANE      CLIENT            STATE     WAY      RTT  LOSS      RATE    BYTES',
      'aaaaaaaa  192.0.2.7:40001   active    up     12 ms  1.0%  2.0 MB/s  3.8 MiB',
      'aaaaaaaa  192.0.2.99:40002  failed    up    250 ms  0.0%     0 B/s      0 B',
      'bbbbbbbb  192.0.2.7:40001   degraded  down   12 ms  2.0%  1.0 MB/s  8.6 MiB',
    ]);
  });

  it('name their token where there are several', () => {
    assert.match(laneLines([lane(), lane({ owner: 'other' })], 200).join('\n'), /TOKEN.* owner .* other /s);
  });

  it('fit into any width, with state and address to the last', () => {
    for (let columns = 90; columns > 0; columns--)
      for (const line of laneLines([lane(), lane({ owner: 'other' })], columns)) assert.ok(line.length <= columns, line);
    assert.deepEqual(laneLines([lane()], 50), [
      'CLIENT            STATE      RTT  LOSS      RATE',
      '192.0.2.7:40001   active   12 ms  1.0%  2.0 MB/s',
      '192.0.2.99:40002  failed  250 ms  0.0%     0 B/s',
    ]);
    assert.match(laneLines([lane()], 24)[1] as string, /^192\.0\.2\./);
  });

  it('are not there before anything came, and cannot move the cursor', () => {
    assert.deepEqual(laneLines([lane({ paths: [] })], 80), []);
    const [, line] = laneLines([lane({ paths: [lanePath({ address: null, state: '\x1b[2J' })] })], 80);
    assert.match(line as string, /path 0 +\\x1b\[2J/);
  });
});
