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
