//! The route gate as a process of its own.

fn main() -> std::process::ExitCode {
    service::main::<cti::Cti>()
}
