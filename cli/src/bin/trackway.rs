//! `trackway`: see `trackway_cli`.

fn main() -> std::process::ExitCode {
    trackway_cli::main()
}
