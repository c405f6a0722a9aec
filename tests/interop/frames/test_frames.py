"""What our client puts on the wire, held against what the official SDKs put there for the same operations.

Every difference is listed below with its reason. One that is not listed fails, and so does one that is listed and not
there any more.
"""

import os
import pathlib
import re
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "python"))
from emulator import Emulator  # noqa: E402
from recording import Reduction, record  # noqa: E402

CONNECTION_STRING = (
    "Endpoint=sb://localhost:{port};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;"
    "UseDevelopmentEmulator=true;"
)
CLIENTS = ("ours", "python", "javascript")
REQUEST_LINK = r"attach of a (sender|receiver) at (\$cbs|.*\$management)"

# What is said (a pattern), the field (a pattern), what each of the three sends (a pattern, or several), and why ours is
# as it is.
EXPLAINED = [
    # Links
    (REQUEST_LINK, "snd-settle-mode", "ubyte 0", "ubyte 0", None,
     "requests are sent unsettled, and the attach says so; the default would leave it open"),
    (r"attach of a sender at (queue|session)", "snd-settle-mode", "ubyte 0", "ubyte 0", None,
     "messages are sent unsettled, and the attach says so; the default would leave it open"),
    (r"attach of a sender at (queue|session)", "rcv-settle-mode", None, "ubyte 1", None,
     "a sender has nothing to settle a second time: the service settles in one step"),
    (r"attach of a receiver at (queue|session).*", "max-message-size", None, 'ulong "1048576"', None,
     "our receivers take whatever the entity holds"),
    (r"attach of a sender at \$cbs", "source.address", 'string "its own"', 'string "$cbs"', None,
     "an address of its own, as on every other link; the service routes by the session"),
    (r"attach of a receiver at \$cbs", "target.address", 'string "its own"', 'string "$cbs"', None,
     "the reply-to of the requests names it"),
    (r"attach of a sender at .*/\$management", "source.address", 'string "its own"', r'string "(queue|session)/\$management"',
     None, "an address of its own, as on every other link"),
    (r"attach of a receiver at .*/\$management", "target.address", 'string "its own"',
     r'string "(queue|session)/\$management"', 'string "its own"',
     "the reply-to of the requests names it; an address that all share cannot tell replies apart"),
    (r"attach of a receiver at (queue|session).*", "source.address", r'string "(queue|session)[^:]*"',
     r'string "amqps://HOST/(queue|session)[^:]*"', r'string "(queue|session)[^:]*"',
     "the bare path: the SDK for Python writes a URI, scheme of TLS included on plain TCP"),
    (r"attach of a sender at (queue|session)", "target.address", r'string "(queue|session)"',
     r'string "amqps://HOST/(queue|session)"', r'string "(queue|session)"', "the bare path, as above"),
    (r"flow of a receiver at (\$cbs|.*\$management)", "link-credit", "uint 100", "uint 10000", "uint 1000",
     "as many replies as requests may be under way"),
    (r"flow of a receiver at (queue|session).*", "link-credit", "uint 1", "uint 0 | uint 1", "uint 1",
     "credit for what is asked for; a flow that grants nothing says nothing"),
    (r"detach of a receiver at session for any session", "closed", "boolean true", None, "boolean true",
     "a refused link is detached from both ends (AMQP 1.0 §2.6.6); the SDK for Python drops the connection"),
    (r"detach of a (sender|receiver) at \$cbs", "closed", None, "boolean true", "boolean true",
     "the links for tokens end with the connection, whose close ends everything in one frame"),
    (r"detach of a (sender|receiver) at .*/\$management", "closed", "boolean true", None, "boolean true",
     "a link that is not used any more is closed, not kept (AMQP 1.0 §2.6.5)"),
    ("end", "", "not said", "said", "said", "the sessions end with the connection, as above"),
    (r"detach of a (sender|receiver) at \$cbs", "", "not said", "said", "said", "as above"),
    (r"detach of a receiver at session for any session", "", "said", "not said", "said", "as above"),
    # Connection and session
    ("open", "channel-max", "ushort 4999", None, None, "what our tables hold, and what the service allows"),
    ("open", "idle-time-out", "uint 60000", None, "uint 60000",
     "a peer that falls silent is noticed; the SDK for Python leaves that to TCP"),
    ("open", "max-frame-size", "uint 65536", "uint 1048576", None, "the service's own limit: more is not answered"),
    ("open", r"properties\.symbol:(framework|platform)", None, "string …", "string …",
     "product and version are enough to find a client in a log"),
    ("begin", "handle-max", "uint 255", None, None, "what our tables hold, and what the service allows"),
    # Messages
    ("message of a sender at queue", r"properties\.(absolute-expiry-time|creation-time)", None, "timestamp …",
     "timestamp …", "the service goes by header.ttl alone (docs/evidence/wire-protocol.md §3.1), and sets both itself"),
    # Settlement
    (r"disposition modified to (abandon|defer)", r"state\.delivery-failed", "boolean true", "boolean true", None,
     "the service counts the delivery in either case"),
    ("disposition rejected", r"state\.error\.description", None, 'string "because"', None,
     "the description is in the info, where the service looks"),
    ("disposition rejected", r"state\.error\.info\.symbol:DeadLetter.*", 'string ".*"', 'string ".*"', None,
     "keys of an info map are symbols (AMQP 1.0 §2.8.16)"),
    ("disposition rejected", r"state\.error\.info\.DeadLetter.*", None, None, 'string ".*"', "as above"),
    # Requests
    ("request put-token", r"application-properties\.type", 'string "servicebus.windows.net:sastoken"', 'string "jwt"',
     'string "servicebus.windows.net:sastoken"', "the token is a shared access signature, and its type says so"),
    ("request put-token", r"application-properties\.expiration", "timestamp …", "timestamp …", None,
     "told where it is known"),
    ("request put-token", r"properties\.to", 'string "$cbs"', None, 'string "$cbs"', "as the specification of CBS has it"),
    ("request put-token", r"properties\.reply-to", "string …", None, "string …", "names the link for the reply"),
    (r"request .*", r"properties\.message-id", "uuid …", "uuid …", "string …",
     "numbers in a UUID: neither written as text nor read from it"),
    (r"request (?!put-token).*", r"properties\.to", r'string "(queue|session)/\$management"', None, None,
     "requests name their node, as those for tokens do"),
    (r"request (?!put-token).*", r"application-properties\.type", 'string "entity-mgmt"', 'string "entity-mgmt"', None,
     "the kind of node, as the vendor's documentation of requests asks"),
    (r"request (?!put-token).*", r"application-properties\.com\.microsoft:server-timeout", "uint …", "uint …", None,
     "the service stops when nobody waits any more"),
    (r"request (?!put-token).*", r"application-properties\.com\.microsoft:tracking-id", None, None, "string …",
     "the service makes one when there is none"),
    ("request peek-message", r"application-properties\.associated-link-name", (None, "string …"), "string …", None,
     "a peek needs no receiver link: the name is told when the link is up already, and not waited for"),
    (r"request (receive-by-sequence-number|update-disposition)", r"application-properties\.associated-link-name",
     "string …", "string …", None, "keeps the receiver's link from being idle"),
    ("request set-session-state", r"value\.session-state", 'binary "7374617465"', 'binary "7374617465"',
     'binary "22737461746522"', "the bytes themselves; the SDK for JavaScript writes JSON"),
]


@pytest.fixture(scope="module")
def tables():
    emulator = Emulator()
    commands = {
        "ours": [os.environ["SDK_PEER"], CONNECTION_STRING, "operate"],
        "python": [sys.executable, str(HERE / "operate.py"), CONNECTION_STRING],
        "javascript": ["node", str(HERE / "operate.js"), CONNECTION_STRING],
    }
    try:
        yield {
            client: Reduction(
                record(emulator.port, [*command, emulator.fresh("queue"), emulator.fresh("session")])
            ).table
            for client, command in commands.items()
        }
    finally:
        emulator.stop()


def differences(tables):
    """Each field that not all send alike: what is said, the field, and what each sends."""
    for what in sorted(set().union(*tables.values())):
        said = [what in tables[client] for client in CLIENTS]
        if not all(said):
            yield what, "", ["said" if one else "not said" for one in said]
        for field in sorted(set().union(*(tables[client].get(what, {}) for client in CLIENTS))):
            sent = [tables[client].get(what, {}).get(field) for client in CLIENTS]
            sent = [None if values is None else " | ".join(sorted(values)) for values in sent]
            if len(set(sent)) > 1:
                yield what, field, sent


def fits(pattern, sent):
    if isinstance(pattern, tuple):
        return any(fits(one, sent) for one in pattern)
    if pattern is None or sent is None:
        return pattern is sent
    return pattern == sent or re.fullmatch(pattern, sent) is not None


def explanation(what, field, sent):
    """The number of the explanation for a difference."""
    for number, (said, named, *patterns, _) in enumerate(EXPLAINED):
        if re.fullmatch(said, what) and re.fullmatch(named, field) and all(map(fits, patterns, sent)):
            return number
    return None


def test_every_operation_was_recorded(tables):
    """A recorder that records nothing would find no difference."""
    for client in CLIENTS:
        said = set(tables[client])
        assert {
            "open", "begin", "close", "request put-token", "message of a sender at queue",
            "messages in a batch of a sender at queue", "message of a sender at session",
            "request schedule-message", "request cancel-scheduled-message", "request peek-message",
            "request receive-by-sequence-number", "request update-disposition", "request renew-lock",
            "request set-session-state", "request get-session-state", "request renew-session-lock",
            "disposition accepted", "disposition rejected", "disposition modified to abandon",
            "disposition modified to defer", "attach of a receiver at queue",
            "attach of a receiver at queue/$DeadLetterQueue", "attach of a receiver at session for a session",
            "attach of a receiver at session for any session",
        } <= said, client


def test_every_difference_is_explained(tables):
    unexplained = [
        f"{what}: {field}\n" + "".join(f"    {client:10} {value}\n" for client, value in zip(CLIENTS, sent))
        for what, field, sent in differences(tables)
        if explanation(what, field, sent) is None
    ]
    assert not unexplained, "\n" + "".join(unexplained)


def test_every_explanation_is_needed(tables):
    used = {explanation(*difference) for difference in differences(tables)}
    unused = [EXPLAINED[number][:2] for number in range(len(EXPLAINED)) if number not in used]
    assert not unused, unused
