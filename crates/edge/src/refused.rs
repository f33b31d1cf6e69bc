//! What the edge answers by itself, and to whom.

use std::sync::Arc;

use anabranch_signing::Denied;

use crate::audience::Barred;
use crate::rule::Rule;
use crate::table::Site;

/// Answers that are the edge's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// No distribution claims the host.
    Misdirected,
    /// The distribution is disabled.
    Disabled,
    /// The method is not served.
    MethodNotAllowed,
    /// A CORS preflight.
    Preflight,
    /// The address form of a distribution's root without its last slash, on which relative links would go astray.
    ToRoot,
    /// The behavior wants HTTPS and sends there.
    ToHttps,
    /// The behavior wants HTTPS.
    HttpsOnly,
    /// No signature that allows it.
    Denied(Denied),
    /// The breakout is not for this viewer now.
    Barred(Barred),
    /// The region of that name is closed.
    Closed(Arc<str>),
    /// The request cannot be read as one; the status says why.
    Bad(u16),
}

/// A request that no object answers.
#[derive(Clone, Debug)]
pub(crate) struct Refused<'t> {
    pub(crate) own: Own,
    pub(crate) site: Option<&'t Site>,
    pub(crate) rule: Option<&'t Rule>,
}
