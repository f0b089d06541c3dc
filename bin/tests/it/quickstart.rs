use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::program::command;

#[test]
fn the_quickstart_says_what_it_does_from_its_first_case_on() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut child = command(folder.path())
        .args(["quickstart", "--device", "cpu"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;

    let mut line = String::new();
    BufReader::new(child.stderr.take().expect("it is piped")).read_line(&mut line)?;
    child.kill()?;
    child.wait()?;

    assert_eq!(line, "phantom-3d writing cases of 4 raters: 24 to do\n");
    Ok(())
}
