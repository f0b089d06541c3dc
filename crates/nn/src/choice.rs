use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::LocalKey;

/// A setting of the process, by its code, which a scope on one thread may override.
#[derive(Debug)]
pub(crate) struct Choice {
    code: AtomicU8,
    scope: &'static LocalKey<Cell<Option<u8>>>,
}

impl Choice {
    pub(crate) const fn new(code: u8, scope: &'static LocalKey<Cell<Option<u8>>>) -> Self {
        Self { code: AtomicU8::new(code), scope }
    }

    /// Sets it for the process, and returns what was set before.
    pub(crate) fn set(&self, code: u8) -> u8 {
        self.code.swap(code, Ordering::Relaxed)
    }

    /// What holds on this thread.
    pub(crate) fn get(&self) -> u8 {
        self.scope.get().unwrap_or_else(|| self.code.load(Ordering::Relaxed))
    }

    /// What `run` returns, with another choice on this thread.
    pub(crate) fn with<T>(&self, code: u8, run: impl FnOnce() -> T) -> T {
        /// Puts the outer scope back, on a panic too.
        struct Restore(&'static LocalKey<Cell<Option<u8>>>, Option<u8>);
        impl Drop for Restore {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _restore = Restore(self.scope, self.scope.replace(Some(code)));
        run()
    }
}
