//! What libseccomp compiles from the same rules, run by our interpreter: a second opinion, where the library is installed.
//!
//! Rules are given to it as runc does. Compared is what both promise: calls that the library knows, rules that permit beside a default that
//! denies. (It leaves overlapping rules with different actions undefined.)

use crate::conditions::{compared_with, comparison};
use crate::oci::{CONTAINERS, MOBY};
use hotcell_seccomp::bpf::{Data, Instruction, interpret};
use hotcell_seccomp::oci::{Context, KernelVersion, parse};
use hotcell_seccomp::syscalls;
use hotcell_seccomp::{Action, Comparison, Condition, Options, Policy, Rule, compile};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::ffi::{CStr, CString, c_int, c_uint, c_void};
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd};

/// `struct scmp_arg_cmp`
#[repr(C)]
struct ArgCmp {
    arg: c_uint,
    op: c_int,
    datum_a: u64,
    datum_b: u64,
}

struct Library {
    init: unsafe extern "C" fn(u32) -> *mut c_void,
    release: unsafe extern "C" fn(*mut c_void),
    resolve: unsafe extern "C" fn(*const libc::c_char) -> c_int,
    add: unsafe extern "C" fn(*mut c_void, u32, c_int, c_uint, *const ArgCmp) -> c_int,
    export: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
}

fn library() -> Option<Library> {
    // SAFETY: a library without surprising constructors; it stays loaded.
    let handle = unsafe { libc::dlopen(c"libseccomp.so.2".as_ptr(), libc::RTLD_NOW) };
    if handle.is_null() {
        eprintln!("skipped: no libseccomp here");
        return None;
    }
    let symbol = |name: &CStr| {
        // SAFETY: a loaded library and a NUL-terminated name.
        let symbol = unsafe { libc::dlsym(handle, name.as_ptr()) };
        assert!(!symbol.is_null(), "{name:?}");
        symbol
    };
    let (init, release) = (symbol(c"seccomp_init"), symbol(c"seccomp_release"));
    let (resolve, add) = (symbol(c"seccomp_syscall_resolve_name"), symbol(c"seccomp_rule_add_array"));
    let export = symbol(c"seccomp_export_bpf");
    Some(Library {
        // SAFETY: the signatures of seccomp.h.
        init: unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn(u32) -> *mut c_void>(init) },
        // SAFETY: as above.
        release: unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void)>(release) },
        // SAFETY: as above.
        resolve: unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*const libc::c_char) -> c_int>(resolve)
        },
        // SAFETY: as above.
        add: unsafe {
            std::mem::transmute::<
                *mut c_void,
                unsafe extern "C" fn(*mut c_void, u32, c_int, c_uint, *const ArgCmp) -> c_int,
            >(add)
        },
        // SAFETY: as above.
        export: unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void, c_int) -> c_int>(export)
        },
    })
}

impl Library {
    fn knows(&self, name: &str) -> bool {
        let name = CString::new(name).expect("no NUL");
        // SAFETY: a NUL-terminated name.
        unsafe { (self.resolve)(name.as_ptr()) >= 0 }
    }

    fn compile(&self, policy: &Policy) -> Vec<Instruction> {
        // SAFETY: no memory of ours is involved.
        let context = unsafe { (self.init)(policy.default_action.to_ret()) };
        assert!(!context.is_null());
        for rule in policy.rules.iter().filter(|rule| rule.action != policy.default_action) {
            let args: Vec<ArgCmp> = rule.conditions.iter().map(argument).collect();
            for name in rule.syscalls.iter().filter(|name| self.knows(name)) {
                let name = CString::new(name.as_str()).expect("no NUL");
                // SAFETY: a NUL-terminated name.
                let number = unsafe { (self.resolve)(name.as_ptr()) };
                // SAFETY: the library's context, and as many arguments as are said.
                let result =
                    unsafe { (self.add)(context, rule.action.to_ret(), number, args.len() as c_uint, args.as_ptr()) };
                assert!(result == 0 || result == -libc::EEXIST, "{name:?}: {result}");
            }
        }
        // SAFETY: a NUL-terminated name.
        let fd = unsafe { libc::memfd_create(c"bpf".as_ptr(), libc::MFD_CLOEXEC) };
        // SAFETY: a fresh descriptor of our own.
        let mut file = unsafe { std::fs::File::from_raw_fd(fd) };
        // SAFETY: the library's context and an open descriptor.
        assert_eq!(unsafe { (self.export)(context, file.as_raw_fd()) }, 0);
        // SAFETY: the library's context, which is not used any more.
        unsafe { (self.release)(context) };
        let mut bytes = Vec::new();
        file.rewind().expect("a memfd");
        file.read_to_end(&mut bytes).expect("a memfd");
        bytes.chunks_exact(8).map(|chunk| Instruction::from_bytes(chunk.try_into().expect("eight bytes"))).collect()
    }
}

fn argument(condition: &Condition) -> ArgCmp {
    let (op, datum_a, datum_b) = match condition.comparison {
        Comparison::NotEqual(value) => (1, value, 0),
        Comparison::Less(value) => (2, value, 0),
        Comparison::LessOrEqual(value) => (3, value, 0),
        Comparison::Equal(value) => (4, value, 0),
        Comparison::GreaterOrEqual(value) => (5, value, 0),
        Comparison::Greater(value) => (6, value, 0),
        Comparison::MaskedEqual { mask, value } => (7, mask, value),
    };
    ArgCmp { arg: condition.index.into(), op, datum_a, datum_b }
}

fn near(condition: &Condition) -> [u64; 7] {
    let value = compared_with(condition.comparison);
    [
        value,
        value.wrapping_sub(1),
        value.wrapping_add(1),
        value ^ (1 << 31),
        value ^ (1 << 32),
        value ^ (1 << 63),
        !value,
    ]
}

/// Compares all answers to all calls that both know, with arguments around what the policy mentions.
fn compare(library: &Library, policy: &Policy) {
    let arch = crate::support::here();
    let theirs = library.compile(policy);
    let ours = compile(policy, arch, &Options::default()).expect("it compiles");
    let highest =
        policy.rules.iter().flat_map(|rule| &rule.syscalls).filter_map(|name| syscalls::number(arch.abi(), name)).max();
    for (nr, name) in syscalls::all(arch.abi()) {
        if !library.knows(name) || Some(nr) > highest {
            continue;
        }
        let base = Data { nr, arch: arch.abi().audit_arch(), ..Data::default() };
        let mut calls = vec![base];
        let rules = policy.rules.iter().filter(|rule| rule.syscalls.iter().any(|own| own == name));
        for condition in rules.flat_map(|rule| &rule.conditions) {
            for value in near(condition) {
                for mut data in calls.clone().into_iter().take(60) {
                    data.args[usize::from(condition.index)] = value;
                    calls.push(data);
                }
            }
        }
        for data in calls {
            let (ours, theirs) = (interpret(ours.instructions(), &data), interpret(&theirs, &data));
            assert_eq!(ours, theirs, "{name} {data:x?} of {policy:#?}");
        }
    }
}

#[test]
fn dockers_and_podmans_profiles_mean_the_same_to_libseccomp() {
    let Some(library) = library() else { return };
    for json in [MOBY, CONTAINERS] {
        let context = Context::new(crate::support::here(), KernelVersion { major: 6, minor: 18 });
        let policy = Policy { foreign: Vec::new(), ..parse(json, None, &context).expect("a good profile") };
        compare(&library, &policy);
        let (ours, theirs) = (compile(&policy, crate::support::here(), &Options::default()), library.compile(&policy));
        eprintln!("{} instructions, libseccomp {}", ours.expect("it compiles").len(), theirs.len());
    }
}

#[test]
fn random_conditions_mean_the_same_to_libseccomp() {
    let Some(library) = library() else { return };
    let edges = vec![0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 1 << 63, u64::MAX - 1, u64::MAX];
    let word = prop_oneof![4 => proptest::sample::select(edges), 1 => any::<u64>()];
    let condition = comparison(word);
    // One condition an argument: the library refuses two. One rule a call: its handling of overlaps has had errors of its own.
    let name = proptest::sample::select(vec!["read", "ioctl", "socket", "openat", "mseal"]);
    let rules = proptest::collection::btree_map(name, proptest::collection::btree_map(0_u8..6, condition, 1..4), 1..5);
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() });
    let result = runner.run(&rules, |rules| {
        let mut policy = Policy::new(Action::Errno(1));
        for (name, conditions) in rules {
            let conditions =
                conditions.into_iter().map(|(index, comparison)| Condition { index, comparison }).collect();
            policy.rules.push(Rule { syscalls: vec![name.to_owned()], action: Action::Allow, conditions });
        }
        compare(&library, &policy);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
