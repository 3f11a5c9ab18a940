/**
 * Which packet numbers of one number space were received: each is accepted once, and none that is too old to tell (RFC 4303
 * 3.4.3). The bits are a ring of words that are cleared whole as the largest number moves into them (the idea of RFC 6479), so
 * a jump by any distance costs at most one pass over the ring.
 */
export class ReplayWindow {
  /** The largest number accepted; -1: none yet. */
  largest = -1;
  private readonly words: Int32Array;
  private readonly wordMask: number;
  private readonly windowSize: number;

  /** `windowSize` numbers back from the largest can still be told apart, a power of two of at least 32. The ring has twice the bits. */
  constructor(windowSize: number = CONTROL_WINDOW) {
    if (windowSize < 32 || (windowSize & (windowSize - 1)) !== 0) throw new RangeError(`A window of ${windowSize} numbers`);
    this.words = new Int32Array(windowSize / 16);
    this.wordMask = this.words.length - 1;
    this.windowSize = windowSize;
  }

  /** True the first time that a number is given, and false when it was given before or is too old to tell. */
  accept(packetNumber: number): boolean {
    const word = Math.floor(packetNumber / 32);
    if (packetNumber > this.largest) this.advance(word, packetNumber);
    else if (this.isOld(packetNumber)) return false;
    const at = word & this.wordMask;
    const bit = 1 << (packetNumber % 32);
    const held = this.words[at] as number;
    if ((held & bit) !== 0) return false;
    this.words[at] = held | bit;
    return true;
  }

  /** Whether the number was accepted and is still within the window. */
  has(packetNumber: number): boolean {
    if (packetNumber > this.largest || packetNumber < 0 || this.isOld(packetNumber)) return false;
    return ((this.words[Math.floor(packetNumber / 32) & this.wordMask] as number) & (1 << (packetNumber % 32))) !== 0;
  }

  /** Too far behind the largest to say whether it was received. */
  isOld(packetNumber: number): boolean {
    return packetNumber <= this.largest - this.windowSize;
  }

  /**
   * The `count` numbers up to the largest as a bitmap, the largest first: bit i of octet i / 8. Bits behind `count` are zero.
   * `count` is neither more than the window nor than the numbers there are.
   */
  copyNewestFirst(into: Uint8Array, count: number): void {
    let word = Math.floor(this.largest / 32) & this.wordMask;
    let bit = this.largest % 32;
    let held = this.words[word] as number;
    for (let at = 0, left = count; left > 0; at++, left -= 8) {
      let octet = 0;
      for (let i = 0; i < 8 && i < left; i++) {
        octet |= ((held >>> bit) & 1) << i;
        if (bit-- === 0) {
          bit = 31;
          word = (word - 1) & this.wordMask;
          held = this.words[word] as number;
        }
      }
      into[at] = octet;
    }
  }

  private advance(word: number, packetNumber: number): void {
    const last = this.largest < 0 ? -1 : Math.floor(this.largest / 32);
    this.largest = packetNumber;
    if (word - last >= this.words.length) this.words.fill(0);
    else for (let entered = last + 1; entered <= word; entered++) this.words[entered & this.wordMask] = 0;
  }
}

/** For control packets: more than a path carries of them in ten seconds. */
const CONTROL_WINDOW = 4096;
