use std::fs;
use std::thread;

use sconce_cache::Cache;

use crate::fixture::case;

const PATCH: [usize; 3] = [8, 32, 32];

#[test]
fn a_writer_that_was_killed_leaves_no_case_and_its_remains_go() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = Cache::open(folder.path(), &"settings")?;
    cache.write("whole", "1", "content", &case(false), PATCH)?;
    // At any moment before the end, all that there is lies under another name.
    let remains = cache.root().join(".case.77.partial");
    fs::create_dir_all(remains.join("image"))?;
    fs::write(remains.join("image/zarr.json"), "{")?;

    assert!(cache.read("case", "1")?.is_none());
    let second = Cache::open(folder.path(), &"settings")?;
    assert!(remains.exists(), "the first still works there, for all the second knows");
    drop((cache, second));
    let cache = Cache::open(folder.path(), &"settings")?;

    assert!(!remains.exists());
    assert!(cache.read("case", "1")?.is_none());
    assert!(cache.read("whole", "1")?.is_some());
    Ok(())
}

#[test]
fn what_was_made_otherwise_or_from_other_files_is_not_taken() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = Cache::open(folder.path(), &"settings")?;
    let first = case(false);
    cache.write("case", "1", "content", &first, PATCH)?;

    assert!(cache.read("case", "2")?.is_none());
    assert!(Cache::open(folder.path(), &"other settings")?.read("case", "1")?.is_none());

    let second = case(true);
    let stored = cache.write("case", "2", "content", &second, PATCH)?;
    assert_eq!(stored.load()?, second);
    // Whoever still reads the first is not disturbed.
    assert_eq!(cache.read("case", "1")?.expect("it is kept").load()?, first);
    Ok(())
}

#[test]
fn writers_at_the_same_time_agree() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let prepared = case(false);
    let write = || -> anyhow::Result<()> {
        let cache = Cache::open(folder.path(), &"settings")?;
        for name in ["a", "b", "c"] {
            let stored = cache.write(name, "1", "content", &prepared, PATCH)?;
            assert_eq!(stored.load()?, prepared);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let others: Vec<_> = (0..3).map(|_| scope.spawn(write)).collect();
        others.into_iter().try_for_each(|other| other.join().expect("no panic"))
    })
}
