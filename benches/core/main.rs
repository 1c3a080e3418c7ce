//! One warm authorise in process: the decision, its record's bytes, the state after it; no socket and no disk.

use std::time::Instant;

use bursar::credit::pool::PoolId;
use bursar::credit::{Block, Subject};
use bursar::engine::call::Authorize;
use bursar::engine::wallet::{Here, Link, Log, Step, Wallet};
use bursar::engine::{Playbooks, handle};
use bursar::lease::event::Leased;
use bursar::lease::terms::HandleKey;
use bursar::lease::{AccountTerms, Mark, WalletEvent};
use bursar::playbook::charge::Quantities;
use bursar::playbook::draw_order::Species;
use bursar::types::{AccountId, BlockId, Credits, LeaseId, Name, RequestId, ReservationId, Timestamp};

const PLAYBOOK: &str = "
bursar: 1
playbook: wire
version: 1
credit: {unit: output, scale: 2, price: 0.10, currency: USD}
actions:
  ticket.answer: {weight: 2, quantity: answer}
plans:
  plain:
    allowance: {credits: 1000000000, every: month}
";

struct Bytes(Vec<u8>, u64);

impl Log for Bytes {
    fn append(&mut self, account: &AccountId, event: &WalletEvent, _: bool) -> u64 {
        self.0.clear();
        let record = bursar::sidecar::entry::Entry::Record(account, event);
        record.write(&mut self.0);
        self.1 += 1;
        self.1
    }
    fn durable(&self) -> u64 {
        self.1
    }
    fn last(&self) -> u64 {
        self.1
    }
}

fn main() {
    let calls: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let mut playbooks = Playbooks::default();
    playbooks.publish(bursar::playbook::load(PLAYBOOK).unwrap());
    let account = AccountId::parse("plain-03").unwrap();
    let mut wallet = Wallet::new(account.clone());
    let key = HandleKey { id: 1, secret: [3; 32] };
    let start = Timestamp::from_micros(1_700_000_000_000_000);
    let terms = AccountTerms {
        plan: Name::parse("plain").unwrap(),
        version: 1,
        origin: start,
        zone: "UTC".into(),
        suspended: false,
        overage_limit: None,
        period_ends: start.plus_micros(1 << 45),
        key,
        owes: false,
    };
    wallet.apply(WalletEvent::Terms(Box::new(terms)), &playbooks);
    let block = Block::new(BlockId(7), PoolId::Account, Species::Subscription, start)
        .with(Credits::whole(1_000_000_000));
    let lease = Leased {
        lease: LeaseId(1),
        number: 1,
        slices: vec![block],
        rooms: vec![],
        until: start.plus_micros(1 << 44),
        mark: Mark { credits: Credits::whole(1_000_000), runs: None },
        at: start,
    };
    wallet.apply(WalletEvent::Leased(Box::new(lease)), &playbooks);
    let mut log = Bytes(Vec::new(), 0);
    let began = Instant::now();
    for n in 0..calls {
        let at = start.plus_micros(i64::try_from(n).unwrap() * 30);
        let request = RequestId::parse(&format!("call-{n:012}")).unwrap();
        let account = AccountId::parse("plain-03").unwrap();
        let id: ReservationId = handle::reservation_id(&key, &account, "authorize", &request);
        let call = Authorize {
            id,
            action: Name::parse("ticket.answer").unwrap(),
            subject: Subject {
                team: Name::parse("support").ok(),
                user: Name::parse("user-1").ok(),
                agent: Name::parse("triage").ok(),
            },
            quantities: Some(Quantities::Single("1.5".parse().unwrap())),
            dimensions: Default::default(),
            run_id: None,
            parent: None,
            retry_of: None,
            ttl: Some(60_000_000),
            validate_only: false,
        };
        let here = Here { playbooks: &playbooks, at };
        match wallet.authorize(&call, false, Link::Untried, here, &mut log).unwrap() {
            Step::Done { answer, .. } => assert!(answer.reservation.is_some()),
            other => panic!("{other:?}"),
        }
    }
    let took = began.elapsed();
    println!(
        "{} ns per call, {} bytes per record, reservation {} bytes, answer {}",
        took.as_nanos() / u128::from(calls.max(1)),
        log.0.len(),
        size_of::<bursar::credit::Reservation>(),
        size_of::<bursar::engine::AuthorizeAnswer>()
    );
    println!("{:02x?}", log.0);
}
