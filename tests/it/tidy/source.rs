//! Rust source as tokens with their lines: comments, doc text and the insides of strings are gone, tests can be cut.

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Ident(String),
    Number(String),
    /// A string, byte string or character.
    Text,
    Punct(char),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    pub kind: Kind,
}

impl Token {
    pub fn is(&self, punct: char) -> bool {
        self.kind == Kind::Punct(punct)
    }

    pub fn is_ident(&self, name: &str) -> bool {
        self.ident() == Some(name)
    }

    pub fn ident(&self) -> Option<&str> {
        match &self.kind {
            Kind::Ident(name) => Some(name),
            _ => None,
        }
    }
}

/// Cuts `text` into tokens. Lifetimes and raw-identifier marks are dropped: no rule asks for them.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { chars: text.chars().collect(), at: 0, line: 1, tokens: Vec::new() };
    while reader.at < reader.chars.len() {
        reader.step();
    }
    reader.tokens
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Reader {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn bump(&mut self) -> char {
        let c = self.peek(0);
        self.line += usize::from(c == '\n');
        self.at += 1;
        c
    }

    fn push(&mut self, line: usize, kind: Kind) {
        self.tokens.push(Token { line, kind });
    }

    fn step(&mut self) {
        let line = self.line;
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => {
                while self.at < self.chars.len() && self.peek(0) != '\n' {
                    self.bump();
                }
            }
            ('/', '*') => self.block_comment(),
            ('"', _) => self.quoted(line, '"'),
            ('\'', next) => {
                // `'a'` and `'\n'` are characters, `'a` is a lifetime.
                if next == '\\' || self.peek(2) == '\'' {
                    self.quoted(line, '\'');
                } else {
                    self.bump();
                    self.word();
                }
            }
            (c, _) if c.is_alphabetic() || c == '_' => self.ident_or_prefixed_string(line),
            (c, _) if c.is_ascii_digit() => self.number(line),
            (c, _) => {
                self.bump();
                if !c.is_whitespace() {
                    self.push(line, Kind::Punct(c));
                }
            }
        }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
            word.push(self.bump());
        }
        word
    }

    fn ident_or_prefixed_string(&mut self, line: usize) {
        let word = self.word();
        let prefix = matches!(word.as_str(), "r" | "b" | "c" | "br" | "cr");
        match self.peek(0) {
            '"' | '#' if prefix && word.ends_with('r') => self.raw(line),
            '"' if prefix => self.quoted(line, '"'),
            '\'' if word == "b" => self.quoted(line, '\''),
            _ => self.push(line, Kind::Ident(word)),
        }
    }

    fn number(&mut self, line: usize) {
        let field = self.tokens.last().is_some_and(|token| token.is('.'));
        let mut number = self.word();
        // `1.5` is a float; `0..5`, `1.max(2)` and the tuple field `x.0.1` are not.
        if !field && self.peek(0) == '.' && self.peek(1).is_ascii_digit() {
            number.push(self.bump());
            number.push_str(&self.word());
        }
        self.push(line, Kind::Number(number));
    }

    fn quoted(&mut self, line: usize, end: char) {
        self.bump();
        while self.at < self.chars.len() {
            match self.bump() {
                '\\' => {
                    self.bump();
                }
                c if c == end => break,
                _ => {}
            }
        }
        self.push(line, Kind::Text);
    }

    /// A raw string, or (`r#type`) a raw identifier.
    fn raw(&mut self, line: usize) {
        let hashes = (0..).take_while(|ahead| self.peek(*ahead) == '#').count();
        if self.peek(hashes) != '"' {
            self.bump();
            return;
        }
        self.at += hashes + 1;
        while self.at < self.chars.len() {
            if self.bump() == '"' && (0..hashes).all(|ahead| self.peek(ahead) == '#') {
                self.at += hashes;
                break;
            }
        }
        self.push(line, Kind::Text);
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    self.bump();
                    continue;
                }
            }
            self.at += 2;
            if depth == 0 {
                break;
            }
        }
    }
}

/// The index just past the item or block that starts at `from`: its `;` or the brace that closes it.
fn item_end(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0_i64;
    for (index, token) in tokens.iter().enumerate().skip(from) {
        match token.kind {
            Kind::Punct('(' | '[' | '{') => depth += 1,
            Kind::Punct(')' | ']') => depth -= 1,
            Kind::Punct('}') => {
                depth -= 1;
                if depth == 0 {
                    return index + 1;
                }
            }
            Kind::Punct(';') if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The end of the attribute that starts at `at` (`#[…]`), if one does.
fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    if !(tokens.get(at)?.is('#') && tokens.get(at + 1)?.is('[')) {
        return None;
    }
    let mut depth = 0_i64;
    for (index, token) in tokens.iter().enumerate().skip(at + 1) {
        depth += i64::from(token.is('[')) - i64::from(token.is(']'));
        if depth == 0 {
            return Some(index + 1);
        }
    }
    None
}

/// Where the items under `#[cfg(test)]` stand: token ranges, and the lines that they take.
fn test_ranges(tokens: &[Token]) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let Some(mut end) = attribute_end(tokens, at) else {
            at += 1;
            continue;
        };
        let attribute = &tokens[at + 2..end];
        let names = |name: &str| attribute.iter().any(|token| token.is_ident(name));
        if !(attribute.first().is_some_and(|token| token.is_ident("cfg")) && names("test") && !names("not")) {
            at = end;
            continue;
        }
        while let Some(next) = attribute_end(tokens, end) {
            end = next;
        }
        let end = item_end(tokens, end);
        ranges.push(at..end);
        at = end;
    }
    ranges
}

/// A source file without its tests.
pub struct Code {
    pub tokens: Vec<Token>,
    /// How many lines the file has, the lines of its tests not counted.
    pub lines: usize,
}

pub fn code(text: &str) -> Code {
    let mut tokens = tokens(text);
    let mut lines = text.lines().count();
    for range in test_ranges(&tokens).into_iter().rev() {
        let first = tokens[range.start].line;
        let last = tokens[range.end - 1].line;
        lines -= last - first + 1;
        tokens.drain(range);
    }
    Code { tokens, lines }
}

/// A function with a body: its name, the line of its `fn`, and how many lines it takes.
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

/// Every `fn name` of the tokens (function pointers have no name); one without a body has no lines.
pub fn functions(tokens: &[Token]) -> Vec<Function> {
    let mut functions = Vec::new();
    for (index, pair) in tokens.windows(2).enumerate() {
        if let (true, Some(name)) = (pair[0].is_ident("fn"), pair[1].ident()) {
            let last = &tokens[item_end(tokens, index) - 1];
            let lines = if last.is('}') { last.line - pair[0].line + 1 } else { 0 };
            functions.push(Function { name: name.to_owned(), line: pair[0].line, lines });
        }
    }
    functions
}

/// A path as written, `use` groups spread out: `crate::{a, b::c}` gives `crate::a` and `crate::b::c`.
#[derive(Debug, PartialEq, Eq)]
pub struct UsedPath {
    pub line: usize,
    pub segments: Vec<String>,
}

pub fn paths(tokens: &[Token]) -> Vec<UsedPath> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let method = at > 0 && tokens[at - 1].is('.');
        if tokens[at].ident().is_some() && !method {
            at = read_path(tokens, at, &[], &mut paths);
        } else {
            at += 1;
        }
    }
    paths
}

fn double_colon(tokens: &[Token], at: usize) -> bool {
    matches!((tokens.get(at), tokens.get(at + 1)), (Some(a), Some(b)) if a.is(':') && b.is(':'))
}

/// Reads the path at `at` below `prefix` and gives the index after it.
fn read_path(tokens: &[Token], mut at: usize, prefix: &[String], paths: &mut Vec<UsedPath>) -> usize {
    let line = tokens[at].line;
    let mut segments = prefix.to_vec();
    loop {
        match &tokens[at].kind {
            Kind::Ident(name) => segments.push(name.clone()),
            Kind::Punct('{') => return read_group(tokens, at, &segments, paths),
            _ => break,
        }
        at += 1;
        if !double_colon(tokens, at) || at + 2 >= tokens.len() {
            break;
        }
        at += 2;
    }
    paths.push(UsedPath { line, segments });
    at
}

fn read_group(tokens: &[Token], open: usize, prefix: &[String], paths: &mut Vec<UsedPath>) -> usize {
    let mut at = open + 1;
    let mut entry = true;
    while at < tokens.len() && !tokens[at].is('}') {
        if entry && (tokens[at].ident().is_some() || tokens[at].is('{')) {
            at = read_path(tokens, at, prefix, paths);
            entry = false;
        } else {
            entry |= tokens[at].is(',');
            at += 1;
        }
    }
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idents(text: &str) -> Vec<String> {
        tokens(text).iter().filter_map(|token| token.ident().map(str::to_owned)).collect()
    }

    #[test]
    fn comments_strings_and_lifetimes_are_not_code() {
        assert_eq!(idents("a /* x /* y */ z */ b // c\n d"), ["a", "b", "d"]);
        assert_eq!(idents(r##"a "x \" y" r#"z " z"# b'q' '\'' 'w' b"##), ["a", "b"]);
        assert_eq!(idents("fn f<'a>(x: &'a str) {}"), ["fn", "f", "x", "str"]);
        assert_eq!(idents("r#type b\"bytes\" br#\"raw\"# end"), ["type", "end"]);
    }

    #[test]
    fn numbers_know_floats_from_fields_and_ranges() {
        let numbers = |text: &str| -> Vec<String> {
            let kinds = tokens(text).into_iter().map(|token| token.kind);
            kinds.filter_map(|kind| if let Kind::Number(n) = kind { Some(n) } else { None }).collect()
        };
        assert_eq!(
            numbers("1.5 + x.0.1 + (0..5) + 1.max(2) + 7_u64"),
            ["1.5", "0", "1", "0", "5", "1", "2", "7_u64"]
        );
    }

    #[test]
    fn tests_are_cut_and_not_counted() {
        let text = "fn a() {}\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n  fn b() {}\n}\n#[cfg(not(test))]\nfn c() {}\n";
        let code = code(text);
        assert_eq!(code.lines, 3);
        let names: Vec<String> = functions(&code.tokens).into_iter().map(|f| f.name).collect();
        assert_eq!(names, ["a", "c"]);
    }

    #[test]
    fn functions_are_measured_by_their_braces() {
        let found = functions(&tokens(
            "trait T { fn a(x: [u8; 3]); }\nfn b<T>() -> T\nwhere T: X,\n{\n  if y { z }\n}\n",
        ));
        let sizes: Vec<(&str, usize)> = found.iter().map(|f| (f.name.as_str(), f.lines)).collect();
        assert_eq!(sizes, [("a", 0), ("b", 5)]);
    }

    #[test]
    fn use_groups_are_spread_out() {
        let text = "use crate::{types::{self, Credits}, credit::draw as d};\nlet x = super::super::engine::go::<u8>(y);";
        let all: Vec<String> = paths(&tokens(text)).iter().map(|path| path.segments.join("::")).collect();
        for wanted in
            ["crate::types::self", "crate::types::Credits", "crate::credit::draw", "super::super::engine::go"]
        {
            assert!(all.iter().any(|path| path == wanted), "`{wanted}` is missing in {all:?}");
        }
    }
}
