"""Prints every message of a JetStream stream on some subjects, one JSON object a line, with NATS' own Python client.

usage: nats_read.py ADDRESS STREAM FILTER

Reads up to the last message that was there at the start. The lane and the gid are tokens of the subject.
"""

import asyncio
import base64
import json
import sys

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy


# Seconds for one answer. A server that has just come back, on a busy machine, takes longer than the client's own 5 s.
TIMEOUT = 60


async def main(address, stream, filter_subject):
    connection = await nats.connect(f"nats://{address}", connect_timeout=TIMEOUT)
    jetstream = connection.jetstream(timeout=TIMEOUT)
    subscription = await jetstream.pull_subscribe(
        filter_subject,
        stream=stream,
        # Without acknowledgements nothing is delivered again, however busy the machine is.
        config=ConsumerConfig(
            deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, filter_subject=filter_subject
        ),
    )
    pending = (await subscription.consumer_info()).num_pending
    while pending > 0:
        for message in await subscription.fetch(min(pending, 500), timeout=TIMEOUT):
            tokens = message.subject.split(".")
            print(json.dumps({
                "lane": tokens[2],
                "key": tokens[-1],
                "headers": dict(message.headers or {}),
                "value": base64.b64encode(message.data).decode(),
            }))
            pending -= 1
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
