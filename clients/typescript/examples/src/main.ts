/**
 * Reads a topic of asana_event_bridge.v1.Record: a line of JSON for each record, with the detector's verdict.
 *
 *   node dist/main.js --bootstrap HOST:PORT --topic TOPIC [--until-end]
 *   node dist/main.js --vectors FILE...
 */
import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { decode, Detector, RecordSchema } from "asana-event-bridge-consumer";
import kafkajs, { type EachMessagePayload, type KafkaMessage } from "kafkajs";
import lz4 from "lz4-napi";
import { json } from "./json.js";
import { report } from "./report.js";
import { differences } from "./vectors.js";

const USAGE = "consumer --bootstrap HOST:PORT --topic TOPIC [--until-end]\nconsumer --vectors FILE...";

// kafkajs brings gzip only, and the bridge compresses with lz4.
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.LZ4] = () => ({
  compress: (encoder: { buffer: Buffer }) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer: Buffer) => lz4.decompressFrame(buffer),
});

async function main(): Promise<number> {
  const options = parse();
  if (options.vectors) {
    const found = options.vectors.flatMap(differences);
    console.log([...found, `${options.vectors.length} vectors, ${found.length} differences`].join("\n"));
    return found.length > 0 ? 1 : 0;
  }
  if (!options.bootstrap || !options.topic) {
    console.error(USAGE);
    return 64;
  }
  const detector = await read(options.bootstrap, options.topic, options["until-end"], (detector, partition, message) => {
    console.log(json(line(detector, partition, message)));
  });
  console.log(json({ after: report(new Map([[options.topic, detector]])) }));
  return 0;
}

/** Hands over all committed messages of the topic from the start on; with `untilEnd`, ends after those that are there. */
async function read(
  bootstrap: string, topic: string, untilEnd: boolean,
  take: (detector: Detector, partition: number, message: KafkaMessage) => void,
): Promise<Detector> {
  const kafka = new kafkajs.Kafka({ brokers: [bootstrap], logLevel: kafkajs.logLevel.ERROR });
  const admin = kafka.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(topic);
  // Where the broker has deleted the oldest records, there is nothing to miss before the first one that is there.
  const detector = new Detector(ends.every(({ low }) => low === "0"));
  // kafkajs reads as a member of a group only: ours is new and has one member, who has all partitions.
  const groupId = `asana-event-bridge-consumer-${randomUUID()}`;
  const consumer = kafka.consumer({ groupId, readUncommitted: false });
  const unfinished = new Map(ends.filter(({ low, high }) => low !== high).map((end) => [end.partition, BigInt(end.high)]));
  let fail: (error: unknown) => void = () => undefined;
  const done = new Promise<void>((resolve, reject) => {
    fail = reject;
    const finish = () => untilEnd && unfinished.size === 0 && resolve();
    // Also told of batches that hold nothing but markers of transactions.
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload: { partition, lastOffset } }) => {
      const end = unfinished.get(partition);
      if (end !== undefined && BigInt(lastOffset) + 1n >= end) unfinished.delete(partition);
      finish();
    });
    consumer.on(consumer.events.CRASH, ({ payload: { error, restart } }) => restart || reject(error));
    finish();
  });
  try {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    const eachMessage = async ({ partition, message }: EachMessagePayload) => {
      try {
        take(detector, partition, message);
      } catch (error) {
        fail(error); // kafkajs would try for ever
        throw error;
      }
    };
    await consumer.run({ autoCommit: false, eachMessage });
    await done;
    return detector;
  } finally {
    await consumer.disconnect();
    await admin.deleteGroups([groupId]).catch(() => undefined); // nobody misses it
    await admin.disconnect();
  }
}

function line(detector: Detector, partition: number, message: KafkaMessage) {
  const record = decode(message.value ?? new Uint8Array());
  const verdict = detector.observe(record);
  const { position, body } = record;
  return {
    partition,
    offset: BigInt(message.offset),
    shard: position?.shard ?? 0,
    epoch: position?.epoch ?? 0n,
    lane_sequence: position?.laneSequence ?? 0n,
    stream: position?.stream ?? "",
    body: body.case === undefined ? null : RecordSchema.field[body.case].name,
    key: message.key?.toString() ?? "",
    action: body.case === "event" ? body.value.action : null,
    verdict,
  };
}

function parse() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      bootstrap: { type: "string" },
      topic: { type: "string" },
      "until-end": { type: "boolean", default: false },
      vectors: { type: "string" },
    },
  });
  return { ...values, vectors: values.vectors === undefined ? undefined : [values.vectors, ...positionals] };
}

process.exitCode = await main();
