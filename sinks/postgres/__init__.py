"""PostgreSQL: incidents, hypotheses, deploys, alerts and their deliveries, checkpoints.

One module a noun, plain functions that take the pool first and the tenant second; the tenant is part of every
primary key, so another tenant's id finds nothing.
"""
