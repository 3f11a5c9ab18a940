import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEngine, WRITER } from './fixture.ts';

test('what stores many files gets ready when a put of several begins, and not for one file or for what is read', async (context) => {
  let times = 0;
  const { engine } = await openEngine(context, { onManyFiles: () => times++ });
  const begin = { source: 's', destination: '/d' };
  await engine.createUpload(WRITER, { path: '/one', size: 10, begin });
  await engine.createTransfer(WRITER, { kind: 'download', ...begin });
  assert.equal(times, 0);
  await engine.createTransfer(WRITER, { kind: 'upload', ...begin });
  assert.equal(times, 1);
});
