package consumer;

import com.google.protobuf.Timestamp;
import io.github.asana_event_bridge.v1.LanesChanged;
import io.github.asana_event_bridge.v1.Position;
import io.github.asana_event_bridge.v1.Record;
import io.github.asana_event_bridge.v1.Watermark;
import java.time.Instant;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/**
 * Knows from the records alone what is missing, double, late, and complete up to when: by lane for who reads whole
 * topics, by stream for who reads single streams.
 *
 * <p>A port of the bridge's own detector; proto/conformance/README.md explains the algorithm.
 */
final class Detector {
    /** A shard in a lane of a topic; or a stream, and the rest is empty. */
    record Key(String topic, long lane, long shard, String stream) implements Comparable<Key> {
        private static final Comparator<Key> ORDER = Comparator.comparing(Key::topic).thenComparing(Key::lane)
                .thenComparing(Key::shard).thenComparing(Key::stream);

        @Override
        public int compareTo(Key other) {
            return ORDER.compare(this, other);
        }
    }

    record ShardKey(String topic, long shard) {}

    /** Topic and lane are empty where streams are followed. */
    record GapKey(String topic, long lane, String stream, String gapId) {}

    static final int MOST_HOLES = 1 << 20;

    final boolean byLane;
    final TreeMap<Key, Track> tracks = new TreeMap<>();
    final Map<String, Long> shards = new TreeMap<>();
    final Map<ShardKey, Long> lanes = new HashMap<>();
    final Map<GapKey, Optional<Instant>> gaps = new HashMap<>(); // nothing before the time is lost
    long unnumbered;
    private final boolean fromBeginning;
    private final int mostHoles;
    private final Map<ShardKey, Long> began = new HashMap<>();
    private final Set<GapKey> healedEarly = new HashSet<>();
    private int holes;

    Detector(boolean byLane, boolean fromBeginning, int mostHoles) {
        this.byLane = byLane;
        this.fromBeginning = fromBeginning;
        this.mostHoles = mostHoles;
    }

    /** The verdict on the next record of a lane of the topic. */
    Verdict observe(String topic, Record record) {
        Position at = record.getPosition();
        long sequence = byLane ? at.getLaneSequence() : at.getStreamSequence();
        if (!byLane && at.getEpoch() != 0 && at.getStream().isEmpty()) {
            return Verdict.of("not_followed");
        }
        if (at.getEpoch() == 0 || sequence == 0 || sequence == Track.NO_SEQUENCE) {
            unnumbered++;
            return Verdict.of("unnumbered");
        }
        long lane = Integer.toUnsignedLong(at.getLane());
        long shard = Integer.toUnsignedLong(at.getShard());
        long born = byLane ? noteLanes(new ShardKey(topic, shard), record) : 0;
        boolean whole = fromBeginning || (born > 0 && lane >= born); // who saw the lanes grow saw the new ones begin
        Key key = byLane ? new Key(topic, lane, shard, "") : new Key("", 0, 0, at.getStream());
        Track track = tracks.computeIfAbsent(key, unused -> new Track());
        boolean known = whole || !track.epochs.isEmpty();
        long newest = track.epochs.isEmpty() ? 0 : track.epochs.lastKey();
        int before = track.holes();
        Verdict verdict = track.place(at.getEpoch(), sequence, whole);
        if (verdict.isNew()) { // what the others say was news once
            verdict = verdict.with(news(track, record, new GapKey(key.topic, key.lane, at.getStream(), ""), known, newest));
        }
        holes += track.holes() - before;
        while (holes > mostHoles) {
            Track worst = tracks.values().stream().max(Comparator.comparingInt(Track::holes)).orElseThrow();
            int givenUp = (worst.holes() + 1) / 2;
            worst.giveUpHoles(givenUp);
            holes -= givenUp;
        }
        return verdict;
    }

    private long noteLanes(ShardKey key, Record record) {
        if (record.hasWatermark()) {
            Watermark watermark = record.getWatermark();
            shards.merge(key.topic, Integer.toUnsignedLong(watermark.getShards()), Math::max);
            lanes.merge(key, Integer.toUnsignedLong(watermark.getLanes()), Math::max);
        } else if (record.hasLanesChanged()) {
            LanesChanged changed = record.getLanesChanged();
            lanes.merge(key, Integer.toUnsignedLong(changed.getCount()), Math::max);
            long previous = Integer.toUnsignedLong(changed.getPreviousCount());
            began.merge(key, previous, (one, other) -> one == 0 ? other : Math.min(one, other));
        }
        return began.getOrDefault(key, 0L);
    }

    private Map<String, Object> news(Track track, Record record, GapKey lane, boolean known, long newest) {
        Position at = record.getPosition();
        long ended = 0;
        Instant completed = null;
        if (byLane) {
            if (record.hasEpochStart() && known) {
                var start = record.getEpochStart();
                ended = track.expect(start.getPreviousEpoch(), start.getPreviousLaneSequence());
            }
            if (record.getWatermark().hasCompleteUpTo()) {
                Instant time = instant(record.getWatermark().getCompleteUpTo());
                track.await(new Track.Watermark(at.getEpoch(), at.getLaneSequence(), time));
            }
            completed = track.advance();
        }
        return switch (record.getBodyCase()) {
            case EPOCH_START -> epochChanged(record.getEpochStart().getPreviousEpoch(), ended);
            case LANES_CHANGED -> Map.of("kind", "lanes_changed",
                    "previous_count", Integer.toUnsignedLong(record.getLanesChanged().getPreviousCount()),
                    "count", Integer.toUnsignedLong(record.getLanesChanged().getCount()));
            case SOURCE_GAP -> {
                var gap = record.getSourceGap();
                GapKey key = new GapKey(lane.topic, lane.lane, lane.stream, gap.getGapId());
                if (!healedEarly.contains(key)) {
                    gaps.put(key, gap.hasLastCompletePollAt() ? Optional.of(instant(gap.getLastCompletePollAt()))
                            : Optional.empty());
                }
                yield Map.of("kind", "source_gap_opened", "gap_id", gap.getGapId());
            }
            case SOURCE_GAP_HEALED -> {
                String id = record.getSourceGapHealed().getGapId();
                GapKey key = new GapKey(lane.topic, lane.lane, lane.stream, id);
                gaps.remove(key);
                if (track.holes() > 0) { // the gap's own record may be among what is missing
                    healedEarly.add(key);
                }
                yield Map.of("kind", "source_gap_healed", "gap_id", id);
            }
            default -> {
                if (newest != 0 && Long.compareUnsigned(newest, at.getEpoch()) < 0) {
                    yield epochChanged(newest, 0);
                }
                yield completed == null ? null : Map.of("kind", "complete_up_to", "time", completed.toString());
            }
        };
    }

    private static Map<String, Object> epochChanged(long previous, long missing) {
        return Map.of("kind", "epoch_changed", "previous_epoch", previous, "missing", missing);
    }

    private static Instant instant(Timestamp timestamp) {
        return Instant.ofEpochSecond(timestamp.getSeconds(), timestamp.getNanos());
    }
}
