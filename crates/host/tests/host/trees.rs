//! Directories of the container, from outside, without Node.

use crate::support::{container, output, sh};
use hotcell_host::blocking::Container;
use hotcell_host::tree::{Bounds, CopyIn, Selection, Source, Transfer};
use hotcell_host::{Error, Event};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

const BOUNDS: Bounds = Bounds { bytes: 1 << 30, entries: 100_000 };

fn how() -> CopyIn {
    CopyIn { selection: Selection::default(), bounds: BOUNDS, mode: None, strip: 0 }
}

fn end(container: &Container, transfer: &Transfer) -> Result<(), Error> {
    match container.mailbox().wait(transfer.id()) {
        Event::Done => Ok(()),
        Event::Failed(error) => Err(error),
        other => panic!("{other:?}"),
    }
}

/// All that comes out; the end of the pipe is non-blocking.
fn drain(end: OwnedFd) -> Vec<u8> {
    let (mut file, mut bytes, mut buffer) = (File::from(end), Vec::new(), vec![0; 65_536]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return bytes,
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_directory_goes_in_and_comes_out_as_an_archive() {
    let Some(container) = container() else { return };
    let base = std::env::temp_dir().join(format!("hotcell-trees-{}", std::process::id()));
    std::fs::create_dir_all(base.join("a/b")).unwrap();
    std::fs::write(base.join("a/b/c"), "content").unwrap();
    std::os::unix::fs::symlink("b/c", base.join("a/link")).unwrap();
    let source = Source::Directory(File::open(&base).unwrap().into());
    let transfer = container.master().copy_in_tree(source, b"in", how(), container.sink());
    end(&container, &transfer).unwrap();
    std::fs::remove_dir_all(base).unwrap();
    assert_eq!(output(&container, "cat in/a/link"), "content");

    let (transfer, pipe) =
        container.master().copy_out_tree(b"in", Selection::default(), BOUNDS, container.sink()).unwrap();
    let archive = drain(pipe);
    end(&container, &transfer).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let transfer = container.master().copy_in_tree(Source::Archive(reader.into()), b"again", how(), container.sink());
    std::io::Write::write_all(&mut writer, &archive).unwrap();
    drop(writer);
    end(&container, &transfer).unwrap();
    assert_eq!(output(&container, "diff -r in again && echo same"), "same");
}

#[test]
fn a_stopped_copy_ends_and_leaves_nothing() {
    let Some(container) = container() else { return };
    let (transfer, pipe) = container.master().copy_in_archive(b"in", how(), container.sink()).unwrap();
    transfer.stop();
    drop(pipe);
    assert_eq!(end(&container, &transfer), Err(Error::Stop));
    assert_eq!(output(&container, "ls -A"), "");
    // Nobody reads: the pipe is full at some point.
    sh(&container, "head -c 10000000 /dev/zero > large");
    let (transfer, pipe) =
        container.master().copy_out_tree(b".", Selection::default(), BOUNDS, container.sink()).unwrap();
    transfer.stop();
    drop(pipe);
    assert_eq!(end(&container, &transfer), Err(Error::Stop));
    container.ping().unwrap();
}

#[test]
fn a_copy_does_not_outlive_a_reset() {
    let Some(container) = container() else { return };
    let (transfer, pipe) = container.master().copy_in_archive(b"in", how(), container.sink()).unwrap();
    container.reset().unwrap();
    drop(pipe);
    // It is over, or had nothing to do any more.
    let _ = end(&container, &transfer);
    let (transfer, pipe) = container.master().list_tree(b"/w", Selection::default(), 10, container.sink()).unwrap();
    assert!(drain(pipe).is_empty());
    end(&container, &transfer).unwrap();
}
