//! Which kernels compute, for tests: `SCONCE_BACKEND`.

use sconce::nn;

use crate::output::Usage;

/// Chooses the kernels that the environment asks for.
pub(crate) fn choose() -> anyhow::Result<()> {
    if let Some(name) = std::env::var_os("SCONCE_BACKEND").filter(|name| !name.is_empty()) {
        let backend = name.to_string_lossy().parse();
        nn::set_backend(backend.map_err(|reason| Usage(format!("SCONCE_BACKEND: {reason}")))?);
    }
    Ok(())
}
