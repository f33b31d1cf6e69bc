//! Clusters as rows of tables.

use serde_json::{Value, json};

/// A row for each region of each cluster.
pub(super) fn rows(clusters: &Value) -> Vec<Value> {
    let mut rows = Vec::new();
    for cluster in clusters.as_array().into_iter().flatten() {
        for region in cluster["regions"].as_array().into_iter().flatten() {
            let mut row = region.clone();
            row["cluster"] = cluster["name"].clone();
            row["mode"] = cluster["automat"]["mode"].clone();
            rows.push(row);
        }
    }
    rows
}

/// A row for each playlist, and one for each thing that is wrong with a stream as a whole.
pub(super) fn playlists(answer: &Value) -> Value {
    let mut rows = answer["items"].as_array().cloned().unwrap_or_default();
    for row in &mut rows {
        let findings = row["findings"].as_array().into_iter().flatten();
        let found = findings.filter_map(|one| one["evidence"].as_str());
        let words: Vec<&str> = row["trouble"].as_str().into_iter().chain(found).collect();
        row["trouble"] = if words.is_empty() { Value::Null } else { words.join("; ").into() };
    }
    for one in answer["findings"].as_array().into_iter().flatten() {
        rows.push(json!({
            "region": one["region"], "way": one["way"], "stream": one["stream"], "role": "stream", "label": one["kind"],
            "state": if one["makes_stale"] == true { "stale" } else { "warning" }, "trouble": one["evidence"],
        }));
    }
    json!({ "items": rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_stream_is_a_row() {
        let answer = json!({
            "items": [
                { "region": "eu", "trouble": null, "findings": [{ "evidence": "a gap" }] },
                { "region": "eu", "trouble": "status 404", "findings": [] },
                { "region": "eu", "trouble": null, "findings": [] },
            ],
            "findings": [{ "region": "eu", "way": "cdn", "stream": "s", "kind": "drift", "makes_stale": false, "evidence": "apart" }],
        });
        let rows = playlists(&answer);
        let troubles: Vec<Option<&str>> =
            rows["items"].as_array().unwrap().iter().map(|row| row["trouble"].as_str()).collect();
        assert_eq!(troubles, [Some("a gap"), Some("status 404"), None, Some("apart")]);
        assert_eq!((&rows["items"][3]["label"], &rows["items"][3]["stream"]), (&json!("drift"), &json!("s")));
    }
}
