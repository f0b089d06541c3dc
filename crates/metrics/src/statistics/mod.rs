//! Whether what was found on some cases would be found on others.

mod bootstrap;
mod discrimination;
mod holm;
mod ranks;
mod wilcoxon;

pub use self::bootstrap::bootstrap_interval;
pub use self::discrimination::discrimination;
pub use self::holm::holm;
pub use self::ranks::{RankStability, rank_stability};
pub use self::wilcoxon::{Wilcoxon, wilcoxon};
