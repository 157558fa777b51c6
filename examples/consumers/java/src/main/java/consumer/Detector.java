package consumer;

import com.google.protobuf.Timestamp;
import io.github.asana_event_bridge.v1.Record;
import java.time.Instant;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * Knows from the records of a topic alone what is missing, double, late, and complete up to when.
 *
 * <p>A port of the bridge's own detector; proto/conformance/README.md explains the algorithm.
 */
final class Detector {
    record Lane(int lane, int shard) {}

    record Gap(int lane, String stream, String id) {}

    private static final Track.Place BEGINNING = new Track.Place(1, 1);
    private static final long NO_SEQUENCE = -1; // 2^64 - 1

    final Map<Lane, Track> tracks = new HashMap<>();
    final TreeMap<Integer, Integer> lanes = new TreeMap<>(); // to how many a shard writes
    final Map<Gap, Instant> gaps = new HashMap<>(); // nothing before the time is lost
    long unnumbered;
    private final boolean fromBeginning;
    private final Set<Gap> healed = new HashSet<>();
    private long epoch; // of the latest watermarks
    private int shards; // that there are, say those

    Detector(boolean fromBeginning) {
        this.fromBeginning = fromBeginning;
    }

    /** The verdict on the next record of a lane. */
    Verdict observe(Record record) {
        var position = record.getPosition();
        Track.Place at = new Track.Place(position.getEpoch(), position.getLaneSequence());
        if (at.epoch() == 0 || at.sequence() == 0 || at.sequence() == NO_SEQUENCE) {
            unnumbered++;
            return Verdict.of("unnumbered");
        }
        Lane lane = new Lane(position.getLane(), position.getShard());
        Track track = tracks.computeIfAbsent(lane, unused -> new Track(fromBeginning ? BEGINNING : at));
        long newest = track.newest;
        Verdict verdict = track.place(at);
        if (List.of("duplicate", "older").contains(verdict.continuity())) {
            return verdict; // what it says was news once
        }
        Map<String, Object> news = switch (record.getBodyCase()) {
            case EPOCH_START -> {
                var start = record.getEpochStart();
                yield track.begin(at.epoch(), new Track.Place(start.getPreviousEpoch(), start.getPreviousLaneSequence()));
            }
            case SOURCE_GAP -> {
                String id = record.getSourceGap().getGapId();
                Gap gap = new Gap(lane.lane, position.getStream(), id);
                if (!healed.contains(gap)) {
                    gaps.put(gap, instant(record.getSourceGap().getLastCompletePollAt()));
                }
                yield Map.of("kind", "source_gap_opened", "gap_id", id);
            }
            case SOURCE_GAP_HEALED -> {
                String id = record.getSourceGapHealed().getGapId();
                Gap gap = new Gap(lane.lane, position.getStream(), id);
                gaps.remove(gap);
                healed.add(gap); // the gap's own record may come late
                yield Map.of("kind", "source_gap_healed", "gap_id", id);
            }
            case STREAM_ENDED -> { // nobody heals its source gaps
                gaps.keySet().removeIf(gap -> gap.lane == lane.lane && gap.stream.equals(position.getStream()));
                yield null;
            }
            case WATERMARK -> {
                var watermark = record.getWatermark();
                if (Long.compareUnsigned(at.epoch(), epoch) >= 0) {
                    epoch = at.epoch();
                    shards = watermark.getShards();
                }
                lanes.merge(lane.shard, watermark.getLanes(), Math::max);
                track.note(at, instant(watermark.getCompleteUpTo()));
                yield null;
            }
            default -> null;
        };
        boolean completed = track.advance();
        if (news == null && newest != 0 && Long.compareUnsigned(newest, at.epoch()) < 0) {
            news = Map.of("kind", "epoch_changed", "previous_epoch", newest);
        } else if (news == null && completed) {
            news = Map.of("kind", "complete_up_to", "time", track.complete.toString());
        }
        return new Verdict(verdict.continuity(), verdict.missing(), news);
    }

    /** The time up to which all lanes of all shards are complete; the least if one of them lacks a watermark. */
    Instant completeUpTo() {
        TreeSet<Instant> times = new TreeSet<>(gaps.values());
        for (int shard = 0; shard < shards; shard++) {
            for (int lane = 0; lane < lanes.getOrDefault(shard, 1); lane++) {
                Track track = tracks.get(new Lane(lane, shard));
                times.add(track == null ? Instant.MIN : track.complete);
            }
        }
        tracks.forEach((lane, track) -> {
            if (lane.shard >= shards && (track.isCut || !track.holes.isEmpty())) { // it has ended, and something of it is missing
                times.add(track.complete);
            }
        });
        return shards == 0 ? Instant.MIN : times.first();
    }

    private static Instant instant(Timestamp timestamp) {
        return Instant.ofEpochSecond(timestamp.getSeconds(), timestamp.getNanos());
    }
}
