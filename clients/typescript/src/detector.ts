import { create, toJson } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { Record as BridgeRecord, Watermark } from "./gen/asana_event_bridge/v1/record_pb.js";

const NO_SEQUENCE = 2n ** 64n - 1n;
const SECOND = 1_000_000_000n;
const BEGINNING = place(1n, 1n);

/**
 * The place of a record among those that the detector has seen:
 *
 * - `in_order`: the next record after the last one. Process it.
 * - `missing`: records before it weren't seen; `Verdict.missing` is their number. Process it, and alert. They may still come.
 * - `reordered`: it was missing, and now it came. Process it, if your work accepts late records.
 * - `duplicate`: it was seen before. Skip it.
 * - `older`: it is from before the first record that was seen. Skip it, or process it if your work is idempotent.
 * - `unnumbered`: it isn't a record of the bridge. Alert: somebody else writes to your topic.
 */
export type Continuity = "in_order" | "missing" | "reordered" | "duplicate" | "older" | "unnumbered";

/**
 * What a record means for the reader, beside its own content:
 *
 * - `epoch_changed`: new counters begin. `missing` is how many records are missing at the end of the previous epoch; it isn't
 *   set if nobody knows.
 * - `source_gap_opened`: Asana may have lost events of a stream.
 * - `source_gap_healed`: the state of the stream's resources is correct again.
 * - `complete_up_to`: nothing of the lane and shard is missing up to `time` (RFC 3339).
 */
export type News =
  | { kind: "epoch_changed"; previous_epoch: bigint; missing?: bigint }
  | { kind: "source_gap_opened" | "source_gap_healed"; gap_id: string }
  | { kind: "complete_up_to"; time: string };

/** What the detector knows about one record. */
export interface Verdict {
  continuity: Continuity;
  /** How many records before it are missing. Set if the continuity is `missing`. */
  missing?: bigint;
  news?: News;
}

/** Whether the record has to be processed: false for `duplicate` and `older`. */
export function isNew({ continuity }: Verdict): boolean {
  return continuity !== "duplicate" && continuity !== "older";
}

/** A shard in a lane of the topic, with its counts. */
export interface Lane {
  lane: number;
  shard: number;
  tally: Tally;
}

export interface Tally {
  read: number;
  missing: bigint;
  duplicates: number;
  reordered: number;
  older: number;
}

/** A lane whose watermarks of a shard are older than the same shard's in other lanes. Times are nanoseconds. */
export interface Behind {
  lane: number;
  shard: number;
  /** The lane's latest watermark, if it has one. */
  watermark: bigint | undefined;
  /** The latest watermark of the shard in other lanes. */
  others: bigint;
}

/** A source gap that isn't healed: Asana may have lost events of this stream. */
export interface Gap {
  stream: string;
  gap_id: string;
}

/** Orders the records of a track. */
function place(epoch: bigint, sequence: bigint): bigint {
  return (epoch << 64n) | sequence;
}

/** A shard in a lane: all places from the floor to the ends were seen, except the holes. Times are nanoseconds. */
class Track {
  readonly tally: Tally = { read: 0, missing: 0n, duplicates: 0, reordered: 0, older: 0 };
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

  /** An epoch begins, and tells where the one before it ended, if the bridge knew it. */
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
 * Finds out from the records of one topic alone what is missing, duplicate or late, and up to when the topic is complete.
 * Times are `bigint`, in nanoseconds since 1970; `rfc3339` writes them.
 *
 * A port of the Rust library's detector. proto/conformance/README.md in the repository explains the algorithm.
 */
export class Detector {
  /** How many records weren't of the bridge. */
  unnumbered = 0;
  private readonly tracks = new Map<string, { lane: number; shard: number; track: Track }>();
  private readonly writes = new Map<number, number>(); // to how many lanes a shard writes
  private readonly gaps = new Map<string, Gap & { lane: number; since: bigint }>(); // nothing before `since` is lost
  private readonly healed = new Set<string>();
  private epoch = 0n; // of the latest watermarks
  private shards = 0; // how many shards these name

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
      verdict.news = { kind: "complete_up_to", time: rfc3339(completed) };
    }
    return verdict;
  }

  /** The time up to which all lanes of all shards are complete. Undefined if one of them has no watermark yet. */
  completeUpTo(): bigint | undefined {
    const times: (bigint | undefined)[] = [...this.gaps.values()].map(({ since }) => since);
    for (let shard = 0; shard < this.shards; shard++) {
      for (let lane = 0; lane < (this.writes.get(shard) ?? 1); lane++) times.push(this.track(lane, shard)?.complete);
    }
    for (const { shard, track } of this.tracks.values()) {
      // It has ended, and something of it is missing.
      if (shard >= this.shards && (track.holes.length > 0 || track.isCut)) times.push(track.complete);
    }
    if (this.shards === 0 || times.includes(undefined)) return undefined;
    return (times as bigint[]).reduce((one, other) => (one < other ? one : other));
  }

  /** Lanes that may have lost their last records. Alert if one stays in this list though you read to its end. */
  behind(): Behind[] {
    const shards = [...this.writes].sort(([one], [other]) => one - other);
    return shards.flatMap(([shard, lanes]) => {
      const latest = Array.from({ length: lanes }, (_, lane) => this.track(lane, shard)?.watermark?.time);
      const others = latest.reduce((one, other) => (one === undefined || (other ?? one) > one ? other : one), undefined);
      if (others === undefined) return [];
      return latest.flatMap((watermark, lane) => (watermark === others ? [] : [{ lane, shard, watermark, others }]));
    });
  }

  /** The source gaps that aren't healed, each once. */
  openGaps(): Gap[] {
    const each = [...this.gaps.values()].map(({ stream, gap_id }) => [JSON.stringify([stream, gap_id]), { stream, gap_id }] as const);
    return [...new Map(each).values()];
  }

  /** The lanes and shards that were seen, sorted. */
  lanes(): Lane[] {
    const seen = [...this.tracks.values()].map(({ lane, shard, track }) => ({ lane, shard, tally: { ...track.tally } }));
    return seen.sort((one, other) => one.lane - other.lane || one.shard - other.shard);
  }

  private track(lane: number, shard: number): Track | undefined {
    return this.tracks.get(`${lane}/${shard}`)?.track;
  }

  private note(track: Track, at: bigint, shard: number, { completeUpTo, shards, lanes }: Watermark): void {
    if (at >> 64n >= this.epoch) [this.epoch, this.shards] = [at >> 64n, shards];
    this.writes.set(shard, Math.max(this.writes.get(shard) ?? 0, lanes));
    const time = nanoseconds(completeUpTo);
    if (!track.watermark || track.watermark.time < time) track.watermark = { at, time };
  }
}

function nanoseconds(time: Timestamp | undefined): bigint {
  return time ? time.seconds * SECOND + BigInt(time.nanos) : 0n;
}

/** A time in nanoseconds since 1970 as text, such as `2026-01-02T03:04:05.006Z`. */
export function rfc3339(time: bigint): string {
  const nanos = ((time % SECOND) + SECOND) % SECOND;
  return toJson(TimestampSchema, create(TimestampSchema, { seconds: (time - nanos) / SECOND, nanos: Number(nanos) }));
}
