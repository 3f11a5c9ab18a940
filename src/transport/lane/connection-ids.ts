/**
 * Whose packet it is: 64-bit connection ids, in two halves, to lanes and paths. The ids are derived from secrets, so nobody can
 * make many that share a half; what is not found is dropped without an answer.
 */
export interface ConnectionIdEntry<T> {
  readonly owner: T;
  readonly pathId: number;
}

export class ConnectionIds<T> {
  private readonly byHigh = new Map<number, Entry<T>>();

  add(high: number, low: number, owner: T, pathId: number): void {
    this.byHigh.set(high, { low, owner, pathId, next: this.byHigh.get(high) });
  }

  find(high: number, low: number): ConnectionIdEntry<T> | null {
    let entry = this.byHigh.get(high);
    while (entry && entry.low !== low) entry = entry.next;
    return entry ?? null;
  }

  remove(high: number, low: number): void {
    const kept: Entry<T>[] = [];
    for (let entry = this.byHigh.get(high); entry; entry = entry.next) if (entry.low !== low) kept.push(entry);
    this.byHigh.delete(high);
    for (const { owner, pathId, low } of kept) this.add(high, low, owner, pathId);
  }
}

interface Entry<T> extends ConnectionIdEntry<T> {
  readonly low: number;
  readonly next: Entry<T> | undefined;
}
