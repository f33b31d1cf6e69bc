//! Following the log by its event stream (WHATWG HTML, section "Server-sent events").

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use super::client::{Client, Refused};
use super::connection::Connection;
use super::output;
use crate::terminal;

/// Pause before a stream that ended is opened again.
const AGAIN: Duration = Duration::from_secs(2);

/// Bytes of one event at most.
const EVENT_MAX_BYTES: usize = 1 << 20;

/// An event as it came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: String,
}

/// Turns bytes into events and keeps the last id, whole lines at a time.
#[derive(Debug, Default)]
pub(super) struct Parser {
    rest: Vec<u8>,
    event: Event,
    last_id: Option<u64>,
}

impl Parser {
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            events.extend(self.line(line.trim_end_matches(['\r', '\n'])));
        }
        if self.rest.len() + self.event.data.len() > EVENT_MAX_BYTES {
            bail!("the event stream holds an event of more than {EVENT_MAX_BYTES} bytes");
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (!event.data.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.last_id = value.parse().ok().or(self.last_id),
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments, and pauses that this reader chooses itself.
            _ => {}
        }
        None
    }
}

/// Prints entries behind `after` as they come, until it is interrupted or refused, or nobody reads them. A stream that ends is opened again where it was.
pub(super) async fn log(connection: &Connection, client: &Client, path: &str, after: u64) -> Result<()> {
    let mut seen = after;
    let mut complained = false;
    loop {
        match once(connection, client, path, &mut seen).await {
            Err(error) if error.is::<Refused>() => return Err(error),
            Err(error) if !complained => {
                terminal::remark(&format!("{error:#}; trying again"));
                complained = true;
            }
            Err(_) => {}
            Ok(terminal::Reader::Gone) => return Ok(()),
            Ok(terminal::Reader::There) => complained = false,
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn once(connection: &Connection, client: &Client, path: &str, seen: &mut u64) -> Result<terminal::Reader> {
    let mut response = client.stream(path, Some(*seen)).await?;
    let mut parser = Parser::default();
    while let Some(chunk) = response.chunk().await? {
        for event in parser.feed(&chunk)? {
            match serde_json::from_str::<Value>(&event.data) {
                Ok(_) if event.name == "gap" => terminal::remark("entries in between are no longer kept"),
                Ok(entry) if output::entry(connection, &entry)? == terminal::Reader::Gone => {
                    return Ok(terminal::Reader::Gone);
                }
                Ok(_) => {}
                Err(_) => bail!("the event stream holds what is no JSON"),
            }
        }
        *seen = parser.last_id.unwrap_or(*seen);
    }
    Ok(terminal::Reader::There)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_however_they_were_cut() {
        let text = "retry: 2000\n\nid: 5\nevent: a.b\ndata: {\"x\":1}\n\n: beat\nid: 9\n\r\ndata:one\ndata: two\n\n";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                events.extend(parser.feed(chunk).unwrap());
            }
            assert_eq!(events.len(), 2, "{size}");
            assert_eq!((events[0].name.as_str(), events[0].data.as_str()), ("a.b", "{\"x\":1}"));
            assert_eq!(events[1].data, "one\ntwo");
            assert_eq!(parser.last_id, Some(9));
        }
        assert!(Parser::default().feed(&vec![b'x'; EVENT_MAX_BYTES + 1]).is_err());
    }
}
