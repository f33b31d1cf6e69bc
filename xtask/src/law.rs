//! The room law held against `cargo metadata`, and the room cards held against the sources.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::rooms::{self, DEV_ANYWHERE, FENCED, MAX_CARD_LINES, NOT_ROOMS, ROOMS, TESTKIT, Uses, room_name};

/// Edges that the table does not have, rooms that it does not name, and fenced crates outside their room.
pub(crate) fn edges(metadata: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let packages = list(&metadata["packages"]);
    let ours: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        if NOT_ROOMS.contains(&name) {
            continue;
        }
        let Some(room) = ROOMS.iter().find(|room| room.name == room_name(name)) else {
            faults.push(format!("no such room in xtask/src/rooms.rs: {name}"));
            continue;
        };
        for dependency in list(&package["dependencies"]) {
            let uses = dependency["name"].as_str().unwrap_or_default();
            let dev = dependency["kind"].as_str() == Some("dev");
            if ours.contains(&uses) {
                if !edge_allowed(room, room_name(uses), dev) {
                    let kind = if dev { "dev-dependency" } else { "dependency" };
                    faults.push(format!(
                        "{} may not use {}: {kind} that the room law does not have",
                        room.name,
                        room_name(uses)
                    ));
                }
            } else if let Some((_, owner)) =
                FENCED.iter().find(|(start, owner)| uses.starts_with(start) && *owner != room.name)
            {
                faults.push(format!("{} may not use {uses}: only {owner} does", room.name));
            }
        }
    }
    faults
}

fn edge_allowed(room: &rooms::Room, uses: &str, dev: bool) -> bool {
    if dev && (uses == TESTKIT || DEV_ANYWHERE.contains(&uses)) {
        return true;
    }
    match room.uses {
        Uses::All => uses != TESTKIT,
        Uses::These(rooms) => rooms.contains(&uses),
    }
}

/// Rooms without a proper room card.
pub(crate) fn cards(metadata: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for package in list(&metadata["packages"]) {
        let name = package["name"].as_str().unwrap_or_default();
        if NOT_ROOMS.contains(&name) {
            continue;
        }
        let folder = package["manifest_path"].as_str().map(Path::new).and_then(Path::parent).unwrap_or(Path::new("."));
        let file = ["src/lib.rs", "src/main.rs"].iter().map(|file| folder.join(file)).find(|file| file.is_file());
        let text = file.as_deref().map(fs::read_to_string).and_then(Result::ok).unwrap_or_default();
        faults.extend(card_faults(&text).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    faults
}

fn card_faults(text: &str) -> Vec<String> {
    let card: Vec<&str> = text
        .lines()
        .skip_while(|line| line.starts_with("// SPDX-"))
        .map_while(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .collect();
    if card.first().is_none_or(|first| first.is_empty()) {
        return vec!["no room card at the start".to_owned()];
    }
    let mut faults: Vec<String> = ["In:", "Out:", "Never:"]
        .iter()
        .filter(|word| !card.iter().any(|line| line.starts_with(**word)))
        .map(|word| format!("the room card has no line `{word}`"))
        .collect();
    if card.len() > MAX_CARD_LINES {
        faults.push(format!("the room card has more than {MAX_CARD_LINES} lines: {}", card.len()));
    }
    faults
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workspace(room: &str, uses: &str, kind: Option<&str>) -> Value {
        json!({ "packages": [
            { "name": room, "dependencies": [{ "name": uses, "kind": kind }] },
            { "name": "anabranch-edge", "dependencies": [] },
            { "name": "anabranch-hls", "dependencies": [] },
            { "name": "anabranch-testkit", "dependencies": [] },
        ]})
    }

    #[test]
    fn an_edge_of_the_table_passes() {
        assert!(edges(&workspace("anabranch-packager", "anabranch-hls", None)).is_empty());
        assert!(edges(&workspace("anabranch", "anabranch-edge", None)).is_empty());
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_fails() {
        for (room, uses, kind) in [
            ("anabranch-origin", "anabranch-edge", None),
            ("anabranch-media", "anabranch-hls", None),
            ("anabranch-origin", "anabranch-edge", Some("dev")),
            ("anabranch-origin", "anabranch-testkit", None),
            ("anabranch", "anabranch-testkit", None),
            ("anabranch-media", "anabranch-hls", Some("build")),
        ] {
            assert_eq!(edges(&workspace(room, uses, kind)).len(), 1, "{room} -> {uses} {kind:?}");
        }
    }

    #[test]
    fn tests_may_use_the_testkit_and_pure_rooms() {
        assert!(edges(&workspace("anabranch-ingest", "anabranch-testkit", Some("dev"))).is_empty());
        assert!(edges(&workspace("anabranch-ingest", "anabranch-hls", Some("dev"))).is_empty());
    }

    #[test]
    fn a_new_room_and_a_fenced_crate_fail() {
        assert_eq!(edges(&workspace("anabranch-cellar", "serde", None)).len(), 1);
        assert_eq!(edges(&workspace("anabranch-store", "aws-sdk-s3", None)).len(), 1);
        assert_eq!(edges(&workspace("anabranch-store", "sqlx", None)).len(), 1);
    }

    #[test]
    fn a_room_card_names_in_out_and_never() {
        assert!(card_faults("//! The room.\n//!\n//! In: a.\n//! Out: b.\n//! Never: c.\n\nmod x;\n").is_empty());
        assert!(
            card_faults("// SPDX-License-Identifier: MIT\n//! The room.\n//! In: a.\n//! Out: b.\n//! Never: c.\n")
                .is_empty()
        );
        assert_eq!(card_faults("mod x;\n").len(), 1);
        assert_eq!(card_faults("").len(), 1);
        assert_eq!(card_faults("//! The room.\n//! In: a.\n").len(), 2);
        assert_eq!(
            card_faults(&format!("//! R.\n//! In: a\n//! Out: b\n//! Never: c\n{}", "//! x\n".repeat(12))).len(),
            1
        );
    }

    #[test]
    fn the_table_names_only_rooms_of_the_table_and_has_no_circle() {
        for room in ROOMS {
            let mut reached = vec![room.name];
            let mut at = 0;
            while at < reached.len() {
                let next = ROOMS.iter().find(|room| room.name == reached[at]).expect("the table names the room");
                if let Uses::These(uses) = next.uses {
                    assert!(!uses.contains(&room.name), "circle through {}", room.name);
                    reached.extend(uses);
                }
                at += 1;
            }
        }
    }
}
