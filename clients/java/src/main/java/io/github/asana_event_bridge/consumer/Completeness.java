package io.github.asana_event_bridge.consumer;

import java.time.Instant;
import java.util.Optional;

/** How complete a {@link StateTable} is, as the topic says it of itself. */
public sealed interface Completeness {
    /** Nothing is known just now. A resource that isn't in the table may exist. */
    record Unknown() implements Completeness {}

    /**
     * Some streams weren't crawled completely yet. A resource that isn't in the table may exist.
     *
     * @param streams how many
     */
    record Loading(int streams) implements Completeness {}

    /**
     * What a stream showed before a time is in the table, apart from the exceptions that are counted.
     *
     * @param upTo the time, by Asana's clock; empty if it isn't known yet
     * @param openSourceGaps source gaps that aren't healed: changes may be missing
     * @param suspended streams that Asana refuses to have polled: their resources keep the states that they had
     * @param leftOut lists and objects that couldn't be read: what is in them may be missing
     */
    record Complete(Optional<Instant> upTo, int openSourceGaps, int suspended, long leftOut) implements Completeness {}
}
