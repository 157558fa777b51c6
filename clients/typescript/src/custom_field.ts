import type { Event } from "./gen/asana_event_bridge/v1/record_pb.js";

/** An option, a user, or another object. */
export interface Named {
  gid: string;
  name: string | null;
}

/** What a field was set to, by its kind. `empty`: somebody emptied it. `unknown`: Asana didn't send the value. */
export type Value =
  | { kind: "enum"; value: Named }
  | { kind: "multi_enum" | "people" | "reference"; value: Named[] }
  | { kind: "number"; value: number }
  | { kind: "text"; value: string }
  | { kind: "date"; value: { date: string | null; date_time: string | null } }
  | { kind: "empty" | "unknown"; value: null };

/** A custom field and its new value. `type` is Asana's word for the field's type, an open set. */
export type CustomField = { gid: string; name: string | null; type: string | null; display_value: string | null } & Value;

type Said = Record<string, unknown>;

const UNKNOWN: Value = { kind: "unknown", value: null };

/** Where Asana puts the value of a field, and how it is read. */
const VALUES: [string, (said: unknown) => Value][] = [
  ["enum_value", (said) => of("enum", named(said))],
  ["multi_enum_values", (said) => of("multi_enum", allNamed(said))],
  ["number_value", (said) => of("number", typeof said === "number" ? said : null)],
  ["text_value", (said) => of("text", text(said))],
  ["date_value", (said) => of("date", date(said))],
  ["people_value", (said) => of("people", allNamed(said))],
  ["reference_value", (said) => of("reference", allNamed(said))],
];

/** The custom field that the event changed. Null if it changed something else. */
export function customField({ change }: Event): CustomField | null {
  const changed = change?.newValue ?? change?.addedValue ?? change?.removedValue;
  const field = changed?.resource;
  if (field?.resourceType !== "custom_field") return null;
  const said = JSON.parse(changed?.json || "{}") as Said;
  return {
    gid: field.gid,
    name: field.name ?? null,
    type: field.resourceSubtype ?? text(said["type"]),
    ...valueOf(said),
    display_value: text(said["display_value"]),
  };
}

function valueOf(said: Said): Value {
  const told = VALUES.filter(([key]) => key in said);
  const full = told.find(([key]) => said[key] !== null && !(Array.isArray(said[key]) && said[key].length === 0));
  if (full) return full[1](said[full[0]]);
  return told.length > 0 ? { kind: "empty", value: null } : UNKNOWN;
}

/** A value that isn't of the form that Asana describes is null, and unknown. */
function of(kind: Value["kind"], value: Value["value"]): Value {
  return value === null ? UNKNOWN : ({ kind, value } as Value);
}

function named(said: unknown): Named | null {
  const { gid, name } = object(said);
  return typeof gid === "string" ? { gid, name: text(name) } : null;
}

function allNamed(said: unknown): Named[] | null {
  const all = Array.isArray(said) ? said.map(named) : [null];
  return all.every((it) => it !== null) ? all : null;
}

function date(said: unknown): { date: string | null; date_time: string | null } | null {
  const { date, date_time } = object(said);
  const read = { date: text(date), date_time: text(date_time) };
  return read.date === null && read.date_time === null ? null : read;
}

function object(said: unknown): Said {
  return typeof said === "object" && said !== null ? (said as Said) : {};
}

function text(said: unknown): string | null {
  return typeof said === "string" ? said : null;
}
