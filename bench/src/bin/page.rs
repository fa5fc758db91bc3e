//! Writes `docs/proof.md` from the findings in `docs/proof`.

fn main() -> anyhow::Result<()> {
    let page = bench::page::render(&bench::finding::all()?);
    std::fs::write(bench::finding::folder().join("../proof.md"), page)?;
    Ok(())
}
