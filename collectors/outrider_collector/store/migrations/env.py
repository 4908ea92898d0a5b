"""What Alembic runs for each change of the schema: the migrations, inside the connection's own transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
context.run_migrations()
