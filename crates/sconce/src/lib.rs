//! Medical image segmentation on candle: the whole toolbox behind one name.
//!
//! | module | what it holds |
//! |---|---|
//! | [`data`] | files and folders → cases |
//! | [`preprocess`] | a case → network input, and back |
//! | [`cache`] | prepared cases on disk |
//! | [`nn`] | layers, optimizers, schedules |
//! | [`models`] | networks |
//! | [`onnx`] | graphs of ONNX |
//! | [`losses`] | objectives for hard and soft labels |
//! | [`metrics`] | scores in physical units |
//! | [`engine`] | train, predict, evaluate, report |
//! | [`text`] | words → embeddings |
//! | [`ranks`] | the processes of a job |
//! | [`pytorch`] | files of `torch.save` |
//! | [`zoo`] | model folders |
//! | [`volume`] | images and label maps on a grid |
//! | [`guide`] | how to begin, and what to know of threads and of candle |

pub mod guide;

#[doc(inline)]
pub use cache;
#[doc(inline)]
pub use data;
#[doc(inline)]
pub use engine;
#[doc(inline)]
pub use losses;
#[doc(inline)]
pub use metrics;
#[doc(inline)]
pub use models;
#[doc(inline)]
pub use nn;
#[doc(inline)]
pub use onnx;
#[doc(inline)]
pub use preprocess;
#[doc(inline)]
pub use pytorch;
#[doc(inline)]
pub use ranks;
#[doc(inline)]
pub use text;
#[doc(inline)]
pub use volume;
#[doc(inline)]
pub use zoo;

/// What computes; candle's own type.
pub use candle::Device;

#[doc = include_str!("../CHANGELOG.md")]
pub mod _changelog {}
