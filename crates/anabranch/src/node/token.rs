//! The secret that nodes share: as configured, or made at the first start and kept in the data directory.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::disk::write_atomically;
use crate::config::Config;

/// File of a token that was made.
const FILE: &str = "node.token";

/// The token of the configuration, else the kept one, else a new one, which is kept.
pub(super) fn ensure_token(config: &Config) -> Result<String> {
    if let Some(token) = &config.node.token {
        return Ok(token.0.clone());
    }
    if let Some(token) = kept(&config.data)? {
        return Ok(token);
    }
    let token = random_token();
    let path = config.data.join(FILE);
    write_atomically(&path, format!("{token}\n").as_bytes())
        .with_context(|| format!("cannot keep the nodes' token in {}", path.display()))?;
    Ok(token)
}

/// The token of the configuration or the data directory, for `anabranch node token`.
pub(crate) fn show(config: &Config) -> Result<String> {
    if let Some(token) = &config.node.token {
        return Ok(token.0.clone());
    }
    kept(&config.data)?.with_context(|| {
        format!("{} has no token for nodes: start `anabranch serve` there first, or give --data", config.data.display())
    })
}

fn kept(data: &Path) -> Result<Option<String>> {
    let path = data.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let token = text.trim().to_owned();
    ensure!(token.len() >= 16, "{} holds no token: delete it, and a new one is made", path.display());
    Ok(Some(token))
}

/// 32 random bytes in hexadecimal.
pub(super) fn random_token() -> String {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
