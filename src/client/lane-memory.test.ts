import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { openLaneMemory } from './lane-memory.ts';

const root = mkdtempSync(join(tmpdir(), 'hawser-lane-memory-'));
after(() => rmSync(root, { recursive: true, force: true }));

let folders = 0;
const folder = (): string => join(root, String(folders++));
const ticket = {
  ticket: 'dGlja2V0',
  secret: 'ab'.repeat(32),
  expiresMs: 2000,
  takesReceived: true,
  endpoints: [{ host: null, port: 7420 }],
};
const clock = { ms: 1000 };
const open = (state: string, identity: unknown[] = ['https://h:1', 'token']) => openLaneMemory(state, identity, () => clock.ms);

describe('what is remembered of lanes', () => {
  it('is there for the next process, for the same server and user alone', () => {
    const state = folder();
    open(state).learn({ ...ticket, rttMs: 40, worked: true });
    open(state).learn({ reached: { bytesPerSecond: 1e6, rttMs: 40, atMs: 1000 } });
    const { known } = open(state);
    assert.deepEqual(
      [known?.ticket, known?.rttMs, known?.worked, known?.reached?.bytesPerSecond],
      [ticket.ticket, 40, true, 1e6],
    );
    assert.equal(open(state, ['https://h:1', 'another']).known, null);
  });

  it('is readable by its owner alone, and its name says nothing', () => {
    const state = folder();
    open(state).learn(ticket);
    const [name = ''] = readdirSync(join(state, 'lanes'));
    assert.match(name, /^[0-9a-f]{32}\.json$/);
    assert.equal(statSync(join(state, 'lanes', name)).mode & 0o777, 0o600);
    assert.ok(!readFileSync(join(state, 'lanes', name), 'utf8').includes('token"'));
  });

  it('is nothing without a ticket, and nothing any more when that is too old', () => {
    const state = folder();
    open(state).learn({ rttMs: 40 });
    assert.equal(open(state).known, null);
    open(state).learn(ticket);
    clock.ms = 2001;
    assert.equal(open(state).known, null);
    clock.ms = 1000;
  });

  it('can be thrown away', () => {
    const state = folder();
    const memory = open(state);
    memory.learn(ticket);
    memory.forget();
    assert.equal(memory.known, null);
    assert.deepEqual(readdirSync(join(state, 'lanes')), []);
    memory.forget();
  });

  it('can be read where an earlier version wrote it', () => {
    const state = folder();
    open(state).learn({ ...ticket, rttMs: 40 });
    const file = join(state, 'lanes', readdirSync(join(state, 'lanes'))[0]!);
    const { takesReceived: _, received: __, ...older } = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify(older));
    const { rttMs, takesReceived, received } = open(state).known ?? {};
    assert.deepEqual([rttMs, takesReceived, received], [40, false, null]);
  });

  it('is not believed when it is damaged', () => {
    const state = folder();
    open(state).learn({ ...ticket, rttMs: 40 });
    const file = join(state, 'lanes', readdirSync(join(state, 'lanes'))[0]!);
    const whole = JSON.parse(readFileSync(file, 'utf8'));
    const damages = [
      { secret: 'short' },
      { endpoints: [] },
      { endpoints: [{ host: 5, port: 1 }] },
      { rttMs: -1 },
      { version: 2 },
      { ticket: 7 },
    ];
    const rate = { bytesPerSecond: 0, rttMs: 1, atMs: 1 };
    for (const damage of [...damages, { takesReceived: 1 }, { reached: rate }, { received: rate }]) {
      writeFileSync(file, JSON.stringify({ ...whole, ...damage }));
      assert.equal(open(state).known, null, JSON.stringify(damage));
    }
    writeFileSync(file, '{"version":1,');
    assert.equal(open(state).known, null);
  });

  it('is no failure where nothing can be written', () => {
    const state = folder();
    writeFileSync(state, 'a file is in the way');
    const memory = open(state);
    memory.learn(ticket);
    assert.equal(memory.known?.ticket, ticket.ticket, 'it is known as long as the process lasts');
    memory.forget();
  });
});
