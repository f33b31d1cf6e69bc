//! What the process says to whoever started it: answers on standard output, all else on standard error.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this file is where the process speaks")]

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result};

/// Prints one line for `error` and its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// Tells what is no answer, such as why nothing comes.
pub(crate) fn remark(text: &str) {
    eprintln!("{text}");
}

/// Puts a text in the place of the terminal's last line; it stays until the next.
pub(crate) fn transient(text: &str) {
    eprint!("\r\x1b[K{text}");
}

/// Tells the operator the token that was made at the first start; it is not stored in a readable form.
pub(crate) fn announce_first_token(token: &str) {
    println!("admin token (shown once, keep it): {token}");
}

/// Whether complaints and progress go to a terminal.
pub(crate) fn takes_remarks() -> bool {
    std::io::stderr().is_terminal()
}

/// Whether answers go to a terminal.
pub(crate) fn takes_answers() -> bool {
    std::io::stdout().is_terminal()
}

/// Prints a line as it is.
pub(crate) fn line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

/// Writes an answer. A reader that has seen enough, such as `head`, is no failure.
pub(crate) fn print(text: &str) -> Result<()> {
    write(text).map(|_| ())
}

/// Whether anybody still reads what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    There,
    Gone,
}

/// Writes a text at once, and says whether anybody still reads.
pub(crate) fn write(text: &str) -> Result<Reader> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error).context("cannot write the answer"),
    }
}

/// A text that stays on its line and steers no terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control()).collect()
}
