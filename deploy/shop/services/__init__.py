"""The services of the shop, one module each; each builds the router of its routes."""
