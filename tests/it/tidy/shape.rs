//! Sizes, and `mod.rs` as a door plate.

use super::rooms::is_test_file;
use super::source::{code, functions};
use super::{File, Violation};

/// A file that is longer holds more than one rule; its tests do not count.
const FILE_LINES_MAX: usize = 400;

/// A function that is longer does not fit on one screen.
const FUNCTION_LINES_MAX: usize = 70;

pub fn check(file: &File) -> Vec<Violation> {
    let built = file.path.starts_with("src/") || file.path == "build.rs";
    if !built || !file.path.ends_with(".rs") || is_test_file(&file.path) {
        return Vec::new();
    }
    let code = code(&file.text);
    let mut found = Vec::new();
    if code.lines > FILE_LINES_MAX {
        let reason = format!(
            "{} lines without its tests, at most {FILE_LINES_MAX}; split it by rule, not by size",
            code.lines
        );
        found.push(Violation::new(&file.path, 1, reason));
    }
    for function in functions(&code.tokens) {
        if function.lines > FUNCTION_LINES_MAX {
            let reason = format!(
                "`{}` has {} lines, at most {FUNCTION_LINES_MAX}: a function fits on one screen",
                function.name, function.lines
            );
            found.push(Violation::new(&file.path, function.line, reason));
        }
        if file.path.ends_with("/mod.rs") {
            let reason = format!(
                "`{}` in a mod.rs: it is a door plate, rules live in files named by them",
                function.name
            );
            found.push(Violation::new(&file.path, function.line, reason));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(&File::new(path, text)).len()
    }

    #[test]
    fn long_files_and_functions_are_refused() {
        assert_eq!(count("src/credit/draw.rs", &"// line\n".repeat(400)), 0);
        assert_eq!(count("src/credit/draw.rs", &"// line\n".repeat(401)), 1);
        let tests = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "// line\n".repeat(500));
        assert_eq!(count("src/credit/draw.rs", &tests), 0);
        assert_eq!(count("src/credit/draw.rs", &format!("fn a() {{\n{}}}\n", "x();\n".repeat(68))), 0);
        assert_eq!(count("src/credit/draw.rs", &format!("fn a() {{\n{}}}\n", "x();\n".repeat(69))), 1);
    }

    #[test]
    fn a_door_plate_has_no_functions() {
        assert_eq!(count("src/credit/mod.rs", "//! Doc.\npub mod draw;\npub type F = fn(u8) -> u8;\n"), 0);
        assert_eq!(count("src/credit/mod.rs", "pub fn draw() {}\n"), 1);
    }
}
