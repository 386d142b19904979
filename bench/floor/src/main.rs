//! The floor: what the kernel itself takes to start a program, and to make a container, with nothing around it.
//!
//! A small process with a small heap. It reads one command a line from standard input and answers each with one line,
//! the nanoseconds that it took, so that whoever drives it can interleave these samples with others:
//!
//! | command | measures |
//! |---|---|
//! | `exec PATH` | `clone(CLONE_VM|CLONE_VFORK)`, `execve`, `wait4`; standard streams are /dev/null |
//! | `repeat COUNT PATH` | so many of these, one after the other, with what is between them |
//! | `create` | one `clone3` of seven namespaces, id maps, the mounts of hotcell's default root, `pivot_root`, one byte back to the parent |
//!
//! An error is answered by a line that begins with `error`. No code of hotcell is used here.

mod create;
mod exec;

use std::io::{self, BufRead, Write};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let answer = match line.split_once(' ') {
            Some(("exec", path)) => exec::sample(path),
            Some(("repeat", what)) => match what.split_once(' ').map(|(count, path)| (count.parse(), path)) {
                Some((Ok(count), path)) => exec::repeat(count, path),
                _ => Err(io::Error::other(format!("repeat COUNT PATH, not: {line}"))),
            },
            None if line == "create" => create::sample(),
            _ => Err(io::Error::other(format!("unknown command: {line}"))),
        };
        match answer {
            Ok(elapsed) => writeln!(out, "{}", elapsed.as_nanos())?,
            Err(error) => writeln!(out, "error {error}")?,
        }
        out.flush()?;
    }
    Ok(())
}
