//! The allocator of the program.
//!
//! Training allocates and frees a hundred large tensors a step. The system's allocator gives their
//! pages back each time, and the system clears each page that it hands out again: a quarter of the
//! time of a step. This one keeps what it has got until the program ends.

use libmimalloc_sys::{mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3: milliseconds until freed pages go back, or −1 for never.
const PURGE_DELAY: mi_option_t = 15;

/// Keeps freed pages, unless the environment says when they are to go back.
pub(crate) fn keep_pages() {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        #[expect(unsafe_code, reason = "options of the allocator are set through its C interface")]
        // SAFETY: the option exists, takes any number, and is read atomically.
        unsafe {
            mi_option_set(PURGE_DELAY, -1);
        }
    }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    #[test]
    fn the_option_is_the_one_that_it_is_taken_for() {
        #[expect(unsafe_code, reason = "see `keep_pages`")]
        // SAFETY: the option exists, and is read atomically.
        let delay = unsafe { mi_option_get(PURGE_DELAY) };

        // A second, where nobody says otherwise: no other option of mimalloc 3 near it is that.
        assert!(delay == 1000 || std::env::var_os("MIMALLOC_PURGE_DELAY").is_some(), "{delay}");
    }
}
