//! `judge`: contests' programs in each language, and what ends them.

use super::{
    Bench, SUM_C, SUM_CPP, SUM_GO, SUM_JAVA, SUM_NODE, SUM_PYTHON, SUM_RUST, THREADS_RUST, links_statically, python,
    rustc,
};
use crate::support::find;
use hotcell_seccomp::Profile;

#[test]
fn contests_programs_run_under_judge() {
    let bench = Bench::new("judge", Profile::Judge);
    if let Some(gcc) = find(&["gcc", "cc"]) {
        bench.scratch.write("sum.c", SUM_C);
        bench.build(&gcc, &["sum.c", "-o", "c-dynamic"]);
        assert_eq!(bench.succeeds(&bench.path("c-dynamic"), &[]), "42");
        if links_statically(&gcc) {
            bench.build(&gcc, &["-static", "sum.c", "-o", "c-static"]);
            assert_eq!(bench.succeeds(&bench.path("c-static"), &[]), "42");
        }
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
    if let Some(python) = python("threading, random, math, heapq, collections, tempfile") {
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
    let Some(python) = python("sys") else { return };
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
    if let Some(python) = python("subprocess, os, socket") {
        bench.is_killed(&python, &["-c", "import subprocess; subprocess.run(['true'])"]);
        bench.is_killed(&python, &["-c", "import os; os.fork()"]);
        let network = "import socket\ntry: socket.socket()\nexcept OSError as e: print(e.errno)";
        assert_eq!(bench.succeeds(&python, &["-c", network]), libc::EAFNOSUPPORT.to_string());
    }
}
