//! What to type to start this program again.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The start of a command line that works as it stands: the program's name where the shell finds
/// it, else its path, as after `cargo run`.
pub(crate) fn invocation() -> String {
    let program = env::current_exe().and_then(|program| program.canonicalize());
    let folder = env::current_dir().and_then(|folder| folder.canonicalize());
    match (program, folder) {
        (Ok(program), Ok(folder)) => of(&program, &folder, env::var_os("PATH").as_deref()),
        _ => NAME.to_owned(),
    }
}

const NAME: &str = "sconce";

fn of(program: &Path, folder: &Path, search: Option<&OsStr>) -> String {
    let file = program.file_name().unwrap_or_default();
    let places: Vec<PathBuf> = search.map(|it| env::split_paths(it).collect()).unwrap_or_default();
    // The first that the shell finds may be another version.
    let first = places.iter().map(|place| place.join(file)).find(|found| found.is_file());
    if first.and_then(|found| found.canonicalize().ok()).is_some_and(|found| found == program) {
        return quoted(Path::new(program.file_stem().unwrap_or_default()));
    }
    match program.strip_prefix(folder) {
        // Without a folder, it would be searched for.
        Ok(below) if below.components().count() == 1 => quoted(&Path::new(".").join(below)),
        Ok(below) => quoted(below),
        Err(_) => quoted(program),
    }
}

/// A path as one word of a command line.
pub(crate) fn quoted(path: &Path) -> String {
    one_word(&path.display().to_string())
}

/// A text as one word of a command line.
pub(crate) fn one_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/\\._-:+@,=%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else if text.contains(['"', '$', '`', '!']) {
        // What a shell would still look into between double quotes.
        format!("'{}'", text.replace('\'', r"'\''"))
    } else {
        format!("\"{text}\"")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_name_alone_is_enough_where_the_shell_finds_this_very_program() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let root = root.path().canonicalize()?;
        let program = root.join("target/release/sconce");
        for folder in ["target/release", "bin", "elsewhere"] {
            fs::create_dir_all(root.join(folder))?;
        }
        fs::write(&program, "")?;
        let on = |names: &[&str], folder: &str| -> anyhow::Result<String> {
            let search = env::join_paths(names.iter().map(|name| root.join(name)))?;
            Ok(of(&program, &root.join(folder), Some(&search)))
        };

        assert_eq!(on(&["bin", "target/release"], "")?, "sconce");
        assert_eq!(on(&["bin"], "")?, "target/release/sconce");
        assert_eq!(on(&["bin"], "target/release")?, "./sconce");
        assert_eq!(on(&["bin"], "elsewhere")?, program.display().to_string());
        assert_eq!(of(&program, &root, None), "target/release/sconce");
        // Another program of that name comes first.
        fs::write(root.join("bin/sconce"), "")?;
        assert_eq!(on(&["bin", "target/release"], "")?, "target/release/sconce");
        Ok(())
    }

    #[test]
    fn paths_stay_one_word() {
        assert_eq!(quoted(Path::new("a/b-1.0")), "a/b-1.0");
        assert_eq!(quoted(Path::new("my data/a")), "\"my data/a\"");
        assert_eq!(one_word("it's"), "\"it's\"");
        assert_eq!(one_word("it's $HOME"), r"'it'\''s $HOME'");
    }
}
