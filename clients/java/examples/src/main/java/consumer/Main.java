package consumer;

import com.google.gson.FieldNamingPolicy;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.asana_event_bridge.consumer.CustomField;
import io.github.asana_event_bridge.consumer.Decode;
import io.github.asana_event_bridge.consumer.Detector;
import io.github.asana_event_bridge.consumer.StateTable;
import io.github.asana_event_bridge.consumer.Verdict;
import io.github.asana_event_bridge.v1.Event;
import io.github.asana_event_bridge.v1.Position;
import io.github.asana_event_bridge.v1.Record;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Reads a topic of asana_event_bridge.v1.Record: a line of JSON for each record, with the detector's verdict. */
public final class Main {
    private static final String USAGE = """
            consumer --bootstrap HOST:PORT --topic TOPIC [--until-end]
            consumer --vectors FILE...""";
    private static final Gson GSON = new GsonBuilder()
            .disableHtmlEscaping()
            .serializeNulls()
            .setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES)
            .create();

    private static final Duration LOOK = Duration.ofMinutes(1);

    private Detector detector;
    private final PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    public static void main(String[] arguments) throws IOException {
        Map<String, String> options = new HashMap<>();
        List<String> vectors = new ArrayList<>();
        for (int at = 0; at < arguments.length; at++) {
            switch (arguments[at]) {
                case "--bootstrap", "--topic" -> {
                    if (at + 1 < arguments.length) {
                        options.put(arguments[at], arguments[++at]);
                    }
                }
                case "--until-end" -> options.put("--until-end", "");
                case "--vectors" -> vectors = List.of(arguments).subList(at + 1, at = arguments.length);
                default -> usage();
            }
        }
        if (!vectors.isEmpty()) {
            System.exit(check(vectors));
        }
        if (!options.containsKey("--bootstrap") || !options.containsKey("--topic")) {
            usage();
        }
        new Main().read(options.get("--bootstrap"), options.get("--topic"), options.containsKey("--until-end"));
    }

    private static void usage() {
        System.err.println(USAGE);
        System.exit(64);
    }

    /** All committed records of the topic from the start on; with `untilEnd`, those that are there. */
    private void read(String bootstrap, String topic, boolean untilEnd) {
        Properties settings = new Properties();
        settings.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        settings.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = partitions(consumer, topic);
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            // Where the broker has deleted the oldest records, there is nothing to miss before the first one that is there.
            detector = new Detector(consumer.beginningOffsets(partitions).values().stream().allMatch(low -> low == 0));
            Instant looked = Instant.now();
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            Set<TopicPartition> unfinished = new HashSet<>(partitions);
            while (!untilEnd || !unfinished.isEmpty()) {
                consumer.poll(Duration.ofSeconds(1)).forEach(this::print);
                out.flush();
                unfinished.removeIf(partition -> consumer.position(partition) >= ends.get(partition));
                if (!untilEnd && Instant.now().isAfter(looked.plus(LOOK))) {
                    looked = Instant.now();
                    List<TopicPartition> now = partitions(consumer, topic);
                    List<TopicPartition> added = now.stream().filter(it -> !consumer.assignment().contains(it)).toList();
                    consumer.assign(now); // those that it had go on where they are
                    consumer.seekToBeginning(added);
                }
            }
        }
        out.println(GSON.toJson(Map.of("after", Report.of(Map.of(topic, detector)))));
        out.flush();
    }

    private static List<TopicPartition> partitions(KafkaConsumer<?, ?> consumer, String topic) {
        return consumer.partitionsFor(topic).stream().map(it -> new TopicPartition(topic, it.partition())).toList();
    }

    private void print(ConsumerRecord<String, byte[]> message) {
        Record record;
        try {
            record = Decode.record(message.value());
        } catch (com.google.protobuf.InvalidProtocolBufferException error) {
            throw new IllegalArgumentException(message.topic() + " has something else than records", error);
        }
        Verdict verdict = detector.observe(record);
        Position position = record.getPosition();
        boolean known = record.getBodyCase() != Record.BodyCase.BODY_NOT_SET;
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("partition", message.partition());
        line.put("offset", message.offset());
        line.put("shard", Integer.toUnsignedLong(position.getShard()));
        line.put("epoch", position.getEpoch());
        line.put("lane_sequence", position.getLaneSequence());
        line.put("stream", position.getStream());
        line.put("body", known ? record.getBodyCase().name().toLowerCase(java.util.Locale.ROOT) : null);
        line.put("key", message.key() == null ? "" : message.key());
        line.put("action", record.hasEvent() ? record.getEvent().getAction() : null);
        JsonObject json = GSON.toJsonTree(line).getAsJsonObject();
        json.add("verdict", Report.of(verdict));
        out.println(GSON.toJson(json));
    }

    /** Runs conformance vectors; 1 if one of them differs. */
    private static int check(List<String> paths) throws IOException {
        int differences = 0;
        for (String path : paths) {
            JsonObject vector = JsonParser.parseString(Files.readString(Path.of(path))).getAsJsonObject();
            differences += vector.has("custom_fields")
                    ? checkCustomFields(path, vector)
                    : vector.has("state_table") ? checkStateTable(path, vector) : checkDetector(path, vector);
        }
        System.out.println(paths.size() + " vectors, " + differences + " differences");
        return differences == 0 ? 0 : 1;
    }

    private static int checkCustomFields(String path, JsonObject vector) throws IOException {
        int differences = 0;
        int number = 0;
        for (JsonElement element : vector.getAsJsonArray("custom_fields")) {
            JsonObject entry = element.getAsJsonObject();
            Event event = Event.parseFrom(Base64.getDecoder().decode(entry.get("event").getAsString()));
            String found = GSON.toJson(CustomField.of(event).orElse(null));
            differences += differs(path + ": custom field " + number++, entry.get("custom_field"), found);
        }
        return differences;
    }

    private static int checkStateTable(String path, JsonObject vector) throws IOException {
        int differences = 0;
        int number = 0;
        StateTable table = new StateTable();
        for (JsonElement element : vector.getAsJsonArray("state_table")) {
            JsonObject step = element.getAsJsonObject();
            JsonElement value = step.get("record");
            table.apply(
                    step.get("key").getAsString(),
                    value.isJsonNull() ? null : Decode.record(Base64.getDecoder().decode(value.getAsString())));
            Map<String, String> states = new HashMap<>();
            table.states().forEach((gid, state) -> states.put(gid, state.getStateJson()));
            differences += differs(path + ": states after " + number, step.get("states"), GSON.toJson(states));
            String completeness = Report.of(table.completeness()).toString();
            differences += differs(path + ": completeness after " + number++, step.get("completeness"), completeness);
        }
        return differences;
    }

    private static int checkDetector(String path, JsonObject vector) throws IOException {
        int differences = 0;
        boolean fromBeginning = vector.get("start").getAsString().equals("beginning");
        Map<String, Detector> detectors = new HashMap<>();
        int number = 0;
        for (JsonElement element : vector.getAsJsonArray("steps")) {
            JsonObject step = element.getAsJsonObject();
            String topic = step.get("topic").getAsString();
            Record record = Decode.record(Base64.getDecoder().decode(step.get("record").getAsString()));
            Detector detector = detectors.computeIfAbsent(topic, unused -> new Detector(fromBeginning));
            Verdict verdict = detector.observe(record);
            differences += differs(path + ": step " + number++, step.get("verdict"), Report.of(verdict).toString());
        }
        return differences + differs(path + ": after", vector.get("after"), GSON.toJson(Report.of(detectors)));
    }

    private static int differs(String place, JsonElement wanted, String found) {
        if (wanted.equals(JsonParser.parseString(found))) {
            return 0;
        }
        System.out.println(place + ": " + found + ", and it should be " + wanted);
        return 1;
    }
}
