"use strict";

const INTERVAL_MS = 5000;
const SHOWN_STREAMS = 200;
const SHOWN_GAPS = 8;
const SHOWN_FAILURES = 8;
/** A token with less time left than this is highlighted: a quarter of its 24 hours. */
const TOKEN_SHORT_SECONDS = 6 * 3600;
/** A commit that takes longer is shown. */
const LONG_COMMIT_SECONDS = 5;

const part = (id) => document.getElementById(id);

/** An element with a class and text or children in it. Text is never taken for HTML. */
function element(name, className, ...content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

/** A time span by its two largest units. */
function span(seconds) {
  if (seconds === null) return "–";
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const parts = [];
  let rest = seconds;
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size);
    rest %= size;
    if (count > 0) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let power = 0;
  while (count >= 1024 && power < units.length - 1) { count /= 1024; power += 1; }
  return `${power === 0 ? count : count.toFixed(1)} ${units[power]}`;
}

const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

function tile(value, label, mood) {
  return element("div", `tile ${mood || ""}`, element("b", "", value), element("span", "quiet", label));
}

function tiles(report) {
  const { totals, pending } = report;
  return [
    tile(`${report.owned_shards.length} of ${report.shards}`, "shards"),
    tile(totals.live.toLocaleString("en"), `of ${plural(totals.streams, "stream")} live`),
    ...(totals.establishing ? [tile(totals.establishing, "establishing", "warn")] : []),
    ...(totals.suspended ? [tile(totals.suspended, "suspended", "bad")] : []),
    ...(totals.expired ? [tile(totals.expired, "expired", "bad")] : []),
    tile(span(totals.staleness_max_seconds), "stalest stream"),
    ...(totals.crawls ? [tile(totals.crawls, totals.crawls === 1 ? "crawl" : "crawls")] : []),
    tile(totals.open_gaps, "open source gaps", totals.open_gaps ? "bad" : ""),
    tile(bytes(pending.bytes), `waiting for the bus, in ${plural(pending.pages, "page")}`),
    ...(pending.commit_age_seconds >= LONG_COMMIT_SECONDS ? [tile(span(pending.commit_age_seconds), "commit without an answer of the bus", "bad")] : []),
  ];
}

/** What a budget gives: the mean delay of an event until its poll, and the longest interval of a stream. */
const fresh = (it) => `${it.mean_delay_seconds} s on average (longest interval ${it.longest_interval_seconds} s)`;

function account(it) {
  const share = it.all_streams ? (it.requests_per_minute * it.owned_streams) / it.all_streams : 0;
  const bar = element("progress", "");
  // What a replica may save up is its part of a second, and one request at least.
  bar.max = Math.max(1, Math.floor(share / 60));
  bar.value = Math.min(it.requests_left, bar.max);
  bar.setAttribute("aria-label", `${it.requests_left} requests left`);
  const made = element("div", "account",
    element("p", "", element("b", "", it.account)),
    element("p", "quiet", `${it.requests_per_minute} requests a minute; ${Math.round(share)} of them here, for ` +
      `${it.owned_streams} of ${plural(it.all_streams, "stream")}`),
    bar,
    element("p", "quiet", `${it.requests_left} requests left now, ${it.requests_in_flight} in flight`),
    element("p", "quiet", `An event waits ${fresh(it.freshness)}; with twice the budget ${fresh(it.freshness_of_twice_the_budget)}`));
  if (it.refused_status) made.append(element("p", "", element("span", "state bad", `credential rejected by Asana (${it.refused_status})`)));
  else if (it.pause_seconds) made.append(element("p", "", element("span", "state bad", `rate limit hit, paused for ${span(it.pause_seconds)}`)));
  if (it.poll_delay_seconds > 5) made.append(element("p", "", element("span", "state warn", `polls delayed by ${span(it.poll_delay_seconds)}`)));
  return made;
}

const MOODS = { live: "good", establishing: "warn", expired: "bad", suspended: "bad" };

function cell(label, ...content) {
  const made = element("td", "", ...content);
  if (label) made.dataset.label = label;
  return made;
}

function row(stream) {
  const detail = stream.refused_status ? ` (${stream.refused_status})` : stream.failures ? ` (${stream.failures} failed)` : "";
  const left = stream.token_expires_in_seconds;
  const token = left !== null && left < TOKEN_SHORT_SECONDS ? element("span", "state bad", span(left)) : span(left);
  const next = stream.next_poll_in_seconds ? `in ${span(stream.next_poll_in_seconds)}` : "now";
  const mood = stream.state === "live" && stream.failures ? "warn" : MOODS[stream.state];
  const gaps = stream.open_gaps;
  const name = [stream.stream + (stream.workspace ? " (workspace)" : "")];
  if (gaps) name.push(" ", element("span", "state bad", plural(gaps, "gap")));
  if (stream.crawl) {
    const badge = element("span", "state warn", "crawl");
    badge.title = `${stream.crawl.reason}, started ${clock(stream.crawl.begun_at)}, ${plural(stream.crawl.snapshots, "snapshot")}`;
    name.push(" ", badge);
  }
  return element("tr", "",
    cell("", ...name),
    cell("", element("span", `state ${mood}`, stream.state + detail)),
    cell("stale for", span(stream.staleness_seconds)),
    cell("token", token),
    cell("next poll", next),
    cell("events", stream.events.toLocaleString("en")),
    cell("shard", String(stream.shard)));
}

const clock = (at) => at.replace("T", " ").replace(/\.\d+Z$/, " UTC");

function gap(it) {
  return element("li", "", element("b", "", it.stream), ` from ${it.last_complete_poll_at ? clock(it.last_complete_poll_at) : "unknown"} to ${clock(it.resumed_at)}`,
    element("div", "quiet", it.gap_id));
}

function failure(it) {
  const many = it.count > 1;
  const times = many ? element("div", "quiet", `${it.count.toLocaleString("en")} times since ${clock(it.first_at)}` + (it.of ? `, last ${it.of}` : "")) : "";
  return element("li", "", element("span", "quiet", clock(it.at)), " ", element("b", "", (many ? it.account : it.of) ?? "bus"),
    ` ${it.kind}: ${it.text}`, times);
}

function shards(report) {
  const owned = new Map(report.owned_shards.map((shard) => [shard.shard, shard]));
  return Array.from({ length: report.shards }, (_, number) => {
    const shard = owned.get(number);
    const made = element("span", shard ? "owned" : "", String(number));
    made.title = shard ? `epoch ${shard.epoch}, ${plural(shard.streams, "stream")}` : "owned by another replica or not owned";
    return made;
  });
}

/** The first of the items, and the number of the others. */
function list(items, most, of, make) {
  if (!of) return [element("li", "quiet", "none")];
  const shown = items.slice(0, most).map(make);
  if (of > shown.length) shown.push(element("li", "quiet", `and ${(of - shown.length).toLocaleString("en")} more`));
  return shown;
}

function show(report) {
  document.title = `${report.replica} · asana-event-bridge`;
  part("about").textContent = `${report.replica} · ${report.sink} · ${report.version}`;
  part("ready").textContent = report.ready ? "ready" : `not ready: ${report.unready_reason}`;
  part("ready").className = `badge ${report.ready ? "good" : "bad"}`;
  part("problem").hidden = report.session_open;
  part("problem").textContent = `No session with the bus. The data shown is from the last session. ${report.last_session_end ?? ""}`;
  part("tiles").replaceChildren(...tiles(report));
  part("accounts").replaceChildren(...report.accounts.map(account));
  const last = offset + report.streams.length;
  const range = `${(offset + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${report.matching_streams.toLocaleString("en")}, `;
  part("shown").textContent = `${report.streams.length < report.matching_streams ? range : ""}trouble first, then the stalest`;
  part("previous").hidden = offset === 0;
  part("next").hidden = last >= report.matching_streams;
  part("streams").tBodies[0].replaceChildren(...report.streams.map(row));
  part("gaps").replaceChildren(...list(report.open_gaps, SHOWN_GAPS, report.totals.open_gaps, gap));
  part("failures").replaceChildren(...list(report.failures, SHOWN_FAILURES, report.failures.length, failure));
  part("shards").replaceChildren(...shards(report));
  part("at").textContent = `as of ${clock(report.at)}, up since ${clock(report.started_at)}`;
}

/** The first stream that is shown, from 0. */
let offset = 0;
let timer = 0;

async function turn() {
  clearTimeout(timer);
  try {
    const search = encodeURIComponent(part("search").value);
    const answer = await fetch(`api/streams?limit=${SHOWN_STREAMS}&offset=${offset}&search=${search}`);
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    show(await answer.json());
  } catch (error) {
    part("problem").hidden = false;
    part("problem").textContent = `The replica doesn't answer. The data shown is old. ${error.message}`;
  }
  clearTimeout(timer);
  timer = setTimeout(turn, INTERVAL_MS);
}

function showFrom(first) {
  offset = Math.max(0, first);
  turn();
}

part("search").addEventListener("input", () => showFrom(0));
part("previous").addEventListener("click", () => showFrom(offset - SHOWN_STREAMS));
part("next").addEventListener("click", () => showFrom(offset + SHOWN_STREAMS));
turn();
