-- Everything that a partition's fold keeps is found under the partition's code, and changes only together with its position.
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

-- Who folds which partition, and how far it is folded.
CREATE TABLE parts (
  part        TEXT PRIMARY KEY,     -- events.call/2
  code        BIGINT NOT NULL UNIQUE,
  fence       BIGINT NOT NULL,      -- grows with each takeover; a writer with an older one is refused
  owner       TEXT NOT NULL,
  next_offset BIGINT                -- NULL: nothing was folded yet
);

CREATE TABLE calls (
  id         TEXT PRIMARY KEY,
  part       BIGINT NOT NULL,
  tenant     TEXT NOT NULL,
  source     TEXT NOT NULL,
  direction  TEXT NOT NULL,
  offered_at BIGINT NOT NULL,
  ended_at   BIGINT,
  closed     SMALLINT NOT NULL,
  queues     TEXT NOT NULL,         -- |sales|support|
  agents     TEXT NOT NULL,         -- |101|102|
  causes     TEXT NOT NULL,         -- |timeout|answered| how each queue was left
  caller     TEXT NOT NULL,         -- the token of the calling number, or empty
  body       BLOB NOT NULL
);
-- A page of calls is found in this index alone; only the calls of the page are read themselves.
CREATE INDEX calls_by_time ON calls (offered_at, id, tenant, source, queues, agents, causes, direction, closed);
CREATE INDEX calls_open ON calls (part) WHERE closed = 0;
CREATE INDEX calls_by_caller ON calls (caller, offered_at) WHERE caller <> '';

-- An hour of one partition's base rows of one dimension and id. One row of the table per hour instead of sixty keeps writing cheap.
CREATE TABLE blocks (
  dim     SMALLINT NOT NULL,
  hour    BIGINT NOT NULL,          -- its start
  tenant  TEXT NOT NULL,
  source  TEXT NOT NULL,
  id      TEXT NOT NULL,
  part    BIGINT NOT NULL,
  version BIGINT NOT NULL,          -- the offset up to which it is folded
  body    BLOB NOT NULL
);
CREATE UNIQUE INDEX blocks_by_key ON blocks (dim, hour, tenant, source, id, part);
CREATE INDEX blocks_by_part ON blocks (part, hour);

-- What agents, devices, queues and sources are doing.
CREATE TABLE states (
  kind   SMALLINT NOT NULL,
  id     TEXT NOT NULL,
  part   BIGINT NOT NULL,
  body   BLOB NOT NULL,
  PRIMARY KEY (kind, id, part)
);
CREATE INDEX states_by_part ON states (part);
