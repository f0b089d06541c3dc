//! Numbers that no network has, and that would overflow others.

use crate::Error;

/// Channels that a layer has at most.
const MOST_CHANNELS: usize = 1 << 16;

/// Refuses channels that are none, or too many.
pub(crate) fn width(setting: &'static str, channels: usize) -> Result<(), Error> {
    if channels == 0 {
        return Err(Error::Zero(setting));
    }
    if channels > MOST_CHANNELS {
        return Err(Error::setting(setting, &channels, "no layer has more than 65,536 channels"));
    }
    Ok(())
}

/// The same of each.
pub(crate) fn widths(setting: &'static str, channels: &[usize]) -> Result<(), Error> {
    channels.iter().try_for_each(|&channels| width(setting, channels))
}
