import { type Detector, shardKey, text } from "./detector.js";
import type { Tally, Track } from "./track.js";

/** What a detector knows in the end: counts, open source gaps, and how far each topic is complete. */
export function report(detector: Detector, topics: Iterable<string>) {
  const tracks = [...detector.tracks.values()]
    .map(({ place, track }) => ({ ...place, tally: track.tally() }))
    .sort((one, other) => compare(order(one), order(other)));
  const total: Tally = { read: 0, missing: 0n, duplicates: 0, reordered: 0, older: 0 };
  for (const { tally } of tracks) {
    total.read += tally.read;
    total.missing += tally.missing;
    total.duplicates += tally.duplicates;
    total.reordered += tally.reordered;
    total.older += tally.older;
  }
  const gaps = new Map([...detector.gaps.values()].map((gap) => [`${gap.stream}\n${gap.gapId}`, gap]));
  const open_gaps = [...gaps.values()]
    .sort((one, other) => compare([one.stream, one.gapId], [other.stream, other.gapId]))
    .map(({ stream, gapId }) => ({ stream, gap_id: gapId }));
  const sorted = [...topics].sort();
  return {
    total,
    tracks,
    unnumbered: detector.unnumbered,
    open_gaps,
    complete_up_to: Object.fromEntries(sorted.map((topic) => [topic, maybe(completeUpTo(detector, topic))])),
    behind: sorted.flatMap((topic) => behind(detector, topic)),
  };
}

/** The time up to which all shards and lanes are complete; nothing if one of them lacks a watermark. */
export function completeUpTo(detector: Detector, topic: string): bigint | undefined {
  const shards = shardsOf(detector, topic);
  if (shards.size === 0 || shards.size < (detector.shards.get(topic) ?? 0)) return undefined;
  const gaps = [...detector.gaps.values()].filter((gap) => gap.topic === topic).map(({ since }) => since);
  const times = [...[...shards.values()].flat().map((track) => track?.complete), ...gaps];
  return times.includes(undefined) ? undefined : least(times as bigint[]);
}

/** Lanes that lack watermarks which other lanes of the same shard have: their tails may be lost. */
function behind(detector: Detector, topic: string) {
  const shards = [...shardsOf(detector, topic)].sort(([one], [other]) => one - other);
  return shards.flatMap(([shard, lanes]) => {
    const latest = lanes.map((track) => track?.latest);
    const known = latest.filter((time) => time !== undefined);
    if (known.length === 0) return [];
    const others = known.reduce((one, other) => (one > other ? one : other));
    return latest.flatMap((time, lane) =>
      time === undefined || time < others
        ? [{ key: { topic, lane, shard }, watermark: maybe(time), others: text(others) }]
        : [],
    );
  });
}

/** For each shard that was seen, the track of each of its lanes; nothing for a lane that was never seen. */
function shardsOf(detector: Detector, topic: string): Map<number, (Track | undefined)[]> {
  const shards = new Map<number, (Track | undefined)[]>();
  for (const { place, track } of detector.tracks.values()) {
    if (!("lane" in place) || place.lane.topic !== topic) continue;
    const { lane, shard } = place.lane;
    const lanes = shards.get(shard) ?? [];
    while (lanes.length < Math.max(lane + 1, detector.lanes.get(shardKey(topic, shard)) ?? 0)) lanes.push(undefined);
    lanes[lane] = track;
    shards.set(shard, lanes);
  }
  return shards;
}

function least(times: bigint[]): bigint {
  return times.reduce((one, other) => (one < other ? one : other));
}

function order(place: { lane: { topic: string; lane: number; shard: number } } | { stream: string }) {
  return "lane" in place ? [place.lane.topic, place.lane.lane, place.lane.shard] : [place.stream];
}

function compare(one: (string | number)[], other: (string | number)[]): number {
  const at = one.findIndex((part, index) => part !== other[index]);
  return at < 0 ? 0 : one[at]! < other[at]! ? -1 : 1;
}

function maybe(time: bigint | undefined): string | null {
  return time === undefined ? null : text(time);
}
