//! Real programs under the built-in profiles: what each is for has to work, and what it forbids has to be told.

mod default;
mod judge;
mod strict;

use crate::support::{Filter, Scratch, find, profile, run};
use hotcell_seccomp::Profile;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

struct Bench {
    scratch: Scratch,
    filter: Filter,
}

impl Bench {
    fn new(name: &str, which: Profile) -> Self {
        Self { scratch: Scratch::new(name), filter: Filter::new(profile(which)) }
    }

    fn output(&self, program: &Path, args: &[&str]) -> Output {
        let input = self.scratch.write("input", "19 23\n");
        let input = std::fs::File::open(input).expect("the input");
        run(self.filter, program, args, self.scratch.path(), Stdio::from(input))
    }

    /// Runs it and wants success; returns what it printed.
    #[track_caller]
    fn succeeds(&self, program: &Path, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.output(program, args);
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{} {args:?}: {status}\n{stdout}\n{stderr}", program.display());
        stdout.trim().to_owned()
    }

    /// Runs it and wants death by SIGSYS.
    #[track_caller]
    fn is_killed(&self, program: &Path, args: &[&str]) {
        let Output { status, stdout, stderr } = self.output(program, args);
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{}: {status}\n{stdout}\n{stderr}", program.display());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Builds without a filter.
    #[track_caller]
    fn build(&self, compiler: &Path, args: &[&str]) {
        let output = std::process::Command::new(compiler)
            .args(args)
            .current_dir(self.scratch.path())
            .env("GOCACHE", self.path("go-cache"))
            .env("GOTOOLCHAIN", "local")
            .output()
            .expect("a compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn rustc() -> Option<PathBuf> {
    // Beside the cargo that runs this: the one that rustup puts in PATH wants a home.
    let cargo = std::env::var_os("CARGO").map(PathBuf::from)?;
    Some(cargo.with_file_name("rustc")).filter(|path| path.is_file())
}

/// A Python that has these modules: distributions have small ones.
fn python(modules: &str) -> Option<PathBuf> {
    let python = find(&["python3"])?;
    let tried = std::process::Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    let has = tried.is_ok_and(|tried| tried.status.success());
    if !has {
        eprintln!("skipped: {} lacks some of {modules}", python.display());
    }
    has.then_some(python)
}

/// Whether static programs can be linked.
fn links_statically(compiler: &Path) -> bool {
    let asked = std::process::Command::new(compiler).arg("-print-file-name=libc.a").output().expect("a compiler");
    // A bare name is one that was not found.
    let has = asked.stdout.starts_with(b"/");
    if !has {
        eprintln!("skipped: no static C library here");
    }
    has
}

const SUM_C: &str = r#"
#include <stdio.h>
#include <stdlib.h>
int main(void) { int a, b; if (scanf("%d %d", &a, &b) != 2) return 1; char *p = malloc(50000000); p[a] = 1; printf("%d\n", a + b); free(p); return 0; }
"#;

const SUM_CPP: &str = r#"
#include <iostream>
#include <thread>
#include <vector>
#include <fstream>
int main() {
    int a, b; std::cin >> a >> b;
    std::vector<std::thread> all; int parts[4] = {};
    for (int i = 0; i < 4; i++) all.emplace_back([&, i] { parts[i] = i == 0 ? a : i == 1 ? b : 0; });
    for (auto& one : all) one.join();
    std::ofstream("made") << parts[0] + parts[1];
    int sum; std::ifstream("made") >> sum; std::cout << sum << std::endl;
}
"#;

const SUM_RUST: &str = r#"
use std::io::Read;
fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let numbers: Vec<i32> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let caught = std::panic::catch_unwind(|| numbers[7]).is_err();
    assert!(caught);
    println!("{}", numbers.iter().sum::<i32>());
}
"#;

const THREADS_RUST: &str = r#"
fn main() {
    let sum: i32 = (0..4).map(|i| std::thread::spawn(move || [19, 23, 0, 0][i])).map(|t| t.join().unwrap()).sum();
    println!("{sum}");
}
"#;

const SUM_GO: &str = r#"package main
import ("fmt"; "sync"; "time")
func main() {
    var a, b, sum int; fmt.Scan(&a, &b)
    var group sync.WaitGroup; var lock sync.Mutex
    for _, part := range []int{a, b} { group.Add(1); go func() { defer group.Done(); time.Sleep(time.Millisecond); lock.Lock(); sum += part; lock.Unlock() }() }
    group.Wait(); fmt.Println(sum)
}
"#;

const SUM_JAVA: &str = r#"
import java.util.*; import java.util.concurrent.*;
public class Sum { public static void main(String[] args) throws Exception {
    Scanner in = new Scanner(System.in); int a = in.nextInt(), b = in.nextInt();
    ExecutorService pool = Executors.newFixedThreadPool(4);
    System.out.println(pool.submit(() -> a).get() + pool.submit(() -> b).get()); pool.shutdown(); System.gc();
} }
"#;

const SUM_PYTHON: &str = r#"
import sys, threading, random, math, heapq, collections, tempfile, time
a, b = map(int, sys.stdin.read().split())
parts = []
ts = [threading.Thread(target=parts.append, args=(x,)) for x in (a, b)]
[t.start() for t in ts]; [t.join() for t in ts]
with tempfile.TemporaryFile(dir=".") as f: f.write(b"x"); f.seek(0); assert f.read() == b"x"
time.sleep(0.001); random.random(); print(sum(parts))
"#;

const SUM_NODE: &str = r#"
const { Worker } = require('node:worker_threads'), fs = require('node:fs'), zlib = require('node:zlib');
const [a, b] = fs.readFileSync(0, 'utf8').split(' ').map(Number);
fs.promises.writeFile('node-made', 'x').then(() => zlib.gzip('x', () => {
  new Worker('require("node:worker_threads").parentPort.postMessage(' + (a + b) + ')', { eval: true }).on('message', (sum) => console.log(sum));
}));
"#;
