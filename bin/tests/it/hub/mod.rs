//! Models of the hub, as the command line names them.

/// Without a hub: from the cache, or not at all.
#[cfg(feature = "hub")]
mod offline;
/// There and back: a hub of the tests' own.
#[cfg(feature = "hub")]
mod publishing;

const LINE: &str = "predict -m hub:owner/model -i data/case01/image.nii.gz -o out --device cpu";

#[cfg(not(feature = "hub"))]
#[test]
fn a_program_without_the_hub_says_how_to_get_one_with_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;

    for line in [LINE, "zoo search x", "zoo pull hub:a/b", "zoo push x hub:a/b", "zoo rm hub:a/b"] {
        let ran = crate::program::sconce(folder.path(), line.split(' '))?;

        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.error().contains("--features hub"), "{ran:?}");
    }
    Ok(())
}
