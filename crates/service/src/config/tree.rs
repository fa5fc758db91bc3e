//! Finding and changing values in an untyped tree by their dotted path, `sources[2].host`.

use serde_json::Value;

pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

pub(super) fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let (key, indexes) = part.split_once('[').map_or((part, ""), |(key, rest)| (key, rest));
        if !key.is_empty() {
            steps.push(Step::Key(key));
        }
        let numbers = indexes.split(['[', ']']).filter(|number| !number.is_empty());
        steps.extend(numbers.filter_map(|number| number.parse().ok()).map(Step::Index));
    }
    steps
}

pub(super) fn at<'a>(tree: &'a Value, path: &str) -> Option<&'a Value> {
    steps(path).into_iter().try_fold(tree, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

pub(super) fn at_mut<'a>(tree: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    steps(path).into_iter().try_fold(tree, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(index),
    })
}

/// `path`, cut back to what is in the tree.
pub(super) fn existing(tree: &Value, path: &str) -> String {
    let mut path = path;
    while !path.is_empty() && at(tree, path).is_none() {
        path = path.rfind(['.', '[']).map_or("", |end| &path[..end]);
    }
    path.to_owned()
}

pub(super) fn set(tree: &mut Value, path: &str, value: Value) -> bool {
    let Some(place) = at_mut(tree, path) else {
        return false;
    };
    *place = value;
    true
}

pub(super) fn insert(tree: &mut Value, path: &str, value: Value) -> bool {
    let (parent, key) = path.rfind('.').map_or(("", path), |end| (&path[..end], &path[end + 1..]));
    let Some(Value::Object(map)) = at_mut(tree, parent) else {
        return false;
    };
    map.insert(key.to_owned(), value);
    true
}
