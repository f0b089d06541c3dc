//! The command that was run, as results say it: files and folders by their names alone, for where they lie on whose
//! machine is nobody's business.

use std::env;
use std::path::{MAIN_SEPARATOR, Path};

use crate::invocation::one_word;

/// The command of this process.
pub(crate) fn command_line() -> String {
    let arguments = env::args_os().skip(1).map(|it| it.to_string_lossy().into_owned());
    written(arguments)
}

fn written(mut arguments: impl Iterator<Item = String>) -> String {
    let mut command = "sconce".to_owned();
    while let Some(argument) = arguments.next() {
        // A shard of a command does a part of what that command does.
        if argument == "--shard" {
            _ = arguments.next();
            continue;
        }
        if argument.starts_with("--shard=") {
            continue;
        }
        if argument.contains("://") {
            // Of a server, not even its name.
            if let Some((key, _)) = argument.split_once('=') {
                command.push(' ');
                command.push_str(key);
            }
            continue;
        }
        command.push(' ');
        command.push_str(&one_word(&without_places(&argument)));
    }
    command
}

/// An argument whose paths are cut down to their names: the whole of it, what follows `=`, or what quotes enclose there.
fn without_places(argument: &str) -> String {
    let Some((key, value)) = argument.split_once('=') else { return name(argument).to_owned() };
    if !value.starts_with(['[', '{', '"', '\'']) {
        return format!("{}={}", name(key), name(value));
    }
    let mut short = format!("{key}=");
    for part in value.split_inclusive(['"', '\'']) {
        let (text, quote) = part.split_at(part.trim_end_matches(['"', '\'']).len());
        short.push_str(name(text));
        short.push_str(quote);
    }
    short
}

/// The last part of a path; anything else as it is, such as `hub:owner/name`.
fn name(text: &str) -> &str {
    if text.starts_with("hub:") || !text.contains(['/', MAIN_SEPARATOR]) {
        return text;
    }
    Path::new(text).file_name().and_then(|name| name.to_str()).unwrap_or(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_tells_names_but_no_places() {
        let command = [
            "train",
            "/home/somebody/runs of mine/run.toml",
            "--data=../Task04 (new)/",
            "--init",
            "hub:owner/name",
            "--set",
            "supervision.cache=/home/somebody/cache",
            "--set",
            r#"supervision.teachers=["/home/somebody/a", "b"]"#,
            "it's",
            "--shard",
            "1/4",
            "--mlflow",
            "http://user@machine:5000/path",
            "--mlflow=https://machine",
            "--shard=2/4",
            "..",
        ];
        assert_eq!(
            written(command.iter().map(|&it| it.to_owned())),
            r#"sconce train run.toml "--data=Task04 (new)" --init hub:owner/name --set supervision.cache=cache --set 'supervision.teachers=["a", "b"]' "it's" --mlflow --mlflow .."#
        );
    }
}
