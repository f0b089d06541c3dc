//! Supervision of one's own.

use engine::checkpoint::CheckpointState;
use engine::{
    Batch, Observer, Origins, Progress, RunFolder, Supervision, Term, train_with, weights,
};
use losses::CrossEntropy;
use models::{HeadId, Logits};
use tempfile::tempdir;

use crate::fixture::{self, Balls, config, run_from};

/// Holds the labels against a coarser head, and against the main one where that is asked for.
#[derive(Debug)]
struct Deep {
    loss: CrossEntropy,
    main: bool,
}

impl Supervision for Deep {
    fn terms(&self, batch: &Batch, _: &Logits, _: Progress) -> engine::Result<Vec<Term<'_>>> {
        let loss = || Box::new(&self.loss);
        let halved: Vec<usize> = batch.images.dims()[2..].iter().map(|extent| extent / 2).collect();
        let target = batch.target.at_resolution(&halved)?;
        let mut terms = vec![Term {
            weight: 0.5,
            head: HeadId::Deep(1),
            loss: loss(),
            target,
            temperature: 1.0,
        }];
        if self.main {
            let target = batch.target.clone();
            terms.push(Term {
                weight: 0.5,
                head: HeadId::Main,
                loss: loss(),
                target,
                temperature: 1.0,
            });
        }
        Ok(terms)
    }
}

#[test]
fn heads_that_a_network_has_in_training_alone_have_no_part_in_its_validation() -> anyhow::Result<()>
{
    let mut config = config(3, 2);
    config.model = toml::from_str("[unet]\nfeatures_per_stage = [4, 4, 8]")?;
    let (balls, device) = (Balls::new(6, [8, 18, 20]), fixture::device());
    for main in [true, false] {
        let folder = tempdir()?;
        let folder = RunFolder::create(folder.path(), false)?;
        let (config, dataset) = (&config, &balls);
        let run = run_from(config, dataset, &folder, &device, Origins::default());
        let supervision = Deep { loss: CrossEntropy::default(), main };
        let none: &mut [&mut dyn Observer] = &mut [];

        let outcome = train_with(&run, &supervision, none)?;

        for epoch in &outcome.history {
            assert!(epoch.train_loss.is_finite());
            assert_eq!(epoch.validation_loss.is_finite(), main, "{epoch:?}");
        }
        // What is undefined comes back as that.
        let (_, state): (_, CheckpointState) = weights::load_versioned(&folder.checkpoint())?;
        assert_eq!(state.history[1].validation_loss.is_nan(), !main);
    }
    Ok(())
}
