//! Asks that come late or twice, at a ledger that has only its store to remember them by.

use bursar::grpc::lease_client::{Hello, LeaseClient, Leased, LinkError, Sender};
use bursar::lease::{Ask, Grant};
use bursar::types::{AccountId, Credits, SidecarId};

use crate::ledger::{PLAYBOOK, Place, Server, WAIT};

fn granted(leased: Result<Leased, LinkError>) -> Grant {
    match leased {
        Ok(Leased::Granted(grant)) => *grant,
        other => panic!("no grant: {other:?}"),
    }
}

async fn what_came_late_or_twice_changes_nothing(place: Place) {
    let server = Server::start(&place).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    let sidecar = SidecarId([5; 16]);
    let hello = Hello { sidecar, start: 1, ..Hello::default() };
    let client = LeaseClient::new(&server.url()).unwrap();
    let who = Sender { sidecar, epoch: client.introduce(&hello).await.unwrap().epoch };
    let acme = AccountId::parse("acme").unwrap();
    let ask = |number| Ask { credits: Credits::whole(1), number, ..Ask::default() };
    let first = granted(client.lease(who, &acme, &ask(2), WAIT).await);
    let before = server.balance("acme").await;
    // The process that answered is gone.
    server.stop().await;
    let server = Server::start(&place).await;
    let client = LeaseClient::new(&server.url()).unwrap();
    assert_eq!(client.introduce(&hello).await.unwrap().epoch, who.epoch);
    let late = client.lease(who, &acme, &ask(1), WAIT).await;
    assert!(matches!(late, Err(LinkError::Unreachable(_))), "{late:?}");
    let again = granted(client.lease(who, &acme, &ask(2), WAIT).await);
    assert_eq!((&again.slices, again.lease, again.number), (&first.slices, first.lease, first.number));
    assert_eq!(server.balance("acme").await, before);
    // The next one knows of no grant: what was lost goes back before more is leased.
    granted(client.lease(who, &acme, &ask(3), WAIT).await);
    assert_eq!(server.balance("acme").await, before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_late_or_twice_changes_nothing_on_an_embedded_store() {
    what_came_late_or_twice_changes_nothing(Place::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_late_or_twice_changes_nothing_on_postgresql() {
    what_came_late_or_twice_changes_nothing(Place::postgresql().await).await;
}
