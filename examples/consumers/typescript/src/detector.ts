import { create, toJson } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { Position, Record as BridgeRecord } from "./gen/asana_event_bridge/v1/record_pb.js";
import { type Continuity, NO_SEQUENCE, Track } from "./track.js";

export const MOST_HOLES = 1 << 20;
const SECOND = 1_000_000_000n;

/** What a record tells beside its own place. */
export type News =
  | { kind: "epoch_changed"; previous_epoch: bigint; missing: bigint }
  | { kind: "lanes_changed"; previous_count: number; count: number }
  | { kind: "source_gap_opened" | "source_gap_healed"; gap_id: string }
  | { kind: "complete_up_to"; time: string };

export interface Verdict {
  continuity: Continuity;
  missing?: bigint;
  news?: News;
}

/** A shard in a lane of a topic, or a stream. */
export type Place = { lane: { topic: string; lane: number; shard: number } } | { stream: string };

/** Topic and lane are empty where streams are followed. `since`: nothing before it is lost. */
export interface Gap {
  topic: string;
  lane: number;
  stream: string;
  gapId: string;
  since?: bigint | undefined;
}

/**
 * Knows from the records alone what is missing, double, late, and complete up to when: by lane for who reads whole
 * topics, by stream for who reads single streams.
 *
 * A port of the bridge's own detector; proto/conformance/README.md explains the algorithm.
 */
export class Detector {
  readonly tracks = new Map<string, { place: Place; track: Track }>();
  readonly shards = new Map<string, number>();
  readonly lanes = new Map<string, number>();
  readonly gaps = new Map<string, Gap>();
  unnumbered = 0;
  private readonly began = new Map<string, number>();
  private readonly healedEarly = new Set<string>();
  private holes = 0;

  constructor(
    readonly byLane = true,
    private readonly fromBeginning = true,
    private readonly mostHoles = MOST_HOLES,
  ) {}

  /** The verdict on the next record of a lane of the topic. */
  observe(topic: string, record: BridgeRecord): Verdict {
    const at = record.position;
    const sequence = (this.byLane ? at?.laneSequence : at?.streamSequence) ?? 0n;
    if (!this.byLane && at && at.epoch > 0n && at.stream === "") return { continuity: "not_followed" };
    if (!at || at.epoch === 0n || sequence === 0n || sequence === NO_SEQUENCE) {
      this.unnumbered += 1;
      return { continuity: "unnumbered" };
    }
    let whole = this.fromBeginning;
    if (this.byLane) {
      const began = this.noteLanes(topic, at.shard, record.body);
      whole ||= began > 0 && at.lane >= began; // who saw the lanes grow saw the new ones begin
    }
    const track = this.track(topic, at);
    const known = whole || track.started;
    const { newest, holes } = track;
    const [continuity, missing] = track.place(at.epoch, sequence, whole);
    const verdict: Verdict = missing > 0n ? { continuity, missing } : { continuity };
    if (continuity !== "duplicate" && continuity !== "older") { // what those say was news once
      const news = this.news(topic, track, at, record.body, known, newest);
      if (news) verdict.news = news;
    }
    this.holes += track.holes - holes;
    this.keepLimit();
    return verdict;
  }

  private track(topic: string, { lane, shard, stream }: Position): Track {
    const place: Place = this.byLane ? { lane: { topic, lane, shard } } : { stream };
    const key = JSON.stringify(place);
    let entry = this.tracks.get(key);
    if (!entry) this.tracks.set(key, (entry = { place, track: new Track() }));
    return entry.track;
  }

  private noteLanes(topic: string, shard: number, body: BridgeRecord["body"]): number {
    const key = shardKey(topic, shard);
    if (body.case === "watermark") {
      this.shards.set(topic, Math.max(this.shards.get(topic) ?? 0, body.value.shards));
      this.lanes.set(key, Math.max(this.lanes.get(key) ?? 0, body.value.lanes));
    } else if (body.case === "lanesChanged") {
      const { previousCount, count } = body.value;
      this.lanes.set(key, Math.max(this.lanes.get(key) ?? 0, count));
      this.began.set(key, Math.min(this.began.get(key) || previousCount, previousCount));
    }
    return this.began.get(key) ?? 0;
  }

  private news(
    topic: string, track: Track, at: Position, body: BridgeRecord["body"], known: boolean, newest: bigint,
  ): News | undefined {
    let ended = 0n;
    let completed: bigint | undefined;
    if (this.byLane) {
      if (body.case === "epochStart" && known) {
        ended = track.expect(body.value.previousEpoch, body.value.previousLaneSequence);
      }
      if (body.case === "watermark" && body.value.completeUpTo) {
        track.await(at.epoch, at.laneSequence, nanoseconds(body.value.completeUpTo));
      }
      completed = track.advance();
    }
    switch (body.case) {
      case "epochStart":
        return { kind: "epoch_changed", previous_epoch: body.value.previousEpoch, missing: ended };
      case "lanesChanged":
        return { kind: "lanes_changed", previous_count: body.value.previousCount, count: body.value.count };
      case "sourceGap": {
        const since = body.value.lastCompletePollAt && nanoseconds(body.value.lastCompletePollAt);
        const { key, gap } = this.gap(topic, at, body.value.gapId);
        if (!this.healedEarly.has(key)) this.gaps.set(key, { ...gap, since });
        return { kind: "source_gap_opened", gap_id: gap.gapId };
      }
      case "sourceGapHealed": {
        const { key, gap } = this.gap(topic, at, body.value.gapId);
        this.gaps.delete(key);
        if (track.holes > 0) this.healedEarly.add(key); // the gap's own record may be among what is missing
        return { kind: "source_gap_healed", gap_id: gap.gapId };
      }
    }
    if (newest > 0n && newest < at.epoch) return { kind: "epoch_changed", previous_epoch: newest, missing: 0n };
    return completed === undefined ? undefined : { kind: "complete_up_to", time: text(completed) };
  }

  private gap(topic: string, { lane, stream }: Position, gapId: string): { key: string; gap: Gap } {
    const gap = this.byLane ? { topic, lane, stream, gapId } : { topic: "", lane: 0, stream, gapId };
    return { key: JSON.stringify(gap), gap };
  }

  private keepLimit(): void {
    while (this.holes > this.mostHoles) {
      const tracks = [...this.tracks.values()].map(({ track }) => track);
      const worst = tracks.reduce((one, other) => (one.holes >= other.holes ? one : other));
      const givenUp = Math.ceil(worst.holes / 2);
      worst.giveUp(givenUp);
      this.holes -= givenUp;
    }
  }
}

export function shardKey(topic: string, shard: number): string {
  return JSON.stringify([topic, shard]);
}

function nanoseconds(time: Timestamp): bigint {
  return time.seconds * SECOND + BigInt(time.nanos);
}

/** RFC 3339. */
export function text(time: bigint): string {
  const nanos = ((time % SECOND) + SECOND) % SECOND;
  return toJson(TimestampSchema, create(TimestampSchema, { seconds: (time - nanos) / SECOND, nanos: Number(nanos) }));
}
