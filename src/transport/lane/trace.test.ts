import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { createTrace } from './trace.ts';

const folder = mkdtempSync(join(tmpdir(), 'hawser-trace-'));
after(() => rmSync(folder, { recursive: true }));
const event = (n: number) => ({ name: 'test', data: { n } });

describe('trace of a lane', () => {
  it('is written to a file as JSON text sequences, all of it', () => {
    const file = join(folder, 'all.sqlog');
    const trace = createTrace({ laneId: 'x', role: 'client', file, startedUs: 1e6 });
    for (let n = 0; n < 2000; n++) trace.add(1e6 + n * 1000, event(n));
    trace.close();
    const texts = readFileSync(file, 'utf8').split('\x1e').slice(1);
    assert.ok(texts.every((text) => text.endsWith('\n')));
    const [head, ...events] = texts.map((text) => JSON.parse(text));
    assert.equal(head.trace.common_fields.group_id, 'x');
    assert.equal(head.trace.vantage_point.type, 'client');
    assert.deepEqual(
      events,
      Array.from({ length: 2000 }, (_, n) => ({ time: n, ...event(n) })),
    );
  });

  it('keeps the last half minute in memory, and no more than that of hours', () => {
    const trace = createTrace({ laneId: 'x', role: 'server', startedUs: 0 });
    const count = 100_000;
    for (let n = 0; n < count; n++) trace.add(n * 100_000, event(n));
    const recent = trace.recent(count * 100_000).map((text) => JSON.parse(text).data.n);
    assert.deepEqual(
      recent,
      Array.from({ length: 300 }, (_, i) => count - 300 + i),
    );
  });

  it('bounds what it keeps when there is very much', () => {
    const trace = createTrace({ laneId: 'x', role: 'server', startedUs: 0 });
    for (let n = 0; n < 200_000; n++) trace.add(n, event(n));
    const recent = trace.recent(200_000);
    assert.ok(recent.length >= 20_000 && recent.length <= 40_000, `${recent.length} events`);
    assert.equal(JSON.parse(recent.at(-1)!).data.n, 199_999);
  });

  it('does without a file that cannot be written', () => {
    const trace = createTrace({ laneId: 'x', role: 'server', file: join(folder, 'no', 'such', 'folder'), startedUs: 0 });
    trace.add(0, event(1));
    trace.flush();
    trace.close();
    assert.equal(trace.recent(0).length, 1);
  });
});
