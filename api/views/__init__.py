"""What the API answers: one module a noun. Events of `schemas` are answered as they are."""
