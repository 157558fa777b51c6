package consumer;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/** What the detectors of some topics know in the end: counts, open source gaps, and how far each topic is complete. */
final class Report {
    record Lane(String topic, int lane, int shard) {}

    record Counted(Lane lane, Track.Tally tally) {}

    record Gap(String stream, String gap_id) implements Comparable<Gap> {
        @Override
        public int compareTo(Gap other) {
            return Comparator.comparing(Gap::stream).thenComparing(Gap::gap_id).compare(this, other);
        }
    }

    /** A lane that lacks watermarks which other lanes of the same shard have: its tail may be lost. */
    record Behind(Lane key, String watermark, String others) {}

    private final Track.Tally total = new Track.Tally();
    private final List<Counted> tracks = new ArrayList<>();
    private long unnumbered;
    private final TreeSet<Gap> open_gaps = new TreeSet<>();
    private final Map<String, String> complete_up_to = new TreeMap<>();
    private final List<Behind> behind = new ArrayList<>();

    static Report of(Map<String, Detector> detectors) {
        Report report = new Report();
        new TreeMap<>(detectors).forEach(report::add);
        return report;
    }

    private void add(String topic, Detector detector) {
        detector.tracks.entrySet().stream()
                .map(entry -> new Counted(new Lane(topic, entry.getKey().lane(), entry.getKey().shard()), entry.getValue().tally))
                .sorted(Comparator.comparing((Counted it) -> it.lane.lane).thenComparing(it -> it.lane.shard))
                .forEach(this::add);
        unnumbered += detector.unnumbered;
        detector.gaps.keySet().forEach(gap -> open_gaps.add(new Gap(gap.stream(), gap.id())));
        complete_up_to.put(topic, text(detector.completeUpTo()));
        detector.lanes.forEach((shard, lanes) -> addBehind(topic, detector, shard, lanes));
    }

    private void add(Counted counted) {
        tracks.add(counted);
        total.read += counted.tally.read;
        total.missing += counted.tally.missing;
        total.duplicates += counted.tally.duplicates;
        total.reordered += counted.tally.reordered;
        total.older += counted.tally.older;
    }

    private void addBehind(String topic, Detector detector, int shard, int lanes) {
        List<Instant> latest = new ArrayList<>();
        for (int lane = 0; lane < lanes; lane++) {
            Track track = detector.tracks.get(new Detector.Lane(lane, shard));
            latest.add(track == null ? Instant.MIN : track.watermark);
        }
        Instant others = latest.stream().max(Comparator.naturalOrder()).orElse(Instant.MIN);
        for (int lane = 0; lane < lanes; lane++) {
            if (latest.get(lane).isBefore(others)) {
                behind.add(new Behind(new Lane(topic, lane, shard), text(latest.get(lane)), text(others)));
            }
        }
    }

    private static String text(Instant time) {
        return time.equals(Instant.MIN) ? null : time.toString();
    }
}
