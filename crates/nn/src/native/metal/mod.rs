//! Native kernels on Metal, in f32, f16 and bf16.
//!
//! A layer computes its result first, by kernels, and then enters it into the graph ([`record`]).
//! The same text of the kernels runs in tests on the CPU, through the same code up to [`Launch`]:
//! see `tests::emulator`.
//!
//! [`record`]: super::node::record
//! [`Launch`]: launch::Launch

mod class_sums;
mod concat;
mod conv;
mod launch;
#[cfg(feature = "metal")]
mod machine;
mod norm;
mod settings;
#[cfg(test)]
mod tests;
mod unary;
mod weight_gradient;

pub(crate) use self::class_sums::class_sums;
pub(crate) use self::concat::concat;
pub(crate) use self::conv::{conv_input_gradient, convolve};
#[cfg(feature = "metal")]
pub(crate) use self::machine::exists;
pub(crate) use self::norm::{normalize, standardize};
pub(crate) use self::unary::{activate, map_axis, max_pool, softmax};
pub(crate) use self::weight_gradient::conv_weight_gradient;

/// The kernels, in an order in which each finds what it uses.
const KERNELS: [&str; 14] = [
    include_str!("kernels/element.metal"),
    include_str!("kernels/act.metal"),
    include_str!("kernels/geometry.metal"),
    include_str!("kernels/product.metal"),
    include_str!("kernels/conv.metal"),
    include_str!("kernels/weight_gradient.metal"),
    include_str!("kernels/sums.metal"),
    include_str!("kernels/norm.metal"),
    include_str!("kernels/norm_gradient.metal"),
    include_str!("kernels/pool.metal"),
    include_str!("kernels/axis.metal"),
    include_str!("kernels/softmax.metal"),
    concat!(
        "#define FUNCTION inline\n#define EXP precise::exp\n#define LOG precise::log\n",
        include_str!("../class_terms.inc"),
    ),
    include_str!("kernels/class_sums.metal"),
];
