//! Names and ids: parsed once at the door, cheap to copy afterwards.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

use minicbor::{Decode, Encode};
use smol_str::SmolStr;
use thiserror::Error;

/// The longest account, user, team, agent, run or request id, in bytes: what fits a handle several times over.
pub const NAME_LEN_MAX: usize = 128;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    #[error("is empty")]
    Empty,
    #[error("is longer than {NAME_LEN_MAX} bytes")]
    TooLong,
    #[error("has the character {0:?}, which names may not have")]
    Character(char),
}

fn parsed(text: &str, refused: &[char]) -> Result<SmolStr, IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > NAME_LEN_MAX {
        return Err(IdError::TooLong);
    }
    // Nearly every name is plain ASCII: its bytes say enough.
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let wrong = if plain && refused.is_empty() {
        None
    } else {
        text.chars().find(|c| c.is_control() || refused.contains(c))
    };
    match wrong {
        Some(c) => Err(IdError::Character(c)),
        None => Ok(SmolStr::new(text)),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $refused:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, IdError> {
                parsed(text, $refused).map(Self)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0.as_str())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                Ok(Self(d.str()?.into()))
            }
        }
    };
}

text_id!(
    /// The customer who is billed. `/` is kept for `ACCOUNT/pool`.
    AccountId,
    &['/']
);
text_id!(
    /// A user, team, agent, run, action, plan, cap or dimension.
    Name,
    &[]
);
text_id!(
    /// A caller's id of one call, for idempotency.
    RequestId,
    &[]
);

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct $name(pub [u8; 16]);

        // Maps compare ids all the time: as one number each.
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                <[u8; 16]>::try_from(d.bytes()?)
                    .map(Self)
                    .map_err(|_| minicbor::decode::Error::message("an id has 16 bytes"))
            }
        }
    };
}

byte_id!(
    /// One reservation; with a request id it is a keyed hash, so that every sidecar makes the same one.
    ReservationId
);
byte_id!(
    /// One sidecar's journal; drawn at random when the journal is created.
    SidecarId
);

/// One block of an account: its number in the order of granting, so that the smaller id is the older block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct BlockId(#[n(0)] pub u64);

/// One lease of an account, numbered by the account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct LeaseId(#[n(0)] pub u64);

/// One start of a sidecar: (generation of the ledger, n), compared in that order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Epoch {
    #[n(0)]
    pub generation: u32,
    #[n(1)]
    pub start: u64,
}
