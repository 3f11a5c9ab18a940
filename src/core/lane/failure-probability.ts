/**
 * How likely a coding block is not to be whole when everything in flight for it has arrived or not. One inequality over this
 * number decides between waiting, sending a lost symbol again, and sending repair ahead of need (docs/design/lane.md).
 */

/**
 * @param inFlight symbols of the block sent and neither acknowledged nor held lost
 * @param need symbols that the receiver still lacks
 * @param loss probability that a packet is lost, 0 to below 1
 * @param burst mean length of a run of losses, at least 1 (1: independent)
 * @param sigma how far `loss` may be from the truth, as a standard deviation
 */
export function failureProbability(inFlight: number, need: number, loss: number, burst: number, sigma = 0): number {
  if (need <= 0) return 0;
  if (inFlight < need) return 1;
  if (loss <= 0) return 0;
  // The variance of a sum of losses that come in runs of mean length b is (2b - 1) times that of independent ones. What is not
  // known of the loss is the same for all packets, so that it does not average out.
  const chance = inFlight * loss * (1 - loss) * (2 * burst - 1);
  const unknown = (inFlight * sigma) ** 2;
  if (inFlight <= EXACT_BELOW && burst < INDEPENDENT_BELOW && unknown < chance / 4)
    return binomialBelow(inFlight, need, 1 - loss);
  const variance = chance + unknown;
  return normalBelow((need - 0.5 - inFlight * (1 - loss)) / Math.sqrt(variance));
}

/** P[Binomial(n, success) < r]. */
function binomialBelow(n: number, r: number, success: number): number {
  if (success <= 0) return 1;
  if (success >= 1) return 0;
  // From the term for 0 upwards; n is at most 64, so that nothing underflows for the losses that matter.
  let term = (1 - success) ** n;
  if (term === 0) return normalBelow((r - 0.5 - n * success) / Math.sqrt(n * success * (1 - success)));
  let sum = term;
  const odds = success / (1 - success);
  for (let i = 1; i < r; i++) {
    term *= ((n - i + 1) / i) * odds;
    sum += term;
  }
  return Math.min(1, sum);
}

/** The standard normal distribution function, by Abramowitz and Stegun 7.1.26: an error of at most 1.5e-7. */
function normalBelow(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * x);
  const polynomial = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  const tail = 0.5 * polynomial * Math.exp(-x * x);
  return z < 0 ? tail : 1 - tail;
}

const EXACT_BELOW = 64;
const INDEPENDENT_BELOW = 1.5;
