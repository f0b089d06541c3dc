use std::path::Path;

/// Manual and test at once; `TRYCMD=overwrite` rewrites the answers, to be read before they are
/// committed.
#[test]
fn transcripts_say_what_happens() {
    trycmd::TestCases::new()
        .register_bin("sconce", Path::new(env!("CARGO_BIN_EXE_sconce")))
        .case("tests/it/cmd/*.md");
}
