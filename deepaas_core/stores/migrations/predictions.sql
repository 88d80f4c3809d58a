CREATE TABLE predictions_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT predictions_version_pkc PRIMARY KEY (version_num)
)

CREATE TABLE predictions (
	service TEXT NOT NULL,
	id BLOB NOT NULL,
	at_us BIGINT NOT NULL,
	request VARCHAR(64) NOT NULL,
	"row" INTEGER,
	endpoint TEXT NOT NULL,
	generation TEXT NOT NULL,
	token VARCHAR(32) NOT NULL,
	status INTEGER NOT NULL,
	error TEXT NOT NULL,
	duration_s FLOAT NOT NULL,
	duration_class INTEGER NOT NULL,
	number FLOAT,
	category TEXT,
	scores TEXT,
	label TEXT,
	labelled_us BIGINT,
	PRIMARY KEY (service, id)
)
 WITHOUT ROWID


CREATE UNIQUE INDEX predictions_by_id ON predictions (id)

CREATE INDEX predictions_of_request ON predictions (request, "row")

CREATE TABLE prediction_texts (
	id BLOB NOT NULL,
	inputs TEXT,
	output TEXT,
	context TEXT,
	PRIMARY KEY (id)
)

INSERT INTO "predictions_version" VALUES ('0001')
