-- Makes every table of the ledger a Citus distributed table, by account.
--
-- When: after `bursar ledger migrate` and before the first `bursar ledger`, or later while no ledger process runs (rows that
-- are there are moved). As whom: a superuser or the owner of the tables, on the coordinator:
--
--     psql --single-transaction --set ON_ERROR_STOP=1 --file citus.sql DATABASE
--
-- Every key leads with the account and every transaction touches one account, so each transaction stays on one node. What is
-- common to the ledger lies under the account `/` and therefore on one node, too. Ledger processes connect to the coordinator.

CREATE EXTENSION IF NOT EXISTS citus;

SELECT create_distributed_table('bursar.accounts', 'account');
SELECT create_distributed_table('bursar.entries', 'account', colocate_with => 'bursar.accounts');
SELECT create_distributed_table('bursar.blocks', 'account', colocate_with => 'bursar.accounts');
SELECT create_distributed_table('bursar.leases', 'account', colocate_with => 'bursar.accounts');
SELECT create_distributed_table('bursar.ledgers', 'account', colocate_with => 'bursar.accounts');
SELECT create_distributed_table('bursar.playbooks', 'account', colocate_with => 'bursar.accounts');
SELECT create_distributed_table('bursar.sidecars', 'account', colocate_with => 'bursar.accounts');
SELECT create_distributed_table('bursar.unapplied', 'account', colocate_with => 'bursar.accounts');
SELECT create_distributed_table('bursar.feeds', 'account', colocate_with => 'bursar.accounts');
SELECT create_distributed_table('bursar.news', 'account', colocate_with => 'bursar.accounts');
SELECT create_distributed_table('bursar.schema', 'account', colocate_with => 'bursar.accounts');
