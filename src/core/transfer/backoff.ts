/** How long to wait before trying again. */

/**
 * Full jitter: anything from 0 to baseMs * 2^attempt, at most capMs, so that clients whom one outage stopped do not come back
 * all at once (AWS Architecture Blog, "Exponential Backoff And Jitter"). `attempt` counts from 0; `random01` is in [0, 1).
 */
export function backoffMs(attempt: number, random01: number, { baseMs = 100, capMs = 30_000 } = {}): number {
  const ceilingMs = Math.min(capMs, baseMs * 2 ** Math.max(0, attempt));
  return Math.floor(random01 * ceilingMs);
}
