import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { Detector } from "./detector.js";
import { RecordSchema } from "./gen/asana_event_bridge/v1/record_pb.js";
import { json } from "./json.js";
import { report } from "./report.js";

interface Vector {
  start: "beginning" | "middle";
  steps: { topic: string; record: string; verdict: unknown }[];
  after: unknown;
}

/** What the detector says otherwise than the vector (proto/conformance). */
export function differences(path: string): string[] {
  const vector = JSON.parse(readFileSync(path, "utf8")) as Vector;
  const topics = new Set(vector.steps.map(({ topic }) => topic));
  const detectors = new Map([...topics].map((topic) => [topic, new Detector(vector.start === "beginning")]));
  const found = vector.steps.flatMap(({ topic, record, verdict }, number) =>
    differs(`step ${number}`, verdict, detectors.get(topic)!.observe(fromBinary(RecordSchema, base64Decode(record)))),
  );
  return [...found, ...differs("after", vector.after, report(detectors))].map((what) => `${path}: ${what}`);
}

function differs(place: string, wanted: unknown, found: unknown): string[] {
  const same = isDeepStrictEqual(wanted, JSON.parse(json(found)));
  return same ? [] : [`${place}: ${json(found)}, and it should be ${json(wanted)}`];
}
