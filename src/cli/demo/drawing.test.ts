import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cellsOf } from '../printable.ts';
import { createCanvas, type DemoState, drawDemo, plainDemoLine, sparkline } from './drawing.ts';

const state: DemoState = {
  link: 'A link that loses 30 % of the packets each way',
  phase: 'sending',
  elapsedMs: 4200,
  bytesDone: 16 * 2 ** 20,
  bytesTotal: 64 * 2 ** 20,
  limitBytesPerSecond: 8e6,
  rates: [0, 4e6, 8e6],
  losses: [0.3, 0.28],
  rttsMs: [200, 212],
  lane: { goodputBytesPerSecond: 7.6e6, lossShare: 0.3, repairShare: 0.032, againShare: 0.41, queueMs: 11 },
  transport: 'lane',
  packets: '##.#!#',
};

describe("the demo's picture", () => {
  it('shows progress, rate, loss, repair, round trip and packets', () => {
    const lines = drawDemo(state, { columns: 100, colour: false, unicode: true });
    assert.deepEqual(
      lines.map((line) => line.trimEnd()),
      [
        ' A link that loses 30 % of the packets each way',
        ' file     ██████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░   25%  16.0 MiB of 64.0 MiB  4.2 s  lane',
        ` rate     ${' '.repeat(38)}▄█  7.6 MB/s, 95% of what this link can carry`,
        ` loss     ${' '.repeat(38)}▄▄  30% lost, sent again 41%, repair 3.2%`,
        ` rtt      ${' '.repeat(38)}▇█  212 ms, 11 ms of it queue`,
        ' packets  ▪▪·▪!▪',
        '',
      ],
    );
  });

  it('has ASCII where nothing else can be shown, and colours only where they are welcome', () => {
    const ascii = drawDemo(state, { columns: 100, colour: false, unicode: false }).join('\n');
    assert.match(ascii, /^[\x20-\x7e\n]*$/);
    assert.match(ascii, / packets {2}##\.#!#/);
    const coloured = drawDemo(state, { columns: 100, colour: true, unicode: false }).join('\n');
    assert.match(coloured, /\x1b\[31m/);
    assert.equal(coloured.replaceAll(/\x1b\[\d+m/g, ''), ascii);
  });

  it('keeps its number of lines, and to the width, whatever happens', () => {
    const lane = fc.record({
      goodputBytesPerSecond: fc.double({ min: 0, max: 1e12 }),
      lossShare: fc.double({ min: 0, max: 1 }),
      repairShare: fc.double({ min: 0, max: 1 }),
      againShare: fc.double({ min: 0, max: 1 }),
      queueMs: fc.double({ min: 0, max: 1e5 }),
    });
    const anyState: fc.Arbitrary<DemoState> = fc.record({
      link: fc.string(),
      phase: fc.constantFrom('opening', 'sending', 'verifying'),
      elapsedMs: fc.double({ min: 0, max: 1e9 }),
      bytesDone: fc.nat(),
      bytesTotal: fc.nat(),
      limitBytesPerSecond: fc.double({ min: 0, max: 1e10 }),
      rates: fc.array(fc.double({ min: 0, max: 1e10 })),
      losses: fc.array(fc.double({ min: 0, max: 1 })),
      rttsMs: fc.array(fc.double({ min: 0, max: 1e5 })),
      lane: fc.option(lane),
      transport: fc.constantFrom('lane', 'https'),
      packets: fc.string({ unit: fc.constantFrom('#', '.', '!'), maxLength: 400 }),
    });
    fc.assert(
      fc.property(anyState, fc.integer({ min: 1, max: 250 }), fc.boolean(), (any, columns, unicode) => {
        const lines = drawDemo({ ...any, link: any.link.replaceAll(/[^ -~]/g, '') }, { columns, colour: false, unicode });
        assert.equal(lines.length, 7);
        for (const line of lines) assert.ok(cellsOf(line) <= Math.max(columns - 1, 1), `${cellsOf(line)} cells: "${line}"`);
        for (const line of lines) assert.doesNotMatch(line, /NaN|undefined|Infinity/);
      }),
    );
  });

  it('draws over itself', () => {
    const written: string[] = [];
    const canvas = createCanvas((text) => written.push(text));
    canvas.draw(['a', 'b']);
    canvas.draw(['c', 'd']);
    canvas.end();
    canvas.draw(['e']);
    assert.deepEqual(written, ['\ra\x1b[K\nb\x1b[K\n', '\x1b[2A\rc\x1b[K\nd\x1b[K\n', '\re\x1b[K\n']);
  });
});

describe('a sparkline', () => {
  it('ends with the newest value, blank where there is none', () => {
    assert.equal(sparkline([1, 8, 4], 8, 5, true), '  ▁█▄');
    assert.equal(sparkline([1, 2, 3, 4], 4, 2, true), '▆█');
    assert.equal(sparkline([0, 100], 8, 2, true), ' █');
    assert.equal(sparkline([1], 0, 2, false), '  ');
    assert.equal(sparkline([1], 1, 0, true), '');
  });
});

describe('the line for logs', () => {
  it('says the same without colour or cursor', () => {
    assert.equal(
      plainDemoLine(state),
      '4.2 s:  25%, 16.0 MiB of 64.0 MiB  7.6 MB/s (95% of the link)  30% lost  repair 3.2%  rtt 212 ms  by lane',
    );
    assert.equal(plainDemoLine({ ...state, phase: 'opening', lane: null, rttsMs: [] }), '4.2 s:  opening the lane …  by lane');
  });
});
