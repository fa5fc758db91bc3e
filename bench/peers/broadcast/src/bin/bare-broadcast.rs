//! A bare broadcast as a program of its own, with the allocator of the C library.

fn main() -> anyhow::Result<()> {
    broadcast::serve()
}
