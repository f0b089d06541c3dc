//! Words as vectors: text encoders of CLIP, which make of a name or a description a direction, so that words of one meaning
//! lie close together.
//!
//! | to do | use |
//! |---|---|
//! | read an encoder, or take the one that ships | [`TextEncoder`] |
//! | ask whether words stand for a class that is known | [`Known`] |
//! | train another | [`ClipText`] of a [`ClipTextConfig`], with its [`HiddenAct`]; the example `tiny` does |
//!
//! Letters: `N` texts, `L` tokens, `C` classes, `E` the length of embeddings.
//!
//! The only crate that opens tokenizers. Nothing here is of images, and nothing is fetched: whoever wants an encoder of the hub
//! brings its folder.
//!
//! # Examples
//!
//! ```
//! use sconce_text::{Known, TextEncoder};
//!
//! let encoder = TextEncoder::tiny()?;
//! let names = ["kidney", "liver"];
//! let known = Known::new(names.map(str::to_owned).to_vec(), &encoder.embed(&names)?, 0.6)?;
//!
//! let (class, _) = known.class("hepatic tissue", &encoder.embed(&["hepatic tissue"])?)?;
//! assert_eq!(class, "liver");
//! assert!(known.class("spleen", &encoder.embed(&["spleen"])?).is_err());
//! # Ok::<(), sconce_text::Error>(())
//! ```

mod config;
mod encoder;
mod error;
mod known;
mod network;

pub use crate::config::{ClipTextConfig, HiddenAct};
pub use crate::encoder::TextEncoder;
pub use crate::error::{Error, Result};
pub use crate::known::Known;
pub use crate::network::ClipText;
