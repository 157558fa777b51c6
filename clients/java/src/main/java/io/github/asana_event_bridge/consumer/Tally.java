package io.github.asana_event_bridge.consumer;

/**
 * The counts of a lane and shard.
 *
 * @param read records that were observed
 * @param missing records that exist and weren't seen
 * @param duplicates records that were seen before
 * @param reordered records that were missing, and came later
 * @param older records from before the first one that was seen
 */
public record Tally(long read, long missing, long duplicates, long reordered, long older) {}
