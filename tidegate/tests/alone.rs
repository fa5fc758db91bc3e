//! Commands that must have the data directory for themselves.

use std::process::Command;

fn tidegate(arguments: &[&str]) -> (i32, String) {
    let told = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(arguments).output().unwrap();
    (told.status.code().unwrap_or(-1), String::from_utf8_lossy(&told.stderr).into_owned())
}

#[tokio::test]
async fn a_rebuild_and_an_import_refuse_a_directory_that_is_in_use_and_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (data, empty) = (dir.path().join("data"), dir.path().join("empty.ndjson"));
    std::fs::write(&empty, "").unwrap();
    let (data_text, empty) = (data.display().to_string(), empty.display().to_string());
    let import = ["import", "replay", "--data", &data_text, &empty];
    let rebuild = ["rebuild", "--data", &data_text];
    assert_eq!(tidegate(&import).0, 0);
    let server = store::Sqlite::open(data.join("store.db")).await.unwrap();
    for command in [&import[..], &rebuild[..], &["rebuild", "--dry-run", "--data", &data_text][..]] {
        let (code, said) = tidegate(command);
        assert_eq!(code, 69, "{said}");
        assert!(said.contains("TG0114") && said.contains("stop it"), "{said}");
    }
    let report = ["report", "calls", "--data", &data_text, "--from", "2026-01-01", "--to", "2026-01-02"];
    assert_eq!(tidegate(&report).0, 0, "reading beside a server is fine");
    drop(server);
    let (code, said) = tidegate(&rebuild);
    assert_eq!(code, 0, "{said}");
    let left: Vec<_> = std::fs::read_dir(&data).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("rebuilt")), "{left:?}");
}

#[tokio::test]
async fn a_rebuild_where_there_is_no_store_makes_it_and_a_dry_one_says_that_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let (data, empty) = (dir.path().join("data"), dir.path().join("empty.ndjson"));
    std::fs::write(&empty, "").unwrap();
    let (data_text, empty) = (data.display().to_string(), empty.display().to_string());
    assert_eq!(tidegate(&["import", "replay", "--data", &data_text, &empty]).0, 0);
    for beside in ["", "-wal", "-shm", "-mark"] {
        let _ = std::fs::remove_file(data.join(format!("store.db{beside}")));
    }
    let (code, said) = tidegate(&["rebuild", "--dry-run", "--data", &data_text]);
    assert!(code == 69 && said.contains("TG0312") && said.contains("there is no store"), "{code}: {said}");
    assert!(!data.join("store.db").exists(), "a dry run leaves nothing behind");
    assert_eq!(tidegate(&["rebuild", "--data", &data_text]), (0, String::new()));
    assert!(data.join("store.db").exists());
    assert_eq!(tidegate(&["rebuild", "--dry-run", "--data", &data_text]).0, 0, "what was made is whole");
}
