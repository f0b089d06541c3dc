use candle::{DType, Tensor};

use crate::{Error, Result};

/// How many classes an answer to unknown words names.
const NAMED: usize = 3;

/// The classes that somebody knows, and how similar words must be to one to stand for it.
///
/// Similarity is the cosine of the angle between embeddings: 1 for the same words.
#[derive(Clone, Debug)]
pub struct Known {
    names: Vec<String>,
    /// `(C, E)`.
    embeddings: Tensor,
    threshold: f64,
}

impl Known {
    /// Of names and their embeddings, `(C, E)`, each of unit length.
    ///
    /// # Errors
    ///
    /// Where there is not one embedding for each name.
    pub fn new(names: Vec<String>, embeddings: &Tensor, threshold: f64) -> Result<Self> {
        let embeddings = embeddings.to_dtype(DType::F32)?;
        let (count, _) = embeddings.dims2()?;
        if count != names.len() {
            let text = format!("{count} embeddings are not of {} classes", names.len());
            return Err(candle::Error::msg(text).into());
        }
        Ok(Self { names, embeddings, threshold })
    }

    /// The classes that words of this embedding, `(E)` or `(1, E)`, are most similar to, each with its similarity, the most
    /// similar first.
    ///
    /// # Errors
    ///
    /// Where the embedding is of another length.
    pub fn nearest(&self, embedding: &Tensor) -> Result<Vec<(String, f64)>> {
        let embedding = embedding.flatten_all()?.unsqueeze(1)?;
        let similarity = self.embeddings.matmul(&embedding)?.flatten_all()?.to_vec1::<f32>()?;
        let mut nearest: Vec<(String, f64)> =
            self.names.iter().cloned().zip(similarity.into_iter().map(f64::from)).collect();
        // Of equal ones, the first.
        nearest.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        Ok(nearest)
    }

    /// The class that words of this embedding stand for.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`], where none is similar enough.
    pub fn class(&self, prompt: &str, embedding: &Tensor) -> Result<(String, f64)> {
        let mut nearest = self.nearest(embedding)?;
        nearest.truncate(NAMED);
        match nearest.first() {
            Some(first) if first.1 >= self.threshold => Ok(first.clone()),
            _ => Err(Error::Unknown { prompt: prompt.to_owned(), nearest }),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle::Device;

    use super::*;

    #[test]
    fn words_like_no_class_are_answered_with_the_nearest() -> anyhow::Result<()> {
        let embeddings = Tensor::new(&[[1f32, 0.0, 0.0], [0.0, 1.0, 0.0]], &Device::Cpu)?;
        let names = ["kidney", "liver"].map(str::to_owned).to_vec();
        let known = Known::new(names, &embeddings, 0.7)?;

        let like = Tensor::new(&[0.6f32, 0.8, 0.0], &Device::Cpu)?;
        assert_eq!(known.class("hepatic", &like)?.0, "liver");
        let unlike = Tensor::new(&[0.22f32, 0.41, 0.88], &Device::Cpu)?;
        let error = known.class("spleen", &unlike).unwrap_err().to_string();

        let expected = "\"spleen\" is not among what this model knows; nearest: liver (0.41), \
                        kidney (0.22)";
        assert_eq!(error, expected);
        Ok(())
    }
}
