//! A cluster on a terminal, redrawn as it changes; elsewhere a line of JSON each time.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::table::rows;
use crate::cli::address::path;
use crate::cli::client::{Client, Refused};
use crate::cli::connection::One;
use crate::cli::follow::Parser;
use crate::cli::output;
use crate::terminal;

/// Pause before a stream that ended is opened again.
const AGAIN: Duration = Duration::from_secs(2);

/// Shows a cluster until it is gone, nobody reads, or it is refused.
pub(super) async fn watch(one: &One) -> Result<()> {
    let client = Client::new(&one.connection)?;
    let address = path(&["clusters", &one.id, "stream"]);
    let (mut screen, mut complained) = (Screen { lines: 0, is_table: !output::is_json(&one.connection) }, false);
    loop {
        match once(&client, &address, &mut screen).await {
            Ok(true) => return Ok(()),
            Ok(false) => complained = false,
            Err(error) if error.is::<Refused>() => return Err(error),
            Err(error) if !complained => {
                terminal::remark(&format!("{error:#}; trying again"));
                (complained, screen.lines) = (true, 0);
            }
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether it is over.
async fn once(client: &Client, address: &str, screen: &mut Screen) -> Result<bool> {
    let mut response = client.stream(address, None).await?;
    let mut parser = Parser::default();
    while let Some(chunk) = response.chunk().await? {
        for event in parser.feed(&chunk)? {
            if event.name == "gone" {
                terminal::remark("the cluster was deleted");
                return Ok(true);
            }
            let Ok(cluster) = serde_json::from_str::<Value>(&event.data) else {
                bail!("the event stream holds what is no JSON");
            };
            if screen.draw(&cluster)? == terminal::Reader::Gone {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

struct Screen {
    /// Lines that the last drawing took.
    lines: usize,
    is_table: bool,
}

impl Screen {
    fn draw(&mut self, cluster: &Value) -> Result<terminal::Reader> {
        if !self.is_table {
            return terminal::write(&format!("{cluster}\n"));
        }
        let text = render(cluster)?;
        if !terminal::takes_answers() {
            return terminal::write(&text);
        }
        let up = if self.lines > 0 { format!("\x1b[{}A", self.lines) } else { String::new() };
        self.lines = text.lines().count();
        // Long lines are cut by the terminal, not wrapped: a wrapped line would take two.
        terminal::write(&format!("\x1b[?7l{up}\x1b[J{text}\x1b[?7h"))
    }
}

fn render(cluster: &Value) -> Result<String> {
    let word = |value: &Value| terminal::clean(value.as_str().unwrap_or_default());
    let decides = if cluster["decides"] == true { "decides" } else { "another server decides" };
    let mut text = format!("{}  {}, {decides}\n", word(&cluster["name"]), word(&cluster["automat"]["mode"]));
    text.push_str(&output::table(&json!({ "items": rows(&json!([cluster])) }), output::CLUSTER)?);
    for region in cluster["regions"].as_array().into_iter().flatten() {
        for (what, value) in [("", &region["verdict_reason"]), ("differs: ", &region["peer"]["differs"])] {
            if let Some(words) = value.as_str() {
                // Writing to a text does not fail.
                let _ = writeln!(text, "{}: {what}{}", word(&region["name"]), terminal::clean(words));
            }
        }
    }
    for one in cluster["alignment"].as_array().into_iter().flatten() {
        if let Some(problem) = one["problem"].as_str() {
            let _ =
                writeln!(text, "{} in {}: {}", word(&one["stream"]), word(&one["region"]), terminal::clean(problem));
        }
    }
    for watcher in cluster["silent_watchers"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "silent: {}", word(watcher));
    }
    if let Some(warning) = cluster["warning"].as_str() {
        let _ = writeln!(text, "{}", terminal::clean(warning));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_in_words() {
        let cluster = json!({
            "name": "show", "automat": { "mode": "automatic" }, "decides": true, "warning": "look\u{7} out",
            "silent_watchers": ["w2"], "alignment": [{ "stream": "b", "region": "eu", "problem": "far apart" }],
            "regions": [
                { "name": "eu", "opening": "open", "verdict": "fresh", "age_ms": 1200, "latency_ms": 7, "peer": null },
                { "name": "us", "opening": "closed", "verdict": "stale", "verdict_reason": "frozen",
                  "peer": { "differs": "urls of a region" } },
            ],
        });
        let text = render(&cluster).unwrap();
        for words in [
            "show  automatic, decides",
            "LATENCY MS",
            "us: frozen",
            "us: differs: urls of a region",
            "b in eu: far apart",
            "silent: w2",
            "1200",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!text.contains('\u{7}'), "control characters are no part of it");
    }
}
