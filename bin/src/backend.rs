//! Which kernels compute, for tests and comparisons: `SCONCE_BACKEND`, `SCONCE_ISA`, `SCONCE_METHOD`.

use std::str::FromStr;

use sconce::nn::{self, Isa};

use crate::output::Usage;

/// Chooses the kernels that the environment asks for.
pub(crate) fn choose() -> anyhow::Result<()> {
    if let Some(backend) = asked("SCONCE_BACKEND")? {
        nn::set_backend(backend);
    }
    if let Some(isa) = asked::<Isa>("SCONCE_ISA")? {
        if !isa.is_available() {
            return Err(Usage(format!("SCONCE_ISA: this processor has no {isa}")).into());
        }
        nn::set_isa(Some(isa));
    }
    if let Some(method) = asked("SCONCE_METHOD")? {
        nn::set_method(method);
    }
    Ok(())
}

/// What the variable `name` says, if it says something.
fn asked<T: FromStr<Err = String>>(name: &str) -> Result<Option<T>, Usage> {
    let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let parsed = value.to_string_lossy().parse();
    parsed.map(Some).map_err(|reason| Usage(format!("{name}: {reason}")))
}
