export const NO_SEQUENCE = 2n ** 64n - 1n;
const EPOCHS_REMEMBERED = 4;

export type Continuity =
  | "in_order" | "missing" | "duplicate" | "reordered" | "older" | "unnumbered" | "not_followed";

/** Sequences read, and what was found wrong with them. */
export interface Tally {
  read: number;
  missing: bigint;
  duplicates: number;
  reordered: number;
  older: number;
}

/** The sequences of one epoch: all from `floor` on and below `next` were seen, but for the holes. */
class Counter {
  floor: bigint;
  next: bigint;
  holes: [first: bigint, last: bigint][] = []; // ascending

  constructor(first: bigint) {
    this.floor = this.next = first;
  }

  /** Where a sequence stands, and how many are missing before it. */
  place(sequence: bigint): [Continuity, bigint] {
    if (sequence >= this.next) {
      const missing = this.expect(sequence - 1n);
      this.next = sequence + 1n;
      return missing > 0n ? ["missing", missing] : ["in_order", 0n];
    }
    if (sequence < this.floor) return ["older", 0n];
    const at = this.search(sequence);
    const hole = this.holes[at];
    if (!hole || hole[0] > sequence) return ["duplicate", 0n];
    const rest: [bigint, bigint][] = [[hole[0], sequence - 1n], [sequence + 1n, hole[1]]];
    this.holes.splice(at, 1, ...rest.filter(([first, last]) => first <= last));
    return ["reordered", 0n];
  }

  /** Opens a hole up to `last`. */
  expect(last: bigint): bigint {
    const missing = last + 1n - this.next;
    if (missing <= 0n) return 0n;
    this.holes.push([this.next, last]);
    this.next = last + 1n;
    return missing;
  }

  missing(): bigint {
    return this.holes.reduce((sum, [first, last]) => sum + last - first + 1n, 0n);
  }

  /** The first hole that doesn't end before the sequence. */
  private search(sequence: bigint): number {
    let low = 0;
    let high = this.holes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.holes[middle]![1] < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A shard in a lane of a topic, or a stream. Times are nanoseconds. */
export class Track {
  complete: bigint | undefined;
  private readonly epochs = new Map<bigint, Counter>();
  private retired = 0n;
  private pending: { epoch: bigint; sequence: bigint; time: bigint } | undefined;
  /** Of those missing, the ones that were given up. */
  private readonly counted: Tally = { read: 0, missing: 0n, duplicates: 0, reordered: 0, older: 0 };

  get started(): boolean {
    return this.epochs.size > 0;
  }

  get newest(): bigint {
    return [...this.epochs.keys()].reduce((one, other) => (one > other ? one : other), 0n);
  }

  get holes(): number {
    return [...this.epochs.values()].reduce((sum, counter) => sum + counter.holes.length, 0);
  }

  /** The time of the latest watermark, whatever is missing before it. */
  get latest(): bigint | undefined {
    const pending = this.pending?.time;
    if (this.complete === undefined || pending === undefined) return this.complete ?? pending;
    return pending > this.complete ? pending : this.complete;
  }

  /** Takes the next record. `whole`: the track is read from its start. */
  place(epoch: bigint, sequence: bigint, whole: boolean): [Continuity, bigint] {
    const placed = this.find(epoch, sequence, whole)?.place(sequence) ?? ["older", 0n];
    this.retire();
    this.counted.read += 1;
    if (placed[0] === "duplicate") this.counted.duplicates += 1;
    if (placed[0] === "reordered") this.counted.reordered += 1;
    if (placed[0] === "older") this.counted.older += 1;
    return placed;
  }

  /** The epoch reaches to `last`: how many of it are missing that weren't known to be. */
  expect(epoch: bigint, last: bigint): bigint {
    if (epoch === 0n || last === 0n || last === NO_SEQUENCE) return 0n;
    const missing = this.find(epoch, 1n, true)?.expect(last) ?? 0n;
    this.retire();
    return missing;
  }

  await(epoch: bigint, sequence: bigint, time: bigint): void {
    if (!this.pending || this.pending.time < time) this.pending = { epoch, sequence, time };
  }

  /** The time up to which the track has become complete, if it has. */
  advance(): bigint | undefined {
    const pending = this.pending;
    if (!pending || this.counted.missing > 0n) return undefined;
    for (const [epoch, { holes: [lowest] }] of this.epochs) {
      const before = epoch < pending.epoch;
      if (lowest && (before || (epoch === pending.epoch && lowest[0] < pending.sequence))) return undefined;
    }
    this.pending = undefined;
    if (this.complete !== undefined && this.complete >= pending.time) return undefined;
    return (this.complete = pending.time);
  }

  /** Gives up the lowest holes: what comes late for them will be older. */
  giveUp(count: number): void {
    for (const epoch of this.ascending()) {
      const counter = this.epochs.get(epoch)!;
      for (const [first, last] of counter.holes.splice(0, count)) {
        this.counted.missing += last - first + 1n;
        counter.floor = last + 1n;
        count -= 1;
      }
    }
  }

  tally(): Tally {
    const missing = [...this.epochs.values()].reduce((sum, counter) => sum + counter.missing(), 0n);
    return { ...this.counted, missing: this.counted.missing + missing };
  }

  private find(epoch: bigint, first: bigint, whole: boolean): Counter | undefined {
    let counter = this.epochs.get(epoch);
    if (!counter) {
      const begins = whole || this.retired > 0n || [...this.epochs.keys()].some((known) => known < epoch);
      if (epoch <= this.retired || (!begins && this.started)) return undefined;
      counter = new Counter(begins ? 1n : first);
      this.epochs.set(epoch, counter);
    }
    return counter;
  }

  private retire(): void {
    while (this.epochs.size > EPOCHS_REMEMBERED) {
      this.retired = this.ascending()[0]!;
      this.counted.missing += this.epochs.get(this.retired)!.missing();
      this.epochs.delete(this.retired);
    }
  }

  private ascending(): bigint[] {
    return [...this.epochs.keys()].sort((one, other) => (one < other ? -1 : 1));
  }
}
