//! Drivers that the application runs itself: they end when the client is closed, whatever the peer does.

use crate::cell::{RETRY, with_slack};
use crate::column::columns;
use crate::platform::{Site, smol_options};
use servicebus_async_std::{Client, MessageRef, Token};
use servicebus_tests::calls::{QUEUE, closing};
use std::sync::mpsc;
use std::time::Duration;

/// The peers that keep a driver at different steps.
const STEPS: [&str; 5] =
    ["silent", "stops-reading", "accepts-tcp-only", "silent-in-tls-certificate", "silent-in-upgrade"];

/// Runs a driver in a thread while a send is pending, ends the client, and waits for the driver.
fn ends(driver: impl Future<Output = ()> + Send + 'static, client: Client, close: bool) -> bool {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        smol::future::block_on(driver);
        let _ = done.send(());
    });
    smol::future::block_on(async {
        let sender = client.sender(QUEUE).expect("a sender");
        // It fails: the peer was sick from the start.
        let _ = sender.send(&MessageRef::new("lost")).await;
        drop(sender);
        if close {
            client.close().await;
        } else {
            drop(client);
        }
    });
    ended.recv_timeout(with_slack(closing(&RETRY))).is_ok()
}

#[test]
fn a_driver_ends_with_its_client_at_every_step() {
    let mut judged = Vec::new();
    for step in STEPS {
        let column = columns().find(|column| column.name() == step).expect("a peer of the matrix");
        for (close, credential) in [(true, false), (false, false), (true, true), (false, true)] {
            // Each waits for its own limit, and computes next to nothing.
            judged.push(std::thread::spawn(move || {
                let site = Site::start(column);
                site.fall_sick();
                let options = smol_options(&site, RETRY);
                let ended = if credential {
                    let never = || std::future::pending::<Result<Token, &'static str>>();
                    let (client, driver) = options.into_parts_with_credential(never);
                    ends(driver, client, close)
                } else {
                    let (client, driver) = options.into_parts();
                    ends(driver, client, close)
                };
                (format!("{step}, closed: {close}, with a credential: {credential}"), ended)
            }));
        }
    }
    let judged = judged.into_iter().map(|judge| judge.join().expect("it does not panic"));
    let late: Vec<_> = judged.filter(|(_, ended)| !ended).map(|(name, _)| name).collect();
    assert!(late.is_empty(), "drivers that still run after {:?}: {late:#?}", with_slack(Duration::from_secs(10)));
}
