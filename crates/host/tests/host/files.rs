//! Files of the container, from outside.

use crate::support::{container, output, sh};
use hotcell_host::Error;
use std::io::{Read, Write};

#[test]
fn a_file_is_written_by_one_side_and_read_by_the_other() {
    let Some(container) = container() else { return };
    let mut file = container.open(b"one", libc::O_CREAT | libc::O_WRONLY, 0o640).unwrap();
    file.write_all(b"from outside").unwrap();
    drop(file);
    assert_eq!(output(&container, "cat one; stat -c %a one"), "from outside640");
    sh(&container, "echo from inside > two");
    let mut text = String::new();
    container.open(b"/w/two", libc::O_RDONLY, 0).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "from inside\n");
}

#[test]
fn a_replacement_appears_whole_or_not_at_all() {
    let Some(container) = container() else { return };
    let (mut file, ticket) = container.replace(b"deep/er/file", 0o755).unwrap();
    file.write_all(b"#!/bin/sh\necho replaced\n").unwrap();
    drop(file);
    assert_eq!(output(&container, "test -e deep/er/file || echo absent"), "absent");
    container.commit(ticket).unwrap();
    assert_eq!(output(&container, "deep/er/file"), "replaced");
    let (_, ticket) = container.replace(b"deep/er/file", 0o644).unwrap();
    container.discard(ticket).unwrap();
    assert_eq!(output(&container, "deep/er/file; ls -A deep/er"), "replaced\nfile");
}

#[test]
fn what_is_no_regular_file_is_not_opened() {
    let Some(container) = container() else { return };
    sh(&container, "mkfifo fifo; mkdir dir; ln -s /proc/self/exe link");
    for path in [&b"fifo"[..], b"dir", b"/dev/zero", b"absent"] {
        match container.open(path, libc::O_RDONLY, 0) {
            Err(Error::Perform(_)) => {}
            other => panic!("{}: {other:?}", path.escape_ascii()),
        }
    }
    container.ping().unwrap();
}

#[test]
fn links_are_made_and_things_deleted() {
    let Some(container) = container() else { return };
    container.symlink(b"/etc/passwd", b"some/link").unwrap();
    assert_eq!(output(&container, "readlink some/link"), "/etc/passwd");
    assert_eq!(container.delete(b"some", false).unwrap_err().errno(), Some(libc::ENOTEMPTY));
    container.delete(b"some", true).unwrap();
    assert_eq!(container.delete(b"some", false).unwrap_err().errno(), Some(libc::ENOENT));
    assert_eq!(output(&container, "ls -A"), "");
}

#[test]
fn reset_forgets_files_and_ends_runs() {
    let Some(container) = container() else { return };
    sh(&container, "mkdir a; touch a/b /tmp/c");
    let program = hotcell_host::Program { report_start: true, ..hotcell_host::Program::new(b"sleep\x0060\0") };
    let run = container.master().execve(program, &[], container.sink());
    container.mailbox().wait(run);
    container.reset().unwrap();
    assert!(container.ended(run).is_ok());
    assert_eq!(output(&container, "ls -A /w /tmp"), "/tmp:\n\n/w:");
    sh(&container, "touch again");
}
