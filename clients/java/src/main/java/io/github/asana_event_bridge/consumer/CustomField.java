package io.github.asana_event_bridge.consumer;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import io.github.asana_event_bridge.v1.Change;
import io.github.asana_event_bridge.v1.ChangeValue;
import io.github.asana_event_bridge.v1.Event;
import io.github.asana_event_bridge.v1.Resource;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Predicate;

/**
 * A custom field and its new value.
 *
 * <p>`kind` says what `value` is: "enum" a {@link Named}; "multi_enum", "people", "reference" a list of them; "number" a
 * {@link java.math.BigDecimal}; "text" a string; "date" a {@link Date}. `value` is null if `kind` is "empty" (somebody emptied
 * the field) or "unknown" (Asana didn't send the value, as in streams of whole workspaces).
 *
 * @param gid the field's gid
 * @param name the field's name; null if Asana didn't send it
 * @param type Asana's word for the field's type, an open set; null if Asana didn't send it
 * @param kind what the value is
 * @param value the value
 * @param displayValue the value as Asana shows it; null if Asana didn't send it
 */
public record CustomField(String gid, String name, String type, String kind, Object value, String displayValue) {
    /**
     * An option, a user, or another object.
     *
     * @param gid its gid
     * @param name its name; null if Asana didn't send it
     */
    public record Named(String gid, String name) {}

    /**
     * A day, and the time if one was set.
     *
     * @param date the day, such as 2026-01-02; or null
     * @param dateTime the time in RFC 3339; or null
     */
    public record Date(String date, String dateTime) {}

    private record Reading(String key, Function<JsonElement, Object> read) {}

    /** Where Asana puts the value of a field, by its kind, and how it is read. */
    private static final Map<String, Reading> VALUES = new LinkedHashMap<>();

    static {
        VALUES.put("enum", new Reading("enum_value", CustomField::named));
        VALUES.put("multi_enum", new Reading("multi_enum_values", CustomField::allNamed));
        VALUES.put("number", new Reading("number_value", CustomField::number));
        VALUES.put("text", new Reading("text_value", CustomField::text));
        VALUES.put("date", new Reading("date_value", CustomField::date));
        VALUES.put("people", new Reading("people_value", CustomField::allNamed));
        VALUES.put("reference", new Reading("reference_value", CustomField::allNamed));
    }

    /**
     * The custom field that an event changed.
     *
     * @param event the event
     * @return the field; empty if the event changed something else
     */
    public static Optional<CustomField> of(Event event) {
        Change change = event.getChange();
        ChangeValue value = change.hasNewValue() ? change.getNewValue()
                : change.hasAddedValue() ? change.getAddedValue() : change.getRemovedValue();
        Resource field = value.getResource();
        if (!field.getResourceType().equals("custom_field")) {
            return Optional.empty();
        }
        JsonObject said = object(value.getJson().isEmpty() ? new JsonObject() : JsonParser.parseString(value.getJson()));
        String kind = "unknown";
        Object read = null;
        for (var entry : VALUES.entrySet()) {
            JsonElement told = said.get(entry.getValue().key);
            if (told == null) {
                continue;
            }
            if (told.isJsonNull() || told instanceof JsonArray list && list.isEmpty()) {
                kind = "empty";
                continue;
            }
            read = entry.getValue().read.apply(told);
            kind = read == null ? "unknown" : entry.getKey();
            break;
        }
        String name = field.hasName() ? field.getName() : null;
        String type = field.hasResourceSubtype() ? field.getResourceSubtype() : text(said.get("type"));
        return Optional.of(new CustomField(field.getGid(), name, type, kind, read, text(said.get("display_value"))));
    }

    // Each gives null for what doesn't have the form that Asana describes.

    private static Named named(JsonElement said) {
        String gid = text(object(said).get("gid"));
        return gid == null ? null : new Named(gid, text(object(said).get("name")));
    }

    private static List<Named> allNamed(JsonElement said) {
        List<Named> all = new ArrayList<>();
        if (!(said instanceof JsonArray list)) {
            return null;
        }
        list.forEach(item -> all.add(named(item)));
        return all.contains(null) ? null : all;
    }

    private static Object number(JsonElement said) {
        return primitive(said, JsonPrimitive::isNumber).map(JsonPrimitive::getAsBigDecimal).orElse(null);
    }

    private static Date date(JsonElement said) {
        Date date = new Date(text(object(said).get("date")), text(object(said).get("date_time")));
        return date.date == null && date.dateTime == null ? null : date;
    }

    private static String text(JsonElement said) {
        return primitive(said, JsonPrimitive::isString).map(JsonPrimitive::getAsString).orElse(null);
    }

    private static Optional<JsonPrimitive> primitive(JsonElement said, Predicate<JsonPrimitive> is) {
        return said instanceof JsonPrimitive it && is.test(it) ? Optional.of(it) : Optional.empty();
    }

    private static JsonObject object(JsonElement said) {
        return said instanceof JsonObject it ? it : new JsonObject();
    }
}
