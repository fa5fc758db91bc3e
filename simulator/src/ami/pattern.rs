//! The patterns of `Filter`: the part of regular expressions that filters are made of. Literals, `.`, `.*`, groups of
//! alternatives `(a|b)`, `^` and `$` at a line's ends, and `\` before a special character. Anything else does not compile, and
//! the session is told so, as the real PBX tells it of a bad expression.

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    alternatives: Vec<Vec<Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    Any,
    AnyMany,
    LineStart,
    LineEnd,
    Group(Pattern),
}

/// How deep groups may nest.
const DEPTH_MAX: usize = 8;

impl Pattern {
    /// Compiles a pattern; none when it does not.
    pub(crate) fn compile(text: &str) -> Option<Pattern> {
        let mut at = 0;
        let pattern = parse(text.as_bytes(), &mut at, 0)?;
        (at == text.len()).then_some(pattern)
    }

    /// Whether it matches anywhere in a text.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        (0..=text.len()).any(|from| self.match_at(text, from, &mut |_| true))
    }

    fn match_at(&self, text: &[u8], from: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
        self.alternatives.iter().any(|parts| match_parts(parts, text, from, then))
    }
}

fn match_parts(parts: &[Part], text: &[u8], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    let Some((part, rest)) = parts.split_first() else { return then(at) };
    match part {
        Part::Byte(byte) => text.get(at) == Some(byte) && match_parts(rest, text, at + 1, then),
        Part::Any => text.get(at).is_some_and(|byte| *byte != b'\n') && match_parts(rest, text, at + 1, then),
        Part::AnyMany => {
            let end = text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |n| at + n);
            (at..=end).any(|next| match_parts(rest, text, next, then))
        }
        Part::LineStart => (at == 0 || text[at - 1] == b'\n') && match_parts(rest, text, at, then),
        Part::LineEnd => {
            (at == text.len() || text[at] == b'\r' || text[at] == b'\n') && match_parts(rest, text, at, then)
        }
        Part::Group(group) => group.match_at(text, at, &mut |next| match_parts(rest, text, next, then)),
    }
}

fn parse(bytes: &[u8], at: &mut usize, depth: usize) -> Option<Pattern> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut alternatives = vec![Vec::new()];
    while let Some(byte) = bytes.get(*at).copied() {
        *at += 1;
        let part = match byte {
            b')' if depth > 0 => {
                *at -= 1;
                break;
            }
            b'|' => {
                alternatives.push(Vec::new());
                continue;
            }
            b'(' => {
                let group = parse(bytes, at, depth + 1)?;
                (bytes.get(*at) == Some(&b')')).then(|| *at += 1)?;
                Part::Group(group)
            }
            b'^' => Part::LineStart,
            b'$' => Part::LineEnd,
            b'.' if bytes.get(*at) == Some(&b'*') => {
                *at += 1;
                Part::AnyMany
            }
            b'.' => Part::Any,
            b'\\' => {
                let next = bytes.get(*at).copied().filter(|next| !next.is_ascii_alphanumeric())?;
                *at += 1;
                Part::Byte(next)
            }
            b'[' | b']' | b'{' | b'}' | b'*' | b'+' | b'?' | b')' => return None,
            other => Part::Byte(other),
        };
        alternatives.last_mut()?.push(part);
    }
    Some(Pattern { alternatives })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &[u8] = b"Event: QueueCallerJoin\r\nPrivilege: agent,all\r\nQueue: sales\r\n\r\n";

    #[test]
    fn what_filters_are_made_of_matches() {
        for pattern in [
            "Queue: sales",
            "^Event: Queue.*",
            "Event: (Hold|QueueCallerJoin)$",
            "^Privilege: a....,all",
            "a|b|sales",
            "agent\\,all",
        ] {
            assert!(Pattern::compile(pattern).unwrap().is_in(EVENT), "{pattern}");
        }
        for pattern in ["Event: Hold", "^Queue.*Join", "Event: Queue$", "Event: (Hold|Unhold)$"] {
            assert!(!Pattern::compile(pattern).unwrap().is_in(EVENT), "{pattern}");
        }
    }

    #[test]
    fn what_it_does_not_know_does_not_compile() {
        for pattern in ["[a-z]", "(a", "a)", "a+", "*", "\\d", &"(".repeat(20)] {
            assert_eq!(Pattern::compile(pattern), None, "{pattern}");
        }
    }
}
