package consumer;

import com.google.gson.JsonObject;
import io.github.asana_event_bridge.consumer.Completeness;
import io.github.asana_event_bridge.consumer.Detector;
import io.github.asana_event_bridge.consumer.News;
import io.github.asana_event_bridge.consumer.Tally;
import io.github.asana_event_bridge.consumer.Verdict;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/** What the detectors of some topics know at the end: counts, open source gaps, and how far each topic is complete. */
record Report(
        Tally total,
        List<Track> tracks,
        long unnumbered,
        TreeSet<Detector.Gap> openGaps,
        Map<String, String> completeUpTo,
        List<Behind> behind) {
    record Lane(String topic, int lane, int shard) {}

    record Track(Lane lane, Tally tally) {}

    record Behind(Lane key, String watermark, String others) {}

    static Report of(Map<String, Detector> detectors) {
        List<Track> tracks = new ArrayList<>();
        TreeSet<Detector.Gap> gaps =
                new TreeSet<>(Comparator.comparing(Detector.Gap::stream).thenComparing(Detector.Gap::gapId));
        Map<String, String> completeUpTo = new TreeMap<>();
        List<Behind> behind = new ArrayList<>();
        new TreeMap<>(detectors).forEach((topic, detector) -> {
            detector.tallies().forEach((lane, tally) -> tracks.add(new Track(lane(topic, lane), tally)));
            gaps.addAll(detector.openGaps());
            completeUpTo.put(topic, detector.completeUpTo().map(Object::toString).orElse(null));
            detector.behind().forEach(it -> behind.add(new Behind(
                    lane(topic, it.lane()), it.watermark().map(Object::toString).orElse(null), it.others().toString())));
        });
        Tally total = tracks.stream().map(Track::tally).reduce(new Tally(0, 0, 0, 0, 0), Report::add);
        long unnumbered = detectors.values().stream().mapToLong(Detector::unnumbered).sum();
        return new Report(total, tracks, unnumbered, gaps, completeUpTo, behind);
    }

    /** A verdict as JSON, without what isn't set. */
    static JsonObject of(Verdict verdict) {
        JsonObject json = new JsonObject();
        json.addProperty("continuity", verdict.continuity().name().toLowerCase(Locale.ROOT));
        if (verdict.missing() != 0) {
            json.addProperty("missing", verdict.missing());
        }
        verdict.news().ifPresent(news -> json.add("news", of(news)));
        return json;
    }

    /** How complete a table is, as JSON. */
    static JsonObject of(Completeness completeness) {
        JsonObject json = new JsonObject();
        if (completeness instanceof Completeness.Loading loading) {
            json.addProperty("kind", "loading");
            json.addProperty("streams", loading.streams());
        } else if (completeness instanceof Completeness.Complete complete) {
            json.addProperty("kind", "complete");
            json.addProperty("up_to", complete.upTo().map(Object::toString).orElse(null));
            json.addProperty("open_source_gaps", complete.openSourceGaps());
            json.addProperty("suspended", complete.suspended());
            json.addProperty("left_out", complete.leftOut());
        } else {
            json.addProperty("kind", "unknown");
        }
        return json;
    }

    private static JsonObject of(News news) {
        JsonObject json = new JsonObject();
        if (news instanceof News.EpochChanged it) {
            json.addProperty("kind", "epoch_changed");
            json.addProperty("previous_epoch", it.previousEpoch());
            it.missing().ifPresent(missing -> json.addProperty("missing", missing));
        } else if (news instanceof News.SourceGapOpened it) {
            json.addProperty("kind", "source_gap_opened");
            json.addProperty("gap_id", it.gapId());
        } else if (news instanceof News.SourceGapHealed it) {
            json.addProperty("kind", "source_gap_healed");
            json.addProperty("gap_id", it.gapId());
        } else if (news instanceof News.TailMissing it) {
            json.addProperty("kind", "tail_missing");
            json.addProperty("missing", it.missing());
        } else if (news instanceof News.CompleteUpTo it) {
            json.addProperty("kind", "complete_up_to");
            json.addProperty("time", it.time().toString());
        }
        return json;
    }

    private static Lane lane(String topic, Detector.Lane lane) {
        return new Lane(topic, lane.lane(), lane.shard());
    }

    private static Tally add(Tally one, Tally other) {
        return new Tally(
                one.read() + other.read(),
                one.missing() + other.missing(),
                one.duplicates() + other.duplicates(),
                one.reordered() + other.reordered(),
                one.older() + other.older());
    }
}
