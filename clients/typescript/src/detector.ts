import type { Record as BridgeRecord, ShardProgress, Watermark } from "./gen/asana_event_bridge/v1/record_pb.js";
import { nanoseconds, rfc3339 } from "./time.js";

const NO_SEQUENCE = 2n ** 64n - 1n;
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
 * - `tail_missing`: a watermark names `missing` records of other shards that weren't seen, the last ones of their shards in the
 *   lane. They may still come.
 * - `complete_up_to`: nothing of the lane is missing up to `time` (RFC 3339).
 */
export type News =
  | { kind: "epoch_changed"; previous_epoch: bigint; missing?: bigint }
  | { kind: "source_gap_opened" | "source_gap_healed"; gap_id: string }
  | { kind: "tail_missing"; missing: bigint }
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
  emptyAt: bigint | undefined; // its last place when a watermark said that it has no streams
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
    if (last >> 64n > this.newest) this.newest = last >> 64n;
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

  /**
   * Notes what a watermark says of it, and returns how many are newly missing. If the watermark is late, a newer one may have
   * said otherwise.
   */
  note({ epoch, laneSequence, completeUpTo, empty }: ShardProgress, late: boolean): bigint {
    const at = place(epoch, laneSequence);
    const missing = this.expect(at);
    const time = completeUpTo && nanoseconds(completeUpTo);
    if (time !== undefined && (!this.watermark || this.watermark.time < time)) this.watermark = { at, time };
    if (!late) this.emptyAt = empty ? at : undefined;
    this.advance();
    return missing;
  }

  /** The latest watermark counts once nothing before it is missing. */
  advance(): void {
    const { watermark, complete, holes: [lowest] } = this;
    if (!watermark || this.isCut || (lowest && lowest.first <= watermark.at)) return;
    if (complete === undefined || complete < watermark.time) this.complete = watermark.time;
  }

  /** Whether something is missing. */
  get lacks(): boolean {
    return this.holes.length > 0 || this.isCut;
  }

  /** Whether it has no streams, and has written nothing since a watermark said so. */
  get isEmpty(): boolean {
    const last = [...this.ends.values()].reduce((one, other) => (one > other ? one : other));
    return this.emptyAt === last && !this.lacks;
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
  private readonly gaps = new Map<string, Gap & { lane: number; since: bigint | undefined }>(); // nothing before `since` is lost
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
      this.note(epoch, body.value);
    } else if (body.case === "sourceGap") {
      const { gapId: gap_id, lastCompletePollAt } = body.value;
      const key = JSON.stringify([lane, stream, gap_id]);
      const since = lastCompletePollAt && nanoseconds(lastCompletePollAt);
      if (!this.healed.has(key)) this.gaps.set(key, { lane, stream, gap_id, since });
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
    const watermark = body.case === "watermark" ? body.value : undefined;
    const told = this.advance(track, lane, watermark, verdict.continuity === "reordered");
    if (!verdict.news && newest > 0n && newest < epoch) verdict.news = { kind: "epoch_changed", previous_epoch: newest };
    if (!verdict.news && told) verdict.news = told;
    return verdict;
  }

  /** The time up to which the topic is complete, or one lane of it. Undefined if a shard has no watermark there yet. */
  completeUpTo(wanted?: number): bigint | undefined {
    const times: (bigint | undefined)[] = [];
    for (let shard = 0; shard < this.shards; shard++) {
      const lanes = this.writes.get(shard) ?? 0;
      if (lanes === 0) return undefined;
      for (let lane = 0; lane < lanes; lane++) {
        const track = this.track(lane, shard);
        if ((wanted ?? lane) === lane && !track?.isEmpty) times.push(track?.complete);
      }
    }
    for (const { lane, shard, track } of this.tracks.values()) {
      // It has ended, and something of it is missing.
      if ((wanted ?? lane) === lane && shard >= this.shards && track.lacks) times.push(track.complete);
    }
    if (times.length === 0) return undefined;
    for (const { lane, since } of this.gaps.values()) if ((wanted ?? lane) === lane) times.push(since);
    if (times.includes(undefined)) return undefined;
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

  private note(epoch: bigint, { shards, lanes, progress }: Watermark): void {
    if (epoch >= this.epoch) [this.epoch, this.shards] = [epoch, shards];
    for (const { shard } of progress) this.writes.set(shard, Math.max(this.writes.get(shard) ?? 0, lanes));
  }

  /** Applies a watermark, and what waited for a record that came late. */
  private advance(track: Track, lane: number, watermark: Watermark | undefined, late: boolean): News | undefined {
    if (!late && !watermark) return undefined;
    const before = this.completeUpTo(lane);
    let missing = 0n;
    for (const progress of watermark?.progress ?? []) {
      const { shard, epoch, laneSequence } = progress;
      if (epoch === 0n || laneSequence === 0n || laneSequence === NO_SEQUENCE) continue;
      const floor = this.fromBeginning ? BEGINNING : place(epoch, laneSequence + 1n);
      const named = this.track(lane, shard) ?? new Track(floor);
      this.tracks.set(`${lane}/${shard}`, { lane, shard, track: named });
      missing += named.note(progress, late);
    }
    track.advance();
    if (missing > 0n) return { kind: "tail_missing", missing };
    const after = this.completeUpTo(lane);
    if (after === undefined || (before !== undefined && after <= before)) return undefined;
    return { kind: "complete_up_to", time: rfc3339(after) };
  }
}
