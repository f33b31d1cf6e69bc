//! Why a use case was not done, by what the caller may do about it.

use super::people::Privilege;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The rows do not allow it, or the database fails.
    #[error(transparent)]
    Db(#[from] anabranch_db::Error),
    /// A bucket or a file of it does not allow it, or the disk fails.
    #[error(transparent)]
    Bucket(#[from] anabranch_store::buckets::BucketError),
    /// An upload does not go on like that.
    #[error(transparent)]
    Upload(#[from] super::demand::UploadError),
    /// A value of the request is not acceptable.
    #[error("{detail}")]
    Invalid {
        /// Field of the body or the query, or name of the header.
        field: &'static str,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// The configuration of a distribution is not acceptable.
    #[error(transparent)]
    Config(#[from] anabranch_cloudfront::ConfigError),
    /// What exists does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// The caller may not see it.
    #[error("{0}")]
    Forbidden(String),
    /// The user has not got a privilege that it needs.
    #[error("this needs the privilege {0}, which you do not have")]
    Privilege(Privilege),
    /// Nobody has this name and password, or they are kept out.
    #[error("the name or the password is wrong")]
    Login {
        /// The user, if there is one with the name: for the audit, not for the caller.
        user: Option<String>,
    },
    /// Too many tries.
    #[error("too many log-ins have failed: try again in {seconds} seconds")]
    TooMany {
        /// When there is another try.
        seconds: u16,
    },
    /// A password cannot be hashed.
    #[error("a password cannot be hashed: {0}")]
    Hash(String),
    /// The viewer may not see it, for a reason that a page has words for.
    #[error("{1}")]
    Barred(Barred, String),
    /// Nothing can be signed with this key.
    #[error("{0}")]
    NoKey(String),
    /// A stored key cannot be used.
    #[error("key {id} cannot be used")]
    Key {
        /// The key.
        id: String,
        /// What the signing room said.
        #[source]
        source: anabranch_signing::KeyError,
    },
    /// Another node has the name, or there are too many.
    #[error(transparent)]
    NodeRefused(crate::nodes::Refused),
    /// Not now.
    #[error("{0}")]
    Busy(String),
    /// The store of clusters has failed.
    #[error(transparent)]
    Cluster(anabranch_cluster::store::StoreError),
    /// An answer cannot be written as JSON.
    #[error("an answer cannot be encoded")]
    Encode(#[source] serde_json::Error),
    /// A task of this process ended early.
    #[error("a background task did not finish")]
    Task(#[from] tokio::task::JoinError),
}

/// Why a viewer is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barred {
    /// The signature has ended.
    Expired,
    /// The signature does not open yet.
    NotYet,
    /// The signature is for another network address.
    Address,
    /// The signature opens something else, or nothing.
    Wrong,
    /// What was signed before a certain time was withdrawn.
    Revoked,
    /// The same user watches on as many devices as he may.
    DeviceLimit,
    /// An operator has shut the session out.
    ShutOut,
}

impl Barred {
    /// Last part of the problem's URN.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Expired => "link-expired",
            Self::NotYet => "link-not-yet",
            Self::Address => "link-address",
            Self::Wrong => "link-wrong",
            Self::Revoked => "link-revoked",
            Self::DeviceLimit => "device-limit",
            Self::ShutOut => "session-shut-out",
        }
    }
}

impl Error {
    /// What the store of clusters says, with what its rows say in the form that everybody knows.
    pub(crate) fn of_store(error: anabranch_cluster::store::StoreError) -> Self {
        use anabranch_cluster::store::StoreError;
        match error {
            StoreError::NotFound(id) => {
                Self::Db(anabranch_db::Error::NotFound { subject: "cluster", wanted: id.to_string() })
            }
            StoreError::Failed(source) => match source.downcast::<anabranch_db::Error>() {
                Ok(db) => Self::Db(*db),
                Err(source) => Self::Cluster(StoreError::Failed(source)),
            },
        }
    }

    pub(crate) fn invalid(field: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid { field, detail: detail.into() }
    }
}
