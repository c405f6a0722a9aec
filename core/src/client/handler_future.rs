//! A handler's future, and where it runs.

use crate::log::Span;
use crate::runtime::RunTask;
#[cfg(feature = "std")]
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use pin_project_lite::pin_project;

/// A handler that panicked: the text of the panic, and its payload. Panics are caught with the feature `std` only.
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// # let client = world.client::<servicebus_core::storage::Heap>();
/// use servicebus_core::client::ProcessorErrorCause;
///
/// # use servicebus_core::client::ProcessorOptions;
/// # client.sender("orders")?.send("two of the blue ones").await?;
/// # let processor = client.processor("orders", ProcessorOptions::new());
/// # world.stop_soon(&processor.control());
/// processor
///     .on_error(|error| {
///         if let ProcessorErrorCause::Panicked(panic) = error.cause() {
///             assert_eq!(panic.to_string(), "the handler panicked: no such colour");
///         }
///     })
///     .run(async |_| panic!("no such colour"))
///     .await?;
/// # Ok(())
/// # });
/// ```
pub struct Panic {
    text: String,
    // Under a lock, since a payload need not be `Sync`; an error has to be.
    #[cfg(feature = "std")]
    payload: std::sync::Mutex<Box<dyn core::any::Any + Send>>,
}

impl Panic {
    #[cfg(feature = "std")]
    fn new(payload: Box<dyn core::any::Any + Send>) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
        Self { text: text.into(), payload: std::sync::Mutex::new(payload) }
    }

    /// The text of the panic; empty for a payload that is no text.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::{ProcessorErrorCause, ProcessorOptions};
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .on_error(|error| {
    ///         if let ProcessorErrorCause::Panicked(panic) = error.cause() {
    ///             assert_eq!(panic.text(), "no such colour");
    ///         }
    ///     })
    ///     .run(async |_| panic!("no such colour"))
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The payload, such as for [`std::panic::resume_unwind`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::{ProcessorErrorCause, ProcessorOptions};
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .on_error(|error| {
    ///         if let ProcessorErrorCause::Panicked(panic) = error.into_cause() {
    ///             assert_eq!(panic.into_payload().downcast_ref(), Some(&"no such colour"));
    ///         }
    ///     })
    ///     .run(async |_| panic!("no such colour"))
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    #[cfg(feature = "std")]
    pub fn into_payload(self) -> Box<dyn core::any::Any + Send> {
        self.payload.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.text).finish()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the handler panicked")?;
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}

/// Does something of the application's, and catches its panic. After a panic the code is not called any more, so that
/// nothing meets the state that it left.
pub(super) fn caught<T>(act: impl FnOnce() -> T) -> Result<T, Panic> {
    #[cfg(feature = "std")]
    return std::panic::catch_unwind(core::panic::AssertUnwindSafe(act)).map_err(Panic::new);
    #[cfg(not(feature = "std"))]
    Ok(act())
}

pin_project! {
    /// The future of a handler, as it is spawned: it runs in the message's span, and a panic is its output.
    ///
    /// ```
    /// # use servicebus_core::client::{Client, Error, HandlerError, ProcessorMessage, ProcessorOptions};
    /// # use servicebus_core::storage::Heap;
    /// use servicebus_core::client::HandlerFuture;
    /// use servicebus_core::runtime::{HeapRuntime, RunTask};
    ///
    /// /// A worker on every runtime that can spawn these handlers.
    /// async fn work<R, H, Fut>(client: Client<R>, handler: H) -> Result<(), Error<Heap>>
    /// where
    ///     R: HeapRuntime + RunTask<HandlerFuture<Fut>>,
    ///     H: Fn(ProcessorMessage<R>) -> Fut,
    ///     Fut: Future<Output = Result<(), HandlerError>>,
    /// {
    ///     client.processor("orders", ProcessorOptions::new()).run(handler).await
    /// }
    /// ```
    pub struct HandlerFuture<F> {
        span: Span,
        #[pin]
        future: F,
    }
}

impl<F> fmt::Debug for HandlerFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerFuture").finish_non_exhaustive()
    }
}

impl<F> HandlerFuture<F> {
    /// Calls a handler in a span.
    pub(super) fn call(span: Span, handler: impl FnOnce() -> F) -> Result<Self, Panic> {
        let future = span.within(|| caught(handler))?;
        Ok(Self { span, future })
    }
}

impl<F: Future> Future for HandlerFuture<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = this.span.within(|| caught(|| this.future.poll(cx)));
        polled.map_or_else(|panic| Poll::Ready(Err(panic)), |polled| polled.map(Ok))
    }
}

/// Where handlers run.
pub(super) trait Launch<F: Future> {
    /// The handler under way.
    type Task: Future<Output = F::Output>;

    /// Starts one.
    fn launch(&self, future: F) -> Self::Task;
}

/// In the processor's own future.
pub(super) struct InPlace;

impl<F: Future> Launch<F> for InPlace {
    type Task = F;

    fn launch(&self, future: F) -> F {
        future
    }
}

/// As tasks of the runtime.
pub(super) struct AsTasks<R>(pub(super) R);

impl<F: Future, R: RunTask<F>> Launch<F> for AsTasks<R> {
    type Task = R::Task;

    fn launch(&self, future: F) -> R::Task {
        self.0.run_task(future)
    }
}
