/** What a benchmark starts, it ends: programs, namespaces and files go in reverse order, also after Ctrl-C or a failure. */

type Step = () => void | Promise<void>;
const steps: Step[] = [];
let ending: Promise<void> | null = null;

/** Runs `step` at the end. Returns a function that runs it earlier, once. */
export function atEnd(step: Step): () => Promise<void> {
  steps.push(step);
  return async () => {
    const at = steps.indexOf(step);
    if (at < 0) return;
    steps.splice(at, 1);
    await step();
  };
}

/** Runs a benchmark. A reason to stop (a `Skip`) is printed as one sentence; anything else is a defect and shows where it arose. */
export async function main(run: () => Promise<void>): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => void endAll().then(() => process.exit(130)));
  }
  try {
    await run();
  } catch (error) {
    process.exitCode = 1;
    console.error(error instanceof Skip ? error.message : error);
  }
  await endAll();
}

/** This machine, as it is, cannot run something; the message says what to do. */
export class Skip extends Error {}

function endAll(): Promise<void> {
  ending ??= (async () => {
    // What is started while it ends (the run does not know yet) ends too.
    while (steps.length > 0) {
      try {
        await steps.pop()!();
      } catch (error) {
        console.error('bench: cleaning up failed:', error);
      }
    }
  })();
  return ending;
}
