import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams counts what was offered and answered by queue in windows of half an hour: BROKERS TOPIC RECORDS THREADS APPLICATION.
 * Counting goes on in memory, is cached, and state is not logged, which is the fastest it can be set. It is over when it has read all
 * records and its counts no longer move; what it is then waited for is taken off. Prints "took MILLISECONDS", counted from the first record, and a line "queue start what count" for each count.
 */
public final class Windowed {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        String brokers = args[0], topic = args[1];
        long records = Long.parseLong(args[2]);
        LongAdder read = new LongAdder(), told = new LongAdder();
        long[] first = {0};
        Map<String, Long> counts = new ConcurrentHashMap<>();
        StreamsBuilder builder = new StreamsBuilder();
        var store = Materialized.<String, Long>as(Stores.inMemoryWindowStore("counts", Duration.ofDays(3), Duration.ofMinutes(30), false))
            .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()).withLoggingDisabled().withCachingEnabled();
        builder.stream(topic, Consumed.with(Serdes.Bytes(), Serdes.ByteArray()).withTimestampExtractor(Windowed::occurred))
            .peek((key, value) -> {
                if (first[0] == 0) first[0] = System.nanoTime();
                read.increment();
            })
            .flatMap((key, value) -> counted(value))
            .groupByKey(Grouped.with(Serdes.String(), Serdes.Bytes()))
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMinutes(30), Duration.ofDays(2)))
            .count(store)
            .toStream()
            .foreach((window, count) -> {
                told.increment();
                counts.put(window.key() + " " + window.window().start(), count);
            });
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, args[4]);
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, args[3]);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("java.io.tmpdir") + "/" + args[4]);
        properties.put("auto.offset.reset", "earliest");
        properties.put("max.poll.records", "5000");
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "1000");
        properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
        KafkaStreams streams = new KafkaStreams(builder.build(), properties);
        streams.start();
        long last = -1, quietSince = 0;
        while (true) {
            Thread.sleep(50);
            long now = System.nanoTime(), moved = told.sum();
            if (moved != last || read.sum() < records) {
                last = moved;
                quietSince = now;
            } else if (now - quietSince > 8_000_000_000L) {
                // the cache is told with each commit, every second
                System.out.println("took " + (quietSince - first[0]) / 1_000_000);
                break;
            }
        }
        new TreeMap<>(counts).forEach((key, count) -> System.out.println(key + " " + count));
        streams.close(Duration.ofSeconds(5));
    }

    private static long occurred(org.apache.kafka.clients.consumer.ConsumerRecord<Object, Object> record, long before) {
        try {
            JsonNode time = JSON.readTree((byte[]) record.value()).get("time");
            return OffsetDateTime.parse(time.asText()).toInstant().toEpochMilli();
        } catch (Exception error) {
            return before;
        }
    }

    private static Iterable<org.apache.kafka.streams.KeyValue<String, Bytes>> counted(byte[] value) {
        try {
            JsonNode event = JSON.readTree(value);
            String type = event.get("type").asText();
            String what = type.equals("call.queued.v1") ? "offered" : type.equals("call.answered.v1") ? "answered" : null;
            JsonNode queue = event.path("data").get("queue");
            if (what == null || queue == null) return java.util.List.of();
            return java.util.List.of(org.apache.kafka.streams.KeyValue.pair(queue.asText() + " " + what, Bytes.wrap(new byte[0])));
        } catch (java.io.IOException error) {
            return java.util.List.of();
        }
    }
}
