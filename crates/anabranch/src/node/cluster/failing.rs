//! A failure that lasts makes one line of the log, and its end another.

/// What was logged last.
pub(super) struct Failing {
    begins: &'static str,
    ends: &'static str,
    error: Option<String>,
}

impl Failing {
    /// What is said when it begins and when it is over.
    pub(super) fn new(begins: &'static str, ends: &'static str) -> Self {
        Self { begins, ends, error: None }
    }

    /// Takes how it went.
    pub(super) fn note(&mut self, done: Result<(), String>) {
        match done {
            Ok(()) => {
                if self.error.take().is_some() {
                    tracing::info!("{}", self.ends);
                }
            }
            Err(error) => {
                if self.error.as_ref() != Some(&error) {
                    tracing::error!(error, "{}", self.begins);
                }
                self.error = Some(error);
            }
        }
    }
}
