import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { customField, decode, Detector, EventSchema } from "asana-event-bridge-consumer";
import { json } from "./json.js";
import { report } from "./report.js";

interface OfDetector {
  start: "beginning" | "middle";
  steps: { topic: string; record: string; verdict: unknown }[];
  after: unknown;
}

interface OfCustomFields {
  custom_fields: { event: string; custom_field: unknown }[];
}

/** What is said otherwise than the vector (proto/conformance) has it: by the detector, or of custom fields. */
export function differences(path: string): string[] {
  const vector = JSON.parse(readFileSync(path, "utf8")) as OfDetector | OfCustomFields;
  const found = "custom_fields" in vector ? ofCustomFields(vector) : ofDetector(vector);
  return found.map((what) => `${path}: ${what}`);
}

function ofCustomFields(vector: OfCustomFields): string[] {
  return vector.custom_fields.flatMap(({ event, custom_field }, number) =>
    differs(`custom field ${number}`, custom_field, customField(fromBinary(EventSchema, base64Decode(event)))),
  );
}

function ofDetector(vector: OfDetector): string[] {
  const topics = new Set(vector.steps.map(({ topic }) => topic));
  const detectors = new Map([...topics].map((topic) => [topic, new Detector(vector.start === "beginning")]));
  const found = vector.steps.flatMap(({ topic, record, verdict }, number) =>
    differs(`step ${number}`, verdict, detectors.get(topic)!.observe(decode(base64Decode(record)))),
  );
  return [...found, ...differs("after", vector.after, report(detectors))];
}

function differs(place: string, wanted: unknown, found: unknown): string[] {
  const same = isDeepStrictEqual(wanted, JSON.parse(json(found)));
  return same ? [] : [`${place}: ${json(found)}, and it should be ${json(wanted)}`];
}
