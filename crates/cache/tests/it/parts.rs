use preprocess::{PatchSampler, PatchSource as _, rng};
use sconce_cache::Cache;

use crate::damage::folder_of;
use crate::fixture::{SIZE, bare, case};

#[test]
fn any_part_is_that_of_the_case_in_memory() -> anyhow::Result<()> {
    for (is_soft, patch) in [(false, [8, 32, 32]), (true, [8, 32, 32]), (true, [1, 24, 24])] {
        let folder = tempfile::tempdir()?;
        let prepared = case(is_soft);
        assert!(prepared.outside.is_some() && prepared.locations.annotated.is_some());
        let cache = Cache::open(folder.path(), &"settings")?;
        let stored = cache.write("case", "1", "content", &prepared, patch)?;

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
    cache.write("case", "1", "content", &bare(), [4, 16, 16])?;

    let stored = cache.read("case", "1")?.expect("it was written");

    assert_eq!(stored.load()?, bare());
    let Ok(expected) = bare().part([1, 2, 3], [4; 3]);
    assert_eq!(stored.part([1, 2, 3], [4; 3])?, expected);
    Ok(())
}

#[test]
fn bytes_lie_in_the_order_that_takes_less_room() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = Cache::open(folder.path(), &"settings")?;
    let mut prepared = bare();
    // Values that differ little from the next ones, and values of which there are few.
    let smooth = |((c, z, y, x), _): ((usize, usize, usize, usize), &f32)| {
        (c as f32 + z as f32 * 1.7 + y as f32 * 0.031 + x as f32 * 0.0107).sin() + 3.0
    };
    let few = |((_, z, y, x), _): ((usize, usize, usize, usize), &f32)| {
        ((z * 7919 + y * 131 + x * 17) % 5) as f32 * 0.123_456_7
    };
    for (name, is_smooth) in [("smooth", true), ("few", false)] {
        let values: Vec<f32> = if is_smooth {
            prepared.image.indexed_iter().map(smooth).collect()
        } else {
            prepared.image.indexed_iter().map(few).collect()
        };
        prepared.image = ndarray::Array::from_shape_vec(prepared.image.raw_dim(), values)?;
        let stored = cache.write(name, "1", "content", &prepared, [4, 16, 16])?;

        assert_eq!(stored.load()?, prepared, "{name}");
        let Ok(expected) = prepared.part([1, -3, 20], [4, 16, 16]);
        assert_eq!(stored.part([1, -3, 20], [4, 16, 16])?, expected, "{name}");
        let described = folder_of(&cache, name).join("image/zarr.json");
        let described = std::fs::read_to_string(described)?;
        assert_eq!(described.contains("numcodecs.shuffle"), is_smooth, "{name}");
    }
    Ok(())
}
