-- Paths are stored as pathKey writes them: every path has exactly one, and "/" stays "/", so that a folder is a key range.

CREATE TABLE uploads (
  id TEXT NOT NULL PRIMARY KEY,
  transfer TEXT,
  owner TEXT NOT NULL,
  path TEXT NOT NULL,
  size INTEGER,
  block_bytes INTEGER NOT NULL,
  mode INTEGER,
  mtime_ns INTEGER,
  overwrite TEXT NOT NULL,
  state TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  digest TEXT,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX uploads_by_path ON uploads (path, owner);
CREATE INDEX uploads_by_transfer ON uploads (transfer);
CREATE INDEX uploads_by_expiry ON uploads (expires_ms, id);

-- Runs of safe blocks in the order recorded; digests holds 32 bytes for each block of the run.
CREATE TABLE upload_blocks (
  upload TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  first INTEGER NOT NULL,
  digests BLOB NOT NULL,
  PRIMARY KEY (upload, seq)
) STRICT;

CREATE TABLE files (
  path TEXT NOT NULL PRIMARY KEY,
  version TEXT NOT NULL,
  size INTEGER NOT NULL,
  digest TEXT NOT NULL,
  mtime_ns INTEGER NOT NULL
) STRICT;

-- Digests are random, so each insert touches a page of its own: 32 bits of them keep the index small and recording three times
-- as fast, and few other files share them.
CREATE INDEX files_by_digest ON files (substr(digest, 1, 8));
