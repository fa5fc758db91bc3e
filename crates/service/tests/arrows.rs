//! The arrows of `deny.toml`: who may import whom, checked on the manifests without cargo-deny.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &Path) -> toml::Table {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Each member's name, with the crates it names in any dependency table.
fn members() -> BTreeMap<String, BTreeSet<String>> {
    let workspace = read(&root().join("Cargo.toml"));
    let folders = workspace["workspace"]["members"].as_array().unwrap();
    let manifest = |folder: &toml::Value| read(&root().join(folder.as_str().unwrap()).join("Cargo.toml"));
    let named = |manifest: &toml::Table| {
        let tables = ["dependencies", "dev-dependencies", "build-dependencies"].into_iter();
        let tables = tables.filter_map(|table| manifest.get(table)?.as_table());
        tables.flat_map(|table| table.keys().cloned()).collect()
    };
    let entry = |manifest: toml::Table| (manifest["package"]["name"].as_str().unwrap().to_owned(), named(&manifest));
    folders.iter().map(manifest).map(entry).collect()
}

#[test]
fn imports_go_down_only() {
    let members = members();
    let law = read(&root().join("deny.toml"));
    let mut broken = Vec::new();
    for ban in law["bans"]["deny"].as_array().unwrap() {
        let banned = ban["crate"].as_str().unwrap();
        let wrappers = ban.get("wrappers").and_then(toml::Value::as_array);
        let wrappers: BTreeSet<&str> = wrappers.into_iter().flatten().filter_map(toml::Value::as_str).collect();
        let users = members.iter().filter(|(_, named)| named.contains(banned)).map(|(name, _)| name.as_str());
        let outlaws = users.filter(|user| !wrappers.contains(user));
        broken.extend(outlaws.map(|user| format!("{user} names {banned}: {}", ban["reason"])));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_member_of_ours_has_its_arrow() {
    let law = read(&root().join("deny.toml"));
    let banned: BTreeSet<&str> =
        law["bans"]["deny"].as_array().unwrap().iter().filter_map(|ban| ban["crate"].as_str()).collect();
    let members = members();
    let free: Vec<_> =
        members.keys().filter(|name| !banned.contains(name.as_str()) && *name != "tidegate-tests").collect();
    assert!(free.is_empty(), "deny.toml does not say who may import {free:?}");
}
