package io.github.asana_event_bridge.consumer;

import io.github.asana_event_bridge.v1.PublishedProgress;
import io.github.asana_event_bridge.v1.Record;
import io.github.asana_event_bridge.v1.State;
import io.github.asana_event_bridge.v1.StateProgress;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The table that the state topic is: the latest state of each resource, and how complete that is.
 *
 * <p>Pass all messages of the topic to {@link #apply}, each partition in its order, from the beginning. Not thread-safe.
 */
public final class StateTable {
    private final Map<String, State> states = new HashMap<>();
    private final Map<Integer, StateProgress> progress = new HashMap<>();

    /**
     * Takes one message.
     *
     * @param key the message's key
     * @param record the message's value, or null if it has none, which is a tombstone
     */
    public void apply(String key, Record record) {
        if (record == null) {
            states.remove(key);
        } else if (record.hasState()) {
            states.put(key, record.getState());
        } else if (record.hasStateProgress()) {
            progress.put(record.getStateProgress().getShard(), record.getStateProgress());
        }
    }

    /**
     * The latest state of each resource.
     *
     * @return the states, by gid
     */
    public Map<String, State> states() {
        return Collections.unmodifiableMap(states);
    }

    /**
     * How complete the table is, if all messages were applied. The comment of StateProgress in the proto has the steps.
     *
     * @return what the topic says of itself
     */
    public Completeness completeness() {
        List<StateProgress> current = current();
        if (current.isEmpty()) {
            return new Completeness.Unknown();
        }
        Instant readUpTo = current.stream().map(StateTable::readUpTo).min(Comparator.naturalOrder()).orElseThrow();
        List<PublishedProgress> published = new ArrayList<>();
        for (StateProgress record : current) {
            Optional<PublishedProgress> covered = record.getPublishedList().stream()
                    .filter(it -> !Detector.instant(it.getAt()).isAfter(readUpTo))
                    .findFirst();
            if (covered.isEmpty()) {
                return new Completeness.Unknown();
            }
            covered.filter(it -> it.getStreams() > 0).ifPresent(published::add);
        }
        int loading = published.stream().mapToInt(PublishedProgress::getNotLoaded).sum();
        if (loading > 0) {
            return new Completeness.Loading(loading);
        }
        boolean isKnown = published.stream().allMatch(PublishedProgress::hasCompleteUpTo);
        Optional<Instant> least = published.stream()
                .map(it -> Detector.instant(it.getCompleteUpTo()))
                .min(Comparator.naturalOrder())
                .filter(time -> time.isBefore(readUpTo));
        return new Completeness.Complete(
                isKnown ? Optional.of(least.orElse(readUpTo)) : Optional.empty(),
                published.stream().mapToInt(PublishedProgress::getOpenSourceGaps).sum(),
                published.stream().mapToInt(PublishedProgress::getSuspended).sum(),
                published.stream().mapToLong(PublishedProgress::getLeftOut).sum());
    }

    /** The last record of each shard, or none if one is missing. After a change of the number of shards there are both numbers'. */
    private List<StateProgress> current() {
        Comparator<StateProgress> byTime = Comparator.comparing(StateTable::readUpTo);
        int shards = progress.values().stream().max(byTime).map(StateProgress::getShards).orElse(0);
        List<StateProgress> current = progress.values().stream()
                .filter(it -> it.getShards() == shards && it.getShard() < shards)
                .toList();
        return current.size() < shards ? List.of() : current;
    }

    private static Instant readUpTo(StateProgress record) {
        return Detector.instant(record.getReadUpTo());
    }
}
