//! Entities at run time: the management API's requests and responses, without I/O.
//!
//! A client builds a [`Request`] with a [`RequestBuilder`] and reads the [`Response`] with [`read_one`], [`read_page`]
//! and [`read_deleted`]. A service reads bodies with [`service::read_body`] and writes entries, feeds and errors.
//!
//! Documents are read by namespace, never by prefix; elements that are not known are passed over. What the service
//! may send is bounded by [`MAX_RESPONSE_BODY`], what a client may send by [`service::MAX_REQUEST_BODY`]; nesting is
//! bounded, and entities are not expanded.
// docs/evidence/wire-protocol.md §7, docs/evidence/service-evidence.md §13, docs/evidence/pinned-behaviour.md §15

mod api_version;
mod authorization;
mod create;
mod description;
mod element;
mod endpoint;
mod error;
mod etag;
mod http;
mod iso8601;
mod namespace;
mod queue;
mod request_builder;
mod resource;
mod response;
mod rule;
mod rule_value;
pub mod service;
mod status;
mod subscription;
mod topic;
mod unsigned_request;
mod xml;

#[cfg(test)]
mod tests;

pub use crate::servicebus::{InvalidName, MAX_ENTITY_NAME, MAX_SUBSCRIPTION_NAME};
pub use api_version::ApiVersion;
pub use authorization::{AccessRights, AuthorizationRule};
pub(crate) use create::{Changes, Creates};
pub use create::{EntityDescription, EntityProperties, RuleDescription, VersionedProperties};
pub use description::{Description, EntityOptions, EntityState};
pub use element::InvalidElement;
pub use endpoint::{EMULATOR_PORT, Endpoint};
pub use error::{Operation, ResponseError, ServiceError, ServiceErrorKind};
pub use etag::ETag;
pub use http::{Headers, MAX_RESPONSE_BODY, Method, Request, Response};
pub use iso8601::{MAX_TIME_SPAN, TimeSpan};
pub use namespace::{MessagingSku, NamespaceProperties, NamespaceType};
pub use queue::{CreateQueueOptions, QueueDescription, QueueProperties, QueueRuntimeProperties};
pub use request_builder::RequestBuilder;
pub use resource::Resource;
pub use response::{FromEntry, Page, read_deleted, read_one, read_page};
pub use rule::{
    CorrelationRuleFilter, CreateRuleOptions, DEFAULT_RULE_NAME, RuleFilter, RuleForm, RuleProperties, SqlRuleAction,
    SqlRuleFilter,
};
pub use rule_value::RuleValue;
pub use status::{EntityAvailabilityStatus, EntityStatus, MessageCountDetails};
pub use subscription::{
    CreateSubscriptionOptions, SubscriptionDescription, SubscriptionProperties, SubscriptionRuntimeProperties,
};
pub use topic::{CreateTopicOptions, TopicDescription, TopicProperties, TopicRuntimeProperties};
pub use unsigned_request::{
    DLQ_SUPPLEMENTARY_AUTHORIZATION, InvalidRequest, SUPPLEMENTARY_AUTHORIZATION, UnsignedRequest, shared_access_token,
};
pub use xml::XmlError;
