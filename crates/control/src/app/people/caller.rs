//! Who asks: a token with its scopes, or a user with their privileges.

use std::sync::Arc;

use anabranch_db::{LoginRow, UserRow};

use super::privilege::{Privilege, Privileges, Role};
use crate::app::{Error, Grant, Scope};

/// What an operation needs: a scope of a token, and a privilege of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) scope: Scope,
    pub(crate) right: Right,
}

/// What a user must have for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// The privilege.
    Of(Privilege),
    /// Nothing but a session: it is about the user themselves.
    Own,
    /// The role of an owner: nobody has said what it needs.
    Unknown,
}

/// A user with a session in force.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) login: LoginRow,
    pub(crate) user: UserRow,
    pub(crate) role: Role,
    pub(crate) privileges: Privileges,
    /// What changes must show beside the cookie.
    pub(crate) csrf: String,
    /// When the session ends unless it is used again, Unix milliseconds.
    pub(crate) ends_at: i64,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    Token(Arc<Grant>),
    User(Arc<LoggedIn>),
}

impl Caller {
    /// By which the log knows them.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Token(grant) => &grant.name,
            Self::User(user) => &user.user.name,
        }
    }

    /// `token` or `user`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::User(_) => "user",
        }
    }

    pub(crate) fn may(&self, need: Need) -> bool {
        match self {
            Self::Token(grant) => grant.may(need.scope),
            Self::User(user) => match need.right {
                Right::Of(privilege) => user.privileges.has(privilege),
                Right::Own => true,
                Right::Unknown => user.role == Role::Owner,
            },
        }
    }

    /// The user; refused when it is a token.
    pub(crate) fn user(&self) -> Result<&Arc<LoggedIn>, Error> {
        match self {
            Self::User(user) => Ok(user),
            Self::Token(grant) => Err(Error::Forbidden(format!(
                "this is for users who have logged in, and the request shows the token {:?}",
                grant.name
            ))),
        }
    }

    /// Whether they may do everything, which owners and tokens with the scope admin may.
    pub(crate) fn is_owner(&self) -> bool {
        match self {
            Self::Token(grant) => grant.may(Scope::Admin),
            Self::User(user) => user.role == Role::Owner,
        }
    }
}
