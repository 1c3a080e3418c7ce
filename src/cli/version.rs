//! `bursar version`

use serde_json::json;

use super::exit::Exit;
use super::failure::Failure;
use super::screen::Screen;

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub fn run(screen: Screen) -> Result<Exit, Failure> {
    if screen.json {
        screen.print_json(&json!({ "version": VERSION }))?;
    } else {
        screen.print(&format!("bursar {VERSION}"))?;
    }
    Ok(Exit::Success)
}
