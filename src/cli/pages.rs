//! Lists come in pages; a command asks for as many as it was told to show.

use clap::Args;

use super::screen::Screen;

/// Servers cut larger pages to this.
const PAGE_MAX: u32 = 1000;

#[derive(Clone, Debug, Args)]
pub struct PageArgs {
    /// The most entries to show
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Goes on where an earlier list ended: its `next_page_token`
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page_token: String,
}

/// Where a list is.
#[derive(Debug)]
pub struct Pages {
    left: u32,
    token: String,
    ended: bool,
}

impl PageArgs {
    pub fn start(&self) -> Pages {
        Pages { left: self.limit, token: self.page_token.clone(), ended: false }
    }
}

impl Pages {
    /// The size and token of the next page to ask for; `None` = enough, or all.
    pub fn next(&self) -> Option<(i32, String)> {
        let size = i32::try_from(self.left.min(PAGE_MAX)).unwrap_or(i32::MAX);
        (self.left > 0 && !self.ended).then(|| (size, self.token.clone()))
    }

    /// A page came.
    pub fn took(&mut self, entries: usize, next_page_token: &str) {
        self.left = self.left.saturating_sub(u32::try_from(entries).unwrap_or(u32::MAX));
        self.ended = next_page_token.is_empty();
        next_page_token.clone_into(&mut self.token);
    }

    /// The token of what is left; says so where something is.
    pub fn rest(self, screen: Screen) -> String {
        if !self.ended && !screen.json {
            screen.say(&format!(
                "there are more: `--page-token {}` shows them, `--limit` shows more at once",
                self.token
            ));
        }
        if self.ended { String::new() } else { self.token }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_until_it_has_enough_or_all() {
        let args = PageArgs { limit: 1500, page_token: String::new() };
        let mut pages = args.start();
        assert_eq!(pages.next(), Some((1000, String::new())));
        pages.took(1000, "a");
        assert_eq!(pages.next(), Some((500, "a".to_owned())));
        pages.took(500, "b");
        assert_eq!(pages.next(), None);
        assert_eq!(pages.rest(Screen { json: true }), "b");

        let mut pages = args.start();
        pages.took(3, "");
        assert_eq!(pages.next(), None);
        assert_eq!(pages.rest(Screen { json: true }), "");
    }
}
