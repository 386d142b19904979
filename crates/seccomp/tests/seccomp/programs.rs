//! Real programs under the built-in profiles: what each is for has to work, and what it forbids has to be told.

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

#[test]
fn c_compilers_and_what_they_make_run_under_default() {
    let (Some(gcc), Some(gxx)) = (find(&["gcc", "cc"]), find(&["g++", "c++"])) else { return };
    let bench = Bench::new("default-c", Profile::Default);
    bench.scratch.write("sum.c", SUM_C);
    bench.scratch.write("sum.cpp", SUM_CPP);
    bench.succeeds(&gcc, &["-O2", "-g", "-pipe", "sum.c", "-o", "sum"]);
    assert_eq!(bench.succeeds(&bench.path("sum"), &[]), "42");
    bench.succeeds(&gxx, &["-O1", "-pthread", "sum.cpp", "-o", "sumpp"]);
    assert_eq!(bench.succeeds(&bench.path("sumpp"), &[]), "42");
    bench.scratch.write(
        "system.c",
        "#include <stdio.h>\n#include <stdlib.h>\n#include <spawn.h>\nint main(void) { FILE *p = popen(\"echo 4\", \"r\"); int c = fgetc(p); pclose(p); putchar(c); fflush(stdout); return system(\"printf 2\"); }",
    );
    bench.succeeds(&gcc, &["system.c", "-o", "system"]);
    assert_eq!(bench.succeeds(&bench.path("system"), &[]), "42");
}

#[test]
fn shells_and_tools_run_under_default() {
    let Some(sh) = find(&["bash", "sh"]) else { return };
    let bench = Bench::new("default-sh", Profile::Default);
    let script = "set -e; mkdir d; chmod 755 d; echo b > d/x; echo a > d/y; ln -s x d/z; mkfifo d/p; cat d/x d/y | sort | tr -d '\\n'; \
                  tar cf t.tar d/x d/y; mkdir e; tar xf t.tar -C e; cp -a d/x e/; mv e/x e/w; touch -d 2020-01-01 e/w; rm -r d e; \
                  nice -n 1 true; (sleep 0.01 & wait); ulimit -n 64; head -c 5 /dev/urandom | wc -c; find . -type f | xargs ls -l >/dev/null";
    assert_eq!(bench.succeeds(&sh, &["-c", script]), "ab5");
    // chmod u+s fails, and says why.
    let refused = bench.output(&sh, &["-c", "touch f; chmod u+s f"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Operation not permitted"), "{refused:?}");
}

#[test]
fn python_runs_under_default() {
    let Some(python) = find(&["python3"]) else { return };
    let bench = Bench::new("default-python", Profile::Default);
    let script = r#"
import subprocess, socket, multiprocessing, asyncio, ssl, sqlite3, os, sys, select, mmap, fcntl, tempfile, urllib.request
from concurrent.futures import ThreadPoolExecutor, ProcessPoolExecutor
assert subprocess.run(["echo", "1"], capture_output=True).stdout == b"1\n"
server = socket.create_server(("127.0.0.1", 0)); client = socket.create_connection(server.getsockname()); server.accept()[0].send(b"x"); assert client.recv(1) == b"x"
a, b = socket.socketpair(); a.send(b"y"); assert b.recv(1) == b"y"
socket.getaddrinfo("localhost", 80); socket.if_nameindex()
async def main(): return (await (await asyncio.create_subprocess_exec("echo", "2", stdout=asyncio.subprocess.PIPE)).communicate())[0]
assert asyncio.run(main()) == b"2\n"
db = sqlite3.connect("file.db"); db.execute("create table t(x)"); db.commit()
with open("lock", "w") as f: fcntl.flock(f, fcntl.LOCK_EX); fcntl.lockf(f, fcntl.LOCK_EX)
assert sum(ThreadPoolExecutor(4).map(abs, range(5))) == 10
if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool: assert sum(pool.map(abs, range(5))) == 10
    with multiprocessing.Pool(2) as pool: print(sum(pool.map(abs, [19, 23])))
"#;
    bench.scratch.write("all.py", script);
    assert_eq!(bench.succeeds(&python, &["all.py"]), "42");
}

#[test]
fn node_runs_under_default() {
    let Some(node) = find(&["node"]) else { return };
    let bench = Bench::new("default-node", Profile::Default);
    let script = r#"
const { execFileSync, fork } = require('node:child_process'), http = require('node:http'), fs = require('node:fs'), os = require('node:os'), dns = require('node:dns');
os.networkInterfaces(); os.setPriority(5); fs.watch('.').close();
if (process.argv[2]) { process.send(42); process.disconnect(); } else {
  if (execFileSync('echo', ['1'], { encoding: 'utf8' }) !== '1\n') throw new Error('echo');
  const server = http.createServer((request, response) => response.end('x')).listen(0, '127.0.0.1', () => {
    http.get({ port: server.address().port, host: '127.0.0.1' }, (response) => response.resume().on('end', () => { server.close(); dns.lookup('localhost', () => fork(__filename, ['child']).on('message', (m) => console.log(m))); }));
  });
}
"#;
    bench.scratch.write("all.js", script);
    assert_eq!(bench.succeeds(&node, &["all.js"]), "42");
    bench.scratch.write("sum.js", SUM_NODE);
    assert_eq!(bench.succeeds(&node, &["sum.js"]), "42");
}

#[test]
fn java_runs_under_default() {
    let (Some(javac), Some(java)) = (find(&["javac"]), find(&["java"])) else { return };
    let bench = Bench::new("default-java", Profile::Default);
    bench.scratch.write("Sum.java", SUM_JAVA);
    bench.succeeds(&javac, &["Sum.java"]);
    let out = bench.output(&java, &["-cp", ".", "Sum"]);
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "42", "{out:?}");
    assert!(out.stderr.is_empty(), "{out:?}");
    bench.scratch.write(
        "All.java",
        r#"import java.net.*; public class All { public static void main(String[] a) throws Exception {
            Process p = new ProcessBuilder("echo", "4").start(); int c = p.getInputStream().read(); p.waitFor();
            ServerSocket s = new ServerSocket(0, 1, InetAddress.getLoopbackAddress()); Socket t = new Socket(s.getInetAddress(), s.getLocalPort()); s.accept().getOutputStream().write('2');
            System.out.println("" + (char) c + (char) t.getInputStream().read()); } }"#,
    );
    assert_eq!(bench.succeeds(&java, &["All.java"]), "42");
}

#[test]
fn go_builds_and_runs_under_default() {
    let Some(go) = find(&["go"]) else { return };
    let bench = Bench::new("default-go", Profile::Default);
    bench.scratch.write("sum.go", SUM_GO);
    bench.succeeds(&go, &["build", "-o", "sum", "sum.go"]);
    assert_eq!(bench.succeeds(&bench.path("sum"), &[]), "42");
    bench.scratch.write(
        "all.go",
        r#"package main
import ("fmt"; "net"; "os/exec"; "os")
func main() {
    out, err := exec.Command("echo", "-n", "4").Output(); if err != nil { panic(err) }
    l, err := net.Listen("tcp", "127.0.0.1:0"); if err != nil { panic(err) }
    go func() { c, _ := l.Accept(); c.Write([]byte("2")); c.Close() }()
    c, err := net.Dial("tcp", l.Addr().String()); if err != nil { panic(err) }
    b := make([]byte, 1); c.Read(b); os.MkdirAll("a/b", 0o755); os.RemoveAll("a"); fmt.Println(string(out) + string(b))
}
"#,
    );
    bench.succeeds(&go, &["build", "-o", "all", "all.go"]);
    assert_eq!(bench.succeeds(&bench.path("all"), &[]), "42");
}

#[test]
fn rust_builds_and_runs_under_default() {
    let Some(rustc) = rustc() else { return eprintln!("skipped: no rustc here") };
    let bench = Bench::new("default-rust", Profile::Default);
    bench.scratch.write("sum.rs", THREADS_RUST);
    bench.succeeds(&rustc, &["sum.rs", "-o", "sum"]);
    assert_eq!(bench.succeeds(&bench.path("sum"), &[]), "42");
}

#[test]
fn contests_programs_run_under_judge() {
    let bench = Bench::new("judge", Profile::Judge);
    if let Some(gcc) = find(&["gcc", "cc"]) {
        bench.scratch.write("sum.c", SUM_C);
        bench.build(&gcc, &["sum.c", "-o", "c-dynamic"]);
        bench.build(&gcc, &["-static", "sum.c", "-o", "c-static"]);
        assert_eq!(bench.succeeds(&bench.path("c-dynamic"), &[]), "42");
        assert_eq!(bench.succeeds(&bench.path("c-static"), &[]), "42");
    }
    if let Some(gxx) = find(&["g++", "c++"]) {
        bench.scratch.write("sum.cpp", SUM_CPP);
        bench.build(&gxx, &["-pthread", "sum.cpp", "-o", "cpp"]);
        assert_eq!(bench.succeeds(&bench.path("cpp"), &[]), "42");
    }
    if let Some(rustc) = rustc() {
        bench.scratch.write("sum.rs", SUM_RUST);
        bench.scratch.write("threads.rs", THREADS_RUST);
        bench.build(&rustc, &["sum.rs", "-o", "rust-sum"]);
        bench.build(&rustc, &["threads.rs", "-o", "rust-threads"]);
        assert_eq!(bench.succeeds(&bench.path("rust-sum"), &[]), "42");
        assert_eq!(bench.succeeds(&bench.path("rust-threads"), &[]), "42");
    }
    if let Some(python) = find(&["python3"]) {
        bench.scratch.write("sum.py", SUM_PYTHON);
        assert_eq!(bench.succeeds(&python, &["sum.py"]), "42");
    }
    if let Some(node) = find(&["node"]) {
        bench.scratch.write("sum.js", SUM_NODE);
        assert_eq!(bench.succeeds(&node, &["sum.js"]), "42");
    }
}

#[test]
fn go_and_java_run_under_judge() {
    let bench = Bench::new("judge-go-java", Profile::Judge);
    if let Some(go) = find(&["go"]) {
        bench.scratch.write("sum.go", SUM_GO);
        bench.build(&go, &["build", "-o", "go-sum", "sum.go"]);
        assert_eq!(bench.succeeds(&bench.path("go-sum"), &[]), "42");
    }
    if let (Some(javac), Some(java)) = (find(&["javac"]), find(&["java"])) {
        bench.scratch.write("Sum.java", SUM_JAVA);
        bench.build(&javac, &["Sum.java"]);
        for collector in ["-XX:+UseSerialGC", "-XX:+UseParallelGC", "-XX:+UseG1GC"] {
            let out = bench.output(&java, &[collector, "-cp", ".", "Sum"]);
            assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "42", "{out:?}");
            assert!(out.stderr.is_empty(), "{out:?}");
        }
    }
}

#[test]
fn scripts_run_under_judge_and_launchers_do_not() {
    let Some(python) = find(&["python3"]) else { return };
    let bench = Bench::new("judge-script", Profile::Judge);
    let script = bench.scratch.write("script", &format!("#!{}\nprint(42)\n", python.display()));
    let launched = bench.scratch.write("launched", "#!/usr/bin/env python3\nprint(42)\n");
    for path in [&script, &launched] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).expect("our own file");
    }
    assert_eq!(bench.succeeds(&script, &[]), "42");
    bench.is_killed(&launched, &[]);
}

#[test]
fn other_processes_are_the_end_under_judge() {
    let bench = Bench::new("judge-kill", Profile::Judge);
    if let Some(gcc) = find(&["gcc", "cc"]) {
        bench.scratch.write("fork.c", "#include <unistd.h>\nint main(void) { return fork() == 0; }");
        bench.scratch.write("system.c", "#include <stdlib.h>\nint main(void) { return system(\"true\"); }");
        for name in ["fork", "system"] {
            bench.build(&gcc, &[&format!("{name}.c"), "-o", name]);
            bench.is_killed(&bench.path(name), &[]);
        }
    }
    if let Some(python) = find(&["python3"]) {
        bench.is_killed(&python, &["-c", "import subprocess; subprocess.run(['true'])"]);
        bench.is_killed(&python, &["-c", "import os; os.fork()"]);
        let network = "import socket\ntry: socket.socket()\nexcept OSError as e: print(e.errno)";
        assert_eq!(bench.succeeds(&python, &["-c", network]), libc::EAFNOSUPPORT.to_string());
    }
}

#[test]
fn static_programs_run_under_strict() {
    let bench = Bench::new("strict", Profile::Strict);
    if let (Some(gcc), Some(gxx)) = (find(&["gcc", "cc"]), find(&["g++", "c++"])) {
        bench.scratch.write("sum.c", SUM_C);
        bench.build(&gcc, &["-static", "sum.c", "-o", "c"]);
        assert_eq!(bench.succeeds(&bench.path("c"), &[]), "42");
        let cpp = "#include <bits/stdc++.h>\nint main() { int a, b; std::cin >> a >> b; std::map<int, std::string> m; m[a] = \"x\"; \
                   try { throw std::runtime_error(\"x\"); } catch (std::exception&) {} std::mt19937 r(std::chrono::steady_clock::now().time_since_epoch().count()); \
                   std::cout << a + b << std::endl; }";
        bench.scratch.write("sum.cpp", cpp);
        bench.build(&gxx, &["-static", "-O1", "sum.cpp", "-o", "cpp"]);
        assert_eq!(bench.succeeds(&bench.path("cpp"), &[]), "42");
        bench.scratch.write("abort.c", "#include <stdlib.h>\nint main(void) { abort(); }");
        bench.build(&gcc, &["-static", "abort.c", "-o", "abort"]);
        assert_eq!(bench.output(&bench.path("abort"), &[]).status.signal(), Some(libc::SIGABRT));
        bench
            .scratch
            .write("write.c", "#include <fcntl.h>\nint main(void) { return open(\"f\", O_CREAT | O_WRONLY, 0600); }");
        bench.build(&gcc, &["-static", "write.c", "-o", "write"]);
        bench.is_killed(&bench.path("write"), &[]);
        bench.build(&gcc, &["sum.c", "-o", "dynamic"]);
        let refused = bench.output(&bench.path("dynamic"), &[]);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains("cannot open shared object file"), "{told}");
    }
    if let Some(rustc) = rustc() {
        bench.scratch.write("sum.rs", SUM_RUST);
        bench.build(&rustc, &["-O", "-C", "target-feature=+crt-static", "sum.rs", "-o", "rust"]);
        assert_eq!(bench.succeeds(&bench.path("rust"), &[]), "42");
    }
}
