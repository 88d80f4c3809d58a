"""The prediction log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "predictions",
        sa.Column("service", sa.Text, primary_key=True),
        sa.Column("id", sa.LargeBinary(16), primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("row", sa.Integer),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("generation", sa.Text, nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("duration_s", sa.Float, nullable=False),
        sa.Column("duration_class", sa.Integer, nullable=False),
        sa.Column("number", sa.Float),
        sa.Column("category", sa.Text),
        sa.Column("scores", sa.Text),
        sa.Column("label", sa.Text),
        sa.Column("labelled_us", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_index("predictions_by_id", "predictions", ["id"], unique=True)
    op.create_index("predictions_of_request", "predictions", ["request", "row"])
    op.create_table(
        "prediction_texts",
        sa.Column("id", sa.LargeBinary(16), primary_key=True),
        sa.Column("inputs", sa.Text),
        sa.Column("output", sa.Text),
        sa.Column("context", sa.Text),
    )
