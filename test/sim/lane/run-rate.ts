/**
 * Rate control over many seeds: `npm run sim:lane -- GROUPS SEEDS FIRST` (single,own 5 1). Prints a line a case, with medians
 * and, for efficiency, the least; what misses its mark is marked. `npm run sim:lane -- log NAME SEED` prints every decision.
 */
import { CASES, type Case, type Metric, metric } from './rate-cases.ts';
import { type Outcome, runScenario } from './rate-scenario.ts';

const [groups = 'single', seeds = '3', first = '1'] = process.argv.slice(2);
if (groups === 'log') printDecisions(seeds, Number(first));
else for (const name of groups === 'all' ? Object.keys(CASES) : groups.split(',')) runGroup(name);

function runGroup(name: string): void {
  const cases = CASES[name];
  if (!cases) throw new Error(`no group ${name}: there are ${Object.keys(CASES).join(', ')}`);
  console.log(`# ${name}`);
  for (const one of cases) console.log(line(one));
}

function line(one: Case): string {
  const started = process.cpuUsage();
  const outcomes = Array.from({ length: Number(seeds) }, (_, i) => runScenario({ ...one.scenario, seed: Number(first) + i }));
  const spent = process.cpuUsage(started);
  const median = (of: (outcome: Outcome) => number): number => {
    const values = outcomes.map(of).sort((a, b) => a - b);
    return values[values.length >> 1] ?? Number.NaN;
  };
  const missed = [
    ...Object.entries(one.least ?? {}).filter(([name, bound]) => median((o) => metric(name as Metric, o, one.scenario)) < bound),
    ...Object.entries(one.most ?? {}).filter(([name, bound]) => median((o) => metric(name as Metric, o, one.scenario)) > bound),
  ].map(([name, bound]) => `${name} ${bound}`);
  const effs = outcomes.map((o) => o.efficiency);
  const flows = one.scenario.flows?.length ?? 1;
  const shares =
    flows > 1
      ? ` ${Array.from({ length: flows }, (_, i) => median((o) => o.mbit[i]!).toFixed(1)).join('/')} J ${median((o) => o.jain).toFixed(3)} (${Math.min(...outcomes.map((o) => o.jain)).toFixed(2)})`
      : '';
  return (
    `${one.name.padEnd(44)} eff ${median((o) => o.efficiency).toFixed(3)} (${Math.min(...effs).toFixed(3)})${shares}` +
    ` queue ${median((o) => o.queueP50Ms).toFixed(1)}/${median((o) => o.queueP95Ms).toFixed(1)} start ${median((o) => o.startPeakMs).toFixed(0)} ms` +
    ` t90 ${median((o) => metric('t90Rtt', o, one.scenario)).toFixed(1)} rtt drops ${(100 * median((o) => o.dropRate)).toFixed(2)} %` +
    ` ${((spent.user + spent.system) / 1e6).toFixed(1)} s${missed.length > 0 ? `  MISSED ${missed.join(', ')}` : ''}`
  );
}

function printDecisions(name: string, seed: number): void {
  const one = Object.values(CASES)
    .flat()
    .find((each) => each.name === name);
  if (!one) throw new Error(`no case ${name}`);
  const outcome = runScenario({ ...one.scenario, seed, decisionLog: (text) => console.log(text) });
  console.log(outcome.series.map((each) => each.map((x) => x.toFixed(0)).join(' ')).join('\n'), outcome.efficiency);
}
