/** JSON on one line. Numbers of 64 bits are written as numbers, which a double holds exactly up to 2^53. */
export function json(value: unknown): string {
  return JSON.stringify(value, (_key, part) => (typeof part === "bigint" ? Number(part) : part));
}
