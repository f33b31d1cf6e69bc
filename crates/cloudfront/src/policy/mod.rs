//! Policies of a behavior: managed ones by id or name, or one of the behavior's own in place of an id.

pub(crate) mod cache;
pub(crate) mod names;
pub(crate) mod origin_request;
pub(crate) mod response_headers;

use serde_json::Value;

use crate::error::ConfigError;
use crate::read::{Fields, INVALID_ARGUMENT};
use crate::render;

/// Before the names of managed policies, in the configurations that CloudFront shows.
pub(crate) const MANAGED_PREFIX: &str = "Managed-";

/// Longest comment and name of a policy, in characters.
const MAX_COMMENT: usize = 128;

/// What the three kinds of policies have in common.
pub(crate) trait PolicyConfig: Sized + 'static {
    /// Field of a behavior that names a policy.
    const ID_FIELD: &'static str;
    /// Field of a behavior that holds one.
    const OBJECT_FIELD: &'static str;
    /// Code when no policy has the id.
    const MISSING: &'static str;
    /// Those that are there from the start.
    const MANAGED: &'static [Managed<Self>];

    fn read(fields: Fields<'_>) -> Result<Self, ConfigError>;

    fn to_json(&self) -> Value;
}

/// A policy that is there from the start, or why it is not.
pub(crate) struct Managed<T> {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) content: Result<fn(&str) -> T, &'static str>,
}

/// A behavior's policy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Policy<T> {
    /// A managed one, by its id.
    Managed(&'static str, T),
    /// The behavior's own.
    Own(T),
}

impl<T: PolicyConfig> Policy<T> {
    /// Reads the policy of a behavior, if it has one.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Option<Self>, ConfigError> {
        let named = fields.some_text(T::ID_FIELD)?;
        let own = fields.optional(T::OBJECT_FIELD);
        match (named, own) {
            (None, None) => Ok(None),
            (None, Some(node)) => T::read(node.object()?).map(|policy| Some(Self::Own(policy))),
            (Some((node, _)), Some(_)) => Err(ConfigError::new(INVALID_ARGUMENT, &node.path, "a second policy")
                .fix(format!("give {} or {}, not both", T::ID_FIELD, T::OBJECT_FIELD))),
            (Some((node, text)), None) => {
                let name = text.strip_prefix(MANAGED_PREFIX).unwrap_or(text);
                let Some(managed) = T::MANAGED.iter().find(|managed| managed.id == text || managed.name == name) else {
                    let fix = format!("name a managed policy, or write your own as {}", T::OBJECT_FIELD);
                    return Err(node.refuse(T::MISSING, "no such policy").fix(fix));
                };
                let make = managed.content.map_err(|why| {
                    node.invalid("not honoured").fix(format!("{} {why}; choose another policy", managed.name))
                })?;
                Ok(Some(Self::Managed(managed.id, make(managed.name))))
            }
        }
    }

    /// Writes the policy into the behavior.
    pub(crate) fn put(&self, behavior: &mut Value) {
        match self {
            Self::Managed(id, _) => render::put(behavior, T::ID_FIELD, *id),
            Self::Own(policy) => render::put(behavior, T::OBJECT_FIELD, policy.to_json()),
        }
    }

    pub(crate) fn content(&self) -> &T {
        match self {
            Self::Managed(_, policy) | Self::Own(policy) => policy,
        }
    }
}

/// Name and comment, which every policy has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) comment: String,
}

impl Label {
    pub(crate) fn managed(name: &str) -> Self {
        Self { name: format!("{MANAGED_PREFIX}{name}"), comment: String::new() }
    }

    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, ConfigError> {
        let name = fields.text_within("Name", MAX_COMMENT)?;
        Ok(Self { name, comment: fields.text_within("Comment", MAX_COMMENT)? })
    }

    pub(crate) fn put(&self, policy: &mut Value) {
        render::put(policy, "Name", self.name.as_str());
        render::put(policy, "Comment", self.comment.as_str());
    }
}
