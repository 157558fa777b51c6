//! The command `write-pages`: man pages and completions, for packages.

use super::exit::{Exit, Failure};
use clap::ValueEnum as _;
use clap_complete::Shell;
use std::path::PathBuf;

/// Write man pages and completions.
#[derive(clap::Args, Debug)]
pub(super) struct PagesArgs {
    /// The folder for `man/` and `completions/`. It is created
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// A man page for the program and for each command, and completions for each shell. `program`: the command line.
pub(super) fn execute(args: &PagesArgs, mut program: clap::Command) -> Result<Exit, Box<dyn Failure>> {
    let made = |name: &str| {
        let folder = args.folder.join(name);
        std::fs::create_dir_all(&folder).map(|()| folder)
    };
    let name = program.get_name().to_owned();
    clap_mangen::generate_to(program.clone(), made("man")?)?;
    let completions = made("completions")?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut program, &name, &completions)?;
    }
    Ok(Exit::Ok)
}
