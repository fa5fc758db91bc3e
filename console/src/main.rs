//! The console as a process of its own.

fn main() -> std::process::ExitCode {
    service::main::<console::Console>()
}
