//! The largest message that a premium namespace takes, over a real socket: 100 MiB.

use servicebus_emulator::Emulator;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tokio::{ErrorKind, MessageRef, ReceiverOptions, SenderOptions, connect};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_100_mebibytes_goes_round() {
    let queue = QueueDescription { max_message_size_in_kilobytes: Some(102_400), ..QueueDescription::default() };
    let emulator = Emulator::builder().queue_with("large", queue).start().await.unwrap();
    let client = connect(emulator.connection_string()).unwrap();
    let sender = client.sender(SenderOptions::new("large").with_identifier("the sender")).unwrap();
    let limit = usize::try_from(sender.size_limits().await.unwrap().message).unwrap();
    assert_eq!(limit, 100 << 20);
    // The rest of the limit is for the section around it.
    let body: Vec<u8> = (0..limit - 1_024).map(|at| (at / 251) as u8).collect();
    sender.send(&MessageRef::new(&body)).await.unwrap();

    let receiver = client.receiver(ReceiverOptions::new("large").with_identifier("the receiver")).unwrap();
    let message = receiver.receive(Duration::from_secs(60)).await.unwrap().expect("the message");
    assert!(message.data() == body, "it came as it was sent");
    receiver.complete(&message).await.unwrap();

    let failure = sender.send(&MessageRef::new(&vec![0; limit + 1])).await.unwrap_err();
    // Refused here: the service has given no reason.
    assert_eq!((failure.kind(), failure.reason()), (ErrorKind::TooLarge, None), "{failure}");
    client.close().await;
}
