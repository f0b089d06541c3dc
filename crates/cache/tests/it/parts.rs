use preprocess::{PatchSampler, PatchSource as _, rng};
use sconce_cache::Cache;

use crate::fixture::{SIZE, bare, case};

#[test]
fn any_part_is_that_of_the_case_in_memory() -> anyhow::Result<()> {
    for (is_soft, patch) in [(false, [8, 32, 32]), (true, [8, 32, 32]), (true, [1, 24, 24])] {
        let folder = tempfile::tempdir()?;
        let prepared = case(is_soft);
        assert!(prepared.outside.is_some() && prepared.locations.annotated.is_some());
        let cache = Cache::open(folder.path(), &"settings")?;
        let stored = cache.write("case", "1", &prepared, patch)?;

        assert_eq!(stored.size(), prepared.size());
        assert_eq!(stored.locations(), prepared.locations());
        assert_eq!(stored.bytes(), prepared.bytes());
        assert_eq!(stored.load()?, prepared);
        let [d, h, w] = SIZE.map(usize::cast_signed);
        for corner in [[0, 0, 0], [3, 11, 17], [-2, -40, -9], [d - 1, h - 1, w - 1], [d, 0, 0]] {
            for size in [[1, 1, 1], patch, [20, 90, 90]] {
                let Ok(expected) = prepared.part(corner, size);
                assert_eq!(stored.part(corner, size)?, expected, "{corner:?} {size:?}");
            }
        }
        let sampler = PatchSampler::new(patch);
        for seed in 0..20 {
            let expected = sampler.place(&prepared, seed % 2 == 0, &mut rng(seed, 0, ""));
            assert_eq!(sampler.place(&stored, seed % 2 == 0, &mut rng(seed, 0, "")), expected);
        }
    }
    Ok(())
}

#[test]
fn a_case_may_be_an_image_alone_and_empty() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = Cache::open(folder.path(), &"settings")?;
    cache.write("case", "1", &bare(), [4, 16, 16])?;

    let stored = cache.read("case", "1")?.expect("it was written");

    assert_eq!(stored.load()?, bare());
    let Ok(expected) = bare().part([1, 2, 3], [4; 3]);
    assert_eq!(stored.part([1, 2, 3], [4; 3])?, expected);
    Ok(())
}
