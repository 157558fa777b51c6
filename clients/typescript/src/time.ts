import { create, toJson } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";

const SECOND = 1_000_000_000n;

/** A time in nanoseconds since 1970; 0 if there is none. */
export function nanoseconds(time: Timestamp | undefined): bigint {
  return time ? time.seconds * SECOND + BigInt(time.nanos) : 0n;
}

/** A time in nanoseconds since 1970 as text, such as `2026-01-02T03:04:05.006Z`. */
export function rfc3339(time: bigint): string {
  const nanos = ((time % SECOND) + SECOND) % SECOND;
  return toJson(TimestampSchema, create(TimestampSchema, { seconds: (time - nanos) / SECOND, nanos: Number(nanos) }));
}
