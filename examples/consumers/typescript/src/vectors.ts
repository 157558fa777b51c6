import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { Detector, MOST_HOLES } from "./detector.js";
import { RecordSchema } from "./gen/asana_event_bridge/v1/record_pb.js";
import { json } from "./json.js";
import { report } from "./report.js";

interface Vector {
  view: "by_lane" | "by_stream";
  start: "beginning" | "middle";
  limits?: { holes: number };
  steps: { topic: string; record: string; verdict: unknown }[];
  after: unknown;
}

/** What the detector says otherwise than the vector (proto/conformance). */
export function differences(path: string): string[] {
  const vector = JSON.parse(readFileSync(path, "utf8")) as Vector;
  const holes = vector.limits?.holes ?? MOST_HOLES;
  const detector = new Detector(vector.view === "by_lane", vector.start === "beginning", holes);
  const found = vector.steps.flatMap(({ topic, record, verdict }, number) =>
    differs(`step ${number}`, verdict, detector.observe(topic, fromBinary(RecordSchema, base64Decode(record)))),
  );
  const topics = new Set(vector.steps.map(({ topic }) => topic));
  return [...found, ...differs("after", vector.after, report(detector, topics))].map((what) => `${path}: ${what}`);
}

function differs(place: string, wanted: unknown, found: unknown): string[] {
  const same = isDeepStrictEqual(wanted, JSON.parse(json(found)));
  return same ? [] : [`${place}: ${json(found)}, and it should be ${json(wanted)}`];
}
