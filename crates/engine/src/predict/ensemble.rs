//! Networks that were planned apart, and see images in different ways.

use candle::Device;
use preprocess::Prepared;
use volume::{Image, LabelMap};

use super::Predictor;
use super::course::{Course, one_after_another, together};
use super::segmentation::{Reading, Segmentation, Wanted};
use crate::Postprocess;
use crate::config::PredictConfig;
use crate::trained::{NetworkConfig, Trained};
use crate::{Error, Result};

/// Several networks that tell apart the same classes, such as the folds of a cross-validation, whose plans are those of
/// different cases.
///
/// Those with the same plan are averaged on their own grid, as [`Predictor::ensemble`] does, where the mean is that of logits.
/// Beyond that it is probabilities that are averaged, on the grid of the image, and each network counts as much as another:
/// what nnU-Net does with the folds of one configuration. (Of several configurations, nnU-Net counts each once, however many
/// folds it has.)
#[derive(Debug)]
pub struct Ensemble {
    /// Networks of one plan.
    pub(super) groups: Vec<Predictor>,
    /// Those that speak first, of a cascade.
    pub(super) previous: Option<Box<Ensemble>>,
    rule: Postprocess,
    /// How probable each class or region must be, by that rule.
    pub(super) thresholds: Vec<Option<f64>>,
}

impl Ensemble {
    /// For inference with one network or several; `settings` says how each predicts.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where there is no network, or one has other channels or tells apart other classes than the first;
    /// else as [`Predictor::new`].
    pub fn new(
        networks: &[Trained],
        settings: impl Fn(&Trained) -> PredictConfig,
        device: &Device,
    ) -> Result<Self> {
        let mut groups: Vec<Vec<Trained>> = Vec::new();
        for (at, network) in networks.iter().enumerate() {
            if let Some(what) = differs(&networks[0], network) {
                return Err(Error::Settings(format!(
                    "network {} of the ensemble has {what} other than the first; only networks that answer the same \
                     question can be averaged",
                    at + 1
                )));
            }
            let alike = |group: &&mut Vec<Trained>| {
                super::averages_with(&group[0], network) && settings(&group[0]) == settings(network)
            };
            match groups.iter_mut().find(alike) {
                Some(group) => group.push(network.clone()),
                None => groups.push(vec![network.clone()]),
            }
        }
        if groups.is_empty() {
            return Err(Error::Settings("an ensemble needs at least one network".to_owned()));
        }
        let predictor =
            |group: Vec<Trained>| Predictor::ensemble(&group, settings(&group[0]), device);
        let groups = groups.into_iter().map(predictor).collect::<Result<_>>()?;
        Ok(Self { groups, previous: None, rule: Postprocess::default(), thresholds: Vec::new() })
    }

    /// The same for networks of a cascade, which see what `previous` says.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where that takes other channels, or does not say what these want to see.
    pub fn with_previous(self, previous: Self) -> Result<Self> {
        if previous.channels() != self.channels() {
            return Err(Error::Settings(format!(
                "the networks take {} channels and those before them {}; give the two stages of one cascade",
                self.channels(),
                previous.channels()
            )));
        }
        let said: Vec<u16> = previous.config().label_members().concat();
        let wanted = self.groups.iter().flat_map(|group| &group.config().previous_labels);
        if let Some(unknown) = wanted.into_iter().find(|label| !said.contains(label)) {
            return Err(Error::Settings(format!(
                "the networks want to see label {unknown}, which those before them do not say; give the two stages of one \
                 cascade"
            )));
        }
        Ok(Self { previous: Some(Box::new(previous)), ..self })
    }

    /// Whether other networks speak before these: while an image is [prepared](Ensemble::prepare).
    pub fn is_cascade(&self) -> bool {
        self.previous.is_some()
    }

    /// The same with a rule of what is done to labels.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the rule speaks of labels that the networks do not have.
    pub fn with_postprocess(self, rule: Postprocess) -> Result<Self> {
        let known = self.config().label_values();
        if let Some(unknown) = rule.labels().into_iter().find(|label| !known.contains(label)) {
            let known: Vec<String> = known.iter().skip(1).map(ToString::to_string).collect();
            return Err(Error::Settings(format!(
                "the rule of post-processing speaks of label {unknown}, but the networks know {}; give the rule that was \
                 found for them",
                known.join(", ")
            )));
        }
        // Of regions, the background has no channel.
        let channels = known.iter().skip(usize::from(self.config().has_regions()));
        let of = |label: &u16| rule.thresholds.iter().find(|it| it.label == *label);
        let thresholds = channels.map(|label| of(label).map(|it| it.probability)).collect();
        Ok(Self { rule, thresholds, ..self })
    }

    /// Labels as they are written to files: with the values that they have there, and what the rule of post-processing does
    /// to them.
    pub fn to_files(&self, labels: LabelMap) -> LabelMap {
        let mut labels = self.config().to_files(labels);
        self.rule.apply(&mut labels);
        labels
    }

    /// What the first network is.
    pub fn config(&self) -> &NetworkConfig {
        self.groups[0].config()
    }

    /// How many channels an image has.
    pub fn channels(&self) -> usize {
        self.groups[0].plan().normalize.len()
    }

    /// The least number of axes, 2 or 3, that a network of it looks along.
    pub fn rank(&self) -> usize {
        self.groups.iter().map(|group| group.plan().rank).min().unwrap_or(3)
    }

    /// How many networks there are.
    pub fn networks(&self) -> usize {
        self.groups.iter().map(Predictor::networks).sum()
    }

    /// Makes an image ready for the networks: what can be done while they look at another.
    ///
    /// # Errors
    ///
    /// As [`Predictor::prepare`].
    pub fn prepare(&self, image: &Image) -> Result<PreparedImage> {
        let previous = match &self.previous {
            Some(previous) => {
                Some(previous.to_files(previous.predict(image, Wanted::default())?.labels))
            }
            None => None,
        };
        let sees = |group: &Predictor| !group.config().previous_labels.is_empty();
        if previous.is_none() && self.groups.iter().any(sees) {
            return Err(Error::Settings(
                "the networks see what others say before them (a cascade), which are not given"
                    .to_owned(),
            ));
        }
        let groups = self
            .groups
            .iter()
            .map(|group| group.prepare_after(image, previous.as_ref().filter(|_| sees(group))));
        Ok(PreparedImage(groups.collect::<Result<_>>()?))
    }

    /// Predicts an image.
    ///
    /// # Errors
    ///
    /// As [`Ensemble::prepare`] and [`Ensemble::segment`].
    pub fn predict(&self, image: &Image, wanted: Wanted) -> Result<Segmentation> {
        self.segment(&self.prepare(image)?, wanted, &mut |_, _| ())
    }

    /// Predicts an image that has been made ready; `seen` is told how many tiles have been seen, and how many there are.
    ///
    /// Slices of the image are made as soon as the networks have seen what they are made of, and nothing else of what they said
    /// is kept.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where disagreement is wanted of one network, or of networks that see the image turned or cut in
    /// different ways; [`Error::OutputNotFinite`]; else where a tensor operation fails.
    pub fn segment(
        &self,
        image: &PreparedImage,
        wanted: Wanted,
        seen: &mut dyn FnMut(usize, usize),
    ) -> Result<Segmentation> {
        if wanted.disagreement && self.networks() < 2 {
            let text = "one network cannot disagree; give several, such as the folds of a cross-validation";
            return Err(Error::Settings(text.to_owned()));
        }
        let config = self.config();
        let paint = config.has_regions().then_some(config.regions_class_order.as_slice());
        let reading = Reading {
            classes: config.interface.classes,
            paint,
            wanted,
            thresholds: &self.thresholds,
        };
        let groups = || self.groups.iter().zip(&image.0);
        let mut courses: Vec<Course<'_>> = groups()
            .map(|(group, prepared)| Course::new(group, prepared, wanted.disagreement))
            .collect();
        let tiles: usize = courses.iter().map(Course::tiles).sum();
        let mut count = 0;
        let mut tick = || {
            count += 1;
            seen(count, tiles);
        };
        let first = &image.0[0].restore;
        let alike = |prepared: &Prepared| {
            let Prepared { restore, .. } = prepared;
            (restore.orientation(), restore.region()) == (first.orientation(), first.region())
        };
        if image.0.iter().all(alike) {
            return together(&mut courses, first, &reading, &mut tick);
        }
        if wanted.disagreement {
            let text = "how far networks disagree can only be said where they see an image turned and cut in one way;                         these do not";
            return Err(Error::Settings(text.to_owned()));
        }
        one_after_another(courses, first, &reading, &mut tick)
    }
}

/// An image as each of the networks wants it.
#[derive(Debug)]
pub struct PreparedImage(Vec<Prepared>);

/// What keeps the answers of two networks from being averaged.
fn differs(one: &Trained, other: &Trained) -> Option<&'static str> {
    let values = |trained: &Trained| -> Vec<Vec<u16>> {
        trained.config.classes.iter().map(|class| class.values.clone()).collect()
    };
    if one.plan.normalize.len() != other.plan.normalize.len() {
        return Some("channels");
    }
    let (a, b) = (&one.config, &other.config);
    let names = |config: &NetworkConfig| -> Vec<String> {
        config.classes.iter().skip(1).map(|class| class.name.to_lowercase()).collect()
    };
    let channels = |config: &NetworkConfig| -> Vec<String> {
        config.channels.iter().map(|name| name.to_lowercase()).collect()
    };
    let (one_way, other_way) = (channels(a), channels(b));
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    if one_way != other_way && sorted(&one_way) == sorted(&other_way) {
        return Some("an order of channels");
    }
    let same = a.activation == b.activation
        && names(a) == names(b)
        && a.regions_class_order == b.regions_class_order
        && values(one) == values(other);
    (!same).then_some("classes")
}
