-- Real rows: the package index of this machine, through COPY.
CREATE EXTENSION omendb;

CREATE TABLE package (
  id bigint NOT NULL,
  name text NOT NULL,
  version text NOT NULL,
  architecture text NOT NULL,
  section text,
  priority text,
  installed_kb bigint,
  download_bytes bigint,
  maintainer text,
  depends text,
  homepage text,
  filename text,
  description text
) USING omendb;

\echo Loading the package index of this machine
\copy package FROM pstdin
CREATE UNIQUE INDEX package_id ON package (id);
CREATE INDEX package_name ON package (name);

-- One row for each package that another one depends on, alternatives included.
CREATE TABLE dependency (package_id bigint NOT NULL, needs text NOT NULL) USING omendb;
INSERT INTO dependency
SELECT id, (regexp_match(clause, '^\s*([^\s:(]+)'))[1]
FROM package, regexp_split_to_table(depends, '[,|]') AS clause;
CREATE INDEX dependency_needs ON dependency (needs);
ANALYZE package, dependency;
