//! Usage, charges and quality of experience: what the API answers.

mod alarms;
mod charges;
mod csv;
mod overview;
mod overview_view;
mod presence;
mod query;
mod span;
mod view;
mod whose;

pub(crate) use overview_view::*;
pub(crate) use view::*;
