package consumer;

import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;

/** A shard in a lane: all from the floor to the ends was seen, but for the holes. Epochs and sequences are unsigned. */
final class Track {
    /** Orders the records of a track. */
    record Place(long epoch, long sequence) implements Comparable<Place> {
        @Override
        public int compareTo(Place other) {
            int epochs = Long.compareUnsigned(epoch, other.epoch);
            return epochs != 0 ? epochs : Long.compareUnsigned(sequence, other.sequence);
        }
    }

    /** Sequences read, and what was found wrong with them. */
    static final class Tally {
        long read, missing, duplicates, reordered, older;
    }

    final Tally tally = new Tally();
    final TreeMap<Place, Long> holes = new TreeMap<>(); // up to the place, from the sequence
    long newest;
    Instant watermark = Instant.MIN; // the latest
    Instant complete = Instant.MIN; // the latest that nothing is missing before
    boolean isCut; // an epoch's end isn't known
    private Place watermarkAt;
    private final Place floor;
    private final Map<Long, Long> ends = new HashMap<>(); // the last sequence known of each epoch

    Track(Place floor) {
        this.floor = floor;
        ends.put(floor.epoch, floor.sequence - 1);
    }

    /** Where the next record stands. */
    Verdict place(Place at) {
        tally.read++;
        newest = Long.compareUnsigned(newest, at.epoch) < 0 ? at.epoch : newest;
        if (at.compareTo(floor) < 0) {
            tally.older++;
            return Verdict.of("older");
        }
        if (Long.compareUnsigned(ends.getOrDefault(at.epoch, 0L), at.sequence) < 0) {
            long missing = expect(new Place(at.epoch, at.sequence - 1));
            ends.put(at.epoch, at.sequence);
            return missing == 0 ? Verdict.of("in_order") : new Verdict("missing", missing, null);
        }
        Map.Entry<Place, Long> hole = holes.ceilingEntry(at);
        if (hole == null || at.compareTo(new Place(hole.getKey().epoch, hole.getValue())) < 0) {
            tally.duplicates++;
            return Verdict.of("duplicate");
        }
        holes.remove(hole.getKey());
        if (hole.getValue() != at.sequence) {
            holes.put(new Place(at.epoch, at.sequence - 1), hole.getValue());
        }
        if (!hole.getKey().equals(at)) {
            holes.put(hole.getKey(), at.sequence + 1);
        }
        tally.reordered++;
        tally.missing--;
        return Verdict.of("reordered");
    }

    /** An epoch reaches to a place: how many are missing before it that weren't known to be. */
    long expect(Place last) {
        long end = ends.getOrDefault(last.epoch, 0L);
        if (last.compareTo(floor) < 0 || Long.compareUnsigned(last.sequence, end) <= 0) {
            return 0;
        }
        holes.put(last, end + 1);
        ends.put(last.epoch, last.sequence);
        tally.missing += last.sequence - end;
        return last.sequence - end;
    }

    /** What an epoch's start tells of the end of the one before. Of one that it doesn't know of, nobody knows that. */
    Map<String, Object> begin(long epoch, Place previous) {
        var seen = ends.keySet().stream().filter(it -> Long.compareUnsigned(it, epoch) < 0 && ends.get(it) != 0)
                .max(Long::compareUnsigned);
        if (previous.epoch == 0 && seen.isPresent()) {
            isCut = true;
            return Map.of("kind", "epoch_changed", "previous_epoch", seen.get());
        }
        return Map.of("kind", "epoch_changed", "previous_epoch", previous.epoch, "missing", expect(previous));
    }

    void note(Place at, Instant time) {
        if (watermark.isBefore(time)) {
            watermark = time;
            watermarkAt = at;
        }
    }

    /** Whether the track has become complete up to a later time. */
    boolean advance() {
        if (isCut || !complete.isBefore(watermark) || (!holes.isEmpty() && holes.firstKey().compareTo(watermarkAt) < 0)) {
            return false;
        }
        complete = watermark;
        return true;
    }
}
