//! What commands return, and how it is printed.

use std::fmt;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

// Doc comments here would spread the help of `--format` over seven lines of every command.
/// How to print the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    // For people.
    #[default]
    Text,
    // For programs.
    Json,
}

/// What a command has to say.
#[derive(Debug)]
pub(crate) struct Output {
    text: String,
    json: serde_json::Result<String>,
    failed: bool,
}

impl Output {
    /// Of a report that can be printed both ways.
    pub(crate) fn of(report: &(impl fmt::Display + Serialize)) -> Self {
        Self { text: report.to_string(), json: serde_json::to_string_pretty(report), failed: false }
    }

    /// Of a process that leaves speaking to another.
    pub(crate) fn nothing() -> Self {
        Self { text: String::new(), json: Ok(String::new()), failed: false }
    }

    /// The same, with exit code 1 where `failed`: the report itself is the bad news.
    pub(crate) fn failing_if(self, failed: bool) -> Self {
        Self { failed, ..self }
    }

    pub(crate) fn text(&self, format: Format) -> anyhow::Result<String> {
        match (format, &self.json) {
            (Format::Text, _) => Ok(self.text.trim_end().to_owned()),
            (Format::Json, Ok(json)) => Ok(json.clone()),
            (Format::Json, Err(error)) => anyhow::bail!("the result has no JSON form: {error}"),
        }
    }

    pub(crate) fn code(&self) -> ExitCode {
        if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// A command line that clap accepts and that is wrong all the same.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// 2 where the command line is wrong, else 1.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// The same, as a number.
pub(crate) fn exit_number(error: &anyhow::Error) -> i32 {
    if error.is::<Usage>() { 2 } else { 1 }
}

/// An error and its causes on one line, a cause that repeats its effect left out, with what to do
/// about it where the error itself does not say.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    let mut remedy = None;
    for cause in error.chain() {
        remedy = remedy.or(cause.downcast_ref().and_then(what_helps));
        let text = cause.to_string();
        // The last line of an error of several is its message.
        let said = text.lines().last().is_some_and(|last| line.contains(&flat(last)));
        let text = flat(&text);
        if said || line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    match remedy {
        Some(remedy) if !line.contains("; ") => format!("{line}; {remedy}"),
        _ => line,
    }
}

/// Text on one line, without the backtrace that candle's errors end with where the environment asks
/// for it, and without the numbers of the operating system's errors.
pub(crate) fn flat(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.trim_start().starts_with("0: "));
    let words = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    let mut parts = words.split(" (os error ");
    let mut flat = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.parse::<u32>().is_ok() => flat.push_str(rest),
            _ => flat.extend([" (os error ", part]),
        }
    }
    flat
}

fn what_helps(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::NotFound => Some("check the path"),
        ErrorKind::PermissionDenied => Some("check its permissions"),
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::AlreadyExists => {
            Some("check whether the path should name a file or a folder")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Some("make room, or write elsewhere")
        }
        ErrorKind::ReadOnlyFilesystem => Some("write elsewhere"),
        _ => None,
    }
}

/// A complaint of clap on one line: what is wrong, what could be meant, and how to call it.
pub(crate) fn usage_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut paragraphs: Vec<String> = text.split("\n\n").map(flat).collect();
    paragraphs.retain(|paragraph| !paragraph.is_empty() && !paragraph.starts_with("For more"));
    if paragraphs.len() == 1 {
        paragraphs.push("see --help".to_owned());
    }
    paragraphs.join("; ").replace("; Usage: ", "; usage: ")
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn errors_are_one_line_without_repetition() {
        let error = anyhow!("no such file\n  or folder").context("cannot open a.nii");

        assert_eq!(one_line(&error), "cannot open a.nii: no such file or folder");
        let repeated = anyhow!("line 1\n  |\nwrong key").context("line 1: wrong key");
        assert_eq!(one_line(&repeated), "line 1: wrong key");
        let traced = anyhow!("shapes differ\n   0: candle::Error::bt\n   1: main");
        assert_eq!(one_line(&traced), "shapes differ");
        let repeated: anyhow::Result<()> = Err(anyhow!("a is 3")).context("wrong: a is 3");
        assert_eq!(one_line(&repeated.unwrap_err()), "wrong: a is 3");
    }

    #[test]
    fn errors_of_the_system_say_what_helps() {
        let full = || anyhow::Error::from(io::Error::from_raw_os_error(28));

        assert_eq!(
            one_line(&full().context("cannot access a.nii")),
            "cannot access a.nii: No space left on device; make room, or write elsewhere"
        );
        let inside = anyhow!("cannot read a: gone (os error 2); check the path");
        assert_eq!(one_line(&inside), "cannot read a: gone; check the path");
        let helped = full().context("cannot write a.nii: disk full; delete something");
        assert!(!one_line(&helped).contains("make room"));
    }
}
