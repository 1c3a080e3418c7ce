//! (door plate to be written with the room)
