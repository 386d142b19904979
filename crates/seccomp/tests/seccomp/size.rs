//! How long the programs of the built-in profiles are.

use crate::support;
use hotcell_seccomp::syscalls::Arch;
use hotcell_seccomp::{KillAs, Options, Profile, Settings, Trace, Traced, compile};

#[test]
fn built_in_profiles_are_short() {
    for arch in [Arch::X86_64, Arch::Aarch64] {
        for profile in Profile::ALL {
            let Some(policy) = profile.policy(&Settings::default()) else { continue };
            let count = |options: &Options| compile(&policy, arch, options).expect("a profile compiles").len();
            let plain = count(&Options::default());
            let init = Options { kill: KillAs::Notification, pass: Some(support::pass(arch)), trace: None };
            let traced = Options { trace: Some(Trace { calls: Traced::All, data: 1 }), ..init.clone() };
            let name = profile.name();
            eprintln!("{arch} {name}: {plain} instructions, {} with a pass, {} traced", count(&init), count(&traced));
            assert!(plain <= 200, "{name} on {arch}: {plain}");
        }
    }
}
