//! Models and data sets of the Hugging Face hub.
//!
//! | to do | use |
//! |---|---|
//! | bring a model into the hub's cache, for good | [`fetch`](fn@fetch), [`fetch_weights`], [`fetch_files`], [`commit`] |
//! | have a copy of it, or a data set | [`pull`](fn@pull), [`fetch_data_set`], giving [`Pulled`] |
//! | find one | [`search`](fn@search), giving [`Found`] |
//! | publish one | [`push`](fn@push), [`PushOptions`], giving [`Pushed`] |
//! | free the cache of one | [`remove`](fn@remove), giving [`Removed`] |
//!
//! Requests are made by [`hf_hub`]: it finds the token, tries again where that helps, and follows the hub to other hosts,
//! which are not told the token. What it leaves open is closed here: names that lead out of the cache, files that came half
//! or wrong, and where to go on after a broken connection. No text of a server is repeated in an error, so that none can
//! repeat the token.

mod cache;
mod client;
mod data_set;
mod fetch;
mod files;
mod pull;
mod push;
mod reason;
mod remove;
mod search;

use std::path::Path;

pub use self::data_set::fetch_data_set;
pub use self::fetch::{commit, fetch};
pub use self::files::{fetch_files, fetch_weights};
pub use self::pull::{Pulled, pull};
pub use self::push::{PushOptions, Pushed, push};
pub use self::remove::{Removed, remove};
pub use self::search::{Found, search};

/// How to reach the hub. Where a field is `None`, the hub's client decides, by its own variables
/// and files (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`, …).
#[derive(Clone, Copy, Default)]
pub struct HubOptions<'a> {
    /// Whether only what is in the cache may be used, without a single request.
    pub offline: bool,
    /// The hub's address, such as that of a mirror.
    pub endpoint: Option<&'a str>,
    /// Who asks, for models that are not public.
    pub token: Option<&'a str>,
    /// The cache's folder.
    pub cache: Option<&'a Path>,
}

impl std::fmt::Debug for HubOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("HubOptions");
        shown.field("offline", &self.offline).field("endpoint", &self.endpoint);
        // Never the token itself.
        shown.field("token", &self.token.map(|_| "…")).field("cache", &self.cache).finish()
    }
}
