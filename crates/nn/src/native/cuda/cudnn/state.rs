//! What is kept for each device: a handle, plans and a workspace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use candle::cuda_backend::cudarc::cudnn::{result, sys};
use candle::cuda_backend::cudarc::driver::{CudaSlice, CudaStream};
use candle::cuda_backend::{DeviceId, WrapErr};
use candle::{CudaDevice, Result, bail};

use super::plan::{Key, Plan};

/// A handle of cuDNN.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handle(pub(super) sys::cudnnHandle_t);

/// Memory that algorithms work in, as large as the largest has asked for.
#[derive(Debug, Default)]
pub(super) struct Workspace(Option<CudaSlice<u8>>);

impl Workspace {
    /// At least so many bytes; nothing for none.
    pub(super) fn of(
        &mut self,
        stream: &Arc<CudaStream>,
        bytes: usize,
    ) -> Result<Option<&mut CudaSlice<u8>>> {
        if bytes == 0 {
            return Ok(None);
        }
        if self.0.as_ref().is_none_or(|held| held.len() < bytes) {
            // The old one goes first: both might be too much.
            self.0 = None;
            #[expect(unsafe_code, reason = "what an algorithm works in it also fills")]
            // SAFETY: bytes may be anything, and no one reads them but cuDNN, after it wrote them.
            let fresh = unsafe { stream.alloc(bytes).w()? };
            self.0 = Some(fresh);
        }
        Ok(self.0.as_mut())
    }
}

/// What is kept for one device.
#[derive(Debug)]
pub(super) struct State {
    handle: Handle,
    plans: HashMap<Key, Plan>,
    workspace: Workspace,
}

#[expect(unsafe_code, reason = "handles and descriptors are pointers")]
// SAFETY: cuDNN allows any thread to use them, one at a time, which the lock around a state sees to.
unsafe impl Send for State {}

impl State {
    fn new(stream: &CudaStream) -> Result<Self> {
        let handle = result::create_handle().map_err(|error| {
            candle::Error::msg(format!("cuDNN does not start (feature cudnn): {error}"))
        })?;
        let state =
            Self { handle: Handle(handle), plans: HashMap::new(), workspace: Workspace::default() };
        #[expect(unsafe_code, reason = "cudarc's safe handle keeps itself to one thread")]
        // SAFETY: the handle is new, and the stream is candle's, which lives as long as its device.
        let set = unsafe { result::set_stream(handle, stream.cu_stream().cast()) };
        set.map_err(candle::Error::wrap)?;
        Ok(state)
    }

    pub(super) fn parts(&mut self) -> (Handle, &mut HashMap<Key, Plan>, &mut Workspace) {
        (self.handle, &mut self.plans, &mut self.workspace)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.plans.clear();
        #[expect(unsafe_code, reason = "cudarc's safe handle keeps itself to one thread")]
        // SAFETY: the handle was created once, and is destroyed once.
        let _ = unsafe { result::destroy_handle(self.handle.0) };
    }
}

/// The handle that stands for a stream of its own for each thread.
const STREAM_PER_THREAD: usize = 2;

/// A device, and where its stream is another one for each thread, the thread.
type Place = (DeviceId, Option<ThreadId>);

/// What `run` returns, with the state of `device`, and cuDNN bound to its context.
pub(super) fn with_state<T>(
    device: &CudaDevice,
    run: impl FnOnce(&mut State) -> Result<T>,
) -> Result<T> {
    static STATES: Mutex<Option<HashMap<Place, Arc<Mutex<State>>>>> = Mutex::new(None);
    let stream = device.cuda_stream();
    stream.context().bind_to_thread().w()?;
    let per_thread = stream.cu_stream() as usize == STREAM_PER_THREAD;
    let place = (device.id(), per_thread.then(|| std::thread::current().id()));
    let state = {
        let Ok(mut states) = STATES.lock() else { bail!("a thread panicked while it used cuDNN") };
        let states = states.get_or_insert_default();
        if let Some(state) = states.get(&place) {
            state.clone()
        } else {
            let state = Arc::new(Mutex::new(State::new(&stream)?));
            states.insert(place, state.clone());
            state
        }
    };
    let Ok(mut state) = state.lock() else { bail!("a thread panicked while it used cuDNN") };
    run(&mut state)
}
