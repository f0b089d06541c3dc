//! A teacher's probabilities, corrected where labels say that it errs.

use candle::{DType, Device, Tensor};
use losses::Positive;
use ndarray::{ArrayView3, Axis};
use preprocess::label_boundary;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How what teachers say is calibrated by labels, voxel by voxel: `supervision.kde`.
///
/// Where the most probable class is not that of the label, and beside the edges of labels, the
/// probabilities `p` of a voxel become `Σⱼ K(p, pⱼ) tⱼ / Σⱼ K(p, pⱼ)`: what labels `tⱼ` say of voxels of the
/// batch, the keys, whose probabilities `pⱼ` are like it. `K` is the density of the Dirichlet distribution
/// with concentrations `pⱼ / bandwidth + 1`. A batch without labelled voxels stays as it is.
///
/// It needs classes that exclude each other, labels that are certain, and temperature 1, at which the shares
/// of labels are. Every such voxel is compared with every key, on the CPU.
///
/// # Source
///
/// The distillation of Wang et al., *Dice Semimetric Losses*, MICCAI 2023,
/// [arXiv:2303.16296](https://arxiv.org/abs/2303.16296); the estimator is that of Popordanoska, Sayer,
/// Blaschko, *A Consistent and Differentiable Lp Canonical Calibration Error Estimator*, NeurIPS 2022,
/// [arXiv:2210.07810](https://arxiv.org/abs/2210.07810). Densities are compared by their logarithms, so that
/// no sum of them is 0; their code finds a key's place in the batch by a wrong extent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KdeConfig {
    /// How far the influence of a key reaches.
    pub bandwidth: Positive,
    /// How many keys are drawn for each class, at most.
    pub keys: usize,
    /// Whether classes have keys in proportion to their voxels, as many in all.
    pub biased: bool,
    /// Width of the neighborhood that makes a voxel one beside an edge, voxels, an odd number.
    pub kernel: usize,
}

impl Default for KdeConfig {
    fn default() -> Self {
        Self { bandwidth: Positive::literal(0.1), keys: 64, biased: false, kernel: 3 }
    }
}

/// Keys of a class, at most.
const MOST_KEYS: usize = 4096;

/// A voxel whose label is known.
struct Key {
    class: usize,
    /// `pⱼ / bandwidth`.
    concentration: Vec<f64>,
    /// The logarithm of what makes the density integrate to 1, but for what all keys share.
    scale: f64,
}

impl Key {
    fn new(p: &[f64], class: usize, bandwidth: f64) -> Self {
        let concentration: Vec<f64> = p.iter().map(|p| p / bandwidth).collect();
        let scale = -concentration.iter().map(|&a| libm::lgamma(a + 1.0)).sum::<f64>();
        Self { class, concentration, scale }
    }
}

impl KdeConfig {
    /// Whether the settings make sense.
    pub(crate) fn check(self) -> Result<()> {
        let refuse = |reason: &str| Err(Error::Settings(format!("supervision.kde.{reason}")));
        if self.keys == 0 {
            return refuse("keys is 0; draw one for each class at least");
        }
        if self.keys > MOST_KEYS {
            return refuse("keys is above 4096; each voxel is compared with all keys");
        }
        if self.kernel.is_multiple_of(2) || !(3..=31).contains(&self.kernel) {
            return refuse("kernel is no odd number from 3 to 31");
        }
        if self.bandwidth.get() < 1e-3 {
            return refuse("bandwidth is below 0.001; no key would reach any other voxel");
        }
        Ok(())
    }

    /// Probabilities `(N, C, *S)`, calibrated by class indices `(N, *S)`, of which those with a weight of 0
    /// are unknown.
    pub(crate) fn apply(
        self,
        probabilities: &Tensor,
        labels: &Tensor,
        weight: Option<&Tensor>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Tensor> {
        let (cpu, dims) = (&Device::Cpu, probabilities.dims());
        let (samples, classes) = (dims[0], dims[1]);
        let space = &dims[2..];
        let voxels: usize = space.iter().product();
        let mut p =
            probabilities.to_device(cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let mut t = labels.to_device(cpu)?.to_dtype(DType::U32)?.flatten_all()?.to_vec1::<u32>()?;
        let unknown = u32::try_from(classes).map_err(candle::Error::wrap)?;
        if let Some(weight) = weight {
            let weight =
                weight.to_device(cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            for (label, weight) in t.iter_mut().zip(weight) {
                if weight <= 0.0 {
                    *label = unknown;
                }
            }
        }
        let of = |p: &[f32], at: usize| -> Vec<f64> {
            let first = at / voxels * classes * voxels + at % voxels;
            (0..classes).map(|class| f64::from(p[first + class * voxels])).collect()
        };
        let drawn = self.drawn(&t, classes, rng).into_iter();
        let keys: Vec<Key> =
            drawn.map(|(at, class)| Key::new(&of(&p, at), class, self.bandwidth.get())).collect();
        if keys.is_empty() {
            return Ok(probabilities.clone());
        }
        let wanted = self.wanted(&p, &t, [samples, classes], space)?;
        let corrected: Vec<(usize, Vec<f64>)> =
            wanted.into_par_iter().map(|at| (at, mean(&of(&p, at), &keys))).collect();
        for (at, mean) in corrected {
            let first = at / voxels * classes * voxels + at % voxels;
            for (class, value) in mean.into_iter().enumerate() {
                #[expect(clippy::cast_possible_truncation, reason = "a probability")]
                let value = value as f32;
                p[first + class * voxels] = value;
            }
        }
        let corrected = Tensor::from_vec(p, dims, cpu)?;
        Ok(corrected.to_device(probabilities.device())?.to_dtype(probabilities.dtype())?)
    }

    /// Voxels, with their classes, that others are compared with.
    fn drawn(self, t: &[u32], classes: usize, rng: &mut ChaCha8Rng) -> Vec<(usize, usize)> {
        let mut places = vec![Vec::new(); classes];
        for (at, &label) in t.iter().enumerate() {
            if let Some(places) = places.get_mut(label as usize) {
                places.push(at);
            }
        }
        let known: usize = places.iter().map(Vec::len).sum();
        let mut keys = Vec::new();
        for (class, places) in places.iter().enumerate().filter(|(_, places)| !places.is_empty()) {
            let share = places.len() as f64 / known as f64;
            let wanted = if self.biased {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share of a count"
                )]
                let wanted = (share * (self.keys * classes) as f64).round() as usize;
                wanted.max(1)
            } else {
                self.keys
            };
            let chosen = sample(rng, places.len(), wanted.min(places.len()));
            keys.extend(chosen.into_iter().map(|at| (places[at], class)));
        }
        keys
    }

    /// Voxels that are to be corrected: those mistaken, and those beside an edge.
    fn wanted(
        self,
        p: &[f32],
        t: &[u32],
        [samples, classes]: [usize; 2],
        space: &[usize],
    ) -> Result<Vec<usize>> {
        let voxels: usize = space.iter().product();
        let mut size = [1; 3];
        size[3 - space.len()..].copy_from_slice(space);
        let mut wanted = Vec::new();
        for sample in 0..samples {
            let own = &t[sample * voxels..][..voxels];
            let narrow = own.iter().map(|&label| u16::try_from(label).unwrap_or(u16::MAX));
            let labels = ndarray::Array3::from_shape_vec(size, narrow.collect())
                .map_err(candle::Error::wrap)?;
            let edge = label_boundary(labels.view(), classes, self.kernel, space.len())?;
            let shares = &p[sample * classes * voxels..][..classes * voxels];
            let shares = ArrayView3::from_shape((1, classes, voxels), shares)
                .map_err(candle::Error::wrap)?;
            let shares = shares.index_axis_move(Axis(0), 0);
            for (at, (&label, &edge)) in own.iter().zip(&edge).enumerate() {
                let Some(&own) = shares.get([label as usize, at]) else { continue };
                if edge || shares.column(at).iter().any(|&p| p > own) {
                    wanted.push(sample * voxels + at);
                }
            }
        }
        Ok(wanted)
    }
}

/// What the labels of keys say of probabilities like theirs.
fn mean(p: &[f64], keys: &[Key]) -> Vec<f64> {
    // No logarithm of nothing.
    let logarithms: Vec<f64> = p.iter().map(|p| p.max(1e-30).ln()).collect();
    let density = |key: &Key| {
        let pairs = key.concentration.iter().zip(&logarithms);
        key.scale + pairs.map(|(concentration, log)| concentration * log).sum::<f64>()
    };
    let densities: Vec<f64> = keys.iter().map(density).collect();
    let most = densities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut shares, mut total) = (vec![0.0; p.len()], 0.0);
    for (key, density) in keys.iter().zip(densities) {
        let share = (density - most).exp();
        shares[key.class] += share;
        total += share;
    }
    shares.into_iter().map(|share| share / total).collect()
}

#[cfg(test)]
mod tests {
    use preprocess::rng;

    use super::*;

    fn found(config: KdeConfig, p: &[f32], t: &[u32]) -> anyhow::Result<Vec<f32>> {
        let voxels = t.len();
        // One sample of two classes, in a row.
        let background = p.iter().map(|p| 1.0 - p);
        let both: Vec<f32> = background.chain(p.iter().copied()).collect();
        let both = Tensor::from_vec(both, (1, 2, 1, voxels), &Device::Cpu)?;
        let labels = Tensor::from_vec(t.to_vec(), (1, 1, voxels), &Device::Cpu)?;
        let corrected = config.apply(&both, &labels, None, &mut rng(1, 0, "keys"))?;
        let sums = corrected.sum(1)?.flatten_all()?.to_vec1::<f32>()?;
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6), "{sums:?}");
        Ok(corrected.narrow(1, 1, 1)?.flatten_all()?.to_vec1()?)
    }

    fn bandwidth(bandwidth: f64) -> KdeConfig {
        KdeConfig {
            bandwidth: Positive::try_from(bandwidth).expect("positive"),
            ..KdeConfig::default()
        }
    }

    #[test]
    fn keys_that_are_certain_weigh_by_powers_of_what_is_asked() -> anyhow::Result<()> {
        // Keys at 0 and 1 have densities p^(1/h) and (1 − p)^(1/h), up to what they share; beside a voxel
        // that nobody knows is no edge.
        let (p, t) = ([0.0, 0.0, 0.25, 1.0, 1.0, 1.0], [0, 0, 2, 1, 1, 1]);
        assert_eq!(found(bandwidth(0.5), &p, &t)?, p);
        let keys = [Key::new(&[1.0, 0.0], 0, 0.5), Key::new(&[0.0, 1.0], 1, 0.5)];
        let found = mean(&[0.25, 0.75], &keys);
        assert!((found[1] - 0.9).abs() < 1e-12, "{found:?}");
        Ok(())
    }

    #[test]
    fn densities_are_those_of_scipy() {
        let keys = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.3, 0.5], [0.5, 0.4, 0.1]];
        let key = |(p, class): (&[f64; 3], usize)| Key::new(p, class, 0.25);
        let keys: Vec<Key> = keys.iter().zip([0, 1, 2, 1]).map(key).collect();

        let found = mean(&[0.45, 0.35, 0.2], &keys);

        // scipy.stats.dirichlet.pdf, 1.17
        for (found, expected) in
            found.iter().zip([0.314_168_480_250, 0.539_110_943_844, 0.146_720_575_906])
        {
            assert!((found - expected).abs() < 1e-11, "{found}, not {expected}");
        }
    }

    #[test]
    fn what_is_right_and_inside_stays_and_what_errs_goes_towards_the_labels() -> anyhow::Result<()>
    {
        let p = [0.1, 0.1, 0.45, 0.45, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9];
        let t = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1];
        let mut mistaken = p;
        mistaken[2] = 0.6;
        mistaken[8] = 0.4;

        let found = found(bandwidth(0.05), &mistaken, &t)?;

        for at in [0, 1, 3, 4, 7, 9] {
            assert!((found[at] - mistaken[at]).abs() < 1e-6, "{at}: {found:?}");
        }
        // Voxels said to be 0.6 are background, as far as labels know.
        assert!(found[2] < 0.5 && found[5] < 0.1 && found[6] > 0.9, "{found:?}");
        Ok(())
    }

    #[test]
    fn a_batch_without_known_voxels_stays() -> anyhow::Result<()> {
        let p = [0.3, 0.7];
        assert_eq!(found(bandwidth(0.1), &p, &[2, 2])?, p);
        Ok(())
    }

    #[test]
    fn keys_follow_the_sizes_of_classes_where_they_shall() {
        let t: Vec<u32> = (0..1000).map(|at| u32::from(at < 100)).collect();
        let count = |biased: bool| {
            let config = KdeConfig { keys: 50, biased, ..KdeConfig::default() };
            let keys = config.drawn(&t, 2, &mut rng(2, 0, "keys"));
            keys.iter().filter(|(_, class)| *class == 1).count()
        };

        assert_eq!((count(false), count(true)), (50, 10));
    }
}
