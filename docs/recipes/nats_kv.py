"""Asana's resources in a key-value bucket of NATS, from the JetStream stream, and a watch of the bucket.

The consumer is durable. A message is acknowledged after its row is in the bucket, so it may come again after a crash (after 30 s):
a row changes only by a record with a later place. One message is delivered at a time: else one that comes again would come after
later ones. The key is STREAM/GID. A removed resource keeps its row, with `removed` set.

  python nats_kv.py --server nats://HOST:4222 --bucket resources fill [--until-end]
  python nats_kv.py --server nats://HOST:4222 --bucket resources watch [--until-end]
"""

import argparse
import asyncio
import json

import nats
from asana_event_bridge import Detector, decode, row_of
from nats.js.api import ConsumerConfig
from nats.js.errors import KeyNotFoundError, NotFoundError
from rows import observe


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", metavar="URL", required=True)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--stream", default="ASANA", help="the JetStream stream (ASANA)")
    parser.add_argument("--until-end", action="store_true", help="end with what is there now")
    parser.add_argument("what", choices=["fill", "watch"])
    options = parser.parse_args()
    client = await nats.connect(options.server)
    jetstream = client.jetstream()
    try:
        bucket = await jetstream.key_value(options.bucket)
    except NotFoundError:
        bucket = await jetstream.create_key_value(bucket=options.bucket)
    await (fill if options.what == "fill" else watch)(jetstream, bucket, options)
    await client.close()


async def fill(jetstream, bucket, options):
    in_order = ConsumerConfig(max_ack_pending=1)
    subscription = await jetstream.pull_subscribe(
        "asana.lane.>", durable=options.bucket, stream=options.stream, config=in_order
    )
    detector = Detector(from_beginning=False)  # begins where the durable consumer is
    while True:
        try:
            [message] = await subscription.fetch(1, timeout=1)
        except nats.errors.TimeoutError:
            info = await subscription.consumer_info()
            if options.until_end and info.num_pending == info.num_ack_pending == 0:
                return
            continue
        record = decode(message.data)
        observe(detector, record)
        if row := row_of(record):
            await put(bucket, vars(row))
        await message.ack_sync()


async def put(bucket, row):
    key = f"{row['stream']}/{row['gid']}"
    try:
        before = json.loads((await bucket.get(key)).value)
    except KeyNotFoundError:
        before = {"epoch": 0, "sequence": 0, "removed": None}
    if (before["epoch"], before["sequence"]) >= (row["epoch"], row["sequence"]):
        return
    if not row["removed"] and not before["removed"]:
        row = before | {field: value for field, value in row.items() if value is not None}
    await bucket.put(key, json.dumps(row).encode())


async def watch(_jetstream, bucket, options):
    """Prints each row of the bucket, and then each row that changes."""
    watcher = await bucket.watchall()
    while (entry := await watcher.updates(timeout=float("inf"))) or not options.until_end:
        if entry:  # None: all that is there now has come
            print(entry.value.decode(), flush=True)


asyncio.run(main())
