//! Why viewer sessions end.

use anabranch_model::BreakoutId;

use crate::Error;
use crate::sql::{self, Conn};

/// Why a session does not watch any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It asked for nothing any more.
    Left,
    /// It said so.
    SignedOut,
    /// A newer session of the same user took its place.
    DeviceLimit,
    /// An operator shut it out.
    Revoked,
    /// The breakout is over.
    Ended,
}

impl Exit {
    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::SignedOut => "signed-out",
            Self::DeviceLimit => "device-limit",
            Self::Revoked => "revoked",
            Self::Ended => "ended",
        }
    }
}

/// Everybody leaves: there is nothing to watch any more.
pub(crate) async fn leave(conn: &mut Conn, breakout: &BreakoutId, now_ms: i64) -> Result<(), Error> {
    sql::query("UPDATE viewers SET exited_at = $1, exit_reason = $2 WHERE breakout_id = $3 AND exited_at IS NULL")
        .bind(now_ms)
        .bind(Exit::Ended.as_str())
        .bind(breakout.as_str())
        .execute(conn)
        .await?;
    Ok(())
}
