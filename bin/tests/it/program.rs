use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The run file of the transcripts.
pub(crate) const RUN: &str = include_str!("cmd/walkthrough.in/run.toml");

/// The program, to be started in a folder, knowing nothing of who runs the tests.
pub(crate) fn command(folder: &Path) -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_sconce")), folder)
}

/// The same for another program that starts ours.
pub(crate) fn clean(mut command: Command, folder: &Path) -> Command {
    for name in ["SCONCE_BACKEND", "SCONCE_ISA", "SCONCE_METHOD"] {
        command.env_remove(name);
    }
    for name in ["RAYON_NUM_THREADS", "RUST_BACKTRACE", "RUST_LIB_BACKTRACE"] {
        command.env_remove(name);
    }
    for name in
        ["HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]
    {
        command.env_remove(name);
    }
    for name in ["URI", "TOKEN", "USERNAME", "PASSWORD"] {
        command.env_remove(format!("MLFLOW_TRACKING_{name}"));
    }
    command.env_remove("MLFLOW_EXPERIMENT_NAME");
    // Whatever a test does, it stays off the network.
    command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", folder.join("hf")).current_dir(folder);
    command
}

/// What came of running the program.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The line that says what went wrong: there must be one, and one alone.
    pub(crate) fn error(&self) -> &str {
        let mut lines = self.err.lines().filter(|line| line.starts_with("error: "));
        let line = lines.next().unwrap_or_else(|| panic!("no error: {self:?}"));
        assert_eq!(lines.next(), None, "{self:?}");
        assert_eq!(self.err.lines().last(), Some(line), "something follows the error: {self:?}");
        line
    }
}

/// Runs the program in a folder.
pub(crate) fn sconce<A: AsRef<OsStr>>(
    folder: &Path,
    arguments: impl IntoIterator<Item = A>,
) -> anyhow::Result<Ran> {
    Ok(Ran::of(&command(folder).args(arguments).output()?))
}

/// The same for a line without quotes that must succeed; what it printed.
pub(crate) fn good(folder: &Path, line: &str) -> anyhow::Result<String> {
    let ran = sconce(folder, line.split_whitespace())?;
    assert_eq!(ran.code, Some(0), "{line}: {ran:?}");
    Ok(ran.out)
}

/// The same, with the result as a program reads it.
pub(crate) fn json(folder: &Path, line: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&good(folder, &format!("{line} --format json"))?)?)
}

/// A folder with the run file `run.toml` and the slices `data`.
pub(crate) fn workplace() -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("run.toml"), RUN)?;
    good(folder.path(), "dataset phantom data --cases 6 --raters 2 --rank 2")?;
    Ok(folder)
}

/// The same with a trained network, `run`.
pub(crate) fn trained() -> anyhow::Result<tempfile::TempDir> {
    let folder = workplace()?;
    good(folder.path(), "train run.toml --data data --output run --device cpu")?;
    Ok(folder)
}

/// All files below a folder, sorted.
pub(crate) fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// The files below a folder, with what they hold.
pub(crate) fn contents(folder: &Path) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    files(folder)?.into_iter().map(|path| Ok((path.clone(), fs::read(path)?))).collect()
}

/// That nothing below a folder is half-written.
pub(crate) fn assert_no_partial(folder: &Path) -> anyhow::Result<()> {
    let left: Vec<_> = files(folder)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

/// What comes of running the program with a disk of its own at the folder `place`, of so many KiB, where this user may have
/// one; else with files of at most `blocks` of 512 bytes. `first` is run before it, and what it leaves in `place` is copied to
/// `kept`.
pub(crate) fn on_a_small_disk(
    folder: &Path,
    place: &str,
    (kib, blocks): (usize, usize),
    first: &str,
    line: &str,
) -> anyhow::Result<Ran> {
    fs::create_dir(folder.join(place))?;
    let then = format!("{first} && \"$0\" \"$@\"; code=$?; cp -r {place} kept; exit $code");
    let may = Command::new("unshare").args(["--map-root-user", "--mount", "true"]).status();
    let mut shell = if may.is_ok_and(|status| status.success()) {
        let mut shell = Command::new("unshare");
        let own = format!("mount -t tmpfs -o size={kib}k tmpfs {place} && {then}");
        shell.args(["--map-root-user", "--mount", "sh", "-c", &own]);
        shell
    } else {
        let mut shell = Command::new("sh");
        // `first` may write what it likes.
        let limited =
            then.replacen("&& ", &format!("&& trap '' XFSZ && ulimit -f {blocks} && "), 1);
        shell.args(["-c", &limited]);
        shell
    };
    shell.arg(env!("CARGO_BIN_EXE_sconce")).args(line.split_whitespace());
    Ok(Ran::of(&clean(shell, folder).output()?))
}
