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
}
