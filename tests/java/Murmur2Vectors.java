import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashSet;
import java.util.Random;
import java.util.Set;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.Utils;

/**
 * Prints which partition Kafka's Java producer chooses for a key, for many keys and partition counts: one JSON object
 * a line, in a JSON array. The same output each time.
 */
public final class Murmur2Vectors {
    private static final int[] PARTITION_COUNTS = {1, 2, 3, 6, 12, 24, 50, 1000};
    private static final long SEED = 20_480;
    private static final ObjectMapper JSON = new ObjectMapper();

    private Murmur2Vectors() {}

    public static void main(String[] arguments) throws Exception {
        StringBuilder rows = new StringBuilder();
        for (String key : keys()) {
            rows.append(rows.length() == 0 ? "[\n" : ",\n").append(JSON.writeValueAsString(row(key)));
        }
        System.out.write(rows.append("\n]\n").toString().getBytes(StandardCharsets.UTF_8));
        System.out.flush();
    }

    private static ObjectNode row(String key) {
        byte[] bytes = key.getBytes(StandardCharsets.UTF_8);
        ObjectNode row = JSON.createObjectNode();
        row.put("key", key);
        row.put("hash", Utils.murmur2(bytes));
        ObjectNode partitions = row.putObject("partitions");
        for (int count : PARTITION_COUNTS) {
            partitions.put(Integer.toString(count), BuiltInPartitioner.partitionForKey(bytes, count));
        }
        return row;
    }

    private static Set<String> keys() {
        Random random = new Random(SEED);
        Set<String> keys = new LinkedHashSet<>();
        keys.add("");
        // Every length up to ten blocks of four bytes, with all four lengths of the tail.
        for (int length = 1; length <= 40; length++) {
            keys.add("0123456789".repeat(4).substring(0, length));
            keys.add(random(random, length, ' ', '~'));
        }
        // Asana's gids: mostly 16 digits, and the first ones shorter.
        for (int i = 0; i < 200; i++) {
            keys.add(Long.toString(1_200_000_000_000_000L + random.nextLong(10_000_000_000_000L)));
        }
        for (int i = 0; i < 20; i++) {
            keys.add(random(random, 5 + i % 10, '0', '9'));
        }
        // Bytes of 0x80 and above, which Java takes as negative: two, three and four bytes a character.
        for (int i = 0; i < 40; i++) {
            keys.add(random(random, 1 + i % 13, '\u0080', '\u07ff'));
            keys.add(random(random, 1 + i % 13, '\u3040', '\u9fff'));
            keys.add(random(random, 1 + i % 7, 0x1f300, 0x1f6ff));
            keys.add(random(random, 1 + i % 9, 0, 0x7f));
        }
        return keys;
    }

    private static String random(Random random, int length, int first, int last) {
        return random.ints(length, first, last + 1)
                .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                .toString();
    }
}
