//! What each operation needs, of a token and of a user: the one table.

use utoipa::openapi::OpenApi;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::security::SecurityRequirement;

use crate::app::Scope;
use crate::app::people::Action::{self, Abort, Add, Delete, Sign, Start, Stop, Update, View};
use crate::app::people::Object::{
    self, Account, Asset, Audit, Breakout, Bucket, Channel, Cluster, Collection, Distribution, Event, Job, Key, Log,
    Node, Operation, Recording, Settings, Token, Usage, User, Webhook,
};
use crate::app::people::{Need, Privilege, Privileges, Right};

/// Operations that need a caller: the scope of a token that opens each, and the privilege of a user, by object and action.
#[rustfmt::skip]
const NEEDS: &[(&str, Scope, Object, Action)] = &[
    ("access_key_create", Scope::Admin, Key, Add),
    ("access_key_delete", Scope::Admin, Key, Delete),
    ("access_key_list", Scope::Read, Key, View),
    ("account_create", Scope::Manage, Account, Add),
    ("account_delete", Scope::Manage, Account, Delete),
    ("account_list", Scope::Read, Account, View),
    ("account_show", Scope::Read, Account, View),
    ("analytics_show", Scope::Read, Usage, View),
    ("asset_cancel", Scope::Operate, Asset, Abort),
    ("asset_create", Scope::Operate, Asset, Add),
    ("asset_delete", Scope::Manage, Asset, Delete),
    ("asset_list", Scope::Read, Asset, View),
    ("asset_play_url", Scope::Operate, Asset, Sign),
    ("asset_retry", Scope::Operate, Asset, Start),
    ("asset_show", Scope::Read, Asset, View),
    ("asset_update", Scope::Manage, Asset, Update),
    ("audit_list", Scope::Admin, Audit, View),
    ("breakout_abort", Scope::Operate, Breakout, Abort),
    ("breakout_charges", Scope::Read, Usage, View),
    ("breakout_create", Scope::Manage, Breakout, Add),
    ("breakout_curtain", Scope::Operate, Breakout, Update),
    ("breakout_delete", Scope::Manage, Breakout, Delete),
    ("breakout_list", Scope::Read, Breakout, View),
    ("breakout_play_url", Scope::Operate, Breakout, Sign),
    ("breakout_refresh", Scope::Operate, Breakout, Update),
    ("breakout_reset", Scope::Operate, Breakout, Update),
    ("breakout_revoke", Scope::Operate, Breakout, Update),
    ("breakout_show", Scope::Read, Breakout, View),
    ("breakout_start", Scope::Operate, Breakout, Start),
    ("breakout_stop", Scope::Operate, Breakout, Stop),
    ("breakout_update", Scope::Manage, Breakout, Update),
    ("bucket_create", Scope::Manage, Bucket, Add),
    ("bucket_delete", Scope::Manage, Bucket, Delete),
    ("bucket_list", Scope::Read, Bucket, View),
    ("bucket_publish", Scope::Manage, Bucket, Update),
    ("bucket_show", Scope::Read, Bucket, View),
    ("bucket_update", Scope::Manage, Bucket, Update),
    ("caption_delete", Scope::Manage, Asset, Delete),
    ("caption_list", Scope::Read, Asset, View),
    ("caption_put", Scope::Manage, Asset, Update),
    ("channel_create", Scope::Manage, Channel, Add),
    ("channel_delete", Scope::Manage, Channel, Delete),
    ("channel_distribution_create", Scope::Manage, Distribution, Add),
    ("channel_list", Scope::Read, Channel, View),
    ("channel_rotate_key", Scope::Manage, Channel, Update),
    ("channel_show", Scope::Read, Channel, View),
    ("channel_start", Scope::Operate, Channel, Start),
    ("channel_stop", Scope::Operate, Channel, Stop),
    ("channel_switch", Scope::Operate, Channel, Start),
    ("channel_update", Scope::Manage, Channel, Update),
    ("charges_collect", Scope::Operate, Usage, Start),
    ("charges_show", Scope::Read, Usage, View),
    ("cluster_automatic", Scope::Operate, Cluster, Start),
    ("cluster_close", Scope::Operate, Cluster, Stop),
    ("cluster_create", Scope::Manage, Cluster, Add),
    ("cluster_delete", Scope::Manage, Cluster, Delete),
    ("cluster_drill", Scope::Operate, Cluster, Start),
    ("cluster_history", Scope::Read, Cluster, View),
    ("cluster_join", Scope::Manage, Cluster, Add),
    ("cluster_list", Scope::Read, Cluster, View),
    ("cluster_notification", Scope::Cluster, Cluster, Update),
    ("cluster_open", Scope::Operate, Cluster, Start),
    ("cluster_play_url", Scope::Operate, Cluster, Sign),
    ("cluster_playlists", Scope::Read, Cluster, View),
    ("cluster_publish", Scope::Manage, Cluster, Update),
    ("cluster_pull", Scope::Manage, Cluster, Update),
    ("cluster_show", Scope::Read, Cluster, View),
    ("cluster_state", Scope::Cluster, Cluster, View),
    ("cluster_stream", Scope::Read, Cluster, View),
    ("cluster_update", Scope::Manage, Cluster, Update),
    ("cluster_vote", Scope::Cluster, Cluster, Update),
    ("cluster_vote_list", Scope::Read, Cluster, View),
    ("collection_create", Scope::Manage, Collection, Add),
    ("collection_delete", Scope::Manage, Collection, Delete),
    ("collection_list", Scope::Read, Collection, View),
    ("collection_play_url", Scope::Operate, Collection, Sign),
    ("collection_show", Scope::Read, Collection, View),
    ("collection_update", Scope::Manage, Collection, Update),
    ("counts_show", Scope::Read, Operation, View),
    ("distribution_attach", Scope::Manage, Distribution, Update),
    ("distribution_create", Scope::Manage, Distribution, Add),
    ("distribution_delete", Scope::Manage, Distribution, Delete),
    ("distribution_detach", Scope::Manage, Distribution, Update),
    ("distribution_list", Scope::Read, Distribution, View),
    ("distribution_show", Scope::Read, Distribution, View),
    ("distribution_sweep", Scope::Manage, Distribution, Update),
    ("distribution_sync", Scope::Operate, Distribution, Start),
    ("distribution_traffic", Scope::Read, Distribution, View),
    ("distribution_update", Scope::Manage, Distribution, Update),
    ("event_create", Scope::Manage, Event, Add),
    ("event_delete", Scope::Manage, Event, Delete),
    ("event_list", Scope::Read, Event, View),
    ("event_show", Scope::Read, Event, View),
    ("event_update", Scope::Manage, Event, Update),
    ("invalidation_create", Scope::Manage, Distribution, Update),
    ("invalidation_list", Scope::Read, Distribution, View),
    ("invalidation_show", Scope::Read, Distribution, View),
    ("job_cancel", Scope::Operate, Job, Abort),
    ("job_list", Scope::Read, Job, View),
    ("job_retry", Scope::Operate, Job, Start),
    ("job_show", Scope::Read, Job, View),
    ("key_create", Scope::Keys, Key, Add),
    ("key_delete", Scope::Keys, Key, Delete),
    ("key_group_create", Scope::Keys, Key, Add),
    ("key_group_delete", Scope::Keys, Key, Delete),
    ("key_group_list", Scope::Read, Key, View),
    ("key_group_show", Scope::Read, Key, View),
    ("key_group_update", Scope::Keys, Key, Update),
    ("key_list", Scope::Read, Key, View),
    ("log_list", Scope::Read, Log, View),
    ("log_stream", Scope::Read, Log, View),
    ("node_forget", Scope::Admin, Node, Delete),
    ("node_list", Scope::Read, Node, View),
    ("object_delete", Scope::Manage, Bucket, Delete),
    ("object_link", Scope::Operate, Bucket, Sign),
    ("object_list", Scope::Read, Bucket, View),
    ("operation_list", Scope::Read, Operation, View),
    ("operation_show", Scope::Read, Operation, View),
    ("overview_show", Scope::Read, Operation, View),
    ("prices_show", Scope::Read, Usage, View),
    ("recording_delete", Scope::Manage, Recording, Delete),
    ("recording_list", Scope::Read, Recording, View),
    ("recording_mp4", Scope::Manage, Recording, Update),
    ("recording_play_url", Scope::Operate, Recording, Sign),
    ("recording_show", Scope::Read, Recording, View),
    ("settings_show", Scope::Read, Settings, View),
    ("setup_create", Scope::Admin, User, Add),
    ("sign", Scope::Operate, Key, Sign),
    ("token_create", Scope::Admin, Token, Add),
    ("token_list", Scope::Admin, Token, View),
    ("token_revoke", Scope::Admin, Token, Delete),
    ("upload_append", Scope::Operate, Asset, Add),
    ("upload_create", Scope::Operate, Asset, Add),
    ("upload_delete", Scope::Operate, Asset, Abort),
    ("upload_override", Scope::Operate, Asset, Add),
    ("upload_show", Scope::Operate, Asset, Add),
    ("usage_series", Scope::Read, Usage, View),
    ("usage_show", Scope::Read, Usage, View),
    ("user_create", Scope::Admin, User, Add),
    ("user_delete", Scope::Admin, User, Delete),
    ("user_list", Scope::Admin, User, View),
    ("user_sessions_end", Scope::Admin, User, Update),
    ("user_show", Scope::Admin, User, View),
    ("user_update", Scope::Admin, User, Update),
    ("viewer_list", Scope::Read, Breakout, View),
    ("webhook_create", Scope::Webhooks, Webhook, Add),
    ("webhook_delete", Scope::Webhooks, Webhook, Delete),
    ("webhook_list", Scope::Webhooks, Webhook, View),
    ("webhook_rotate_secret", Scope::Webhooks, Webhook, Update),
    ("webhook_show", Scope::Webhooks, Webhook, View),
    ("webhook_test", Scope::Webhooks, Webhook, Start),
    ("webhook_update", Scope::Webhooks, Webhook, Update),
];

/// Operations about the user who asks, for which a session is enough, with the word of the audit for what they are about.
const OWN: &[(&str, Scope, &str)] = &[
    ("login_delete", Scope::Admin, "session"),
    ("me_password", Scope::Admin, "user"),
    ("me_show", Scope::Read, "user"),
    ("me_update", Scope::Admin, "user"),
    ("session_end", Scope::Admin, "session"),
    ("session_list", Scope::Admin, "session"),
];

/// Open operations that the audit keeps.
const OPEN: &[(&str, &str)] = &[("login_create", "session"), ("oidc_end", "session")];

/// Operations of machines that are repeated all the time; the audit keeps only what is refused of them.
const REPEATED: &[&str] = &["cluster_notification", "cluster_vote", "upload_append"];

/// What an operation needs. One that the tables do not name is for administrators and owners only.
pub(super) fn needed(operation: &str) -> Need {
    if let Some((_, scope, object, action)) = NEEDS.iter().find(|(name, ..)| *name == operation) {
        return Need { scope: *scope, right: Right::Of(Privilege(*object, *action)) };
    }
    match OWN.iter().find(|(name, ..)| *name == operation) {
        Some((_, scope, _)) => Need { scope: *scope, right: Right::Own },
        None => Need { scope: Scope::Admin, right: Right::Unknown },
    }
}

/// Every privilege that the scope of a token is worth.
pub(super) fn opened(scope: Scope) -> Privileges {
    if scope == Scope::Admin {
        return Privileges::all();
    }
    let of = |(_, needed, object, action): &(&str, Scope, Object, Action)| {
        (*needed == scope).then_some(Privilege(*object, *action))
    };
    NEEDS.iter().filter_map(of).collect()
}

/// Kind of what an operation is about, if the audit keeps it when it ends with this status.
pub(super) fn audited(operation: &str, status: u16) -> Option<&'static str> {
    if status < 400 && REPEATED.contains(&operation) {
        return None;
    }
    if let Some((_, _, object, _)) = NEEDS.iter().find(|(name, ..)| *name == operation) {
        return Some(object.as_str());
    }
    let own = OWN.iter().map(|(name, _, object)| (name, object));
    let open = OPEN.iter().map(|(name, object)| (name, object));
    own.chain(open).find(|(name, _)| **name == operation).map(|(_, object)| *object)
}

/// Names what each operation needs: the scope of a token as `x-scope`, the privilege of a user as the role of the scheme `session`. An
/// operation that the tables lack gets neither, which a test finds.
pub(super) fn annotate(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.head, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete]
                .into_iter()
                .flatten();
        for operation in operations {
            let name = operation.operation_id.as_deref().unwrap_or_default();
            let need = needed(name);
            let Some(security) = &mut operation.security else { continue };
            let privileges = match need.right {
                Right::Of(privilege) => vec![privilege.to_string()],
                Right::Own => Vec::new(),
                Right::Unknown => continue,
            };
            // The first owner is made when nobody can have a session.
            if name != "setup_create" {
                security.push(SecurityRequirement::new("session", privileges));
            }
            let scope: Extensions = [("x-scope", need.scope.as_str())].into_iter().collect();
            operation.extensions.get_or_insert_default().merge(scope);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_order_and_name_each_once() {
        assert!(NEEDS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(OWN.is_sorted_by(|a, b| a.0 < b.0));
        assert!(OWN.iter().all(|(name, ..)| NEEDS.iter().all(|(other, ..)| name != other)));
        assert_eq!(needed("what_nobody_knows"), Need { scope: Scope::Admin, right: Right::Unknown });
    }

    #[test]
    fn every_row_names_a_privilege_that_there_is() {
        for (name, _, object, action) in NEEDS {
            let privilege = Privilege(*object, *action);
            assert!(
                Privilege::all().any(|known| known == privilege),
                "{name}: {privilege} is not in app/people/privilege.rs"
            );
            // Who has no privilege to delete deletes nothing.
            if name.ends_with("_delete") && *name != "upload_delete" {
                assert_eq!(*action, Delete, "{name}");
            }
        }
    }

    #[test]
    fn scopes_are_worth_what_they_open() {
        assert_eq!(opened(Scope::Admin), Privileges::all());
        assert!(
            opened(Scope::Read).has(Privilege(Channel, View)) && !opened(Scope::Read).has(Privilege(Channel, Start))
        );
        assert!(opened(Scope::Operate).has(Privilege(Channel, Start)));
    }
}
