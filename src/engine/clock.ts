/** Time and chance as the engine sees them, so that a simulation can hand in its own. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  sleep(ms: number): Promise<void>;
  /** Calls back later, unless the function that comes back is called first. Keeps no process alive. */
  after(ms: number, callback: () => void): () => void;
}

/** The work's result, or null when it takes longer than `ms`. */
export async function within<T>(clock: Clock, ms: number, work: Promise<T>): Promise<T | null> {
  const late = Promise.withResolvers<null>();
  const cancel = clock.after(ms, () => late.resolve(null));
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    cancel();
  }
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms).unref();
    return () => clearTimeout(timer);
  },
};

/** `bytes` unpredictable bytes. */
export type RandomBytes = (bytes: number) => Uint8Array;

/** An identifier of `length` characters of lower-case base32 (RFC 4648, section 6), 5 random bits each. */
export function randomId(random: RandomBytes, length: number): string {
  let id = '';
  for (const byte of random(length)) id += ALPHABET[byte & 31];
  return id;
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
