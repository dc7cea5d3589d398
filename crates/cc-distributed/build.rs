//! Compiles the protocol. `protox` is a compiler in pure Rust, so `protoc` need not be installed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto/cluster.proto");
    let files = protox::compile(["proto/cluster.proto"], ["proto"])?;
    // `Bytes` instead of `Vec<u8>`: a payload is split into frames without a copy.
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
