package io.github.asana_event_bridge.consumer;

import io.github.asana_event_bridge.v1.ShardProgress;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.TreeMap;

/** A shard in a lane: all from the floor to the ends was seen, except the holes. Epochs and sequences are unsigned. */
final class Track {
    /** Orders the records of a track. */
    record Place(long epoch, long sequence) implements Comparable<Place> {
        @Override
        public int compareTo(Place other) {
            int epochs = Long.compareUnsigned(epoch, other.epoch);
            return epochs != 0 ? epochs : Long.compareUnsigned(sequence, other.sequence);
        }
    }

    final TreeMap<Place, Long> holes = new TreeMap<>(); // up to the place, from the sequence
    long newest;
    Instant watermark = Instant.MIN; // the latest
    Instant complete = Instant.MIN; // the latest that nothing is missing before
    boolean isCut; // an epoch's end isn't known
    private long read, missing, duplicates, reordered, older;
    private Place watermarkAt;
    private Place emptyAt; // its last record when a watermark said that it has no streams
    private final Place floor;
    private final Map<Long, Long> ends = new HashMap<>(); // the last sequence known of each epoch

    Track(Place floor) {
        this.floor = floor;
        ends.put(floor.epoch, floor.sequence - 1);
    }

    /** Where the next record stands. */
    Verdict place(Place at) {
        read++;
        newest = Long.compareUnsigned(newest, at.epoch) < 0 ? at.epoch : newest;
        if (at.compareTo(floor) < 0) {
            older++;
            return Verdict.of(Continuity.OLDER);
        }
        if (Long.compareUnsigned(ends.getOrDefault(at.epoch, 0L), at.sequence) < 0) {
            long found = expect(new Place(at.epoch, at.sequence - 1));
            ends.put(at.epoch, at.sequence);
            return found == 0 ? Verdict.of(Continuity.IN_ORDER) : new Verdict(Continuity.MISSING, found, Optional.empty());
        }
        Map.Entry<Place, Long> hole = holes.ceilingEntry(at);
        if (hole == null || at.compareTo(new Place(hole.getKey().epoch, hole.getValue())) < 0) {
            duplicates++;
            return Verdict.of(Continuity.DUPLICATE);
        }
        holes.remove(hole.getKey());
        if (hole.getValue() != at.sequence) {
            holes.put(new Place(at.epoch, at.sequence - 1), hole.getValue());
        }
        if (!hole.getKey().equals(at)) {
            holes.put(hole.getKey(), at.sequence + 1);
        }
        reordered++;
        missing--;
        return Verdict.of(Continuity.REORDERED);
    }

    /** An epoch reaches to a place: how many are missing before it that weren't known to be. */
    long expect(Place last) {
        long end = ends.getOrDefault(last.epoch, 0L);
        if (last.compareTo(floor) < 0 || Long.compareUnsigned(last.sequence, end) <= 0) {
            return 0;
        }
        holes.put(last, end + 1);
        ends.put(last.epoch, last.sequence);
        newest = Long.compareUnsigned(newest, last.epoch) < 0 ? last.epoch : newest;
        missing += last.sequence - end;
        return last.sequence - end;
    }

    /** What an epoch's start tells of the end of the one before, if the bridge knew it. */
    News begin(long epoch, Place previous) {
        var seen = ends.keySet().stream().filter(it -> Long.compareUnsigned(it, epoch) < 0 && ends.get(it) != 0)
                .max(Long::compareUnsigned);
        if (previous.epoch == 0 && seen.isPresent()) {
            isCut = true;
            return new News.EpochChanged(seen.get(), OptionalLong.empty());
        }
        return new News.EpochChanged(previous.epoch, OptionalLong.of(expect(previous)));
    }

    Tally tally() {
        return new Tally(read, missing, duplicates, reordered, older);
    }

    /**
     * Notes what a watermark says of it, and returns how many are newly missing. If the watermark is late, a newer one may have
     * said otherwise.
     */
    long note(ShardProgress progress, boolean late) {
        Place at = new Place(progress.getEpoch(), progress.getLaneSequence());
        long found = expect(at);
        Instant time = Detector.instant(progress.getCompleteUpTo());
        if (progress.hasCompleteUpTo() && watermark.isBefore(time)) {
            watermark = time;
            watermarkAt = at;
        }
        if (!late) {
            emptyAt = progress.getEmpty() ? at : null;
        }
        advance();
        return found;
    }

    /** The latest watermark counts once nothing before it is missing. */
    void advance() {
        boolean waits = !holes.isEmpty() && watermarkAt != null
                && new Place(holes.firstKey().epoch, holes.firstEntry().getValue()).compareTo(watermarkAt) <= 0;
        if (!isCut && !waits && complete.isBefore(watermark)) {
            complete = watermark;
        }
    }

    /** Whether something is missing. */
    boolean lacks() {
        return isCut || !holes.isEmpty();
    }

    /** Whether it has no streams, and has written nothing since a watermark said so. */
    boolean isEmpty() {
        Place last = ends.entrySet().stream().map(it -> new Place(it.getKey(), it.getValue())).max(Place::compareTo).orElseThrow();
        return last.equals(emptyAt) && !lacks();
    }
}
