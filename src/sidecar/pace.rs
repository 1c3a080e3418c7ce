//! Work on every account, as calls let it: a thread that answers them does a little of it at a time.

/// Accounts in a row: less than a millisecond's work.
const IN_A_ROW: u32 = 16;

#[derive(Debug, Default)]
pub struct Pace(u32);

impl Pace {
    /// Before each account.
    pub async fn step(&mut self) {
        self.0 += 1;
        if self.0 > IN_A_ROW {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}
