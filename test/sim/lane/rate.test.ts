/** Rate control on some of the networks it is judged on, one seed each; `npm run sim:lane` has all of them, with as many as one likes. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { CASES, type Case, type Metric, metric } from './rate-cases.ts';
import { runScenario } from './rate-scenario.ts';

const CHOSEN: { readonly [group: string]: RegExp } = {
  single: /^rtt (20|200) |^rtt 600 loss 10/,
  burst: /^rtt 200 loss (10|30) .*bursts/,
  rates: /^[12] Mbit.*loss (0|30) %/,
  shallow: /^buffer 5 /,
  jitter: /^jitter (10|30) ms loss (0|10) %/,
  odd: /policer.*loss 10|^CoDel$|^reordering|^LTE|^Wi-Fi|reverse 1 Mbit/,
  own: /^2 lanes rtt 20 and 200 loss 10 %/,
  many: /loss (0|10) %/,
};

for (const [group, pattern] of Object.entries(CHOSEN)) {
  const chosen = (CASES[group] as readonly Case[]).filter(({ name }) => pattern.test(name));
  for (const { name, scenario, least = {}, most = {} } of chosen) {
    test(name, () => {
      const outcome = runScenario({ ...scenario, seed: 1 });
      for (const [what, bound] of Object.entries(least)) {
        const value = metric(what as Metric, outcome, scenario);
        assert.ok(value >= bound, `${what} ${value}, at least ${bound} is asked`);
      }
      for (const [what, bound] of Object.entries(most)) {
        const value = metric(what as Metric, outcome, scenario);
        assert.ok(value <= bound, `${what} ${value}, at most ${bound} is asked`);
      }
    });
  }
}
