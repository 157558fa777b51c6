package consumer;

import java.time.Instant;
import java.util.Map;
import java.util.TreeMap;

/** A shard in a lane of a topic, or a stream. Epochs and sequences are unsigned. */
final class Track {
    static final long NO_SEQUENCE = -1; // 2^64 - 1
    private static final int EPOCHS_REMEMBERED = 4;

    /** Sequences read, and what was found wrong with them. */
    record Tally(long read, long missing, long duplicates, long reordered, long older) {
        Tally plus(Tally other) {
            return new Tally(read + other.read, missing + other.missing, duplicates + other.duplicates,
                    reordered + other.reordered, older + other.older);
        }
    }

    record Watermark(long epoch, long sequence, Instant time) {}

    final TreeMap<Long, Counter> epochs = new TreeMap<>(Long::compareUnsigned);
    Instant complete;
    private Watermark pending;
    private long retired;
    private Tally counted = new Tally(0, 0, 0, 0, 0); // of those missing, the ones that were given up

    /** The sequences of one epoch: all from `floor` on and below `next` were seen, but for the holes. */
    private static final class Counter {
        private long floor;
        private long next;
        private final TreeMap<Long, Long> holes = new TreeMap<>(Long::compareUnsigned); // first to last

        Counter(long first) {
            floor = next = first;
        }

        Verdict place(long sequence) {
            if (Long.compareUnsigned(sequence, next) >= 0) {
                long missing = expect(sequence - 1);
                next = sequence + 1;
                return missing == 0 ? Verdict.of("in_order") : Verdict.missing(missing);
            }
            if (Long.compareUnsigned(sequence, floor) < 0) {
                return Verdict.of("older");
            }
            Map.Entry<Long, Long> hole = holes.floorEntry(sequence);
            if (hole == null || Long.compareUnsigned(hole.getValue(), sequence) < 0) {
                return Verdict.of("duplicate");
            }
            holes.remove(hole.getKey());
            if (hole.getKey() != sequence) {
                holes.put(hole.getKey(), sequence - 1);
            }
            if (hole.getValue() != sequence) {
                holes.put(sequence + 1, hole.getValue());
            }
            return Verdict.of("reordered");
        }

        long expect(long last) {
            if (Long.compareUnsigned(last + 1, next) <= 0) {
                return 0;
            }
            long missing = last + 1 - next;
            holes.put(next, last);
            next = last + 1;
            return missing;
        }

        long missing() {
            return holes.entrySet().stream().mapToLong(hole -> hole.getValue() - hole.getKey() + 1).sum();
        }
    }

    /** Takes the next record. `whole`: the track is read from its start. */
    Verdict place(long epoch, long sequence, boolean whole) {
        Counter counter = find(epoch, sequence, whole);
        Verdict verdict = counter == null ? Verdict.of("older") : counter.place(sequence);
        retire();
        counted = counted.plus(switch (verdict.continuity()) {
            case "duplicate" -> new Tally(1, 0, 1, 0, 0);
            case "reordered" -> new Tally(1, 0, 0, 1, 0);
            case "older" -> new Tally(1, 0, 0, 0, 1);
            default -> new Tally(1, 0, 0, 0, 0);
        });
        return verdict;
    }

    /** The epoch reaches to `last`: how many of it are missing that weren't known to be. */
    long expect(long epoch, long last) {
        if (epoch == 0 || last == 0 || last == NO_SEQUENCE) {
            return 0;
        }
        Counter counter = find(epoch, 1, true);
        long missing = counter == null ? 0 : counter.expect(last);
        retire();
        return missing;
    }

    private Counter find(long epoch, long first, boolean whole) {
        if (!epochs.containsKey(epoch)) {
            boolean begins = whole || retired != 0 || epochs.lowerKey(epoch) != null;
            if (Long.compareUnsigned(epoch, retired) <= 0 || (!begins && !epochs.isEmpty())) {
                return null;
            }
            epochs.put(epoch, new Counter(begins ? 1 : first));
        }
        return epochs.get(epoch);
    }

    private void retire() {
        while (epochs.size() > EPOCHS_REMEMBERED) {
            Map.Entry<Long, Counter> lowest = epochs.pollFirstEntry();
            retired = lowest.getKey();
            giveUp(lowest.getValue().missing());
        }
    }

    private void giveUp(long missing) {
        counted = counted.plus(new Tally(0, missing, 0, 0, 0));
    }

    void await(Watermark watermark) {
        if (pending == null || pending.time.isBefore(watermark.time)) {
            pending = watermark;
        }
    }

    /** The time up to which the track has become complete; null if it hasn't. */
    Instant advance() {
        if (pending == null || counted.missing > 0 || epochs.entrySet().stream().anyMatch(this::holdsBack)) {
            return null;
        }
        Instant time = pending.time;
        pending = null;
        if (complete != null && !complete.isBefore(time)) {
            return null;
        }
        complete = time;
        return time;
    }

    private boolean holdsBack(Map.Entry<Long, Counter> epoch) {
        TreeMap<Long, Long> holes = epoch.getValue().holes;
        int order = Long.compareUnsigned(epoch.getKey(), pending.epoch);
        return !holes.isEmpty()
                && (order < 0 || (order == 0 && Long.compareUnsigned(holes.firstKey(), pending.sequence) < 0));
    }

    /** The time of the latest watermark, whatever is missing before it; null if there is none. */
    Instant latest() {
        return pending == null || (complete != null && complete.isAfter(pending.time)) ? complete : pending.time;
    }

    int holes() {
        return epochs.values().stream().mapToInt(counter -> counter.holes.size()).sum();
    }

    /** Gives up the lowest holes: what comes late for them will be older. */
    void giveUpHoles(int count) {
        for (Counter counter : epochs.values()) {
            for (; count > 0 && !counter.holes.isEmpty(); count--) {
                Map.Entry<Long, Long> hole = counter.holes.pollFirstEntry();
                giveUp(hole.getValue() - hole.getKey() + 1);
                counter.floor = hole.getValue() + 1;
            }
        }
    }

    Tally tally() {
        long missing = epochs.values().stream().mapToLong(Counter::missing).sum();
        return counted.plus(new Tally(0, missing, 0, 0, 0));
    }
}
