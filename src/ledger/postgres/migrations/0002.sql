-- Until when a ledger that was restored from a backup learns what it lost: nothing new is leased before.
ALTER TABLE bursar.ledgers ADD COLUMN learning_until bigint;

-- For whom a sidecar acts, as it said when it attached; in the journals' encoding.
ALTER TABLE bursar.sidecars ADD COLUMN acting bytea;
