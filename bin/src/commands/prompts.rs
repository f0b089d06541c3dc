//! Words on the command line, and what makes embeddings of them.

use std::path::Path;

use anyhow::Context as _;
use sconce::engine::{TextConfig, TextRecord, Trained};
use sconce::text::TextEncoder;
use sconce::zoo;

use crate::resolve::resolve_encoder;

/// The text encoder of that name: the one that ships, a folder, or one of the hub.
pub(crate) fn encoder(name: &str) -> anyhow::Result<TextEncoder> {
    if name == TextConfig::TINY {
        return Ok(TextEncoder::tiny()?);
    }
    Ok(TextEncoder::open(&resolve_encoder(name)?)?)
}

/// The networks of a model's folder, told to segment `prompts`.
pub(crate) fn prompted(
    folder: &Path,
    networks: &[Trained],
    prompts: &[String],
) -> anyhow::Result<Vec<Trained>> {
    let Some(record) = networks.first().and_then(|network| network.config.text.as_ref()) else {
        // It says that it takes none.
        return Ok(vec![networks[0].prompted(&TextEncoder::tiny()?, prompts)?]);
    };
    let own = zoo::first(folder)?.join(TextRecord::FOLDER);
    let encoder = if own.is_dir() {
        TextEncoder::open(&own)?
    } else {
        encoder(&record.encoder).context("cannot read the text encoder of the model")?
    };
    let prompted = networks.iter().map(|network| network.prompted(&encoder, prompts));
    Ok(prompted.collect::<Result<_, _>>()?)
}
