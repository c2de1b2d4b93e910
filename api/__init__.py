"""The door: the HTTP API over the stores. `api.app.create_app` makes it."""
