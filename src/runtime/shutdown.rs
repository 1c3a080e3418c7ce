//! The signal to stop, for every task that listens.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Heard by any number of tasks.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Says it. Dropping it says it, too: nothing outlives what it belongs to.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Shutdown {
    pub fn new() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Self(receiver))
    }

    /// Ends at the first SIGTERM or SIGINT; a second one while the process drains does not cut it short, the
    /// orchestrator's SIGKILL does.
    ///
    /// Must be called within a tokio runtime. Errors: the handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (stopper, shutdown) = Self::new();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "stopping");
            stopper.stop();
        });
        Ok(shutdown)
    }

    /// Waits until it was said. Cancel safe.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        // An error means that the stopper is gone, which says the same.
        let _gone = receiver.wait_for(|stop| *stop).await;
    }

    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

impl Stopper {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_listener_hears_it_early_or_late() {
        let (stopper, early) = Shutdown::new();
        let waiting = tokio::spawn({
            let early = early.clone();
            async move { early.requested().await }
        });
        assert!(!early.is_requested());
        stopper.stop();
        waiting.await.unwrap();
        assert!(early.is_requested());
        early.clone().requested().await;
    }

    #[tokio::test]
    async fn a_lost_stopper_stops() {
        let (stopper, shutdown) = Shutdown::new();
        drop(stopper);
        shutdown.requested().await;
        assert!(shutdown.is_requested());
    }

    #[tokio::test]
    async fn a_signal_stops() {
        let shutdown = Shutdown::on_signals().unwrap();
        let own = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &own]).status().unwrap().success());
        shutdown.requested().await;
    }
}
