//! Steps with a title, a duration and a verdict, and the table at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::Interrupted;

enum Verdict {
    Passed,
    Failed(String),
    NotRun(&'static str),
}

/// What ran so far.
#[derive(Default)]
pub(crate) struct Steps(Vec<(&'static str, Duration, Verdict)>);

impl Steps {
    /// Runs a step; a failure is kept and the next step can go on. Only an interrupt comes back as an error.
    pub(crate) fn step(&mut self, title: &'static str, work: impl FnOnce() -> Result<()>) -> Result<bool> {
        println!("\n==> {title}");
        let begun = Instant::now();
        let verdict = match work() {
            Ok(()) => Verdict::Passed,
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => {
                println!("{error:#}");
                Verdict::Failed(format!("{error:#}").lines().next().unwrap_or_default().to_owned())
            }
        };
        let took = begun.elapsed();
        let passed = matches!(verdict, Verdict::Passed);
        println!("<== {title}: {} in {:.1} s", if passed { "passed" } else { "FAILED" }, took.as_secs_f64());
        self.0.push((title, took, verdict));
        Ok(passed)
    }

    /// Names a step that could not run because another failed.
    pub(crate) fn not_run(&mut self, title: &'static str, because: &'static str) {
        println!("\n==> {title}: not run: {because}");
        self.0.push((title, Duration::ZERO, Verdict::NotRun(because)));
    }

    /// Prints the table; an error unless everything passed.
    pub(crate) fn finish(self, what: &str) -> Result<()> {
        let width = self.0.iter().map(|(title, ..)| title.chars().count()).max().unwrap_or(0);
        println!("\n{what}");
        let (mut passed, mut failed, mut not_run) = (0, 0, 0);
        for (title, took, verdict) in &self.0 {
            let (word, reason) = match verdict {
                Verdict::Passed => {
                    passed += 1;
                    ("passed", "")
                }
                Verdict::Failed(reason) => {
                    failed += 1;
                    ("FAILED", reason.as_str())
                }
                Verdict::NotRun(because) => {
                    not_run += 1;
                    ("not run", *because)
                }
            };
            println!("  {title:<width$}  {:>7.1} s  {word:<7}  {reason}", took.as_secs_f64());
        }
        let skipped = if not_run == 0 { String::new() } else { format!(", {not_run} not run") };
        println!("steps: {passed} passed, {failed} failed{skipped}");
        if failed + not_run > 0 {
            bail!("{what}: not all steps passed");
        }
        Ok(())
    }
}
