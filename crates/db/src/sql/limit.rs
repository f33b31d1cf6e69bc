//! How long a server is waited for.

use std::time::Duration;

/// Time after which a server is given up: more than it gives a statement itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// What the server answers, or an error when it says nothing: its machine may be gone, and TCP would hope for many minutes.
pub(super) async fn limited<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answered) => answered,
        Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the database does not answer").into()),
    }
}
