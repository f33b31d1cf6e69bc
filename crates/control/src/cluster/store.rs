//! The state of clusters in the database of the control plane.

use anabranch_cluster::state::Registers;
use anabranch_cluster::store::{Kept, Reply, StateStore, StoreError};
use anabranch_db::{Db, Error};
use anabranch_model::{ClusterId, HistoryEntry, RegisterOf};

/// Rows of a database.
#[derive(Clone, Debug)]
pub(crate) struct Rows(pub(crate) Db);

fn fault(cluster: &ClusterId) -> impl FnOnce(Error) -> StoreError + '_ {
    move |error| match error {
        Error::NotFound { .. } => StoreError::NotFound(cluster.clone()),
        other => StoreError::Failed(Box::new(other)),
    }
}

impl StateStore for Rows {
    fn load<'a>(&'a self, cluster: &'a ClusterId) -> Reply<'a, Registers> {
        Box::pin(async move {
            let words = self.0.cluster_registers(cluster).await.map_err(fault(cluster))?;
            Ok(words.into_iter().collect())
        })
    }

    fn merge<'a>(&'a self, cluster: &'a ClusterId, words: &'a [RegisterOf], now_ms: i64) -> Reply<'a, Vec<RegisterOf>> {
        Box::pin(async move { self.0.cluster_merge(cluster, words, now_ms).await.map_err(fault(cluster)) })
    }

    fn history_append<'a>(&'a self, cluster: &'a ClusterId, entries: &'a [HistoryEntry], now_ms: i64) -> Reply<'a, ()> {
        Box::pin(async move { self.0.cluster_history_append(cluster, entries, now_ms).await.map_err(fault(cluster)) })
    }

    fn history_list<'a>(&'a self, cluster: &'a ClusterId, before: Option<u64>, limit: u32) -> Reply<'a, Vec<Kept>> {
        Box::pin(async move {
            let rows = self.0.cluster_history(cluster, before, limit).await.map_err(fault(cluster))?;
            Ok(rows.into_iter().map(|(sequence, entry)| Kept { sequence, entry }).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use anabranch_cluster::contract::{Subject, run};
    use anabranch_model::{AutomatSettings, Cluster, ClusterRegion, WatchSettings};
    use anabranch_testkit::{Engine, Scratch, both};

    use super::*;

    both!(rows_keep_the_contract);

    async fn rows_keep_the_contract(engine: Engine) {
        let scratch = Scratch::new(engine);
        let db = match &scratch {
            Scratch::File(dir) => Db::open(&dir.path().join("db.sqlite")).await.unwrap(),
            Scratch::Server(database) => {
                let db = Db::open_url(&database.url()).await.unwrap();
                assert!(db.try_lead().await.unwrap());
                db
            }
        };
        let region = |name: &str| ClusterRegion {
            name: name.to_owned(),
            origin_url: "http://origin/x.m3u8".to_owned(),
            cdn_url: "http://cdn/x.m3u8".to_owned(),
            distribution: None,
            paths: Vec::new(),
            peer: None,
            headers: Default::default(),
        };
        let mut ids = Vec::new();
        for name in ["a", "b"] {
            let cluster = Cluster {
                id: ClusterId::random(),
                name: name.to_owned(),
                here: None,
                regions: vec![region("one"), region("two")],
                watch: WatchSettings::default(),
                automat: AutomatSettings::default(),
            };
            db.cluster_create(&cluster, None, 1).await.unwrap();
            ids.push(cluster.id);
        }
        let rows = Rows(db.clone());
        run(Subject { store: &rows, clusters: [&ids[0], &ids[1]] }).await;
        // What belongs to a cluster goes with it.
        db.cluster_delete("a", 2).await.unwrap();
        assert!(matches!(rows.load(&ids[0]).await, Err(StoreError::NotFound(_))));
        db.close().await;
    }
}
