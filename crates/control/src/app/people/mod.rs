//! People: who logs in and how, what they may do, and what is kept of what they did.

mod attempts;
mod audit;
mod caller;
mod config;
mod keep;
mod login;
mod network;
mod oidc;
mod password;
mod privilege;
mod session;
mod user;
mod via;

use std::collections::HashMap;
use std::net::IpAddr;

use anabranch_model::LoginId;
use parking_lot::Mutex;

use attempts::{Allowance, Attempts};
use audit::Queue;
use oidc::Providers;
use password::Hasher;

pub use config::{AuthConfig, OidcConfig};
pub use network::{Network, NetworkError};
pub use oidc::OidcError;

pub(crate) use audit::{AuditPage, AuditQuery};
pub(crate) use caller::{Caller, Need, Right};
pub(crate) use keep::{keep, keep_last};
pub(crate) use login::{LoginCreate, LoginWays, Me, MePatch, PasswordPut, SetupCreate};
pub(crate) use oidc::{Callback, Refusal};
pub(crate) use privilege::{Action, Object, Privilege, Privileges};
pub(crate) use session::{Session, SessionQuery, SignedIn};
pub(crate) use user::{User, UserCreate, UserPatch};
pub(crate) use via::Via;

/// Failed log-ins of one name: ten, and then one in half a minute.
const BY_NAME: Allowance = Allowance { tries: 10, each_ms: 30_000, keys: 10_000 };

/// Failed log-ins from one address: fifty, and then one in six seconds.
const BY_ADDRESS: Allowance = Allowance { tries: 50, each_ms: 6_000, keys: 10_000 };

/// Refused requests of one address that the audit keeps: thirty, and then one in ten seconds.
const REFUSED: Allowance = Allowance { tries: 30, each_ms: 10_000, keys: 10_000 };

/// The same of all addresses together: a thousand, and then one a second.
const REFUSED_OF_ALL: Allowance = Allowance { tries: 1000, each_ms: 1000, keys: 1 };

/// What is in memory of people.
pub(crate) struct People {
    hasher: Hasher,
    by_name: Attempts<String>,
    by_address: Attempts<IpAddr>,
    refused: Attempts<IpAddr>,
    refused_of_all: Attempts<()>,
    /// Sessions that were used since their row was written, and when.
    seen: Mutex<HashMap<LoginId, i64>>,
    audit: Queue,
    pub(crate) providers: Providers,
}

impl People {
    pub(crate) fn new(config: &AuthConfig, base_url: &str) -> Result<Self, OidcError> {
        Ok(Self {
            hasher: Hasher::default(),
            by_name: Attempts::new(BY_NAME),
            by_address: Attempts::new(BY_ADDRESS),
            refused: Attempts::new(REFUSED),
            refused_of_all: Attempts::new(REFUSED_OF_ALL),
            seen: Mutex::default(),
            audit: Queue::new(),
            providers: Providers::new(&config.providers, base_url)?,
        })
    }
}
