//! For whom a sidecar acts; and what a watcher of a balance sees.

use bursar::engine::account::RunAsk;
use bursar::grpc::lease_client::{
    DecideError, Hello, LEASES_MAX, LeaseClient, Leased, LinkError, Reported, Sender,
};
use bursar::grpc::proto::v1;
use bursar::lease::{Accounts, Acting, Ask, Returned, SidecarRecord, WalletEvent};
use bursar::types::{AccountId, Credits, Name, ReservationId, SidecarId};
use tokio_stream::StreamExt;
use tonic::Code;

use crate::ledger::{PLAYBOOK, Place, Server, WAIT, refusal};
use crate::sidecar::{Process, run};

async fn an_account_outside_is_refused(place: Place) {
    let server = Server::start(&place).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    for account in ["acme", "umbra"] {
        server.subscribe(account, "basic").await.unwrap();
    }
    let client = LeaseClient::new(&server.url()).unwrap();
    let accounts = Accounts::parse(["acme*"]).unwrap();
    let acting = Acting { identity: Some(Name::parse("left").unwrap()), accounts, certificate: None };
    let sidecar = SidecarId([5; 16]);
    let hello = Hello { sidecar, start: 1, acting, ..Hello::default() };
    let who = Sender { sidecar, epoch: client.introduce(&hello).await.unwrap().epoch };
    let (own, other) = (AccountId::parse("acme").unwrap(), AccountId::parse("umbra").unwrap());
    let ask = Ask { credits: Credits::whole(1), ..Ask::default() };
    client.lease(who, &own, &ask, WAIT).await.unwrap();
    let refused = client.lease(who, &other, &ask, WAIT).await;
    assert!(
        matches!(&refused, Err(LinkError::Refused(why)) if why.starts_with("ACCOUNT_NOT_ALLOWED")),
        "{refused:?}"
    );
    // Of several accounts in one call each is answered on its own, wherever the fault is.
    let nobody = AccountId::parse("acme-nobody").unwrap();
    for order in [[&own, &other, &nobody], [&other, &nobody, &own]] {
        let asks = order.map(|account| (account.clone(), ask.clone()));
        for (account, leased) in order.into_iter().zip(client.lease_all(who, &asks, WAIT).await) {
            match leased {
                Ok(Leased::Granted(grant)) => assert!(account == &own && !grant.slices.is_empty()),
                Ok(Leased::Unknown) => assert_eq!(account, &nobody),
                Err(why) => assert_eq!((account, Err(why)), (&other, refused.clone())),
            }
        }
    }
    let many = vec![(own.clone(), ask.clone()); LEASES_MAX + 1];
    let too_many = client.lease_all(who, &many, WAIT).await;
    assert!(too_many.iter().all(|leased| matches!(leased, Err(LinkError::Refused(_)))), "{too_many:?}");
    let state = RunAsk::State(ReservationId([1; 16]), None);
    match client.decide(who, &other, &state, WAIT).await {
        Err(DecideError::Fault(status)) => {
            assert_eq!(refusal(&status), (Code::PermissionDenied, "ACCOUNT_NOT_ALLOWED".to_owned()));
        }
        other => panic!("{other:?}"),
    }
    // A record of it is kept, and changes nothing.
    let event = WalletEvent::Returned(Returned::default());
    let body = minicbor::to_vec(SidecarRecord { account: other, event }).unwrap();
    let record = Reported { number: 1, epoch: who.epoch, body };
    assert_eq!(client.report(who, vec![record], Vec::new()).await, Ok(1));
    server.stop().await;
    // It is known after a restart, too.
    let server = Server::start(&place).await;
    let client = LeaseClient::new(&server.url()).unwrap();
    let refused = client.lease(who, &AccountId::parse("umbra").unwrap(), &ask, WAIT).await;
    assert!(
        matches!(&refused, Err(LinkError::Refused(why)) if why.starts_with("ACCOUNT_NOT_ALLOWED")),
        "{refused:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_outside_is_refused_on_an_embedded_store() {
    an_account_outside_is_refused(Place::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_outside_is_refused_on_postgresql() {
    an_account_outside_is_refused(Place::postgresql().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_says_for_whom_it_does_not_act() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("l.sock");
    let place = Place::embedded().await;
    let server = Server::start_at(&place, &socket).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    let more = [("accounts", "acme, beta-*"), ("label", "left")];
    let sidecar = Process::start(dir.path(), &socket, &more).await;
    sidecar.run("1").await;
    let other = v1::AuthorizeRequest { account: "umbra".to_owned(), ..run("1") };
    let refused = sidecar.client.clone().authorize(other).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::InvalidArgument, "INVALID_ACCOUNT".to_owned()));
    sidecar.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_each_change_and_when_its_run_may_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("l.sock");
    let place = Place::embedded().await;
    let server = Server::start_at(&place, &socket).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    let sidecar = Process::start(dir.path(), &socket, &[]).await;
    let held = sidecar.authorize("95").await;
    assert_eq!(sidecar.authorize("20").await.reason(), v1::Reason::CreditsExhausted);
    let request = v1::WatchBalanceRequest {
        account: "acme".to_owned(),
        refused: Some(run("20")),
        ..Default::default()
    };
    let mut client = sidecar.client.clone();
    let mut watched = client.watch_balance(request).await.unwrap().into_inner();
    let first = watched.next().await.unwrap().unwrap();
    let balance = first.balance.unwrap();
    assert_eq!((&*balance.available, first.may_resume), ("5", false));
    let release = v1::ReleaseRequest { reservation: held.reservation, ..Default::default() };
    sidecar.client.clone().release(release).await.unwrap();
    loop {
        let next = tokio::time::timeout(WAIT, watched.next()).await.expect("nothing changed");
        let next = next.unwrap().unwrap();
        if next.may_resume {
            assert_ne!(next.balance.unwrap().available, "5");
            break;
        }
    }
    let other = v1::WatchBalanceRequest {
        account: "umbra".to_owned(),
        refused: Some(run("20")),
        ..Default::default()
    };
    let refused = sidecar.client.clone().watch_balance(other).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::InvalidArgument, "INVALID_ACCOUNT".to_owned()));
    drop(watched);
    drop(client);
    sidecar.stop().await;
    server.stop().await;
}
