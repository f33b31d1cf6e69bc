//! Passwords: argon2id hashes, made and checked a few at a time on threads that may block.

use std::sync::OnceLock;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::Semaphore;

use crate::app::Error;
use crate::secret;

/// Shortest password, in characters.
pub(crate) const PASSWORD_MIN: usize = 12;

/// Longest password, in characters.
pub(crate) const PASSWORD_MAX: usize = 256;

/// Memory of one hash in KiB, passes and lanes: the least that OWASP recommends for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes at one time: each takes 19 MiB and a processor.
const AT_ONCE: usize = 4;

/// How long a log-in waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// Makes and checks hashes.
#[derive(Debug)]
pub(crate) struct Hasher {
    turns: Semaphore,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE) }
    }
}

impl Hasher {
    /// The hash of a password as a PHC string.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, Error> {
        let _turn = self.turn().await?;
        let password = password.to_owned();
        tokio::task::spawn_blocking(move || hash(&password)).await?
    }

    /// Whether `password` is the one of `hash`. Without a hash it is of nobody, which takes as long to find out.
    pub(crate) async fn verify(&self, password: &str, hash: Option<String>) -> Result<bool, Error> {
        let _turn = self.turn().await?;
        // A longer one is nobody's; hashing what a stranger sends has a limit.
        let password: String = password.chars().take(PASSWORD_MAX + 1).collect();
        tokio::task::spawn_blocking(move || match hash {
            Some(hash) => Ok(verify(&password, &hash)),
            None => {
                verify(&password, nobody()?);
                Ok(false)
            }
        })
        .await?
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        let busy = || Error::Busy("too many people log in at this moment: try again in some seconds".to_owned());
        // It is never closed.
        tokio::time::timeout(TURN, self.turns.acquire()).await.ok().and_then(Result::ok).ok_or_else(busy)
    }
}

/// Checks what a new password is made of.
pub(crate) fn check(password: &str, name: &str) -> Result<(), Error> {
    let length = password.chars().count();
    if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&length) {
        let detail = format!("a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters: {length}");
        return Err(Error::invalid("password", detail));
    }
    let first = password.chars().next();
    if password.chars().all(|character| Some(character) == first) {
        return Err(Error::invalid("password", "a password has more than one character, repeated"));
    }
    if password.eq_ignore_ascii_case(name) {
        return Err(Error::invalid("password", "a password is not the name"));
    }
    Ok(())
}

fn argon() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are within their limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> Result<String, Error> {
    let made = argon().hash_password(password.as_bytes());
    made.map(|hash| hash.to_string()).map_err(|error| Error::Hash(error.to_string()))
}

fn verify(password: &str, hash: &str) -> bool {
    // The parameters are those of the hash.
    PasswordHash::new(hash).is_ok_and(|hash| argon().verify_password(password.as_bytes(), &hash).is_ok())
}

/// The hash of a password that nobody knows.
fn nobody() -> Result<&'static str, Error> {
    static NOBODY: OnceLock<String> = OnceLock::new();
    if let Some(hash) = NOBODY.get() {
        return Ok(hash);
    }
    let made = hash(&secret::random(""))?;
    Ok(NOBODY.get_or_init(|| made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hashes_are_of_one_password_only() {
        let hasher = Hasher::default();
        let hash = hasher.hash("correct horse battery").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, hasher.hash("correct horse battery").await.unwrap(), "each has its salt");
        assert!(hasher.verify("correct horse battery", Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify("correct horse batterz", Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify("correct horse battery", None).await.unwrap());
        assert!(!hasher.verify("correct horse battery", Some("not a hash".into())).await.unwrap());
        let long = format!("{}{}", "x1".repeat(PASSWORD_MAX / 2), "tail");
        assert!(!hasher.verify(&long, Some(hash)).await.unwrap());
    }

    #[test]
    fn passwords_have_a_form() {
        for good in ["twelve chars", &"å".repeat(11).replace("ååå", "åäö"), &"ab".repeat(128)] {
            let expected = good.chars().count() >= PASSWORD_MIN;
            assert_eq!(check(good, "somebody").is_ok(), expected, "{good}");
        }
        for bad in ["", "eleven char", &"ab".repeat(129), "aaaaaaaaaaaaaaaa", "Some.Body.Else"] {
            assert!(check(bad, "some.body.else").is_err(), "{bad}");
        }
    }
}
