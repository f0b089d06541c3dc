//! A hub of models on this machine, for tests: it speaks as much of the Hugging Face hub's interface as its clients need,
//! and fails on purpose where it is told to.
//!
//! ```no_run
//! use sconce_test_hub::{Fault, Hub, Kind};
//!
//! # fn main() -> anyhow::Result<()> {
//! let hub = Hub::start()?;
//! hub.add_user("secret", "owner");
//! hub.put("models/owner/model", &[("config.json", b"{}".to_vec())]);
//! hub.fail(Fault::new(Kind::Status(500), 2, "GET", "/resolve/"));
//! // … a client of `hub.endpoint()` does its work …
//! assert!(hub.requests().iter().all(|request| request.header("authorization").is_none()));
//! # Ok(())
//! # }
//! ```
//!
//! As at the hub itself, large files are at another host, [`Hub::storage`], which knows nothing of its users: a client that
//! sends a token there leaks it. Clients that can upload large files in chunks, by xet, are sent to the simulation that its
//! own crates bring.
//!
//! Everything is in memory, and gone with the process. Names of files that a client commits are checked; those of
//! [`Hub::put`] are not, so that tests see what a client does with bad ones.

mod api;
mod commit;
mod fault;
mod files;
mod http;
mod server;
mod store;
mod xet;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crate::fault::{Fault, Kind};
pub use crate::http::Request;
use crate::store::{Entry, Object, Repository, Store, sha256};
use crate::xet::Xet;

/// A running hub. It runs for as long as the process does.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Shared>);

/// What does not change while it runs.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Where it is.
    pub(crate) hub: String,
    /// Where its large files are.
    pub(crate) storage: String,
    /// Where their chunks are.
    pub(crate) xet: Option<Xet>,
    state: Mutex<State>,
}

/// What does.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) faults: Vec<Fault>,
    /// What the hub was asked, and what its storage.
    pub(crate) requests: [Vec<Request>; 2],
}

impl Shared {
    /// Whatever a request that panicked has left is good enough for the next.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Starts a hub that takes large files whole.
    ///
    /// # Errors
    ///
    /// Where there is no free port.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_at(0, None)
    }

    /// Starts a hub that takes large files in chunks, from clients that can.
    ///
    /// # Errors
    ///
    /// Where there is no free port.
    pub fn start_with_xet() -> anyhow::Result<Self> {
        Self::start_at(0, Some(Xet::start()?))
    }

    fn start_at(port: u16, xet: Option<Xet>) -> anyhow::Result<Self> {
        server::start(port, |hub, storage| Shared { hub, storage, xet, state: Mutex::default() })
            .map(Self)
    }

    /// Its address.
    pub fn endpoint(&self) -> &str {
        &self.0.hub
    }

    /// The address of the host that has its large files.
    pub fn storage(&self) -> &str {
        &self.0.storage
    }

    /// Lets whoever has the token be this user.
    pub fn add_user(&self, token: &str, name: &str) {
        self.0.state().store.users.insert(token.to_owned(), name.to_owned());
    }

    /// Adds a commit to the branch `main` of a repository, such as `models/owner/name`, which is made where there is none:
    /// it has these files, and no others. Weights become large files. Returns the commit.
    pub fn put(&self, id: &str, files: &[(&str, Vec<u8>)]) -> String {
        let mut state = self.0.state();
        let mut entries = BTreeMap::new();
        for (name, bytes) in files {
            let bytes = Arc::new(bytes.clone());
            let entry = if name.ends_with(".safetensors") {
                let (oid, size) = (sha256(&bytes), bytes.len() as u64);
                state.store.objects.insert(oid.clone(), Object { bytes, xet: None });
                Entry::Large { oid, size }
            } else {
                Entry::Inline(bytes)
            };
            entries.insert((*name).to_owned(), entry);
        }
        let repositories = &mut state.store.repositories;
        let repository =
            repositories.entry(id.to_owned()).or_insert_with(|| Repository::new(false));
        repository.commit("main", "put by a test", entries)
    }

    /// The files of a repository at a revision, with what they hold.
    pub fn get(&self, id: &str, revision: &str) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.state();
        let commit = state.store.repositories.get(id).and_then(|it| it.find(revision));
        let files = commit.into_iter().flat_map(|commit| &commit.files);
        files
            .filter_map(|(name, entry)| Some((name.clone(), state.store.bytes(entry)?.to_vec())))
            .collect()
    }

    /// The titles of a repository's commits, in their order.
    pub fn commits(&self, id: &str) -> Vec<String> {
        let state = self.0.state();
        let repository = state.store.repositories.get(id);
        let commits = repository.into_iter().flat_map(|it| &it.commits);
        commits.map(|commit| commit.title.clone()).collect()
    }

    /// Whether a repository is there, and private.
    pub fn is_private(&self, id: &str) -> Option<bool> {
        self.0.state().store.repositories.get(id).map(|it| it.private)
    }

    /// What xet calls a large file of a commit, where it came in chunks.
    pub fn xet_name(&self, id: &str, revision: &str, file: &str) -> Option<String> {
        let state = self.0.state();
        let entry = state.store.repositories.get(id)?.find(revision)?.files.get(file)?;
        state.store.xet(entry).map(str::to_owned)
    }

    /// Lets something go wrong from now on.
    pub fn fail(&self, fault: Fault) {
        self.0.state().faults.push(fault);
    }

    /// Lets nothing go wrong any more.
    pub fn recover(&self) {
        self.0.state().faults.clear();
    }

    /// What the hub was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.0.state().requests[0].clone()
    }

    /// What its storage was asked so far.
    pub fn storage_requests(&self) -> Vec<Request> {
        self.0.state().requests[1].clone()
    }

    /// Forgets what it was asked.
    pub fn forget(&self) {
        self.0.state().requests = [Vec::new(), Vec::new()];
    }
}
