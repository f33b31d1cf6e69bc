//! What tokens may do: scopes, and the grant of each token.

use anabranch_model::TokenId;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// See everything but tokens and webhooks.
    Read,
    /// Start, stop, abort, reset, switch, raise and lower the curtain, make play URLs, sign.
    Operate,
    /// Create, change and delete what is delivered, and order invalidations.
    Manage,
    /// Create, change and delete keys and key groups.
    Keys,
    /// Everything about webhooks.
    Webhooks,
    /// What peers and watchers of clusters need: read the state, and vote.
    Cluster,
    /// Everything, tokens and nodes included.
    Admin,
}

impl Scope {
    pub(crate) const ALL: [Self; 7] =
        [Self::Read, Self::Operate, Self::Manage, Self::Keys, Self::Webhooks, Self::Cluster, Self::Admin];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Manage => "manage",
            Self::Keys => "keys",
            Self::Webhooks => "webhooks",
            Self::Cluster => "cluster",
            Self::Admin => "admin",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// Who asks, and what they may do.
#[derive(Debug)]
pub(crate) struct Grant {
    /// Id of the token.
    pub(crate) id: TokenId,
    /// Name of the token.
    pub(crate) name: String,
    pub(super) scopes: Vec<Scope>,
}

impl Grant {
    pub(crate) fn may(&self, needed: Scope) -> bool {
        self.scopes.iter().any(|scope| *scope == needed || *scope == Scope::Admin)
    }

    pub(crate) fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Its scopes, in words.
    pub(crate) fn words(&self) -> String {
        let words: Vec<&str> = self.scopes.iter().map(|scope| scope.as_str()).collect();
        words.join(", ")
    }
}
