package io.github.asana_event_bridge.consumer;

import java.time.Instant;
import java.util.OptionalLong;

/** What a record means for the reader, beside its own content. */
public sealed interface News {
    /**
     * New counters begin.
     *
     * @param previousEpoch the epoch before; unsigned
     * @param missing how many records are missing at its end; empty if nobody knows
     */
    record EpochChanged(long previousEpoch, OptionalLong missing) implements News {}

    /**
     * Asana may have lost events of a stream.
     *
     * @param gapId names the source gap
     */
    record SourceGapOpened(String gapId) implements News {}

    /**
     * The state of the stream's resources is correct again.
     *
     * @param gapId names the source gap
     */
    record SourceGapHealed(String gapId) implements News {}

    /**
     * A watermark names records of other shards that weren't seen, the last ones of their shards in the lane. They may still
     * come.
     *
     * @param missing how many
     */
    record TailMissing(long missing) implements News {}

    /**
     * Nothing of the lane is missing up to a time.
     *
     * @param time the time
     */
    record CompleteUpTo(Instant time) implements News {}
}
