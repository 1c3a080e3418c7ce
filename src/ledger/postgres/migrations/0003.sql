-- The entries of one turn stay in the table's own pages: beyond two kilobytes they were cut in pieces and moved to a table of
-- their own, each piece with an index entry.
ALTER TABLE bursar.entries SET (toast_tuple_target = 8160);

-- All that a turn writes, in one call: its statements are planned once, and nothing goes over the wire between them. The
-- caller holds the lock of the account's row.
CREATE FUNCTION bursar.write_turn(
    the_account text,
    -- The last entry before, and the last one now with its link.
    before bigint, after bigint, new_link bytea,
    new_timer bigint,
    new_debt text,
    -- Entries `before + 1` to `after`.
    new_body bytea,
    -- Blocks that changed, in columns: an element each.
    block_numbers bigint[], pools text[], species_words text[],
    granteds text[], availables text[], helds text[], spents text[], lapseds text[], withdrawns text[],
    -- Running totals that leases told, and leases that are over.
    heard_sidecars bytea[], heard_totals bytea[], over_sidecars bytea[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE bursar.accounts SET number = after, link = new_link, timer = new_timer, debt = new_debt::numeric,
        heard = heard + (cardinality(heard_sidecars) + cardinality(over_sidecars) > 0)::int
        WHERE account = the_account AND number = before;
    IF NOT FOUND THEN
        RAISE serialization_failure USING MESSAGE = format('account %s is not at entry %s', the_account, before);
    END IF;
    IF after > before THEN
        INSERT INTO bursar.entries (account, first, last, body) VALUES (the_account, before + 1, after, new_body);
    END IF;
    FOR i IN 1 .. cardinality(block_numbers) LOOP
        INSERT INTO bursar.blocks
            (account, block, pool, species, granted, available, held, spent, lapsed, withdrawn)
            VALUES (the_account, block_numbers[i], pools[i], species_words[i], granteds[i]::numeric,
                availables[i]::numeric, helds[i]::numeric, spents[i]::numeric, lapseds[i]::numeric, withdrawns[i]::numeric)
            ON CONFLICT (account, block) DO UPDATE SET granted = excluded.granted, available = excluded.available,
                held = excluded.held, spent = excluded.spent, lapsed = excluded.lapsed, withdrawn = excluded.withdrawn;
    END LOOP;
    FOR i IN 1 .. cardinality(heard_sidecars) LOOP
        INSERT INTO bursar.leases (account, sidecar, totals) VALUES (the_account, heard_sidecars[i], heard_totals[i])
            ON CONFLICT (account, sidecar) DO UPDATE SET totals = excluded.totals;
    END LOOP;
    IF cardinality(over_sidecars) > 0 THEN
        DELETE FROM bursar.leases WHERE account = the_account AND sidecar = ANY(over_sidecars);
    END IF;
END $$;
