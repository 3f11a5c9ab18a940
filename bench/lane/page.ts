/** Where the lane's figures go. */
import type { Page } from '../report.ts';

export const LANE_PAGE: Page = {
  file: 'benchmarks-lane.md',
  introduction: `# The lane, measured

\`npm run bench:lane -- --write\` puts new figures here. Everything runs over [bench/netlab.c](../bench/netlab.c): two network namespaces whose packets pass through one process
that adds rate, delay, loss and a queue, so that each program runs over the real kernel. Loss is in both directions. Unless a row says otherwise a link has 100 Mbit/s and 200 ms of queue.

**The limit** of a link is rate × 1280/1345 × (1 − loss): full packets of the lane carry 1280 bytes in 1345, and a lost packet has taken its time on the link. For everybody the same,
although TCP puts 1448 bytes into 1500, so that on a clean link it can pass 100 %. **Steady share** is the speed over the middle 80 % of the bytes, as a part of the limit.
**Completion** counts everything from the start of the process on, of a client that has logged in before and remembers its last lane: the time that the link needs at least (bytes at the limit, and the way there of the last one), as a part of the time that it took.
`,
};
