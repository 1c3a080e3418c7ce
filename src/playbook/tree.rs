//! YAML 1.2 text as a tree of scalars as they were written, lists and maps, each with its place.
//!
//! Scalars stay text: an unquoted `0.10` is exactly 0.10, and only `true` and `false` are booleans (`yes` and `on` are words).

use std::collections::BTreeMap;
use std::collections::btree_map;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span};

/// The largest document, in bytes: hundreds of plans fit, and it is read in well under a second.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// The most scalars, lists and maps of a document, what aliases repeat included, so that a few lines of aliases of aliases stay small.
pub const NODES_MAX: usize = 100_000;

/// The most bytes of text that aliases repeat.
pub const REPEATED_BYTES_MAX: usize = DOCUMENT_BYTES_MAX;

/// The deepest nesting: a playbook needs eight levels, and what reads the tree recurses.
pub const DEPTH_MAX: usize = 32;

/// A place in a text; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub line: u32,
    pub column: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub mark: Mark,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Scalar {
        text: String,
        /// Written without quotes, on one line.
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of writing, no key twice.
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub mark: Mark,
    pub value: Node,
}

/// What is wrong with a text as YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub mark: Mark,
    pub problem: String,
    pub help: String,
}

/// The documents of a text (`---` separates them) and everything that is wrong with it. After a fault in the syntax no later
/// document is read; a key that stands twice is a fault, and its first value holds.
pub fn documents(source: &str) -> (Vec<Node>, Vec<Fault>) {
    if source.len() > DOCUMENT_BYTES_MAX {
        let problem = format!("the document has {} bytes, more than {DOCUMENT_BYTES_MAX}", source.len());
        let help = "split it, or generate fewer plans and actions".to_owned();
        return (Vec::new(), vec![Fault { mark: Mark { line: 1, column: 1 }, problem, help }]);
    }
    let mut options = Options::default();
    // Comments are skipped, so that no bound on buffered comments refuses a well-commented document.
    options.set_emit_comments(false);
    let mut builder = Builder::default();
    for next in Parser::new_from_str_with_options(source, options) {
        let step = match next {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => Err(syntax(&error)),
        };
        if let Err(fault) = step {
            builder.faults.push(fault);
            break;
        }
    }
    (builder.documents, builder.faults)
}

/// A text in double quotes, as YAML and JSON both read it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl Node {
    /// The same as YAML in one line: what was plain stays plain.
    pub fn in_one_line(&self) -> String {
        match &self.kind {
            Kind::Scalar { text, plain: true } => text.clone(),
            Kind::Scalar { text, plain: false } => quoted(text),
            Kind::List(items) => {
                format!("[{}]", items.iter().map(Self::in_one_line).collect::<Vec<_>>().join(", "))
            }
            Kind::Map(entries) => {
                let pairs = entries
                    .iter()
                    .map(|entry| format!("{}: {}", quoted(&entry.key), entry.value.in_one_line()));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// What it is, for a message.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// No value at all, or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    fn size(&self) -> Size {
        let mut whole = Size { nodes: 1, depth: 0, bytes: 0 };
        match &self.kind {
            Kind::Scalar { text, .. } => whole.bytes = text.len(),
            Kind::List(items) => items.iter().for_each(|item| whole.add(item.size())),
            Kind::Map(entries) => {
                for entry in entries {
                    whole.add(entry.value.size());
                    whole.bytes = whole.bytes.saturating_add(entry.key.len());
                }
            }
        }
        Size { depth: whole.depth + 1, ..whole }
    }
}

#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    depth: usize,
    /// Of text.
    bytes: usize,
}

impl Size {
    fn add(&mut self, part: Self) {
        self.nodes = self.nodes.saturating_add(part.nodes);
        self.bytes = self.bytes.saturating_add(part.bytes);
        self.depth = self.depth.max(part.depth);
    }
}

/// A list or map whose end has not come yet.
struct Open {
    node: Node,
    anchor: usize,
    /// In a map: the key whose value comes next.
    key: Option<(String, Mark)>,
    /// In a map: where each key stands first.
    keys: BTreeMap<String, Mark>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    documents: Vec<Node>,
    faults: Vec<Fault>,
    anchors: BTreeMap<usize, (Node, Size)>,
    nodes: usize,
    repeated_bytes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Fault> {
        let mark = mark_of(span.start.line(), span.start.col());
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                no_tag(tag.is_some(), span)?;
                self.count(1, mark)?;
                let plain = style == ScalarStyle::Plain;
                self.close(Node { mark, kind: Kind::Scalar { text: text.into_owned(), plain } }, anchor)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                no_tag(tag.is_some(), span)?;
                self.start(Node { mark, kind: Kind::List(Vec::new()) }, anchor)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                no_tag(tag.is_some(), span)?;
                self.start(Node { mark, kind: Kind::Map(Vec::new()) }, anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.close(open.node, open.anchor)?;
                }
            }
            Event::Alias(anchor) => self.repeat(anchor, mark)?,
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        self.count(1, node.mark)?;
        self.room(1, node.mark)?;
        self.open.push(Open { node, anchor, key: None, keys: BTreeMap::new() });
        Ok(())
    }

    /// An alias stands for a copy of what its anchor names.
    fn repeat(&mut self, anchor: usize, mark: Mark) -> Result<(), Fault> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(Fault {
                mark,
                problem: "this alias stands inside what it repeats".to_owned(),
                help: "an alias may only repeat what has ended before it".to_owned(),
            });
        };
        let (node, size) = (node.clone(), *size);
        self.count(size.nodes, mark)?;
        self.room(size.depth, mark)?;
        self.repeated_bytes = self.repeated_bytes.saturating_add(size.bytes);
        if self.repeated_bytes > REPEATED_BYTES_MAX {
            let problem = format!("aliases repeat more than {REPEATED_BYTES_MAX} bytes");
            return Err(Fault { mark, problem, help: "repeat less by aliases".to_owned() });
        }
        self.close(node, 0)
    }

    fn count(&mut self, more: usize, mark: Mark) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        let problem = format!("the document has more than {NODES_MAX} values, what aliases repeat included");
        Err(Fault { mark, problem, help: "split it, or repeat less by aliases".to_owned() })
    }

    fn room(&self, levels: usize, mark: Mark) -> Result<(), Fault> {
        if self.open.len() + levels <= DEPTH_MAX {
            return Ok(());
        }
        let problem = format!("this is nested more than {DEPTH_MAX} levels deep");
        Err(Fault { mark, problem, help: "nothing in a playbook needs that; flatten it".to_owned() })
    }

    /// A node is whole: it goes to the list or map that is open, or is the document.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            let size = node.size();
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match &mut open.node.kind {
            Kind::List(items) => items.push(node),
            Kind::Map(entries) => match open.key.take() {
                None => open.key = Some((key_of(&node)?, node.mark)),
                Some((key, mark)) => match open.keys.entry(key) {
                    btree_map::Entry::Vacant(first) => {
                        entries.push(Entry { key: first.key().clone(), mark, value: node });
                        first.insert(mark);
                    }
                    btree_map::Entry::Occupied(first) => self.faults.push(Fault {
                        mark,
                        problem: format!("the key `{}` stands twice", super::finding::shown(first.key())),
                        help: format!("keep one; the first stands in line {}", first.get().line),
                    }),
                },
            },
            Kind::Scalar { .. } => {}
        }
        Ok(())
    }
}

fn key_of(node: &Node) -> Result<String, Fault> {
    match &node.kind {
        Kind::Scalar { text, .. } if !node.is_null() => Ok(text.clone()),
        _ => Err(Fault {
            mark: node.mark,
            problem: format!("a key is {}", node.describe()),
            help: "a key is one word before a `:`".to_owned(),
        }),
    }
}

fn no_tag(tagged: bool, span: &Span) -> Result<(), Fault> {
    if !tagged {
        return Ok(());
    }
    let start = span.tag_start().unwrap_or(span.start);
    Err(Fault {
        mark: mark_of(start.line(), start.col()),
        problem: "tags (`!…`) are not used in playbooks".to_owned(),
        help: "write the plain value; quote what is to be text".to_owned(),
    })
}

fn syntax(error: &ScanError) -> Fault {
    Fault {
        mark: mark_of(error.marker().line(), error.marker().col()),
        problem: format!("this is not YAML: {}", error.info()),
        help: "check the indentation, the brackets and the quotes here and in the line before".to_owned(),
    }
}

fn mark_of(line: usize, column: usize) -> Mark {
    let bounded = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Mark { line: bounded(line), column: bounded(column).saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in one line: scalars as written, quoted ones in quotes.
    fn show(node: &Node) -> String {
        match &node.kind {
            Kind::Scalar { text, plain: true } => text.clone(),
            Kind::Scalar { text, .. } => format!("{text:?}"),
            Kind::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
            Kind::Map(entries) => {
                let entries: Vec<_> =
                    entries.iter().map(|e| format!("{}: {}", e.key, show(&e.value))).collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    #[test]
    fn scalars_stay_as_they_are_written() {
        for (source, want) in [
            ("a: 0.10", "{a: 0.10}"),
            ("on: yes\noff: \"no\"", "{on: yes, off: \"no\"}"),
            ("a: {b: 15%, c: [1, 2]} # why", "{a: {b: 15%, c: [1, 2]}}"),
            ("a:\nb: ~", "{a: ~, b: ~}"),
            ("a: &x {n: 1}\nb: *x", "{a: {n: 1}, b: {n: 1}}"),
            ("a: |\n  text\n  more\n", "{a: \"text\\nmore\\n\"}"),
        ] {
            let (documents, faults) = documents(source);
            assert_eq!(
                (documents.iter().map(show).collect::<Vec<_>>(), faults),
                (vec![want.to_owned()], vec![])
            );
        }
    }

    #[test]
    fn places_count_from_one() {
        let (found, _) = documents("a: 1\n---\nb:\n  - {c: 2}\n");
        let Kind::Map(entries) = &found[1].kind else { panic!("{found:?}") };
        assert_eq!(entries[0].mark, Mark { line: 3, column: 1 });
        let Kind::List(items) = &entries[0].value.kind else { panic!("{found:?}") };
        assert_eq!(items[0].mark, Mark { line: 4, column: 5 });
    }

    #[test]
    fn what_is_not_a_tree_of_words_is_a_fault() {
        let bomb = (0..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
            format!("{text}a{}: &a{} [*a{n}, *a{n}]\n", n + 1, n + 1)
        });
        let deep = format!("a: {}{}", "[".repeat(40), "]".repeat(40));
        let stairs = (0..5).fold(format!("a0: &a0 {}x{}\n", "[".repeat(20), "]".repeat(20)), |text, n| {
            format!("{text}a{}: &a{} {}*a{n}{}\n", n + 1, n + 1, "[".repeat(20), "]".repeat(20))
        });
        let long = "a".repeat(DOCUMENT_BYTES_MAX + 1);
        let heavy = format!("a: &a {}\nb: [*a, *a, *a]\n", "x".repeat(DOCUMENT_BYTES_MAX / 2));
        for (source, mark, part) in [
            ("a: 1\nb: 2\na: 3", (3, 1), "the key `a` stands twice"),
            ("a: [1, 2", (1, 4), "this is not YAML"),
            ("a: *x", (1, 4), "this is not YAML"),
            ("a: &x [*x]", (1, 8), "stands inside what it repeats"),
            ("a: !!int 3", (1, 4), "tags"),
            ("? [a]\n: 1", (1, 3), "a key is a list"),
            (": 1", (1, 1), "a key is nothing"),
            (bomb.as_str(), (15, 18), "more than 100000 values"),
            (deep.as_str(), (1, 35), "nested more than 32"),
            (stairs.as_str(), (2, 29), "nested more than 32"),
            (heavy.as_str(), (2, 13), "aliases repeat more than 1048576 bytes"),
            (long.as_str(), (1, 1), "1048577 bytes, more than 1048576"),
        ] {
            let (_, faults) = documents(source);
            let [fault] = faults.as_slice() else { panic!("{faults:?}") };
            assert!(fault.problem.contains(part), "{fault:?}");
            assert_eq!((fault.mark.line, fault.mark.column), mark, "{fault:?}");
        }
    }
}
