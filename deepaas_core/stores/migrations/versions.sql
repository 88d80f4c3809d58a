CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)

CREATE TABLE runs (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	id VARCHAR(32) NOT NULL,
	model TEXT NOT NULL,
	version TEXT NOT NULL,
	state VARCHAR(16) NOT NULL,
	arguments TEXT NOT NULL,
	created_at DATETIME NOT NULL,
	started_at DATETIME,
	finished_at DATETIME,
	result TEXT,
	error_kind TEXT,
	error_message TEXT,
	error_traceback TEXT,
	pid INTEGER,
	pid_started TEXT, said TEXT, retry_of VARCHAR(32), promote_if TEXT, server VARCHAR(32) DEFAULT '' NOT NULL, home VARCHAR(32) DEFAULT '' NOT NULL, anywhere BOOLEAN DEFAULT 0 NOT NULL,
	UNIQUE (id)
)

CREATE INDEX runs_by_state ON runs (state, number)

CREATE INDEX runs_by_model ON runs (model, number)

CREATE TABLE choices (
	model TEXT NOT NULL,
	run VARCHAR(32),
	at DATETIME NOT NULL,
	PRIMARY KEY (model)
)

CREATE TABLE servers (
	id VARCHAR(32) NOT NULL,
	address TEXT NOT NULL,
	seen_at DATETIME NOT NULL,
	PRIMARY KEY (id)
)

CREATE TABLE tokens (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	id VARCHAR(32) NOT NULL,
	hint VARCHAR(16) NOT NULL,
	digest VARCHAR(64) NOT NULL,
	label TEXT NOT NULL,
	rights TEXT NOT NULL,
	names TEXT,
	created_at DATETIME NOT NULL,
	expires_at DATETIME,
	revoked_at DATETIME,
	requests_per_s FLOAT,
	burst INTEGER,
	max_body_mb FLOAT,
	UNIQUE (id)
)

CREATE TABLE access_rules (
	name TEXT NOT NULL,
	policy VARCHAR(16),
	requests_per_s FLOAT,
	burst INTEGER,
	max_body_mb FLOAT,
	PRIMARY KEY (name)
)

CREATE TABLE revisions (
	"of" VARCHAR(32) NOT NULL,
	number INTEGER NOT NULL,
	PRIMARY KEY ("of")
)

CREATE TABLE generations (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	service VARCHAR(64) NOT NULL,
	version VARCHAR(64) NOT NULL,
	number INTEGER NOT NULL,
	digest VARCHAR(64) NOT NULL,
	definition TEXT NOT NULL,
	created_at DATETIME NOT NULL,
	notes TEXT NOT NULL,
	size_bytes BIGINT NOT NULL,
	deleted BOOLEAN NOT NULL,
	UNIQUE (service, version)
)

CREATE TABLE deployments (
	service VARCHAR(64) NOT NULL,
	shares TEXT NOT NULL,
	enabled BOOLEAN NOT NULL,
	changed_at DATETIME,
	revision INTEGER NOT NULL,
	queries TEXT,
	PRIMARY KEY (service)
)

CREATE TABLE rollouts (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	id VARCHAR(32) NOT NULL,
	service VARCHAR(64) NOT NULL,
	shares TEXT NOT NULL,
	"before" TEXT NOT NULL,
	state VARCHAR(16) NOT NULL,
	created_at DATETIME NOT NULL,
	finished_at DATETIME,
	reason TEXT NOT NULL,
	server VARCHAR(32) NOT NULL,
	revision INTEGER NOT NULL,
	UNIQUE (id)
)

CREATE INDEX rollouts_by_service ON rollouts (service, number)

CREATE TABLE executions (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	id VARCHAR(32) NOT NULL,
	service VARCHAR(64) NOT NULL,
	automation VARCHAR(64) NOT NULL,
	cause VARCHAR(16) NOT NULL,
	due VARCHAR(64) NOT NULL,
	base VARCHAR(64) NOT NULL,
	created_at DATETIME NOT NULL,
	steps TEXT NOT NULL,
	state VARCHAR(16) NOT NULL,
	run VARCHAR(32),
	version VARCHAR(64),
	server VARCHAR(32) NOT NULL,
	UNIQUE (service, automation, due),
	UNIQUE (id)
)

INSERT INTO "alembic_version" VALUES ('0006')

INSERT INTO "revisions" VALUES ('access', 0)

INSERT INTO "revisions" VALUES ('services', 0)
