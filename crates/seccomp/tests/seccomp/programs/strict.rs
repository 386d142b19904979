//! `strict`: statically linked programs of one thread.

use super::{Bench, SUM_C, SUM_RUST, links_statically, rustc};
use crate::support::find;
use hotcell_seccomp::Profile;
use std::os::unix::process::ExitStatusExt;

#[test]
fn static_programs_run_under_strict() {
    let bench = Bench::new("strict", Profile::Strict);
    let Some(gcc) = find(&["gcc", "cc"]).filter(|gcc| links_statically(gcc)) else { return };
    if let Some(gxx) = find(&["g++", "c++"]) {
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
