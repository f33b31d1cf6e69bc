//! The table of a watch on a terminal, redrawn in its place; on anything else it is written once, at the end.

use std::fmt::Write as _;

use anabranch_cluster::watch::{Effect, PlaylistReport, PlaylistState, Report, VerdictState};
use anyhow::Result;
use tokio::sync::watch::Receiver;

use crate::terminal::{self, clean};

/// Playlists of one watch that are shown; those with something wrong come first when there are more.
const ROWS_MAX: usize = 30;

/// Longest name of a playlist, in characters.
const NAME_MAX: usize = 44;

type Problems = Vec<(String, Receiver<Option<String>>)>;

pub(super) struct Screen {
    problems: Problems,
    /// Lines that the last drawing took.
    lines: usize,
    is_terminal: bool,
}

impl Screen {
    pub(super) fn new(problems: Problems) -> Self {
        Self { problems, lines: 0, is_terminal: terminal::takes_answers() }
    }

    /// Draws over what was drawn before; only on a terminal.
    pub(super) fn draw(&mut self, reports: &[Report]) -> Result<()> {
        if !self.is_terminal {
            return Ok(());
        }
        let text = self.text(reports);
        let up = if self.lines > 0 { format!("\x1b[{}A", self.lines) } else { String::new() };
        self.lines = text.lines().count();
        // Long lines are cut by the terminal, not wrapped: a wrapped line would take two.
        terminal::write(&format!("\x1b[?7l{up}\x1b[J{text}\x1b[?7h")).map(|_| ())
    }

    /// Writes the table for the last time.
    pub(super) fn end(&mut self, reports: &[Report]) -> Result<()> {
        if self.is_terminal {
            return self.draw(reports);
        }
        terminal::write(&self.text(reports)).map(|_| ())
    }

    fn text(&self, reports: &[Report]) -> String {
        let mut text = reports.iter().map(|report| render(report, self.is_terminal)).collect::<Vec<_>>().join("\n");
        for (name, problem) in &self.problems {
            if let Some(problem) = problem.borrow().as_deref() {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{}: {}", clean(name), clean(problem));
            }
        }
        text
    }
}

/// One watch: a line for its verdict, one for each playlist, and what is wrong.
fn render(report: &Report, colours: bool) -> String {
    let paint = |code: &str, text: &str| {
        if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    };
    let verdict = &report.verdict;
    let colour = match verdict.state {
        VerdictState::Fresh => "32",
        VerdictState::Stale => "31",
        VerdictState::Ended => "36",
        VerdictState::Unknown => "33",
    };
    let mut text = format!(
        "{}  {}: {} ({}), {} of {} fresh\n",
        clean(&report.name),
        clean(&report.url),
        paint(colour, words(verdict.state)),
        verdict.reason.as_str(),
        report.fresh,
        report.total
    );
    let mut playlists: Vec<&PlaylistReport> = report.playlists.iter().collect();
    if playlists.len() > ROWS_MAX {
        playlists.sort_by_key(|one| (one.state == PlaylistState::Fresh, one.findings.is_empty()));
    }
    let _ = writeln!(
        text,
        "{}",
        paint(
            "2",
            &format!(
                "  {:<NAME_MAX$}  {:<14} {:>10} {:>7} {:>13}  FINDINGS",
                "PLAYLIST", "STATE", "NEWEST", "AGE", "MEAN/P90 S"
            )
        )
    );
    for one in playlists.iter().take(ROWS_MAX) {
        text.push_str(&row(one, &paint));
    }
    if playlists.len() > ROWS_MAX {
        let _ = writeln!(text, "  and {} more", playlists.len() - ROWS_MAX);
    }
    for finding in &report.findings {
        let _ = writeln!(text, "  {}: {}", paint("33", finding.kind.as_str()), clean(&finding.evidence));
    }
    for evidence in verdict.evidence.iter().filter(|_| verdict.state == VerdictState::Stale).take(3) {
        let _ = writeln!(text, "  {}", paint("2", &clean(evidence)));
    }
    text
}

fn row(one: &PlaylistReport, paint: &impl Fn(&str, &str) -> String) -> String {
    let (colour, state) = match one.state {
        PlaylistState::Fresh => ("32", "fresh"),
        PlaylistState::Stale => ("31", "stale"),
        PlaylistState::Ended => ("36", "ended"),
        PlaylistState::Unknown => ("33", "not known yet"),
    };
    let newest = one.newest_sequence.map_or_else(|| "-".to_owned(), |newest| newest.to_string());
    let intervals =
        one.statistics.map_or_else(|| "-".to_owned(), |of| format!("{:.1}/{:.1}", of.mean_seconds, of.p90_seconds));
    let findings: Vec<String> = one
        .findings
        .iter()
        .map(|finding| {
            let colour = if finding.effect == Effect::Stale { "31" } else { "33" };
            format!("{}: {}", paint(colour, finding.kind.as_str()), clean(&finding.evidence))
        })
        .collect();
    format!(
        "  {:<NAME_MAX$}  {} {newest:>10} {:>6.1}s {intervals:>13}  {}\n",
        name(one),
        paint(colour, &format!("{state:<14}")),
        one.age_ms as f64 / 1000.0,
        findings.join("; ")
    )
}

fn words(state: VerdictState) -> &'static str {
    match state {
        VerdictState::Fresh => "FRESH",
        VerdictState::Stale => "STALE",
        VerdictState::Ended => "ENDED",
        VerdictState::Unknown => "not known yet",
    }
}

/// What tells a playlist from others: the end of its path, and its label.
fn name(one: &PlaylistReport) -> String {
    let path = one.url.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.rsplitn(3, '/').collect();
    let short = match parts[..] {
        [file, folder, _] => format!("{folder}/{file}"),
        _ => path.to_owned(),
    };
    let whole = if one.label.is_empty() { short } else { format!("{short} {}", one.label) };
    clean(&whole).chars().take(NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use anabranch_cluster::watch::{Finding, FindingKind, Reason, Role, Statistics, Verdict};

    use super::*;

    #[test]
    fn a_table_says_it_in_words() {
        let playlist = |state, label: &str| PlaylistReport {
            url: "https://a/live/720/v.m3u8?Policy=REDACTED".to_owned(),
            role: Role::Variant,
            label: label.to_owned(),
            state,
            since_ms: 0,
            changed_ms: Some(0),
            age_ms: 12_300,
            limit_ms: 9000,
            media_sequence: Some(1),
            newest_sequence: Some(42),
            duration_seconds: Some(6.0),
            answer_ms: None,
            behind_ms: None,
            statistics: Some(Statistics {
                intervals: 9,
                p90_seconds: 6.1,
                mean_seconds: 6.0,
                median_seconds: 6.0,
                min_seconds: 5.9,
                max_seconds: 6.2,
            }),
            trouble: None,
            findings: vec![Finding {
                kind: FindingKind::Unreachable,
                effect: Effect::Warn,
                playlist: String::new(),
                since_ms: 0,
                evidence: "status 404\u{1b}[2J".to_owned(),
            }],
        };
        let verdict = Verdict {
            state: VerdictState::Stale,
            since_ms: 0,
            reason: Reason::ToleranceExceeded,
            evidence: vec!["why".to_owned()],
        };
        let report = Report {
            name: "origin".to_owned(),
            url: "https://a/index.m3u8".to_owned(),
            verdict,
            total: 40,
            fresh: 39,
            stale: 1,
            playlists: std::iter::repeat_n(playlist(PlaylistState::Fresh, ""), 39)
                .chain([playlist(PlaylistState::Stale, "1280x720 \u{7}")])
                .collect(),
            findings: Vec::new(),
            requests: 1,
            failures: 0,
        };
        let text = render(&report, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "origin  https://a/index.m3u8: STALE (tolerance exceeded), 39 of 40 fresh");
        assert!(lines[2].starts_with("  720/v.m3u8 1280x720 "), "{}", lines[2]);
        assert!(
            lines[2].contains(" stale ") && lines[2].contains(" 42 ") && lines[2].contains("6.0/6.1"),
            "{}",
            lines[2]
        );
        assert!(lines[2].ends_with("unreachable: status 404[2J"), "{:?}", lines[2]);
        assert_eq!(lines[2 + ROWS_MAX], "  and 10 more");
        assert_eq!(lines[3 + ROWS_MAX], "  why");
        assert!(render(&report, true).contains("\x1b[31mSTALE"));
    }
}
