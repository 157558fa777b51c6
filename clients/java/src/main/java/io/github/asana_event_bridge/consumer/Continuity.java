package io.github.asana_event_bridge.consumer;

/** The place of a record among those that the detector has seen. */
public enum Continuity {
    /** The next record after the last one. Process it. */
    IN_ORDER,
    /** Records before it weren't seen: {@link Verdict#missing} is their number. Process it, and alert. They may still come. */
    MISSING,
    /** It was missing, and now it came. Process it, if your work accepts late records. */
    REORDERED,
    /** It was seen before. Skip it. */
    DUPLICATE,
    /** It is from before the first record that was seen. Skip it, or process it if your work is idempotent. */
    OLDER,
    /** It isn't a record of the bridge. Alert: somebody else writes to your topic. */
    UNNUMBERED
}
