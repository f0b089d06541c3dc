//! Wherever prepared cases lie, a run comes to the same.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use data::Dataset;
use engine::{Event, Held, Observer, Outcome, RunConfig, Storage};
use preprocess::Fusion;

use crate::fixture::{Balls, config, train_stored};

/// Remembers where cases were kept.
#[derive(Default)]
struct Where(Option<Held>);

impl Observer for Where {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        if let Event::Held(held) = event {
            self.0 = Some((*held).clone());
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn train(
    folder: &Path,
    config: &RunConfig,
    dataset: &dyn Dataset,
    storage: Storage,
) -> (engine::Result<Outcome>, Held) {
    let mut place = Where::default();
    let outcome = train_stored(folder, config, dataset, storage, &mut [&mut place]);
    (outcome, place.0.unwrap_or_default())
}

/// The weights and the loss of each epoch, to the last bit.
fn came_to(outcome: &Outcome) -> Vec<u32> {
    let mut values = Vec::new();
    for tensor in outcome.trained.parameters.values() {
        let tensor = tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>());
        values.extend(tensor.expect("weights are f32").iter().map(|value| value.to_bits()));
    }
    values
}

#[test]
fn a_run_comes_to_the_same_from_memory_from_disk_and_from_both() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let balls = Balls::new(6, [12, 20, 20]);
    let config = config(3, 2);
    let at = |name: &str| folder.path().join(name);
    let (in_memory, all) = train(&at("memory"), &config, &balls, Storage::default());
    let in_memory = in_memory?;
    assert_eq!((all.in_memory, all.on_disk), (6, 0));
    assert!(!at("memory").join("prepared").exists());

    // Two cases of float images and labels of two bytes.
    let some = Some(2 * 6 * 12 * 20 * 20 + 5);
    for (name, memory, expected) in [("none", Some(0), (0, 6)), ("some", some, (2, 4))] {
        let storage = Storage { cache: None, memory };
        let (outcome, held) = train(&at(name), &config, &balls, storage);

        assert_eq!(came_to(&outcome?), came_to(&in_memory), "{name}");
        assert_eq!((held.in_memory, held.on_disk), expected);
        assert!(held.folder.is_some_and(|folder| folder.starts_with(at(name))));
        assert!(!at(name).join("prepared").exists(), "the run has ended");
    }
    Ok(())
}

#[test]
fn a_cache_serves_later_runs_and_says_where_it_is_damaged() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let balls = Balls::new(6, [12, 20, 20]);
    let config = config(3, 1);
    let at = |name: &str| folder.path().join(name);
    let storage = Storage { cache: Some(at("cache")), memory: Some(0) };
    let (first, held) = train(&at("first"), &config, &balls, storage.clone());
    let (first, cases) = (first?, held.folder.expect("a cache is in use"));
    let folder_of = |case: &str| {
        let entries = fs::read_dir(&cases).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let is_of_it = |path: &PathBuf| {
            path.file_name().is_some_and(|it| it.to_string_lossy().starts_with(&format!("{case}.")))
        };
        paths.into_iter().find(is_of_it).expect("it was written")
    };
    let written = |case: &str| fs::metadata(folder_of(case))?.modified();
    let before = written("ball_0")?;

    let (second, held) = train(&at("second"), &config, &balls, storage.clone());
    assert_eq!(came_to(&second?), came_to(&first));
    assert_eq!(held.folder.as_deref(), Some(&*cases));
    assert_eq!(written("ball_0")?, before, "it is not made twice");

    // Otherwise prepared, hence elsewhere.
    let mut other = config.clone();
    other.preprocess.patch_size = Some([8, 8, 8]);
    let (outcome, held) = train(&at("third"), &other, &balls, storage.clone());
    outcome?;
    assert_ne!(held.folder.as_deref(), Some(&*cases));

    let image = folder_of("ball_3").join("image/c/0/0/0/0");
    let mut bytes = fs::read(&image)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&image, bytes)?;
    for memory in [Some(0), None] {
        let storage = Storage { memory, ..storage.clone() };
        let name = format!("damaged {memory:?}");
        let error = train(&at(&name), &config, &balls, storage).0.expect_err("a flipped bit");
        let error = error.to_string();
        assert!(error.starts_with("case ball_3: ") || error.contains("ball_3."), "{error}");
        assert!(error.contains("remove"), "{error}");
    }
    Ok(())
}

#[test]
fn raters_are_drawn_anew_where_cases_do_not_fit_too() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let phantom = data::Phantom::new(data::PhantomConfig {
        size: [1, 32, 32],
        cases: 6,
        ..data::PhantomConfig::default()
    })?;
    let mut config = config(2, 2);
    config.labels.fusion = Fusion::RandomRater;
    let at = |name: &str| folder.path().join(name);
    let (in_memory, _) = train(&at("memory"), &config, &phantom, Storage::default());
    let storage = Storage { cache: None, memory: Some(0) };

    let (outcome, held) = train(&at("none"), &config, &phantom, storage);

    assert_eq!(came_to(&outcome?), came_to(&in_memory?));
    assert_eq!(held.on_disk, 6);
    assert_eq!(held.folder, None, "they are read from the data folder");
    Ok(())
}

#[test]
fn a_rater_who_is_drawn_once_is_drawn_by_the_seed_of_the_run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let phantom = data::Phantom::new(data::PhantomConfig {
        size: [1, 32, 32],
        cases: 6,
        ..data::PhantomConfig::default()
    })?;
    let mut config = config(2, 1);
    config.labels.fusion = Fusion::FixedRater;
    let storage = Storage { cache: Some(folder.path().join("cache")), memory: Some(0) };
    let mut folders = Vec::new();
    for seed in [1, 2] {
        config.seed = seed;
        let at = |name: &str| folder.path().join(format!("{name} {seed}"));
        let (fresh, _) = train(&at("fresh"), &config, &phantom, Storage::default());
        let (cached, held) = train(&at("cached"), &config, &phantom, storage.clone());

        assert_eq!(came_to(&cached?), came_to(&fresh?), "{seed}");
        folders.push(held.folder);
    }
    assert_ne!(folders[0], folders[1]);
    Ok(())
}
