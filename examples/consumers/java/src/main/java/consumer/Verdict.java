package consumer;

import java.util.Map;

/**
 * What one record says.
 *
 * @param continuity in_order, missing, duplicate, reordered, older or unnumbered
 * @param missing how many before it weren't seen; null if none
 * @param news what it tells beside that; null if nothing
 */
record Verdict(String continuity, Long missing, Map<String, Object> news) {
    static Verdict of(String continuity) {
        return new Verdict(continuity, null, null);
    }
}
