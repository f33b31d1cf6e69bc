//! OriginGroups: failover pairs.

use anabranch_model::OriginGroup;
use serde_json::{Value, json};

use super::{OriginConfig, id};
use crate::error::ConfigError;
use crate::read::{INVALID_ARGUMENT, Limit, Node};
use crate::{page, render};

/// Statuses that may count as failure.
const STATUSES: &[u16] = &[400, 403, 404, 416, 429, 500, 502, 503, 504];

const STATUS_LIMIT: Limit = Limit { items: STATUSES.len(), code: INVALID_ARGUMENT };

const MEMBER_LIMIT: Limit = Limit { items: 2, code: INVALID_ARGUMENT };

/// A failover pair.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OriginGroupConfig(pub(crate) OriginGroup);

impl OriginGroupConfig {
    /// Reads a group of `origins`.
    pub(crate) fn read(node: &Node<'_>, origins: &[OriginConfig]) -> Result<Self, ConfigError> {
        let mut fields = node.object()?;
        let id = id(&mut fields)?;
        let mut criteria = fields.required("FailoverCriteria")?.object()?;
        let statuses = criteria.required("StatusCodes")?;
        let failover_statuses = statuses.names(STATUS_LIMIT, |item| page::status(item, INVALID_ARGUMENT, STATUSES))?;
        if failover_statuses.is_empty() {
            return Err(statuses.invalid("empty").fix("name the statuses that fail over"));
        }
        criteria.finish()?;
        let members = fields.required("Members")?;
        let mut names = members.names(MEMBER_LIMIT, |item| member(item, origins))?.into_iter();
        let (Some(primary), Some(secondary)) = (names.next(), names.next()) else {
            return Err(members.invalid("not a pair").fix("name two origins"));
        };
        if let Some(node) = fields.optional("SelectionCriteria") {
            node.word(&[("default", ())])?;
        }
        fields.finish()?;
        Ok(Self(OriginGroup { id, primary, secondary, failover_statuses }))
    }

    pub(crate) fn to_json(&self) -> Value {
        let group = &self.0;
        let members = [&group.primary, &group.secondary].map(|id| json!({ "OriginId": id }));
        json!({
            "Id": group.id,
            "FailoverCriteria": { "StatusCodes": render::list(group.failover_statuses.iter().copied()) },
            "Members": render::list(members),
            "SelectionCriteria": "default",
        })
    }
}

fn member(item: &Node<'_>, origins: &[OriginConfig]) -> Result<String, ConfigError> {
    let mut fields = item.object()?;
    let node = fields.required("OriginId")?;
    let name = node.text()?;
    fields.finish()?;
    if origins.iter().any(|origin| origin.id == name) {
        return Ok(name.to_owned());
    }
    Err(node.refuse("NoSuchOrigin", "no such origin").fix("the Id of one of Origins"))
}
