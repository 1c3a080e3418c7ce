//! Which call needs whom: one line for each that the ledger serves. What has no line is refused.

use crate::trust::Role;
use crate::trust::Role::{Administrator, Auditor, Buyer, Operator, Viewer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Whoever reached the ledger.
    Anyone,
    /// A sidecar's certificate.
    Sidecar,
    /// An operator of one of these roles.
    Role(&'static [Role]),
}

const LOOK: Needs = Needs::Role(&[Viewer, Operator, Buyer, Administrator, Auditor]);
const KEEP_RUNNING: Needs = Needs::Role(&[Operator, Administrator]);
const BUY: Needs = Needs::Role(&[Buyer, Administrator]);
const GIVE: Needs = Needs::Role(&[Administrator]);
const AUDIT: Needs = Needs::Role(&[Auditor, Administrator]);

const PERMITS: &[(&str, Needs)] = &[
    ("/bursar.ledger.v1.LeaseService/Attach", Needs::Sidecar),
    ("/bursar.ledger.v1.LeaseService/Lease", Needs::Sidecar),
    ("/bursar.ledger.v1.LeaseService/Decide", Needs::Sidecar),
    ("/bursar.ledger.v1.LeaseService/Report", Needs::Sidecar),
    ("/bursar.ledger.v1.LeaseService/Watch", Needs::Sidecar),
    ("/bursar.ledger.v1.AccountService/GetAccount", LOOK),
    ("/bursar.ledger.v1.AccountService/ListAccounts", LOOK),
    ("/bursar.ledger.v1.AccountService/GetBalance", LOOK),
    ("/bursar.ledger.v1.AccountService/GetUsage", LOOK),
    ("/bursar.ledger.v1.AccountService/ListInvoiceLines", LOOK),
    ("/bursar.ledger.v1.AccountService/ListAlerts", LOOK),
    ("/bursar.ledger.v1.AccountService/WatchAlerts", LOOK),
    ("/bursar.ledger.v1.AccountService/Suspend", KEEP_RUNNING),
    ("/bursar.ledger.v1.AccountService/Resume", KEEP_RUNNING),
    ("/bursar.ledger.v1.AccountService/SetCap", KEEP_RUNNING),
    ("/bursar.ledger.v1.AccountService/SetOverageLimit", KEEP_RUNNING),
    ("/bursar.ledger.v1.AccountService/Allocate", KEEP_RUNNING),
    ("/bursar.ledger.v1.AccountService/Transfer", KEEP_RUNNING),
    ("/bursar.ledger.v1.AccountService/Subscribe", BUY),
    ("/bursar.ledger.v1.AccountService/ChangePlan", BUY),
    ("/bursar.ledger.v1.AccountService/SetSeats", BUY),
    ("/bursar.ledger.v1.AccountService/Cancel", BUY),
    ("/bursar.ledger.v1.AccountService/Purchase", BUY),
    ("/bursar.ledger.v1.AccountService/Grant", GIVE),
    ("/bursar.ledger.v1.AccountService/Void", GIVE),
    ("/bursar.ledger.v1.AccountService/Award", GIVE),
    ("/bursar.ledger.v1.AccountService/Refund", GIVE),
    ("/bursar.ledger.v1.PlaybookService/Publish", GIVE),
    ("/bursar.ledger.v1.PlaybookService/Get", LOOK),
    ("/bursar.ledger.v1.PlaybookService/List", LOOK),
    ("/bursar.ledger.v1.PlaybookService/Diff", LOOK),
    ("/bursar.ledger.v1.AuditService/ListEntries", AUDIT),
    ("/bursar.ledger.v1.AuditService/Export", AUDIT),
    ("/bursar.ledger.v1.AuditService/Verify", AUDIT),
    ("/bursar.ledger.v1.LedgerService/Describe", Needs::Anyone),
    ("/grpc.health.v1.Health/Check", Needs::Anyone),
    ("/grpc.health.v1.Health/List", Needs::Anyone),
    ("/grpc.health.v1.Health/Watch", Needs::Anyone),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Needs::Anyone),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Needs::Anyone),
];

/// `None`: nobody may.
pub fn needs(path: &str) -> Option<Needs> {
    PERMITS.iter().find(|(call, _)| *call == path).map(|(_, needs)| *needs)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::grpc::proto::DESCRIPTORS;

    #[test]
    fn every_call_of_the_ledger_has_one_line() {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let ours = pool.services().filter(|service| service.package_name() == "bursar.ledger.v1");
        let served: BTreeSet<String> = ours
            .flat_map(|service| {
                let methods = service.methods().map(|m| format!("/{}/{}", service.full_name(), m.name()));
                methods.collect::<Vec<_>>()
            })
            .collect();
        let listed: Vec<&str> =
            PERMITS.iter().map(|(call, _)| *call).filter(|call| call.starts_with("/bursar.")).collect();
        assert_eq!(listed.len(), listed.iter().collect::<BTreeSet<_>>().len(), "a call has two lines");
        assert_eq!(served, listed.into_iter().map(str::to_owned).collect());
        assert_eq!(needs("/bursar.ledger.v1.AccountService/Mint"), None);
    }
}
