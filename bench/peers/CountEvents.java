import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.nio.file.Path;
import java.util.List;
import java.util.Properties;

/**
 * CountEvents PORT DATABASE TABLE EVENTS FOLDER: a Debezium engine whose consumer only counts, until it has seen EVENTS
 * changes. The first third of them is its warm-up: prints how many came after it, and in how many seconds.
 */
public class CountEvents {
    private static long start, last, seen, warm, wanted;

    public static void main(String[] args) throws Exception {
        wanted = Long.parseLong(args[3]);
        Properties settings = settings(args);
        DebeziumEngine<ChangeEvent<String, String>> engine =
            DebeziumEngine.create(Json.class).using(settings).notifying(CountEvents::count).build();
        Thread runner = new Thread(engine);
        runner.start();
        synchronized (CountEvents.class) {
            while (seen < wanted)
                CountEvents.class.wait();
        }
        engine.close();
        System.out.printf("%d events, %.3f s%n", seen - warm, (last - start) / 1e9);
        System.exit(0);
    }

    /** Takes a batch; JSON has been made of every event by now. */
    private static void count(List<ChangeEvent<String, String>> events,
            DebeziumEngine.RecordCommitter<ChangeEvent<String, String>> committer) throws InterruptedException {
        synchronized (CountEvents.class) {
            for (ChangeEvent<String, String> event : events)
                committer.markProcessed(event);
            committer.markBatchFinished();
            seen += events.size();
            last = System.nanoTime();
            if (warm == 0 && seen >= wanted / 3) {
                warm = seen;
                start = last;
            }
            CountEvents.class.notifyAll();
        }
    }

    /** Large queues and batches, no schemas in the JSON, no snapshot: what makes it fastest. */
    private static Properties settings(String[] args) {
        Properties p = new Properties();
        p.setProperty("name", "bench");
        p.setProperty("connector.class", "io.debezium.connector.postgresql.PostgresConnector");
        p.setProperty("offset.storage", "org.apache.kafka.connect.storage.FileOffsetBackingStore");
        p.setProperty("offset.storage.file.filename", Path.of(args[4], "offsets").toString());
        p.setProperty("offset.flush.interval.ms", "1000");
        p.setProperty("database.hostname", "127.0.0.1");
        p.setProperty("database.port", args[0]);
        p.setProperty("database.user", "postgres");
        p.setProperty("database.password", "none");
        p.setProperty("database.dbname", args[1]);
        p.setProperty("topic.prefix", "bench");
        p.setProperty("table.include.list", args[2]);
        p.setProperty("plugin.name", "pgoutput");
        p.setProperty("slot.name", "peer_debezium");
        p.setProperty("publication.name", "peer_debezium");
        p.setProperty("publication.autocreate.mode", "disabled");
        p.setProperty("snapshot.mode", "no_data");
        p.setProperty("max.batch.size", "8192");
        p.setProperty("max.queue.size", "32768");
        p.setProperty("poll.interval.ms", "10");
        p.setProperty("converter.schemas.enable", "false");
        p.setProperty("key.converter.schemas.enable", "false");
        p.setProperty("value.converter.schemas.enable", "false");
        return p;
    }
}
