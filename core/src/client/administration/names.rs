//! The names under which an adapter crate exports the administration client for its runtime.

/// Names everything of the administration client for one runtime and its TCP, and asserts that it may cross threads.
#[cfg(feature = "http")]
#[macro_export]
macro_rules! administration_names {
    ($runtime:ty, $network:ty) => {
        pub use $crate::client::administration::AdministrationOptions;
        pub use $crate::servicebus::administration::{
            AccessRights, ApiVersion, AuthorizationRule, CorrelationRuleFilter, DEFAULT_RULE_NAME, ETag, Endpoint,
            EntityAvailabilityStatus, EntityDescription, EntityProperties, EntityStatus, InvalidElement, InvalidName,
            InvalidRequest, MAX_TIME_SPAN, MessageCountDetails, MessagingSku, NamespaceProperties, NamespaceType,
            QueueDescription, QueueProperties, QueueRuntimeProperties, ResponseError, RuleDescription, RuleFilter,
            RuleProperties, RuleValue, ServiceError, ServiceErrorKind, SqlRuleAction, SqlRuleFilter,
            SubscriptionDescription, SubscriptionProperties, SubscriptionRuntimeProperties, TimeSpan, TopicDescription,
            TopicProperties, TopicRuntimeProperties, VersionedProperties, XmlError,
        };
        pub use $crate::transport::HttpError;

        /// HTTP/1.1 over TCP and TLS; see [`servicebus_core::transport::Http`]($crate::transport::Http).
        pub type Http = $crate::transport::Http<$network>;
        /// Creates, reads, changes and deletes entities; see
        /// [`servicebus_core::client::administration::AdministrationClient`]($crate::client::administration::AdministrationClient).
        pub type AdministrationClient = $crate::client::administration::AdministrationClient<Http, $runtime>;
        /// Why an operation failed; see
        /// [`servicebus_core::client::administration::AdministrationError`]($crate::client::administration::AdministrationError).
        pub type AdministrationError = $crate::client::administration::AdministrationError<HttpError>;
        /// A list that is read page by page; see
        /// [`servicebus_core::client::administration::Pages`]($crate::client::administration::Pages).
        pub type Pages<E> = $crate::client::administration::Pages<Http, $runtime, E>;
        /// The subscriptions of a topic; see
        /// [`servicebus_core::client::administration::TopicAdministration`]($crate::client::administration::TopicAdministration).
        pub type TopicAdministration = $crate::client::administration::TopicAdministration<Http, $runtime>;
        /// The rules of a subscription; see
        /// [`servicebus_core::client::administration::SubscriptionAdministration`]($crate::client::administration::SubscriptionAdministration).
        pub type SubscriptionAdministration =
            $crate::client::administration::SubscriptionAdministration<Http, $runtime>;

        const _: () = {
            const fn crosses_threads<T: Send + Sync>() {}
            crosses_threads::<AdministrationClient>();
            crosses_threads::<AdministrationError>();
            crosses_threads::<Pages<QueueProperties>>();
            crosses_threads::<TopicAdministration>();
            crosses_threads::<SubscriptionAdministration>();
        };
    };
}
