//! Containers that go away, by order or not.

use crate::support::{container, exit_code, failed, in_its_own_process, parent, sh};
use hotcell_host::blocking::{Container, Mailbox};
use hotcell_host::{Error, Event, Master, Program, Sink, default_setup};
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn kill(pid: u32, signal: i32) {
    // SAFETY: no memory involved.
    assert_eq!(unsafe { libc::kill(i32::try_from(pid).unwrap(), signal) }, 0);
}

fn closed(container: &Container) -> Event {
    container.mailbox().wait(container.master().closed_id())
}

#[test]
fn a_destroyed_container_is_dead_when_that_is_said() {
    let Some(container) = container() else { return };
    let program = Program { report_start: true, ..Program::new(b"sleep\x0060\0") };
    let id = container.master().execve(program, &[], container.sink());
    let Event::Started { pid } = container.mailbox().wait(id) else { panic!() };
    container.master().destroy();
    container.master().destroy();
    assert!(matches!(closed(&container), Event::Closed { requested: true }));
    assert_eq!(failed(container.mailbox().wait(id)), Error::UseDestroyed);
    // SAFETY: no memory involved.
    assert_eq!(unsafe { libc::kill(i32::try_from(pid).unwrap(), 0) }, -1);
    assert_eq!(container.ping(), Err(Error::UseDestroyed));
    assert_eq!(container.run(Program::new(b"true\0"), b"x", 10), Err(Error::UseDestroyed));
}

#[test]
fn a_dropped_master_takes_its_container_along() {
    let Some(container) = container() else { return };
    container.destroy();
    let mailbox = Mailbox::new();
    let sink: Arc<dyn Sink> = mailbox.clone();
    let master = Master::create(default_setup(), &sink).unwrap();
    assert!(matches!(mailbox.wait(master.id()), Event::Created { .. }));
    let closed = master.closed_id();
    drop(master);
    assert!(matches!(mailbox.wait(closed), Event::Closed { requested: true }));
}

#[test]
fn a_container_destroyed_while_it_comes_up_is_gone() {
    let Some(first) = container() else { return };
    for delay_us in [0, 50, 200, 500, 1000, 2000, 5000] {
        let mailbox = Mailbox::new();
        let sink: Arc<dyn Sink> = mailbox.clone();
        let master = Master::create(default_setup(), &sink).unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(delay_us) {
            std::hint::spin_loop();
        }
        master.destroy();
        assert!(matches!(mailbox.wait(master.closed_id()), Event::Closed { requested: true }));
        match mailbox.wait(master.id()) {
            Event::Created { .. } | Event::Failed(Error::UseDestroyed) => {}
            other => panic!("{other:?}"),
        }
    }
    first.ping().unwrap();
}

#[test]
fn a_killed_init_fails_what_is_in_flight() {
    let Some(container) = container() else { return };
    let run = container.master().run(Program::new(b"sleep\x0060\0"), &[], 10, container.sink());
    container.ping().unwrap();
    kill(container.pid(), libc::SIGKILL);
    assert_eq!(failed(container.mailbox().wait(run)), Error::KeepContainer);
    assert!(matches!(closed(&container), Event::Closed { requested: false }));
    assert_eq!(container.ping(), Err(Error::KeepContainer));
}

#[test]
fn a_stopped_init_is_killed_when_the_deadline_has_passed() {
    let Some(container) = container() else { return };
    kill(container.pid(), libc::SIGSTOP);
    let start = Instant::now();
    assert_eq!(container.ping(), Err(Error::AwaitReply { request: "ping", seconds: 10 }));
    assert!((Duration::from_secs(10)..Duration::from_secs(12)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(matches!(closed(&container), Event::Closed { requested: false }));
}

#[test]
fn a_cancelled_run_of_a_stopped_init_takes_the_container_along() {
    let Some(container) = container() else { return };
    let run = container.master().execve(Program::new(b"sleep\x0060\0"), &[], container.sink());
    container.ping().unwrap();
    kill(container.pid(), libc::SIGSTOP);
    let start = Instant::now();
    container.master().cancel(run);
    assert!(matches!(failed(container.mailbox().wait(run)), Error::AwaitReply { seconds: 10, .. }));
    assert!((Duration::from_secs(10)..Duration::from_secs(12)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(matches!(closed(&container), Event::Closed { requested: false }));
}

#[test]
fn a_killed_launcher_takes_its_containers_along_and_is_replaced() {
    if !in_its_own_process("loss::a_killed_launcher_takes_its_containers_along_and_is_replaced") {
        return;
    }
    let Some(container) = container() else { return };
    let launcher = parent(container.pid());
    kill(launcher, libc::SIGKILL);
    // At once, before anybody has noticed.
    let next = Container::create(&default_setup()).or_else(|error| {
        assert_eq!(error, Error::KeepLauncher);
        Container::create(&default_setup())
    });
    let next = next.unwrap();
    assert_ne!(parent(next.pid()), launcher);
    assert_eq!(exit_code(&sh(&next, "exit 9")), 9);
    assert!(matches!(closed(&container), Event::Closed { requested: false }));
}

#[test]
fn a_container_that_cannot_be_made_says_what_for() {
    let Some(container) = container() else { return };
    let mut setup = default_setup();
    let mut mount = setup.mounts[0].clone();
    mount.optional = false;
    mount.kind = hotcell_host::protocol::MountKind::Bind { source: b"/absent/source".to_vec().into() };
    setup.mounts.push(mount);
    match Container::create(&setup) {
        Err(Error::Perform(failure)) => {
            assert_eq!(failure.errno, libc::ENOENT);
            assert_eq!(failure.subject, b"/absent/source");
        }
        other => panic!("{other:?}"),
    }
    container.ping().unwrap();
}

#[test]
fn a_process_out_of_descriptors_is_told_and_recovers() {
    if !in_its_own_process("loss::a_process_out_of_descriptors_is_told_and_recovers") {
        return;
    }
    let Some(container) = container() else { return };
    let run = |container: &Container| container.run(Program::new(b"echo\0hello\0"), b"x", 10);
    run(&container).unwrap();
    let few = libc::rlimit { rlim_cur: 200, rlim_max: 200 };
    // SAFETY: the kernel reads one rlimit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const few) }, 0);
    let null = File::open("/dev/null").unwrap();
    let mut all = Vec::new();
    let error = loop {
        match null.try_clone() {
            Ok(copy) => all.push(copy),
            Err(error) => break error,
        }
    };
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    assert_eq!(run(&container).unwrap_err().errno(), Some(libc::EMFILE));
    assert_eq!(Container::create(&default_setup()).unwrap_err().errno(), Some(libc::EMFILE));
    // What needs no new descriptor here goes on.
    assert_eq!(exit_code(&sh(&container, "exit 4")), 4);
    // One that init has opened for us and the kernel cannot put anywhere (MSG_CTRUNC): no fault of the container's.
    let lost = container.open(b"file", libc::O_CREAT | libc::O_WRONLY, 0o600).unwrap_err();
    assert_eq!(lost.errno(), Some(libc::EMFILE));
    container.ping().unwrap();
    drop(all);
    container.open(b"file", libc::O_RDONLY, 0).unwrap();
    let next = Container::create(&default_setup()).unwrap();
    run(&next).unwrap();
}
