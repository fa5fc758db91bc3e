//! Every error code in the source has a page in `docs/errors`, and every page a code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && !name.starts_with('.') && !["target", "node_modules", "data"].contains(&name.as_str()) {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// `TG` and four digits, not part of a longer word.
fn codes(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_code =
        |word: &&str| word.len() == 6 && word.starts_with("TG") && word[2..].bytes().all(|b| b.is_ascii_digit());
    text.split(|c| !word(c)).filter(is_code).map(str::to_owned).collect()
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let root = root();
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 10, "found only {} sources below {}", files.len(), root.display());
    let mut used: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        used.extend(codes(&text).into_iter().map(|code| (code, file.clone())));
    }
    let pages = std::fs::read_dir(root.join("docs/errors")).unwrap().map(|page| page.unwrap().file_name());
    let pages: BTreeSet<String> =
        pages.filter_map(|page| Some(page.to_str()?.strip_suffix(".md")?.to_owned())).collect();
    let bare: Vec<_> = used.iter().filter(|(code, _)| !pages.contains(*code)).collect();
    assert!(bare.is_empty(), "codes without a page in docs/errors: {bare:?}");
    let stale: Vec<_> = pages.iter().filter(|page| page.starts_with("TG") && !used.contains_key(*page)).collect();
    assert!(stale.is_empty(), "pages of codes that nothing uses: {stale:?}");
}

#[test]
fn every_page_says_what_happened_and_what_to_do() {
    for page in std::fs::read_dir(root().join("docs/errors")).unwrap().map(|page| page.unwrap().path()) {
        let code = page.file_stem().unwrap().to_string_lossy().into_owned();
        if code.starts_with("TG") {
            let text = std::fs::read_to_string(&page).unwrap();
            assert!(text.starts_with(&format!("# {code}: ")), "{code}: the title does not begin with the code");
            assert!(text.contains("What happened") && text.contains("What to do"), "{code}: a part is missing");
        }
    }
}
