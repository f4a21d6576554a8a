-- Takes away what the least rights needed, run by the tables' owner. The replication slot goes first.
DROP PUBLICATION driftless;
DROP OWNED BY vendure_driftless;
DROP ROLE vendure_driftless;
