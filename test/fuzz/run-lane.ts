/** More inputs than the test takes: `npm run fuzz:lane -- FIRST COUNT`. Stops at the first that fails and names its seed. */
import { fuzzLaneDecoders } from './lane-decoders.ts';

const first = Number(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 1_000_000);
const STEP = 50_000;
const sum = { inputs: 0, wellFormed: 0, frames: 0, headers: 0, symbols: 0 };
for (let done = 0; done < count; done += STEP) {
  const part = fuzzLaneDecoders(first + done, Math.min(STEP, count - done));
  for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += part[key];
}
console.log(`${sum.inputs} inputs from ${first}, ${sum.wellFormed} well-formed with ${sum.frames} frames: nothing wrong`);
