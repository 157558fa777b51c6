import { fromBinary, fromJson, type JsonObject } from "@bufbuild/protobuf";
import { type Record, RecordSchema } from "./gen/asana_event_bridge/v1/record_pb.js";

/** A value in the JSON form begins with this byte, and one in protobuf's binary form never does. */
const JSON_BEGINS = 0x7b;

/** The record that a message's value is, in protobuf's binary form or in the JSON form. Throws if it is none. */
export function decode(value: Uint8Array): Record {
  if (value[0] !== JSON_BEGINS) return fromBinary(RecordSchema, value);
  const members = JSON.parse(new TextDecoder().decode(value)) as JsonObject;
  for (const body of [members.snapshot, members.state]) {
    if (body !== null && typeof body === "object" && "object" in body) body.stateJson = JSON.stringify(body.object);
  }
  return fromJson(RecordSchema, members, { ignoreUnknownFields: true });
}
