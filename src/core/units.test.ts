import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatBytes, formatDuration, formatRate, parseDurationSeconds, parseRate, parseSize } from './units.ts';

test('sizes are read with binary and decimal units', () => {
  const sizes: [string, number][] = [
    ['0', 0],
    ['4096', 4096],
    ['10B', 10],
    ['64k', 65536],
    ['64K', 65536],
    ['64KiB', 65536],
    ['64 kB', 64000],
    ['64KB', 64000],
    ['1.5M', 1572864],
    ['16MiB', 16777216],
    ['2GB', 2e9],
    ['1T', 2 ** 40],
    [' 1 TiB ', 2 ** 40],
  ];
  for (const [text, bytes] of sizes) assert.equal(parseSize(text), bytes, text);
});

test('what is no size is refused by name', () => {
  for (const text of ['', 'K', '-1', '1e3', '1.', '.5', '1KiBs', '10iB', '1X', '0x10', '9999999T', 'NaN', '1 2', '１']) {
    assert.throws(() => parseSize(text), { code: 'usage', value: text }, text);
  }
});

test('rates are read in bytes and in bits', () => {
  const rates: [string, number][] = [
    ['5MB/s', 5e6],
    ['5MBps', 5e6],
    ['1MiB/s', 1048576],
    ['500k', 512000],
    ['100', 100],
    ['10mbit', 1_250_000],
    ['10Mbit/s', 1_250_000],
    ['10Mbps', 1_250_000],
    ['800 kbit', 100_000],
    ['2.5gbit', 312_500_000],
    ['8bit', 1],
  ];
  for (const [text, rate] of rates) assert.equal(parseRate(text), rate, text);
  for (const text of ['', '0', '0mbit', 'fast', '10mbit/h', '-5MB/s', '/s', '1MB/s/s']) {
    assert.throws(() => parseRate(text), { code: 'usage', value: text }, text);
  }
});

test('durations are read', () => {
  for (const [text, seconds] of [
    ['90', 90],
    ['90s', 90],
    ['1h30m', 5400],
    ['7d', 604800],
    ['2w', 1209600],
    ['0.5h', 1800],
  ] as const) {
    assert.equal(parseDurationSeconds(text), seconds, text);
  }
  for (const text of ['', '0', 's', '1y', '1h 30', '-1d', '1.5']) {
    assert.throws(() => parseDurationSeconds(text), { code: 'usage', value: text }, text);
  }
});

test('sizes are written with binary units, rates with decimal ones', () => {
  assert.equal(formatBytes(0), '0 B');
  assert.equal(formatBytes(1023), '1023 B');
  assert.equal(formatBytes(1024), '1.0 KiB');
  assert.equal(formatBytes(1024 * 1024 - 1), '1.0 MiB');
  assert.equal(formatBytes(1.4 * 2 ** 30), '1.4 GiB');
  assert.equal(formatBytes(5 * 2 ** 60), '5120.0 PiB');
  assert.equal(formatRate(12_345_678), '12.3 MB/s');
  assert.equal(formatRate(999.99), '1.0 kB/s');
  assert.equal(formatRate(Number.NaN), '?');
});

test('durations are written in two units at most', () => {
  for (const [ms, text] of [
    [0, '0.0 s'],
    [440, '0.4 s'],
    [9960, '10 s'],
    [59_400, '59 s'],
    [59_600, '1 min 00 s'],
    [185_000, '3 min 05 s'],
    [7_380_000, '2 h 03 min'],
    [4 * 86_400_000 + 7 * 3_600_000, '4 d 07 h'],
    [-1, '?'],
    [Number.POSITIVE_INFINITY, '?'],
  ] as const) {
    assert.equal(formatDuration(ms), text);
  }
});
