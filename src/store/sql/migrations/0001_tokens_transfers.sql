-- Times are milliseconds since 1970. Text compares bytewise everywhere (in PostgreSQL: COLLATE "C").
-- Owners are token ids, and uploads name transfers, without foreign keys: each is forgotten on its own schedule.
-- Allowed words (roles, states, priorities) are checked by the program: a new one needs no migration.

CREATE TABLE tokens (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  secret_hash BLOB NOT NULL,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER
) STRICT;

CREATE TABLE transfers (
  id TEXT NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  priority TEXT NOT NULL,
  owner TEXT NOT NULL,
  source TEXT NOT NULL,
  destination TEXT NOT NULL,
  files_total INTEGER,
  bytes_total INTEGER,
  files_done INTEGER NOT NULL,
  bytes_done INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  error TEXT
) STRICT;

-- Lists are newest first, of everybody or of one owner.
CREATE INDEX transfers_by_time ON transfers (created_ms, id);
CREATE INDEX transfers_by_owner ON transfers (owner, created_ms, id);
