-- The tables of sqlite/schema.sql with the seals of schema2.sql; texts compare by their bytes, as there.
CREATE TABLE meta (
  name  TEXT COLLATE "C" PRIMARY KEY,
  value TEXT NOT NULL,
  x     BIGINT NOT NULL
);

CREATE TABLE parts (
  part        TEXT COLLATE "C" PRIMARY KEY,
  code        BIGINT NOT NULL UNIQUE,
  fence       BIGINT NOT NULL,
  owner       TEXT NOT NULL,
  next_offset BIGINT,
  x           BIGINT NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE calls (
  id         TEXT COLLATE "C" PRIMARY KEY,
  part       BIGINT NOT NULL,
  tenant     TEXT COLLATE "C" NOT NULL,
  source     TEXT COLLATE "C" NOT NULL,
  direction  TEXT COLLATE "C" NOT NULL,
  offered_at BIGINT NOT NULL,
  ended_at   BIGINT,
  closed     INTEGER NOT NULL,
  queues     TEXT COLLATE "C" NOT NULL,
  agents     TEXT COLLATE "C" NOT NULL,
  causes     TEXT COLLATE "C" NOT NULL,
  caller     TEXT COLLATE "C" NOT NULL,
  body       BYTEA NOT NULL,
  x          BIGINT NOT NULL
);
-- The other columns are not in it: a tree takes 2,704 bytes, and a call can have been in many queues.
CREATE INDEX calls_by_time ON calls (offered_at, id);
CREATE INDEX calls_open ON calls (part) WHERE closed = 0;
CREATE INDEX calls_by_caller ON calls USING hash (caller) WHERE caller <> '';

-- Interval rows, a table for each month of their hours (months.rs): what is old is dropped and not deleted.
CREATE TABLE blocks (
  dim     INTEGER NOT NULL,
  hour    BIGINT NOT NULL,
  tenant  TEXT COLLATE "C" NOT NULL,
  source  TEXT COLLATE "C" NOT NULL,
  id      TEXT COLLATE "C" NOT NULL,
  part    BIGINT NOT NULL,
  k       BYTEA NOT NULL,           -- a hash of tenant, source and id
  version BIGINT NOT NULL,
  body    BYTEA NOT NULL,
  x       BIGINT NOT NULL
) PARTITION BY RANGE (hour);
CREATE UNIQUE INDEX blocks_by_key ON blocks (dim, hour, part, k);
CREATE INDEX blocks_by_part ON blocks (part, hour);
-- What clocks without a battery say, and others that are far off: so the number of months has a bound.
CREATE TABLE blocks_before PARTITION OF blocks FOR VALUES FROM (MINVALUE) TO (631152000000);
CREATE TABLE blocks_after PARTITION OF blocks FOR VALUES FROM (3786912000000) TO (MAXVALUE);

CREATE TABLE states (
  kind INTEGER NOT NULL,
  id   TEXT COLLATE "C" NOT NULL,
  part BIGINT NOT NULL,
  k    BYTEA NOT NULL,              -- a hash of the id
  body BYTEA NOT NULL,
  x    BIGINT NOT NULL,
  PRIMARY KEY (kind, part, k)
) WITH (fillfactor = 70);
CREATE INDEX states_by_part ON states (part);
