//! A container's methods, as JavaScript calls them. Each returns the id of its completion at once; none throws for anything
//! that can happen at run time.
#![expect(clippy::too_many_arguments, reason = "an object as argument would cost more than the rest of the call")]

use crate::arguments::{ByteArg, descriptor, descriptors, limits, rlimits};
use crate::bridge::Shared;
use crate::landlock::LandlockInput;
use crate::seccomp::Seccomp;
use crate::trace::{Asked, TraceRun};
use hotcell_host::protocol::{Failure, Step, WindowSize};
use hotcell_host::trace::Trace;
use hotcell_host::{Error, Event, Master, Pipes, Program, RequestId, Sink, Spawned as HostSpawned};
use napi_derive::napi;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

/// A container. Collected, it is destroyed.
#[napi]
pub struct Container {
    /// Where CREATED arrives, or ERROR.
    #[napi(readonly)]
    pub id: f64,
    /// Where CLOSED arrives, at the end, in either case.
    #[napi(readonly)]
    pub closed_id: f64,
    /// Without one, it could not even be begun with.
    master: Option<Arc<Master>>,
    shared: Arc<Shared>,
    sink: Arc<dyn Sink>,
}

/// A program that was started, and our ends of its pipes; -1 where there is none.
#[napi(object, object_from_js = false)]
pub struct Spawned {
    /// Of its completion.
    pub id: f64,
    /// To write to.
    pub stdin: i32,
    /// To read from.
    pub stdout: i32,
    /// To read from.
    pub stderr: i32,
}

/// Run flags.
const SYNC: u32 = 1;
const STARTED: u32 = 2;

/// Bits of `pipes`.
const STDIN: u32 = 1;
const STDOUT: u32 = 2;
const STDERR: u32 = 4;

fn number(id: RequestId) -> f64 {
    id.get() as f64
}

fn request(number: f64) -> RequestId {
    RequestId::from_number(number as u64)
}

/// What the three ways of running have in common.
fn program<'a>(
    args: &'a ByteArg,
    exec_file: f64,
    env: Option<&'a ByteArg>,
    cwd: Option<&'a ByteArg>,
    rlimit_triples: Option<Vec<f64>>,
    (numbers, cpu_set): (Option<Vec<f64>>, Option<String>),
    seccomp: Option<&Seccomp>,
    landlock: Option<&'a LandlockInput>,
    trace: &'a Asked,
    (tty, sample_us, flags): (u32, u32, u32),
) -> Result<Program<'a>, Failure> {
    let bad = || Failure::new(Step::Execve, libc::EBADF);
    let executable = if exec_file == -1.0 { None } else { Some(descriptor(exec_file).ok_or_else(bad)?) };
    Ok(Program {
        args: args.as_bytes(),
        executable,
        env: env.map(ByteArg::as_bytes),
        cwd: cwd.map(ByteArg::as_bytes),
        rlimits: rlimit_triples.map_or(Ok(Vec::new()), |triples| rlimits(&triples))?,
        limits: limits(numbers.as_deref(), cpu_set.as_deref())?,
        seccomp: seccomp.map(Seccomp::policy),
        landlock: landlock.map(LandlockInput::rules),
        trace: trace.0.as_ref().map(|(tracing, events)| Trace { tracing: tracing.clone(), events: events.as_fd() }),
        terminal: (tty != 0).then_some(WindowSize { columns: (tty >> 16) as u16, rows: tty as u16 }),
        sample_us: (sample_us > 0).then_some(sample_us),
        sync: flags & SYNC != 0,
        report_start: flags & STARTED != 0,
    })
}

impl Container {
    pub(crate) fn new(master: Arc<Master>, shared: Arc<Shared>) -> Self {
        let (id, closed_id) = (number(master.id()), number(master.closed_id()));
        let sink = Arc::clone(&shared) as Arc<dyn Sink>;
        Self { id, closed_id, master: Some(master), shared, sink }
    }

    /// One that could not be begun with; JavaScript is told in the same way as of one that fails later.
    pub(crate) fn refused(error: Error, shared: Arc<Shared>) -> Self {
        let (id, closed_id) = (RequestId::next(), RequestId::next());
        shared.deliver(id, Event::Failed(error));
        shared.deliver(closed_id, Event::Closed { requested: false });
        shared.flush();
        let sink = Arc::clone(&shared) as Arc<dyn Sink>;
        Self { id: number(id), closed_id: number(closed_id), master: None, shared, sink }
    }

    /// Makes a request, or says that it could not be made.
    pub(crate) fn ask(&self, make: impl FnOnce(&Master, &Arc<dyn Sink>) -> Result<RequestId, Error>) -> f64 {
        let made = match &self.master {
            Some(master) => make(master, &self.sink),
            None => Err(Error::UseDestroyed),
        };
        number(made.unwrap_or_else(|error| self.fail(error)))
    }

    fn fail(&self, error: Error) -> RequestId {
        let id = RequestId::next();
        self.shared.deliver(id, Event::Failed(error));
        self.shared.flush();
        id
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Its id as a number came from a RequestId.
        self.shared.forget(request(self.id));
    }
}

#[napi]
impl Container {
    /// DONE.
    #[napi(catch_unwind)]
    pub fn ping(&self) -> f64 {
        self.ask(|master, sink| Ok(master.ping(sink)))
    }

    /// FILE.
    #[napi(catch_unwind, ts_args_type = "path: Bytes, flags: number, mode: number")]
    pub fn open(&self, path: ByteArg, flags: i32, mode: u32) -> f64 {
        self.ask(|master, sink| Ok(master.open(path.as_bytes(), flags, mode, sink)))
    }

    /// FILE, to be written, then committed or discarded by its ticket.
    #[napi(catch_unwind, ts_args_type = "path: Bytes, mode: number")]
    pub fn replace(&self, path: ByteArg, mode: u32) -> f64 {
        self.ask(|master, sink| Ok(master.replace(path.as_bytes(), mode, sink)))
    }

    /// DONE.
    #[napi(catch_unwind)]
    pub fn commit(&self, ticket: u32) -> f64 {
        self.ask(|master, sink| Ok(master.commit(ticket, sink)))
    }

    /// DONE.
    #[napi(catch_unwind)]
    pub fn discard(&self, ticket: u32) -> f64 {
        self.ask(|master, sink| Ok(master.discard(ticket, sink)))
    }

    /// DONE.
    #[napi(catch_unwind, ts_args_type = "path: Bytes, recursive: boolean")]
    pub fn delete(&self, path: ByteArg, recursive: bool) -> f64 {
        self.ask(|master, sink| Ok(master.delete(path.as_bytes(), recursive, sink)))
    }

    /// DONE.
    #[napi(catch_unwind, ts_args_type = "target: Bytes, path: Bytes")]
    pub fn symlink(&self, target: ByteArg, path: ByteArg) -> f64 {
        self.ask(|master, sink| Ok(master.symlink(target.as_bytes(), path.as_bytes(), sink)))
    }

    /// DONE.
    #[napi(catch_unwind)]
    pub fn reset(&self) -> f64 {
        self.ask(|master, sink| Ok(master.reset(sink)))
    }

    /// RESULT.
    ///
    /// `args` and `env` are NUL-terminated strings laid end to end; `env` null is the container's own, `cwd` null its work
    /// directory, `fds` null /dev/null thrice, `execFile` -1 none. `rlimits` are triples of resource number, soft, hard; Infinity is
    /// unlimited. `limits`: CPU and wall time in microseconds, memory, processes, CPU rate, stack, file size, open files; -1 is none,
    /// null all of that. `seccomp` null is the container's, `trace` null none. `tty`: columns << 16 | rows of a terminal, of which `fds` are then keyboard
    /// and screen; 0 is none. `sampleUs`: TIMELINE before the end, of samples at least so many microseconds apart; 0 asks for none. `flags`: 1 asks for
    /// SYNC before it is executed, 2 for STARTED after.
    #[napi(
        catch_unwind,
        ts_args_type = "args: Bytes, env: Bytes | null, cwd: Bytes | null, fds: number[] | null, execFile: number, rlimits: number[] | null, limits: number[] | null, cpuSet: string | null, seccomp: Seccomp | null, landlock: LandlockInput | null, trace: TraceRun | null, tty: number, sampleUs: number, flags: number"
    )]
    pub fn execve(
        &self,
        args: ByteArg,
        env: Option<ByteArg>,
        cwd: Option<ByteArg>,
        fds: Option<Vec<f64>>,
        exec_file: f64,
        rlimits: Option<Vec<f64>>,
        limits: Option<Vec<f64>>,
        cpu_set: Option<String>,
        seccomp: Option<&Seccomp>,
        landlock: Option<LandlockInput>,
        trace: Option<&mut TraceRun>,
        tty: u32,
        sample_us: u32,
        flags: u32,
    ) -> f64 {
        // Also where nothing is asked for: who reads the trace waits for its end.
        let trace = Asked::of(trace);
        self.ask(|master, sink| {
            let trace = trace?;
            let program = program(
                &args,
                exec_file,
                env.as_ref(),
                cwd.as_ref(),
                rlimits,
                (limits, cpu_set),
                seccomp,
                landlock.as_ref(),
                &trace,
                (tty, sample_us, flags),
            )
            .map_err(Error::Perform)?;
            let fds = descriptors(fds.as_deref().unwrap_or_default()).map_err(Error::Perform)?;
            Ok(master.execve(program, &fds, sink))
        })
    }

    /// RESULT with stdout and stderr, each of at most `maxOutput` bytes; a program that writes more is killed. With a `tty` all is stdout.
    #[napi(
        catch_unwind,
        ts_args_type = "args: Bytes, env: Bytes | null, cwd: Bytes | null, execFile: number, input: Uint8Array | null, maxOutput: number, rlimits: number[] | null, limits: number[] | null, cpuSet: string | null, seccomp: Seccomp | null, landlock: LandlockInput | null, trace: TraceRun | null, tty: number, sampleUs: number, flags: number"
    )]
    pub fn run(
        &self,
        args: ByteArg,
        env: Option<ByteArg>,
        cwd: Option<ByteArg>,
        exec_file: f64,
        input: Option<ByteArg>,
        max_output: f64,
        rlimits: Option<Vec<f64>>,
        limits: Option<Vec<f64>>,
        cpu_set: Option<String>,
        seccomp: Option<&Seccomp>,
        landlock: Option<LandlockInput>,
        trace: Option<&mut TraceRun>,
        tty: u32,
        sample_us: u32,
        flags: u32,
    ) -> f64 {
        // Also where nothing is asked for: who reads the trace waits for its end.
        let trace = Asked::of(trace);
        self.ask(|master, sink| {
            let trace = trace?;
            let program = program(
                &args,
                exec_file,
                env.as_ref(),
                cwd.as_ref(),
                rlimits,
                (limits, cpu_set),
                seccomp,
                landlock.as_ref(),
                &trace,
                (tty, sample_us, flags),
            )
            .map_err(Error::Perform)?;
            let input = input.as_ref().map_or(&[][..], ByteArg::as_bytes);
            Ok(master.run(program, input, max_output as usize, sink))
        })
    }

    /// RESULT. `pipes`: 1 stdin, 2 stdout, 4 stderr; the others are /dev/null. The descriptors returned are the caller's. With a `tty` there is no
    /// stderr.
    #[napi(
        catch_unwind,
        ts_args_type = "args: Bytes, env: Bytes | null, cwd: Bytes | null, execFile: number, pipes: number, rlimits: number[] | null, limits: number[] | null, cpuSet: string | null, seccomp: Seccomp | null, landlock: LandlockInput | null, trace: TraceRun | null, tty: number, sampleUs: number, flags: number"
    )]
    pub fn spawn(
        &self,
        args: ByteArg,
        env: Option<ByteArg>,
        cwd: Option<ByteArg>,
        exec_file: f64,
        pipes: u32,
        rlimits: Option<Vec<f64>>,
        limits: Option<Vec<f64>>,
        cpu_set: Option<String>,
        seccomp: Option<&Seccomp>,
        landlock: Option<LandlockInput>,
        trace: Option<&mut TraceRun>,
        tty: u32,
        sample_us: u32,
        flags: u32,
    ) -> Spawned {
        let mut ends = (None, None, None);
        let trace = Asked::of(trace);
        let id = self.ask(|master, sink| {
            let trace = trace?;
            let program = program(
                &args,
                exec_file,
                env.as_ref(),
                cwd.as_ref(),
                rlimits,
                (limits, cpu_set),
                seccomp,
                landlock.as_ref(),
                &trace,
                (tty, sample_us, flags),
            )
            .map_err(Error::Perform)?;
            let pipes = Pipes { stdin: pipes & STDIN != 0, stdout: pipes & STDOUT != 0, stderr: pipes & STDERR != 0 };
            let HostSpawned { id, stdin, stdout, stderr } = master.spawn(program, pipes, sink)?;
            ends = (stdin, stdout, stderr);
            Ok(id)
        });
        let raw = |end: Option<OwnedFd>| end.map_or(-1, IntoRawFd::into_raw_fd);
        let (stdin, stdout, stderr) = ends;
        Spawned { id, stdin: raw(stdin), stdout: raw(stdout), stderr: raw(stderr) }
    }

    /// Lets a run pass its sync point.
    #[napi(catch_unwind)]
    pub fn resume(&self, run: f64) {
        if let Some(master) = &self.master {
            master.resume(request(run));
        }
    }

    /// Ends a run at its sync point.
    #[napi(catch_unwind)]
    pub fn abort(&self, run: f64) {
        if let Some(master) = &self.master {
            master.abort(request(run));
        }
    }

    /// Sends a signal to the main process of a run.
    #[napi(catch_unwind)]
    pub fn kill(&self, run: f64, signal: u32) {
        if let (Some(master), Ok(signal)) = (&self.master, u8::try_from(signal)) {
            master.kill(request(run), signal);
        }
    }

    /// Gives the terminal of a run another size.
    #[napi(catch_unwind)]
    pub fn resize(&self, run: f64, columns: u32, rows: u32) {
        if let (Some(master), Ok(columns), Ok(rows)) = (&self.master, u16::try_from(columns), u16::try_from(rows)) {
            master.resize(request(run), WindowSize { columns, rows });
        }
    }

    /// Kills a run; and the container, if that does not end it within 5 seconds.
    #[napi(catch_unwind)]
    pub fn cancel(&self, run: f64) {
        if let Some(master) = &self.master {
            master.cancel(request(run));
        }
    }

    /// Whether a reset would have nothing to do.
    #[napi(catch_unwind)]
    pub fn is_untouched(&self) -> bool {
        self.master.as_ref().is_some_and(|master| master.is_untouched())
    }

    /// Kills the container. CLOSED tells when that is done.
    #[napi(catch_unwind)]
    pub fn destroy(&self) {
        if let Some(master) = &self.master {
            master.destroy();
        }
    }
}
