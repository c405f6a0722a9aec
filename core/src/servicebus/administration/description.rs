//! What queues, topics and subscriptions have in common on the wire: a list of elements in a fixed order, of which
//! some are settings and some tell the entity's state.

use super::element::{ElementValue, InvalidElement, Reading, Scalar};
use super::iso8601::{TimestampForm, write_timestamp};
use super::status::MessageCountDetails;
use super::xml::{self, Node, SCHEMA_INSTANCE, SERVICE_BUS, Writer};
use crate::time::Timestamp;
use alloc::vec::Vec;

/// The settings of one kind of entity: what a client may send. A setting that is `None` is not written.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{Description, EntityOptions, EntityState};
///
/// /// A description of an entity that was never used.
/// fn unused<O: EntityOptions>(options: O) -> Description<O> {
///     Description::new(options, EntityState { message_count: Some(0), ..EntityState::default() })
/// }
/// # unused(servicebus_core::servicebus::administration::CreateQueueOptions::new());
/// ```
#[allow(private_bounds, reason = "nobody else describes entities")]
pub trait EntityOptions: Sealed + Default + Clone {}

/// The elements behind [`EntityOptions`].
pub(super) trait Sealed: Sized {
    /// The description's element.
    const ELEMENT: &'static str;
    /// The order in which a client sends elements.
    const REQUEST_ORDER: &'static [&'static str];
    /// The order in which the service answers.
    const RESPONSE_ORDER: &'static [&'static str];
    /// How the service writes points in time.
    const TIMESTAMPS: TimestampForm;

    /// Takes the element's value over when it is one of these settings, and then gives its name.
    fn read_setting(&mut self, node: Node<'_, '_>, reading: Reading) -> Result<Option<&'static str>, InvalidElement>;
    /// Writes the setting of this name when it has a value; `false` when there is no setting of this name.
    fn write_setting(&self, name: &str, writer: &mut Writer) -> bool;
}

/// The service's information about an entity beyond its settings. Missing elements are `None`.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::EntityState;
/// use servicebus_core::time::Timestamp;
///
/// let created = Some(Timestamp::from_secs(1_800_000_000));
/// let state = EntityState { message_count: Some(7), created_at: created, ..EntityState::default() };
/// # let _ = state;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityState {
    /// Bytes that the entity's messages take.
    pub size_in_bytes: Option<u64>,
    /// Messages in the entity.
    pub message_count: Option<u64>,
    /// When the entity was created.
    pub created_at: Option<Timestamp>,
    /// When the entity was last changed.
    pub updated_at: Option<Timestamp>,
    /// When the entity was last used: the first moment of the year 1 for never, as the service writes it.
    pub accessed_at: Option<Timestamp>,
    /// The messages by state: active, scheduled, dead-lettered and so on.
    pub count_details: Option<MessageCountDetails>,
    /// A topic's subscriptions.
    pub subscription_count: Option<u32>,
    /// The SQL filters below a topic (since API version 2024-05).
    pub sql_filter_count: Option<u32>,
    /// The correlation filters below a topic (since API version 2024-05).
    pub correlation_filter_count: Option<u32>,
}

impl EntityState {
    pub(super) fn created(&self) -> Option<Timestamp> {
        known(self.created_at)
    }

    pub(super) fn updated(&self) -> Option<Timestamp> {
        known(self.updated_at)
    }

    pub(super) fn accessed(&self) -> Option<Timestamp> {
        known(self.accessed_at)
    }

    fn read_state(&mut self, node: Node<'_, '_>, reading: Reading) -> Result<Option<&'static str>, InvalidElement> {
        Ok(Some(match node.tag_name().name() {
            "SizeInBytes" => put(&mut self.size_in_bytes, node, reading, "SizeInBytes")?,
            "MessageCount" => put(&mut self.message_count, node, reading, "MessageCount")?,
            "CreatedAt" => put(&mut self.created_at, node, reading, "CreatedAt")?,
            "UpdatedAt" => put(&mut self.updated_at, node, reading, "UpdatedAt")?,
            "AccessedAt" => put(&mut self.accessed_at, node, reading, "AccessedAt")?,
            "CountDetails" => put(&mut self.count_details, node, reading, "CountDetails")?,
            "SubscriptionCount" => put(&mut self.subscription_count, node, reading, "SubscriptionCount")?,
            "SqlFilterCount" => put(&mut self.sql_filter_count, node, reading, "SqlFilterCount")?,
            "CorrelationFilterCount" => {
                put(&mut self.correlation_filter_count, node, reading, "CorrelationFilterCount")?
            }
            _ => return Ok(None),
        }))
    }

    fn write_state(&self, name: &str, form: TimestampForm, writer: &mut Writer) {
        fn number<T: Scalar>(value: &Option<T>, name: &str, writer: &mut Writer) {
            if let Some(value) = value {
                value.write(name, writer);
            }
        }
        let time = |value: Option<Timestamp>, writer: &mut Writer| {
            if let Some(value) = value {
                writer.element(name, &[], &write_timestamp(value, form));
            }
        };
        match name {
            "SizeInBytes" => number(&self.size_in_bytes, name, writer),
            "MessageCount" => number(&self.message_count, name, writer),
            "CreatedAt" => time(self.created_at, writer),
            "UpdatedAt" => time(self.updated_at, writer),
            "AccessedAt" => time(self.accessed_at, writer),
            "CountDetails" => {
                if let Some(counts) = &self.count_details {
                    counts.write(name, writer);
                }
            }
            "SubscriptionCount" => number(&self.subscription_count, name, writer),
            "SqlFilterCount" => number(&self.sql_filter_count, name, writer),
            "CorrelationFilterCount" => number(&self.correlation_filter_count, name, writer),
            _ => {}
        }
    }
}

/// A point in time without the one that stands for "never": .NET's `DateTime.MinValue`.
pub(super) fn known(time: Option<Timestamp>) -> Option<Timestamp> {
    time.filter(|time| *time > Timestamp::DOTNET_MIN)
}

/// Reads a value into its place unless the element is nil.
pub(super) fn put<T: ElementValue>(
    slot: &mut Option<T>,
    node: Node<'_, '_>,
    reading: Reading,
    name: &'static str,
) -> Result<&'static str, InvalidElement> {
    *slot = if xml::is_nil(node) { None } else { Some(T::read(node, reading)?) };
    Ok(name)
}

/// A queue, topic or subscription as one side sends it to the other.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{CreateQueueOptions, Description, EntityState};
///
/// let options = CreateQueueOptions::new().with_max_delivery_count(3);
/// let description = Description::new(options, EntityState { message_count: Some(7), ..EntityState::default() });
/// assert_eq!(description.options.max_delivery_count, Some(3));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description<O> {
    /// The settings.
    pub options: O,
    /// The rest.
    pub state: EntityState,
    /// The elements that were read, in their order. The service answers an update with just these.
    // docs/evidence/pinned-behaviour.md ADM10
    pub elements: Vec<&'static str>,
}

#[allow(private_bounds, reason = "see EntityOptions")]
impl<O: EntityOptions> Description<O> {
    /// A description of these settings.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{CreateTopicOptions, Description, EntityState};
    /// let description = Description::new(CreateTopicOptions::new(), EntityState::default());
    /// assert!(description.elements.is_empty());
    /// ```
    pub fn new(options: O, state: EntityState) -> Self {
        Self { options, state, elements: Vec::new() }
    }

    /// Reads the description's element; elements that are not known are passed over.
    pub(super) fn read(node: Node<'_, '_>, reading: Reading) -> Result<Self, InvalidElement> {
        let mut description = Self::default();
        for child in xml::elements(node).filter(|child| child.tag_name().namespace() == Some(SERVICE_BUS)) {
            let name = match description.options.read_setting(child, reading)? {
                None => description.state.read_state(child, reading)?,
                name => name,
            };
            description.elements.extend(name);
        }
        Ok(description)
    }

    pub(super) fn write(&self, order: &[&str], writer: &mut Writer) {
        writer.start(O::ELEMENT, &[("xmlns", SERVICE_BUS), ("xmlns:i", SCHEMA_INSTANCE)]);
        for name in order {
            if !self.options.write_setting(name, writer) {
                self.state.write_state(name, O::TIMESTAMPS, writer);
            }
        }
        writer.end(O::ELEMENT);
    }
}

/// Writes the forms of one kind of entity's settings: the options, where each may be left out, the description of an
/// entity that is to be created, which has options and a name, and the properties, where each has a value.
macro_rules! entity {
    (
        $(#[$options_meta:meta])* options $Options:ident;
        $(#[$description_meta:meta])* description $Description:ident created by $create:ident, such as $such_as:tt;
        $(#[$properties_meta:meta])* properties $Properties:ident { $( $(#[$identity_meta:meta])* $identity:ident, )+ }
        element $element:literal;
        $( version $etag:ident; )?
        timestamps $timestamps:ident;
        request $request:expr;
        response $response:expr;
        settings { $( $(#[$meta:meta])* $field:ident, $with_field:ident: $Type:ty = $name:literal, default $default:expr, such as $example:expr; )* }
        optional { $( $(#[$optional_meta:meta])* $optional:ident, $with_optional:ident($Parameter:ty): $Optional:ty = $optional_name:literal, such as $optional_example:expr => $optional_found:expr; )* }
        $( creation { $( $(#[$creation_meta:meta])* $creation:ident, $with_creation:ident: $Creation:ty = $creation_name:literal; )* } )?
    ) => {
        $(#[$options_meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $Options {
            $( $(#[$meta])* pub $field: Option<$Type>, )*
            $( $(#[$optional_meta])* pub $optional: Option<$Optional>, )*
            $($( $(#[$creation_meta])* pub $creation: Option<$Creation>, )*)?
        }

        impl $Options {
            /// The service's defaults.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use servicebus_core::servicebus::administration::", stringify!($Options), ";")]
            ///
            #[doc = concat!("assert_eq!(", stringify!($Options), "::new(), ", stringify!($Options), "::default());")]
            /// ```
            pub fn new() -> Self {
                Self::default()
            }

            $( $(#[$meta])*
            ///
            /// # Examples
            ///
            /// ```
            /// # use core::time::Duration;
            /// # use servicebus_core::servicebus::administration::*;
            #[doc = concat!("let options = ", stringify!($Options), "::new().", stringify!($with_field), "(", stringify!($example), ");")]
            #[doc = concat!("assert_eq!(options.", stringify!($field), ", Some(", stringify!($example), "));")]
            /// ```
            #[must_use] pub fn $with_field(mut self, value: $Type) -> Self { self.$field = Some(value); self } )*
            $( $(#[$optional_meta])*
            ///
            /// # Examples
            ///
            /// ```
            /// # use core::time::Duration;
            /// # use servicebus_core::servicebus::administration::*;
            #[doc = concat!("let options = ", stringify!($Options), "::new().", stringify!($with_optional), "(", stringify!($optional_example), ");")]
            #[doc = concat!("assert_eq!(options.", stringify!($optional), ", Some(", stringify!($optional_found), "));")]
            /// ```
            #[must_use] pub fn $with_optional(mut self, value: $Parameter) -> Self { self.$optional = Some(value.into()); self } )*
            $($( $(#[$creation_meta])*
            ///
            /// # Examples
            ///
            /// ```
            /// # use servicebus_core::servicebus::administration::*;
            /// let big = CreateRuleOptions::new().with_filter(RuleFilter::sql("total >= 1000"));
            #[doc = concat!("let options = ", stringify!($Options), "::new().", stringify!($with_creation), "(RuleProperties::new(\"big\", big));")]
            #[doc = concat!("assert!(options.", stringify!($creation), ".is_some());")]
            /// ```
            #[must_use] pub fn $with_creation(mut self, value: $Creation) -> Self { self.$creation = Some(value); self } )*)?
        }

        impl $crate::servicebus::administration::description::EntityOptions for $Options {}

        impl $crate::servicebus::administration::description::Sealed for $Options {
            const ELEMENT: &'static str = $element;
            const REQUEST_ORDER: &'static [&'static str] = $request;
            const RESPONSE_ORDER: &'static [&'static str] = $response;
            const TIMESTAMPS: $crate::servicebus::administration::iso8601::TimestampForm =
                $crate::servicebus::administration::iso8601::TimestampForm::$timestamps;

            fn read_setting(
                &mut self,
                node: $crate::servicebus::administration::xml::Node<'_, '_>,
                reading: $crate::servicebus::administration::element::Reading,
            ) -> Result<Option<&'static str>, $crate::servicebus::administration::element::InvalidElement> {
                use $crate::servicebus::administration::description::put;
                Ok(Some(match node.tag_name().name() {
                    $( $name => put(&mut self.$field, node, reading, $name)?, )*
                    $( $optional_name => put(&mut self.$optional, node, reading, $optional_name)?, )*
                    $($( $creation_name => put(&mut self.$creation, node, reading, $creation_name)?, )*)?
                    _ => return Ok(None),
                }))
            }

            fn write_setting(&self, name: &str, writer: &mut $crate::servicebus::administration::xml::Writer) -> bool {
                use $crate::servicebus::administration::element::ElementValue;
                match name {
                    $( $name => if let Some(value) = &self.$field { value.write(name, writer) }, )*
                    $( $optional_name => if let Some(value) = &self.$optional { value.write(name, writer) }, )*
                    $($( $creation_name => if let Some(value) = &self.$creation { value.write(name, writer) }, )*)?
                    _ => return false,
                }
                true
            }
        }

        $(#[$description_meta])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct $Description {
            $( $(#[$identity_meta])* pub $identity: alloc::string::String, )+
            /// The settings.
            pub options: $Options,
        }

        impl $Description {
            /// An entity of this name with the service's defaults.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use servicebus_core::servicebus::administration::{", stringify!($Options), ", ", stringify!($Description), "};")]
            ///
            #[doc = concat!("let description = ", stringify!($Description), "::new", stringify!($such_as), ";")]
            #[doc = concat!("assert_eq!(description.options, ", stringify!($Options), "::new());")]
            /// ```
            pub fn new($( $identity: impl Into<alloc::string::String>, )+) -> Self {
                Self { $( $identity: $identity.into(), )+ options: $Options::new() }
            }

            /// Sets all settings at once.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use servicebus_core::servicebus::administration::{", stringify!($Options), ", ", stringify!($Description), "};")]
            ///
            #[doc = concat!("let usual = ", stringify!($Options), "::new().with_user_metadata(\"of the shop\");")]
            #[doc = concat!("let description = ", stringify!($Description), "::new", stringify!($such_as), ".with_options(usual.clone());")]
            /// assert_eq!(description.options, usual);
            /// ```
            #[must_use]
            pub fn with_options(mut self, options: $Options) -> Self { self.options = options; self }

            $( $(#[$meta])*
            ///
            /// # Examples
            ///
            /// ```
            /// # use core::time::Duration;
            /// # use servicebus_core::servicebus::administration::*;
            #[doc = concat!("let description = ", stringify!($Description), "::new", stringify!($such_as), ".", stringify!($with_field), "(", stringify!($example), ");")]
            #[doc = concat!("assert_eq!(description.options.", stringify!($field), ", Some(", stringify!($example), "));")]
            /// ```
            #[must_use] pub fn $with_field(mut self, value: $Type) -> Self { self.options.$field = Some(value); self } )*
            $( $(#[$optional_meta])*
            ///
            /// # Examples
            ///
            /// ```
            /// # use core::time::Duration;
            /// # use servicebus_core::servicebus::administration::*;
            #[doc = concat!("let description = ", stringify!($Description), "::new", stringify!($such_as), ".", stringify!($with_optional), "(", stringify!($optional_example), ");")]
            #[doc = concat!("assert_eq!(description.options.", stringify!($optional), ", Some(", stringify!($optional_found), "));")]
            /// ```
            #[must_use] pub fn $with_optional(mut self, value: $Parameter) -> Self { self.options.$optional = Some(value.into()); self } )*
            $($( $(#[$creation_meta])*
            ///
            /// # Examples
            ///
            /// ```
            /// # use servicebus_core::servicebus::administration::*;
            /// let big = CreateRuleOptions::new().with_filter(RuleFilter::sql("total >= 1000"));
            #[doc = concat!("let description = ", stringify!($Description), "::new", stringify!($such_as), ".", stringify!($with_creation), "(RuleProperties::new(\"big\", big));")]
            #[doc = concat!("assert!(description.options.", stringify!($creation), ".is_some());")]
            /// ```
            #[must_use] pub fn $with_creation(mut self, value: $Creation) -> Self { self.options.$creation = Some(value); self } )*)?
        }

        impl $crate::servicebus::administration::EntityDescription for $Description {
            type Properties = $Properties;
        }

        impl $crate::servicebus::administration::create::Creates for $Description {
            fn resource(&self) -> $crate::servicebus::administration::Resource {
                $Properties::resource_of($( &self.$identity, )+)
            }

            fn request(
                &self,
                requests: &$crate::servicebus::administration::RequestBuilder,
            ) -> Result<
                $crate::servicebus::administration::UnsignedRequest,
                $crate::servicebus::administration::InvalidRequest,
            > {
                requests.$create($( &self.$identity, )+ self.options.clone())
            }
        }

        $(#[$properties_meta])*
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct $Properties {
            $( $(#[$identity_meta])* pub $identity: alloc::string::String, )+
            $( $(#[$meta])* pub $field: $Type, )*
            $( $(#[$optional_meta])* pub $optional: Option<$Optional>, )*
            $(
                /// The version of these settings as the service named it when they were read alone. `None` in a list
                /// and in the answer to a change, which has none or that of the version before. `==` does not compare
                /// it.
                pub $etag: Option<$crate::servicebus::administration::ETag>,
            )?
        }

        impl PartialEq for $Properties {
            fn eq(&self, other: &Self) -> bool {
                true $( && self.$identity == other.$identity )+
                    $( && self.$field == other.$field )*
                    $( && self.$optional == other.$optional )*
            }
        }

        impl $Properties {
            /// The properties of an entity with these settings, with defaults for the others.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use servicebus_core::servicebus::administration::{", stringify!($Options), ", ", stringify!($Properties), "};")]
            ///
            #[doc = concat!("let options = ", stringify!($Options), "::new().with_user_metadata(\"of the shop\");")]
            #[doc = concat!("let properties = ", stringify!($Properties), "::new(", $( "\"", stringify!($identity), "\", ", )+ "options);")]
            /// assert_eq!(properties.user_metadata.as_deref(), Some("of the shop"));
            /// ```
            pub fn new($( $identity: impl Into<alloc::string::String>, )+ options: $Options) -> Self {
                Self {
                    $( $identity: $identity.into(), )+
                    $( $field: options.$field.unwrap_or_else(|| $default), )*
                    $( $optional: options.$optional, )*
                    $( $etag: None, )?
                }
            }
        }

        impl From<&$Properties> for $Options {
            fn from(properties: &$Properties) -> Self {
                Self {
                    $( $field: Some(properties.$field.clone()), )*
                    $( $optional: properties.$optional.clone(), )*
                    $($( $creation: None, )*)?
                }
            }
        }
    };
}

pub(super) use entity;
