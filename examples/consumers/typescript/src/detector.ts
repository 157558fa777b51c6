import { create, toJson } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { Record as BridgeRecord, Watermark } from "./gen/asana_event_bridge/v1/record_pb.js";

const NO_SEQUENCE = 2n ** 64n - 1n;
const SECOND = 1_000_000_000n;
const BEGINNING = place(1n, 1n);

/** What a record tells beside its own place. */
export type News =
  | { kind: "epoch_changed"; previous_epoch: bigint; missing?: bigint }
  | { kind: "source_gap_opened" | "source_gap_healed"; gap_id: string }
  | { kind: "complete_up_to"; time: string };

export interface Verdict {
  continuity: "in_order" | "missing" | "duplicate" | "reordered" | "older" | "unnumbered";
  missing?: bigint;
  news?: News;
}

/** Orders the records of a track. */
function place(epoch: bigint, sequence: bigint): bigint {
  return (epoch << 64n) | sequence;
}

/** A shard in a lane: all places from the floor to the ends were seen, but for the holes. Times are nanoseconds. */
export class Track {
  readonly tally = { read: 0, missing: 0n, duplicates: 0, reordered: 0, older: 0 };
  readonly holes: { first: bigint; last: bigint }[] = []; // ascending
  newest = 0n;
  watermark: { at: bigint; time: bigint } | undefined; // the latest
  complete: bigint | undefined; // the time of the latest that nothing is missing before
  isCut = false; // an epoch's end isn't known
  private readonly ends = new Map<bigint, bigint>(); // the last place known of each epoch

  constructor(private readonly floor: bigint) {
    this.ends.set(floor >> 64n, floor - 1n);
  }

  /** Where the next record stands. */
  place(at: bigint): Verdict {
    this.tally.read += 1;
    const epoch = at >> 64n;
    if (epoch > this.newest) this.newest = epoch;
    if (at < this.floor) {
      this.tally.older += 1;
      return { continuity: "older" };
    }
    if (at > this.end(epoch)) {
      const missing = this.expect(at - 1n);
      this.ends.set(epoch, at);
      return missing > 0n ? { continuity: "missing", missing } : { continuity: "in_order" };
    }
    const index = this.search(at);
    const hole = this.holes[index];
    if (!hole || at < hole.first) {
      this.tally.duplicates += 1;
      return { continuity: "duplicate" };
    }
    const rest = [{ first: hole.first, last: at - 1n }, { first: at + 1n, last: hole.last }];
    this.holes.splice(index, 1, ...rest.filter(({ first, last }) => first <= last));
    this.tally.reordered += 1;
    this.tally.missing -= 1n;
    return { continuity: "reordered" };
  }

  /** An epoch reaches to a place: how many are missing before it that weren't known to be. */
  expect(last: bigint): bigint {
    const end = this.end(last >> 64n);
    if (last < this.floor || last <= end) return 0n;
    this.holes.splice(this.search(last), 0, { first: end + 1n, last });
    this.ends.set(last >> 64n, last);
    this.tally.missing += last - end;
    return last - end;
  }

  /** An epoch begins, and says where the one before it ended. Of one that it doesn't know of, nobody knows that. */
  begin(epoch: bigint, previous_epoch: bigint, last: bigint): News {
    const seen = [...this.ends].filter(([before, end]) => before < epoch && end > place(before, 0n)).map(([it]) => it);
    if (previous_epoch > 0n || seen.length === 0) {
      return { kind: "epoch_changed", previous_epoch, missing: this.expect(place(previous_epoch, last)) };
    }
    this.isCut = true;
    return { kind: "epoch_changed", previous_epoch: seen.reduce((one, other) => (one > other ? one : other)) };
  }

  /** The time up to which the track has become complete, if it has. */
  advance(): bigint | undefined {
    const { watermark, complete, holes: [lowest] } = this;
    if (!watermark || this.isCut || (complete !== undefined && watermark.time <= complete)) return undefined;
    if (lowest && lowest.first < watermark.at) return undefined;
    return (this.complete = watermark.time);
  }

  private end(epoch: bigint): bigint {
    return this.ends.get(epoch) ?? place(epoch, 0n);
  }

  /** The first hole that doesn't end before the place. */
  private search(at: bigint): number {
    let low = 0;
    let high = this.holes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.holes[middle]!.last < at) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * Knows from the records of a topic alone what is missing, double, late, and complete up to when.
 *
 * A port of the bridge's own detector; proto/conformance/README.md explains the algorithm.
 */
export class Detector {
  readonly tracks = new Map<string, { lane: number; shard: number; track: Track }>();
  readonly lanes = new Map<number, number>(); // to how many a shard writes
  readonly gaps = new Map<string, { lane: number; stream: string; gap_id: string; since: bigint }>(); // nothing before it is lost
  unnumbered = 0;
  private readonly healed = new Set<string>();
  private epoch = 0n; // of the latest watermarks
  private shards = 0; // that there are, say those

  constructor(private readonly fromBeginning = true) {}

  /** The verdict on the next record of a lane. */
  observe({ position, body }: BridgeRecord): Verdict {
    const { epoch = 0n, laneSequence = 0n, lane = 0, shard = 0, stream = "" } = position ?? {};
    if (epoch === 0n || laneSequence === 0n || laneSequence === NO_SEQUENCE) {
      this.unnumbered += 1;
      return { continuity: "unnumbered" };
    }
    const at = place(epoch, laneSequence);
    const track = this.track(lane, shard) ?? new Track(this.fromBeginning ? BEGINNING : at);
    this.tracks.set(`${lane}/${shard}`, { lane, shard, track });
    const { newest } = track;
    const verdict = track.place(at);
    if (verdict.continuity === "duplicate" || verdict.continuity === "older") return verdict; // it was news once
    if (body.case === "epochStart") {
      verdict.news = track.begin(epoch, body.value.previousEpoch, body.value.previousLaneSequence);
    } else if (body.case === "watermark") {
      this.note(track, at, shard, body.value);
    } else if (body.case === "sourceGap") {
      const { gapId: gap_id, lastCompletePollAt } = body.value;
      const key = JSON.stringify([lane, stream, gap_id]);
      if (!this.healed.has(key)) this.gaps.set(key, { lane, stream, gap_id, since: nanoseconds(lastCompletePollAt) });
      verdict.news = { kind: "source_gap_opened", gap_id };
    } else if (body.case === "sourceGapHealed") {
      const { gapId: gap_id } = body.value;
      const key = JSON.stringify([lane, stream, gap_id]);
      this.gaps.delete(key);
      this.healed.add(key); // the gap's own record may come late
      verdict.news = { kind: "source_gap_healed", gap_id };
    } else if (body.case === "streamEnded") {
      for (const [key, gap] of this.gaps) if (gap.lane === lane && gap.stream === stream) this.gaps.delete(key);
    }
    const completed = track.advance();
    if (!verdict.news && newest > 0n && newest < epoch) {
      verdict.news = { kind: "epoch_changed", previous_epoch: newest };
    } else if (!verdict.news && completed !== undefined) {
      verdict.news = { kind: "complete_up_to", time: text(completed) };
    }
    return verdict;
  }

  track(lane: number, shard: number): Track | undefined {
    return this.tracks.get(`${lane}/${shard}`)?.track;
  }

  /** The time up to which all lanes of all shards are complete; nothing if one of them lacks a watermark. */
  completeUpTo(): bigint | undefined {
    const times: (bigint | undefined)[] = [...this.gaps.values()].map(({ since }) => since);
    for (let shard = 0; shard < this.shards; shard++) {
      for (let lane = 0; lane < (this.lanes.get(shard) ?? 1); lane++) times.push(this.track(lane, shard)?.complete);
    }
    for (const { shard, track } of this.tracks.values()) {
      // It has ended, and something of it is missing.
      if (shard >= this.shards && (track.holes.length > 0 || track.isCut)) times.push(track.complete);
    }
    if (this.shards === 0 || times.includes(undefined)) return undefined;
    return (times as bigint[]).reduce((one, other) => (one < other ? one : other));
  }

  private note(track: Track, at: bigint, shard: number, { completeUpTo, shards, lanes }: Watermark): void {
    if (at >> 64n >= this.epoch) [this.epoch, this.shards] = [at >> 64n, shards];
    this.lanes.set(shard, Math.max(this.lanes.get(shard) ?? 0, lanes));
    const time = nanoseconds(completeUpTo);
    if (!track.watermark || track.watermark.time < time) track.watermark = { at, time };
  }
}

function nanoseconds(time: Timestamp | undefined): bigint {
  return time ? time.seconds * SECOND + BigInt(time.nanos) : 0n;
}

/** RFC 3339. */
export function text(time: bigint): string {
  const nanos = ((time % SECOND) + SECOND) % SECOND;
  return toJson(TimestampSchema, create(TimestampSchema, { seconds: (time - nanos) / SECOND, nanos: Number(nanos) }));
}
