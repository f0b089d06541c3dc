//! What commands return, and how it is printed.

use std::fmt;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

/// How to print the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
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

/// An error and its causes on one line, a cause that repeats its effect left out.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn errors_are_one_line_without_repetition() {
        let error = anyhow!("no such file\n  or folder").context("cannot open a.nii");

        assert_eq!(one_line(&error), "cannot open a.nii: no such file or folder");
        let repeated: anyhow::Result<()> = Err(anyhow!("a is 3")).context("wrong: a is 3");
        assert_eq!(one_line(&repeated.unwrap_err()), "wrong: a is 3");
    }
}
