use crate::backend::{Backend, backend, with_backend};
use crate::isa::{Isa, isa, with_isa};
use crate::method::{Method, method, with_method};
use crate::prepared::{self, PreparedWeights};

/// How layers are computed on a thread: what [`with_backend`], [`with_isa`], [`with_method`] and [`PreparedWeights::within`] have chosen,
/// which holds for their thread alone. To be taken along to others.
///
/// # Examples
///
/// ```
/// use sconce_nn::{Method, Setting, method, with_method};
///
/// let setting = with_method(Method::Direct, Setting::of_this_thread);
/// let there = std::thread::spawn(move || setting.within(method)).join();
/// assert_eq!(there.ok(), Some(Method::Direct));
/// ```
#[derive(Clone, Debug)]
pub struct Setting {
    backend: Backend,
    isa: Isa,
    method: Method,
    weights: Option<PreparedWeights>,
}

impl Setting {
    /// What holds here and now.
    pub fn of_this_thread() -> Self {
        Self { backend: backend(), isa: isa(), method: method(), weights: prepared::current() }
    }

    /// What `run` returns, its layers computed as on the thread that this was taken from.
    pub fn within<T>(&self, run: impl FnOnce() -> T) -> T {
        let run =
            || with_backend(self.backend, || with_isa(self.isa, || with_method(self.method, run)));
        match &self.weights {
            Some(weights) => weights.within(run),
            None => run(),
        }
    }
}
