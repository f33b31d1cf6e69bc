//! The `Cache-Status` field (RFC 9211).

use std::fmt;

/// How a response came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Fresh from the cache.
    Hit,
    /// Stale from the cache: an error upstream or a validation under way.
    Stale,
    /// Something was asked of the origin.
    Forwarded {
        /// Why.
        forward: Forward,
        /// Whether the answer is now in the cache.
        stored: bool,
        /// Whether this request waited for another one's fetch.
        collapsed: bool,
    },
    /// Answered by the edge itself: a refusal, a redirect, a preflight.
    Own,
}

/// Why a request went forward (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Nothing is stored that could be used.
    Miss,
    /// Nothing is stored under that URI.
    UriMiss,
    /// What is stored is for requests with other headers.
    VaryMiss,
    /// What is stored was stale.
    Stale,
    /// What is stored has not all the bytes.
    Partial,
    /// The request's directives wanted it.
    Request,
    /// The method's answers are not stored.
    Method,
    /// The cache was not to be used.
    Bypass,
}

impl Forward {
    fn as_str(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Stale => "stale",
            Self::Partial => "partial",
            Self::Request => "request",
            Self::Method => "method",
            Self::Bypass => "bypass",
        }
    }
}

/// One member of the field: displays as `NAME; hit; ttl=5` or `NAME; fwd=miss; fwd-status=200; stored; collapsed`.
#[derive(Clone, Copy, Debug)]
pub struct CacheStatus<'a> {
    /// The cache, a token.
    pub cache: &'a str,
    /// What happened.
    pub served: Served,
    /// Remaining freshness in seconds, negative when stale.
    pub ttl: Option<i64>,
    /// Status of the origin's answer where it differs from the viewer's, as after a validation.
    pub forward_status: Option<u16>,
    /// More for an operator's eye, a token.
    pub detail: Option<&'a str>,
}

impl<'a> CacheStatus<'a> {
    /// A member without `fwd-status` and `detail`.
    #[must_use]
    pub fn new(cache: &'a str, served: Served, ttl: Option<i64>) -> Self {
        Self { cache, served, ttl, forward_status: None, detail: None }
    }
}

impl fmt::Display for CacheStatus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cache)?;
        match self.served {
            Served::Hit | Served::Stale => f.write_str("; hit")?,
            Served::Own if self.detail.is_none() => f.write_str("; detail=own")?,
            Served::Own => {}
            Served::Forwarded { forward, stored, collapsed } => {
                write!(f, "; fwd={}", forward.as_str())?;
                if let Some(status) = self.forward_status {
                    write!(f, "; fwd-status={status}")?;
                }
                if stored {
                    f.write_str("; stored")?;
                }
                if collapsed {
                    f.write_str("; collapsed")?;
                }
            }
        }
        if let Some(ttl) = self.ttl {
            write!(f, "; ttl={ttl}")?;
        }
        match self.detail {
            Some(detail) => write!(f, "; detail={detail}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_by_rfc_9211() {
        let show = |served, ttl| CacheStatus::new("anabranch", served, ttl).to_string();
        assert_eq!(show(Served::Hit, Some(5)), "anabranch; hit; ttl=5");
        assert_eq!(show(Served::Stale, Some(-2)), "anabranch; hit; ttl=-2");
        let fetched = Served::Forwarded { forward: Forward::Miss, stored: true, collapsed: true };
        assert_eq!(show(fetched, None), "anabranch; fwd=miss; stored; collapsed");
        let passed = Served::Forwarded { forward: Forward::Stale, stored: false, collapsed: false };
        assert_eq!(show(passed, None), "anabranch; fwd=stale");
        assert_eq!(show(Served::Own, None), "anabranch; detail=own");
        let validated = Served::Forwarded { forward: Forward::Request, stored: true, collapsed: false };
        let full = CacheStatus {
            forward_status: Some(304),
            detail: Some("memory"),
            ..CacheStatus::new("x", validated, Some(9))
        };
        assert_eq!(full.to_string(), "x; fwd=request; fwd-status=304; stored; ttl=9; detail=memory");
    }
}
