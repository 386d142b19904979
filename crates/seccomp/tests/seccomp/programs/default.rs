//! `default`: compilers, interpreters, runtimes, shells, and what they start.

use super::{Bench, SUM_C, SUM_CPP, SUM_GO, SUM_JAVA, SUM_NODE, THREADS_RUST, python, rustc};
use crate::support::find;
use hotcell_seccomp::Profile;

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
    let modules =
        "subprocess, socket, multiprocessing, asyncio, ssl, sqlite3, select, mmap, fcntl, tempfile, concurrent.futures";
    let Some(python) = python(modules) else { return };
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
