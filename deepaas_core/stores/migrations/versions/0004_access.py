"""Tokens, and who may call which model or service."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "tokens",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("hint", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("rights", sa.Text, nullable=False),
        sa.Column("names", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("requests_per_s", sa.Float),
        sa.Column("burst", sa.Integer),
        sa.Column("max_body_mb", sa.Float),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "access_rules",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("policy", sa.String(16)),
        sa.Column("requests_per_s", sa.Float),
        sa.Column("burst", sa.Integer),
        sa.Column("max_body_mb", sa.Float),
    )
    revisions = op.create_table(
        "revisions",
        sa.Column("of", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.bulk_insert(revisions, [{"of": "access", "number": 0}])
