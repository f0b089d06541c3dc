//! What takes the place of a format whose feature this build does not have.

use super::decoded::{Decoded, Meta, Trouble, Voxel};

pub(crate) fn meta(_: &impl ?Sized) -> Result<Meta, Trouble> {
    Err(absent())
}

pub(crate) fn decode<V: Voxel>(_: &impl ?Sized) -> Result<Decoded<V>, Trouble> {
    Err(absent())
}

fn absent() -> Trouble {
    Trouble::unsupported(
        "this build was made without its format",
        "build with the cargo feature of that name",
    )
}
