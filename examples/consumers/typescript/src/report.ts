import { type Detector, text } from "./detector.js";

/** What the detectors of some topics know in the end: counts, open source gaps, and how far each topic is complete. */
export function report(detectors: Map<string, Detector>) {
  const sorted = [...detectors].sort(([one], [other]) => compare(one, other));
  const tracks = sorted.flatMap(([topic, detector]) =>
    [...detector.tracks.values()]
      .sort((one, other) => one.lane - other.lane || one.shard - other.shard)
      .map(({ lane, shard, track }) => ({ lane: { topic, lane, shard }, tally: track.tally })),
  );
  const total = { read: 0, missing: 0n, duplicates: 0, reordered: 0, older: 0 };
  for (const { tally } of tracks) {
    total.read += tally.read;
    total.missing += tally.missing;
    total.duplicates += tally.duplicates;
    total.reordered += tally.reordered;
    total.older += tally.older;
  }
  const open = sorted.flatMap(([, detector]) => [...detector.gaps.values()]);
  const gaps = new Map(open.map(({ stream, gap_id }) => [`${stream}\n${gap_id}`, { stream, gap_id }]));
  return {
    total,
    tracks,
    unnumbered: sorted.reduce((sum, [, detector]) => sum + detector.unnumbered, 0),
    open_gaps: [...gaps.values()].sort(
      (one, other) => compare(one.stream, other.stream) || compare(one.gap_id, other.gap_id),
    ),
    complete_up_to: Object.fromEntries(sorted.map(([topic, detector]) => [topic, maybe(detector.completeUpTo())])),
    behind: sorted.flatMap(([topic, detector]) => behind(topic, detector)),
  };
}

/** Lanes that lack watermarks which other lanes of the same shard have: their tails may be lost. */
function behind(topic: string, detector: Detector) {
  const shards = [...detector.lanes].sort(([one], [other]) => one - other);
  return shards.flatMap(([shard, lanes]) => {
    const latest = Array.from({ length: lanes }, (_, lane) => detector.track(lane, shard)?.watermark?.time);
    const known = latest.filter((time) => time !== undefined);
    const others = known.reduce<bigint | undefined>((one, other) => (one && one > other ? one : other), undefined);
    return latest.flatMap((time, lane) =>
      others !== undefined && (time === undefined || time < others)
        ? [{ key: { topic, lane, shard }, watermark: maybe(time), others: text(others) }]
        : [],
    );
  });
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}

function maybe(time: bigint | undefined): string | null {
  return time === undefined ? null : text(time);
}
