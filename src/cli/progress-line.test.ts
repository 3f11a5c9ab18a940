import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cellsOf } from './printable.ts';
import { barLine, type ProgressEvent, percentOf, plainLine } from './progress-line.ts';

const event: ProgressEvent = {
  type: 'progress',
  transfer: 't1',
  bytesUnderway: 0,
  bytesDone: 420 * 1024 * 1024,
  bytesTotal: 1000 * 1024 * 1024,
  filesDone: 1,
  filesTotal: 3,
  totalKnown: true,
  bytesPerSecond: 11_200_000,
  etaMs: 83_000,
  path: { transport: 'https', remote: 'h:1', httpVersion: '1.1', rttMs: 1 },
  streams: 4,
  chunkBytes: 1024 * 1024,
  current: 'photos/footage.mxf',
};

describe('the progress bar', () => {
  it('counts what is on its way, and does not take it for verified', () => {
    const underway = { ...event, bytesUnderway: 100 * 1024 * 1024 };
    assert.match(barLine(underway, null, 140, false), /^ 52%.* {2}520\.0 MiB of 1000/);
    assert.equal(percentOf({ ...event, bytesUnderway: event.bytesTotal - event.bytesDone, filesDone: 3 }), 99);
  });

  it('shows percent, bar, bytes, speed, time left, files, path and name', () => {
    assert.equal(
      barLine(event, null, 140, false),
      ' 42%  [============>                 ]  420.0 MiB of 1000.0 MiB  11.2 MB/s  ETA 1 min 23 s  1/3 files  https  photos/footage.mxf',
    );
  });

  it('shows the reason of a retry in place of the name', () => {
    const line = barLine(event, 'retry in 2.0 s: connection refused', 140, false);
    assert.match(line, /retry in 2\.0 s: connection refused$/);
    assert.doesNotMatch(line, /footage/);
  });

  it('fits every width, with any name', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 250 }),
        fc.string({ unit: 'grapheme' }),
        fc.boolean(),
        (columns, current, verbose) => {
          const line = barLine({ ...event, current }, null, columns, verbose);
          assert.ok(cellsOf(line) <= Math.max(columns - 1, 1), `${columns}: ${line}`);
        },
      ),
    );
  });

  it('leaves out the name, then the bar, then facts from the right', () => {
    assert.doesNotMatch(barLine(event, null, 80, false), /footage/);
    assert.match(barLine(event, null, 40, false), /^ 42% {2}420\.0 MiB of 1000\.0 MiB/);
    assert.match(barLine(event, null, 8, false), /^ 42%/);
  });

  it('says 100 % only when everything is there', () => {
    assert.equal(percentOf({ ...event, bytesDone: event.bytesTotal - 1 }), 99);
    const whole = { ...event, bytesDone: event.bytesTotal, filesDone: event.filesTotal };
    assert.equal(percentOf(whole), 100);
    assert.equal(percentOf({ ...whole, filesDone: 2 }), 99, 'the last one is not verified');
    assert.equal(percentOf({ ...event, bytesTotal: 0, bytesDone: 0, filesTotal: 2, filesDone: 1 }), 0);
    assert.equal(percentOf({ ...event, bytesTotal: 0, bytesDone: 0, filesTotal: 2, filesDone: 2 }), 100);
    assert.equal(percentOf({ ...event, totalKnown: false }), null);
  });
});

describe('the line for logs', () => {
  it('has the facts and no bar', () => {
    assert.equal(plainLine(event, false), ' 42%  420.0 MiB of 1000.0 MiB  11.2 MB/s  ETA 1 min 23 s  1/3 files  https');
    assert.match(plainLine(event, true), /https x4, chunks of 1\.0 MiB$/);
    assert.match(plainLine({ ...event, totalKnown: false, etaMs: null }, false), /^ {2}\?% {2}420\.0 MiB of 1000\.0 MiB\+/);
  });
});
