"""Messages of our client received by the SDK, and the other way round: every field, annotation and type."""

import asyncio
import datetime
import json
import os
import struct
import uuid

from azure.servicebus import ServiceBusMessage, ServiceBusReceiveMode
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageHeader, AmqpMessageProperties

KEY = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
WHEN = 1_580_702_706_789


def bits(kind, value):
    """The bits of a floating point number, as descriptions have them."""
    size, number = ("<f", "<I") if kind == "float" else ("<d", "<Q")
    return hex(struct.unpack(number, struct.pack(size, value))[0])


async def peer(emulator, *arguments, messages=()):
    """Runs our client: what it describes."""
    process = await asyncio.create_subprocess_exec(
        os.environ["SDK_PEER"], emulator.connection_string, *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    out, _ = await asyncio.wait_for(process.communicate(lines.encode()), 30)
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


# Every type that application properties may have, as our client sends it and as the SDK reads it; but char and the
# smaller decimals, on which the SDK's decoder gives up with the whole connection.
PROPERTIES = [
    ("null", None, None),
    ("boolean", True, True),
    ("ubyte", 200, 200),
    ("byte", -100, -100),
    ("ushort", 60_000, 60_000),
    ("short", -30_000, -30_000),
    ("uint", 4_000_000_000, 4_000_000_000),
    ("int", -2_000_000_000, -2_000_000_000),
    ("ulong", str((1 << 64) - 1), (1 << 64) - 1),
    ("long", str(-(1 << 63)), -(1 << 63)),
    ("float", bits("float", 21.5), 21.5),
    ("double", bits("double", 1 / 3), 1 / 3),
    ("timestamp", WHEN, WHEN),
    ("uuid", KEY.hex, KEY),
    ("binary", "00ff", b"\x00\xff"),
    ("string", "täxt", "täxt".encode()),
    ("symbol", "symbol", b"symbol"),
]


async def test_what_our_client_sends_the_sdk_receives(sdk, emulator):
    queue = emulator.fresh("queue")
    fields = {
        "message_id": "id", "session_id": "session", "partition_key": "session", "correlation_id": "correlation",
        "subject": "subject", "to": "to", "reply_to": "reply", "reply_to_session_id": "reply-session",
        "content_type": "text/plain",
    }
    sections = {
        "application_properties": [[kind, [kind, sent]] for kind, sent, _ in PROPERTIES],
        "annotations": [["x-opt-own", ["int", 5]]],
        "delivery_annotations": [["own", ["string", "delivery"]]],
        "footer": [["foot", ["symbol", "note"]]],
    }
    plain = {
        "time_to_live": 60_000, "user_id": "01ff", "group_sequence": 3, "creation_time": WHEN,
        "content_encoding": "utf-8", "priority": 7, "durable": True, "first_acquirer": True,
    }
    bodies = [
        ["data", ["00ff", "", "41"]],
        ["sequence", [[["int", 1], ["string", "two"], ["list", [["boolean", True]]]]]],
        ["value", ["map", [[["string", "a"], ["long", "7"]], [["string", "b"], ["null", None]]]]],
        None,
    ]
    await peer(emulator, "send", queue, messages=[{**fields, **sections, **plain, "body": body} for body in bodies])
    async with sdk.client() as client:
        mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
        messages = []
        async with client.get_queue_receiver(queue, receive_mode=mode) as receiver:
            while len(messages) < 4:
                messages += await receiver.receive_messages(max_message_count=4, max_wait_time=5)
    for message in messages:
        for name, value in fields.items():
            assert getattr(message, name) == value, name
        assert message.application_properties == {kind.encode(): value for kind, _, value in PROPERTIES}
        raw = message.raw_amqp_message
        assert raw.annotations[b"x-opt-own"] == 5
        assert raw.delivery_annotations[b"own"] == b"delivery"
        assert raw.footer == {b"foot": b"note"}
        assert (raw.header.time_to_live, raw.header.priority) == (60_000, 7)
        assert (raw.header.durable, raw.header.first_acquirer) == (True, True)
        properties = raw.properties
        assert (properties.user_id, properties.group_sequence) == (b"\x01\xff", 3)
        assert (properties.creation_time, properties.content_encoding) == (WHEN, b"utf-8")
        assert message.expires_at_utc - message.enqueued_time_utc == datetime.timedelta(minutes=1)
    data, sequence, value, empty = messages
    assert list(data.body) == [b"\x00\xff", b"", b"A"]
    assert list(sequence.body) in ([[1, b"two", [True]]], [1, b"two", [True]])
    assert value.body == {b"a": 7, b"b": None}
    assert empty.body is None or b"".join(empty.body) == b""


async def test_what_the_sdk_sends_our_client_receives(sdk, emulator):
    queue = emulator.fresh("queue")
    when = datetime.datetime.fromtimestamp(WHEN / 1000, datetime.timezone.utc)
    simple = ServiceBusMessage(
        b"\x00\xff",
        application_properties={
            "none": None, "boolean": False, "int": -7, "double": 1 / 3, "string": "täxt", "uuid": KEY, "time": when,
            "bytes": b"bytes",
        },
        session_id="session", message_id="id", time_to_live=datetime.timedelta(minutes=1), content_type="text/plain",
        correlation_id="correlation", subject="subject", partition_key="session", to="to", reply_to="reply",
        reply_to_session_id="reply-session",
    )
    annotated = AmqpAnnotatedMessage(
        value_body={"a": [1, 2.5, None, True]},
        header=AmqpMessageHeader(durable=True, priority=7, first_acquirer=True),
        properties=AmqpMessageProperties(message_id="id", user_id=b"\x01", group_sequence=3, content_encoding="utf-8"),
        annotations={"x-opt-own": "annotation"},
        delivery_annotations={"own": 9},
        footer={"foot": "note"},
    )
    async with sdk.client() as client:
        async with client.get_queue_sender(queue) as sender:
            await sender.send_messages(simple)
            await sender.send_messages(annotated)
            await sender.send_messages(AmqpAnnotatedMessage(sequence_body=[1, "two"]))
            await sender.send_messages([ServiceBusMessage("in a batch", message_id="b", subject="s")])
    simple, annotated, sequence, batched = await peer(emulator, "receive", queue, "4")
    expected = {
        "message_id": "id", "session_id": "session", "content_type": "text/plain", "correlation_id": "correlation",
        "subject": "subject", "to": "to", "reply_to": "reply", "reply_to_session_id": "reply-session",
        "time_to_live": 60_000, "body": ["data", ["00ff"]],
    }
    assert {name: simple[name] for name in expected} == expected
    assert simple["absolute_expiry_time"] - simple["creation_time"] == 60_000
    assert dict(simple["application_properties"]) == {
        "none": ["null", None], "boolean": ["boolean", False], "int": ["int", -7],
        "double": ["double", bits("double", 1 / 3)], "string": ["string", "täxt"], "uuid": ["uuid", KEY.hex],
        "time": ["timestamp", WHEN], "bytes": ["string", "bytes"],
    }
    annotations = dict(simple["annotations"])
    assert annotations["x-opt-partition-key"] == ["string", "session"]
    assert {annotations[name][0] for name in ("x-opt-enqueued-time", "x-opt-locked-until")} == {"timestamp"}
    assert annotations["x-opt-sequence-number"] == ["long", "1"]

    items = [["int", 1], ["double", bits("double", 2.5)], ["null", None], ["boolean", True]]
    assert annotated["body"] == ["value", ["map", [[["string", "a"], ["list", items]]]]]
    for name, value in {"durable": True, "priority": 7, "first_acquirer": True, "user_id": "01", "group_sequence": 3,
                        "content_encoding": "utf-8", "footer": [["foot", ["string", "note"]]]}.items():
        assert annotated[name] == value, name
    assert ["x-opt-own", ["string", "annotation"]] in annotated["annotations"]
    assert ["own", ["int", 9]] in annotated["delivery_annotations"]
    assert sequence["body"] == ["sequence", [[["int", 1], ["string", "two"]]]]
    assert batched["body"] == ["data", [b"in a batch".hex()]]
    assert (batched["message_id"], batched["subject"]) == ("b", "s")
