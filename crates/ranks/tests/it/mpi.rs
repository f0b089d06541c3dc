use std::env;
use std::path::PathBuf;
use std::process::{Command, Output};

/// What three processes do, under the `mpirun` of Open MPI, which ends them after a minute.
fn mpirun(what: &str) -> Output {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--timeout", "60", "-n", "3"]);
    command.arg(program()).arg(what);
    command.output().expect("mpirun can be started: install Open MPI")
}

/// An example, as cargo builds it for tests: beside their folder.
fn program() -> PathBuf {
    let own = env::current_exe().expect("a test has a path");
    let profile = own.ancestors().nth(2).expect("a test lies in a folder of a profile");
    profile.join("examples").join("rank")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn processes_sum_and_tell_each_other() {
    let output = mpirun("work");

    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_process_that_fails_ends_the_others() {
    let output = mpirun("leave");

    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("rank 1 fails"), "{}", text(&output.stderr));
}

#[test]
fn a_process_that_panics_ends_the_others() {
    let output = mpirun("panic");

    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("rank 2 panics"), "{}", text(&output.stderr));
}

#[test]
fn a_process_that_dies_ends_the_others() {
    let output = mpirun("die");

    // mpirun says which signal it was: SIGABRT.
    assert_eq!(output.status.code(), Some(128 + 6), "{}", text(&output.stderr));
}

#[test]
fn a_process_ends_the_job_from_any_thread() {
    let output = mpirun("abort");

    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
}
