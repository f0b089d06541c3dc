use std::fmt;

use candle::Tensor;

/// What a network says of a batch: the main head first, then the others.
#[derive(Clone, Debug)]
pub struct Logits {
    heads: Vec<Head>,
}

/// One output of a network.
#[derive(Clone, Debug)]
pub struct Head {
    /// Which one.
    pub id: HeadId,
    /// `(N, C, *S)`; for a deep head, `*S` is coarser than the image's.
    pub logits: Tensor,
}

/// Which output of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HeadId {
    /// The answer, at the resolution of the images.
    Main,
    /// Deep supervision: `Deep(1)` is the next coarser resolution than the main head, and so on.
    Deep(usize),
    /// An auxiliary head on some inner layer, at the resolution of the images, from 0.
    Auxiliary(usize),
    /// The answer of a further network in a chain, such as the first of a W-net, from 0.
    Network(usize),
}

impl Logits {
    /// Of one head alone, at the resolution of the images.
    pub fn new(main: Tensor) -> Self {
        Self { heads: vec![Head { id: HeadId::Main, logits: main }] }
    }

    /// With one more head.
    #[must_use]
    pub fn with(mut self, id: HeadId, logits: Tensor) -> Self {
        self.heads.push(Head { id, logits });
        self
    }

    /// The main head's, `(N, C, *S)`.
    pub fn main(&self) -> &Tensor {
        &self.heads[0].logits
    }

    /// All heads, the main one first.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// The head of that name, if this network has it.
    pub fn get(&self, id: HeadId) -> Option<&Tensor> {
        self.heads.iter().find(|head| head.id == id).map(|head| &head.logits)
    }
}

impl fmt::Display for HeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => write!(f, "main"),
            Self::Deep(level) => write!(f, "deep_{level}"),
            Self::Auxiliary(index) => write!(f, "auxiliary_{index}"),
            Self::Network(index) => write!(f, "network_{index}"),
        }
    }
}
