import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's own command-line tools one after the other in one process, because each process costs seconds.
 *
 * <p>A line of standard input is a JSON list: the main class of a tool, then its arguments. The answer is a line of JSON:
 * the exit code, and all that the tool printed.
 */
public final class Tools {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Tools() {}

    /** A tool's exit, which must not end this process. */
    private static final class Exited extends RuntimeException {
        private static final long serialVersionUID = 1;
        private final int code;

        private Exited(int code) {
            this.code = code;
        }
    }

    public static void main(String[] ignored) throws IOException {
        Exit.setExitProcedure((code, message) -> {
            throw new Exited(code);
        });
        PrintStream answers = System.out;
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            List<String> words = List.of(JSON.readValue(line, String[].class));
            var printed = new ByteArrayOutputStream();
            var all = new PrintStream(printed, true, StandardCharsets.UTF_8);
            System.setOut(all);
            System.setErr(all);
            int code = run(words.get(0), words.subList(1, words.size()));
            answers.println(JSON.writeValueAsString(
                    Map.of("code", code, "output", printed.toString(StandardCharsets.UTF_8))));
        }
    }

    private static int run(String tool, List<String> arguments) {
        try {
            var main = Class.forName(tool).getMethod("main", String[].class);
            main.invoke(null, (Object) arguments.toArray(String[]::new));
            return 0;
        } catch (InvocationTargetException error) {
            if (error.getCause() instanceof Exited exited) {
                return exited.code;
            }
            error.getCause().printStackTrace();
            return 1;
        } catch (ReflectiveOperationException error) {
            error.printStackTrace();
            return 1;
        }
    }
}
