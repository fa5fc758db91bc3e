//! The collector as a process of its own.

fn main() -> std::process::ExitCode {
    service::main::<collector::Collector>()
}
