//! Ledgers that are restored from a backup: nothing acknowledged is lost, and nothing is leased twice.

use bursar::engine::wallet::Here;
use bursar::grpc::lease_client::{Hello, LeaseClient, Leased, LinkError, Report};
use bursar::lease::Ask;
use bursar::types::{AccountId, Credits, SidecarId};

use crate::ledger::{Place, Server, Sidecar, WAIT};
use crate::sidecar::{Process, until};

/// Leases of two seconds: a restored ledger has learned after three.
const PLAYBOOK: &str = "
bursar: 1
playbook: tests
version: 1
credit: {unit: output, price: 0.10, currency: USD, scale: 2}
actions: {draft: {weight: 1}}
plans: {basic: {allowance: {credits: 100, every: month}, offline: {mode: deny, lease: 2s}}}
";

async fn spent(server: &Server, credits: &str) {
    until(&format!("not {credits} were spent"), async || {
        (server.balance("acme").await.2 == credits).then_some(())
    })
    .await;
}

fn hello(sidecar: &Sidecar, acknowledged: u64) -> Hello {
    Hello { sidecar: sidecar.who.sidecar, start: 1, generation: 1, acknowledged, ..Hello::default() }
}

fn ask() -> Ask {
    Ask { credits: Credits::whole(1), ..Ask::default() }
}

/// A stranger is leased nothing before the ledger has learned; answers the error that it got first.
async fn leases_again(server: &Server) -> LinkError {
    let client = LeaseClient::new(&server.url()).unwrap();
    let account = AccountId::parse("acme").unwrap();
    let mut refused = None;
    let attached = client.attach(SidecarId([99; 16]), 1).await.unwrap();
    let who = bursar::grpc::lease_client::Sender { sidecar: SidecarId([99; 16]), epoch: attached.epoch };
    until("nothing was leased", async || match client.lease(who, &account, &ask(), WAIT).await {
        Ok(Leased::Granted(grant)) => {
            assert!(!grant.slices.is_empty());
            Some(())
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            refused.get_or_insert(error);
            None
        }
    })
    .await;
    refused.expect("it was leased at once")
}

async fn what_was_lost_comes_again_or_is_charged_as_unexplained(place: &Place) {
    let server = Server::start(place).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    let mut sidecar = Sidecar::attach(&server, 7, "acme").await;
    let run = sidecar.authorize("2").await.unwrap();
    sidecar.commit(run);
    let kept = sidecar.report().await;
    server.stop().await;
    let backup = place.backup().await;

    let server = Server::start(place).await;
    sidecar.client = LeaseClient::new(&server.url()).unwrap();
    sidecar.client.introduce(&hello(&sidecar, kept)).await.unwrap();
    let (run, open) = (sidecar.authorize("3").await.unwrap(), sidecar.authorize("1").await.unwrap());
    sidecar.commit(run);
    let trimmed = sidecar.report().await;
    let run = sidecar.authorize("4").await.unwrap();
    sidecar.commit(run);
    let acknowledged = sidecar.report().await;
    let truth = server.balance("acme").await;
    assert_eq!((&*truth.0, &*truth.1, &*truth.2), ("90", "1", "9"));
    server.stop().await;
    place.restore(&backup).await;

    let server = Server::start(place).await;
    let other = match place {
        Place::PostgreSql(_) => Some(Server::start(place).await),
        Place::Embedded(_) => None,
    };
    sidecar.client = LeaseClient::new(&server.url()).unwrap();
    let attached = sidecar.client.introduce(&hello(&sidecar, acknowledged)).await.unwrap();
    assert_eq!((attached.generation, attached.acknowledged), (2, kept));
    sidecar.who.epoch = attached.epoch;
    // What is not kept any more can't come again.
    let skip = usize::try_from(trimmed).unwrap();
    let report = Report { records: sidecar.records(skip), ..Report::default() };
    assert_eq!(sidecar.client.tell(sidecar.who, report).await, Ok(acknowledged));
    assert_eq!(server.balance("acme").await.2, "6");
    let recount = vec![(sidecar.wallet.account.clone(), sidecar.wallet.recount().unwrap())];
    for _ in 0..2 {
        let report = Report { recounts: recount.clone(), acknowledged, ..Report::default() };
        assert_eq!(sidecar.client.tell(sidecar.who, report).await, Ok(acknowledged));
        sidecar.report().await;
        assert_eq!(server.balance("acme").await, truth);
    }
    // The same sidecar again, which does not say yet that it is done: the same generation.
    let again = sidecar.client.introduce(&hello(&sidecar, acknowledged)).await.unwrap();
    assert_eq!((again.generation, again.acknowledged), (2, acknowledged));
    let refused = sidecar.client.lease(sidecar.who, &sidecar.wallet.account, &ask(), WAIT).await;
    assert!(matches!(refused, Err(LinkError::Learning(_))), "{refused:?}");
    let refused = leases_again(other.as_ref().unwrap_or(&server)).await;
    assert!(matches!(refused, LinkError::Learning(_)), "{refused:?}");
    sidecar.commit(open);
    sidecar.report().await;
    assert_eq!(server.balance("acme").await.2, "10");
    server.stop().await;
    if let Some(other) = other {
        other.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_on_an_embedded_store() {
    what_was_lost_comes_again_or_is_charged_as_unexplained(&Place::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_on_postgresql() {
    what_was_lost_comes_again_or_is_charged_as_unexplained(&Place::postgresql().await).await;
}

/// A lease that was given after the backup shows it, too, though nothing of it was ever reported.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_was_never_given_shows_that_the_ledger_was_restored() {
    let place = Place::embedded().await;
    let server = Server::start(&place).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    server.stop().await;
    let backup = place.backup().await;
    let server = Server::start(&place).await;
    let mut sidecar = Sidecar::attach(&server, 7, "acme").await;
    sidecar.authorize("5").await.unwrap();
    server.stop().await;
    place.restore(&backup).await;
    let server = Server::start(&place).await;
    sidecar.client = LeaseClient::new(&server.url()).unwrap();
    let attached = sidecar.client.introduce(&hello(&sidecar, 0)).await.unwrap();
    assert_eq!(attached.generation, 1, "nothing shows it yet");
    let here = Here { playbooks: &sidecar.playbooks, at: sidecar.now };
    sidecar.wallet.give_back(here, &mut sidecar.journal);
    let ask = sidecar.wallet.renewal(sidecar.now);
    let refused = sidecar.client.lease(sidecar.who, &sidecar.wallet.account, &ask, WAIT).await;
    assert!(matches!(refused, Err(LinkError::Refused(_))), "{refused:?}");
    let attached = sidecar.client.introduce(&hello(&sidecar, 0)).await.unwrap();
    assert_eq!(attached.generation, 2);
    server.stop().await;
}

/// The processes themselves: the sidecar notices by itself, sends again, and serves again once the ledger has learned.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_sends_again_what_its_ledger_lost() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("l.sock");
    let place = Place::embedded().await;
    let server = Server::start_at(&place, &socket).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    let sidecar = Process::start(dir.path(), &socket, &[]).await;
    sidecar.run("3").await;
    spent(&server, "3").await;
    server.stop().await;
    let backup = place.backup().await;

    let server = Server::start_at(&place, &socket).await;
    until("no lease came", async || {
        let answer = sidecar.authorize("1").await;
        (!answer.reservation.is_empty()).then_some(())
    })
    .await;
    sidecar.run("5").await;
    spent(&server, "8").await;
    server.stop().await;
    place.restore(&backup).await;

    let server = Server::start_at(&place, &socket).await;
    assert_eq!(server.balance("acme").await.2, "3");
    spent(&server, "8").await;
    // What the sidecar still has of its lease may serve; after that it waits for the ledger.
    until("service did not go on", async || {
        let answer = sidecar.authorize("40").await;
        (!answer.reservation.is_empty()).then_some(())
    })
    .await;
    sidecar.stop().await;
    let balance = server.balance("acme").await;
    assert_eq!((&*balance.2, &*balance.3), ("8", "0"), "{balance:?}");
    server.stop().await;
    // The sidecar is done with the new generation: its next start shows nothing new.
    let server = Server::start_at(&place, &socket).await;
    let sidecar = Process::start(dir.path(), &socket, &[]).await;
    sidecar.run("1").await;
    spent(&server, "9").await;
    sidecar.stop().await;
    server.stop().await;
}
