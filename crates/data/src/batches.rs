//! A data set as batches of tensors, for whoever trains with candle alone.

use candle::{Device, Result, Tensor};
use candle_datasets::Batcher;
use volume::Label;

use crate::{Case, Dataset};

/// Reads cases one after the other, and gives them in batches of `size`, the last one smaller:
/// images `(N, C, *S)` as `f32`, and labels, `(N, *S)` as `u32` where they are hard and
/// `(N, C, *S)` as `f32` where they are probabilities. A single slice has two axes, `(H, W)`.
///
/// All cases of a batch must have the same size and kind of label: nothing is resampled, fused,
/// shuffled or augmented here. Sets of photographs, such as those in Parquet files, are mostly
/// like that; volumes are not, and want preprocessing first.
///
/// # Errors
///
/// Each batch is an error where a case cannot be read, has no label or those of several raters, or
/// does not fit the others.
pub fn batches<'a>(
    dataset: &'a dyn Dataset,
    ids: &'a [String],
    size: usize,
    device: &'a Device,
) -> impl Iterator<Item = Result<(Tensor, Tensor)>> + 'a {
    let pairs = ids.iter().map(move |id| {
        let case = dataset.read(id).map_err(|error| candle::Error::msg(error.to_string()))?;
        tensors(&case, device)
    });
    Batcher::new_r2(pairs).batch_size(size.max(1)).return_last_incomplete_batch(true)
}

fn tensors(case: &Case, device: &Device) -> Result<(Tensor, Tensor)> {
    let size = case.image.grid.size;
    let space = if case.image.grid.is_planar() { &size[1..] } else { &size[..] };
    let shape = |lead: &[usize]| [lead, space].concat();
    let values: Vec<f32> = case.image.data.iter().copied().collect();
    let image = Tensor::from_vec(values, shape(&[case.image.channels()]), device)?;
    let label = match &case.label {
        Some(Label::Hard(labels)) => {
            let labels: Vec<u32> = labels.data.iter().map(|&label| u32::from(label)).collect();
            Tensor::from_vec(labels, shape(&[]), device)?
        }
        Some(Label::Soft(soft)) => {
            let values: Vec<f32> = soft.data.iter().copied().collect();
            Tensor::from_vec(values, shape(&[soft.classes()]), device)?
        }
        Some(Label::Raters(_)) => candle::bail!("case {}: fuse its raters first", case.id),
        None => candle::bail!("case {}: it has no label", case.id),
    };
    Ok((image, label))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};
    use volume::{Grid, Image, LabelMap};

    use super::*;
    use crate::{Class, Description};

    /// Slices of one size; the value of each is its number.
    #[derive(Debug)]
    struct Slices(Description, Vec<String>);

    impl Dataset for Slices {
        fn description(&self) -> &Description {
            &self.0
        }

        fn ids(&self) -> &[String] {
            &self.1
        }

        fn read(&self, id: &str) -> crate::Result<Case> {
            let number: u16 = id.parse().expect("ids are numbers");
            let grid = Grid::new([1, 2, 3], [1.0; 3]).expect("a grid");
            let image = Array4::from_elem((1, 1, 2, 3), f32::from(number));
            let label = Array3::from_elem((1, 2, 3), number);
            Ok(Case {
                id: id.to_owned(),
                image: Image::new(grid.clone(), image).expect("an image"),
                label: Some(Label::Hard(LabelMap::new(grid, label).expect("labels"))),
            })
        }
    }

    #[test]
    fn cases_come_in_order_and_the_rest_is_a_smaller_batch() -> anyhow::Result<()> {
        let description = Description {
            name: "slices".to_owned(),
            channels: vec!["MR".to_owned()],
            classes: vec![Class::new("background", [0])],
            raters: Vec::new(),
            ignore: None,
            regions_class_order: Vec::new(),
            independent: false,
        };
        let slices = Slices(description, ["0", "1", "2"].map(str::to_owned).to_vec());

        let found: Vec<_> =
            batches(&slices, slices.ids(), 2, &Device::Cpu).collect::<Result<Vec<_>>>()?;

        assert_eq!(found.len(), 2);
        assert_eq!(found[0].0.dims(), [2, 1, 2, 3]);
        assert_eq!(found[0].1.dims(), [2, 2, 3]);
        assert_eq!(found[1].1.flatten_all()?.to_vec1::<u32>()?, [2; 6]);
        Ok(())
    }
}
