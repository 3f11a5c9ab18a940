/**
 * Random networks, machines and streams, a seed each: `npm run sim:lane:safety -- FIRST LAST`. Every step is checked, and what
 * fails is printed with its seed; the same seed fails again.
 */
import { randomCase } from './random-case.ts';

const [first = '1', last = '500'] = process.argv.slice(2);
let failed = 0;
let longestS = 0;
for (let seed = Number(first); seed <= Number(last); seed++) {
  try {
    const checked = randomCase(seed);
    checked.finish(600e6);
    longestS = Math.max(longestS, checked.nowUs / 1e6);
  } catch (error) {
    failed++;
    console.log(`seed ${seed}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }
}
console.log(`seeds ${first} to ${last}: ${failed} failed, the longest took ${longestS.toFixed(1)} s of virtual time`);
process.exitCode = failed > 0 ? 1 : 0;
