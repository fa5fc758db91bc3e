//! Tidegate in one process, and the operator's command line.

fn main() -> std::process::ExitCode {
    tidegate::main()
}
