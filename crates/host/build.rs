//! Builds the init image, a static ELF for the same target, so that `image.rs` can embed it.
//!
//! It is a nested cargo with a target directory of its own (the outer one's is locked while build scripts run). The flags
//! that make the ELF static must not reach procedural macros, hence `--target`, which keeps host and target artefacts apart.
//!
//! `HOTCELL_INIT_LINKER` names the linker of the image where it is not to be that of the addon: zig links the addon against an
//! old glibc (scripts/build-release.mjs), but has no static one.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates that the image is made of, next to this one.
const SOURCES: [&str; 4] = ["init", "linux", "protocol", "tracer"];

fn main() -> Result<(), Box<dyn Error>> {
    let manifest_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = manifest_dir.ancestors().nth(2).ok_or("crates/host is not two levels below its workspace")?;
    for file in ["Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={}", workspace.join(file).display());
    }
    for name in SOURCES {
        let source = workspace.join("crates").join(name);
        println!("cargo:rerun-if-changed={}", source.join("Cargo.toml").display());
        println!("cargo:rerun-if-changed={}", source.join("src").display());
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=HOTCELL_INIT_LINKER");

    let image = build(workspace)?;
    require_static(&image)?;
    println!("cargo:rustc-env=HOTCELL_INIT_IMAGE={}", image.display());
    Ok(())
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}

fn build(workspace: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let target = variable("TARGET")?;
    let target_dir = PathBuf::from(variable("OUT_DIR")?).join("init-target");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(workspace)
        .args(["build", "--quiet", "-p", "hotcell-init", "--bin", "hotcell-init", "--profile", "init"])
        .arg("--manifest-path")
        .arg(workspace.join("Cargo.toml"))
        .arg("--target")
        .arg(&target)
        .arg("--target-dir")
        .arg(&target_dir);
    // The outer cargo has resolved and fetched the whole workspace already, whatever it was told about the network.
    if workspace.join("Cargo.lock").exists() {
        cargo.args(["--locked", "--offline"]);
    }
    // Not position-independent: it is alone in its address space, and relocating itself would dirty pages in each container.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", ["-Ctarget-feature=+crt-static", "-Crelocation-model=static"].join("\x1f"));
    for inherited in ["RUSTC", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"] {
        // Under `cargo clippy` these name the linter; with any of them the ELF could come out in another place or dynamic.
        cargo.env_remove(inherited);
    }
    if let Some(linker) = env::var_os("HOTCELL_INIT_LINKER") {
        let triple = variable("TARGET")?.to_string_lossy().to_uppercase().replace('-', "_");
        cargo.env(format!("CARGO_TARGET_{triple}_LINKER"), linker);
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("building the init image failed ({status}); the compiler's messages are above").into());
    }
    Ok(target_dir.join(&target).join("init").join("hotcell-init"))
}

/// A dynamic image would look for the host's loader inside of the container, and fail there. Flags get lost silently, so look.
fn require_static(image: &Path) -> Result<(), Box<dyn Error>> {
    const PT_INTERP: u32 = 3;
    let elf = fs::read(image)?;
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return Err(format!("{} is not a 64-bit little-endian ELF", image.display()).into());
    }
    let bytes = |offset: usize, length: usize| elf.get(offset..offset + length).ok_or("the ELF header is cut short");
    let half = |offset| bytes(offset, 2).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])));
    let table = u64::from_le_bytes(bytes(32, 8)?.try_into()?) as usize;
    let (entry_size, entries) = (half(54)?, half(56)?);
    for index in 0..entries {
        if u32::from_le_bytes(bytes(table + index * entry_size, 4)?.try_into()?) == PT_INTERP {
            return Err(
                format!("{} asks for a dynamic loader: the crt-static flag did not reach it", image.display()).into()
            );
        }
    }
    Ok(())
}
