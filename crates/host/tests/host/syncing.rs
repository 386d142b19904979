//! The sync point: the program exists, and has not been executed.

use crate::support::{container, exit_code, failed, output};
use hotcell_host::protocol::Verdict;
use hotcell_host::{Event, Program};
use std::fs;

fn syncing(args: &[u8]) -> Program<'_> {
    Program { sync: true, ..Program::new(args) }
}

#[test]
fn a_run_waits_for_its_resumption_and_others_do_not() {
    let Some(container) = container() else { return };
    let id = container.master().execve(syncing(b"sh\0-c\0exit 3\0"), &[], container.sink());
    let Event::SyncPoint { pid } = container.mailbox().wait(id) else { panic!() };
    // A pid of this namespace, and of a child of init that is not a program yet.
    assert_eq!(crate::support::parent(pid), container.pid());
    container.ping().unwrap();
    assert_eq!(output(&container, "echo meanwhile"), "meanwhile");
    container.master().resume(id);
    assert_eq!(exit_code(&container.ended(id).unwrap()), 3);
    assert!(fs::metadata(format!("/proc/{pid}")).is_err());
}

#[test]
fn an_aborted_run_never_executes() {
    let Some(container) = container() else { return };
    let id = container.master().execve(syncing(b"touch\0/w/executed\0"), &[], container.sink());
    assert!(matches!(container.mailbox().wait(id), Event::SyncPoint { .. }));
    container.master().abort(id);
    match container.mailbox().wait(id) {
        Event::Ended(_) | Event::Failed(_) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(output(&container, "ls /w"), "");
}

#[test]
fn a_run_is_cancelled_at_its_sync_point() {
    let Some(container) = container() else { return };
    let id = container.master().execve(syncing(b"touch\0/w/executed\0"), &[], container.sink());
    assert!(matches!(container.mailbox().wait(id), Event::SyncPoint { .. }));
    container.master().cancel(id);
    assert_eq!(container.ended(id).unwrap().verdict, Verdict::Signaled(9));
    assert_eq!(output(&container, "ls /w"), "");
}

#[test]
fn a_start_after_a_sync_point_is_of_the_same_process() {
    let Some(container) = container() else { return };
    let program = Program { report_start: true, ..syncing(b"true\0") };
    let id = container.master().execve(program, &[], container.sink());
    let Event::SyncPoint { pid } = container.mailbox().wait(id) else { panic!() };
    container.master().resume(id);
    // A program this short may be over before its start is noticed.
    match container.mailbox().wait(id) {
        Event::Started { pid: started } => {
            assert_eq!(pid, started);
            assert_eq!(exit_code(&container.ended(id).unwrap()), 0);
        }
        Event::Ended(outcome) => assert_eq!(exit_code(&outcome), 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_cannot_be_executed_fails_after_its_sync_point() {
    let Some(container) = container() else { return };
    let id = container.master().execve(syncing(b"/absent\0"), &[], container.sink());
    if matches!(container.mailbox().wait(id), Event::SyncPoint { .. }) {
        container.master().resume(id);
        assert_eq!(failed(container.mailbox().wait(id)).errno(), Some(libc::ENOENT));
    }
    container.ping().unwrap();
}
