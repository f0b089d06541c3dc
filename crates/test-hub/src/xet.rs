//! The storage that large files go to in chunks: the simulation that xet's own crates bring.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use xet_client::cas_client::{
    DeletionControlableClient as _, DirectAccessClient as _, LocalServer, MemoryClient,
};
use xet_runtime::core::XetContext;

/// A running storage.
pub(crate) struct Xet {
    runtime: Runtime,
    client: Arc<MemoryClient>,
    endpoint: String,
    /// It runs until this is dropped.
    _running: tokio::sync::oneshot::Sender<()>,
}

impl fmt::Debug for Xet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xet").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Xet {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("cannot start the storage's runtime")?;
        let client = MemoryClient::new(XetContext::default()?);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let port = listener.local_addr()?.port();
        let (running, stopped) = tokio::sync::oneshot::channel();
        let server = LocalServer::from_client(
            client.clone(),
            Some(client.clone()),
            "127.0.0.1".to_owned(),
            port,
        );
        // Whatever ends it, ends the requests of the test that needs it.
        runtime.spawn(async move { server.serve_until_stopped(listener, stopped).await });
        let endpoint = format!("http://127.0.0.1:{port}");
        Ok(Self { runtime, client, endpoint, _running: running })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The files that are not among those known, by the name that xet gave them.
    pub(crate) fn files(&self, known: &BTreeSet<String>) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        self.runtime.block_on(async {
            let mut found = Vec::new();
            for (file, _) in self.client.list_file_shard_entries().await? {
                let name = file.hex();
                if !known.contains(&name) {
                    let bytes = self.client.get_file_data(&file, None).await?;
                    found.push((name, bytes.to_vec()));
                }
            }
            Ok(found)
        })
    }
}
