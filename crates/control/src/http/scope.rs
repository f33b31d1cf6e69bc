//! Which scope each operation needs: the one table.

use utoipa::openapi::{OpenApi, extensions::Extensions};

use crate::app::Scope;

/// Operations that need a token, and the scope that opens each.
const SCOPES: &[(&str, Scope)] = &[
    ("access_key_create", Scope::Admin),
    ("access_key_delete", Scope::Admin),
    ("access_key_list", Scope::Read),
    ("account_create", Scope::Manage),
    ("account_delete", Scope::Manage),
    ("account_list", Scope::Read),
    ("account_show", Scope::Read),
    ("analytics_show", Scope::Read),
    ("asset_cancel", Scope::Operate),
    ("asset_create", Scope::Operate),
    ("asset_delete", Scope::Manage),
    ("asset_list", Scope::Read),
    ("asset_play_url", Scope::Operate),
    ("asset_retry", Scope::Operate),
    ("asset_show", Scope::Read),
    ("asset_update", Scope::Manage),
    ("breakout_abort", Scope::Operate),
    ("breakout_charges", Scope::Read),
    ("breakout_create", Scope::Manage),
    ("breakout_curtain", Scope::Operate),
    ("breakout_delete", Scope::Manage),
    ("breakout_list", Scope::Read),
    ("breakout_play_url", Scope::Operate),
    ("breakout_reset", Scope::Operate),
    ("breakout_revoke", Scope::Operate),
    ("breakout_show", Scope::Read),
    ("breakout_start", Scope::Operate),
    ("breakout_stop", Scope::Operate),
    ("breakout_update", Scope::Manage),
    ("bucket_create", Scope::Manage),
    ("bucket_delete", Scope::Manage),
    ("bucket_list", Scope::Read),
    ("bucket_publish", Scope::Manage),
    ("bucket_show", Scope::Read),
    ("bucket_update", Scope::Manage),
    ("caption_delete", Scope::Manage),
    ("caption_list", Scope::Read),
    ("caption_put", Scope::Manage),
    ("channel_create", Scope::Manage),
    ("channel_delete", Scope::Manage),
    ("channel_distribution_create", Scope::Manage),
    ("channel_list", Scope::Read),
    ("channel_show", Scope::Read),
    ("channel_start", Scope::Operate),
    ("channel_stop", Scope::Operate),
    ("channel_switch", Scope::Operate),
    ("channel_update", Scope::Manage),
    ("charges_collect", Scope::Operate),
    ("charges_show", Scope::Read),
    ("cluster_automatic", Scope::Operate),
    ("cluster_close", Scope::Operate),
    ("cluster_create", Scope::Manage),
    ("cluster_delete", Scope::Manage),
    ("cluster_drill", Scope::Operate),
    ("cluster_history", Scope::Read),
    ("cluster_join", Scope::Manage),
    ("cluster_list", Scope::Read),
    ("cluster_open", Scope::Operate),
    ("cluster_play_url", Scope::Operate),
    ("cluster_playlists", Scope::Read),
    ("cluster_publish", Scope::Manage),
    ("cluster_pull", Scope::Manage),
    ("cluster_show", Scope::Read),
    ("cluster_state", Scope::Cluster),
    ("cluster_stream", Scope::Read),
    ("cluster_update", Scope::Manage),
    ("cluster_vote", Scope::Cluster),
    ("cluster_vote_list", Scope::Read),
    ("collection_create", Scope::Manage),
    ("collection_delete", Scope::Manage),
    ("collection_list", Scope::Read),
    ("collection_play_url", Scope::Operate),
    ("collection_show", Scope::Read),
    ("collection_update", Scope::Manage),
    ("distribution_attach", Scope::Manage),
    ("distribution_create", Scope::Manage),
    ("distribution_delete", Scope::Manage),
    ("distribution_detach", Scope::Manage),
    ("distribution_list", Scope::Read),
    ("distribution_show", Scope::Read),
    ("distribution_sweep", Scope::Manage),
    ("distribution_sync", Scope::Operate),
    ("distribution_traffic", Scope::Read),
    ("distribution_update", Scope::Manage),
    ("event_create", Scope::Manage),
    ("event_delete", Scope::Manage),
    ("event_list", Scope::Read),
    ("event_show", Scope::Read),
    ("event_update", Scope::Manage),
    ("invalidation_create", Scope::Manage),
    ("invalidation_list", Scope::Read),
    ("invalidation_show", Scope::Read),
    ("job_cancel", Scope::Operate),
    ("job_list", Scope::Read),
    ("job_retry", Scope::Operate),
    ("job_show", Scope::Read),
    ("key_create", Scope::Keys),
    ("key_delete", Scope::Keys),
    ("key_group_create", Scope::Keys),
    ("key_group_delete", Scope::Keys),
    ("key_group_list", Scope::Read),
    ("key_group_show", Scope::Read),
    ("key_group_update", Scope::Keys),
    ("key_list", Scope::Read),
    ("log_list", Scope::Read),
    ("log_stream", Scope::Read),
    ("node_forget", Scope::Admin),
    ("node_list", Scope::Read),
    ("object_delete", Scope::Manage),
    ("object_link", Scope::Operate),
    ("object_list", Scope::Read),
    ("operation_list", Scope::Read),
    ("operation_show", Scope::Read),
    ("overview_show", Scope::Read),
    ("prices_show", Scope::Read),
    ("recording_delete", Scope::Manage),
    ("recording_list", Scope::Read),
    ("recording_mp4", Scope::Manage),
    ("recording_play_url", Scope::Operate),
    ("recording_show", Scope::Read),
    ("settings_show", Scope::Read),
    ("sign", Scope::Operate),
    ("token_create", Scope::Admin),
    ("token_list", Scope::Admin),
    ("token_revoke", Scope::Admin),
    ("upload_append", Scope::Operate),
    ("upload_create", Scope::Operate),
    ("upload_delete", Scope::Operate),
    ("upload_override", Scope::Operate),
    ("upload_show", Scope::Operate),
    ("usage_series", Scope::Read),
    ("usage_show", Scope::Read),
    ("viewer_list", Scope::Read),
    ("webhook_create", Scope::Webhooks),
    ("webhook_delete", Scope::Webhooks),
    ("webhook_list", Scope::Webhooks),
    ("webhook_rotate_secret", Scope::Webhooks),
    ("webhook_show", Scope::Webhooks),
    ("webhook_test", Scope::Webhooks),
    ("webhook_update", Scope::Webhooks),
];

/// The scope that an operation needs. One that the table does not name is for administrators only.
pub(super) fn needed(operation: &str) -> Scope {
    SCOPES.iter().find(|(name, _)| *name == operation).map_or(Scope::Admin, |(_, scope)| *scope)
}

/// Names the scope of each operation that needs a token, as `x-scope`. One that the table lacks gets none, which a test finds.
pub(super) fn annotate(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.head, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete]
                .into_iter()
                .flatten();
        for operation in operations.filter(|operation| operation.security.is_some()) {
            let name = operation.operation_id.as_deref().unwrap_or_default();
            if SCOPES.iter().any(|(named, _)| *named == name) {
                let scope: Extensions = [("x-scope", needed(name).as_str())].into_iter().collect();
                operation.extensions.get_or_insert_default().merge(scope);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_each_once() {
        assert!(SCOPES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(needed("what_nobody_knows"), Scope::Admin);
    }
}
