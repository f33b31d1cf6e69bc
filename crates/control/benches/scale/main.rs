//! The control plane with 1,000 channels and 10,000 breakouts: what common reads, a round, and one change cost.
//!
//! `cargo bench -p anabranch-control --bench scale -- [postgres] [channels=N] [keep=DIRECTORY]`. The rows are made by the product
//! itself, over its API and with a data plane that only says yes, which takes minutes; with `keep` they are kept for the next
//! run. `postgres` takes the server of `ANABRANCH_TEST_POSTGRES` instead of a file. Prints a table.

#![expect(clippy::print_stdout, reason = "a bench prints")]

mod load;
mod measure;
mod plane;

use std::path::PathBuf;
use std::process::Command;

use anabranch_testkit::Database;

use plane::Place;

/// Word before the place and the number of channels in the arguments of the process that makes the rows.
const LOAD: &str = "load";

struct Options {
    channels: usize,
    postgres: bool,
    keep: Option<PathBuf>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let [word, place, channels] = arguments.as_slice()
        && word == LOAD
    {
        let channels = channels.parse().expect("a number of channels");
        runtime.block_on(load::load(&Place::parse(place), channels));
        return;
    }
    let options = options(&arguments);
    let memory = PathBuf::from("/dev/shm");
    let memory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let scratch = tempfile::tempdir_in(memory).expect("a scratch directory");
    let server = options.postgres.then(|| Database::create().expect("a server in ANABRANCH_TEST_POSTGRES"));
    let place = match (&server, &options.keep) {
        (Some(server), _) => Place::Server(server.url()),
        (None, keep) => Place::File(keep.as_deref().unwrap_or(scratch.path()).join("scale.sqlite")),
    };
    // A process of its own makes the rows, so that this one's memory is what serving them takes.
    if !place.is_there() {
        let own = std::env::current_exe().expect("this program");
        let channels = options.channels.to_string();
        let made = Command::new(own).args([LOAD, &place.to_string(), &channels]).status();
        assert!(made.expect("the program runs").success(), "the rows could not be made");
    }
    let place = match place {
        Place::File(kept) if options.keep.is_some() => {
            let copy = scratch.path().join("copy.sqlite");
            std::fs::copy(kept, &copy).expect("room for a copy");
            Place::File(copy)
        }
        place => place,
    };
    runtime.block_on(measure::measure(&place, options.channels));
}

fn options(arguments: &[String]) -> Options {
    let mut options = Options { channels: 1000, postgres: false, keep: None };
    for word in arguments {
        match word.split_once('=') {
            Some(("channels", number)) => options.channels = number.parse().expect("channels=N"),
            Some(("keep", directory)) => options.keep = Some(directory.into()),
            None if word == "postgres" => options.postgres = true,
            _ => panic!("postgres, channels=N or keep=DIRECTORY: {word:?}"),
        }
    }
    options
}
