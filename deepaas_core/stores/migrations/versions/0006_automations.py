"""Executions of automations; each answers to one cause, once."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "executions",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("service", sa.String(64), nullable=False),
        sa.Column("automation", sa.String(64), nullable=False),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("due", sa.String(64), nullable=False),
        sa.Column("base", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("steps", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("run", sa.String(32)),
        sa.Column("version", sa.String(64)),
        sa.Column("server", sa.String(32), nullable=False),
        sa.UniqueConstraint("service", "automation", "due"),
        sqlite_autoincrement=True,
    )
