//! Runs that are called about at another sidecar than the one that authorised them.

use std::path::PathBuf;

use bursar::grpc::proto::v1;
use tonic::Code;

use crate::ledger::{PLAYBOOK, Place, Server};
use crate::sidecar::{Process, run, until};

struct World {
    dirs: [tempfile::TempDir; 3],
    servers: Vec<Server>,
    first: Process,
    second: Process,
    // Dropped last: its servers use it.
    _place: Place,
}

impl World {
    /// Two sidecars, each at a ledger of its own where the store is shared.
    async fn new(place: Place) -> Self {
        let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let socket = |name: &str| -> PathBuf { dirs[0].path().join(name) };
        let mut servers = vec![Server::start_at(&place, &socket("a.sock")).await];
        let mut other = "a.sock";
        if matches!(place, Place::PostgreSql(_)) {
            other = "b.sock";
            servers.push(Server::start_at(&place, &socket(other)).await);
        }
        servers[0].publish(PLAYBOOK, "p1").await.unwrap();
        servers[0].subscribe("acme", "basic").await.unwrap();
        let first = Process::start(dirs[1].path(), &socket("a.sock"), &[]).await;
        let second = Process::start(dirs[2].path(), &socket(other), &[]).await;
        Self { servers, first, second, _place: place, dirs }
    }

    async fn stop(self) {
        self.first.stop().await;
        self.second.stop().await;
        for server in self.servers {
            server.stop().await;
        }
        drop(self.dirs);
    }
}

async fn progress(sidecar: &Process, reservation: &str, quantity: &str) -> v1::ProgressResponse {
    let request = v1::ProgressRequest {
        reservation: reservation.to_owned(),
        quantity: Some(quantity.to_owned()),
        ..Default::default()
    };
    sidecar.client.clone().progress(request).await.unwrap().into_inner()
}

async fn everything_is_possible_at_the_other(place: Place) {
    let world = World::new(place).await;
    let World { servers, first, second, .. } = &world;
    // Progress, then the commit, where it was not authorised.
    let held = first.authorize("5").await;
    let going = progress(second, &held.reservation, "2").await;
    assert_eq!((going.decision(), &*going.charged, going.provisional), (v1::Decision::Allowed, "2", false));
    let settled = second.commit(&held.reservation).await;
    assert_eq!((settled.state(), &*settled.charged), (v1::State::Settled, "2"));
    assert!(!settled.provisional);
    let mut client = first.client.clone();
    let again = client.commit(v1::CommitRequest {
        reservation: held.reservation.clone(),
        result: v1::RunResult::Succeeded.into(),
        ..Default::default()
    });
    assert_eq!(again.await.unwrap_err().code(), Code::FailedPrecondition);
    // A child whose parent is elsewhere takes its credits from its hold.
    let parent = first.authorize("10").await;
    let child = v1::AuthorizeRequest { parent: parent.reservation.clone(), ..run("4") };
    let child = second.client.clone().authorize(child).await.unwrap().into_inner();
    assert_eq!((child.decision(), &*child.held), (v1::Decision::Allowed, "4"), "{child:?}");
    let get = v1::GetReservationRequest { reservation: parent.reservation.clone(), ..Default::default() };
    let seen = second.client.clone().get_reservation(get).await.unwrap().into_inner();
    assert_eq!(&*seen.run.unwrap().held, "6");
    second.commit(&child.reservation).await;
    first.commit(&parent.reservation).await;
    // A release.
    let held = first.authorize("7").await;
    let release = v1::ReleaseRequest { reservation: held.reservation.clone(), ..Default::default() };
    let released = second.client.clone().release(release).await.unwrap().into_inner();
    assert_eq!((released.state(), released.provisional), (v1::State::Released, false));
    until("the balance is not what it should be", async || {
        let balance = servers[0].balance("acme").await;
        ((&*balance.1, &*balance.2) == ("0", "16")).then_some(())
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_possible_at_the_other_sidecar() {
    everything_is_possible_at_the_other(Place::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_possible_at_the_other_ledgers_sidecar() {
    everything_is_possible_at_the_other(Place::postgresql().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settler_out_of_reach_leaves_the_run_what_it_holds() {
    let world = World::new(Place::embedded().await).await;
    let World { servers, first, second, dirs, .. } = world;
    second.authorize("1").await;
    let held = first.authorize("5").await;
    first.crash().await;
    let going = progress(&second, &held.reservation, "2").await;
    assert_eq!(
        (going.decision(), going.reason(), going.provisional),
        (v1::Decision::Denied, v1::Reason::LedgerUnreachable, true),
        "{going:?}"
    );
    assert_eq!(going.stop_by, held.expires_at);
    // The ledger settles it from its handle; its settler's own word could still replace that.
    let settled = second.commit(&held.reservation).await;
    assert_eq!((settled.state(), &*settled.charged), (v1::State::Settled, "5"));
    assert!(settled.provisional);
    // Whether or not it finds the run in its journal: once it has stopped cleanly, no word of it is to come.
    Process::start(dirs[1].path(), &dirs[0].path().join("a.sock"), &[]).await.stop().await;
    until("it stays provisional", async || {
        let reservation = held.reservation.clone();
        let get = v1::GetReservationRequest { reservation, ..Default::default() };
        let seen = second.client.clone().get_reservation(get).await.unwrap().into_inner();
        let run = seen.run.unwrap();
        assert_eq!((&*run.charged, run.state()), ("5", v1::State::Settled));
        (!run.provisional).then_some(())
    })
    .await;
    second.stop().await;
    for server in servers {
        server.stop().await;
    }
    drop(dirs);
}

/// One request at two sidecars, both of which hold it: where the one settles by a handle of the other, that one's word
/// comes first, and the answer said so.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_settlements_of_one_request_the_one_that_may_go_said_so() {
    let world = World::new(Place::embedded().await).await;
    let World { servers, first, second, .. } = &world;
    let request = || v1::AuthorizeRequest { request_id: "r".to_owned(), ..run("5") };
    let at_first = first.client.clone().authorize(request()).await.unwrap().into_inner();
    let at_second = second.client.clone().authorize(request()).await.unwrap().into_inner();
    assert!(!at_first.reservation.is_empty() && !at_second.reservation.is_empty());
    let superseded = second
        .client
        .clone()
        .commit(v1::CommitRequest {
            reservation: at_first.reservation.clone(),
            result: v1::RunResult::Succeeded.into(),
            quantity: Some("3".to_owned()),
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((&*superseded.charged, superseded.provisional), ("3", true));
    let settled = first.commit(&at_first.reservation).await;
    assert_eq!((&*settled.charged, settled.provisional), ("5", false));
    until("both were charged", async || {
        let balance = servers[0].balance("acme").await;
        ((&*balance.1, &*balance.2) == ("0", "5")).then_some(())
    })
    .await;
    world.stop().await;
}
