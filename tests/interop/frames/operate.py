"""The operations of the frame comparison with the SDK for Python.

    operate.py CONNECTION_STRING QUEUE SESSIONS
"""

import datetime
import sys

from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusClient, ServiceBusMessage, ServiceBusReceiveMode
from azure.servicebus import ServiceBusSubQueue
from azure.servicebus.exceptions import OperationTimeoutError


def one(receiver):
    [message] = receiver.receive_messages(max_wait_time=10)
    return message


def main():
    connection_string, queue, sessions = sys.argv[1:]
    with ServiceBusClient.from_connection_string(connection_string, retry_total=0) as client:
        with client.get_queue_sender(queue) as sender:
            sender.send_messages(ServiceBusMessage(
                "one", message_id="one", subject="subject", content_type="text/plain", correlation_id="correlation",
                time_to_live=datetime.timedelta(minutes=1), application_properties={"text": "value", "flag": True},
            ))
            sender.send_messages([ServiceBusMessage(name, message_id=name) for name in ("two", "three")])
            hours = datetime.datetime(9999, 12, 31, 1, tzinfo=datetime.timezone.utc)
            numbers = sender.schedule_messages(ServiceBusMessage("later", message_id="later"), hours)
            sender.cancel_scheduled_messages(numbers)
            with client.get_queue_receiver(queue) as receiver:
                receiver.peek_messages(2)
                receiver.complete_message(one(receiver))
                receiver.abandon_message(one(receiver))
                second = one(receiver)
                receiver.renew_message_lock(second)
                receiver.dead_letter_message(second, reason="why", error_description="because")
                third = one(receiver)
                receiver.defer_message(third)
                [third] = receiver.receive_deferred_messages(third.sequence_number)
                receiver.complete_message(third)
            mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
            dead_letter = ServiceBusSubQueue.DEAD_LETTER
            with client.get_queue_receiver(queue, sub_queue=dead_letter, receive_mode=mode) as receiver:
                one(receiver)
        with client.get_queue_sender(sessions) as sender:
            sender.send_messages(ServiceBusMessage("one", message_id="one", session_id="a"))
        with client.get_queue_receiver(sessions, session_id="a") as receiver:
            receiver.session.set_state(b"state")
            receiver.session.get_state()
            receiver.session.renew_lock()
            receiver.complete_message(one(receiver))
        try:
            with client.get_queue_receiver(sessions, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=2):
                raise SystemExit("a session without messages")
        except OperationTimeoutError:
            pass


main()
