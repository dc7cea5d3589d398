//! `cargo xtask new-workload NAME`

/// Begin a workload
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its name
    name: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("{}", args.name)
}
