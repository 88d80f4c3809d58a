"""What runs tell of themselves, which run's model is served, and the servers that share a database."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns and tables; runs from before have told nothing, and belong to the only server there was."""
    op.add_column("runs", sa.Column("said", sa.Text))
    op.add_column("runs", sa.Column("retry_of", sa.String(32)))
    op.add_column("runs", sa.Column("promote_if", sa.Text))
    op.add_column("runs", sa.Column("server", sa.String(32), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("home", sa.String(32), nullable=False, server_default=""))
    op.create_table(
        "choices",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("run", sa.String(32)),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "servers",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    )
