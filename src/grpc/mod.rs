//! (door plate to be written with the room)

pub mod proto;
