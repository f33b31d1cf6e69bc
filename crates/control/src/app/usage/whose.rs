//! Of whose things usage is asked for.

use anabranch_db::{SubjectRow, UsageFilter};

use super::span::Span;
use crate::app::{App, Error};

/// Whose usage is wanted.
#[derive(Debug, Default)]
pub(super) struct Whose {
    pub(super) breakout: String,
    pub(super) distribution: String,
    event: String,
    account: String,
}

impl Whose {
    pub(super) fn takes(&self, row: &SubjectRow) -> bool {
        let fits = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        fits(&self.breakout, &row.subject) && fits(&self.event, &row.event) && fits(&self.account, &row.account)
    }

    pub(super) fn filter(&self, span: Span) -> UsageFilter {
        UsageFilter {
            from: span.from,
            to: span.to,
            breakout: self.breakout.clone(),
            asset: String::new(),
            distribution: self.distribution.clone(),
        }
    }

    /// Whether rows of single breakouts are chosen by what those belong to.
    pub(super) fn is_choosy(&self) -> bool {
        !(self.event.is_empty() && self.account.is_empty())
    }
}

impl App {
    /// Those of a breakout, distribution, event and account, each by id or name.
    pub(super) async fn whose(&self, wanted: [Option<&str>; 4]) -> Result<Whose, Error> {
        let [breakout, distribution, event, account] = wanted;
        let mut whose = Whose { distribution: distribution.unwrap_or_default().to_owned(), ..Whose::default() };
        if let Some(breakout) = breakout {
            whose.breakout = self.subject_named(breakout).await?;
        }
        if let Some(event) = event {
            whose.event = self.db.event_find(event).await?.id.to_string();
        }
        if let Some(account) = account {
            whose.account = self.db.account_find(account).await?.id.to_string();
        }
        Ok(whose)
    }

    /// The id of a breakout by id or name; of one that is deleted by id.
    pub(super) async fn subject_named(&self, wanted: &str) -> Result<String, Error> {
        match self.db.breakout_find(wanted).await {
            Ok(row) => Ok(row.id.to_string()),
            Err(missing @ anabranch_db::Error::NotFound { .. }) => {
                let known = self.db.subjects(wanted, 0, i64::MAX).await?;
                if known.is_empty() { Err(missing.into()) } else { Ok(wanted.to_owned()) }
            }
            Err(error) => Err(error.into()),
        }
    }
}
