//! The names under which an adapter crate exports the client for its runtime.

/// Names everything of the client for one runtime on the heap, and asserts that it may cross threads. Each adapter
/// crate has these names, so that moving a program from one runtime to another is a change of `use` lines.
#[cfg(feature = "alloc")]
#[macro_export]
macro_rules! client_names {
    ($runtime:ty) => {
        pub use $crate::client::{
            AutoLockRenewer, DeadLetter, DeadLetterOptions, ErrorKind, ErrorOutcome, HandlerError, Panic,
            ProcessorOptions, SessionProcessorOptions,
        };
        pub use $crate::engine::Capacity;
        pub use $crate::machine::{ReceiveMode, SizeLimits};
        pub use $crate::servicebus::{
            Argument, AsMessage, BatchError, Body, BodyError, CorrelationFilter, Disposition, Entries, InvalidMessage,
            LockToken, Message, MessageBody, MessageId, MessageIdBuf, MessageRef, MessageState, Properties, Reason,
            RetryMode, RetryPolicy, RuleFilterRef, RuleRef, SubQueue,
        };
        pub use $crate::storage::Limits;
        pub use $crate::time::Timestamp;
        pub use $crate::wire::{Uuid, Value};

        /// A connection to a namespace; see [`servicebus_core::client::Client`]($crate::client::Client).
        pub type Client = $crate::client::Client<$runtime>;
        /// What is received from, and how; see
        /// [`servicebus_core::client::ReceiverOptions`]($crate::client::ReceiverOptions).
        pub type ReceiverOptions = $crate::client::ReceiverOptions<$crate::storage::Heap>;
        /// Sends messages; see [`servicebus_core::client::Sender`]($crate::client::Sender).
        pub type Sender = $crate::client::Sender<$runtime>;
        /// The outcome of a message that was enqueued; see [`servicebus_core::client::Delivery`]($crate::client::Delivery).
        pub type Delivery = $crate::client::Delivery<$runtime>;
        /// Receives messages; see [`servicebus_core::client::Receiver`]($crate::client::Receiver).
        pub type Receiver = $crate::client::Receiver<$runtime>;
        /// The messages of a receiver as a stream; see [`servicebus_core::client::Messages`]($crate::client::Messages).
        #[cfg(feature = "stream")]
        pub type Messages = $crate::client::Messages<$runtime>;
        /// Receives the messages of a session; see
        /// [`servicebus_core::client::SessionReceiver`]($crate::client::SessionReceiver).
        pub type SessionReceiver = $crate::client::SessionReceiver<$runtime>;
        /// Looks at messages; see [`servicebus_core::client::Peeker`]($crate::client::Peeker).
        pub type Peeker = $crate::client::Peeker<$runtime>;
        /// The renewal of a lock; see [`servicebus_core::client::LockRenewal`]($crate::client::LockRenewal).
        pub type LockRenewal<'m> = $crate::client::LockRenewal<'m, $runtime>;
        /// A message pump; see [`servicebus_core::client::Processor`]($crate::client::Processor).
        pub type Processor<F = fn(ProcessorError)> = $crate::client::Processor<$runtime, F>;
        /// A message pump over sessions; see
        /// [`servicebus_core::client::SessionProcessor`]($crate::client::SessionProcessor).
        pub type SessionProcessor<F = fn(ProcessorError), O = NoSessionHandler, C = NoSessionHandler> =
            $crate::client::SessionProcessor<$runtime, F, O, C>;
        /// The handler of sessions of a processor that has none for them; see
        /// [`servicebus_core::client::NoSessionHandler`]($crate::client::NoSessionHandler).
        pub type NoSessionHandler = $crate::client::NoSessionHandler<$runtime>;
        /// Pauses, resumes and stops a message pump; see
        /// [`servicebus_core::client::ProcessorControl`]($crate::client::ProcessorControl).
        pub type ProcessorControl = $crate::client::ProcessorControl<$runtime>;
        /// A message in a handler's hands; see
        /// [`servicebus_core::client::ProcessorMessage`]($crate::client::ProcessorMessage).
        pub type ProcessorMessage = $crate::client::ProcessorMessage<$runtime>;
        /// An error in a message pump; see
        /// [`servicebus_core::client::ProcessorError`]($crate::client::ProcessorError).
        pub type ProcessorError = $crate::client::ProcessorError<$crate::storage::Heap>;
        /// What went wrong in a message pump; see
        /// [`servicebus_core::client::ProcessorErrorCause`]($crate::client::ProcessorErrorCause).
        pub type ProcessorErrorCause = $crate::client::ProcessorErrorCause<$crate::storage::Heap>;
        /// The rules of a subscription; see [`servicebus_core::client::RuleManager`]($crate::client::RuleManager).
        pub type RuleManager = $crate::client::RuleManager<$runtime>;
        /// Begins transactions; see
        /// [`servicebus_core::client::TransactionController`]($crate::client::TransactionController).
        pub type TransactionController = $crate::client::TransactionController<$runtime>;
        /// A transaction; see [`servicebus_core::client::Transaction`]($crate::client::Transaction).
        pub type Transaction = $crate::client::Transaction<$runtime>;
        /// A message that was received; see
        /// [`servicebus_core::servicebus::ReceivedMessage`]($crate::servicebus::ReceivedMessage).
        pub type ReceivedMessage = $crate::servicebus::ReceivedMessage<$crate::storage::Heap>;
        /// Messages that travel together; see
        /// [`servicebus_core::servicebus::MessageBatch`]($crate::servicebus::MessageBatch).
        pub type MessageBatch = $crate::servicebus::MessageBatch<$crate::storage::Heap>;
        /// A queue, topic or subscription; see
        /// [`servicebus_core::servicebus::Entity`]($crate::servicebus::Entity).
        pub type Entity = $crate::servicebus::Entity<$crate::storage::Heap>;
        /// Why something did not work; see
        /// [`servicebus_core::client::Error`]($crate::client::Error).
        pub type Error = $crate::client::Error<$crate::storage::Heap>;
        /// What is sent to, and how; see [`servicebus_core::client::SenderOptions`]($crate::client::SenderOptions).
        pub type SenderOptions = $crate::client::SenderOptions<$crate::storage::Heap>;
        /// Why a lock is not renewed any more; see
        /// [`servicebus_core::client::RenewalEnd`]($crate::client::RenewalEnd).
        pub type RenewalEnd = $crate::client::RenewalEnd<$crate::storage::Heap>;
        /// How the connection stands; see [`servicebus_core::client::ConnectionState`]($crate::client::ConnectionState).
        pub type ConnectionState = $crate::client::ConnectionState<$crate::storage::Heap>;
        /// Why something was not sent, with what was to be sent; see
        /// [`servicebus_core::client::SendError`]($crate::client::SendError).
        pub type SendError<M> = $crate::client::SendError<$crate::storage::Heap, M>;
        /// Not all of several messages were sent; see [`servicebus_core::client::SendAllError`]($crate::client::SendAllError).
        pub type SendAllError = $crate::client::SendAllError<$crate::storage::Heap>;
        /// A token from outside; see [`servicebus_core::servicebus::Token`]($crate::servicebus::Token).
        pub type Token = $crate::servicebus::Token<<$crate::storage::Heap as $crate::storage::Storage>::Payload>;

        const _: () = {
            const fn crosses_threads<T: Send + Sync>() {}
            crosses_threads::<Client>();
            crosses_threads::<Transaction>();
            crosses_threads::<Sender>();
            crosses_threads::<Delivery>();
            crosses_threads::<Receiver>();
            crosses_threads::<Peeker>();
            crosses_threads::<SessionReceiver>();
            crosses_threads::<LockRenewal<'static>>();
            crosses_threads::<Processor>();
            crosses_threads::<SessionProcessor>();
            crosses_threads::<ProcessorControl>();
            crosses_threads::<ProcessorMessage>();
            crosses_threads::<ProcessorError>();
            crosses_threads::<RuleManager>();
            crosses_threads::<TransactionController>();
            crosses_threads::<ReceivedMessage>();
            crosses_threads::<MessageBatch>();
            crosses_threads::<Error>();
        };
    };
}
