import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { type Completeness, customField, decode, Detector, EventSchema, rfc3339, StateTable } from "asana-event-bridge-consumer";
import { json } from "./json.js";
import { report } from "./report.js";

interface OfDetector {
  start: "beginning" | "middle";
  steps: { topic: string; record: string; verdict: unknown }[];
  after: unknown;
}

interface OfStateTable {
  state_table: { key: string; record: string | null; states: unknown; completeness: unknown }[];
}

interface OfCustomFields {
  custom_fields: { event: string; custom_field: unknown }[];
}

/** What is said otherwise than the vector (proto/conformance) has it: by the detector, or of custom fields. */
export function differences(path: string): string[] {
  const vector = JSON.parse(readFileSync(path, "utf8")) as OfDetector | OfCustomFields | OfStateTable;
  const found =
    "custom_fields" in vector
      ? ofCustomFields(vector)
      : "state_table" in vector
        ? ofStateTable(vector)
        : ofDetector(vector);
  return found.map((what) => `${path}: ${what}`);
}

function ofCustomFields(vector: OfCustomFields): string[] {
  return vector.custom_fields.flatMap(({ event, custom_field }, number) =>
    differs(`custom field ${number}`, custom_field, customField(fromBinary(EventSchema, base64Decode(event)))),
  );
}

function ofStateTable(vector: OfStateTable): string[] {
  const table = new StateTable();
  return vector.state_table.flatMap(({ key, record, states, completeness }, number) => {
    table.apply(key, record === null ? null : decode(base64Decode(record)));
    const found = Object.fromEntries([...table.states].map(([gid, state]) => [gid, state.stateJson]));
    return [
      ...differs(`states after ${number}`, states, found),
      ...differs(`completeness after ${number}`, completeness, told(table.completeness())),
    ];
  });
}

function told(it: Completeness): unknown {
  if (it.kind !== "complete") return it;
  const { kind, upTo, openSourceGaps, suspended, leftOut } = it;
  const up_to = upTo === null ? null : rfc3339(upTo);
  return { kind, up_to, open_source_gaps: openSourceGaps, suspended, left_out: leftOut };
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
