//! The generated wire types. Nothing past `grpc/` sees them: they are converted to domain types at the door.

/// Mirrors the proto packages, as the generated code's paths expect.
#[expect(clippy::allow_attributes_without_reason, clippy::large_enum_variant, reason = "generated code")]
mod bursar {
    pub mod v1 {
        tonic::include_proto!("bursar.v1");
    }

    pub mod ledger {
        pub mod v1 {
            tonic::include_proto!("bursar.ledger.v1");
        }
    }
}

pub use bursar::ledger::v1 as ledger_v1;
pub use bursar::v1;

/// Every file of both packages with its imports, encoded: what reflection serves.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn reflection_knows_every_service() {
        let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let services: Vec<String> = set
            .file
            .iter()
            .flat_map(|file| file.service.iter().map(|s| format!("{}.{}", file.package(), s.name())))
            .collect();
        for service in [
            "bursar.v1.EntitlementService",
            "bursar.ledger.v1.AccountService",
            "bursar.ledger.v1.AuditService",
            "bursar.ledger.v1.LeaseService",
            "bursar.ledger.v1.LedgerService",
            "bursar.ledger.v1.PlaybookService",
        ] {
            assert!(services.iter().any(|s| s == service), "{services:?}");
        }
        assert!(set.file.iter().any(|file| file.name() == "google/protobuf/timestamp.proto"));
    }

    #[test]
    fn an_empty_quantity_is_not_an_absent_one() {
        let absent = v1::CommitRequest::default();
        let empty = v1::CommitRequest { quantity: Some(String::new()), ..absent.clone() };
        assert!(absent.encode_to_vec().is_empty());
        assert_eq!(v1::CommitRequest::decode(&*empty.encode_to_vec()).unwrap().quantity, Some(String::new()));
    }
}
