/** More seeds than the test takes: `npm run sim -- FIRST COUNT`. Prints the first seed that fails, which replays as it is. */
import { simulateUploads } from './uploads.ts';

const first = Number(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 2000);
let crashes = 0;
let steps = 0;
for (let seed = first; seed < first + count; seed++) {
  const result = await simulateUploads(seed);
  crashes += result.crashes;
  steps += result.steps;
}
console.log(`${count} seeds from ${first}: ${steps} steps, ${crashes} power cuts, nothing wrong`);
