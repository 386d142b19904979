//! Which paths of a tree are meant.
//!
//! Matching is `fast-glob`'s: no regular expressions, no allocation, and no exponential time on names of a hostile program's making.

/// Which paths are meant, relative to the base. What a pattern matches is meant with all that is below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    glob: Vec<u8>,
    /// Without a slash it is about names, in any directory.
    is_name: bool,
}

/// Whether this can be a pattern.
pub fn is_glob(pattern: &str) -> bool {
    !pattern.trim_matches('/').is_empty() && !pattern.starts_with('!') && fast_glob::validate(pattern).is_ok()
}

impl Pattern {
    fn new(pattern: &str) -> Self {
        let anchored = pattern.trim_end_matches('/');
        let glob = anchored.trim_start_matches("./").trim_start_matches('/');
        Self { is_name: !anchored.contains('/'), glob: glob.as_bytes().to_vec() }
    }

    /// Whether the path or a directory above it matches.
    fn covers(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(index, _)| index);
        let mut start = 0;
        ends.chain([path.len()]).any(|end| {
            let from = if self.is_name { start } else { 0 };
            start = end + 1;
            path.get(from..end).is_some_and(|part| fast_glob::glob_match(&self.glob, part))
        })
    }
}

impl Pattern {
    /// Whether something below this directory can match: by the components that both have.
    fn may_match_below(&self, directory: &[u8]) -> bool {
        // Braces may hold slashes.
        if self.is_name || self.glob.contains(&b'{') {
            return true;
        }
        let components = self.glob.split(|byte| *byte == b'/');
        for (wanted, name) in components.zip(directory.split(|byte| *byte == b'/')) {
            if wanted == b"**" {
                return true;
            }
            if !fast_glob::glob_match(wanted, name) {
                return false;
            }
        }
        true
    }
}

impl Selection {
    /// What matches `include` (everything, if it is empty) and not `exclude`.
    pub fn new<S: AsRef<str>>(include: &[S], exclude: &[S]) -> Self {
        let patterns = |list: &[S]| list.iter().map(|pattern| Pattern::new(pattern.as_ref())).collect();
        Self { include: patterns(include), exclude: patterns(exclude) }
    }

    /// Whether this path is meant.
    pub fn includes(&self, path: &[u8]) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.covers(path));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// Whether nothing below this directory is meant.
    pub fn excludes_below(&self, directory: &[u8]) -> bool {
        let is_wanted = |pattern: &Pattern| pattern.may_match_below(directory);
        self.exclude.iter().any(|pattern| pattern.covers(directory))
            || !self.include.is_empty() && !self.include.iter().any(is_wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn includes(include: &[&str], exclude: &[&str], path: &str) -> bool {
        Selection::new(include, exclude).includes(path.as_bytes())
    }

    #[test]
    fn a_pattern_without_a_slash_is_about_names() {
        assert!(includes(&[], &[], "a/b"));
        assert!(includes(&["*.c"], &[], "main.c"));
        assert!(includes(&["*.c"], &[], "src/deep/main.c"));
        assert!(!includes(&["*.c"], &[], "src/main.h"));
        assert!(!includes(&[], &["node_modules"], "a/node_modules/b/c.js"));
        assert!(includes(&[], &["node_modules"], "a/node_modules2/c.js"));
    }

    #[test]
    fn a_pattern_with_a_slash_is_about_paths() {
        assert!(includes(&["src/**/*.c"], &[], "src/a/b/main.c"));
        assert!(includes(&["src/*.c"], &[], "src/main.c"));
        assert!(!includes(&["src/*.c"], &[], "src/a/main.c"));
        assert!(!includes(&["src/*.c"], &[], "x/src/main.c"));
        assert!(includes(&["/build/"], &[], "build/x/y"));
        assert!(!includes(&["/build/"], &[], "a/build/x"));
        assert!(includes(&["src"], &["src/gen"], "src/main.c"));
        assert!(!includes(&["src"], &["src/gen"], "src/gen/main.c"));
        assert!(Selection::new(&[], &["./target"]).excludes_below(b"target/debug"));
    }

    #[test]
    fn directories_that_hold_nothing_that_is_meant_are_not_gone_into() {
        let below =
            |include: &[&str], directory: &str| !Selection::new(include, &[]).excludes_below(directory.as_bytes());
        assert!(below(&["*.c"], "any/where"));
        assert!(below(&["src/lib/*.c"], "src") && below(&["src/lib/*.c"], "src/lib"));
        assert!(!below(&["src/lib/*.c"], "test") && !below(&["/src/lib/*.c"], "src/other"));
        assert!(below(&["src/**/*.c"], "src/a/b/c") && below(&["**/x/y"], "a"));
        assert!(below(&["s?c/x"], "src") && below(&["{a/b,c}/d"], "z") && below(&["src/"], "src/deep/er"));
    }

    #[test]
    fn names_need_not_be_text() {
        assert!(Selection::new(&["*.bin"], &[]).includes(b"a\n/\xff\xfe.bin"));
        assert!(is_glob("*.{c,h}") && is_glob("a/**/[!x]"));
        for pattern in ["", "/", "!a", "{a"] {
            assert!(!is_glob(pattern), "{pattern}");
        }
    }
}
