//! Licences of everything in the lock file against the list in `deny.toml`, for machines without cargo-deny.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The `allow` list of the `[licenses]` table. Only what our own file holds is understood, not TOML at large.
pub(crate) fn allowed(deny_toml: &str) -> Result<BTreeSet<String>> {
    let table = deny_toml.split_once("[licenses]").context("deny.toml has no table: [licenses]")?.1;
    let list = table.split_once("allow = [").context("deny.toml has no list: allow")?.1;
    let list = list.split_once(']').context("deny.toml: the list does not end: allow")?.0;
    let names = list.lines().map(|line| line.split('#').next().unwrap_or_default()).collect::<String>();
    Ok(names.split(',').map(|name| name.trim().trim_matches('"').to_owned()).filter(|name| !name.is_empty()).collect())
}

/// Packages whose licence is missing, unreadable or not allowed.
pub(crate) fn faults(metadata: &Value, allowed: &BTreeSet<String>) -> Vec<String> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let mut faults = Vec::new();
    for package in packages {
        let name =
            format!("{} {}", package["name"].as_str().unwrap_or("?"), package["version"].as_str().unwrap_or("?"));
        match package["license"].as_str() {
            None => faults.push(format!("no licence named: {name}")),
            Some(text) => match satisfied(text, allowed) {
                Ok(true) => {}
                Ok(false) => faults.push(format!("licence not allowed: {name}: {text}")),
                Err(error) => faults.push(format!("licence not understood: {name}: {text}: {error}")),
            },
        }
    }
    faults
}

/// Whether an SPDX expression can be met with the allowed licences (SPDX 2.3 annex D, and the old `/` for OR).
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let verdict = any(&mut rest, allowed)?;
    if !rest.is_empty() {
        bail!("left over: {}", rest.join(" "));
    }
    Ok(verdict)
}

fn any(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Result<bool> {
    let mut verdict = all(rest, allowed)?;
    while take(rest, "OR") {
        verdict |= all(rest, allowed)?;
    }
    Ok(verdict)
}

fn all(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Result<bool> {
    let mut verdict = one(rest, allowed)?;
    while take(rest, "AND") {
        verdict &= one(rest, allowed)?;
    }
    Ok(verdict)
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Result<bool> {
    if take(rest, "(") {
        let verdict = any(rest, allowed)?;
        if !take(rest, ")") {
            bail!("a bracket is not closed");
        }
        return Ok(verdict);
    }
    let mut name = next(rest)?.to_owned();
    if take(rest, "WITH") {
        name = format!("{name} WITH {}", next(rest)?);
    }
    Ok(allowed.contains(&name))
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    let found = rest.first() == Some(&word);
    if found {
        *rest = &rest[1..];
    }
    found
}

fn next<'a>(rest: &mut &[&'a str]) -> Result<&'a str> {
    let (first, after) = rest.split_first().context("ends too early")?;
    *rest = after;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_or_not() {
        let allowed: BTreeSet<String> =
            ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
        for (expression, verdict) in [
            ("MIT", true),
            ("MIT/GPL-3.0", true),
            ("GPL-3.0-only", false),
            ("GPL-3.0-only OR MIT", true),
            ("GPL-3.0-only AND MIT", false),
            ("(MIT OR GPL-3.0-only) AND Unicode-3.0", true),
            ("GPL-3.0-only OR MIT AND Zlib", false),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0-only", true),
            ("Apache-2.0 WITH Other-exception", false),
        ] {
            assert_eq!(satisfied(expression, &allowed).unwrap(), verdict, "{expression}");
        }
        for broken in ["", "(MIT", "MIT MIT", "MIT OR", "WITH"] {
            assert!(satisfied(broken, &allowed).is_err() || !satisfied(broken, &allowed).unwrap(), "{broken}");
        }
    }

    #[test]
    fn our_own_list_is_read() {
        let allowed = allowed(include_str!("../../deny.toml")).unwrap();
        assert!(allowed.contains("MIT") && allowed.contains("Apache-2.0") && allowed.contains("ISC"));
        assert!(allowed.iter().all(|name| !name.contains('"') && !name.contains('#')));
    }
}
