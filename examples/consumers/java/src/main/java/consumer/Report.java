package consumer;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What a detector knows in the end: counts, open source gaps, and how far each topic is complete. */
record Report(Track.Tally total, List<Map<String, Object>> tracks, long unnumbered, List<Map<String, String>> open_gaps,
        Map<String, String> complete_up_to, List<Behind> behind) {

    record Lane(String topic, long lane, long shard) {}

    /** A lane that lacks watermarks which other lanes of the same shard have: its tail may be lost. */
    record Behind(Lane key, String watermark, String others) {}

    static Report of(Detector detector, Collection<String> topics) {
        List<Map<String, Object>> tracks = new ArrayList<>();
        Track.Tally total = new Track.Tally(0, 0, 0, 0, 0);
        for (Map.Entry<Detector.Key, Track> entry : detector.tracks.entrySet()) {
            Detector.Key key = entry.getKey();
            Track.Tally tally = entry.getValue().tally();
            total = total.plus(tally);
            tracks.add(detector.byLane
                    ? Map.of("lane", new Lane(key.topic(), key.lane(), key.shard()), "tally", tally)
                    : Map.of("stream", key.stream(), "tally", tally));
        }
        TreeMap<String, TreeSet<String>> gaps = new TreeMap<>();
        for (Detector.GapKey gap : detector.gaps.keySet()) {
            gaps.computeIfAbsent(gap.stream(), unused -> new TreeSet<>()).add(gap.gapId());
        }
        List<Map<String, String>> open = gaps.entrySet().stream()
                .flatMap(of -> of.getValue().stream().map(id -> Map.of("stream", of.getKey(), "gap_id", id))).toList();
        Map<String, String> complete = new TreeMap<>();
        List<Behind> behind = new ArrayList<>();
        for (String topic : new TreeSet<>(topics)) {
            complete.put(topic, completeUpTo(detector, topic).map(Instant::toString).orElse(null));
            behind.addAll(behind(detector, topic));
        }
        return new Report(total, tracks, detector.unnumbered, open, complete, behind);
    }

    /** The time up to which all shards and lanes are complete; nothing if one of them lacks a watermark. */
    static Optional<Instant> completeUpTo(Detector detector, String topic) {
        TreeMap<Long, List<Optional<Track>>> shards = shards(detector, topic);
        if (shards.isEmpty() || shards.size() < detector.shards.getOrDefault(topic, 0L)) {
            return Optional.empty();
        }
        Stream<Optional<Instant>> gaps = detector.gaps.entrySet().stream()
                .filter(gap -> gap.getKey().topic().equals(topic)).map(Map.Entry::getValue);
        List<Optional<Instant>> times = Stream.concat(
                shards.values().stream().flatMap(List::stream).map(track -> track.map(it -> it.complete)), gaps).toList();
        return times.stream().allMatch(Optional::isPresent)
                ? times.stream().map(Optional::get).min(Instant::compareTo)
                : Optional.empty();
    }

    private static List<Behind> behind(Detector detector, String topic) {
        List<Behind> found = new ArrayList<>();
        shards(detector, topic).forEach((shard, lanes) -> {
            List<Optional<Instant>> latest = lanes.stream().map(track -> track.map(Track::latest)).toList();
            Optional<Instant> others = latest.stream().flatMap(Optional::stream).max(Instant::compareTo);
            for (int lane = 0; lane < lanes.size(); lane++) {
                Instant time = latest.get(lane).orElse(null);
                if (others.isPresent() && (time == null || time.isBefore(others.get()))) {
                    found.add(new Behind(new Lane(topic, lane, shard), Objects.toString(time, null), others.get().toString()));
                }
            }
        });
        return found;
    }

    /** For each shard that was seen, the track of each of its lanes; nothing for a lane that was never seen. */
    private static TreeMap<Long, List<Optional<Track>>> shards(Detector detector, String topic) {
        TreeMap<Long, TreeMap<Long, Track>> seen = new TreeMap<>();
        detector.tracks.forEach((key, track) -> {
            if (detector.byLane && key.topic().equals(topic)) {
                seen.computeIfAbsent(key.shard(), unused -> new TreeMap<>()).put(key.lane(), track);
            }
        });
        TreeMap<Long, List<Optional<Track>>> shards = new TreeMap<>();
        seen.forEach((shard, lanes) -> {
            long said = detector.lanes.getOrDefault(new Detector.ShardKey(topic, shard), 0L);
            shards.put(shard, Stream.iterate(0L, lane -> lane < Math.max(said, lanes.lastKey() + 1), lane -> lane + 1)
                    .map(lane -> Optional.ofNullable(lanes.get(lane)))
                    .collect(Collectors.toList()));
        });
        return shards;
    }
}
