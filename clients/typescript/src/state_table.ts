import type { PublishedProgress, Record, State, StateProgress } from "./gen/asana_event_bridge/v1/record_pb.js";
import { nanoseconds } from "./time.js";

/**
 * How complete a table is, as the topic says it of itself. Unless it is `complete`, a resource that isn't in the table may exist.
 *
 * - `unknown`: nothing is known just now.
 * - `loading`: some streams weren't crawled completely yet.
 * - `complete`: what a stream showed before `upTo` is in the table, apart from the exceptions that the other fields count. `upTo` is in
 *   nanoseconds since 1970, by Asana's clock; `null`: not known yet.
 */
export type Completeness =
  | { kind: "unknown" }
  | { kind: "loading"; streams: number }
  | { kind: "complete"; upTo: bigint | null; openSourceGaps: number; suspended: number; leftOut: bigint };

/**
 * The table that the state topic is: the latest state of each resource, and how complete that is. Pass all messages of the topic to
 * `apply`, each partition in its order, from the beginning.
 */
export class StateTable {
  /** The latest state of each resource, by gid. */
  readonly states = new Map<string, State>();
  readonly #progress = new Map<number, StateProgress>();

  /** Takes one message. A message without a value is a tombstone: its record is `null`. */
  apply(key: string, record: Record | null): void {
    if (record === null) this.states.delete(key);
    else if (record.body.case === "state") this.states.set(key, record.body.value);
    else if (record.body.case === "stateProgress") this.#progress.set(record.body.value.shard, record.body.value);
  }

  /** How complete the table is, if all messages were applied. The comment of `StateProgress` in the proto has the steps. */
  completeness(): Completeness {
    const current = this.#current();
    if (current === null) return { kind: "unknown" };
    const readUpTo = least(current.map((it) => nanoseconds(it.readUpTo)));
    const covered = current.map((record) => record.published.find((it) => nanoseconds(it.at) <= readUpTo));
    if (covered.includes(undefined)) return { kind: "unknown" };
    const published = covered.filter((it): it is PublishedProgress => it !== undefined && it.streams > 0);
    const sum = (of: (it: PublishedProgress) => number) => published.reduce((sum, it) => sum + of(it), 0);
    const streams = sum((it) => it.notLoaded);
    if (streams > 0) return { kind: "loading", streams };
    const isKnown = published.every((it) => it.completeUpTo !== undefined);
    return {
      kind: "complete",
      upTo: isKnown ? least([readUpTo, ...published.map((it) => nanoseconds(it.completeUpTo))]) : null,
      openSourceGaps: sum((it) => it.openSourceGaps),
      suspended: sum((it) => it.suspended),
      leftOut: published.reduce((sum, it) => sum + it.leftOut, 0n),
    };
  }

  /** The last record of each shard, if none is missing. After a change of the number of shards there are records of both numbers. */
  #current(): StateProgress[] | null {
    const all = [...this.#progress.values()];
    if (all.length === 0) return null;
    const newest = all.reduce((one, other) => (nanoseconds(other.readUpTo) > nanoseconds(one.readUpTo) ? other : one));
    const current = all.filter((it) => it.shards === newest.shards && it.shard < newest.shards);
    return current.length < newest.shards ? null : current;
  }
}

function least(times: bigint[]): bigint {
  return times.reduce((one, other) => (other < one ? other : one));
}
