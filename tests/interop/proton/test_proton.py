"""Qpid Proton against the engine as plain AMQP 1.0 peers, each in both roles.

PEER is the program amqp-peer; VALUES the file of qit-values.
"""

import json
import os
import struct
import subprocess
import threading
import unittest
import uuid

import proton
from proton import (
    Array, Condition, ConnectionException, Data, Delivery, Described, Link, Message, SASL, byte, char, decimal32, decimal64, decimal128,
    float32, int32, short, symbol, timestamp, ubyte, uint, ulong, ushort,
)
from proton.handlers import MessagingHandler
from proton.reactor import Container, LinkOption
from proton.utils import BlockingConnection, LinkDetached, SendException

PEER = os.environ["PEER"]
VALUES = os.environ["VALUES"]
TIMEOUT = 60

SCALARS = {
    "null": lambda v: None,
    "boolean": bool,
    "ubyte": ubyte,
    "ushort": ushort,
    "uint": uint,
    "ulong": ulong,
    "byte": byte,
    "short": short,
    "int": int32,
    "long": int,
    "char": lambda v: char(chr(v)),
    "timestamp": timestamp,
    "uuid": uuid.UUID,
    "binary": bytes.fromhex,
    "string": str,
    "symbol": symbol,
}
CODES = {
    "null": Data.NULL, "boolean": Data.BOOL, "ubyte": Data.UBYTE, "ushort": Data.USHORT, "uint": Data.UINT,
    "ulong": Data.ULONG, "byte": Data.BYTE, "short": Data.SHORT, "int": Data.INT, "long": Data.LONG,
    "char": Data.CHAR, "timestamp": Data.TIMESTAMP, "uuid": Data.UUID, "binary": Data.BINARY,
    "string": Data.STRING, "symbol": Data.SYMBOL, "float": Data.FLOAT, "double": Data.DOUBLE, "list": Data.LIST,
    "map": Data.MAP, "array": Data.ARRAY,
}


def bits(value):
    return int(value, 16) if isinstance(value, str) else value


def value_of(kind, value):
    """A value of qit-values as Proton has it."""
    if kind == "float":
        return float32(struct.unpack(">f", struct.pack(">I", bits(value)))[0])
    if kind == "double":
        return struct.unpack(">d", struct.pack(">Q", bits(value)))[0]
    if kind == "array":
        kind = value["element_type"]
        return Array(proton.UNDESCRIBED, CODES[kind], *[value_of(kind, item) for item in value["elements"]])
    if kind == "list":
        return [value_of(*item) for item in value]
    if kind == "map":
        return {value_of(*key): value_of(*item) for key, item in value}
    if kind == "described":
        return Described(value_of(*value["descriptor"]), value_of(*value["value"]))
    return SCALARS[kind](value)


def values():
    built_in = [
        None, True, False, ubyte(255), ushort(65535), uint(0), uint(255), uint(2**32 - 1), ulong(0), ulong(255),
        ulong(2**64 - 1), byte(-128), short(-32768), int32(-1), int32(-2**31), -1, -2**63, float32(1.5), 3.14,
        char("\u20ac"), timestamp(-62135596800000), uuid.UUID(int=7), b"\0\1\xff", b"x" * 300, "gr\u00fc\u00dfe \U0001f44b",
        "s" * 300, symbol("a:symbol"), decimal32(1), decimal64(1), decimal128(b"0123456789abcdef"), [],
        ["one", [2]], {"key": {symbol("inner"): uint(1)}}, Array(proton.UNDESCRIBED, Data.INT, *map(int32, range(100))),
        Described(ulong(300), ["x"]),
    ]
    with open(VALUES) as file:
        groups = json.load(file).values()
    return built_in + [value_of(group["type"], value) for group in groups for value in group["values"]]


def encoded(value):
    return Message(body=value, inferred=False).encode()


def pattern(size):
    """Bytes of which no two frames are alike."""
    block = bytes(range(251))
    return (block * (size // len(block) + 1))[:size]


class Server:
    """amqp-peer serving."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([PEER, "serve", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.url = f"127.0.0.1:{self.process.stdout.readline().split()[1]}"

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class ProtonClient(unittest.TestCase):
    """Proton as the client, the engine as the server."""

    def connect(self, *arguments, **options):
        server = Server(*arguments)
        self.addCleanup(server.close)
        options = dict({"allowed_mechs": "ANONYMOUS"}, **options)
        connection = BlockingConnection(server.url, timeout=TIMEOUT, **options)
        self.addCleanup(connection.close)
        return connection

    def test_values(self):
        connection = self.connect()
        sender, receiver = connection.create_sender("values"), connection.create_receiver("values", credit=10)
        for value in values():
            with self.subTest(value=value):
                sender.send(Message(body=value, inferred=False))
                back = receiver.receive(TIMEOUT)
                receiver.accept()
                self.assertEqual(encoded(back.body), encoded(value))

    def test_message_sections(self):
        connection = self.connect()
        sender, receiver = connection.create_sender("sections"), connection.create_receiver("sections", credit=10)
        message = Message(
            body="text", inferred=False, id=uuid.UUID(int=1), user_id=b"user", address="to", subject="subject",
            reply_to="reply", correlation_id=ulong(7), content_type=symbol("text/plain"),
            content_encoding=symbol("identity"), expiry_time=12.5, creation_time=11.25, group_id="group",
            group_sequence=3, reply_to_group_id="back", durable=True, priority=9, ttl=1.5, first_acquirer=True,
            delivery_count=2, properties={"a": uint(1), "b": None, "c": 1.5, "d": "text"},
            annotations={symbol("x-opt-one"): ulong(1)}, instructions={symbol("x-two"): "instruction"},
        )
        sender.send(message)
        back = receiver.receive(TIMEOUT)
        receiver.accept()
        self.assertEqual(back.encode(), message.encode())

    def test_large_message_in_small_frames(self):
        for ours, theirs in ((512, 512), (4096, 512), (512, 4096), (65536, 65536)):
            with self.subTest(ours=ours, theirs=theirs):
                connection = self.connect("--max-frame-size", str(ours), max_frame_size=theirs)
                sender, receiver = connection.create_sender("large"), connection.create_receiver("large", credit=1)
                data = pattern(10_000_000)
                sender.send(Message(body=data, inferred=True))
                back = receiver.receive(TIMEOUT)
                receiver.accept()
                self.assertEqual(bytes(back.body), data)

    def test_outcomes(self):
        connection = self.connect()
        for address, state in (("reject", Delivery.REJECTED), ("release", Delivery.RELEASED),
                               ("modify", Delivery.MODIFIED)):
            with self.assertRaises(SendException) as raised:
                errors = [Delivery.REJECTED, Delivery.RELEASED, Delivery.MODIFIED]
                connection.create_sender(address).send(Message(body="x"), error_states=errors)
            self.assertEqual(raised.exception.state, state)
        self.assertEqual(connection.create_sender("accept").send(Message(body="x")).remote_state, Delivery.ACCEPTED)

    def test_refused_and_detached(self):
        connection = self.connect()
        for create in (connection.create_sender, connection.create_receiver):
            with self.assertRaises(LinkDetached) as raised:
                create("refuse")
            self.assertEqual(raised.exception.condition, "amqp:not-found")
        sender = connection.create_sender("kick")
        with self.assertRaises(LinkDetached) as raised:
            for _ in range(3):
                sender.send(Message(body="x"))
        self.assertEqual(raised.exception.condition, "amqp:resource-deleted")
        self.assertEqual(connection.create_sender("other").send(Message(body="x")).remote_state, Delivery.ACCEPTED)

    def test_credit_and_drain(self):
        connection = self.connect()
        receiver = connection.create_receiver("burst", credit=0)
        received = []
        for credit, upto in ((3, 3), (4, 7)):
            receiver.link.flow(credit)
            while len(received) < upto:
                received.append(receiver.receive(TIMEOUT).body)
                receiver.accept()
            with self.assertRaises(proton.Timeout):
                connection.wait(lambda: receiver.fetcher.has_message, timeout=0.3)
        receiver.link.drain(10)
        connection.wait(lambda: not receiver.link.draining() and not receiver.link.credit, timeout=TIMEOUT)
        while receiver.fetcher.has_message:
            received.append(receiver.fetcher.pop().body)
        self.assertEqual(received, [ubyte(number) for number in range(10)])

    def test_two_phases(self):
        connection = self.connect()

        class Second(LinkOption):
            def apply(self, link):
                link.rcv_settle_mode = Link.RCV_SECOND

        sender = connection.create_sender("two", options=[Second()])
        for number in range(5):
            delivery = sender.link.send(Message(body=number))
            connection.wait(lambda: delivery.remote_state == Delivery.ACCEPTED, timeout=TIMEOUT)
            self.assertFalse(delivery.settled, "the receiver waits for the sender")
            delivery.settle()
        receiver = connection.create_receiver("two", credit=5, options=[Second()])
        for number in range(5):
            self.assertEqual(receiver.receive(TIMEOUT).body, number)
            delivery = receiver.fetcher.unsettled.popleft()
            delivery.update(Delivery.ACCEPTED)
            connection.wait(lambda: delivery.settled, timeout=TIMEOUT)
            delivery.settle()

    def test_plain(self):
        connection = self.connect("--plain", "user:secret", allowed_mechs="PLAIN", user="user", password="secret",
                                  allow_insecure_mechs=True)
        self.assertEqual(connection.create_sender("x").send(Message(body="x")).remote_state, Delivery.ACCEPTED)

    def test_plain_refused(self):
        with self.assertRaises(ConnectionException):
            self.connect("--plain", "user:secret", allowed_mechs="PLAIN", user="user", password="wrong",
                         allow_insecure_mechs=True, reconnect=False)

    def test_many_links_and_sessions(self):
        connection = self.connect()
        for _ in range(50):
            sender, receiver = connection.create_sender("many"), connection.create_receiver("many", credit=1)
            sender.send(Message(body="x"))
            self.assertEqual(receiver.receive(TIMEOUT).body, "x")
            receiver.accept()
            sender.close()
            receiver.close()


class Closing(MessagingHandler):
    """Closes a link when it is scheduled."""

    def __init__(self, link):
        super().__init__()
        self.link = link

    def on_timer_task(self, event):
        self.link.close()


class Broker(MessagingHandler):
    """What amqp-peer drives: a server that behaves as amqp-peer's own does."""

    def __init__(self, max_frame_size):
        super().__init__(auto_accept=False, prefetch=0, auto_settle=False)
        self.max_frame_size = max_frame_size
        self.listening = threading.Event()
        self.queues, self.readers = {}, {}

    def on_start(self, event):
        self.container = event.container
        self.acceptor = event.container.listen("127.0.0.1:0")
        self.port = self.acceptor._selectable._delegate.getsockname()[1]
        self.listening.set()

    def on_connection_bound(self, event):
        event.transport.max_frame_size = self.max_frame_size

    def on_connection_opening(self, event):
        self.queues = {"burst": [ubyte(number) for number in range(10)]}
        self.readers = {}

    def on_link_opening(self, event):
        link = event.link
        address = link.remote_source.address if link.is_sender else link.remote_target.address
        link.address = address
        if address == "refuse":
            link.condition = Condition("amqp:not-found", "there is no such node")
            link.open()
            # Proton opens the link once more when this returns.
            event.container.schedule(0, Closing(link))
            return
        link.source.address, link.target.address = address, address
        link.snd_settle_mode, link.rcv_settle_mode = link.remote_snd_settle_mode, link.remote_rcv_settle_mode
        link.open()
        if link.is_sender:
            self.readers.setdefault(address, []).append(link)
        else:
            link.flow(50)

    def on_link_closing(self, event):
        for links in self.readers.values():
            if event.link in links:
                links.remove(event.link)
        event.link.close()

    def serve(self, address):
        queue = self.queues.setdefault(address, [])
        for link in self.readers.get(address, []):
            while queue and link.credit:
                body = queue.pop(0)
                link.send(body if isinstance(body, Message) else Message(body=body, inferred=False))

    def on_sendable(self, event):
        self.serve(event.link.address)
        if event.link.drain_mode:
            event.link.drained()

    def on_link_flow(self, event):
        if event.link.is_sender:
            self.on_sendable(event)

    def on_message(self, event):
        link, delivery = event.link, event.delivery
        states = {"reject": Delivery.REJECTED, "release": Delivery.RELEASED, "modify": Delivery.MODIFIED}
        state = states.get(link.address, Delivery.ACCEPTED)
        if state == Delivery.REJECTED:
            delivery.local.condition = Condition("test:refused", "not this one")
        if state == Delivery.MODIFIED:
            delivery.local.failed = delivery.local.undeliverable = True
        if state == Delivery.ACCEPTED:
            # A new message of the same body: taken apart and put together again.
            again = Message(body=event.message.body, inferred=event.message.inferred)
            self.queues.setdefault(link.address, []).append(again)
        if not delivery.settled:
            delivery.update(state)
        if link.remote_rcv_settle_mode == Link.RCV_FIRST or delivery.settled:
            delivery.settle()
        if link.address == "kick":
            link.condition = Condition("amqp:resource-deleted", "gone in the meantime")
            link.close()
            return
        if link.credit < 25:
            link.flow(50 - link.credit)
        self.serve(link.address)

    def on_settled(self, event):
        # The engine has settled, on either side of the link.
        event.delivery.settle()

    def on_delivery(self, event):
        delivery = event.delivery
        if event.link.is_sender and delivery.updated and delivery.remote_state and not delivery.settled:
            # The receiver has proposed an outcome: the sender settles.
            delivery.update(delivery.remote_state)
            delivery.settle()


class ProtonServer(unittest.TestCase):
    """The engine as the client, Proton as the server."""

    def drive(self, check, ours=65536, theirs=65536):
        broker = Broker(theirs)
        container = Container(broker)
        thread = threading.Thread(target=container.run, daemon=True)
        thread.start()
        self.assertTrue(broker.listening.wait(TIMEOUT))
        command = [PEER, "drive", str(broker.port), check, "--max-frame-size", str(ours)]
        command += ["--values", VALUES]
        result = subprocess.run(command, capture_output=True, text=True, timeout=3 * TIMEOUT)
        broker.acceptor.close()
        container.stop()
        thread.join(10)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        print(check, result.stdout.strip())

    def test_large_in_small_frames(self):
        for ours, theirs in ((512, 512), (4096, 512), (512, 4096)):
            with self.subTest(ours=ours, theirs=theirs):
                self.drive("large", ours, theirs)


for check in subprocess.run([PEER, "checks"], capture_output=True, text=True, check=True).stdout.split():
    setattr(ProtonServer, f"test_{check.replace('-', '_')}", lambda self, check=check: self.drive(check))

if __name__ == "__main__":
    unittest.main()
