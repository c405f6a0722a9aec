//! Handlers of processors that are written as async closures.

use servicebus_core::client::HandlerError;
use std::error::Error;
use std::pin::Pin;
use std::rc::Rc;

/// The future of such a handler.
pub type Handling<'a> = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + 'a>>;

/// A handler whose captures are shared by all of its calls. It stays in one thread.
pub fn handler<'a, M, H, E>(handler: H) -> impl Fn(M) -> Handling<'a> + 'a
where
    M: 'a,
    H: AsyncFn(M) -> Result<(), E> + 'a,
    E: Into<Box<dyn Error + Send + Sync>> + 'a,
{
    let handler = Rc::new(handler);
    move |message| {
        let handler = Rc::clone(&handler);
        Box::pin(async move { handler(message).await.map_err(HandlerError::new) })
    }
}
