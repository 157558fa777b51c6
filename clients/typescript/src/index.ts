/**
 * For consumers of asana-event-bridge: decode records, know whether any is missing, read custom fields, keep
 * the table that the state topic is.
 *
 * ```ts
 * const detector = new Detector(true);
 * const record = decode(messageValue);
 * const verdict = detector.observe(record);
 * ```
 */
export { customField, type CustomField, type Named, type Value } from "./custom_field.js";
export { decode } from "./decode.js";
export * from "./detector.js";
export { type Completeness, StateTable } from "./state_table.js";
export { rfc3339 } from "./time.js";
export * from "./gen/asana_event_bridge/v1/record_pb.js";
