"""Ray reads its environment when it is imported, so it is set before any test module here is."""

from sweep.execution.environment import configure_ray

configure_ray("local")
