//! Nothing stays behind.

use crate::support::{container, exit_code, in_its_own_process, open_descriptors, reactor_threads, sh, until};
use hotcell_host::blocking::Container;
use hotcell_host::{Program, default_setup};

#[test]
fn two_hundred_containers_and_a_thousand_runs_leave_nothing_behind() {
    if !in_its_own_process("leaks::two_hundred_containers_and_a_thousand_runs_leave_nothing_behind") {
        return;
    }
    let Some(container) = container() else { return };
    let run = |count| {
        for _ in 0..count {
            assert_eq!(exit_code(&container.execve(Program::new(b"/bin/true\0"), &[]).unwrap()), 0);
            container.run(Program::new(b"/bin/echo\0hello\0"), b"x", 3).unwrap();
            container.execve(Program::new(b"absent\0"), &[]).unwrap_err();
            drop(container.open(b"file", libc::O_CREAT | libc::O_WRONLY, 0o600).unwrap());
        }
    };
    run(1);
    let before = open_descriptors();
    run(1000);
    for _ in 0..20 {
        let containers: Vec<_> = (0..10).map(|_| Container::create(&default_setup()).unwrap()).collect();
        for container in &containers {
            sh(container, "exit 0");
        }
        containers.into_iter().for_each(Container::destroy);
    }
    // What nobody waits for is closed a moment later.
    until("as many descriptors as before", || open_descriptors() == before);
    assert_eq!(reactor_threads(), 1);
}
