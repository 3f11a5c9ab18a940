/** Records runs of blocks one after the other and says so for each, until it is killed. Started by meta.test.ts. */
import { writeSync } from 'node:fs';
import { openSqliteMeta } from '../../src/store/meta/sqlite.ts';
import { anUpload } from './meta-records.ts';

const meta = await openSqliteMeta(process.argv[2]!);
await meta.addUpload(anUpload({ id: 'u' }));
for (let first = 0; ; first += 3) {
  const digests = Buffer.alloc(64);
  digests.writeUInt32BE(first);
  await meta.recordBlocks(
    'u',
    [
      { first, digests },
      { first: first + 2, digests: digests.subarray(0, 32) },
    ],
    first,
  );
  writeSync(1, `${first}\n`);
}
