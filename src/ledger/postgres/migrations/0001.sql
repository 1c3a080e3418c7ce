-- Every key leads with the account, so that the tables distribute by it. What is common to the ledger lies under `/`, a
-- name that no account can have. Text is compared byte by byte, as the program does.

-- Which ledger this is. The accounts' keys are derived from the secret.
CREATE TABLE bursar.ledgers (
    account text COLLATE "C" NOT NULL,
    secret bytea NOT NULL CHECK (length(secret) = 32),
    generation bigint NOT NULL CHECK (generation > 0),
    PRIMARY KEY (account)
);

CREATE TABLE bursar.playbooks (
    account text COLLATE "C" NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    source text NOT NULL,
    -- Instants are microseconds since 1970, as everywhere in this schema.
    at bigint NOT NULL,
    request text COLLATE "C",
    PRIMARY KEY (account, version)
);

-- How sidecars stand: the current start, and how far their records are durable.
CREATE TABLE bursar.sidecars (
    account text COLLATE "C" NOT NULL,
    sidecar bytea NOT NULL CHECK (length(sidecar) = 16),
    generation bigint NOT NULL,
    start bigint NOT NULL,
    acknowledged bigint NOT NULL CHECK (acknowledged >= 0),
    at bigint NOT NULL,
    PRIMARY KEY (account, sidecar)
);

-- Records that could not be applied: kept, so that nothing reported is ever lost.
CREATE TABLE bursar.unapplied (
    account text COLLATE "C" NOT NULL,
    sidecar bytea NOT NULL,
    number bigint NOT NULL,
    record bytea NOT NULL,
    PRIMARY KEY (account, sidecar, number)
);

-- What processes tell each other. Numbers have no gaps: they are given under the lock of the feed's row.
CREATE TABLE bursar.feeds (
    account text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (account)
);
INSERT INTO bursar.feeds (account, number) VALUES ('/', 0);

CREATE TABLE bursar.news (
    account text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (account, number)
);

-- One row per account: whoever holds its lock writes the account. Rewritten at each turn, so pages keep room for that.
CREATE TABLE bursar.accounts (
    account text COLLATE "C" NOT NULL CHECK (account <> '' AND account NOT LIKE '%/%'),
    -- The number and the hash link of its last entry.
    number bigint NOT NULL CHECK (number >= 0),
    link bytea NOT NULL CHECK (length(link) = 32),
    -- When time next does something to it.
    timer bigint,
    -- How often running totals of its leases were written.
    heard bigint NOT NULL DEFAULT 0,
    debt numeric NOT NULL DEFAULT 0 CHECK (debt >= 0),
    PRIMARY KEY (account)
) WITH (fillfactor = 50);
CREATE INDEX accounts_timer ON bursar.accounts (timer);

-- The journal, append-only. A row holds the entries of one turn, `first` to `last`, in the journals' encoding; each entry
-- is linked to the one before by its hash.
CREATE TABLE bursar.entries (
    account text COLLATE "C" NOT NULL,
    first bigint NOT NULL CHECK (first > 0),
    last bigint NOT NULL CHECK (last >= first),
    body bytea NOT NULL,
    PRIMARY KEY (account, first)
);
-- Amounts and hashes do not compress; trying costs more than it saves.
ALTER TABLE bursar.entries ALTER COLUMN body SET STORAGE EXTERNAL;

-- The second wall: blocks in figures, written with the entries that changed them.
CREATE TABLE bursar.blocks (
    account text COLLATE "C" NOT NULL,
    block bigint NOT NULL,
    pool text NOT NULL,
    species text NOT NULL,
    granted numeric NOT NULL CHECK (granted >= 0),
    available numeric NOT NULL CHECK (available >= 0),
    held numeric NOT NULL CHECK (held >= 0),
    spent numeric NOT NULL CHECK (spent >= 0),
    lapsed numeric NOT NULL CHECK (lapsed >= 0),
    withdrawn numeric NOT NULL CHECK (withdrawn >= 0),
    PRIMARY KEY (account, block),
    CONSTRAINT conservation CHECK (granted = available + held + spent + lapsed + withdrawn)
) WITH (fillfactor = 50);

-- Which sidecar has a lease, and its running totals as last heard: soft state, no part of the journal.
CREATE TABLE bursar.leases (
    account text COLLATE "C" NOT NULL,
    sidecar bytea NOT NULL,
    totals bytea NOT NULL,
    PRIMARY KEY (account, sidecar)
) WITH (fillfactor = 50);
CREATE INDEX leases_sidecar ON bursar.leases (sidecar);
