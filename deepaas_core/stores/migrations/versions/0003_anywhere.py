"""Which queued runs any server may take."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; runs from before stay where their folder is."""
    op.add_column("runs", sa.Column("anywhere", sa.Boolean, nullable=False, server_default=sa.false()))
