"""What the API answers: one module a noun. Events of `schemas.events` are answered as they are."""
