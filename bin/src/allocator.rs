//! The allocator of the program.
//!
//! Training allocates and frees a hundred large tensors a step. The system's allocator gives their
//! pages back each time, and the system clears each page that it hands out again: a quarter of the
//! time of a step. This one keeps what it has got until the program ends.
//!
//! It also counts what is held, so that a run can say how much memory it will need, and says in one line that there
//! is none left, where Rust would end the program with a signal.

use std::alloc::{GlobalAlloc, Layout};
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use libmimalloc_sys::{mi_option_set, mi_option_t};
use mimalloc::MiMalloc;
use sconce::engine::MemoryMeter;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// `mi_option_purge_delay` of mimalloc 3: milliseconds until freed pages go back, or −1 for never.
const PURGE_DELAY: mi_option_t = 15;

/// Less than this is not counted: it is many and little.
const COUNTED: usize = 4096;

/// Bytes that are held now, and the most that were since the meter was set back.
static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// mimalloc, counted.
struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by contract; see `keep_pages` for what it is good for"
)]
// SAFETY: everything is mimalloc's, which is an allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller of this promises.
        let found = unsafe { MiMalloc.alloc(layout) };
        counted(found, 0, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let found = unsafe { MiMalloc.alloc_zeroed(layout) };
        counted(found, 0, layout.size())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let found = unsafe { MiMalloc.realloc(pointer, layout, size) };
        counted(found, layout.size(), size)
    }
}

/// What was found, once it is counted; where nothing was found, the program ends.
fn counted(found: *mut u8, before: usize, size: usize) -> *mut u8 {
    if found.is_null() {
        out_of_memory(size);
    }
    count(before, size);
    found
}

fn count(before: usize, after: usize) {
    if before >= COUNTED {
        HELD.fetch_sub(before, Ordering::Relaxed);
    }
    if after >= COUNTED {
        let held = HELD.fetch_add(after, Ordering::Relaxed) + after;
        // Mostly it is not, and a look costs less.
        if held > MOST.load(Ordering::Relaxed) {
            MOST.fetch_max(held, Ordering::Relaxed);
        }
    }
}

/// Nothing that a program does without memory is of use; files are whole or not there at any moment.
fn out_of_memory(size: usize) -> ! {
    // Without a buffer: there is no memory for one.
    let mut line = [0u8; 160];
    let room = line.len();
    let mut rest = &mut line[..];
    _ = writeln!(
        rest,
        "error: out of memory: {} MB more were asked for; use smaller batches or patches, or a machine \
         with more memory",
        size.div_ceil(1_000_000)
    );
    let length = room - rest.len();
    _ = std::io::stderr().write_all(&line[..length]);
    std::process::exit(1)
}

/// What the program itself holds in tensors and images.
#[derive(Debug)]
pub(crate) struct Meter;

impl MemoryMeter for Meter {
    fn held(&self) -> u64 {
        HELD.load(Ordering::Relaxed) as u64
    }

    fn most(&self) -> u64 {
        MOST.load(Ordering::Relaxed) as u64
    }

    fn set_back(&self) {
        MOST.store(HELD.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

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

    #[test]
    fn what_is_held_is_counted_until_it_is_dropped() {
        const LARGE: u64 = 1 << 30;
        Meter.set_back();
        let before = Meter.held();

        let held = std::hint::black_box(Vec::<u8>::with_capacity(1 << 30));
        // Other tests run beside this one, and hold less.
        assert!(Meter.held() >= before.saturating_sub(LARGE / 4) + LARGE);
        drop(held);

        assert!(Meter.most() >= before.saturating_sub(LARGE / 4) + LARGE);
        assert!(Meter.held() < before + LARGE / 2);
    }
}
