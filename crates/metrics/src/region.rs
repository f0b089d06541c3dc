use crate::scan::Member;

/// Which voxels of a label map belong to what is scored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// The labels that belong, such as 1 and 3 for a tumour core.
    pub labels: Vec<u16>,
    /// The label that stands for "do not look here", where there is one: voxels where the
    /// reference has it belong to neither mask, and do not count as background either.
    pub ignore: Option<u16>,
}

impl Region {
    /// The voxels of one class.
    pub fn class(class: u16) -> Self {
        Self { labels: vec![class], ignore: None }
    }

    /// The voxels of any of `labels`.
    pub fn union(labels: &[u16]) -> Self {
        Self { labels: labels.to_vec(), ignore: None }
    }

    /// The same, but for voxels where the reference has the label `ignore`.
    #[must_use]
    pub fn ignoring(self, ignore: Option<u16>) -> Self {
        Self { ignore, ..self }
    }

    /// What a voxel is, given its labels in the reference and in the prediction.
    pub(crate) fn member(
        &self,
        belongs: impl Fn(u16) -> bool + Sync,
    ) -> impl Fn(u16, u16) -> Member + Sync {
        // Labels are 16 bits wide: none is this one.
        let ignore = self.ignore.map_or(u32::MAX, u32::from);
        move |reference, prediction| {
            let counts = u32::from(reference) != ignore;
            Member {
                counts,
                reference: counts & belongs(reference),
                prediction: counts & belongs(prediction),
            }
        }
    }
}
