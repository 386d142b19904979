//! From the reactor thread to JavaScript: a queue, and one thread-safe function to wake its reader.
//!
//! The reader takes the whole queue at once, so a burst of events costs one wake-up: `scheduled` is set by the first of them and
//! cleared just before the queue is taken. Numbers go into rows that JavaScript shares; objects are made only for events that
//! have something else to say.
//!
//! # The end of an environment
//! Node frees the thread-safe function when its environment ends, whatever other threads are doing. So the pointer is used under
//! a lock only, and the cleanup hook, which Node runs before it frees (hooks run in the reverse order of their making), takes it
//! away.

use crate::completion::{self, STRIDE};
use crate::container::Container;
use crate::descriptor::close_descriptor;
use crate::seccomp::Seccomp;
use crate::setup::SetupInput;
use crate::value::check;
use hotcell_host::{Event, Master, RequestId, Sink};
use napi::bindgen_prelude::{Env, JsValue, Unknown};
use napi::{Error, Result, Status, sys};
use napi_derive::napi;
use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::{mem, ptr, slice};

/// One for each JavaScript environment.
#[napi]
pub struct Bridge {
    shared: Arc<Shared>,
}

/// What the reactor thread and the environment's thread share.
pub(crate) struct Shared {
    queue: Mutex<Vec<(RequestId, Event)>>,
    /// The function has been called and has not looked at the queue yet.
    scheduled: AtomicBool,
    /// None once the environment has ended.
    function: Mutex<Option<Function>>,
    /// Those that the environment has to take along. Weak: a handle that JavaScript drops destroys its container.
    containers: Mutex<HashMap<u64, Weak<Master>>>,
    /// Descriptors that JavaScript has as bare numbers, in an environment that can end before the process.
    descriptors: Mutex<HashSet<i32>>,
}

struct Function(sys::napi_threadsafe_function);

// SAFETY: Node-API says that it may be called from any thread.
unsafe impl Send for Function {}

/// What only the environment's thread touches.
struct Reader {
    shared: Arc<Shared>,
    rows: sys::napi_ref,
    /// Swapped with the queue, so that neither is ever allocated again.
    taken: Vec<(RequestId, Event)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink for Shared {
    fn deliver(&self, id: RequestId, event: Event) {
        lock(&self.queue).push((id, event));
    }

    fn flush(&self) {
        if self.scheduled.swap(true, Ordering::AcqRel) {
            return;
        }
        match &*lock(&self.function) {
            // SAFETY: the environment has not ended, and cannot while we hold the lock.
            Some(Function(function)) => unsafe {
                sys::napi_call_threadsafe_function(
                    *function,
                    ptr::null_mut(),
                    sys::ThreadsafeFunctionCallMode::nonblocking,
                );
            },
            // Nobody is left to be told; files among the events are closed.
            None => {
                lock(&self.queue).clear();
                self.scheduled.store(false, Ordering::Release);
            }
        }
    }
}

impl Shared {
    /// The environment has ended: nothing is called any more, and its containers go.
    fn end(&self) {
        *lock(&self.function) = None;
        let containers = mem::take(&mut *lock(&self.containers));
        for container in containers.into_values().filter_map(|container| container.upgrade()) {
            container.destroy();
        }
        for descriptor in mem::take(&mut *lock(&self.descriptors)) {
            close_descriptor(descriptor);
        }
        lock(&self.queue).clear();
    }

    pub(crate) fn forget(&self, id: RequestId) {
        lock(&self.containers).remove(&id.get());
    }
}

#[napi]
impl Bridge {
    /// `rows` takes twelve numbers for each completion of a batch before `onBatch` is called; `extras` is null when no completion
    /// of the batch has one.
    #[napi(
        constructor,
        catch_unwind,
        ts_args_type = "rows: Float64Array, onBatch: (count: number, extras: Array<Extra | null> | null) => void"
    )]
    pub fn new(env: Env, rows: Unknown, on_batch: Unknown) -> Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            scheduled: AtomicBool::new(false),
            function: Mutex::new(None),
            containers: Mutex::default(),
            descriptors: Mutex::default(),
        });
        let env = env.raw();
        let mut reference = ptr::null_mut();
        // SAFETY: this is the environment's thread, and `rows` an argument of this call.
        check(unsafe { sys::napi_create_reference(env, rows.raw(), 1, &raw mut reference) }, "hold the rows")?;
        let reader = Box::new(Reader { shared: Arc::clone(&shared), rows: reference, taken: Vec::new() });
        // SAFETY: this is the environment's thread, and `on_batch` an argument of this call.
        let function = unsafe { make_function(env, on_batch.raw(), reader) }?;
        *lock(&shared.function) = Some(Function(function));
        let argument = Arc::into_raw(Arc::clone(&shared)).cast_mut().cast();
        // SAFETY: the hook owns its argument, and runs once, on this thread.
        check(unsafe { sys::napi_add_env_cleanup_hook(env, Some(on_end), argument) }, "watch for the end")?;
        Ok(Self { shared })
    }

    /// Keeps the event loop alive.
    #[napi(catch_unwind, js_name = "ref")]
    pub fn hold(&self, env: Env) {
        if let Some(Function(function)) = &*lock(&self.shared.function) {
            // SAFETY: the function lives as long as it stands there, and this is its thread.
            unsafe { sys::napi_ref_threadsafe_function(env.raw(), *function) };
        }
    }

    /// Lets the event loop end.
    #[napi(catch_unwind, js_name = "unref")]
    pub fn release(&self, env: Env) {
        if let Some(Function(function)) = &*lock(&self.shared.function) {
            // SAFETY: the function lives as long as it stands there, and this is its thread.
            unsafe { sys::napi_unref_threadsafe_function(env.raw(), *function) };
        }
    }

    /// Has a descriptor closed when the environment ends, unless it is disowned before. For workers: the end of the main thread is
    /// that of the process.
    #[napi(catch_unwind)]
    pub fn adopt(&self, fd: i32) {
        lock(&self.shared.descriptors).insert(fd);
    }

    /// Somebody else closes it, now or later.
    #[napi(catch_unwind)]
    pub fn disown(&self, fd: i32) {
        lock(&self.shared.descriptors).remove(&fd);
    }

    /// Starts to make a container. CREATED or ERROR arrives under its `id`, and at the end CLOSED under its `closedId`.
    #[napi(catch_unwind)]
    pub fn launch(&self, mut setup: SetupInput, seccomp: &Seccomp) -> Result<Container> {
        let (cgroup, limits) = setup.take_limits()?;
        let setup = setup.into_setup()?;
        let sink = Arc::clone(&self.shared) as Arc<dyn Sink>;
        Ok(match Master::create_in(setup, &cgroup, &limits, seccomp.policy(), &sink) {
            Ok(master) => {
                let master = Arc::new(master);
                lock(&self.shared.containers).insert(master.id().get(), Arc::downgrade(&master));
                Container::new(master, Arc::clone(&self.shared))
            }
            Err(error) => Container::refused(error, Arc::clone(&self.shared)),
        })
    }
}

/// A thread-safe function that does not keep the event loop alive, and owns its reader.
///
/// # Safety
/// `env` is valid, this is its thread, and `on_batch` is a value of the current scope.
unsafe fn make_function(
    env: sys::napi_env,
    on_batch: sys::napi_value,
    reader: Box<Reader>,
) -> Result<sys::napi_threadsafe_function> {
    const NAME: &str = "hotcell";
    let mut name = ptr::null_mut();
    // SAFETY: Node-API reads the bytes and writes one handle.
    let status = unsafe { sys::napi_create_string_utf8(env, NAME.as_ptr().cast(), NAME.len() as isize, &raw mut name) };
    check(status, "make a string")?;
    let mut function = ptr::null_mut();
    let context: *mut c_void = Box::into_raw(reader).cast();
    // SAFETY: `context` is given to `on_free` once, when nothing uses it any more; `on_wake` gets it on this thread only.
    let status = unsafe {
        sys::napi_create_threadsafe_function(
            env,
            on_batch,
            ptr::null_mut(),
            name,
            0,
            1,
            context,
            Some(on_free),
            context,
            Some(on_wake),
            &raw mut function,
        )
    };
    if let Err(error) = check(status, "make a thread-safe function") {
        // SAFETY: nobody else took it.
        drop(unsafe { Box::<Reader>::from_raw(context.cast()) });
        return Err(error);
    }
    // SAFETY: made above, on this thread.
    check(unsafe { sys::napi_unref_threadsafe_function(env, function) }, "let the event loop end")?;
    Ok(function)
}

/// The environment ends.
unsafe extern "C" fn on_end(argument: *mut c_void) {
    // SAFETY: `Bridge::new` gave one count of this Arc to the hook, which runs once.
    let shared = unsafe { Arc::<Shared>::from_raw(argument.cast_const().cast()) };
    let _ = catch_unwind(AssertUnwindSafe(|| shared.end()));
}

/// The thread-safe function is being freed.
unsafe extern "C" fn on_free(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: `make_function` gave the box to the function, which gives it back once. The reference to the rows dies with the
    // environment.
    drop(unsafe { Box::<Reader>::from_raw(data.cast()) });
}

/// On the environment's thread, after `flush`.
unsafe extern "C" fn on_wake(env: sys::napi_env, on_batch: sys::napi_value, context: *mut c_void, _: *mut c_void) {
    // Called without an environment for what is still queued when it ends.
    if env.is_null() {
        return;
    }
    // SAFETY: the reader lives as long as the function, and Node-API runs one call of it at a time, on one thread: JavaScript
    // called from here cannot come back to it.
    let reader = unsafe { &mut *context.cast::<Reader>() };
    // SAFETY: Node-API gave the handles for this call.
    if catch_unwind(AssertUnwindSafe(|| unsafe { reader.read(env, on_batch) })).is_err() {
        // SAFETY: Node-API reads a NUL-terminated string.
        unsafe { sys::napi_throw_error(env, ptr::null(), c"hotcell: a panic in the binding".as_ptr()) };
        // SAFETY: as for `read`.
        unsafe { rethrow(env) };
    }
}

impl Reader {
    /// Takes what is queued and tells JavaScript, in as many calls as the rows make necessary.
    ///
    /// # Safety
    /// `env` is valid, this is its thread, and `on_batch` a handle of the current scope.
    unsafe fn read(&mut self, env: sys::napi_env, on_batch: sys::napi_value) {
        // First this, then the queue: who adds to it afterwards schedules another call.
        self.shared.scheduled.store(false, Ordering::Release);
        mem::swap(&mut *lock(&self.shared.queue), &mut self.taken);
        while !self.taken.is_empty() {
            // SAFETY: the caller's.
            if unsafe { self.tell(env, on_batch) }.is_err() {
                // An exception of JavaScript's concerns one batch; the next is told all the same.
                // SAFETY: the caller's.
                unsafe { rethrow(env) };
            }
        }
    }

    /// One batch. Afterwards it is no longer among what is taken, whatever happened.
    ///
    /// # Safety
    /// As for [`Reader::read`].
    unsafe fn tell(&mut self, env: sys::napi_env, on_batch: sys::napi_value) -> Result<()> {
        // SAFETY: the caller's.
        let rows = match unsafe { self.rows(env) } {
            Ok(rows) if rows.len() >= STRIDE => rows,
            _ => {
                self.taken.clear();
                return Err(Error::from_reason("the rows are gone, or too short for one completion"));
            }
        };
        let count = self.taken.len().min(rows.len() / STRIDE);
        let mut extras = ptr::null_mut();
        // SAFETY: Node-API writes one handle.
        check(unsafe { sys::napi_get_null(env, &raw mut extras) }, "get null")?;
        let null = extras;
        for (index, ((id, event), row)) in self.taken.drain(..count).zip(rows.chunks_exact_mut(STRIDE)).enumerate() {
            // SAFETY: the caller's.
            let Some(extra) = (unsafe { completion::write(env, row, id, event) })? else { continue };
            if extras == null {
                // SAFETY: the caller's.
                extras = unsafe { nulls(env, null, count) }?;
            }
            // SAFETY: both are handles of the current scope.
            check(unsafe { sys::napi_set_element(env, extras, index as u32, extra) }, "set an element")?;
        }
        let (mut number, mut this, mut result) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: Node-API writes one handle.
        check(unsafe { sys::napi_create_uint32(env, count as u32, &raw mut number) }, "make a number")?;
        // SAFETY: as above.
        check(unsafe { sys::napi_get_undefined(env, &raw mut this) }, "get undefined")?;
        let arguments = [number, extras];
        // SAFETY: all are handles of the current scope; nothing here is borrowed from JavaScript any more.
        let status = unsafe {
            sys::napi_call_function(env, this, on_batch, arguments.len(), arguments.as_ptr(), &raw mut result)
        };
        check(status, "call onBatch")
    }

    /// The memory of the rows, asked for each time: JavaScript could have transferred it away.
    ///
    /// # Safety
    /// As for [`Reader::read`]; and the slice may not be used once JavaScript has run again.
    unsafe fn rows<'a>(&self, env: sys::napi_env) -> Result<&'a mut [f64]> {
        let mut rows = ptr::null_mut();
        // SAFETY: the reference lives as long as the environment; Node-API writes one handle.
        check(unsafe { sys::napi_get_reference_value(env, self.rows, &raw mut rows) }, "get the rows")?;
        let (mut kind, mut length, mut data) = (0, 0, ptr::null_mut());
        let (buffer, offset) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: Node-API writes one value to each of the places that are not null.
        let status = unsafe {
            sys::napi_get_typedarray_info(env, rows, &raw mut kind, &raw mut length, &raw mut data, buffer, offset)
        };
        check(status, "get the rows")?;
        if kind != sys::TypedarrayType::float64_array || data.is_null() {
            return Err(Error::new(Status::InvalidArg, "the rows are no Float64Array".to_owned()));
        }
        // SAFETY: V8 keeps float64 arrays aligned and in place; `length` counts doubles; JavaScript does not run meanwhile.
        Ok(unsafe { slice::from_raw_parts_mut(data.cast(), length) })
    }
}

/// An array of so many nulls.
///
/// # Safety
/// `env` is valid, this is its thread, and `null` is null.
unsafe fn nulls(env: sys::napi_env, null: sys::napi_value, count: usize) -> Result<sys::napi_value> {
    let mut array = ptr::null_mut();
    // SAFETY: Node-API writes one handle.
    check(unsafe { sys::napi_create_array_with_length(env, count, &raw mut array) }, "make an array")?;
    for index in 0..count {
        // SAFETY: both are handles of the current scope.
        check(unsafe { sys::napi_set_element(env, array, index as u32, null) }, "set an element")?;
    }
    Ok(array)
}

/// Makes a pending exception an uncaught one, as if it came from a callback of Node's own.
///
/// # Safety
/// `env` is valid, and this is its thread.
unsafe fn rethrow(env: sys::napi_env) {
    let (mut pending, mut exception) = (false, ptr::null_mut());
    // SAFETY: Node-API writes one bool.
    unsafe { sys::napi_is_exception_pending(env, &raw mut pending) };
    if !pending {
        return;
    }
    // SAFETY: Node-API writes one handle.
    if unsafe { sys::napi_get_and_clear_last_exception(env, &raw mut exception) } == sys::Status::napi_ok {
        // SAFETY: a handle of the current scope.
        unsafe { sys::napi_fatal_exception(env, exception) };
    }
}
