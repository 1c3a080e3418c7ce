//! The threads that answer calls: each has a runtime of its own, on which its connections stay.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::config::SidecarConfig;
use crate::grpc::listen::{Listeners, Services};
use crate::runtime::Shutdown;

/// The servers at work: this thread's runtime and, where more threads answer, their own.
pub struct Servers {
    here: JoinSet<()>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Servers {
    /// Waits until all have ended: each ends by itself once its time for draining is over.
    pub async fn ended(mut self, drain: Duration) {
        // A little longer than each may take.
        let all = async {
            while self.here.join_next().await.is_some() {}
            let threads = self.threads;
            let join = || threads.into_iter().for_each(|thread| drop(thread.join()));
            let _joined = tokio::task::spawn_blocking(join).await;
        };
        let _late = tokio::time::timeout(drain + Duration::from_secs(1), all).await;
    }
}

pub fn serve(
    config: &SidecarConfig,
    listeners: Listeners,
    services: Services,
    serving: &Shutdown,
    drain: Duration,
) -> anyhow::Result<Servers> {
    let wanted = config.threads.or_else(|| std::thread::available_parallelism().ok());
    let more = wanted.map_or(1, std::num::NonZero::get) - 1;
    let mut threads = Vec::with_capacity(more);
    for number in 0..more {
        let (listeners, services, serving) = (listeners.share()?, services.clone(), serving.clone());
        // A runtime of its own: calls stay on the thread that took their connection.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name(format!("calls-{}", number + 1))
            .spawn(move || runtime.block_on(serve_until(listeners, services, serving, drain)))?;
        threads.push(thread);
    }
    let mut here = JoinSet::new();
    here.spawn(serve_until(listeners, services, serving.clone(), drain));
    Ok(Servers { here, threads })
}

async fn serve_until(listeners: Listeners, services: Services, serving: Shutdown, drain: Duration) {
    let over = async {
        serving.requested().await;
        // Streams that a caller keeps open would keep the server from ending.
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        served = listeners.serve(services, serving.clone()) => {
            if let Err(why) = served {
                tracing::error!(%why, "a server ended");
            }
        }
        () = over => tracing::info!("some connections were still open at the stop"),
    }
}
