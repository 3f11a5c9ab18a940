import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TransferEvent, TransferSummary } from '../client/contract.ts';
import { createMemoryShell } from './memory-shell.ts';
import type { ProgressEvent } from './progress-line.ts';
import { createReporter, summaryLine } from './reporter.ts';

const progress: ProgressEvent = {
  type: 'progress',
  transfer: 't1',
  bytesUnderway: 0,
  bytesDone: 10,
  bytesTotal: 100,
  filesDone: 0,
  filesTotal: 1,
  totalKnown: true,
  bytesPerSecond: 5,
  etaMs: 18_000,
  path: { transport: 'https', remote: 'h', httpVersion: '1.1', rttMs: null },
  streams: 1,
  chunkBytes: 65_536,
  current: 'a',
};
const retry: TransferEvent = { type: 'notice', code: 'unreachable', message: 'connection refused', retryInMs: 2000 };
const failed: TransferEvent = { type: 'file', path: '/x\x1b[2J', size: 1, digest: null, outcome: 'failed', message: 'gone' };
const text = { quiet: false, verbose: false, dataOnStdout: false };

describe('progress on a terminal', () => {
  it('is redrawn at most ten times a second', () => {
    const shell = createMemoryShell({ terminal: true });
    const reporter = createReporter(shell, text);
    for (shell.clock.nowMs = 0; shell.clock.nowMs < 1000; shell.clock.nowMs++) reporter.handleEvent(progress);
    assert.equal(shell.err().split('\r').length - 1, 10);
    assert.equal(shell.out(), '');
  });

  it('is removed at the end', () => {
    const shell = createMemoryShell({ terminal: true });
    const reporter = createReporter(shell, text);
    reporter.handleEvent(progress);
    reporter.end();
    assert.ok(shell.err().endsWith('\r\x1b[K'));
  });

  it('has colour unless NO_COLOR is set, and no bar on a dumb terminal', () => {
    const drawn = (env: Record<string, string>) => {
      const shell = createMemoryShell({ terminal: true, env, columns: 120 });
      createReporter(shell, text).handleEvent(progress);
      return shell.err();
    };
    assert.match(drawn({}), /\x1b\[32m/);
    assert.doesNotMatch(drawn({ NO_COLOR: '1' }), /\x1b\[\d+m/);
    assert.match(drawn({ NO_COLOR: '1' }), /\[=+>/);
    assert.equal(drawn({ TERM: 'dumb' }), '');
  });

  it('shows a retry in the bar until bytes move again', () => {
    const shell = createMemoryShell({ terminal: true, columns: 150 });
    const reporter = createReporter(shell, text);
    const lastDrawn = () => shell.err().split('\r').at(-1) ?? '';
    reporter.handleEvent(progress);
    shell.clock.nowMs = 200;
    reporter.handleEvent(retry);
    assert.match(lastDrawn(), /retry in 2\.0 s: connection refused/);
    shell.clock.nowMs = 400;
    reporter.handleEvent(progress);
    assert.match(lastDrawn(), /connection refused/);
    shell.clock.nowMs = 600;
    reporter.handleEvent({ ...progress, bytesDone: 11 });
    assert.doesNotMatch(lastDrawn(), /connection refused/);
  });
});

describe('progress in a log', () => {
  it('is a line every ten seconds', () => {
    const shell = createMemoryShell();
    const reporter = createReporter(shell, text);
    for (shell.clock.nowMs = 0; shell.clock.nowMs <= 60_000; shell.clock.nowMs += 500) reporter.handleEvent(progress);
    assert.equal(shell.err().match(/\n/g)?.length, 6);
    assert.doesNotMatch(shell.err(), /[\r\x1b]/);
  });

  it('tells the same outage once in ten seconds, and other notices always', () => {
    const shell = createMemoryShell();
    const reporter = createReporter(shell, text);
    for (let stream = 0; stream < 8; stream++) reporter.handleEvent(retry);
    assert.equal(shell.err(), 'retry in 2.0 s: connection refused\n');
    for (let i = 0; i < 2; i++) reporter.handleEvent({ type: 'notice', code: 'source_changed', message: 'it changed' });
    assert.equal(shell.err().match(/it changed\n/g)?.length, 2);
  });

  it('names files with --verbose, safely', () => {
    const shell = createMemoryShell();
    createReporter(shell, { ...text, verbose: true }).handleEvent(failed);
    assert.match(shell.err(), /^failed .* \/x\\x1b\[2J: gone\n$/);
  });

  it('is silent with --quiet', () => {
    const shell = createMemoryShell({ terminal: true });
    const reporter = createReporter(shell, { ...text, quiet: true });
    for (const event of [progress, retry, failed]) reporter.handleEvent(event);
    reporter.handleTick();
    assert.equal(shell.err() + shell.out(), '');
  });
});

describe('progress as JSON', () => {
  it('is one object a line on stdout', () => {
    const shell = createMemoryShell({ argv: ['put', '--json'] });
    const reporter = createReporter(shell, text);
    for (const event of [progress, retry, failed]) reporter.handleEvent(event);
    assert.deepEqual(
      shell.events().map(({ event }) => event),
      ['progress', 'notice', 'file'],
    );
    assert.equal(shell.err(), '');
  });

  it('goes to stderr when the data goes to stdout', () => {
    const shell = createMemoryShell({ argv: ['get', '--json'] });
    createReporter(shell, { ...text, dataOnStdout: true }).handleEvent(progress);
    assert.equal(shell.out(), '');
    assert.equal(JSON.parse(shell.err()).event, 'progress');
  });
});

describe('the last line', () => {
  const summary: TransferSummary = {
    transfer: 't1',
    filesDone: 1,
    filesSkipped: 0,
    filesFailed: 0,
    bytesDone: 98_000_000,
    bytesSent: 98_000_000,
    elapsedMs: 1000,
    failures: [],
    targets: ['/in/a'],
  };

  it('says how much, how fast and where', () => {
    assert.equal(summaryLine(summary), '1 file, 93.5 MiB in 1.0 s (98.0 MB/s), verified -> /in/a');
  });

  it('does not hide what failed or was skipped', () => {
    const line = summaryLine({ ...summary, filesDone: 3, filesSkipped: 2, filesFailed: 1, targets: ['/a', '/b'] });
    assert.equal(line, '3 files, 93.5 MiB in 1.0 s (98.0 MB/s), verified -> /a and 1 more; 2 already there, 1 FAILED');
  });

  it('claims no speed when nothing had to be moved', () => {
    const skipped = { ...summary, filesDone: 0, filesSkipped: 2, bytesSent: 0 };
    assert.equal(summaryLine(skipped), 'Nothing to move: all 2 files, 93.5 MiB, already there -> /in/a');
    assert.equal(summaryLine({ ...skipped, filesSkipped: 1 }), 'Nothing to move: 1 file, 93.5 MiB, already there -> /in/a');
  });
});
