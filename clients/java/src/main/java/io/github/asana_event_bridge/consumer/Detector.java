package io.github.asana_event_bridge.consumer;

import com.google.protobuf.Timestamp;
import io.github.asana_event_bridge.v1.Record;
import io.github.asana_event_bridge.v1.ShardProgress;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/**
 * Finds out from the records of one topic alone what is missing, duplicate or late, and up to when the topic is complete. It
 * isn't safe for use by several threads.
 *
 * <p>A port of the Rust library's detector. proto/conformance/README.md in the repository explains the algorithm.
 */
public final class Detector {
    /**
     * A shard in a lane of the topic.
     *
     * @param lane the number of the lane: Kafka's partition
     * @param shard the number of the shard
     */
    public record Lane(int lane, int shard) {}

    /**
     * A source gap that isn't healed: Asana may have lost events of this stream.
     *
     * @param stream the stream: account/gid
     * @param gapId names the source gap
     */
    public record Gap(String stream, String gapId) {}

    /**
     * A lane whose watermarks of a shard are older than the same shard's in other lanes.
     *
     * @param lane the lane and shard
     * @param watermark the lane's latest watermark; empty if it has none
     * @param others the latest watermark of the shard in other lanes
     */
    public record Behind(Lane lane, Optional<Instant> watermark, Instant others) {}

    private record LaneGap(int lane, Gap gap) {}

    private static final Track.Place BEGINNING = new Track.Place(1, 1);
    private static final long NO_SEQUENCE = -1; // 2^64 - 1

    private final Map<Lane, Track> tracks = new HashMap<>();
    private final TreeMap<Integer, Integer> lanes = new TreeMap<>(); // to how many a shard writes
    private final Map<LaneGap, Instant> gaps = new HashMap<>(); // nothing before the time is lost
    private final Set<LaneGap> healed = new HashSet<>();
    private final boolean fromBeginning;
    private long unnumbered;
    private long epoch; // of the latest watermarks
    private int shards; // how many shards these name

    /**
     * A detector for one topic.
     *
     * @param fromBeginning whether the reader has the topic from its first record. If not, nothing is missing before the first
     *     record that the detector sees of each lane and shard
     */
    public Detector(boolean fromBeginning) {
        this.fromBeginning = fromBeginning;
    }

    /**
     * The verdict on the next record of a lane. Call it once for each record, in the order of each lane.
     *
     * @param record the record
     * @return what the detector knows about it
     */
    public Verdict observe(Record record) {
        var position = record.getPosition();
        Track.Place at = new Track.Place(position.getEpoch(), position.getLaneSequence());
        if (at.epoch() == 0 || at.sequence() == 0 || at.sequence() == NO_SEQUENCE) {
            unnumbered++;
            return Verdict.of(Continuity.UNNUMBERED);
        }
        Lane lane = new Lane(position.getLane(), position.getShard());
        Track track = tracks.computeIfAbsent(lane, unused -> new Track(fromBeginning ? BEGINNING : at));
        long newest = track.newest;
        Verdict verdict = track.place(at);
        if (!verdict.isNew()) {
            return verdict; // its content was news once
        }
        News news = switch (record.getBodyCase()) {
            case EPOCH_START -> {
                var start = record.getEpochStart();
                yield track.begin(at.epoch(), new Track.Place(start.getPreviousEpoch(), start.getPreviousLaneSequence()));
            }
            case SOURCE_GAP -> {
                String id = record.getSourceGap().getGapId();
                LaneGap gap = new LaneGap(lane.lane, new Gap(position.getStream(), id));
                if (!healed.contains(gap)) {
                    boolean isKnown = record.getSourceGap().hasLastCompletePollAt();
                    gaps.put(gap, isKnown ? instant(record.getSourceGap().getLastCompletePollAt()) : Instant.MIN);
                }
                yield new News.SourceGapOpened(id);
            }
            case SOURCE_GAP_HEALED -> {
                String id = record.getSourceGapHealed().getGapId();
                LaneGap gap = new LaneGap(lane.lane, new Gap(position.getStream(), id));
                gaps.remove(gap);
                healed.add(gap); // the gap's own record may come late
                yield new News.SourceGapHealed(id);
            }
            case STREAM_ENDED -> { // nobody heals its source gaps
                gaps.keySet().removeIf(gap -> gap.lane == lane.lane && gap.gap.stream.equals(position.getStream()));
                yield null;
            }
            case WATERMARK -> {
                var watermark = record.getWatermark();
                if (Long.compareUnsigned(at.epoch(), epoch) >= 0) {
                    epoch = at.epoch();
                    shards = watermark.getShards();
                }
                watermark.getProgressList().forEach(it -> lanes.merge(it.getShard(), watermark.getLanes(), Math::max));
                yield null;
            }
            default -> null;
        };
        News told = advance(track, lane.lane, record, verdict.continuity() == Continuity.REORDERED);
        if (news == null && newest != 0 && Long.compareUnsigned(newest, at.epoch()) < 0) {
            news = new News.EpochChanged(newest, OptionalLong.empty());
        }
        return new Verdict(verdict.continuity(), verdict.missing(), Optional.ofNullable(news == null ? told : news));
    }

    /** Applies a watermark, and what waited for a record that came late. */
    private News advance(Track track, int lane, Record record, boolean late) {
        if (!late && !record.hasWatermark()) {
            return null;
        }
        Instant before = completeUpTo(it -> it == lane);
        long missing = 0;
        for (ShardProgress progress : record.getWatermark().getProgressList()) {
            Track.Place at = new Track.Place(progress.getEpoch(), progress.getLaneSequence());
            if (at.epoch() != 0 && at.sequence() != 0 && at.sequence() != NO_SEQUENCE) {
                Track.Place floor = fromBeginning ? BEGINNING : new Track.Place(at.epoch(), at.sequence() + 1);
                Track named = tracks.computeIfAbsent(new Lane(lane, progress.getShard()), unused -> new Track(floor));
                missing += named.note(progress, late);
            }
        }
        track.advance();
        if (missing > 0) {
            return new News.TailMissing(missing);
        }
        Instant after = completeUpTo(it -> it == lane);
        return before.isBefore(after) ? new News.CompleteUpTo(after) : null;
    }

    /**
     * The time up to which all lanes of all shards are complete.
     *
     * @return the time; empty if one of them has no watermark yet
     */
    public Optional<Instant> completeUpTo() {
        return known(completeUpTo(lane -> true));
    }

    /** The earliest instant stands for none. */
    private Instant completeUpTo(IntPredicate wanted) {
        TreeSet<Instant> times = new TreeSet<>();
        for (int shard = 0; shard < shards; shard++) {
            int count = lanes.getOrDefault(shard, 0);
            if (count == 0) {
                return Instant.MIN;
            }
            for (int lane = 0; lane < count; lane++) {
                Track track = tracks.get(new Lane(lane, shard));
                if (wanted.test(lane) && (track == null || !track.isEmpty())) {
                    times.add(track == null ? Instant.MIN : track.complete);
                }
            }
        }
        tracks.forEach((lane, track) -> {
            if (wanted.test(lane.lane) && lane.shard >= shards && track.lacks()) { // it has ended, and something of it is missing
                times.add(track.complete);
            }
        });
        if (times.isEmpty()) {
            return Instant.MIN;
        }
        gaps.forEach((gap, since) -> {
            if (wanted.test(gap.lane)) {
                times.add(since);
            }
        });
        return times.first();
    }

    /**
     * Lanes that may have lost their last records. Alert if one stays in this list though you read to its end.
     *
     * @return the lanes, sorted by shard and lane
     */
    public List<Behind> behind() {
        List<Behind> behind = new ArrayList<>();
        lanes.forEach((shard, count) -> {
            List<Lane> all = IntStream.range(0, count).mapToObj(lane -> new Lane(lane, shard)).toList();
            Instant others = all.stream().map(this::watermark).max(Comparator.naturalOrder()).orElse(Instant.MIN);
            all.stream().filter(lane -> watermark(lane).isBefore(others))
                    .forEach(lane -> behind.add(new Behind(lane, known(watermark(lane)), others)));
        });
        return behind;
    }

    /**
     * The source gaps that aren't healed.
     *
     * @return the gaps, sorted
     */
    public List<Gap> openGaps() {
        Comparator<Gap> order = Comparator.comparing(Gap::stream).thenComparing(Gap::gapId);
        return gaps.keySet().stream().map(LaneGap::gap).distinct().sorted(order).toList();
    }

    /**
     * The counts of each lane and shard that was seen.
     *
     * @return the counts, sorted by lane and shard
     */
    public SortedMap<Lane, Tally> tallies() {
        TreeMap<Lane, Tally> tallies = new TreeMap<>(Comparator.comparing(Lane::lane).thenComparing(Lane::shard));
        tracks.forEach((lane, track) -> tallies.put(lane, track.tally()));
        return tallies;
    }

    /**
     * How many records weren't of the bridge.
     *
     * @return their number
     */
    public long unnumbered() {
        return unnumbered;
    }

    private Instant watermark(Lane lane) {
        return tracks.containsKey(lane) ? tracks.get(lane).watermark : Instant.MIN;
    }

    private static Optional<Instant> known(Instant time) {
        return Optional.of(time).filter(it -> !it.equals(Instant.MIN));
    }

    static Instant instant(Timestamp timestamp) {
        return Instant.ofEpochSecond(timestamp.getSeconds(), timestamp.getNanos());
    }
}
