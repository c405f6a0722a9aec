"""What a client sends, recorded and reduced to its meaning.

A recording becomes a table: what was done (`attach receiver queue`, `request peek-message`, `disposition accepted`)
to the fields that were sent for it, each with every value that was seen, types included. Names, ids, tokens, times,
channels and handles are what they are for, not what they are.
"""

import json
import os
import re
import subprocess
import threading

FIELDS = {
    0x10: ("open", "container-id hostname max-frame-size channel-max idle-time-out outgoing-locales incoming-locales"
           " offered-capabilities desired-capabilities properties"),
    0x11: ("begin", "remote-channel next-outgoing-id incoming-window outgoing-window handle-max offered-capabilities"
           " desired-capabilities properties"),
    0x12: ("attach", "name handle role snd-settle-mode rcv-settle-mode source target unsettled incomplete-unsettled"
           " initial-delivery-count max-message-size offered-capabilities desired-capabilities properties"),
    0x13: ("flow", "next-incoming-id incoming-window next-outgoing-id outgoing-window handle delivery-count"
           " link-credit available drain echo properties"),
    0x14: ("transfer", "handle delivery-id delivery-tag message-format settled more rcv-settle-mode state resume"
           " aborted batchable"),
    0x15: ("disposition", "role first last settled state batchable"),
    0x16: ("detach", "handle closed error"),
    0x17: ("end", "error"),
    0x18: ("close", "error"),
    0x41: ("sasl-init", "mechanism initial-response hostname"),
}
SECTIONS = {
    0x70: ("header", "durable priority ttl first-acquirer delivery-count"),
    0x71: ("delivery-annotations", None),
    0x72: ("message-annotations", None),
    0x73: ("properties", "message-id user-id to subject reply-to correlation-id content-type content-encoding"
           " absolute-expiry-time creation-time group-id group-sequence reply-to-group-id"),
    0x74: ("application-properties", None),
    0x75: ("data", None),
    0x76: ("sequence", None),
    0x77: ("value", None),
    0x78: ("footer", None),
}
OUTCOMES = {0x24: "accepted", 0x25: "rejected", 0x26: "released", 0x27: "modified"}

# What is a value of its own kind each time: its type alone counts.
OPAQUE = {"name", "container-id", "delivery-tag", "initial-response", "reply-to", "associated-link-name",
          "com.microsoft:tracking-id", "message-id", "expiration", "creation-time", "absolute-expiry-time",
          "lock-tokens", "sequence-numbers", "com.microsoft:server-timeout", "com.microsoft:receiver-name",
          "com.microsoft:timeout", "message", "product", "version", "framework", "platform", "user-agent"}
# What says where a frame belongs, or how far a link is.
BOOKKEEPING = {"handle", "remote-channel", "delivery-id", "first", "last", "next-incoming-id", "incoming-window",
               "next-outgoing-id", "outgoing-window", "delivery-count", "available"}
# What the specification says of a field that is absent: the same, sent or not (AMQP 1.0 §2.7, §3.2, §3.5).
DEFAULTS = {
    "incomplete-unsettled": ["boolean", False], "rcv-settle-mode": ["ubyte", 0], "snd-settle-mode": ["ubyte", 2],
    "durable": ["uint", 0], "dynamic": ["boolean", False], "expiry-policy": ["symbol", "session-end"],
    "timeout": ["uint", 0], "drain": ["boolean", False], "echo": ["boolean", False], "settled": ["boolean", False],
    "more": ["boolean", False], "resume": ["boolean", False], "aborted": ["boolean", False],
    "batchable": ["boolean", False], "closed": ["boolean", False], "message-format": ["uint", 0],
    "max-message-size": ["ulong", "0"], "handle-max": ["uint", 4_294_967_295], "channel-max": ["ushort", 65_535],
    "max-frame-size": ["uint", 4_294_967_295], "undeliverable-here": ["boolean", False],
}


def record(port, command):
    """Runs a client, whose command has `{port}` in it, and returns the frames that it sends."""
    process = subprocess.Popen(
        [os.environ["FRAME_RECORDER"], str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    try:
        own = process.stdout.readline().strip()
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(process.stdout))
        reader.start()
        done = subprocess.run(
            [word.replace("{port}", own) for word in command], capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        process.stdin.close()
        process.wait()
        reader.join()
    finally:
        process.kill()
    return [json.loads(line) for line in lines]


def described(pair, table):
    """The name and the fields of a described list."""
    code = int(pair[1]["descriptor"][1])
    name, fields = table[code]
    return name, dict(zip(fields.split(), pair[1]["value"][1]))


def text(value):
    """A value in one line; strings that are addresses without what is of this run alone."""
    kind, contents = value
    if kind in ("string", "symbol"):
        contents = re.sub(r"localhost:\d+", "HOST", contents)
        contents = re.sub(r"\b(queue|session)-\d+", r"\1", contents)
        contents = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", contents)
        contents = re.sub(r"\b[0-9a-f]{32}\b", "UUID", contents)
    elif kind == "list":
        contents = [text(item) for item in contents]
    elif kind == "map":
        contents = {f"{text(key)}": text(item) for key, item in contents}
    elif kind == "array":
        return f"array of {contents['element_type']} x{len(contents['elements'])}"
    elif kind == "described":
        return f"described({text(contents['descriptor'])}, {text(contents['value'])})"
    return f"{kind} {json.dumps(contents, ensure_ascii=False)}"


def address(terminus):
    """The address of a source or target."""
    if terminus[0] != "described" or not terminus[1]["value"][1]:
        return None
    found = terminus[1]["value"][1][0]
    return found[1] if found[0] in ("string", "symbol") else None


def path(found):
    """An address without scheme and host."""
    return re.sub(r"^(\w+://[^/]*)?/?", "", found or "")


class Reduction:
    """The table that a recording becomes."""

    def __init__(self, frames):
        self.table = {}
        # The links of each connection and channel by handle: what they are for.
        self.links = {}
        for frame in frames:
            assert "error" not in frame, frame
            if frame["body"][1]["descriptor"][1] in ("64", "65", "66", "67", "68"):
                continue
            self.take(frame)

    def note(self, what, name, value):
        if value[0] == "null" or value == DEFAULTS.get(name.rpartition(".")[2]):
            return
        shown = f"{value[0]} …" if name.rpartition(".")[2] in OPAQUE else text(value)
        self.table.setdefault(what, {}).setdefault(name, set()).add(shown)

    def entries(self, what, prefix, value):
        """Notes each entry of a map as a field of its own, keys with their types."""
        for key, item in value[1]:
            short = key[1]
            if short == "messages":
                for message in item[1]:
                    self.entries(what, f"{prefix}.{short}", message)
                    encoded = bytes.fromhex(dict((key[1], value[1]) for key, value in message[1])["message"])
                    scheduled = "scheduled" if b"x-opt-scheduled-enqueue-time" in encoded else "at once"
                    self.table[what].setdefault(f"{prefix}.{short} are sent", set()).add(scheduled)
                continue
            name = f"{prefix}.{key[0]}:{short}" if key[0] != "string" else f"{prefix}.{short}"
            shown = f"{item[0]} …" if short in OPAQUE and item[0] != "array" else text(item)
            if short in OPAQUE and item[0] == "array":
                shown = f"array of {item[1]['element_type']}"
            self.table.setdefault(what, {}).setdefault(name, set()).add(shown)

    def take(self, frame):
        kind, fields = described(frame["body"], FIELDS)
        place = (frame["connection"], frame["channel"], fields.get("handle", ["", ""])[1])
        if kind == "attach":
            self.attach(place, fields)
        elif kind == "transfer":
            self.transfer(self.links[place], fields, frame["message"])
        elif kind == "disposition":
            self.disposition(fields)
        elif kind == "flow":
            link = self.links.get(place)
            if link and link.startswith("receiver"):
                self.fields(f"flow of a {link}", fields)
        elif kind == "detach":
            self.fields(f"detach of a {self.links[place]}", fields)
        else:
            self.fields(kind, fields)

    def fields(self, what, fields, left_out=()):
        self.table.setdefault(what, {})
        for name, value in fields.items():
            if name in BOOKKEEPING or name in left_out or value[0] == "null":
                continue
            if value[0] == "map":
                self.entries(what, name, value)
            else:
                self.note(what, name, value)

    def attach(self, place, fields):
        receives = fields["role"][1]
        node = path(address(fields["source" if receives else "target"]))
        node = re.sub(r"^(queue|session)-\d+", r"\1", node)
        link = f"{'receiver' if receives else 'sender'} at {node}"
        what = f"attach of a {link}"
        filters = None
        for name in ("source", "target"):
            terminus = fields[name]
            if terminus[0] == "described":
                parts = dict(zip(
                    "address durable expiry-policy timeout dynamic dynamic-node-properties distribution-mode filter"
                    .split() if name == "source" else "address durable expiry-policy timeout dynamic".split(),
                    terminus[1]["value"][1],
                ))
                parts["address"] = [parts.get("address", ["null"])[0], "its own"] if path(
                    address(terminus)) != path(address(fields["source" if receives else "target"])) else [
                    "string", re.sub(r"(queue|session)-\d+", r"\1", address(terminus) or "")]
                for part, value in parts.items():
                    if part == "filter" and value[0] == "map":
                        self.entries(what, f"{name}.filter", value)
                        for key, chosen in value[1]:
                            if chosen[0] == "null":
                                filters = " for any session"
                            else:
                                filters = " for a session"
                    else:
                        self.note(what, f"{name}.{part}", value)
        if filters:
            self.table[what + filters] = self.table.pop(what)
            what, link = what + filters, link + filters
        self.links[place] = link
        self.fields(what, fields, left_out=("source", "target", "role"))

    def transfer(self, link, fields, message):
        sections = []
        operation = None
        for section in message:
            code = int(section[1]["descriptor"][1])
            name, names = SECTIONS[code]
            value = section[1]["value"]
            if name == "application-properties":
                operation = next((item[1] for key, item in value[1] if key[1] == "operation"), None)
            sections.append((name, names, value))
        batch = fields.get("message-format", ["null"])[0] != "null" and int(fields["message-format"][1]) != 0
        if operation:
            what = f"request {operation.removeprefix('com.microsoft:')}"
        else:
            what = f"message{'s in a batch' if batch else ''} of a {link}"
        self.fields(what, fields)
        for name, names, value in sections:
            if name in ("data", "sequence") or (name == "value" and value[0] != "map"):
                shown = value[0] if batch or operation else text(value)
                self.table[what].setdefault(name, set()).add(shown)
            elif names:
                for field, item in zip(names.split(), value[1]):
                    self.note(what, f"{name}.{field}", item)
            else:
                self.entries(what, name, value)

    def disposition(self, fields):
        if fields["role"][1] is not True:
            return
        state = fields["state"]
        if state[0] == "null":
            return
        outcome = OUTCOMES[int(state[1]["descriptor"][1])]
        what = f"disposition {outcome}"
        parts = state[1]["value"][1]
        if outcome == "modified":
            names = dict(zip(("delivery-failed", "undeliverable-here", "message-annotations"), parts))
            deferred = names.get("undeliverable-here", ["null", None])[1] is True
            what = "disposition modified to defer" if deferred else "disposition modified to abandon"
            for name, value in names.items():
                self.note(what, f"state.{name}", value)
        elif outcome == "rejected" and parts and parts[0][0] == "described":
            for name, value in zip(("condition", "description", "info"), parts[0][1]["value"][1]):
                if value[0] == "map":
                    self.entries(what, f"state.error.{name}", value)
                else:
                    self.note(what, f"state.error.{name}", value)
        self.fields(what, fields, left_out=("state", "role"))
