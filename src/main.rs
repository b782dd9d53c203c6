//! The binary: everything is in the library.

fn main() -> std::process::ExitCode {
    hourglass::cli::main(std::env::args_os().collect())
}
