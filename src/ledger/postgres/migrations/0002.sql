-- Until when a ledger that was restored from a backup learns what it lost: nothing new is leased before.
ALTER TABLE bursar.ledgers ADD COLUMN learning_until bigint;
