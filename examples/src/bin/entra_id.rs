//! Tokens from outside, as Entra ID gives them, instead of a key.
//!
//! With the feature `azure-identity` of `servicebus-tokio` and `servicebus-async-std` the credentials of the crate `azure_identity` are taken as
//! they are: `Options::for_namespace("….servicebus.windows.net")?.connect_with_credential(AzureCredential::new(credential))`. Here the
//! token is made up, since the emulator has nobody to ask.

use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::{Options, Timestamp, Token, connect};
use std::time::{Duration, SystemTime};

#[tokio::main]
async fn main() -> Result<()> {
    let queue = queue_name("orders");
    let namespace = Namespace::open(|emulator| emulator.queue(&queue)).await?;
    if std::env::var_os("SERVICEBUS_CONNECTION_STRING").is_some() {
        return Err("this example makes its token up: it runs on the emulator only".into());
    }
    let client = Options::new(namespace.connection_string.as_str())?.connect_with_credential(|| async {
        let expires = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)? + Duration::from_secs(3_600);
        println!("the credential was asked for a token");
        Ok::<_, std::time::SystemTimeError>(Token::jwt(
            // {"alg":"none"} . {"aud":"https://servicebus.azure.net","exp":4102444800} . no signature
            "eyJhbGciOiJub25lIn0.eyJhdWQiOiJodHRwczovL3NlcnZpY2VidXMuYXp1cmUubmV0IiwiZXhwIjo0MTAyNDQ0ODAwfQ.",
            Timestamp::from_secs(i64::try_from(expires.as_secs()).unwrap_or(i64::MAX)),
        ))
    });
    client.sender(&*queue)?.send("sent with a token").await?;
    client.close().await;

    let client = connect(namespace.connection_string.as_str())?;
    let receiver = client.receiver(&*queue)?;
    let message = receiver.receive(Duration::from_secs(5)).await?.ok_or("nothing came")?;
    println!("received \"{}\"", message.text().unwrap_or("?"));
    receiver.complete(&message).await?;
    client.close().await;
    Ok(())
}
