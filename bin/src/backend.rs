//! Which kernels compute, for tests: `SCONCE_BACKEND`.

use sconce::nn::{self, Backend};

use crate::output::Usage;

/// Chooses the kernels that the environment asks for.
pub(crate) fn choose() -> anyhow::Result<()> {
    let backend = match std::env::var("SCONCE_BACKEND").as_deref() {
        Err(_) | Ok("" | "auto") => Backend::Auto,
        Ok("reference") => Backend::Reference,
        Ok("native") => Backend::Native,
        Ok(other) => {
            let message = format!("SCONCE_BACKEND is {other}; use auto, reference or native");
            return Err(Usage(message).into());
        }
    };
    nn::set_backend(backend);
    Ok(())
}
