package io.github.asana_event_bridge.consumer;

import java.util.Optional;

/**
 * What the detector knows about one record.
 *
 * @param continuity its place among those that the detector has seen
 * @param missing how many records before it are missing: more than 0 if the continuity is MISSING, and else 0; unsigned
 * @param news what it means for the reader, beside its own content
 */
public record Verdict(Continuity continuity, long missing, Optional<News> news) {
    /**
     * Whether the record has to be processed.
     *
     * @return false for DUPLICATE and OLDER
     */
    public boolean isNew() {
        return continuity != Continuity.DUPLICATE && continuity != Continuity.OLDER;
    }

    static Verdict of(Continuity continuity) {
        return new Verdict(continuity, 0, Optional.empty());
    }
}
