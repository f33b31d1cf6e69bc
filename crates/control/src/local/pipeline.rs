//! Pipelines of ingest and packager.

use anabranch_db::LocalPipelineRow;
use anabranch_model::{BreakoutId, ChannelId, ChannelSpec, ChannelState, ChosenInput, FailoverSpec};
use anabranch_provider::{Kind, Listing, PipelineProvider, PipelineSpec, PipelineStatus, ProviderError, Reply};

use super::{Local, PAGE, PIPELINE_ROLES, listing, missing, reply, unavailable};

impl Local {
    fn pipeline_status(&self, row: LocalPipelineRow) -> PipelineStatus {
        let waiting_for = missing(&self.observed, &PIPELINE_ROLES, row.changed_version);
        let state = match (row.running, waiting_for.is_none()) {
            (true, true) => ChannelState::Running,
            (true, false) => ChannelState::Starting,
            (false, true) => ChannelState::Idle,
            // What has never run has nothing to stop.
            (false, false) if row.changed_version == 0 => ChannelState::Idle,
            (false, false) => ChannelState::Stopping,
        };
        let waiting_for = waiting_for.filter(|_| matches!(state, ChannelState::Starting | ChannelState::Stopping));
        PipelineStatus { id: row.id, state, session: row.session, chosen: row.chosen, tags: row.tags, waiting_for }
    }

    fn found(&self, id: &ChannelId, row: Option<LocalPipelineRow>) -> Result<PipelineStatus, ProviderError> {
        let row = row.ok_or_else(|| ProviderError::not_found("pipeline", id.as_str()))?;
        Ok(self.pipeline_status(row))
    }
}

impl PipelineProvider for Local {
    fn pipeline_ensure<'a>(&'a self, spec: &'a PipelineSpec) -> Reply<'a, PipelineStatus> {
        reply(async move {
            if spec.inputs.is_empty() {
                return Err(ProviderError::new(Kind::Invalid, "a pipeline has at least one input"));
            }
            let channel = ChannelSpec {
                id: spec.id.clone(),
                name: spec.name.clone(),
                running: false,
                segment_target_seconds: spec.segment_target_seconds,
                window_seconds: spec.window_seconds,
                inputs: spec.inputs.clone(),
                failover: FailoverSpec { chosen: None, ..spec.failover.clone() },
            };
            let ensured = self.db.local_pipeline_ensure(&channel, &spec.tags, self.clock.now_ms()).await;
            Ok(self.pipeline_status(ensured.map_err(|error| unavailable(&error))?))
        })
    }

    fn pipeline_start<'a>(&'a self, id: &'a ChannelId, session: Option<&'a BreakoutId>) -> Reply<'a, PipelineStatus> {
        reply(async move {
            let row = self.db.local_pipeline_run(id, true, session).await.map_err(|error| unavailable(&error))?;
            self.found(id, row)
        })
    }

    fn pipeline_stop<'a>(&'a self, id: &'a ChannelId) -> Reply<'a, PipelineStatus> {
        reply(async move {
            let row = self.db.local_pipeline_run(id, false, None).await.map_err(|error| unavailable(&error))?;
            self.found(id, row)
        })
    }

    fn pipeline_switch<'a>(&'a self, id: &'a ChannelId, chosen: &'a ChosenInput) -> Reply<'a, PipelineStatus> {
        reply(async move {
            let row = self.db.local_pipeline(id).await.map_err(|error| unavailable(&error))?;
            if row.as_ref().is_some_and(|row| !row.has_input(&chosen.input)) {
                let words = format!("pipeline {id} has no such input: {}", chosen.input);
                return Err(ProviderError::new(Kind::Invalid, words));
            }
            let row = self.db.local_pipeline_choose(id, chosen).await.map_err(|error| unavailable(&error))?;
            self.found(id, row)
        })
    }

    fn pipeline_describe<'a>(&'a self, id: &'a ChannelId) -> Reply<'a, Option<PipelineStatus>> {
        reply(async move {
            let row = self.db.local_pipeline(id).await.map_err(|error| unavailable(&error))?;
            Ok(row.map(|row| self.pipeline_status(row)))
        })
    }

    fn pipeline_delete<'a>(&'a self, id: &'a ChannelId) -> Reply<'a, ()> {
        reply(async move {
            let in_use = |state: ChannelState| {
                let words = format!("pipeline {id} is {}; stop it first", state.as_str());
                Err(ProviderError::new(Kind::InUse, words))
            };
            match self.pipeline_describe(id).await? {
                None => return Ok(()),
                Some(status) if status.state != ChannelState::Idle => return in_use(status.state),
                Some(_) => {}
            }
            let gone = self.db.local_pipeline_delete(id).await.map_err(|error| unavailable(&error))?;
            if gone { Ok(()) } else { in_use(ChannelState::Starting) }
        })
    }

    fn pipeline_list<'a>(&'a self, after: Option<&'a str>) -> Reply<'a, Listing<ChannelId>> {
        reply(async move {
            let ids = self.db.local_pipeline_ids(after.unwrap_or_default(), PAGE + 1).await;
            Ok(listing(ids.map_err(|error| unavailable(&error))?))
        })
    }
}
