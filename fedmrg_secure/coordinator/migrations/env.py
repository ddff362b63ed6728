"""Alembic's entry point: runs in the connection that `coordinator.store` hands over."""

from alembic import context

from fedmrg_secure.coordinator.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
)
context.run_migrations()
