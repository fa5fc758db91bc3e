//! The page is what its findings say.

#[test]
fn the_page_is_made_of_the_findings_on_record() {
    let page = std::fs::read_to_string(bench::finding::folder().join("../proof.md")).unwrap();
    let made = bench::page::render(&bench::finding::all().unwrap());
    assert!(page == made, "docs/proof.md is not what docs/proof says: run script/proof page");
}
