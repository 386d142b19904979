//! One event as one row of numbers, and what does not fit into numbers as an object.

use crate::error::{ErrorData, to_js};
use crate::value::Object;
use hotcell_host::protocol::{Disallowed, Sample, Verdict};
use hotcell_host::{Accounting, Collected, Event, Outcome, RequestId, Stream, Usage, call_name};
use napi::{
    Result,
    bindgen_prelude::{Buffer, Float64Array},
    sys,
};
use napi_derive::napi;
use std::os::fd::IntoRawFd;

/// Numbers in a row: id, kind, and up to ten more.
pub(crate) const STRIDE: usize = 12;
/// Those of the kind's own.
type Data = [f64; STRIDE - 2];

/// What comes along with a row.
#[napi(object, object_from_js = false)]
#[cfg_attr(not(test), expect(dead_code, reason = "made by hand; it is there for its TypeScript declaration"))]
pub struct Extra {
    /// Of a row of kind ERROR.
    pub error: Option<ErrorData>,
    /// Of a row of kind RESULT whose output was collected, unless there was none.
    pub stdout: Option<Buffer>,
    /// Likewise.
    pub stderr: Option<Buffer>,
    /// Of a row of kind RESULT: the system call that the run was ended for.
    pub syscall: Option<String>,
    /// Its six arguments, in hexadecimal with spaces between them.
    pub args: Option<String>,
    /// Of a row of kind TIMELINE: microseconds since the start, microseconds of CPU time, bytes of memory, processes; and so on.
    pub samples: Option<Float64Array>,
}

// Kinds of rows. `src/binding.ts` has the same numbers.
const DONE: f64 = 0.0;
const ERROR: f64 = 1.0;
const RESULT: f64 = 2.0;
const STARTED: f64 = 3.0;
const SYNC: f64 = 4.0;
const FILE: f64 = 5.0;
const CREATED: f64 = 6.0;
const CLOSED: f64 = 7.0;
const TIMELINE: f64 = 8.0;

/// Fills a row, and makes its object if it has one. A descriptor in the event belongs to JavaScript from then on.
///
/// # Safety
/// `env` is valid, and this is its thread.
pub(crate) unsafe fn write(
    env: sys::napi_env,
    row: &mut [f64],
    id: RequestId,
    event: Event,
) -> Result<Option<sys::napi_value>> {
    let mut extra = None;
    let (kind, data) = match event {
        Event::Done => (DONE, Data::default()),
        Event::Failed(error) => {
            // SAFETY: the caller's.
            let object = unsafe { Object::new(env) }?;
            // SAFETY: the caller's.
            object.set(c"error", unsafe { to_js(env, error) }?)?;
            extra = Some(object.raw());
            (ERROR, Data::default())
        }
        Event::Ended(outcome) => {
            if let Some(call) = &outcome.disallowed {
                // SAFETY: the caller's.
                let object = unsafe { Object::new(env) }?;
                set_call(object, call)?;
                extra = Some(object.raw());
            }
            (RESULT, result(outcome, None))
        }
        Event::Collected(collected) => {
            let Collected { outcome, stdout, stderr, breach } = *collected;
            // A Buffer that says nothing costs as much as one that does.
            let outputs = [(c"stdout", stdout), (c"stderr", stderr)].into_iter().filter(|(_, bytes)| !bytes.is_empty());
            let mut outputs = outputs.peekable();
            if outputs.peek().is_some() || outcome.disallowed.is_some() {
                // SAFETY: the caller's.
                let object = unsafe { Object::new(env) }?;
                for (name, bytes) in outputs {
                    object.set_buffer(name, bytes)?;
                }
                if let Some(call) = &outcome.disallowed {
                    set_call(object, call)?;
                }
                extra = Some(object.raw());
            }
            (RESULT, result(outcome, breach))
        }
        Event::Timeline(samples) => {
            // SAFETY: the caller's.
            let object = unsafe { Object::new(env) }?;
            let numbers: Vec<f64> = samples.iter().flat_map(numbers).collect();
            object.set_numbers(c"samples", &numbers)?;
            extra = Some(object.raw());
            (TIMELINE, Data::default())
        }
        Event::Started { pid } => (STARTED, first([f64::from(pid), 0.0])),
        Event::SyncPoint { pid } => (SYNC, first([f64::from(pid), 0.0])),
        Event::File { file, ticket } => (FILE, first([f64::from(file.into_raw_fd()), f64::from(ticket)])),
        // Of requests that JavaScript does not make itself.
        Event::Listed(_) | Event::Files(_) | Event::Filled { .. } => (DONE, Data::default()),
        Event::Created { pid } => (CREATED, first([f64::from(pid), 0.0])),
        Event::Closed { requested } => (CLOSED, first([f64::from(u8::from(requested)), 0.0])),
    };
    // All of them, always: a row is used again and again.
    let numbers = [id.get() as f64, kind].into_iter().chain(data);
    for (place, number) in row.iter_mut().zip(numbers) {
        *place = number;
    }
    Ok(extra)
}

/// In the order that [`Extra::samples`] gives.
fn numbers(sample: &Sample) -> [f64; 4] {
    let Sample { time_us, cpu_us, memory_bytes, processes } = *sample;
    [time_us as f64, cpu_us as f64, memory_bytes as f64, processes.into()]
}

fn set_call(object: Object, call: &Disallowed) -> Result<()> {
    object.set_text(c"syscall", &call_name(call))?;
    let args: Vec<_> = call.args.iter().map(|arg| format!("{arg:#x}")).collect();
    object.set_text(c"args", &args.join(" "))
}

fn first(two: [f64; 2]) -> Data {
    let [a, b] = two;
    [a, b, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
}

/// verdict, its number, user, system and wall µs, memory in bytes, set-up µs, accounting, peak of processes (-1: unknown).
fn result(Outcome { verdict, usage, .. }: Outcome, breach: Option<Stream>) -> Data {
    let (code, number) = match verdict {
        Verdict::Exited(code) => (0.0, code),
        Verdict::Signaled(signal) => (1.0, signal),
        Verdict::CpuTimeLimit => (2.0, 0),
        Verdict::FileSizeLimit => (3.0, 0),
        Verdict::DisallowedSyscall => (4.0, 0),
        Verdict::WallTimeLimit => (7.0, 0),
        Verdict::MemoryLimit => (8.0, 0),
        Verdict::DisallowedFile => (9.0, 0),
    };
    // Whatever the killed program's status says, it was killed for this.
    let (code, number) = match breach {
        None => (code, number),
        Some(Stream::Stdout) => (5.0, 0),
        Some(Stream::Stderr) => (6.0, 0),
    };
    let Usage { user_us, system_us, wall_us, setup_us, memory_bytes, processes_peak, accounting } = usage;
    let accounting = match accounting {
        Accounting::Rusage => 0.0,
        Accounting::Cgroup => 1.0,
    };
    let peak = processes_peak.map_or(-1.0, |peak| peak as f64);
    let times = [user_us, system_us, wall_us, setup_us].map(|us| us as f64);
    let [user, system, wall, setup] = times;
    [code, number.into(), user, system, wall, memory_bytes as f64, setup, accounting, peak, 0.0]
}
