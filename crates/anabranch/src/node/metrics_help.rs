//! What the numbers at `/metrics` mean. The RTMP server describes its own.

use metrics::{describe_counter, describe_gauge};

/// Name and meaning of each counter.
const COUNTERS: &[(&str, &str)] = &[
    ("anabranch_api_requests_total", "requests to the API, by operation and status class"),
    ("anabranch_api_unauthorised_total", "requests to the API without a valid token or session"),
    ("anabranch_cluster_decisions_total", "decisions of the automat that opened or closed a region, by word"),
    ("anabranch_cluster_pulls_failed_total", "questions to peers of clusters that were not answered"),
    ("anabranch_control_audit_lost_total", "rows of the audit that could not be written"),
    ("anabranch_control_audit_skipped_total", "refused requests that the audit does not keep since there are too many"),
    ("anabranch_control_logins_total", "log-ins of users, by outcome: granted, refused or limited"),
    ("anabranch_control_nodes_unauthorised_total", "requests of nodes without the nodes' token"),
    ("anabranch_control_report_batches_total", "batches of reports that nodes have sent, by what became of them"),
    ("anabranch_db_rows_total", "rows that statements have answered or changed"),
    ("anabranch_db_statements_total", "statements that the database was asked"),
    (
        "anabranch_edge_disk_abandoned_total",
        "bodies that were not kept on disk: it failed, fell behind or they broke off",
    ),
    ("anabranch_edge_disk_evictions_total", "objects that left the disk to make room"),
    ("anabranch_edge_disk_loads_total", "objects that were read from disk into memory"),
    ("anabranch_edge_disk_unreadable_total", "objects on disk that could not be read and were given up"),
    ("anabranch_edge_disk_written_bytes_total", "bytes written to the disk cache"),
    ("anabranch_edge_log_dropped_total", "answers whose lines of the access log are lost"),
    ("anabranch_edge_log_errors_total", "failures to write or keep files of the access log"),
    ("anabranch_edge_origin_connections_total", "connections to origins that requests went by, opened or reused"),
    ("anabranch_edge_origin_failovers_total", "requests that went to the second origin of a group"),
    ("anabranch_edge_origin_failures_total", "requests to origins that failed"),
    ("anabranch_edge_origin_fetches_total", "requests to origins"),
    ("anabranch_edge_requests_total", "answers to viewers, by distribution, status class and how the cache took part"),
    ("anabranch_edge_sent_bytes_total", "bytes sent to viewers, heads and bodies, by distribution"),
    ("anabranch_edge_tls_handshakes_total", "TLS handshakes of viewers, by result"),
    ("anabranch_node_report_batches_refused_total", "batches of reports that the control plane refused"),
    ("anabranch_origin_holds_refused_total", "blocking playlist requests that were not held, by reason"),
    ("anabranch_origin_requests_total", "requests of edges to the origin room, by status class"),
    ("anabranch_packager_clocks_total", "times that an aligned stream got a clock, its first or another"),
    ("anabranch_packager_gap_segments_total", "segments that this region lacks and lists as gaps"),
    ("anabranch_packager_left_out_segments_total", "segments of aligned streams that were not whole or came too late"),
    ("anabranch_packager_failures_total", "breakouts that could not be packaged"),
    ("anabranch_packager_segment_bytes_total", "bytes of published segments"),
    ("anabranch_packager_segments_total", "published segments"),
    ("anabranch_s3_received_bytes_total", "bytes of objects that S3 clients have sent"),
    ("anabranch_s3_requests_total", "requests of S3 clients, by method and status class"),
    ("anabranch_s3_sent_bytes_total", "bytes of objects that S3 clients have fetched"),
    ("anabranch_store_remote_requests_total", "requests to services that have buckets, by method and outcome"),
    ("anabranch_store_remote_retries_total", "requests to services that have buckets which were repeated"),
    ("anabranch_api_uploaded_bytes_total", "bytes of files that were sent to the API"),
    ("anabranch_api_forbidden_total", "requests to the API whose token lacks the scope, or whose user the privilege"),
    ("anabranch_control_event_streams_ended_total", "event streams that ended, by reason"),
    ("anabranch_control_facts_dropped_total", "reports of nodes that were lost since there were too many"),
    ("anabranch_control_webhook_deliveries_total", "attempts to deliver to webhooks, by result"),
    ("anabranch_edge_audience_refusals_total", "requests refused for the audience's sake, by reason"),
    ("anabranch_edge_viewers_dropped_total", "viewer sessions that were not reported since there were too many"),
    ("anabranch_node_viewers_dropped_total", "reports of viewers that were lost while the control plane was away"),
    ("anabranch_packager_gaps_total", "stretches that recordings lack, by reason"),
    ("anabranch_packager_recordings_total", "recordings that were finished"),
    ("anabranch_transcode_jobs_total", "jobs of the transcode room, by outcome"),
    ("anabranch_transcode_probes_total", "files that were looked at, by outcome"),
    ("anabranch_transcode_units_total", "units of work on files, by kind and outcome"),
];

/// Name and meaning of each gauge.
const GAUGES: &[(&str, &str)] = &[
    ("anabranch_cluster_region_opening", "1 at what a region is: open, draining or closed, by cluster and region"),
    ("anabranch_cluster_region_verdict", "1 at what watchers say of a region together, by cluster, region and state"),
    ("anabranch_control_database_failed", "1 while the database takes or gives nothing"),
    ("anabranch_control_acting_count", "1 while this controller acts, 0 while it stands by"),
    ("anabranch_build_info", "1, labelled with the version that runs"),
    ("anabranch_control_polls_held", "requests of nodes for a snapshot that are held now"),
    ("anabranch_edge_cache_bytes", "bytes in the memory cache"),
    ("anabranch_edge_cache_objects", "objects in the memory cache, those with an open file included"),
    ("anabranch_edge_connections", "viewer connections open now"),
    ("anabranch_edge_disk_bytes", "bytes in the disk cache"),
    ("anabranch_edge_disk_failed", "1 while the disk cache does not work and memory alone serves"),
    ("anabranch_edge_disk_objects", "objects in the disk cache"),
    ("anabranch_edge_log_failed", "1 while the access log cannot be written"),
    ("anabranch_edge_shields_unknown", "origins whose shield this edge does not know and that it asks itself"),
    ("anabranch_node_control_connected", "1 while the control plane answers this node"),
    ("anabranch_node_report_batches_waiting", "batches of reports that the control plane has not acknowledged"),
    ("anabranch_node_snapshot_version", "version of the snapshot that this node acts by"),
    ("anabranch_origin_held_requests", "blocking playlist requests that are held now"),
    ("anabranch_control_event_streams", "event streams that are open"),
    ("anabranch_edge_viewers_open", "viewer sessions that the edge counts now"),
];

/// Gives every number its meaning, once a recorder is there.
pub(super) fn describe() {
    for &(name, meaning) in COUNTERS {
        describe_counter!(name, meaning);
    }
    for &(name, meaning) in GAUGES {
        describe_gauge!(name, meaning);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn sources(dir: &Path, texts: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, texts);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                texts.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }

    /// Names that stand first in calls of a macro.
    fn names<'t>(text: &'t str, makro: &str) -> BTreeSet<&'t str> {
        let calls = text.split(makro).skip(1);
        let name = |call: &'t str| call.trim_start().strip_prefix('"')?.split('"').next();
        calls.filter_map(name).filter(|name| name.starts_with("anabranch_")).collect()
    }

    #[test]
    fn every_number_of_the_house_has_its_meaning_and_kind() {
        let mut texts = Vec::new();
        for room in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap() {
            sources(&room.unwrap().path().join("src"), &mut texts);
        }
        for (kind, table) in [("counter", COUNTERS), ("gauge", GAUGES), ("histogram", &[])] {
            let mut used = BTreeSet::new();
            let mut meant: BTreeSet<&str> = table.iter().map(|(name, _)| *name).collect();
            assert_eq!(meant.len(), table.len(), "a {kind} is listed twice");
            for text in &texts {
                let plain = text.replace(&format!("describe_{kind}!("), "");
                used.extend(names(&plain, &format!("{kind}!(")).into_iter().map(str::to_owned));
                meant.extend(names(text, &format!("describe_{kind}!(")));
            }
            let meant: BTreeSet<String> = meant.into_iter().map(str::to_owned).collect();
            assert_eq!(used, meant, "used and described {kind}s");
        }
    }

    /// Labels that whoever asks for metrics adds.
    const ADDED: [&str; 2] = ["instance", "job"];

    fn expressions(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(members) => {
                for (key, value) in members {
                    match value.as_str().filter(|_| matches!(key.as_str(), "expr" | "query")) {
                        Some(text) => found.push(text.to_owned()),
                        None => expressions(value, found),
                    }
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
            _ => {}
        }
    }

    fn is_word(letter: char) -> bool {
        letter.is_ascii_alphanumeric() || letter == '_'
    }

    /// Metrics of the house in an expression, each with the labels that it is chosen by.
    fn chosen(expression: &str) -> Vec<(&str, Vec<&str>)> {
        let mut found = Vec::new();
        for (at, _) in expression.match_indices("anabranch_") {
            let rest = &expression[at..];
            let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
            let selector = rest[end..].strip_prefix('{').and_then(|inner| inner.split('}').next()).unwrap_or("");
            let labels = selector.split(',').filter(|one| !one.is_empty());
            found.push((&rest[..end], labels.map(|one| one.split(['=', '!']).next().unwrap_or("").trim()).collect()));
        }
        found
    }

    /// Labels that an expression sums by.
    fn grouped(expression: &str) -> Vec<&str> {
        let lists = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
        lists.flat_map(|list| list.split(',').map(str::trim)).collect()
    }

    /// Labels that the sources give a metric.
    fn labels_of<'t>(texts: &'t [String], name: &str) -> BTreeSet<&'t str> {
        let quoted = format!("\"{name}\",");
        let mut labels = BTreeSet::new();
        for text in texts {
            for (at, _) in text.match_indices(&quoted) {
                let call = text[at..].split(';').next().unwrap_or("");
                let parts: Vec<&str> = call.split("=>").collect();
                // Labels that not every handle of a metric has are made apart, in the same file.
                if call.contains("labels(") {
                    let made = ["Label::new(\"", "Label::from_static_parts(\"", "labels(Some((\""];
                    let of = |begin: &'static str| text.split(begin).skip(1).filter_map(|rest| rest.split('"').next());
                    labels.extend(made.into_iter().flat_map(of));
                }
                let before = parts[..parts.len() - 1].iter().map(|part| part.trim_end());
                labels.extend(before.filter(|part| part.ends_with('"')).filter_map(|part| part.rsplit('"').nth(1)));
            }
        }
        labels
    }

    #[test]
    fn dashboards_and_alerts_ask_for_what_is_counted() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut all = Vec::new();
        for entry in std::fs::read_dir(root.join("deploy/grafana")).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(dashboard["panels"].as_array().unwrap().len() > 5 && dashboard["uid"].is_string());
            expressions(&dashboard, &mut all);
        }
        let rules = std::fs::read_to_string(root.join("deploy/prometheus/alerts.yml")).unwrap();
        let rules: Vec<_> =
            rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned).collect();
        assert!(rules.len() > 10);
        all.extend(rules);

        let mut texts = Vec::new();
        for room in std::fs::read_dir(root.join("crates")).unwrap() {
            sources(&room.unwrap().path().join("src"), &mut texts);
        }
        let mut known: BTreeSet<&str> = COUNTERS.iter().chain(GAUGES).map(|(name, _)| *name).collect();
        // Some rooms describe their own.
        for text in &texts {
            known.extend(names(text, "describe_counter!(").into_iter().chain(names(text, "describe_gauge!(")));
        }
        for expression in &all {
            let mut open = 0_i32;
            for letter in expression.chars() {
                open += i32::from(matches!(letter, '(' | '{' | '[')) - i32::from(matches!(letter, ')' | '}' | ']'));
                assert!(open >= 0, "{expression}");
            }
            assert_eq!(open, 0, "{expression}");
            let metrics = chosen(expression);
            let mut labels: BTreeSet<&str> = ADDED.into_iter().collect();
            for (name, by) in &metrics {
                assert!(known.contains(name), "{name} is not counted: {expression}");
                let own = labels_of(&texts, name);
                for label in by {
                    assert!(own.contains(label) || ADDED.contains(label), "{name} has no label {label}: {own:?}");
                }
                labels.extend(own);
            }
            for label in grouped(expression) {
                assert!(labels.contains(label), "nothing has label {label}: {expression}");
            }
        }
    }
}
