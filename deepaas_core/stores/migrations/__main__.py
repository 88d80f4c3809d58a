"""Writes down what the steps come to: ``python -m deepaas_core.stores.migrations``."""

import sqlalchemy as sa

from deepaas_core.stores import migrations


def statements(chain: migrations.Chain) -> str:
    """The statements that make in an empty SQLite database what all steps make, rows included."""
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        migrations.upgrade(connection, chain)
        made = connection.exec_driver_sql("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'").all()
        inserts = []
        for table in sa.inspect(connection).get_table_names():
            for row in connection.exec_driver_sql(f'SELECT * FROM "{table}"'):
                values = ", ".join("NULL" if value is None else repr(value) for value in row)
                inserts.append(f'INSERT INTO "{table}" VALUES ({values})')
    engine.dispose()
    creates = ["\n".join(line.rstrip() for line in sql.splitlines()) for _, sql in made if sql]
    return "\n\n".join([*creates, *inserts]) + "\n"


if __name__ == "__main__":
    for chain in (migrations.RECORDS, migrations.PREDICTIONS):
        chain.statements.write_text(statements(chain))
