"""Services: their generations, what of them is live, how that came about, and what they are tested with."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "generations",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("service", sa.String(64), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.UniqueConstraint("service", "version"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "deployments",
        sa.Column("service", sa.String(64), primary_key=True),
        sa.Column("shares", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True)),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("queries", sa.Text),
    )
    op.create_table(
        "rollouts",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("service", sa.String(64), nullable=False),
        sa.Column("shares", sa.Text, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("server", sa.String(32), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Index("rollouts_by_service", "service", "number"),
        sqlite_autoincrement=True,
    )
    revisions = sa.table("revisions", sa.column("of", sa.String), sa.column("number", sa.Integer))
    op.bulk_insert(revisions, [{"of": "services", "number": 0}])
