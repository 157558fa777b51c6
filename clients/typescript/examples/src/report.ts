import { type Detector, rfc3339 } from "asana-event-bridge-consumer";

/** What the detectors of some topics know at the end: counts, open source gaps, and how far each topic is complete. */
export function report(detectors: Map<string, Detector>) {
  const sorted = [...detectors].sort(([one], [other]) => compare(one, other));
  const tracks = sorted.flatMap(([topic, detector]) =>
    detector.lanes().map(({ lane, shard, tally }) => ({ lane: { topic, lane, shard }, tally })),
  );
  const total = { read: 0, missing: 0n, duplicates: 0, reordered: 0, older: 0 };
  for (const { tally } of tracks) {
    total.read += tally.read;
    total.missing += tally.missing;
    total.duplicates += tally.duplicates;
    total.reordered += tally.reordered;
    total.older += tally.older;
  }
  const gaps = new Map(sorted.flatMap(([, it]) => it.openGaps()).map((gap) => [`${gap.stream}\n${gap.gap_id}`, gap]));
  return {
    total,
    tracks,
    unnumbered: sorted.reduce((sum, [, detector]) => sum + detector.unnumbered, 0),
    open_gaps: [...gaps.values()].sort(
      (one, other) => compare(one.stream, other.stream) || compare(one.gap_id, other.gap_id),
    ),
    complete_up_to: Object.fromEntries(sorted.map(([topic, detector]) => [topic, text(detector.completeUpTo())])),
    behind: sorted.flatMap(([topic, detector]) =>
      detector.behind().map(({ lane, shard, watermark, others }) => ({
        key: { topic, lane, shard },
        watermark: text(watermark),
        others: text(others),
      })),
    ),
  };
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}

function text(time: bigint | undefined): string | null {
  return time === undefined ? null : rfc3339(time);
}
