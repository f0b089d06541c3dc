//! What a panic looks like to a user: like any other error, one line.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::{Arc, Mutex, PoisonError};

use crate::dashboard;
use crate::output::flat;

/// Runs `work`; where it panics, the line that says so.
///
/// Panics that are caught on the way, as those of a reader on a damaged file, print nothing: they
/// are errors already. Who wants to see all of them sets `RUST_BACKTRACE`.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let asked = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let places = Places::default();
    let (seen, default) = (places.clone(), panic::take_hook());
    panic::set_hook(Box::new(move |info| {
        seen.add(info);
        if asked {
            dashboard::aside(|| default(info));
        }
    }));
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| places.line(payload.as_ref()))
}

/// Where which panics happened, on any thread: what a panic says travels with it, its place does
/// not.
#[derive(Clone, Debug, Default)]
struct Places(Arc<Mutex<Vec<(String, String)>>>);

/// How many panics are remembered: a folder of damaged files makes any number of them.
const MOST: usize = 64;

impl Places {
    fn add(&self, info: &PanicHookInfo<'_>) {
        let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() == MOST {
            places.remove(0);
        }
        places.push((text(info.payload()), place.unwrap_or_default()));
    }

    fn line(&self, payload: &(dyn Any + Send)) -> String {
        let text = text(payload);
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.iter().rev().find(|(said, _)| *said == text);
        let place = place.map_or("", |(_, place)| place);
        format!("error: a defect of this program: {}{place}; please report it", flat(&text))
    }
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("it does not say why").to_owned()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_panic_of_any_thread_is_one_line_with_its_place() {
        let work = || {
            // Caught, as by the threads that read data: not what ends the program.
            let number = 7;
            assert!(panic::catch_unwind(|| panic!("voxel {number} is odd")).is_err());
            let thread = thread::spawn(|| panic!("line 1\n  line 2"));
            panic::resume_unwind(thread.join().expect_err("it panics"));
        };

        let line = guarded(work).expect_err("it panics");
        drop(panic::take_hook());

        let (message, place) = line.split_once(" (").expect("a place");
        assert_eq!(message, "error: a defect of this program: line 1 line 2");
        let (file, number) = place.split_once(".rs:").expect("a file");
        assert!(file.ends_with("defect"), "{line}");
        let number = number.strip_suffix("); please report it").expect("what helps");
        assert!(number.parse::<u32>().is_ok(), "{line}");
    }
}
