//! The gate as a component.

use cti::Cti;

#[test]
fn it_is_a_well_behaved_component() {
    service::conformance::component::<Cti>();
    service::conformance::reference::<Cti>();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_lives_and_stops_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[cti]\nlisten = {{ address = \"127.0.0.1:0\" }}\nagi = {{ listen = {{ address = \"127.0.0.1:0\" }} }}\n[cti.journal]\npath = {:?}\n",
        folder.path().join("journal.db")
    );
    service::conformance::life::<Cti>(&text, async {}).await;
}
