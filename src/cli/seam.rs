//! Until the processes are here.

pub mod ledger {
    use std::net::SocketAddr;

    use crate::config::LedgerConfig;
    use crate::runtime::Shutdown;

    pub async fn run(_: &LedgerConfig, _: impl FnOnce(SocketAddr), _: Shutdown) -> anyhow::Result<()> {
        anyhow::bail!("the ledger is not linked in")
    }
}

pub mod sidecar {
    use std::net::SocketAddr;
    use std::path::PathBuf;

    use crate::config::SidecarConfig;
    use crate::runtime::Shutdown;

    #[derive(Debug)]
    pub struct Listening {
        pub socket: Option<PathBuf>,
        pub address: Option<SocketAddr>,
    }

    pub async fn run(_: &SidecarConfig, _: impl FnOnce(Listening), _: Shutdown) -> anyhow::Result<()> {
        anyhow::bail!("the sidecar is not linked in")
    }
}
